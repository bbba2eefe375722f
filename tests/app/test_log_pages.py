"""The pages of a run that holds training logs alone: their curves, and a sentence on every page that needs pairs."""

import pytest

import dpo_analysis as dpo
from dpo_analysis.figures.log_view.curves import log_curves
from dpo_analysis.tables.trainer_log import logged_curves
from dpo_analysis.words import text
from tests.app.drawn import PAGES, said
from tests.log_files import LOGS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run with two logs, one of which has NaN and an infinity."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    dpo.import_run(logs=[f"swift={LOGS / 'swift'}", f"tracked={LOGS / 'trackio'}"], out=folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_page_draws_and_says_what_the_run_lacks(show, logged, page, lang):
    app = show(logged, page, lang=lang)
    assert [error.message for error in app.exception] == []
    assert not app.error
    assert (text("app.only_log", lang) in said(app)) == (page != "details")
    assert not app.get("plotly_chart") or page == "overview"


@pytest.mark.parametrize("tab", ["reward", "logps", "accuracy", "loss"])
def test_the_overview_shows_the_curves(show, logged, tab):
    app = show(logged, **{"overview.log-tab": tab})
    assert not app.exception
    assert text(f"overview.log.caption.{tab}") in said(app)
    assert len(app.get("plotly_chart")) == 1
    assert text("overview.log.gaps", n=2) in said(app)
    (table,) = app.dataframe
    assert list(zip(table.value["series"], table.value["logged as"], strict=True)) == [
        ("swift", "eval"),
        ("swift", "train"),
        ("tracked", "eval"),
        ("tracked", "train"),
    ]


def test_a_log_without_known_metrics_says_so(show, tmp_path):
    (tmp_path / "log.csv").write_text("step,temperature\n1,20.5\n")
    dpo.import_run(logs=[tmp_path / "log.csv"], out=tmp_path / "run")
    app = show(tmp_path / "run")
    assert not app.exception
    assert text("overview.log.nothing") in said(app)


@pytest.mark.parametrize("name", ["details-tab", "split", "beta", "pair"])
def test_links_of_other_runs_do_no_harm(show, logged, name):
    for page in PAGES:
        app = show(logged, page, **{name: "models"})
        assert not app.exception
        assert not app.error


def test_long_curves_are_thinned_to_their_last_value_and_it_is_said(show, tmp_path):
    rows = "".join(f"{step},{step / 10}\n" for step in range(1, 5002))
    (tmp_path / "log.csv").write_text(f"step,loss\n{rows}")
    run = dpo.import_run(logs=[tmp_path / "log.csv"], out=tmp_path / "run")
    figure = log_curves(logged_curves(run), "loss")
    drawn = [trace for trace in figure.data if trace.name]
    assert [len(trace.x) for trace in drawn] == [1667]
    assert (drawn[0].x[-1], drawn[0].y[-1]) == (5001, pytest.approx(500.1))
    assert text("overview.log.thinned", n=3) in said(show(tmp_path / "run"))

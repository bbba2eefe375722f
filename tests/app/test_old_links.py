"""Links that were copied before the pages had tabs still open the same view: chart, table and selection."""

from urllib.parse import parse_qs, urlsplit

import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.words import catalogue, text
from tests.app.drawn import said

pytestmark = pytest.mark.slow

SAMPLE = sample_run() or ""
UNKNOWN = "border:1px solid #C9A227"
"""What is drawn around a value of the link that does not exist."""
MODEL, BASE, LAST = "strong/checkpoint-60", "strong/checkpoint-30", "gentle/checkpoint-300"


@pytest.fixture
def follow(show):
    """Open a link as it was copied, in an app that was started with the shipped run or another path."""

    def open_link(link, root=None):
        parts = urlsplit(link)
        query = {name: values if len(values) > 1 else values[0] for name, values in parse_qs(parts.query, True).items()}
        app = show(root or SAMPLE, parts.path.strip("/") or "overview", **query)
        assert not app.exception
        assert not app.error
        assert UNKNOWN not in said(app)
        return app

    return open_link


def opened(app, page):
    """The name of the open tab."""
    label, lang = app.session_state[f"w_{page}-tab"], app.session_state["w_lang"]
    names = ("series", "splits", "table", "map", "answers", "token", "pairs", "run")
    return next(name for name in names if _has(page, name) and text(f"{page}.tab.{name}", lang) == label)


def _has(page, name):
    return f"{page}.tab.{name}" in catalogue("en")


def chosen(app, *names):
    return [app.session_state[f"w_{name}"] for name in names]


def test_a_layout_opens_the_curves_of_all_series(follow):
    app = follow("/?layout=together")
    assert opened(app, "overview") == "series"
    assert chosen(app, "layout") == ["together"]
    assert len(app.get("plotly_chart")) == 2


def test_a_base_opens_the_exact_splits_since_it(follow):
    app = follow(f"/causes?model={MODEL}&since={BASE}")
    assert opened(app, "causes") == "splits"
    assert chosen(app, "model", "since") == [MODEL, BASE]
    wanted = decomposition_table(dpo.open_run(SAMPLE), model=MODEL, before=BASE, split="eval")
    assert len(app.dataframe[-1].value) == len(wanted) > 0


def test_filter_order_and_checkpoint_open_the_list_of_pairs(follow):
    model = "lora/checkpoint-150"
    app = follow(f"/pairs?filter=both_fell&sort=margin&model={model}")
    rows = dpo.pair_table(dpo.open_run(SAMPLE), model=model, split="eval")
    kept = rows[(rows["chosen_log_ratio"] < 0) & (rows["rejected_log_ratio"] < 0)].sort_values("margin")
    assert opened(app, "pairs") == "table"
    assert app.dataframe[0].value["margin"].tolist() == pytest.approx(kept["margin"].tolist())


def test_a_prompt_opens_the_responses_to_it(follow, runs):
    counts = dpo.pair_table(dpo.open_run(runs / "whole"), model=LAST, split="eval")["group_id"].value_counts()
    app = follow(f"/pairs?group={counts.index[0]}", runs / "whole")
    assert opened(app, "pairs") == "answers"
    assert chosen(app, "group") == [counts.index[0]]
    assert said(app).count("white-space:pre-wrap") >= 3


def test_a_box_opens_the_points_and_the_pairs_in_it(follow):
    app = follow(f"/pairs?model={LAST}&box=-999,999,-999,0")
    rows = dpo.pair_table(dpo.open_run(SAMPLE), model=LAST, split="eval")
    assert opened(app, "pairs") == "map"
    assert len(app.get("plotly_chart")) == 1
    assert len(app.dataframe[0].value) == (rows["chosen_log_ratio"] <= 0).sum() > 0


def test_a_token_opens_its_pair_its_colours_and_its_path(follow):
    pair = dpo.pair_table(dpo.open_run(SAMPLE), model=MODEL, split="eval")["pair_id"].iloc[3]
    options = "color=change&unit=word&scale=run&marks=1"
    app = follow(f"/tokens?pair={pair}&token=chosen-3&at={BASE}&at={MODEL}&{options}")
    assert opened(app, "tokens") == "token"
    assert chosen(app, "pair", "at", "color", "unit", "scale", "marks") == [
        *(pair, [BASE, MODEL], "change", "word", "run", True)
    ]
    assert text("tokens.path.title") in [header.value for header in app.subheader]
    assert len(app.get("plotly_chart")) == 1


def test_two_checkpoints_a_measure_and_a_range_open_the_points_and_their_pairs(follow):
    app = follow(f"/compare?a={MODEL}&b={LAST}&measure=rejected&outcome=broken&range=-99,99,-99,99")
    assert opened(app, "compare") == "map"
    assert chosen(app, "a", "b", "measure", "outcome") == [MODEL, LAST, "rejected", ["broken"]]
    outcomes = [table.value.get(text("compare.column.outcome")) for table in app.dataframe]
    assert (
        set(outcomes[0]) == {text("compare.outcome.broken")} if outcomes else text("compare.movers.none") in said(app)
    )


def test_the_reference_left_out_opens_differences_in_nats(follow):
    app = follow("/compare?bare=1")
    assert opened(app, "compare") == "pairs"
    assert chosen(app, "bare") == [True]
    assert "from A to B (nats)" in said(app)


def test_a_check_opens_its_pairs(follow, runs):
    app = follow("/checks?check=too_long", runs / "whole")
    assert text("checks.examples.title") in [header.value for header in app.header]
    assert len(app.dataframe[0].value) == 1


def test_details_open_the_command_and_the_inputs(follow):
    app = follow("/details")
    assert opened(app, "details") == "run"
    assert text("details.command.title") in [header.value for header in app.header]


def test_the_shipped_run_opens_by_its_former_name_beside_other_runs(follow, runs):
    app = follow("/?run=sample", runs)
    assert text("app.sample") in said(app)


def test_split_beta_and_language_go_with_a_link(follow):
    app = follow("/pairs?split=train&beta=0.5&lang=zh")
    assert app.title[0].value == text("pairs.title", "zh")
    assert chosen(app, "split", "beta", "lang") == ["train", "0.5", "zh"]
    assert "β 0.5" in said(app)
    assert opened(app, "pairs") == "table"


def test_another_run_goes_with_a_link(follow, runs):
    app = follow("/compare?run=whole&other=lone&b=gentle/checkpoint-60", runs)
    assert chosen(app, "run", "other", "b") == ["whole", "lone", "gentle/checkpoint-60"]
    assert "12 pairs count under both" in said(app)

"""What each page answers: filters, boxes, searches from the URL, splits, comparisons, checks, details, states."""

import json
import shutil
from html import unescape

import pandas as pd
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis import diagnose
from dpo_analysis.diagnosis.diagnosis_text import fall_sentence, happened_sentences
from dpo_analysis.diagnosis.outcome.why import normal_sentence, why_sentence
from dpo_analysis.tables.export import csv_bytes
from dpo_analysis.tables.filters import FILTERS, SORT_ORDERS
from dpo_analysis.tables.policy_pairs import OUTCOMES
from dpo_analysis.words import text
from tests.app.drawn import PAGES, ROOT, said

pytestmark = pytest.mark.slow

NEW = ("causes", "pairs", "compare", "checks", "details")
KEY = "strong/checkpoint-300"


def listed(app):
    """The table of the Pairs page, as Streamlit was given it."""
    return app.dataframe[0].value


def headers(app):
    return [header.value for header in app.header]


@pytest.mark.parametrize("page", PAGES)
def test_a_damaged_part_is_named_on_every_page_that_reads_it(show, runs, tmp_path, page):
    shutil.copytree(runs / "whole", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "summary", ignore_errors=True)
    for part in (tmp_path / "run" / "scores" / "strong").glob("checkpoint-300/part-*.parquet"):
        part.write_bytes(part.read_bytes()[:100])
    app = show(tmp_path / "run", page)
    assert not app.exception
    if page != "details":
        assert app.error[0].value == text("app.error.storage")
        assert "part-0000" in app.code[0].value


@pytest.mark.parametrize("page", NEW)
@pytest.mark.parametrize("content", ["{", '{"schema_version": 99}'])
def test_a_damaged_or_newer_manifest_is_named_on_every_page(show, runs, tmp_path, page, content):
    shutil.copytree(runs / "lone", tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text(content)
    app = show(tmp_path / "run", page)
    assert app.error
    assert not app.exception


@pytest.mark.parametrize("page", NEW)
def test_an_unknown_run_in_the_url_is_named(show, runs, page):
    app = show(runs, page, run="<img src=x>")
    assert "&lt;img src=x&gt;" in said(app)
    assert not app.exception


def test_a_filter_in_the_url_keeps_the_pairs_it_names(show, runs):
    rows = dpo.pair_table(dpo.open_run(runs / "whole"), model=KEY, split="eval")
    wanted = rows[(rows["chosen_log_ratio"] < 0) & (rows["rejected_log_ratio"] < 0)]
    app = show(runs / "whole", "pairs", filter="both_fell", model=KEY)
    assert len(listed(app)) == len(wanted) > 0
    assert f"{len(wanted)} of {len(rows)} pairs match" in said(app)
    shown = listed(app)["chosen_log_ratio"].tolist()
    assert shown == sorted(shown)


@pytest.mark.parametrize("sort", SORT_ORDERS)
def test_every_order_draws(show, runs, sort):
    app = show(runs / "whole", "pairs", sort=sort, model=KEY)
    column, rising = SORT_ORDERS[sort]
    assert not app.exception
    if column in listed(app):
        values = listed(app)[column].dropna()
        assert values.is_monotonic_increasing if rising else values.is_monotonic_decreasing


def test_a_box_a_search_and_a_status_in_the_url_filter_the_table(show, runs):
    rows = dpo.pair_table(dpo.open_run(runs / "whole"), model=KEY, split="eval").dropna(subset=["margin"])
    low = rows["chosen_log_ratio"].median()
    app = show(runs / "whole", "pairs", model=KEY, box=f"-999,999,-999,{low:.4g}")
    assert 0 < len(listed(app)) < len(rows)
    assert len(listed(show(runs / "whole", "pairs", model=KEY, find="天津"))) >= 1
    assert len(listed(show(runs / "whole", "pairs", model=KEY, status="too_long"))) == 1


@pytest.mark.parametrize("box", ["", "1,2", "a,b,c,d", "nan,1,2,3", "5,1,0,1", "<script>"])
def test_a_mangled_box_is_none(show, runs, box):
    app = show(runs / "lone", "pairs", box=box)
    assert not app.exception


def test_nothing_that_matches_says_so_and_how_to_go_on(show, runs):
    app = show(runs / "whole", "pairs", find="no such words anywhere")
    assert text("pairs.none") in said(app)
    assert text("pairs.clear_all") in [button.label for button in app.button]
    assert not app.dataframe


@pytest.mark.parametrize(
    ("name", "value"), [("filter", "x"), ("sort", "x"), ("model", "x"), ("status", "x"), ("group", "x")]
)
def test_what_pairs_is_asked_for_in_vain_is_named(show, runs, name, value):
    app = show(runs / "whole", "pairs", **{name: f"<b>{value}</b>"})
    assert "&lt;b&gt;x&lt;/b&gt;" in said(app)
    assert not app.exception


def test_a_filter_of_the_url_is_the_widgets_value_and_a_widget_writes_the_url(show, runs):
    app = show(runs / "lone", "pairs", filter="chosen_fell")
    assert app.get("button_group") or app.pills
    app.text_input[0].set_value("question").run()
    assert app.query_params["find"] == "question"
    app.text_input[0].set_value("").run()
    assert "find" not in app.query_params


def test_other_answers_to_a_prompt_stand_side_by_side(show, runs):
    answers = {"pairs-tab": "answers"}
    page = said(show(runs / "whole", "pairs", model=KEY, **answers))
    assert text("pairs.answers.none") not in page
    assert page.count("in nats: change ") >= 3
    assert "<script>document" not in page
    assert text("pairs.answers.none") in said(show(sample_run(), "pairs", **answers))


def test_a_download_is_harmless_in_a_spreadsheet():
    frame = pd.DataFrame({"prompt": ["=1+1", "@x", "fine"], "margin": [-1.0, 2.0, None]})
    assert csv_bytes(frame).decode() == "prompt,margin\n'=1+1,-1.0\n'@x,2.0\nfine,\n"


def test_causes_add_up_on_the_page(show, runs):
    app = show(runs / "whole", "causes", model=KEY, since="strong/checkpoint-60")
    rows = app.dataframe[-1].value
    sums = rows.groupby([text("causes.column.side"), text("causes.column.by")])[text("causes.column.log_ratio")].sum()
    assert sums.loc[text("side.chosen")].nunique() == 1 or sums.loc[text("side.chosen")].std() < 1e-6
    for by in ("place", "span", "kind", "quantile"):
        drawn = show(runs / "whole", "causes", model=KEY, **{"causes-tab": "splits", "by": by})
        assert text(f"causes.{by}.caption") in said(drawn)
        assert len(drawn.get("plotly_chart")) == len(app.get("plotly_chart"))


@pytest.mark.parametrize("name", ["strong/checkpoint-60", KEY])
def test_the_checkpoint_chosen_governs_the_verdict(show, runs, name):
    run = dpo.open_run(runs / "whole")
    found = diagnose(run, series="strong", model=name)
    assert found.fall.last_step == int(name.rpartition("-")[2])
    page = unescape(said(show(runs / "whole", "causes", model=name)))
    for sentence in (why_sentence(found), *happened_sentences(found), normal_sentence(found)):
        assert sentence in page
    page = unescape(said(show(runs / "whole", "causes", model=name, **{"causes-tab": "numbers"})))
    assert fall_sentence(found.fall) in page


def test_two_checkpoints_are_compared(show, runs):
    ends = {"a": "gentle/checkpoint-60", "b": KEY, "judge": "chosen"}
    app = show(runs / "whole", "compare", **ends)
    assert "12 pairs count under both" in said(app)
    assert len(app.dataframe[0].value) == 12
    assert text("compare.texts.title") in [header.value for header in app.subheader]
    for tab, charts in {"pairs": 0, "map": 1, "curves": 1, "profile": 1, "steps": 0}.items():
        app = show(runs / "whole", "compare", **ends, **{"compare-tab": tab})
        assert not app.exception
        assert len(app.get("plotly_chart")) == charts
        assert said(app).count("12 pairs count under both") == 1


@pytest.mark.parametrize(
    ("page", "query", "tab"),
    [
        ("pairs", {}, "table"),
        ("pairs", {"group": "any"}, "answers"),
        ("pairs", {"box": "-999,999,-999,0"}, "map"),
        ("compare", {"range": "-999,999,-999,999"}, "map"),
        ("tokens", {}, "map"),
        ("tokens", {"token": "chosen-1"}, "token"),
        ("details", {}, "run"),
    ],
)
def test_a_link_without_a_tab_opens_the_one_that_shows_what_it_names(show, runs, page, query, tab):
    app = show(runs / "whole", page, **query)
    assert app.session_state[f"w_{page}-tab"] == text(f"{page}.tab.{tab}")
    first = show(runs / "whole", page, **query, **{f"{page}-tab": "nowhere"})
    assert first.session_state[f"w_{page}-tab"] == text(f"{page}.tab.{tab}")
    other = "glossary" if page == "details" else {"map": "table", "token": "map"}.get(tab, "map")
    other = "pairs" if page == "compare" else other if (page, tab) != ("tokens", "map") else "token"
    chosen = show(runs / "whole", page, **query, **{f"{page}-tab": other})
    assert chosen.session_state[f"w_{page}-tab"] == text(f"{page}.tab.{other}")


def test_the_entries_of_each_step_are_added_up_when_they_are_opened(show, runs):
    app = show(runs / "whole", "compare", a="gentle/checkpoint-60", b=KEY, **{"compare-tab": "steps"})
    entries = text("compare.steps.column.n")
    assert not any(entries in table.value for table in app.dataframe)
    app.session_state["step_tokens"] = True
    app.run()
    assert not app.exception
    assert any(entries in table.value for table in app.dataframe)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_keeps_its_pairs_or_says_that_there_is_none(show, runs, outcome):
    app = show(runs / "whole", "compare", a="gentle/checkpoint-60", b=KEY, outcome=outcome, judge="chosen")
    kinds = {text(f"compare.outcome.{outcome}")}
    rows = next((d.value for d in app.dataframe if text("compare.column.outcome") in d.value), None)
    assert (
        text("compare.movers.none") in said(app) if rows is None else set(rows[text("compare.column.outcome")]) == kinds
    )


def test_the_reference_can_be_left_out(show, runs):
    queries = ({"compare-tab": "reference", **query} for query in ({}, {"bare": "1"}))
    with_it, without = (said(show(runs / "whole", "compare", **query)) for query in queries)
    assert "from A to B (β × nats)" in with_it
    assert "from A to B (nats)" in without
    assert "the reference has no part in it" in without


def test_two_runs_are_compared_by_pair_id(show, runs):
    app = show(runs, "compare", run="whole", other="lone", b="gentle/checkpoint-60")
    assert "12 pairs count under both" in said(app)
    assert not app.exception


def test_runs_without_a_common_pair_say_so(show, runs, tmp_path):
    shutil.copytree(runs / "lone", tmp_path / "lone")
    shutil.copytree(ROOT / "tests" / "golden" / "schema-1", tmp_path / "other")
    app = show(tmp_path, "compare", run="lone", other="other")
    assert text("compare.none.pairs") in said(app)
    assert not app.exception


def test_one_checkpoint_alone_cannot_be_compared(show, runs):
    assert text("compare.none") in said(show(runs / "lone", "compare"))


def test_the_checks_count_what_was_not_scored(show, runs):
    app = show(runs / "whole", "checks", check="too_long")
    assert "1 pairs (3.8%)" in said(app)
    assert text("checks.examples.title") in headers(app)
    assert text("checks.step0.unknown") in said(app)


def test_details_show_the_command_where_the_log_has_it(show, runs, tmp_path):
    shutil.copytree(runs / "lone", tmp_path / "run")
    assert text("details.command.none") in said(show(tmp_path / "run", "details"))
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write(json.dumps({"event": "start", "command": ["dpo-analysis", "score", "<b>pairs</b>"]}) + "\n")
    app = show(tmp_path / "run", "details")
    assert "dpo-analysis score <b>pairs</b>" in [code.value for code in app.code]


@pytest.mark.parametrize("name", FILTERS)
def test_every_condition_has_a_name_in_both_languages(name):
    assert text(f"pairs.filter.{name}", "en") != text(f"pairs.filter.{name}", "zh")

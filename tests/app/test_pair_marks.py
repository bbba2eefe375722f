"""Marks on the Pairs page: kept by a link, bounded, and downloaded as what the command reads and writes."""

import re
import shutil
from functools import partial

import pytest
import streamlit as st

import dpo_analysis as dpo
from dpo_analysis.cleaning import export_pairs
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.runs import run as runs_run
from dpo_analysis.words import text
from tests.app.drawn import said

pytestmark = pytest.mark.slow

SAMPLE = sample_run() or ""
LIST, CLEANED = text("pairs.marks.list"), text("pairs.marks.cleaned", split="train")


@pytest.fixture
def downloads(monkeypatch):
    """The downloads of the page by label: what is sent, or what makes it when it is asked for."""
    offered = {}
    draw = st.download_button

    def watched(label, data, *arguments, **more):
        offered[label] = data
        return draw(label, data, *arguments, **more)

    monkeypatch.setattr(st, "download_button", watched)
    return offered


@pytest.fixture
def ids():
    pairs = dpo.open_run(SAMPLE).pairs(columns=["pair_id", "split"]).to_pandas()
    return {split: part["pair_id"].tolist() for split, part in pairs.groupby("split")}


def pressed(app, label):
    next(button for button in app.button if button.label == label).click().run()
    return app


def test_without_marks_the_page_offers_the_switch_alone(show, downloads):
    app = show(SAMPLE, "pairs")
    assert [toggle.label for toggle in app.toggle] == [text("pairs.marking")]
    assert list(downloads) == [text("pairs.download")]
    assert text("pairs.marks.clear") not in [button.label for button in app.button]


def test_the_downloads_are_the_list_that_the_command_reads_and_the_rows_that_it_writes(show, downloads, ids, tmp_path):
    chosen = [*ids["train"][3:6], ids["eval"][0]]
    app = show(SAMPLE, "pairs", split="train", marked=",".join(chosen))
    assert text("pairs.marks.count.split", n=4, inside=3, split="train") in said(app)
    (tmp_path / "marked.txt").write_text(downloads[LIST], "utf-8")
    export_pairs(dpo.open_run(SAMPLE), tmp_path / "t.jsonl", [f"ids:{tmp_path / 'marked.txt'}"], split="train")
    assert isinstance(downloads[CLEANED], partial)
    assert downloads[CLEANED]() == (tmp_path / "t.jsonl").read_bytes()
    assert len(downloads[CLEANED]().splitlines()) == 147
    (tmp_path / "pairs.csv").write_bytes(downloads[text("pairs.download")]())
    export_pairs(dpo.open_run(SAMPLE), tmp_path / "none.jsonl", [f"ids:{tmp_path / 'pairs.csv'}"], split="train")
    assert (tmp_path / "none.jsonl").read_bytes() == b""


def test_neither_the_page_nor_the_switch_reads_the_rows(show, downloads, ids, monkeypatch):
    read, met = runs_run.read_table, []

    def watched(root, relative, schema, *, columns=None, rows=None, **more):
        if "source" in (schema.names if columns is None else columns):
            met.append(relative)
        return read(root, relative, schema, columns=columns, rows=rows, **more)

    monkeypatch.setattr(runs_run, "read_table", watched)
    show(SAMPLE, "pairs", split="train", marked=ids["train"][0], marking="1")
    assert met == []
    downloads[CLEANED]()
    assert met != []


def test_all_pairs_of_a_filter_are_marked_and_cleared(show):
    app = show(SAMPLE, "pairs", marking="1", filter="margin_shrank", model="strong/checkpoint-150")
    listed = len(app.dataframe[0].value)
    assert 0 < listed < 100
    pressed(app, text("pairs.marks.all", n=listed))
    marked = app.query_params["marked"]
    marked = marked if isinstance(marked, str) else marked[0]
    assert len(set(marked.split(","))) == listed
    assert text("pairs.marks.count.split", n=listed, inside=listed, split="eval") in said(app)
    pressed(app, text("pairs.marks.clear"))
    assert "marked" not in app.query_params
    assert app.query_params["filter"] in ("margin_shrank", ["margin_shrank"])


def test_a_link_holds_a_hundred_marks_and_says_so(show, ids):
    app = pressed(show(SAMPLE, "pairs", marking="1"), text("pairs.marks.all.first", n=100))
    assert text("pairs.marks.full", most=100) in said(app)
    app = show(SAMPLE, "pairs", marked=",".join(ids["eval"]))
    assert text("pairs.marks.count.split", n=100, inside=100, split="eval") in said(app)


def test_a_mark_that_the_run_does_not_have_is_named(show, ids):
    app = show(SAMPLE, "pairs", marked=f"{ids['eval'][0]},<b>x</b>")
    assert "&lt;b&gt;x&lt;/b&gt;" in said(app)
    assert text("pairs.marks.count.split", n=1, inside=1, split="eval") in said(app)


def test_marks_stay_where_no_pair_is_listed_and_in_chinese(show, downloads, ids):
    app = show(SAMPLE, "pairs", marked=ids["eval"][0], find="no such words anywhere", lang="zh")
    assert text("pairs.marks.count.split", "zh", n=1, inside=1, split="eval") in said(app)
    assert text("pairs.marks.list", "zh") in downloads
    assert not app.exception


def test_a_run_of_sums_without_rows_offers_the_list_alone(show, downloads, tmp_path):
    lines = ["row,model,side,logps"]
    for name in ("reference", "a"):
        lines += [f"{number},{name},{side},-{number + 1}.5" for number in range(3) for side in ("chosen", "rejected")]
    (tmp_path / "sums.csv").write_text("\n".join(lines) + "\n")
    run = dpo.import_run(tmp_path / "sums.csv", out=tmp_path / "run")
    app = show(run.path, "pairs", marked=dpo.pair_table(run).pair_id[0])
    assert not app.exception
    assert LIST in downloads
    assert text("pairs.marks.cleaned", split="eval") not in downloads


def test_a_damaged_run_is_named_when_it_is_shown_and_nothing_is_lost(show, ids, tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("{")
    app = show(tmp_path / "run", "pairs", marked=ids["eval"][0])
    assert app.error
    assert not app.exception


def test_the_table_is_drawn_anew_where_its_boxes_are_not_what_the_link_says(monkeypatch):
    """A table keeps its boxes under its key, also after a button or Back has changed the marks."""
    monkeypatch.syspath_prepend("app")
    from shared import state

    session: dict = {}
    monkeypatch.setattr(st, "session_state", session)
    first, rows = state.table_of_marks(["a", "b", "c"], ["c", "x"])
    assert rows == [2]
    session[first] = {"selection": {"rows": [2]}}
    assert state.table_of_marks(["a", "b", "c"], ["c", "x"]) == (first, [2])
    second, rows = state.table_of_marks(["a", "b", "c"], [])
    assert (second != first, rows) == (True, [])
    third, _ = state.table_of_marks(["c", "a"], [])
    assert third not in (first, second)


def test_ids_with_commas_have_a_parameter_of_their_own(monkeypatch):
    monkeypatch.syspath_prepend("app")
    from shared import state

    written = {}
    monkeypatch.setattr(state, "set_parameter", lambda name, value: written.update({name: value}))
    state.mark_pairs(["a", "b,c", "d", "a"])
    assert written == {"marked": ["a,d", "b,c"]}


def test_the_switch_and_the_marks_are_words_of_both_languages():
    names = ["marking", "marks.all", "marks.all.first", "marks.clear", "marks.list", "marks.full", "marks.count"]
    for name in names:
        english, chinese = (re.sub(r"[^{}\w]", "", text(f"pairs.{name}", lang, n=1, most=1)) for lang in ("en", "zh"))
        assert english != chinese

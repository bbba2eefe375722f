"""Every page in every state of a run: what is the matter, where, and what to do; and what opening a page reads."""

import json
import shutil

import numpy as np
import pytest

from dpo_analysis.runs import run as runs_run
from dpo_analysis.words import text
from tests.app import synthetic
from tests.app.drawn import PAGES, said

pytestmark = pytest.mark.slow

HEAVY = {"logp", "token_ids", "entropy", "rank", "argmax_id", "argmax_logp", "prompt_token_ids", "source"}
"""Columns that grow with the tokens, or with the rows as text."""


@pytest.mark.parametrize("page", PAGES)
def test_without_a_run_every_page_says_how_to_make_one(show, page):
    app = show("", page)
    assert app.title[0].value == text("app.none.title")
    assert "dpo-analysis score" in said(app)
    assert not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_an_unknown_run_in_the_url_is_named_and_another_shown(show, runs, page):
    app = show(runs, page, run="nowhere")
    assert "“nowhere”" in said(app)
    assert "no such folder" in said(app)
    assert app.title[0].value == text("causes.title.rose" if page == "causes" else f"{page}.title")


def test_a_run_named_sample_opens_and_the_shipped_one_has_a_name_of_its_own(show, runs, tmp_path):
    """Old links to ?run=sample open the shipped run where no run of that name is served."""
    for name in ("sample", "other"):
        shutil.copytree(runs / "lone", tmp_path / name)
    shipped = text("app.sample")
    assert shipped not in said(show(tmp_path, "details", run="sample"))
    for served, name in ((tmp_path, "shipped/sample"), (runs, "sample"), ("", "sample"), (tmp_path / "gone", "sample")):
        app = show(served, "details", run=name)
        assert shipped in said(app)
        assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_a_run_of_a_newer_version_is_refused_with_what_to_do(show, runs, tmp_path, page):
    shutil.copytree(runs / "lone", tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text()) | {"schema_version": 99}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(facts))
    app = show(tmp_path / "run", page)
    assert app.error[0].value == text("app.error.input")
    assert "newer" in app.code[0].value
    assert ";" in app.code[0].value
    assert not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_a_run_that_is_still_being_scored_says_how_far_it_is(show, runs, page):
    app = show(runs / "partial", page)
    assert "parts are done" in app.info[0].value
    assert [element for element in app.get("bidi_component") if "pulse" in element.proto.component_name]
    assert not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_a_finished_run_has_no_pulse(show, runs, page):
    app = show(runs / "lone", page)
    assert not [element for element in app.get("bidi_component") if "pulse" in element.proto.component_name]


@pytest.mark.parametrize("page", PAGES)
def test_responses_that_a_model_could_not_score_are_counted_as_such(show, monkeypatch, tmp_path, page):
    score = synthetic.Scorer.score

    def broken(self, requests, **more):
        found = score(self, requests, **more)
        if self.strength and len(found.logp):
            found.logp[0] = np.nan
        return found

    monkeypatch.setattr(synthetic.Scorer, "score", broken)
    synthetic.build(tmp_path / "run", series=["gentle"], steps=[60])
    app = show(tmp_path / "run", page, **{"overview-tab": "status"})
    assert not app.exception
    assert not app.error
    if page in ("overview", "checks"):
        assert any(text("status.nonfinite") in frame.value for frame in app.dataframe)
    if page == "checks":
        assert text("checks.scored") in said(app)


@pytest.mark.parametrize("page", [name for name in PAGES if name not in ("overview", "causes")])
def test_opening_a_page_reads_no_token_list_of_all_pairs(show, runs, monkeypatch, tmp_path, page):
    """Overview and Causes are left out: the diagnosis compares the token ids of all pairs of its split."""
    shutil.copytree(runs / "whole", tmp_path / "run")
    read, met = runs_run.read_table, []

    def watched(root, relative, schema, *, columns=None, rows=None, **more):
        wanted = HEAVY & set(schema.names if columns is None else columns)
        if root == tmp_path / "run" and rows is None and wanted:
            met.append((relative, sorted(wanted)))
        return read(root, relative, schema, columns=columns, rows=rows, **more)

    monkeypatch.setattr(runs_run, "read_table", watched)
    app = show(tmp_path / "run", page)
    assert not app.exception
    assert met == []

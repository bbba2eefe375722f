"""The app's modules without a browser: pages are found by their files, and tables are kept by their function's name."""

import html
import importlib
import sys

import pytest

import dpo_analysis as dpo
from dpo_analysis import words
from dpo_analysis.diagnosis.findings import CERTAINTIES
from dpo_analysis.report import glossary
from tests.app.drawn import PAGES, ROOT, said

pytestmark = pytest.mark.slow


@pytest.fixture
def app_path(monkeypatch):
    """``app/`` on the path, as Streamlit puts it there."""
    monkeypatch.syspath_prepend(str(ROOT / "app"))


def test_the_pages_are_those_of_the_files_in_their_order(app_path):
    pages = importlib.import_module("views").pages()
    assert tuple(pages) == PAGES
    assert len({page.ORDER for page in pages.values()}) == len(pages)
    assert all(page.ICON.startswith(":material/") for page in pages.values())


def test_a_file_in_views_is_a_page(app_path, monkeypatch, tmp_path):
    views = importlib.import_module("views")
    (tmp_path / "histogram.py").write_text('ORDER, ICON = 15, ":material/bar_chart:"\ndef page(run): pass\n')
    monkeypatch.setattr(views, "__path__", [*views.__path__, str(tmp_path)])
    views.pages.cache_clear()
    try:
        assert list(views.pages())[:3] == ["overview", "histogram", "causes"]
    finally:
        views.pages.cache_clear()
        sys.modules.pop("views.histogram", None)


def test_two_functions_of_one_name_in_two_modules_do_not_share_a_table(app_path, runs, tmp_path, monkeypatch):
    cached = importlib.import_module("shared.cached_tables").cached
    run = dpo.open_run(runs / "lone")
    for name in ("first_tables", "second_tables"):
        (tmp_path / f"{name}.py").write_text(f"def table(run): return {name!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = {name: importlib.import_module(name).table for name in ("first_tables", "second_tables")}
    assert [cached(make, run) for make in made.values()] == list(made)
    assert [cached(make, run) for make in made.values()] == list(made)


def test_a_table_is_made_once_until_a_file_of_the_run_changes(app_path, runs):
    tables = importlib.import_module("shared.cached_tables")
    made = []

    def table(run):
        made.append(run.name)
        return made

    run = dpo.open_run(runs / "lone")
    tables.cached(table, run)
    tables.cached(table, run)
    assert made == ["lone"]


def test_a_label_shows_the_meaning_of_its_term(app_path):
    terms = importlib.import_module("shared.terms")
    label = terms.labelled("<b>Margin</b>", "margin", "en")
    assert f'title="{glossary.term("margin").meaning}"' in label
    assert "&lt;b&gt;Margin&lt;/b&gt;" in label
    assert terms.term_help("advantage", "en").startswith(r"The implicit reward of a token")
    assert r"a\_t = V(s\_t+1)" in terms.term_help("advantage", "en"), "no mark of Markdown"
    assert terms.terms_help(("margin", "fell"), "zh").count("**") == 4


@pytest.mark.parametrize("certainty", CERTAINTIES)
def test_how_a_finding_is_known_has_a_term(app_path, certainty):
    terms = importlib.import_module("shared.terms")
    entry = glossary.term(terms.certainty_term(certainty))
    assert words.text(f"diagnosis.certainty.{certainty}") in entry.name


def test_the_columns_of_the_overview_explain_their_terms(show, runs):
    shown = said(show(runs / "whole"))
    for name in ("reward", "margin", "accuracy", "state"):
        assert html.escape(glossary.term(name).meaning) in shown

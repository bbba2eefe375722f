"""No page of the sample or of a long run is longer than two screens, and the report prints on a few sheets of paper."""

import re
import subprocess

import pytest

import dpo_analysis as dpo
from dpo_analysis import words
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.report.report import ReportOptions, write_report
from tests.app import synthetic
from tests.app.test_browser import CHROMIUM, address, chromium, settle, tab  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
SCREEN, SCREENS, SHEETS = 900, 1800, 6
"""Pixels of one and of two screens of 1440 x 900, and sheets of A4."""
LONG = "twenty"
"""A run of two series of twenty checkpoints."""
NARROW = (1024, 800)
"""Pixels of narrow windows."""
TABS = {
    "overview": ("pairs", "series", "logp", "accuracy", "positions", "status"),
    "causes": ("phrases", "splits", "words", "unlikely", "numbers", "open"),
    "pairs": ("table", "map", "answers"),
    "tokens": ("map", "token"),
    "compare": ("pairs", "map", "curves", "profile", "steps", "reference"),
    "checks": ("",),
    "details": ("run", "models", "log", "glossary", "columns"),
}

CUT = """() => [...document.querySelectorAll('.stMain .stHtml, .stMain label, .stMain button, .stMain h1, .stMain h3')]
  .filter(part => part.offsetParent && !part.closest('[role=tablist]'))
  .filter(part => part.scrollWidth > part.clientWidth + 1 || part.getBoundingClientRect().right > innerWidth)
  .map(part => part.innerText)"""
"""Texts that reach beyond the box they stand in, or beyond the window."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("long")
    synthetic.build(root / LONG, steps=range(20, 420, 20))
    return root


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("run", ["sample", LONG])
@pytest.mark.parametrize("name", TABS)
def test_every_tab_of_a_page_is_at_most_two_screens_high(tab, name, run, lang):  # noqa: F811
    page, heights = tab(f"{name}?run={run}&lang={lang}"), {}
    for opened in TABS[name]:
        query = f"{name}-tab={opened}&token=chosen-2" if opened else ""
        page.goto(f"{page.url.partition('?')[0]}?run={run}&lang={lang}&{query}")
        settle(page)
        page.wait_for_timeout(1000)
        heights[opened] = page.locator(".stMainBlockContainer").evaluate("main => main.getBoundingClientRect().height")
    assert {opened: height for opened, height in heights.items() if height > SCREENS} == {}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_answer_fits_on_the_first_screen(tab, lang):  # noqa: F811
    page = tab(f"overview?run=sample&lang={lang}")
    meaning = page.get_by_text(words.text("overview.next", lang, series="strong"), exact=True).locator("xpath=..")
    ends = [box["y"] + box["height"] for box in [meaning.bounding_box()] if box]
    assert ends
    assert max(ends) <= SCREEN


@pytest.mark.parametrize("width", NARROW)
@pytest.mark.parametrize("name", TABS)
def test_nothing_is_cut_or_covered_where_the_window_is_narrow(tab, name, width):  # noqa: F811
    page = tab(f"{name}?run=sample", width=width)
    page.wait_for_timeout(1000)
    assert (
        page.evaluate("document.querySelector('.stMain').scrollWidth")
        <= page.locator(".stMain").bounding_box()["width"]
    )
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_report_prints_on_few_sheets(tmp_path, lang):
    page, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    write_report(dpo.open_run(sample_run()), page, ReportOptions(lang=lang))
    line = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    subprocess.run([*line, f"--print-to-pdf={paper}", page.as_uri()], check=True, capture_output=True, timeout=120)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= SHEETS

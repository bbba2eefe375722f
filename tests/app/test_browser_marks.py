"""Marking pairs in a real browser: boxes write the link, a link restores boxes, and the rows come as a file."""

import re

import pytest

from dpo_analysis.words import text
from tests.app.test_browser import CHROMIUM, address, chromium, eventually, expect, settle, tab  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]


def tick(page, place, changed):
    """Click the box of the row at ``place`` until the URL is ``changed``."""

    def act():
        if not re.search(changed, page.url):
            table = page.locator('[data-testid="stDataFrame"]').first
            table.scroll_into_view_if_needed()
            box = table.bounding_box()
            page.mouse.click(box["x"] + 18, box["y"] + 35 * (place + 1.5))

    eventually(act, lambda: expect(page).to_have_url(re.compile(changed), timeout=4000))
    settle(page)


def test_ticked_pairs_stay_in_the_link_and_are_left_out_of_the_file(tab):  # noqa: F811
    page = tab("pairs?run=whole")
    page.get_by_text(text("pairs.marking")).click()
    expect(page).to_have_url(re.compile("marking=1"))
    settle(page)
    tick(page, 0, r"marked=\w+")
    tick(page, 2, r"marked=\w+(%2C|,)\w+")
    count = text("pairs.marks.count.split", n=2, inside=2, split="eval")
    expect(page.get_by_text(count)).to_be_visible()
    again = tab(page.url.split("/", 3)[3])
    expect(again.get_by_text(count)).to_be_visible()
    with again.expect_download() as started:
        again.get_by_role("button", name=text("pairs.marks.cleaned", split="eval")).click()
    assert started.value.suggested_filename == "eval.cleaned.jsonl"
    rows = open(started.value.path(), encoding="utf-8").read().splitlines()
    assert len(rows) in (11, 12), "thirteen rows made fourteen pairs; a row of two pairs is left out whole"
    again.get_by_role("button", name=text("pairs.marks.clear")).click()
    expect(again).not_to_have_url(re.compile("marked="))

"""The token view alone, as a file or a notebook holds it: long responses, scrolling, numbers as they were given."""

import re

import numpy as np
import pytest

import dpo_analysis as dpo
from dpo_analysis import figures
from dpo_analysis.report.report import write_report
from dpo_analysis.words import text
from tests.app.test_browser import CHROMIUM, chromium, expect  # noqa: F401
from tests.token_rows import token_rows

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
LONG = (*(f" w{number}".encode() for number in range(4999)), b" the last")
SHOWN = 4000


@pytest.fixture
def view(chromium):  # noqa: F811
    """Open a view as a page of its own; nothing may fail in it, nor be asked for outside."""
    pages, wrong = [], []

    def show(rows, **look):
        page = chromium.new_page(viewport={"width": 1200, "height": 900})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.set_content(figures.token_view(rows, **look).html)
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()
    assert wrong == []


def drawn(page, side="chosen"):
    return page.locator(f".panel.{side}").first.locator(".c")


def test_a_long_response_is_drawn_as_far_as_it_is_looked_at(view):
    page = view(token_rows(chosen=LONG))
    expect(drawn(page).first).to_be_visible()
    before = drawn(page).count()
    assert before < len(LONG) / 4
    box = page.locator(".panel.chosen .text").first
    box.evaluate("box => { box.scrollTop = box.scrollHeight / 2; }")
    expect(drawn(page).nth(before + 500)).to_be_attached()


def test_the_cap_is_said_and_a_button_lifts_it(view):
    page = view(token_rows(chosen=LONG))
    drawn(page).first.focus()
    page.keyboard.press("End")
    expect(page.locator(".tip .quiet")).to_have_text(f"position {SHOWN - 1} of 0–{len(LONG) - 1}")
    more = page.locator(".panel.chosen .more").first
    expect(more).to_have_text(text("tokens.view.all", shown=SHOWN, count=len(LONG)))
    more.click()
    expect(page.locator(".panel.chosen .more")).to_have_count(0)
    page.locator(".panel.chosen .c[tabindex]").first.focus()
    page.keyboard.press("End")
    expect(page.locator(".tip .quiet")).to_have_text(f"position {len(LONG) - 1} of 0–{len(LONG) - 1}")


def test_keys_go_on_while_the_mouse_rests_on_the_text_that_they_scroll(view):
    page = view(token_rows(chosen=LONG))
    drawn(page).nth(40).hover()
    expect(page.locator(".tip .quiet")).to_have_text(f"position 40 of 0–{len(LONG) - 1}")
    drawn(page).first.focus()
    page.keyboard.press("End")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(page.locator(".tip .quiet")).to_have_text(f"position {SHOWN - 1} of 0–{len(LONG) - 1}")


def test_find_reaches_what_is_not_drawn_yet_even_beyond_the_cap(view):
    page = view(token_rows(chosen=LONG))
    box = page.get_by_role("searchbox")
    box.fill("the LAST")
    expect(page.locator(".find .quiet")).to_have_text("0 of 1")
    box.press("Enter")
    expect(page.locator(".panel.chosen .c.found")).to_have_text([" the last"] * 2)
    expect(page.locator(".panel.chosen .c.found").first).to_be_in_viewport()


def test_the_panels_of_a_row_scroll_together(view):
    page = view(token_rows(chosen=LONG))
    boxes = page.locator(".panel.chosen .text")
    boxes.first.evaluate("box => { box.scrollTop = 900; }")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.panel.chosen .text')].every(box => Math.abs(box.scrollTop - 900) < 2)"
    )


def test_the_tip_shows_the_numbers_that_were_given(view):
    rows = token_rows(chosen=(b"a", b" b", b" c"), ratio=0.00123)
    page = view(rows)
    drawn(page).nth(2).hover()
    expect(page.locator(".tip .row span:last-child")).to_have_text(["−0.0004", "−0.0007"])
    page = view(rows, color="entropy")
    drawn(page).first.hover()
    expect(page.locator(".tip .row span:last-child")).to_have_text(["0.5000", "0.5000"])


BOXES = """() => [".tip", ".panel .c"].flatMap(name => [...document.querySelectorAll(name)]).map(element => {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return [left, right, top, bottom];
})"""


def overlap(first, second):
    return max(0, min(first[1], second[1]) - max(first[0], second[0])) * max(
        0, min(first[3], second[3]) - max(first[2], second[2])
    )


def test_the_tip_hides_none_of_two_short_responses_and_stays_in_the_window(view):
    page = view(token_rows(chosen=(b"one", b" two", b" three")))
    page.evaluate("() => { document.body.style.marginTop = '200px'; }")
    for side in ("chosen", "rejected"):
        for token in drawn(page, side).all():
            token.hover()
            expect(page.locator(".tip")).to_be_visible()
            tip, *texts = page.evaluate(BOXES)
            assert [box for box in texts if overlap(tip, box)] == []
            assert 0 <= tip[0] <= tip[1] <= 1200
            assert 0 <= tip[2] <= tip[3] <= 900


def test_the_ring_of_a_token_lies_within_it(view):
    page = view(token_rows(chosen=(b"one", b" two", b" three")))
    drawn(page).nth(1).click()
    picked = page.locator(".panel.chosen .c.picked").first
    look = "span => { const s = getComputedStyle(span); return [s.outlineWidth, s.outlineOffset, s.boxShadow].join(); }"
    width, offset, shadow = picked.evaluate(look).split(",", 2)
    assert float(offset.removesuffix("px")) <= -float(width.removesuffix("px"))
    assert "inset" in shadow


def test_the_report_of_a_run_of_sums_runs_without_an_error(chromium, tmp_path):  # noqa: F811
    sums = {"chosen": -np.array([[50.0, 40.0], [52.0, 41.0]]), "rejected": -np.array([[60.0, 50.0], [70.0, 51.0]])}
    write_report(dpo.import_run(sums, out=tmp_path / "run", reference_checkpoint=0), tmp_path / "report.html")
    wrong, page = [], chromium.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator("footer")).to_be_visible()
    page.close()
    assert wrong == []


def test_an_export_has_no_keys_for_pairs_and_lists_the_others(view):
    page = view(token_rows())
    drawn(page).first.focus()
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(page.locator(".help .quiet")).to_be_visible()
    expect(page.locator(".help")).not_to_contain_text("j / k")


def test_letters_stay_joined_and_a_split_character_is_one_cell(view):
    halves = ["好".encode()[:1], "好".encode()[1:]]
    page = view(token_rows(chosen=("مر".encode(), "حبا".encode(), *halves)), marks=True, most=True)
    joined = page.locator(".panel.chosen").first.locator(".c")
    expect(joined).to_have_text(["مر", "حبا", "好"])
    for side in ("padding", "border-width", "margin"):
        expect(joined.first).to_have_css(side, re.compile("^0px"))
    assert joined.first.evaluate("span => getComputedStyle(span).display") == "inline"

"""The token view in a real browser: units, find, the 80 % switch, keys from pair to pair, links that restore it all."""

import re

import pytest

from dpo_analysis.words import text
from tests.app import synthetic
from tests.app.test_browser import CHROMIUM, address, chromium, eventually, expect, settle, tab  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
PAIR = synthetic.pair(3, "eval").pair.pair_id
PATH = f"tokens?run=whole&pair={PAIR}&at=strong/checkpoint-60&at=strong/checkpoint-300"


def pair_of(page):
    found = re.search(r"pair=(\w+)", page.url)
    return found and found[1]


def press(page, key, changed):
    """Press a key with a token in focus, until the URL is ``changed``; a redrawn page may have swallowed one."""
    spans = page.locator(".panel.chosen .c")

    def act():
        if not re.search(changed, page.url):
            spans.first.focus()
            page.keyboard.press(key)

    eventually(act, lambda: expect(page).to_have_url(re.compile(changed), timeout=8000))
    settle(page, plots=1)


def test_a_unit_is_one_hover_and_one_click_target_with_the_sum_of_its_tokens(tab):  # noqa: F811
    page = tab(PATH)
    spans = page.locator(".panel.rejected >> nth=0").locator(".c")
    expect(spans.first).to_be_visible()
    tokens = spans.count()
    again = tab(f"{PATH}&unit=sentence")
    units = again.locator(".panel.rejected >> nth=0").locator(".c")
    expect(units.first).to_be_visible()
    assert units.count() < tokens
    assert "".join(units.all_text_contents()) == "".join(spans.all_text_contents())
    tip = again.locator(".tip")
    eventually(lambda: (again.mouse.move(0, 0), units.first.hover()), lambda: expect(tip).to_be_visible(timeout=3000))
    expect(tip.locator(".quiet")).to_have_text(re.compile(r"^positions 0–\d+ of 0–\d+$"))
    units.first.click()
    expect(again).to_have_url(re.compile("token=rejected-0"))


def test_the_selector_of_units_writes_the_url_and_the_view_follows(tab):  # noqa: F811
    page = tab(PATH)
    page.get_by_role("combobox", name=re.compile(text("tokens.unit"))).click()
    page.get_by_role("option", name=text("tokens.unit.line"), exact=True).click()
    expect(page).to_have_url(re.compile("unit=line"))
    expect(page.locator(".legend")).to_contain_text(text("tokens.unit.sum", unit="line"))


def test_find_marks_every_match_in_every_panel_and_enter_goes_to_the_next(tab):  # noqa: F811
    page = tab(PATH)
    box, count = page.get_by_label(text("tokens.view.find")), page.locator(".find .quiet")
    box.fill("ANYTHING else")
    expect(count).to_have_text("0 of 1")
    expect(page.locator(".panel.rejected >> nth=1").locator(".c.found").first).to_be_visible()
    found = "".join(page.locator(".panel.rejected >> nth=0").locator(".c.found").all_text_contents())
    assert "anything else" in found
    expect(page.locator(".panel.chosen .c.found")).to_have_count(0)
    box.press("Enter")
    expect(count).to_have_text("1 of 1")
    expect(page.locator(".tip")).to_be_visible()
    box.fill("no such words")
    expect(count).to_have_text(text("tokens.view.nowhere"))
    expect(page.locator(".c.found")).to_have_count(0)
    box.press("Escape")
    expect(count).to_have_text("")


def test_j_and_k_turn_to_the_next_pair_and_back_and_the_browsers_back_returns(tab):  # noqa: F811
    page = tab(PATH)
    chosen = page.locator(".panel.chosen .text").first
    before = chosen.text_content()
    press(page, "j", f"pair=(?!{PAIR})")
    second = pair_of(page)
    expect(chosen).not_to_have_text(before)
    press(page, "j", f"pair=(?!{PAIR}|{second})")
    page.go_back()
    expect(page).to_have_url(re.compile(f"pair={second}"))
    settle(page, plots=1)
    press(page, "k", f"pair={PAIR}")
    expect(chosen).to_have_text(before)


def test_keys_work_where_nothing_has_the_focus(tab):  # noqa: F811
    page = tab(PATH)
    page.wait_for_function("document.activeElement === document.body")

    def act():
        page.keyboard.press("n")

    eventually(act, lambda: expect(page.locator(".panel.chosen .c:focus").first).to_be_visible(timeout=8000))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(f"pair=(?!{PAIR})"))


def test_the_keyboard_stays_in_the_view_from_pair_to_pair(tab):  # noqa: F811
    page = tab(PATH)
    press(page, "j", f"pair=(?!{PAIR})")
    second = pair_of(page)

    def act():
        if f"pair={second}" in page.url:
            page.keyboard.press("j")

    eventually(act, lambda: expect(page).to_have_url(re.compile(f"pair=(?!{PAIR}|{second})"), timeout=8000))


def test_keys_that_come_faster_than_pages_end_at_the_pair_that_the_url_names(tab):  # noqa: F811
    page = tab(PATH)
    page.locator(".panel.chosen .c").first.focus()
    for key in "jjkjjk":
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    page.go_back()
    page.keyboard.press("k")
    shown = page.locator(".panel.chosen .text").first

    def same():
        settle(page, plots=1)
        again = tab(page.url.split("/", 3)[3])
        expect(shown).to_have_text(again.locator(".panel.chosen .text").first.text_content(), timeout=3000)

    eventually(lambda: page.wait_for_timeout(1000), same)


@pytest.mark.parametrize("how", ["keys", "clicks"])
def test_no_press_is_lost_while_a_page_is_computed(tab, how):  # noqa: F811
    page = tab("tokens?run=whole")
    selector = page.get_by_role("combobox", name=re.compile(re.escape(text("tokens.pair"))))
    expect(selector).to_have_value(re.compile(r"^1\."))
    if how == "keys":
        page.locator(".panel.chosen .c").first.focus()
        for key in "jjjjjjkjj":
            page.keyboard.press(key)
    else:
        press = "() => document.querySelector('.st-key-go_chevron_right button').click()"
        for _ in range(7):
            page.evaluate(press)
    expect(selector).to_have_value(re.compile(r"^8\."))


def test_the_switches_dim_the_rest_and_mark_what_differs(tab):  # noqa: F811
    page = tab(PATH)
    expect(page.locator(".panel .most")).to_have_count(0)
    page.get_by_text(text("tokens.most"), exact=True).click()
    expect(page).to_have_url(re.compile("most=1"))
    expect(page.locator(".panel .most")).to_have_count(4)
    expect(page.locator(".panel.rejected .c.quiet").first).to_be_visible()
    expect(page.locator(".legend")).to_contain_text(text("tokens.most.rule"))
    page.get_by_text(text("tokens.marks"), exact=True).click()
    expect(page).to_have_url(re.compile("marks=1"))
    expect(page.locator(".panel .c.other").first).to_be_visible()
    expect(page.locator(".legend .other")).to_have_text(text("tokens.marks.other"))


def test_a_copied_link_restores_all_of_it(tab):  # noqa: F811
    query = "&unit=word&marks=1&most=1&scale=run&color=credit&token=chosen-3&under=strong/checkpoint-60"
    page = tab(PATH + query)
    shown = page.locator(".token-view").inner_text()
    legend = page.locator(".legend")
    for words in (text("tokens.unit.sum", unit="word"), text("tokens.marks.other"), text("tokens.most.rule")):
        expect(legend).to_contain_text(words)
    expect(legend).to_contain_text(text("tokens.scale.run.about", pairs=24))
    expect(legend).to_contain_text(text("tokens.color.credit.meaning", base=""))
    expect(page.locator(".panel.chosen .c.picked").first).to_be_visible()
    expect(page.get_by_role("heading", name=text("tokens.gain.title"))).to_be_visible()
    again = tab(page.url.split("/", 3)[3])
    expect(again.locator(".c.picked")).to_have_count(page.locator(".c.picked").count())
    assert again.locator(".token-view").inner_text() == shown


def test_the_walk_by_keyboard_alone_from_the_selector_to_the_gains_of_a_token(tab):  # noqa: F811
    page = tab(PATH)
    selector = page.get_by_role("combobox", name=re.compile(re.escape(text("tokens.pair"))))
    selector.focus()
    expect(selector).to_be_focused()
    first = page.locator(".panel.rejected .c").first

    def walk():
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(FOCUS) == "token-view":
                return

    def inside():
        assert page.evaluate(FOCUS) == "token-view"
        return True

    eventually(walk, inside)
    first.focus()
    page.keyboard.press("n")
    expect(page.locator(".tip")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("token=rejected-"))
    expect(page.get_by_role("heading", name=text("tokens.gain.title"))).to_be_visible()
    expect(page.locator(".spoken")).to_have_text(re.compile("position"))


FOCUS = """() => {
  let here = document.activeElement;
  while (here && here.shadowRoot && here.shadowRoot.activeElement) here = here.shadowRoot.activeElement;
  return here && here.closest(".token-view") ? "token-view" : "";
}"""


def test_the_list_of_keys_opens_with_a_question_mark_and_names_the_pair_keys(tab):  # noqa: F811
    page = tab(PATH)
    page.locator(".panel.chosen .c").first.focus()
    page.keyboard.press("?")
    expect(page.locator(".help")).to_contain_text(text("tokens.view.pairs"))
    expect(page.locator(".help .quiet")).to_be_visible()


def test_every_panel_is_a_named_group_and_a_token_in_focus_has_a_ring(tab):  # noqa: F811
    page = tab(PATH)
    names = [panel.get_attribute("aria-label") for panel in page.get_by_role("group").all()]
    wanted = [f"{text(f'side.{side}')}, step {step}, " for side in ("chosen", "rejected") for step in (60, 300)]
    assert [name for name in names if name and name.startswith(tuple(wanted))] != []
    assert all(any(name and name.startswith(start) for name in names) for start in wanted)
    token = page.locator(".panel.chosen .c").first
    token.focus()
    expect(token).to_have_css("outline-style", "solid")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("width", [1024, 1440])
def test_four_checkpoints_fit_beside_each_other(tab, width, locale):  # noqa: F811
    four = "&".join(f"at=strong/checkpoint-{step}" for step in (60, 120, 180, 300))
    page = tab(f"tokens?run=whole&pair={PAIR}&{four}&marks=1&most=1", width=width, locale=locale)
    expect(page.locator(".panel")).to_have_count(8)
    main = page.get_by_test_id("stMain")

    def fits():
        assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 0
        widths = page.locator(".panel").evaluate_all("panels => panels.map(panel => panel.clientWidth)")
        assert min(widths) >= 200
        return True

    assert eventually(lambda: page.wait_for_timeout(100), fits)

"""Causes, Pairs, Compare, Checks and Details in a real browser: both looks, links that restore, Back, hostile text."""

import re

import pytest

from dpo_analysis.words import text
from tests.app import synthetic
from tests.app.test_browser import CHROMIUM, PLOTS, address, chromium, eventually, expect, settle, tab  # noqa: F401

NEW = ("causes", "pairs", "compare", "checks", "details")
TITLES = {"causes": "causes.title.rose"}
"""Titles of pages of a run that has too few pairs to say why its reward fell."""
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]


def settled(page, name):
    settle(page, plots=PLOTS[name])
    return page


def pick(page, place, changed):
    """Select the row at ``place`` of the page's first table, until the URL is ``changed``."""
    table = page.locator('[data-testid="stDataFrame"]').first

    def act():
        if not re.search(changed, page.url):
            table.scroll_into_view_if_needed()
            box = table.bounding_box()
            page.mouse.click(box["x"] + 18, box["y"] + 35 * (place + 1.5))

    eventually(act, lambda: expect(page).to_have_url(re.compile(changed), timeout=4000))


@pytest.mark.parametrize(("scheme", "locale", "lang"), [("light", "en-US", "en"), ("dark", "zh-CN", "zh")])
@pytest.mark.parametrize("name", NEW)
def test_a_page_opens_in_the_browsers_language_and_theme(tab, name, scheme, locale, lang):  # noqa: F811
    page = settled(tab(f"{name}?run=whole", scheme=scheme, locale=locale, width=1024), name)
    expect(page.locator("h1")).to_have_text(text(TITLES.get(name, f"{name}.title"), lang))
    expect(page.locator('[data-testid="stException"], [data-testid="stAlertContentError"]')).to_have_count(0)
    main = page.locator('[data-testid="stMain"]')
    assert main.evaluate("element => element.scrollWidth - element.clientWidth") <= 0


def test_a_filtered_pair_opens_and_back_returns_to_the_filter(tab):  # noqa: F811
    page = settled(tab("pairs?run=whole"), "pairs")
    steps = page.evaluate("history.length")
    page.get_by_text(text("pairs.filter.both_fell"), exact=True).click()
    expect(page).to_have_url(re.compile("filter=both_fell"))
    settled(page, "pairs")
    page.get_by_label(text("pairs.search")).fill("question")
    page.get_by_label(text("pairs.search")).press("Enter")
    expect(page).to_have_url(re.compile("find=question"))
    settled(page, "pairs")
    assert page.evaluate("history.length") == steps, "filters are no steps for Back"
    pick(page, 0, r"/tokens\?.*pair=")
    page.go_back()
    expect(page).to_have_url(re.compile(r"/pairs\?.*filter=both_fell.*find=question"))
    expect(page.locator("h1")).to_have_text(text("pairs.title"))
    expect(page.get_by_label(text("pairs.search"))).to_have_value("question")


def test_a_box_in_the_scatter_filters_the_table_and_its_link_restores_it(tab):  # noqa: F811
    page = settled(tab("pairs?run=whole&pairs-tab=map"), "pairs")
    plot = page.locator(".js-plotly-plot .nsewdrag").first

    def drag():
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.6, steps=6)
        page.mouse.up()

    eventually(drag, lambda: expect(page).to_have_url(re.compile("box="), timeout=4000))
    line = page.get_by_text(re.compile(r"\d+ of 14 pairs match"))
    expect(line).not_to_contain_text("14 of 14")
    again = settled(tab(page.url.split("/", 3)[3]), "pairs")
    expect(again.get_by_text(line.inner_text(), exact=True)).to_be_visible()
    again.get_by_role("button", name=text("pairs.clear")).click()
    expect(again).not_to_have_url(re.compile("box="))
    expect(again.get_by_text(re.compile("14 of 14 pairs match"))).to_be_visible()


def test_a_row_of_compare_shows_its_pair_and_back_the_one_before(tab):  # noqa: F811
    page = settled(tab("compare?run=whole&a=gentle/checkpoint-60&b=strong/checkpoint-300"), "compare")
    pick(page, 1, "pair=")
    first = re.search(r"pair=(\w+)", page.url)[1]
    settled(page, "compare")
    pick(page, 3, f"pair=(?!{first})")
    expect(page.locator(".panel.chosen")).to_have_count(2)
    page.go_back()
    expect(page).to_have_url(re.compile(f"pair={first}"))
    page.get_by_role("button", name=text("compare.open")).click()
    expect(page).to_have_url(re.compile(rf"/tokens\?.*pair={first}"))


def test_the_link_of_a_comparison_restores_it(tab):  # noqa: F811
    query = "run=whole&other=lone&b=gentle/checkpoint-60&judge=ranking&measure=chosen&bare=1&outcome=both&lang=zh"
    page = settled(tab(f"compare?{query}"), "compare")
    chosen = page.locator('[data-testid="stMain"] [data-testid="stSelectbox"] input')
    values = [chosen.nth(place).input_value() for place in range(chosen.count())]
    shown = " ".join([*values, page.locator('[data-testid="stMain"]').inner_text()])
    assert text("compare.criterion.ranking", "zh") in shown
    assert text("compare.tab.reference", "zh") in shown
    expect(page.get_by_text(re.compile("平均变化（nats）"))).to_be_visible()
    expect(page.get_by_role("button", name=text("compare.outcome.both", "zh"), pressed=True)).to_be_visible()


@pytest.mark.parametrize(
    "path",
    [
        *("pairs?run=whole", "pairs?run=whole&pairs-tab=answers", "compare?run=whole"),
        *("checks?run=whole&check=empty", "details?run=whole"),
    ],
)
def test_hostile_text_is_shown_and_never_obeyed(tab, path):  # noqa: F811
    page = settled(tab(path), path.partition("?")[0])
    assert page.title() == "dpo-analysis"
    foreign = page.locator("img[src*=invalid], iframe[srcdoc], [data-testid=stMain] script, a[href^=javascript]")
    expect(foreign).to_have_count(0)
    if "answers" in path:
        cards = page.get_by_test_id("stHtml").filter(has_text=synthetic.HOSTILE[0])
        expect(cards.first).to_be_visible()

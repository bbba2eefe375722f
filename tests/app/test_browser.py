"""The app in a real browser: both pages in both themes and languages, the walk from fall to token, hostile text."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from dpo_analysis.launcher import RUN_VARIABLE, free_port
from dpo_analysis.words import text
from tests.app import synthetic

playwright = pytest.importorskip("playwright.sync_api")
ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
PATIENCE = 30_000


@pytest.fixture(scope="module")
def address(runs):
    port = free_port()
    line = [sys.executable, "-m", "dpo_analysis", "app", str(runs), "--no-browser", "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != RUN_VARIABLE}
    server = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{port}/_stcore/health")
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(timeout=20)


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, address):
    """Open a page; afterwards no script may have failed and no request may have left this machine."""
    tabs, away, errors = [], [], []

    def show(path, *, width=1440, scheme="light", locale="en-US"):
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, locale=locale)
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: away.append(request.url) if foreign(request.url, address) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}"))
        page.goto(f"{address}/{path}")
        page.locator("h1").first.wait_for()
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        tabs.append(page)
        return page

    yield show
    for page in tabs:
        page.close()
    assert away == []
    assert errors == []


def foreign(url, address):
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


def wait_for(url):
    for _ in range(120):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{url} does not answer")


def text_of(page, selector):
    page.locator(selector).first.wait_for()
    return page.locator(selector).all_inner_texts()


@pytest.mark.parametrize(("scheme", "locale", "lang"), [("light", "en-US", "en"), ("dark", "zh-CN", "zh")])
@pytest.mark.parametrize("name", ["overview", "tokens"])
def test_a_page_opens_in_the_browsers_language_and_theme(tab, name, scheme, locale, lang):
    page = tab("?run=whole" if name == "overview" else "tokens?run=whole", scheme=scheme, locale=locale)
    assert text_of(page, "h1") == [text(f"{name}.title", lang)]
    page.locator(".js-plotly-plot").last.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0
    background = page.locator(".js-plotly-plot .main-svg").first.evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}[scheme]


@pytest.mark.parametrize("width", [1280, 1440])
@pytest.mark.parametrize("path", ["?run=whole", "tokens?run=whole&token=rejected-2"])
def test_nothing_is_wider_than_the_window(tab, path, width):
    page = tab(path, width=width)
    page.locator(".js-plotly-plot").last.wait_for()
    main = page.locator('[data-testid="stMain"]')
    assert main.evaluate("element => element.scrollWidth - element.clientWidth") <= 0


def test_hover_is_linked_and_lists_every_checkpoint(tab):
    page = tab("tokens?run=whole")
    page.locator(".panel.rejected .c").nth(3).hover()
    assert page.locator(".c.hover").count() == 3
    assert [line.split()[:2] for line in text_of(page, ".tip .row")] == [
        ["step", "60"],
        ["step", "180"],
        ["step", "300"],
    ]
    assert page.locator(".tip .row.here").count() == 1


def test_a_split_character_lists_each_of_its_tokens_with_bytes(tab):
    key = next(pair.pair.pair_id for pair in (synthetic.pair(n, "eval") for n in range(12)) if "天津" in pair.chosen)
    page = tab(f"tokens?run=whole&pair={key}")
    split = page.locator(".panel.chosen .c[style*=gradient]").first
    split.hover()
    shown = page.locator(".tip").inner_text()
    assert shown.count("position") >= 2
    assert "bytes e" in shown


def test_the_walk_from_the_overview_to_a_token_and_back(tab):
    page = tab("?run=whole")
    table = page.locator('[data-testid="stDataFrame"]').first
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 35 * 1.5 + 18)
    page.wait_for_url("**/tokens?**pair=**")
    page.locator(".panel.chosen .c").nth(2).click()
    page.wait_for_url("**token=chosen-*")
    page.get_by_role("heading", name=text("tokens.path.title")).wait_for()
    again = tab(page.url.partition("/")[2].partition("/")[2].partition("/")[2])
    again.locator(".c.picked").first.wait_for()
    assert text_of(again, ".panel.chosen .c.picked") == text_of(page, ".panel.chosen .c.picked")
    while "/tokens" in page.url:
        page.go_back()
        page.wait_for_timeout(500)
    page.get_by_role("heading", name=text("overview.title")).wait_for()


def test_the_keyboard_reaches_the_strongest_token_and_selects_it(tab):
    page = tab("tokens?run=whole")
    page.locator(".panel.rejected .c").first.focus()
    page.keyboard.press("n")
    strongest = page.locator(".tip .row.here").inner_text()
    page.keyboard.press("n")
    assert value(strongest) >= value(page.locator(".tip .row.here").inner_text())
    page.keyboard.press("p")
    assert page.locator(".tip .row.here").inner_text() == strongest
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**token=rejected-*")
    assert page.locator(".spoken").inner_text()


def value(line):
    return abs(float(line.split()[-1].replace("\u2212", "-")))


def test_beta_language_and_pair_go_into_the_url(tab):
    page = tab("tokens?run=whole")
    before = text_of(page, ".panel .total")
    page.get_by_role("slider").first.press("End")
    page.wait_for_url("**beta=1**")
    page.wait_for_function("before => document.querySelector('.stMain').innerText.length > 0", arg=before)
    page.get_by_text("中文").click()
    page.get_by_role("heading", name=text("tokens.title", "zh")).wait_for()
    page.get_by_role("button").filter(has=page.get_by_text("chevron_right")).click()
    page.wait_for_url("**pair=**")
    assert "lang=zh" in page.url


def test_figures_follow_when_the_theme_changes(tab):
    page = tab("?run=whole")
    page.locator(".js-plotly-plot").last.wait_for()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot .main-svg:first-child')]"
        ".every(svg => getComputedStyle(svg).backgroundColor === 'rgb(14, 17, 23)')"
    )


def test_hostile_text_is_shown_and_never_obeyed(tab):
    page = tab("tokens?run=whole")
    page.get_by_text(text("tokens.prompt"), exact=True).click()
    seen = [chosen_text(page, "")]
    while len(seen) < len(synthetic.HOSTILE):
        page.get_by_role("button").filter(has=page.get_by_text("chevron_right")).click()
        seen.append(chosen_text(page, seen[-1]))
        assert page.title() == "dpo-analysis"
        assert page.locator("img[src*=invalid], iframe[srcdoc], .panel script, .panel b b, .panel a").count() == 0
    assert [words for words in synthetic.HOSTILE if plain(words)[:10] not in plain("".join(seen))] == []


def chosen_text(page, before):
    """What the first panel shows, once it is something else than ``before``."""
    for _ in range(100):
        shown = (page.locator(".panel.chosen .text").first.text_content() or "").replace("↵", "").replace("·", " ")
        if shown != before:
            return shown
        page.wait_for_timeout(100)
    raise AssertionError("the text did not change")


def plain(words):
    """Letters and digits only: what is left when spaces, marks and escapes are shown in their own way."""
    return "".join(letter for letter in words if letter.isalnum() and letter.isascii())


def test_a_link_to_what_is_not_there_says_so(tab):
    page = tab("tokens?run=whole&pair=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    page.get_by_text("<img src=x onerror=alert(1)>").wait_for()
    assert page.locator("img[src=x]").count() == 0


def test_a_run_that_is_still_scored_refreshes_by_itself(tab, runs, tmp_path):
    page = tab("?run=partial")
    page.get_by_text("parts are there").wait_for()
    before = page.locator('[data-testid="stAlert"]').first.inner_text()
    whole = synthetic.build(tmp_path / "whole", series=["gentle"])
    for part in whole.glob("scores/*/*/part-00001.parquet"):
        shutil.copy(part, runs / "partial" / part.relative_to(whole))
    page.wait_for_function("before => !document.body.innerText.includes(before)", arg=before)

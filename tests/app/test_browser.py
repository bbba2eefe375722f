"""The app in a real browser: both pages in both themes and languages, the walk from fall to token, hostile text.

Nothing is read at once: every claim waits for its condition, so a slow machine takes longer and fails nothing.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dpo_analysis.cli.launcher import RUN_VARIABLE
from dpo_analysis.runs import open_run
from dpo_analysis.runs.live.live_lock import WATCH, hold_live_lock
from dpo_analysis.words import text
from tests.app import synthetic
from tests.servers import own_port, wait_for

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
PATIENCE = 60_000
"""Milliseconds that a condition may take to come true."""
PLOTS = {"": 1, "overview": 1, "tokens": 1, "causes": 0, "pairs": 0, "compare": 0, "checks": 0, "details": 0}


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    port = own_port()
    line = [sys.executable, "-m", "dpo_analysis", "app", str(runs), "--no-browser", "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != RUN_VARIABLE}
    told = tmp_path_factory.mktemp("server") / "told.txt"
    with told.open("wb") as output:
        server = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, told, PATIENCE / 500)
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        server.wait(timeout=PATIENCE / 1000)


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as tools:
        expect.set_options(timeout=PATIENCE)
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, address):
    """Open a page and let it settle; afterwards no script may have failed, no request may have left this machine."""
    tabs, away, errors = [], [], []

    def show(path, *, width=1440, scheme="light", locale="en-US"):
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, locale=locale)
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: away.append(request.url) if foreign(request.url, address) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}"))
        page.goto(f"{address}/{path}")
        settle(page, plots=PLOTS[path.partition("?")[0]])
        tabs.append(page)
        return page

    yield show
    for page in tabs:
        page.close()
    assert away == []
    assert errors == []


def foreign(url, address):
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))


SETTLED = """least => {
  const theme = getComputedStyle(document.querySelector('.stApp') || document.body).backgroundColor;
  const plots = [...document.querySelectorAll('.js-plotly-plot .main-svg:first-child')];
  return document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    && document.querySelector('h1')
    && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]')
    && plots.length >= least
    && plots.every(plot => getComputedStyle(plot).backgroundColor === theme);
}"""


def settle(page, *, plots=0):
    """Wait until the script rests, nothing on the page is of an earlier pass, and the figures have the page's theme."""
    page.wait_for_function(SETTLED, arg=plots)


def eventually(act, claim):
    """Do ``act`` until ``claim`` holds: the page may be drawn anew between the two, which undoes a hover."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        act()
        try:
            return claim()
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def hover(page, token):
    """Lay the mouse on a token and wait for its tip, which is returned."""
    tip = page.locator(".tip")

    def act():
        page.mouse.move(0, 0)
        token.hover()

    eventually(act, lambda: expect(tip).to_be_visible(timeout=3000))
    return tip


def next_pair(page):
    page.get_by_role("button").filter(has=page.get_by_text("chevron_right")).click()


@pytest.mark.parametrize(("scheme", "locale", "lang"), [("light", "en-US", "en"), ("dark", "zh-CN", "zh")])
@pytest.mark.parametrize("name", ["overview", "tokens"])
def test_a_page_opens_in_the_browsers_language_and_theme(tab, name, scheme, locale, lang):
    page = tab("?run=whole" if name == "overview" else "tokens?run=whole", scheme=scheme, locale=locale)
    expect(page.locator("h1")).to_have_text([text(f"{name}.title", lang)])
    background = {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}[scheme]
    for plot in page.locator(".js-plotly-plot .main-svg:first-child").all():
        expect(plot).to_have_css("background-color", background)
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 1440])
@pytest.mark.parametrize("path", ["?run=whole", "tokens?run=whole&token=rejected-2"])
def test_nothing_is_wider_than_the_window(tab, path, width):
    page = tab(path, width=width)
    main = page.get_by_test_id("stMain")

    def fits():
        assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 0
        return True

    assert eventually(lambda: page.wait_for_timeout(100), fits)


def test_hover_is_linked_and_lists_every_checkpoint(tab):
    page = tab("tokens?run=whole")
    tip = hover(page, page.locator(".panel.rejected .c").nth(3))
    expect(page.locator(".c.hover")).to_have_count(3)
    expect(tip.locator(".row span:first-child")).to_have_text(["step 60", "step 180", "step 300"])
    expect(tip.locator(".row span:last-child")).to_have_text([re.compile(r"^[+\u2212]\d\.\d{4}$")] * 3)
    expect(tip.locator(".row.here")).to_have_count(1)


def test_a_split_character_lists_each_of_its_tokens_with_bytes(tab):
    key = next(pair.pair.pair_id for pair in (synthetic.pair(n, "eval") for n in range(12)) if "天津" in pair.chosen)
    page = tab(f"tokens?run=whole&pair={key}")
    tip = hover(page, page.locator(".panel.chosen .c[style*=gradient]").first)
    expect(tip).to_have_text(re.compile(r"position.*bytes e.*position.*bytes", re.S))


def test_the_walk_from_the_overview_to_a_token_and_back(tab):
    page = tab("?run=whole")
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    table.get_by_test_id("glide-cell-1-0").wait_for(state="attached")
    table.click(position={"x": 18, "y": 35 * 1.5})
    page.wait_for_url("**/tokens?**pair=**")
    settle(page, plots=1)
    page.locator(".panel.chosen .c").nth(2).click()
    page.wait_for_url("**token=chosen-*")
    page.get_by_role("heading", name=text("tokens.path.title")).wait_for()
    picked = page.locator(".panel.chosen .c.picked")
    expect(picked).to_have_count(3)
    again = tab(page.url.partition("/")[2].partition("/")[2].partition("/")[2])
    expect(again.locator(".panel.chosen .c.picked")).to_have_text(picked.all_text_contents())
    for _ in range(10):
        if "/tokens" not in page.url:
            break
        page.go_back()
        settle(page)
    page.get_by_role("heading", name=text("overview.title")).wait_for()


def test_the_keyboard_reaches_the_strongest_token_and_selects_it(tab):
    page = tab("tokens?run=whole")
    here, where = page.locator(".tip .row.here span:last-child"), page.locator(".tip .quiet")
    page.locator(".panel.rejected .c").first.focus()
    page.keyboard.press("End")
    expect(where).to_have_text(re.compile(r"position (\d+) of 0–\1"))
    last = where.text_content()
    page.keyboard.press("n")
    expect(where).not_to_have_text(last)
    strongest, place = value(here.text_content()), where.text_content()
    page.keyboard.press("n")
    expect(where).not_to_have_text(place)
    assert strongest >= value(here.text_content())
    page.keyboard.press("p")
    expect(where).to_have_text(place)
    page.keyboard.press("ArrowRight")
    expect(where).not_to_have_text(place)
    page.keyboard.press("Enter")
    page.wait_for_url("**token=rejected-*")
    expect(page.locator(".spoken")).to_have_text(re.compile(r"\w"))


def value(number):
    return abs(float(number.replace("\u2212", "-")))


def test_beta_language_and_pair_go_into_the_url(tab):
    page = tab("tokens?run=whole")
    total = page.locator(".panel.rejected .total").last
    before = total.text_content()
    page.get_by_role("slider").first.press("End")
    page.wait_for_url("**beta=1**")
    expect(total).not_to_have_text(before)
    page.get_by_text("中文").click()
    page.get_by_role("heading", name=text("tokens.title", "zh")).wait_for()
    settle(page, plots=1)
    next_pair(page)
    page.wait_for_url("**pair=**")
    expect(page).to_have_url(re.compile("lang=zh"))


def test_figures_follow_when_the_theme_changes(tab):
    page = tab("?run=whole")
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".stApp")).to_have_css("background-color", "rgb(14, 17, 23)")
    settle(page, plots=PLOTS["overview"])


def test_hostile_text_is_shown_and_never_obeyed(tab):
    page = tab("tokens?run=whole")
    page.get_by_text(text("tokens.prompt"), exact=True).click()
    panel, seen = page.locator(".panel.chosen .text").first, []
    for number in range(len(synthetic.HOSTILE)):
        if number:
            next_pair(page)
            expect(panel).not_to_have_text(seen[-1])
            settle(page, plots=1)
        seen.append(panel.text_content())
        expect(page).to_have_title("dpo-analysis")
        expect(page.locator("img[src*=invalid], iframe[srcdoc], .panel script, .panel b b, .panel a")).to_have_count(0)
    shown = plain("".join(seen))
    assert [words for words in synthetic.HOSTILE if plain(words)[:10] not in shown] == []


def plain(words):
    """Letters and digits only: what is left when spaces, marks and escapes are shown in their own way."""
    return "".join(letter for letter in words if letter.isalnum() and letter.isascii())


def test_a_link_to_what_is_not_there_says_so(tab):
    page = tab("tokens?run=whole&pair=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    page.get_by_text("<img src=x onerror=alert(1)>").wait_for()
    expect(page.locator("img[src=x]")).to_have_count(0)


def test_a_run_that_grows_refreshes_by_itself(tab, runs, tmp_path):
    page, told = tab("?run=partial"), lambda: open_run(runs / "partial").progress().values()
    notice = page.get_by_test_id("stAlert").first
    expect(notice).to_contain_text(text_of_progress(told()))
    whole = synthetic.build(tmp_path / "whole", series=["gentle"])
    for part in whole.glob("scores/*/*/part-00001.parquet"):
        shutil.copy(part, runs / "partial" / part.relative_to(whole))
    expect(notice).to_contain_text(text_of_progress(told()))


@pytest.mark.parametrize("path", ["/", "/tokens", "/_stcore/health", "/_stcore/metrics", "/_stcore/host-config"])
def test_a_foreign_host_or_origin_gets_400_on_every_path(path, address):
    port = address.rpartition(":")[2]
    for headers, status in [
        ({"Host": f"localhost:{port}"}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Host": f"127.0.0.1:{port}", "Origin": "http://localhost:1"}, 400),
    ]:
        connection = HTTPConnection("127.0.0.1", int(port), timeout=60)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        connection.close()


def test_a_checkpoint_of_a_running_training_appears_without_a_reload(tab, runs):
    live = runs / "live"
    synthetic.build(live, series=["gentle"], steps=[60])
    lock = hold_live_lock(live, WATCH)
    try:
        page = tab("?run=live")
        notice = page.get_by_test_id("stAlert").first
        expect(notice).to_contain_text("the last is from step 60")
        page.evaluate("window.sameDocument = true")
        synthetic.build(live, series=["gentle"], steps=[60, 120])
        expect(notice).to_contain_text("the last is from step 120")
        expect(page.locator(".stMainBlockContainer").get_by_text("step 120").first).to_be_visible()
    finally:
        lock.release()
    expect(page.get_by_text("New checkpoints appear here by themselves")).to_have_count(0)
    assert page.evaluate("window.sameDocument") is True


def text_of_progress(progress):
    done, whole = (sum(parts) for parts in zip(*progress, strict=True))
    return f"{done} of {whole} parts are done"

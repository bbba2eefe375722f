"""Nobody's text runs, calls out or restyles: in the report, opened from a file, and on every page of the app."""

import re

import pytest

import dpo_analysis as dpo
from dpo_analysis.report.report import ReportOptions, write_report
from tests.app import hostile
from tests.app.drawn import PAGES
from tests.app.test_browser import CHROMIUM, address, chromium, settle, tab  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
FOREIGN = (
    "img:not([src^='data:image/svg+xml']), iframe, a[href^=javascript], link[href*=invalid], base, object, embed, "
    "meta[http-equiv=refresh]"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    hostile.build(root)
    return root


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_of_hostile_text_is_text(runs, chromium, tmp_path, scheme):  # noqa: F811
    assert len(hostile.STRINGS) >= 20
    run = dpo.open_run(runs / hostile.NAME)
    ids = dpo.pair_table(run, split="eval").dropna(subset=["margin"])["pair_id"].unique().tolist()
    write_report(run, tmp_path / "report.html", ReportOptions(pair_ids=ids))
    asked, told = [], []
    page = chromium.new_page(color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("console", lambda message: told.append(message.text))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function(f"document.querySelectorAll('.pair .panel').length >= {len(ids)}")
    title = page.title()
    page.mouse.move(300, 300)
    page.keyboard.press("Tab")
    assert asked == [(tmp_path / "report.html").as_uri()]
    assert told == []
    assert hostile.NAME in title
    assert page.locator(FOREIGN).count() == 0
    assert page.locator("script").count() == len(ids) + 1
    assert page.locator("style").count() == 1
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    shown = plain(page.evaluate("document.body.textContent"))
    names = [*hostile.STRINGS, *hostile.SERIES, hostile.MODELS[120]]  # the report names last checkpoints alone
    assert [one for one in names if plain(one)[:10] not in shown] == []
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_of_a_hostile_run_is_text(tab, name):  # noqa: F811
    page = tab("" if name == "overview" else name)
    assert page.title() == "dpo-analysis"
    foreign = "img[src*=invalid], img[src^='data:x'], iframe[srcdoc], a[href^=javascript]"
    assert page.locator(foreign).count() == 0
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.locator('[data-testid="stException"]').count() == 0


def plain(words):
    """Letters and digits only: what is left when spaces, marks and escapes are shown in their own way."""
    return re.sub(r"[^A-Za-z0-9]", "", words)

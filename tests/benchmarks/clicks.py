"""What a reader clicks in the app, and how long the page takes to come to rest afterwards; used by ``app.py``."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page

from tests.app.drawn import PAGES

QUIET = 150
"""Milliseconds without a change of the page after which it is at rest."""
PATIENCE = 30_000
Use = Callable[[Page], list[float]]
"""Changes a widget, once or there and back, and returns the seconds of each change."""
WATCH = """
window.watched = { armed: false, start: 0, changed: 0, ran: false, idle: 0 };
const app = () => document.querySelector('[data-testid="stApp"]');
const note = (event) => {
  if (!watched.armed) return;
  Object.assign(watched, { armed: false, start: performance.now(), changed: 0, ran: false, idle: 0 });
};
for (const kind of ["click", "keydown"]) document.addEventListener(kind, note, true);
new MutationObserver((changes) => {
  const now = performance.now();
  if (changes.some((change) => change.attributeName === "data-test-script-state")) {
    watched.ran = true;  // changes come in batches, of which one may hold a whole run of the script
    if (app().dataset.testScriptState === "notRunning") watched.idle = now;
  }
  watched.changed = now;
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
"""
"""Runs before the page: notes the moment of the click it was armed for, of the last change, and of the script's end."""
RESTS = """quiet => document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]')
  && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"], [data-testid="stStatusWidget"]')
  && (!window.watched || performance.now() - watched.changed > quiet)"""
DONE = f"quiet => watched.start && watched.ran && watched.idle && ({RESTS})(quiet)"
SPENT = "() => (Math.max(watched.changed, watched.idle) - watched.start) / 1000"


class Missing(Exception):
    """The app that is measured has no such widget."""


def rest(page: Page) -> None:
    """Wait until the page is at rest."""
    page.wait_for_function(RESTS, arg=QUIET, timeout=PATIENCE)
    page.wait_for_timeout(QUIET)
    page.wait_for_function(RESTS, arg=QUIET, timeout=PATIENCE)


def timed(page: Page, act: Callable[[], object]) -> float:
    """Do ``act``, and return the seconds from its click or key to the last change of the page before it rests."""
    page.evaluate("Object.assign(watched, { armed: true, start: 0 })")
    act()
    page.wait_for_function(DONE, arg=QUIET, timeout=PATIENCE, polling=20)
    return page.evaluate(SPENT)


def switch(page: Page, name: str) -> float:
    """Turn to a page by its link in the sidebar."""
    links = page.locator('[data-testid="stSidebar"] [data-testid="stPageLink-NavLink"]')
    return timed(page, links.nth(PAGES.index(name)).click)


def found(page: Page, selector: str) -> Locator:
    """Return what the selector finds.

    Raises:
        Missing: there is nothing.
    """
    elements = page.locator(f'[data-testid="stMain"] {selector}, [data-testid="stSidebar"] {selector}')
    if not elements.count():
        raise Missing(selector)
    return elements


def press(selector: str, *places: int) -> Use:
    """Return a use of a row of buttons or tabs: those at ``places`` are pressed one after the other."""

    def use(page: Page) -> list[float]:
        elements = found(page, selector)
        return [timed(page, elements.nth(place).click) for place in places]

    return use


def select(name: str, *places: int) -> Use:
    """Return a use of a selector: the options at ``places`` are chosen one after the other."""

    def use(page: Page) -> list[float]:
        box, spent = found(page, f".st-key-w_{name} input").first, []
        for place in places:
            box.click()
            option = page.locator('[role="option"]').nth(place)
            option.wait_for()
            if option.get_attribute("aria-selected") == "true":
                page.keyboard.press("Escape")
                continue
            spent.append(timed(page, option.click))
        return spent

    return use


def beta(page: Page) -> list[float]:
    """Move the slider of beta to its next value, and back."""
    slider, spent = page.get_by_role("slider").first, []
    for key in ("ArrowRight", "ArrowLeft"):
        slider.focus()
        spent.append(timed(page, lambda key=key: page.keyboard.press(key)))
    return spent


def report(page: Page) -> float:
    """Download the report of the run from Overview."""
    button = found(page, '[data-testid="stDownloadButton"] button').first
    page.evaluate("Object.assign(watched, { armed: true, start: 0 })")
    with page.expect_download(timeout=PATIENCE) as download:
        button.click()
    download.value.path()
    spent = page.evaluate("() => (performance.now() - watched.start) / 1000")
    rest(page)
    return spent


TABS = '[data-testid="stTab"]'
WIDGETS: dict[str, dict[str, Use]] = {
    "overview": {
        "series": press(".st-key-w_series button", 1, 0),
        "tab": press(TABS, 2, 0),
        "split": press(".st-key-w_split button", 1, 0),
        "beta": beta,
    },
    "causes": {"checkpoint": select("model", 3, 4), "tab": press(TABS, 2, 0)},
    "pairs": {"filter": press(".st-key-w_filter button", 0, 0), "sort": select("sort", 2, 0)},
    "tokens": {
        "next pair, a new one": press(".st-key-go_chevron_right button", 0),
        "colour": select("color", 1, 0),
        "unit": select("unit", 1, 0),
    },
    "compare": {"checkpoint A": select("a", 3, 2)},
}
"""What a reader changes on each page, and how; what is changed is changed back, where that can be done."""

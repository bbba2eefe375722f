"""How the app feels: seconds from a click to the page at rest, in headless Chromium, for every page and widget.

``python -m tests.benchmarks.app RUN`` starts the app of this checkout with RUN, measures and prints a table.
``--before FOLDER`` measures a second checkout as well, the two in turn within one run, so that both see the same
machine. Everything is warm: every page and every value of a widget was drawn once before.

* A time runs from the click, or the key, to the last change of the page before it rests: the script does not run,
  nothing is left of an earlier pass, and nothing changed for ``QUIET`` milliseconds, which are not counted.
* The first page's time runs from the moment at which the app has printed its URL until Overview is drawn and at rest,
  in a browser that has never seen the app.
* The report's time runs from the click to the finished download.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.app.drawn import PAGES
from tests.benchmarks import clicks
from tests.benchmarks.clicks import WIDGETS, Missing, switch
from tests.benchmarks.clock import hardware
from tests.servers import own_port

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST, REPORT = "first page", "report downloaded"
FIRSTS, ROUNDS_A_REPORT = 3, 4
"""How often the first page is measured, and every how many rounds the report."""
START = 30
"""Seconds within which a started app answers."""
LIMITS = {"p50": 0.35, "p95": 0.8, FIRST: 4.0, REPORT: 3.0}
"""Seconds that it may take on two cores that do nothing else."""
MEASURED = ("streamlit", "plotly", "pandas", "numpy", "playwright")
Times = dict[str, list[float]]


@contextmanager
def served(checkout: Path, run: Path) -> Iterator[tuple[str, float]]:
    """Start the app of a checkout, and give its URL and the moment at which it was printed."""
    port = own_port()
    line = [sys.executable, "-m", "dpo_analysis", "app", str(run), "--no-browser", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    server = subprocess.Popen(line, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        told = next((text for text in server.stdout if "http://" in text), "")
        if not told:
            raise AssertionError(f"the app of {checkout} did not start")
        yield f"http://127.0.0.1:{port}", time.monotonic()
    finally:
        server.terminate()
        server.wait(timeout=30)


def first_page(browser: Browser, url: str, since: float) -> float:
    """Return the seconds from ``since`` until Overview is at rest in a browser that starts afresh."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    _reach(page, url)
    page.wait_for_function("document.querySelector('h1') && document.querySelector('.js-plotly-plot .main-svg')")
    clicks.rest(page)
    spent = time.monotonic() - since - clicks.QUIET / 1000
    page.close()
    return spent


def opened(browser: Browser, url: str) -> Page:
    """Return a page of the app at rest, in which every page and widget was used once."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page.add_init_script(clicks.WATCH)
    _reach(page, f"{url}/?lang=en")
    page.wait_for_function("document.querySelector('h1')")
    clicks.rest(page)
    for _ in range(2):
        one_round(page, {})
    return page


def _reach(page: Page, url: str) -> None:
    """Open a URL as soon as the app answers: it prints the URL a moment before the port is open."""
    deadline = time.monotonic() + START
    while True:
        try:
            page.goto(url)
        except Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def one_round(page: Page, times: Times) -> None:
    """Turn to every page by its link and use its widgets; the seconds go to ``times``."""
    for name in (*PAGES[1:], PAGES[0]):
        times.setdefault(f"turn to {name}", []).append(switch(page, name))
        for label, use in WIDGETS.get(name, {}).items():
            with suppress(Missing):
                times.setdefault(f"{name}: {label}", []).extend(use(page))


def measure(checkouts: dict[str, Path], run: Path, rounds: int) -> dict[str, Times]:
    """Return the times of every checkout, taken in turn."""
    times: dict[str, Times] = {name: {} for name in checkouts}
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for _ in range(FIRSTS):
            for name, checkout in checkouts.items():
                with served(checkout, run) as (url, since):
                    times[name].setdefault(FIRST, []).append(first_page(browser, url, since))
        with ExitStack() as stack, suppress(KeyboardInterrupt):  # the table is of the rounds so far
            urls = {name: stack.enter_context(served(checkout, run))[0] for name, checkout in checkouts.items()}
            pages = {name: opened(browser, url) for name, url in urls.items()}
            for turn in range(rounds):
                for name in pages if turn % 2 else reversed(pages):
                    one_round(pages[name], times[name])
                    if turn % ROUNDS_A_REPORT == 0:
                        times[name].setdefault(REPORT, []).append(clicks.report(pages[name]))
                print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return times


def table(times: dict[str, Times]) -> str:
    """Return the times as text: p50 and p95 of each checkout, then the ratio of the medians."""
    names, (last,) = list(times), list(times.values())[-1:]
    lines = [f"{'seconds, p50 / p95':<32}" + "".join(f"{name:>18}" for name in names) + f"{'ratio':>8}{'n':>5}"]
    for label in last:
        found = [np.percentile(one[label], [50, 95]) if one.get(label) else None for one in times.values()]
        cells = "".join(f"{'–' if pair is None else f'{pair[0]:.2f} / {pair[1]:.2f}':>18}" for pair in found)
        ratio = f"{found[-1][0] / found[0][0]:.2f}" if found[0] is not None and found[-1] is not None else "–"
        lines.append(f"{label:<32}{cells}{ratio:>8}{len(last[label]):>5}")
    return "\n".join([*lines, *_summary(times)])


def _summary(times: dict[str, Times]) -> list[str]:
    """Return a line for all turns of a page together, and one for all widgets."""
    lines = []
    for kind, belongs in (("all turns", _is_turn), ("all widgets", _is_widget)):
        pooled = [
            np.array([s for label, found in one.items() if belongs(label) for s in found]) for one in times.values()
        ]
        cells = "".join(f"{f'{np.percentile(a, 50):.2f} / {np.percentile(a, 95):.2f}':>18}" for a in pooled)
        ratio = np.median(pooled[-1]) / np.median(pooled[0])
        lines.append(f"{kind:<32}{cells}{ratio:>8.2f}{len(pooled[-1]):>5}")
    return lines


def _is_turn(label: str) -> bool:
    return label.startswith("turn to ")


def _is_widget(label: str) -> bool:
    return ": " in label


def misses(times: Times) -> list[str]:
    """Return what takes longer than ``LIMITS``, one line each."""
    lines = []
    for label, found in times.items():
        limits = {"p50": LIMITS[label]} if label in LIMITS else {name: LIMITS[name] for name in ("p50", "p95")}
        for name, limit in limits.items():
            spent = np.percentile(found, int(name[1:])) if found else 0.0
            if spent > limit:
                lines.append(f"{label}: {name} {spent:.2f} s, not {limit:g}")
    return lines


def main() -> None:
    """Measure and print; exit 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, help="a second checkout, measured in turn with this one")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    facts: dict[str, Any] = {"python": sys.version.split()[0]} | {name: version(name) for name in MEASURED}
    print(facts, hardware(), f"{given.rounds} rounds of {given.run}", sep="\n", flush=True)
    checkouts = ({"before": given.before.resolve()} if given.before else {}) | {"now": ROOT}
    times = measure(checkouts, given.run.resolve(), given.rounds)
    print(table(times))
    missed = misses(times["now"])
    print("\n".join(missed) or "every limit is held")
    print("load average at the end", [round(value, 2) for value in os.getloadavg()])
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

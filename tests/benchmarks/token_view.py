"""The token view beside a plain st.html of coloured spans and a Plotly heat map, in one headless Chromium.

    python tests/benchmarks/token_view.py --json tests/benchmarks/results/token-view.json

Every contender shows the same pairs, 2 sides x 3 checkpoints, in a tab of its own; the tabs take turns. Of each change
of the pair it counts the CPU time of the tab's renderer (all threads, from the click until it has painted and rests),
the main thread's tasks, and the bytes that came over the WebSocket; of a hover the time until layout is done, and the
main thread's tasks for a real move of the mouse. Ratios are medians of the rounds' ratios.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clock import hardware
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from dpo_analysis.cli.launcher import free_port

PAGE = Path(__file__).with_name("token_contenders.py")
CONTENDERS = ("component", "spans", "plotly")
SIZES = (600, 3000)
HOVERS = 40
CHROMIUM = "/usr/bin/chromium"
REST = """async () => {
  const frame = () => new Promise(requestAnimationFrame), idle = () => new Promise(done => requestIdleCallback(done));
  for (let i = 0; i < 3; i += 1) { await frame(); await idle(); }
}"""
DRAWN = """pair => document.querySelector(".st-key-drawn")?.textContent === `${pair}`"""
"""Cheap to ask, so that asking is not what is measured."""
HOVER = """(text, count) => {
  const cells = [...text.querySelectorAll(".c")], took = [];
  for (let i = 0; i < count; i += 1) {
    const event = new PointerEvent("pointerover", { bubbles: true, composed: true, clientX: i, clientY: 1 });
    const start = performance.now();
    cells[(i * 37) % cells.length].dispatchEvent(event);
    text.getBoundingClientRect();
    took.push(performance.now() - start);
  }
  return took.sort((a, b) => a - b)[Math.floor(count / 2)];
}"""
TARGETS = {"cpu to spans": {600: 1.2, 3000: 0.5}, "payload to spans": 0.25, "hover ms": 5.0}


@dataclass
class Tab:
    """One contender in one tab, and what came over its WebSocket."""

    kind: str
    page: Page
    session: CDPSession
    pair: int = 0
    received: int = 0
    rounds: list[dict[str, float]] = field(default_factory=list)
    hovers: dict[str, float] = field(default_factory=dict)

    def frame(self, event: dict[str, Any]) -> None:
        """Count a WebSocket message; binary ones are given in base64."""
        data = event["response"]["payloadData"]
        self.received += len(data) * 3 // 4 if event["response"]["opcode"] == 2 else len(data)

    def metrics(self) -> dict[str, float]:
        """The renderer's counters, seconds."""
        found = self.session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in found}

    def settled(self) -> None:
        """Wait until the pair is drawn, painted, and the renderer rests."""
        self.page.wait_for_function(DRAWN, arg=self.pair, polling=100)
        for _ in range(2):
            self.page.evaluate(REST)
            time.sleep(0.4)

    def change(self) -> None:
        """Turn to the next pair and keep what it cost."""
        before, seen, start = self.metrics(), self.received, time.perf_counter()
        self.page.get_by_role("button", name="Next pair").click()
        self.pair += 1
        self.settled()
        after = self.metrics()
        spent = {"cpu_ms": 1000 * (after["ProcessTime"] - before["ProcessTime"])}
        spent["task_ms"] = 1000 * (after["TaskDuration"] - before["TaskDuration"])
        self.rounds.append(spent | {"bytes": self.received - seen, "wall_ms": 1000 * (time.perf_counter() - start)})

    def hover(self) -> float:
        """Milliseconds from the pointer's arrival at a token until script, style and layout are done, the median."""
        return self.page.locator(".token-view .text").first.evaluate(HOVER, HOVERS)

    def moves(self) -> float:
        """Milliseconds of the main thread's tasks for a real move of the mouse over the text, with paint, the mean."""
        area = self.page.locator(".token-view .text" if self.kind == "component" else ".token-view > div").first
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        before = self.metrics()["TaskDuration"]
        for step in range(HOVERS):
            self.page.mouse.move(box["x"] + 20 + step * (box["width"] - 60) / HOVERS, box["y"] + 40 + 26 * (step % 8))
            self.page.evaluate("() => new Promise(requestAnimationFrame)")
        return 1000 * (self.metrics()["TaskDuration"] - before) / HOVERS


@contextmanager
def served(kind: str, count: int) -> Iterator[str]:
    """The address of a server that shows one contender."""
    port = free_port()
    options = ["--server.headless=true", f"--server.port={port}", "--server.address=127.0.0.1"]
    options += ["--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
    line = [sys.executable, "-m", "streamlit", "run", str(PAGE), *options, "--", kind, str(count)]
    server = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def opened(browser: Browser, kind: str, address: str) -> Tab:
    """A tab that shows the first pair of a contender, in a renderer process of its own."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(180_000)
    session = page.context.new_cdp_session(page)
    tab = Tab(kind, page, session)
    session.on("Network.webSocketFrameReceived", tab.frame)
    session.send("Network.enable")
    session.send("Performance.enable")
    page.goto(address)
    tab.settled()
    return tab


def measured(browser: Browser, count: int, rounds: int) -> list[Tab]:
    """All contenders at one size; the first change of each is not counted, as it compiles."""
    with ExitStack() as stack:
        tabs = [opened(browser, kind, stack.enter_context(served(kind, count))) for kind in CONTENDERS]
        for _ in range(rounds + 1):
            for tab in tabs:
                tab.page.bring_to_front()
                tab.change()
        for tab in tabs:
            del tab.rounds[0]
            if tab.kind != "plotly":
                tab.page.bring_to_front()
                tab.hovers = {"move_ms": statistics.median(tab.moves() for _ in range(3))}
                if tab.kind == "component":
                    tab.hovers["hover_ms"] = tab.hover()
            tab.page.context.close()
        return tabs


def summary(tabs: list[Tab]) -> dict[str, dict[str, float]]:
    """Medians by contender, and the ratios of our component to the spans."""
    table = {}
    for tab in tabs:
        medians = {name: statistics.median(one[name] for one in tab.rounds) for name in tab.rounds[0]}
        table[tab.kind] = medians | tab.hovers
    ours, spans = (next(tab.rounds for tab in tabs if tab.kind == kind) for kind in CONTENDERS[:2])
    ratios = {
        f"{name} to spans": [a[key] / b[key] for a, b in zip(ours, spans, strict=True)]
        for name, key in (("cpu", "cpu_ms"), ("task", "task_ms"), ("payload", "bytes"))
    }
    table["component"] |= {name: statistics.median(values) for name, values in ratios.items()}
    table["component"] |= {"cpu to spans, range": [min(ratios["cpu to spans"]), max(ratios["cpu to spans"])]}
    return table


def printed(results: dict[int, dict[str, dict[str, Any]]]) -> None:
    """The table for people."""
    print(f"{'tokens':>7} {'contender':<10} {'CPU ms':>8} {'tasks ms':>9} {'KB':>7} {'wall ms':>8} {'move ms':>9}")
    for count, table in results.items():
        for kind, row in table.items():
            hover = f"{row['move_ms']:9.2f}" if "move_ms" in row else f"{'':>9}"
            numbers = f"{row['cpu_ms']:8.0f} {row['task_ms']:9.0f} {row['bytes'] / 1000:7.0f} {row['wall_ms']:8.0f}"
            print(f"{count:>7} {kind:<10} {numbers} {hover}")
        ours = table["component"]
        limits = (TARGETS["cpu to spans"][count], TARGETS["payload to spans"], TARGETS["hover ms"])
        values = (ours["cpu to spans"], ours["payload to spans"], ours["hover_ms"])
        names = ("CPU to spans", "payload to spans", "hover ms")
        for name, value, limit in zip(names, values, limits, strict=True):
            print(f"        {name}: {value:.2f} (target <= {limit}) {'held' if value <= limit else 'MISSED'}")


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", type=Path)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--tokens", type=int, nargs="*", default=list(SIZES))
    options.add_argument("--chromium", default=CHROMIUM)
    asked = options.parse_args()
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])
        results = {count: summary(measured(browser, count, asked.rounds)) for count in asked.tokens}
        version = browser.version
        browser.close()
    printed(results)
    if asked.json:
        facts = {"machine": hardware(), "chromium": version, "rounds": asked.rounds, "targets": TARGETS}
        asked.json.write_text(json.dumps(facts | {"results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

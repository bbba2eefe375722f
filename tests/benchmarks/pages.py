"""What the pages cost on runs of 6,000 and 60,000 pairs: CPU of each page's first view, memory, one pair's tokens.

``python tests/benchmarks/pages.py`` makes both runs in a temporary folder (ten checkpoints; minutes, and 2 GB),
measures, prints a table and writes ``tests/benchmarks/results/pages.json``. Every page is measured in processes of its
own, through Streamlit's AppTest: seconds of that process's CPU time from the URL to the drawn elements.

* cold: the process has drawn all pages of the shipped sample (code is loaded); of this run it has seen nothing.
* warm: besides, another page of this run was drawn (Overview; before Overview: Pairs); this page was not.
* again: the same page once more.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
RESULTS = Path(__file__).parent / "results" / "pages.json"
SIZES, CHECKPOINTS, TOKEN_PAIRS = (6_000, 60_000), 10, 20
LIMITS = {"warm_cpu_s": 1.0, "pair_ms": 50.0, "resident_gb": 2.0, "growth": 2.0}
"""What a page may take: seconds, milliseconds, gigabytes, and 60,000 pairs as a multiple of 6,000."""


def draw(run: Path, page: str) -> float:
    """Draw a page as a new session does, and return the seconds of CPU time that it took."""
    from streamlit.testing.v1 import AppTest
    from streamlit.util import calc_hash

    from dpo_analysis.cli.launcher import RUN_VARIABLE

    os.environ[RUN_VARIABLE] = str(run)
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=600)
    app._page_hash = "" if page == "overview" else calc_hash(page)
    start = time.process_time()
    app.run()
    spent = time.process_time() - start
    if app.exception or app.error or not app.title:
        raise AssertionError(f"{page} of {run} was not drawn: {[*app.exception, *app.error]}")
    return spent


def first_views(run: Path, page: str) -> dict[str, float]:
    """Cold, warm and again of one page, each in a process that has not drawn it before; seconds of CPU time."""
    other = "pairs" if page == "overview" else "overview"
    cold = _alone(run, [page])
    warm = _alone(run, [other, page, page])
    return {"cold_cpu_s": cold["views"][0], "warm_cpu_s": warm["views"][1], "again_cpu_s": warm["views"][2]}


def all_pages(run: Path, pages: list[str]) -> dict[str, float]:
    """One process draws every page: what it holds in the end and at most, GB."""
    found = _alone(run, pages)
    return {"resident_gb": found["resident_gb"], "peak_gb": found["peak_gb"]}


def pair_tokens(run: Path) -> dict[str, float]:
    """Milliseconds of CPU time from the id of a pair never seen to what the token view draws of three checkpoints."""
    return _alone(run, [], tokens=True)["tokens"]


def _alone(run: Path, pages: list[str], *, tokens: bool = False) -> dict[str, Any]:
    line = [sys.executable, __file__, "--run", str(run), "--draw", ",".join(pages), *(["--tokens"] if tokens else [])]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _child(run: Path, pages: list[str], tokens: bool) -> dict[str, Any]:
    from dpo_analysis.cli.launcher import sample_run

    sys.argv = ["streamlit"]
    sample = sample_run()
    assert sample is not None, "no sample run"
    for page in dict.fromkeys(pages):
        draw(sample, page)
    views = [draw(run, page) for page in pages]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    found: dict[str, Any] = {"views": views, "resident_gb": resident / 1e9}
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return found | ({"tokens": _tokens(run)} if tokens else {})


def _tokens(path: Path) -> dict[str, float]:
    import pandas as pd

    from dpo_analysis import open_run, token_table
    from dpo_analysis.figures.token_view.payload import payload

    run = open_run(path)
    ids = run.pairs(run.n_parts // 2, columns=["pair_id"])["pair_id"].to_pylist()[: TOKEN_PAIRS + 1]
    spent = []
    for pair_id in ids:
        start = time.process_time()
        table = token_table(run, pair_id=pair_id)
        names = [run.models[place].name for place in (0, len(run.models) // 2, -1)]
        payload(pd.concat([table[table["model"] == name] for name in names], ignore_index=True))
        spent.append(1000 * (time.process_time() - start))
    return {"first_ms": spent[0], "median_ms": median(spent[1:]), "worst_ms": max(spent[1:])}


def measure(folder: Path, pages: list[str]) -> dict[str, Any]:
    """Every figure of one run."""
    figures: dict[str, Any] = {"pages": {page: first_views(folder, page) for page in pages}}
    return figures | {"memory": all_pages(folder, pages), "one_pair": pair_tokens(folder)}


def misses(found: dict[str, Any]) -> list[str]:
    """What lies above ``LIMITS``, one line each."""
    large, small = found["runs"][str(max(SIZES))], found["runs"][str(min(SIZES))]
    lines = []
    for page, figures in large["pages"].items():
        grown = figures["warm_cpu_s"] / small["pages"][page]["warm_cpu_s"]
        if figures["warm_cpu_s"] > LIMITS["warm_cpu_s"]:
            lines.append(f"{page}: {figures['warm_cpu_s']:.2f} s of CPU, not {LIMITS['warm_cpu_s']:g}")
        if grown >= LIMITS["growth"]:
            lines.append(f"{page}: grows {grown:.1f}-fold, not under {LIMITS['growth']:g}-fold")
    if large["memory"]["resident_gb"] > LIMITS["resident_gb"]:
        lines.append(f"memory: {large['memory']['resident_gb']:.2f} GB, not {LIMITS['resident_gb']:g}")
    if large["one_pair"]["median_ms"] > LIMITS["pair_ms"]:
        lines.append(f"one pair: {large['one_pair']['median_ms']:.0f} ms, not {LIMITS['pair_ms']:g}")
    return lines


def table(found: dict[str, Any]) -> str:
    """The figures as text."""
    sizes = sorted(found["runs"], key=int)
    heads = "".join(f"{f'{int(size):,} pairs: cold / warm / again':>44}" for size in sizes)
    lines = [f"page       {heads}   warm, growth"]
    for page in found["runs"][sizes[0]]["pages"]:
        rows = [found["runs"][size]["pages"][page] for size in sizes]
        cells = "".join(f"{' / '.join(f'{value:.2f}' for value in row.values()) + ' s':>44}" for row in rows)
        lines.append(f"{page:<11}{cells}   x{rows[-1]['warm_cpu_s'] / rows[0]['warm_cpu_s']:.2f}")
    for size in sizes:
        own = found["runs"][size]
        memory, pair = own["memory"], own["one_pair"]
        lines.append(
            f"{int(size):,} pairs: all pages in one process {memory['resident_gb']:.2f} GB "
            f"(peak {memory['peak_gb']:.2f}); "
            f"one pair's tokens {pair['median_ms']:.0f} ms (worst {pair['worst_ms']:.0f}, first {pair['first_ms']:.0f})"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, keep; exit 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="runs made before, or to be kept: FOLDER/6000 and FOLDER/60000")
    parser.add_argument("--pages", help="only these, with commas; then nothing is written")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--draw", default="", help=argparse.SUPPRESS)
    parser.add_argument("--tokens", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run is not None:
        print(json.dumps(_child(given.run, [page for page in given.draw.split(",") if page], given.tokens)))
        return
    from tests.app.drawn import PAGES
    from tests.benchmarks.bigrun import make_run
    from tests.benchmarks.clock import hardware

    pages = given.pages.split(",") if given.pages else list(PAGES)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        found: dict[str, Any] = {"hardware": hardware(), "checkpoints": CHECKPOINTS, "limits": LIMITS, "runs": {}}
        for size in SIZES:
            if not (folder / str(size)).is_dir():
                make_run(folder / str(size), pairs=size, checkpoints=CHECKPOINTS)
            found["runs"][str(size)] = measure(folder / str(size), pages)
    print(table(found))
    missed = misses(found)
    print("\n".join(missed) or "every limit is held")
    if not given.pages:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

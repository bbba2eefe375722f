"""Prints how often a diagnosis names the planted cause, beside three simpler ways, and writes it as JSON.

`python -m tests.planted.evaluate FOLDER/FIT --out fit.json`; for a set that is held out add `--fit FOLDER/FIT`, which
is what the simpler ways are fitted on. Looking at a set makes it training data: count how often it was opened.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dpo_analysis.diagnosis import diagnose
from dpo_analysis.runs import Run, open_run
from tests.planted.baselines import BASELINES, Centroids
from tests.planted.truth import expected, read_ablations, status
from tests.planted.verdicts import CANNOT_TELL, Named, as_text, tally

SERIES, SPLIT = "policy", "train"
ABLATIONS = "ablations.json"


class Judged(NamedTuple):
    """One run of a folder with its truth."""

    path: Path
    truth: dict[str, Any]
    status: str


def judged_runs(folder: Path) -> list[Judged]:
    """Every finished run of a folder, and whether it counts; sign ablations lie beside the folder."""
    ablations = read_ablations(folder.parent / ABLATIONS)
    found = []
    for path in sorted(folder.glob("*/truth.json")):
        truth = json.loads(path.read_text())
        found.append(Judged(path.parent, truth, status(truth, ablations)))
    return found


def named_by(diagnosis: Any) -> tuple[str, str]:
    """The cause that a diagnosis names, and where: its first likely finding that is a cause; else ``cannot tell``."""
    likely = (one for one in diagnosis.findings if one.verdict == "likely" and one.cause != "unexplained")
    first = next(likely, None)
    return (CANNOT_TELL, "") if first is None else (first.cause, first.where or "")


def _named(one: Judged, said: str, at: str = "") -> Named:
    entry = one.truth["entry"]
    right = frozenset(expected(entry))
    return Named(one.path.name, entry["kind"], entry["cause"], entry["where"], right, said, at)


def by_rule(runs: list[Judged]) -> Iterator[Named]:
    """What the diagnosis says about every run."""
    for one in runs:
        yield _named(one, *named_by(diagnose(open_run(one.path / "run"), series=SERIES, split=SPLIT)))


def by_baseline(name: str, runs: list[Judged], fit: list[Judged]) -> Iterator[Named]:
    """What a simpler way says, fitted on ``fit``: plants and clean runs of it that count."""
    features = BASELINES[name]
    taught = [one for one in fit if one.truth["entry"]["kind"] in ("plant", "clean", "artefact")]
    causes = [one.truth["entry"]["cause"] for one in taught]
    centroids = Centroids([features(_open(one), SPLIT) for one in taught], causes)
    for one in runs:
        yield _named(one, centroids.name(features(_open(one), SPLIT)))


def _open(one: Judged) -> Run:
    return open_run(one.path / "run")


def evaluate(folder: Path, fit: Path, *, baselines: bool = True) -> dict[str, Any]:
    """Everything about one folder of runs."""
    every, taught = judged_runs(folder), [one for one in judged_runs(fit) if one.status == "counted"]
    runs = [one for one in every if one.status == "counted"]
    left_out = [one for one in every if one.status != "counted"]
    result: dict[str, Any] = {
        "folder": folder.name,
        "runs": len(every),
        "counted": dict(Counter(_label(one) for one in runs)),
        "excluded": {one.path.name: one.status for one in left_out},
        "rule": tally(by_rule(runs)),
    }
    for name in BASELINES if baselines else ():
        result[name] = tally(by_baseline(name, runs, taught))
    return result


def _label(one: Judged) -> str:
    entry = one.truth["entry"]
    return f"{entry['kind']} {entry['cause']} {entry['where']}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="runs made by tests.planted.runs")
    parser.add_argument("--fit", type=Path, help="what the simpler ways are fitted on; FOLDER itself if not given")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--rule-only", action="store_true", help="leave the simpler ways out")
    given = parser.parse_args()
    result = evaluate(given.folder, given.fit or given.folder, baselines=not given.rule_only)
    print(f"{result['folder']}: {result['runs']} runs, {len(result['excluded'])} excluded")
    for name, why in result["excluded"].items():
        print(f"  {name}: {why}")
    for name in ("rule", *BASELINES):
        if name in result:
            print(as_text(name, result[name]), end="\n\n")
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

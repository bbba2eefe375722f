"""Prints how often `diagnose --json` names the planted cause, by cause and by condition, and writes it as JSON.

`python -m tests.planted.world.judge FOLDER/FIT --out fit.json`. The truth is decided before any diagnosis is looked at:
a run counts by what its models did (``truth.status``). Looking at a ground makes it training data.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.planted.world.harm import harm_table, harmed_runs
from tests.planted.world.make import run_command
from tests.planted.world.truth import CALM, NONE, status

CANNOT_TELL = "cannot tell"


class Judged(NamedTuple):
    """One run: its truth, whether it counts, and what was said of it."""

    name: str
    truth: Mapping[str, Any]
    status: str
    said: str
    answer: str

    @property
    def cause(self) -> str:
        """The planted cause."""
        return self.truth["entry"]["cause"]

    @property
    def verdict(self) -> str:
        """right, cannot tell or wrong; of a sound run: right or alarm."""
        if self.cause == NONE:
            return "right" if self.said == CANNOT_TELL else "alarm"
        if self.said == CANNOT_TELL:
            return CANNOT_TELL
        return "right" if self.said == self.cause else "wrong"


def judge_run(folder: Path, *, again: bool = True) -> Judged:
    """Return what ``diagnose --json`` says of one run; ``again``: even where an earlier answer is stored."""
    truth = json.loads((folder / "truth.json").read_text())
    if not (folder / "run").exists():
        return Judged(folder.name, truth, status(truth), "", "")
    stored = folder / "diagnosis.json"
    if again or not stored.exists():
        stored.write_text(run_command(["diagnose", str(folder / "run"), "--json"]))
    diagnosis = json.loads(stored.read_text())
    likely = [finding["cause"] for finding in diagnosis["findings"] if finding["verdict"] == "likely"]
    answer = (diagnosis.get("answer") or {}).get("kind", "")
    return Judged(folder.name, truth, status(truth), likely[0] if likely else CANNOT_TELL, answer)


def commands_differ(folders: Iterable[Path]) -> list[str]:
    """Return the runs of which `dpo-analysis diagnose --json`, started as a command, prints anything else."""
    differ = []
    for folder in folders:
        argv = [sys.executable, "-m", "dpo_analysis", "diagnose", str(folder / "run"), "--json"]
        printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        if printed != (folder / "diagnosis.json").read_text():
            differ.append(folder.name)
    return differ


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share, by bisection on the binomial distribution."""
    if not total:
        return 0.0, 1.0

    def tail(share: float, least: int) -> float:
        return sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(least, total + 1))

    def solve(least: int, level: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle, least) < level else (low, middle)
        return low

    return (solve(count, 0.025) if count else 0.0), (solve(count + 1, 0.975) if count < total else 1.0)


def counts(runs: Iterable[Judged]) -> dict[str, Any]:
    """Return numbers of each verdict with exact intervals."""
    runs = list(runs)
    result: dict[str, Any] = {"of": len(runs)}
    for verdict in ("right", CANNOT_TELL, "wrong", "alarm"):
        n = sum(run.verdict == verdict for run in runs)
        result[verdict] = {"n": n, "interval": [round(end, 3) for end in clopper_pearson(n, len(runs))]}
    return result


CONDITIONS = {
    "length": lambda truth: "short" if truth["tokens"] < 45 else "middle" if truth["tokens"] < 110 else "long",
    "optimizer": lambda truth: truth["entry"]["recipe"]["optimizer"],
    "trainer": lambda truth: truth["entry"]["recipe"]["loop"],
    "evidence": lambda truth: truth["entry"]["evidence"] or "default",
    "architecture": lambda truth: truth["entry"]["start"]["architecture"],
    "family": lambda truth: truth["entry"]["start"]["family"],
    "loss": lambda truth: truth["entry"]["recipe"]["loss"],
    "adapter": lambda truth: "lora" if truth["entry"]["recipe"]["lora"] else "full",
    "scored": lambda truth: truth["entry"]["scored"],
}
"""What a table of rates is split by."""


def tables(runs: list[Judged]) -> dict[str, Any]:
    """Return rates over all, by cause and by condition, of planted and of sound runs that count."""
    counted = [run for run in runs if run.status == "counted"]
    planted = [run for run in counted if run.cause != NONE]
    sound = [run for run in counted if run.cause == NONE]
    by_cause: dict[str, list[Judged]] = defaultdict(list)
    for run in planted:
        by_cause[run.cause].append(run)
    return {
        "planted": counts(planted),
        "sound_calm": counts(run for run in sound if run.truth["lost"] < CALM),
        "sound_ordinary": counts(run for run in sound if run.truth["lost"] >= CALM),
        "few": dict(Counter(f"{run.verdict}: {run.answer or run.said}" for run in runs if run.status == "few")),
        "causes": {cause: counts(some) for cause, some in sorted(by_cause.items())},
        "conditions": {
            name: {
                value: {
                    kind: counts(run for run in some if of(run.truth) == value)
                    for kind, some in (("planted", planted), ("sound", sound))
                }
                for value in sorted({of(run.truth) for run in counted})
            }
            for name, of in CONDITIONS.items()
        },
        "excluded": {run.name: run.status for run in runs if run.status.startswith("excluded")},
        "not_right": {
            run.name: f"{run.verdict}: {run.said} ({run.answer})" for run in counted if run.verdict != "right"
        },
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="runs made by tests.planted.world.make")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--stored", action="store_true", help="use stored answers where there are any")
    parser.add_argument("--commands", type=int, default=0, help="so many runs are diagnosed by true commands as well")
    given = parser.parse_args()
    runs = [judge_run(path.parent, again=not given.stored) for path in sorted(given.folder.glob("*/truth.json"))]
    result = tables(runs)
    for name in ("planted", "sound_calm", "sound_ordinary"):
        print(name, _line(result[name]))
    for cause, row in result["causes"].items():
        print(f"  {cause:22s}{_line(row)}")
    print("few", result["few"])
    for name, why in result["not_right"].items():
        print(f"  {name}: {why}")
    harmed = harmed_runs(given.folder / run.name for run in runs)
    result["harm"] = harm_table(harmed)
    result["harm_with_evidence"] = harm_table([run for run in harmed if run.has_evidence])
    for name in ("harm", "harm_with_evidence"):
        print(name, result[name])
    if given.commands:
        folders = [given.folder / run.name for run in runs[:: max(1, len(runs) // given.commands)]][: given.commands]
        print(f"{len(folders)} true commands, printed otherwise: {commands_differ(folders) or 'none'}")
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


def _line(row: Mapping[str, Any]) -> str:
    return f"of {row['of']}: " + ", ".join(
        f"{name} {row[name]['n']} ({row[name]['interval'][0]:.2f}-{row[name]['interval'][1]:.2f})"
        for name in ("right", CANNOT_TELL, "wrong", "alarm")
    )


if __name__ == "__main__":
    main()

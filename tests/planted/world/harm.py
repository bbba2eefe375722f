"""How well the score of the harm verdict tells runs whose greedy replies got worse: AUROC, interval over runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WORSE = 0.1
"""Share of the greedy replies that must have become wrong, of 40, for a run to count as harmed."""
ABLE = 0.5
"""Greedy accuracy that a reference must have, so that there is something to lose."""
DRAWS = 2000


class HarmedRun(NamedTuple):
    """One run: the score and the verdict of the harm verdict, and the fall of greedy accuracy."""

    name: str
    score: float
    verdict: str
    fall: float
    has_evidence: bool


def harmed_runs(folders: Iterable[Path]) -> list[HarmedRun]:
    """Return the diagnosed runs whose greedy replies were judged before and after training."""
    found = []
    for folder in folders:
        truth, stored = json.loads((folder / "truth.json").read_text()), folder / "diagnosis.json"
        greedy, artefact = truth.get("greedy"), truth["entry"]["artefact"]
        if not greedy or greedy[0] is None or greedy[0] < ABLE or artefact or not stored.exists():
            continue
        harm: Mapping[str, Any] = json.loads(stored.read_text())["harm"]
        if harm["score"] is not None:
            evidence = harm["slip_chance"] is not None
            found.append(HarmedRun(folder.name, harm["score"], harm["verdict"], greedy[0] - greedy[1], evidence))
    return found


def auroc(scores: NDArray[np.float64], harmed: NDArray[np.bool_]) -> float:
    """Return the share of pairs of a harmed and an unharmed run that the score orders right; ties count half."""
    bad, good = scores[harmed], scores[~harmed]
    if not len(bad) or not len(good):
        return float("nan")
    return float((bad[:, None] > good).mean() + 0.5 * (bad[:, None] == good).mean())


def harm_table(runs: list[HarmedRun]) -> dict[str, Any]:
    """Return the AUROC with its 95 % bootstrap interval over runs, and the verdicts of harmed and unharmed runs."""
    scores, harmed = np.array([run.score for run in runs]), np.array([run.fall >= WORSE for run in runs])
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(runs), size=len(runs)) for _ in range(DRAWS)] if runs else []
    draws = [auroc(scores[sample], harmed[sample]) for sample in drawn]
    interval = np.nanquantile(draws, [0.025, 0.975]).tolist() if draws else [float("nan")] * 2
    verdicts: dict[str, dict[str, int]] = {}
    for run in runs:
        row = verdicts.setdefault("harmed" if run.fall >= WORSE else "unharmed", {})
        row[run.verdict] = row.get(run.verdict, 0) + 1
    return {"runs": len(runs), "harmed": int(harmed.sum()), "auroc": auroc(scores, harmed), "interval": interval,
            "verdicts": verdicts}  # fmt: skip

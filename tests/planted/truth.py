"""When a plant counts: the planted segment fell, and sign ablation says that the plant made it fall.

Stated once, before any diagnosis is looked at. A run that fails its rule is *excluded* and counted as such.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.planted.pairs import BACKGROUND, CULPRIT, VICTIM
from tests.planted.train import SIDES, Off

FELL = 0.5
"""Nats that the planted segment of the victims must lose."""
CALM = 0.4
"""Nats that a clean run may lose per pair: mean of the losses, gains not counted."""
KEPT = 0.5
"""Share of the fall that may be left when the plant's gradient is switched off."""
NONE = "none"
PLACE = {
    "collision": None,
    "style_drift": None,
    "competing_answer": "core",
    "near_identical": "core",
    "length_or_eos": None,
}
"""Where the victims are looked at; None: at the entry's own segment; other causes: the whole reply."""
_GROUP: Off = frozenset((CULPRIT, side) for side in SIDES)
_PUSHES: Off = frozenset((group, "rejected") for group in (VICTIM, CULPRIT, BACKGROUND))
SWITCHED_OFF: dict[str, Off] = {
    "collision": frozenset({(CULPRIT, "rejected")}),
    "style_drift": _GROUP,
    "competing_answer": _GROUP,
    "length_or_eos": _GROUP,
    "contradiction": _GROUP,
    "near_identical": _PUSHES,
    "off_policy_rejected": frozenset({(VICTIM, "rejected")}),
    "generic_drift": _PUSHES,
    "reference_effect": frozenset({(VICTIM, "rejected")}),
}
"""The gradient without which the fall should be gone: the culprits' push for a collision; both signs of the culprits
for what pulls, since a push without its pull breaks replies by itself; every push-down where no pair is a culprit.
"""


def fall_of(entry: Mapping[str, Any], changes: Mapping[str, Mapping[str, float]]) -> float:
    """How far the planted segment of the victims fell, nats, positive."""
    place = PLACE.get(entry["cause"], "whole") or entry["where"]
    groups = [name for name in changes if name.split()[-1] == VICTIM]
    total = sum(changes[name]["n"] for name in groups)
    return -sum(changes[name][place] * changes[name]["n"] for name in groups) / total if total else 0.0


def status(truth: Mapping[str, Any], ablations: Mapping[str, bool]) -> str:
    """``counted``, or why a run is excluded.

    Args:
        truth: what truth.json holds.
        ablations: plant (see ``key``) -> whether sign ablation confirmed it; a missing one is not held against a run.
    """
    entry, kind = truth["entry"], truth["entry"]["kind"]
    if kind == "artefact":
        return "counted"
    if entry["cause"] == NONE:
        return "counted" if truth["lost"] < CALM else f"excluded: lost {truth['lost']:.2f} nats per pair"
    fall = fall_of(entry, truth["changes"])
    if fall < FELL:
        return f"excluded: the planted segment fell {fall:.2f} nats"
    if entry["cause"] == "reference_effect" and truth["held_out_samples"] > KEPT * truth["whole"]:
        return f"excluded: other samples of the reference changed by {truth['held_out_samples']:.2f} nats"
    if not ablations.get(key(entry), True):
        return "excluded: the fall stays when the plant's gradient is off"
    return "counted"


def expected(entry: Mapping[str, Any]) -> set[str]:
    """The names that are right for a run: of a mixture either cause."""
    second = {"drift": "style_drift", "near": "near_identical", "length": "length_or_eos"}
    return {entry["cause"], *([second[entry["second"][0]]] if entry["second"] else [])}


def key(entry: Mapping[str, Any]) -> str:
    """A plant in one family, which is what sign ablation confirms."""
    return "/".join(str(entry[name]) for name in ("cause", "where", "family"))


def is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a stored ablation switched off what ``SWITCHED_OFF`` says, and not a single sign of it."""
    return {tuple(one) for one in record["off"]} == SWITCHED_OFF[record["entry"]["cause"]]


def read_ablations(path: Path) -> dict[str, bool]:
    """Plant -> whether the fall shrank to at most half, on average over the ablated runs of it."""
    found: dict[str, list[float]] = {}
    for record in json.loads(path.read_text()) if path.exists() else []:
        if is_whole(record):
            left = fall_of(record["entry"], record["changes"]) / record["full_fall"]
            found.setdefault(key(record["entry"]), []).append(left)
    return {plant: sum(left) / len(left) <= KEPT for plant, left in found.items()}

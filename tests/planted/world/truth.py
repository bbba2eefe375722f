"""When a run of the randomised world counts: what its models did, and nothing that a diagnosis says.

Stated before any diagnosis was looked at, but for ``DESTROYED``, ``HARDLY`` and the limits of artefacts, which were
added while FIT was made, from its truths. A run that fails its rule is excluded, and is neither scored nor judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.planted.world.plants import SEGMENTS

NONE = "none"
FELL = 0.5
"""Nats that the planted segment of the victims must lose."""
MAIN_PART = 0.35
"""Share of the victims' whole loss that the planted segment must hold, where a segment is planted."""
CALM, ORDINARY = 0.4, 2.0
"""Nats per pair that a sound run may lose: a calm run, and a run of ordinary rates."""
FORGOTTEN = -0.05
"""Change of fresh SFT texts, nats per token: below it a policy forgot what it knew, as a rate too high makes it."""
HARDLY = 0.3
"""Nats that the planted segment may lose in a sound run that holds the text of a plant."""
KEPT = -0.04
"""The same change, above which a run is sound."""
DESTROYED = -0.15
"""The same change, below which a planted run fell by its rate as well, so that one name is no truth."""
FALLEN_NATS_PER_TOKEN, FEWEST_FALLEN = 0.01, 30
"""A pair is fallen where its chosen response lost more than this and .3 nats; with fewer pairs "too few" is right."""


def status(truth: Mapping[str, Any]) -> str:
    """Return ``counted``, ``few`` (too few fallen pairs), or why a run does not count."""
    entry = truth["entry"]
    cause, changes = entry["cause"], truth["changes"]
    if cause == NONE:
        if truth["sft_change"] < KEPT or truth["lost"] > ORDINARY:
            return f"excluded: lost {truth['lost']:.2f}, fresh texts {truth['sft_change']:+.3f} nats per token"
        victims = truth["changes"].get("victim", {})
        if entry["plant"] in ("collision", "drift") and -victims.get(entry["where"], 0.0) > HARDLY:
            return "excluded: the text of the plant fell"
        return "counted"
    if cause == "swapped_columns" and truth["sft_change"] >= DESTROYED:
        return "counted" if truth["whole"] - truth["rejected"] > 1 else "excluded: hardly trained"
    if cause != "generic_drift" and truth["sft_change"] < DESTROYED:
        return f"excluded: fresh texts changed by {truth['sft_change']:+.3f} nats per token"
    if cause == "artefact":
        return "counted" if CALM <= truth["lost"] <= ORDINARY else f"excluded: lost {truth['lost']:.2f}"
    if cause == "generic_drift" and truth["sft_change"] > FORGOTTEN:
        return f"excluded: fresh texts changed by {truth['sft_change']:+.3f} nats per token"
    if truth["fell"] < FELL:
        return f"excluded: fell {truth['fell']:.2f} nats"
    if entry["plant"] in ("collision", "drift", "length"):
        victims = changes["victim"]
        lost = -sum(min(victims[place], 0.0) for place in (*SEGMENTS, "end"))
        if truth["fell"] < MAIN_PART * lost:
            return f"excluded: the planted segment holds {truth['fell'] / lost:.2f} of the loss"
    return "few" if n_fallen(truth) < FEWEST_FALLEN else "counted"


def n_fallen(truth: Mapping[str, Any]) -> int:
    """Return the number of measured pairs whose chosen response fell."""
    pairs = zip(truth["change_of_pairs"], truth["tokens_of_pairs"], strict=True)
    return sum(change < -max(0.3, FALLEN_NATS_PER_TOKEN * tokens) for change, tokens in pairs)

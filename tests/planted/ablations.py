"""Is it the plant that makes the segment fall? The same run again with the plant's gradient switched off.

`python -m tests.planted.ablations FIT FOLDER --cache FOLDER` adds to FOLDER/ablations.json what is missing. For causes
that are the whole set (near copies, off-policy rejecteds, a high rate) it also trains natural pairs at the same rate,
or the same pairs at an eighth of it, into FOLDER/counterfactuals.json: what would have fallen without the plant.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.planted.plan import Entry, plan
from tests.planted.runs import ablate
from tests.planted.truth import FELL, SWITCHED_OFF, fall_of

PER_CAUSE_AND_FAMILY = 2
Records = list[dict[str, Any]]


def chosen_entries(name: str, folder: Path, done: Records) -> Iterator[tuple[Entry, float]]:
    """The first two runs of every cause and family whose planted segment fell, and how far; those done left out."""
    counts: dict[tuple[str, str], int] = {}
    seeds = {record["entry"]["seed"] for record in done}
    for entry in plan(name):
        path, key = folder / name / entry.name / "truth.json", (entry.cause, entry.family)
        if entry.kind != "plant" or counts.get(key, 0) >= PER_CAUSE_AND_FAMILY or not path.exists():
            continue
        fall = fall_of(entry.as_json(), json.loads(path.read_text())["changes"])
        if fall >= FELL:
            counts[key] = counts.get(key, 0) + 1
            if entry.seed not in seeds:
                yield entry, fall


def without_plant(entry: Entry) -> Entry | None:
    """The run that has everything but the plant; None where sign ablation already is that."""
    if entry.cause in ("near_identical", "off_policy_rejected"):
        return replace(entry, plant="plain", where="natural")
    return replace(entry, lr=entry.lr / 8) if entry.cause == "generic_drift" else None


def add_missing(name: str, folder: Path, cache: Path) -> None:
    """Train what is missing; each record is written as soon as it is there."""
    ablations, others = folder / "ablations.json", folder / "counterfactuals.json"
    for entry, fall in list(chosen_entries(name, folder, _read(ablations))):
        off = SWITCHED_OFF[entry.cause]
        changes = ablate(entry, off, cache)
        left = fall_of(entry.as_json(), changes)
        _append(ablations, {"entry": entry.as_json(), "off": sorted(off), "full_fall": fall, "changes": changes})
        print(f"{entry.name}: {-fall:+.2f} nats, {-left:+.2f} with {sorted(off)} off", flush=True)
        other = without_plant(entry)
        if other is not None:
            changes = ablate(other, frozenset(), cache)
            left = fall_of(entry.as_json(), changes)
            _append(others, {"entry": entry.as_json(), "full_fall": fall, "changes": changes})
            print(f"{entry.name}: {-fall:+.2f} nats, {-left:+.2f} without the plant", flush=True)


def _read(path: Path) -> Records:
    return json.loads(path.read_text()) if path.exists() else []


def _append(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps([*_read(path), record], indent=1) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="FIT or TEST")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="where reference models are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    add_missing(given.plan, given.out, given.cache)


if __name__ == "__main__":
    main()

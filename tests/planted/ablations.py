"""Is it the plant that makes the segment fall? The same run again with the plant's gradient switched off.

`python -m tests.planted.ablations FIT FOLDER --cache FOLDER` adds to FOLDER/ablations.json what is missing. For causes
that are the whole set (near copies, off-policy rejecteds, a high rate) it also trains natural pairs at the same rate,
or the same pairs at an eighth of it, into FOLDER/counterfactuals.json: what would have fallen without the plant.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.planted.plan import Entry, plan
from tests.planted.runs import ablate
from tests.planted.truth import FELL, SWITCHED_OFF, fall_of, is_whole

Records = list[dict[str, Any]]


def chosen_entries(name: str, folder: Path, done: Records, each: int) -> list[tuple[Entry, float]]:
    """Of every plant (cause, where, family) the first runs whose segment fell, and how far; without those done.

    First runs come before second ones.
    """
    found: dict[tuple[str, str, str], list[tuple[Entry, float]]] = {}
    seeds = {record["entry"]["seed"] for record in done if is_whole(record)}
    for entry in plan(name):
        path = folder / name / entry.name / "truth.json"
        if entry.kind == "plant" and path.exists():
            fall = fall_of(entry.as_json(), json.loads(path.read_text())["changes"])
            if fall >= FELL:
                found.setdefault((entry.cause, entry.where, entry.family), []).append((entry, fall))
    turns = [one for n in range(each) for entries in found.values() for one in entries[n : n + 1]]
    return [(entry, fall) for entry, fall in turns if entry.seed not in seeds]


def without_plant(entry: Entry) -> Entry | None:
    """The run that has everything but the plant; None where sign ablation already is that."""
    if entry.cause in ("near_identical", "off_policy_rejected"):
        return replace(entry, plant="plain", where="natural")
    return replace(entry, lr=entry.lr / 8) if entry.cause == "generic_drift" else None


def add_missing(name: str, folder: Path, cache: Path, each: int) -> None:
    """Train what is missing; each record is written as soon as it is there."""
    ablations, others = folder / "ablations.json", folder / "counterfactuals.json"
    for entry, fall in chosen_entries(name, folder, _read(ablations), each):
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
    parser.add_argument("plan", help="FIT, TEST or HELD_OUT")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="where reference models are kept")
    parser.add_argument("--each", type=int, default=2, help="runs of every plant and family")
    given = parser.parse_args()
    torch.set_num_threads(1)
    add_missing(given.plan, given.out, given.cache, given.each)


if __name__ == "__main__":
    main()

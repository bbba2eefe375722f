"""Diagnoses kept in a finished run folder: written when scoring ends, read by pages, so that no page makes one anew.

They are worth what they were made of: every file's checksum, and the rules of this room. Of anything else they are
not read, and the diagnosis is made again; ``verify`` knows nothing of them.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from dpo_analysis.diagnosis.checks import run_checks
from dpo_analysis.diagnosis.findings import Diagnosis, Fall, Finding, Measured, Open, Pattern, Share, Token
from dpo_analysis.diagnosis.series_diagnosis import default_split, diagnose, numbers_at_end, scored_series
from dpo_analysis.errors import StorageError
from dpo_analysis.runs import Run
from dpo_analysis.runs.manifest import NAME, read_json
from dpo_analysis.runs.safe_files import atomic_write, make_dirs

FOLDER, FILE = "summary", "summary/diagnosis.json"
HERE = "{run folder}"
STEPS = ("baseline_step", "from_step", "last_step")
"""Fields of a fall that are None where a model has no step, not undefined numbers."""


def keep(run: Run) -> None:
    """Make the diagnosis of every series on every split and write them into the run folder, if it is finished.

    Raises:
        StorageError: a part is damaged, or the disk refuses.
    """
    made_of = _made_of(run)
    if made_of is None or (_read(run) or {}).get("of") == made_of:
        return
    checks = run_checks(run)
    found = [
        _plain(_moved(diagnose(run, series=series, split=split, checks=checks), str(run.path), HERE))
        for series in scored_series(run)
        for split in run.splits
    ]
    data = json.dumps({"of": made_of, "diagnoses": found}, indent=1).encode()
    atomic_write(make_dirs(run.path, FOLDER) / Path(FILE).name, data, point="summary")


def known_or_made(run: Run, *, series: str, split: str | None = None, beta: float | None = None) -> Diagnosis:
    """The kept diagnosis of one series on one split with its numbers at this beta, else one made now.

    Args:
        run: an open run.
        series: one of it.
        split: as ``diagnose``.
        beta: as ``diagnose``.

    Raises:
        InputError: as ``diagnose``.
        StorageError: a part is damaged.
    """
    split = split or default_split(run)
    found = _kept(run, series, split)
    if found is None:
        return diagnose(run, series=series, split=split, beta=beta)
    if beta is None or beta == run.series[series].beta:
        return found
    last = [model for model in run.models if model.series == series and run.parts_done(model)][-1]
    return replace(found, at_end=numbers_at_end(run, last, split, beta=beta))


def _kept(run: Run, series: str, split: str) -> Diagnosis | None:
    kept = _read(run)
    if kept is None or kept.get("of") != _made_of(run):
        return None
    own = [one for one in kept["diagnoses"] if one["series"] == series and one["split"] == split]
    try:
        return _moved(_diagnosis(own[0]), HERE, str(run.path)) if own else None
    except (KeyError, TypeError):
        return None


def _read(run: Run) -> dict[str, Any] | None:
    """What is in the file; None where there is none, or none that can be read."""
    try:
        found = read_json(run.path, FILE)
    except (FileNotFoundError, StorageError):
        return None
    return found if isinstance(found, dict) else None


def _made_of(run: Run) -> str | None:
    """A hash of the manifest, which holds every file's checksum, and of this code; None for an unfinished run."""
    if not run.is_complete or not scored_series(run):
        return None
    return hashlib.sha256((run.path / NAME).read_bytes() + _rules()).hexdigest()


@cache
def _rules() -> bytes:
    """What the package says, as far as a diagnosis could depend on it: all of its sources."""
    sources = sorted(Path(__file__).parent.parent.rglob("*.py"))
    return hashlib.sha256(b"".join(hashlib.sha256(one.read_bytes()).digest() for one in sources)).digest()


def _moved(found: Diagnosis, old: str, new: str) -> Diagnosis:
    """The diagnosis with the run folder's path in its commands replaced: a folder may be copied to anywhere."""
    where = f"--out {old}", f"--out {new}"
    return replace(found, open=[replace(one, command=one.command.replace(*where)) for one in found.open])


def _plain(found: Diagnosis) -> dict[str, Any]:
    """All fields; a number that is not finite is None, as JSON has none."""
    return json.loads(json.dumps(asdict(found)), parse_constant=lambda name: None)


def _numbers(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in raw.items()}


def _diagnosis(raw: Mapping[str, Any]) -> Diagnosis:
    made = {
        "fall": Fall(**{name: raw["fall"][name] for name in STEPS}, **_numbers(_without(raw["fall"], STEPS))),
        "shares": {name: Share(**_numbers(share)) for name, share in raw["shares"].items()},
        "findings": [_finding(one) for one in raw["findings"]],
        "open": [Open(**one) for one in raw["open"]],
        "numbers": _numbers(raw["numbers"]),
        "at_end": _numbers(raw["at_end"]),
        "probes": [Measured(**one) for one in raw["probes"]],
        "patterns": [Pattern(*one) for one in raw["patterns"]],
    }
    return Diagnosis(**(dict(raw) | made))


def _finding(raw: Mapping[str, Any]) -> Finding:
    made = {name: tuple(raw[name]) for name in ("pairs", "counter")}
    made["tokens"] = tuple(Token(**one) for one in raw["tokens"])
    made["measured"] = Measured(**raw["measured"]) if raw["measured"] else None
    return Finding(**(_numbers(raw) | made))


def _without(raw: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in names}

"""Diagnoses saved in a finished run folder, so that pages and reports need not make them again.

A saved diagnosis is valid while the run has the same manifest, which holds every file's checksum, and the package the
same ``thresholds.RULES_VERSION`` and the same causes, and while the file matches its own checksum. Otherwise the
diagnosis is made again.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dpo_analysis.diagnosis import thresholds
from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.checks import Check, run_checks
from dpo_analysis.diagnosis.diagnosis_text import diagnoses_as_json
from dpo_analysis.diagnosis.findings import (
    Answer,
    BigramChange,
    Diagnosis,
    ExampleToken,
    Fall,
    Finding,
    Harm,
    Measurement,
    OpenQuestion,
    Share,
)
from dpo_analysis.diagnosis.phrases.phrase import Example, Phrase
from dpo_analysis.diagnosis.series_diagnosis import diagnose, metrics_at_end, scored_series
from dpo_analysis.diagnosis.series_log_ratios import default_split
from dpo_analysis.runs import Run
from dpo_analysis.runs.manifest import MANIFEST_FILE
from dpo_analysis.runs.safe_files import atomic_write, make_dirs
from dpo_analysis.runs.summaries.saved_json import SAVED_FILE, read_saved, with_checksum

FOLDER, FILE = SAVED_FILE.split("/")[0], SAVED_FILE
STAMP, DIAGNOSES = "of", "diagnoses"
"""Keys of the file."""
RUN_FOLDER = "{run folder}"
"""Stands in the saved commands for the path of the run folder, which may be copied elsewhere."""
STEPS = ("baseline_step", "from_step", "last_step")
"""Fields of a fall in which None means that the model has no step, not that a number is undefined."""


def save_diagnoses(run: Run) -> None:
    """Make the diagnosis of every series on every split and write them into the run folder, if the run is finished.

    Does nothing where the saved diagnoses are still valid.

    Raises:
        StorageError: a part is damaged, or the disk refuses.
    """
    stamp = _stamp(run)
    if stamp is None or (read_saved(run.path) or {}).get(STAMP) == stamp:
        return
    checks = run_checks(run)
    diagnoses = [
        diagnose(run, series=series, split=split, checks=checks)
        for series in scored_series(run)
        for split in run.splits
    ]
    saved = [_as_json(_with_run_folder(diagnosis, str(run.path), RUN_FOLDER)) for diagnosis in diagnoses]
    data = json.dumps(with_checksum({STAMP: stamp, DIAGNOSES: saved}), indent=1).encode()
    atomic_write(make_dirs(run.path, FOLDER) / Path(FILE).name, data, point="summary")


def load_or_diagnose(
    run: Run,
    *,
    series: str,
    split: str | None = None,
    model: str | None = None,
    beta: float | None = None,
    checks: Sequence[Check] | None = None,
) -> Diagnosis:
    """Return the saved diagnosis of one series on one split with its metrics at this beta, else make it now.

    Diagnoses of the last checkpoint alone are saved.

    Args:
        run: an open run.
        series: a series of the run.
        split: as in ``diagnose``.
        model: as in ``diagnose``.
        beta: as in ``diagnose``.
        checks: as in ``diagnose``; those of a saved diagnosis are in it.

    Raises:
        InputError: as in ``diagnose``.
        StorageError: a part is damaged.
    """
    split = split or default_split(run)
    diagnosis = _load(run, series, split)
    if diagnosis is None or model not in (None, diagnosis.checkpoint_shown):
        return diagnose(run, series=series, split=split, model=model, beta=beta, checks=checks)
    if beta is None or beta == run.series[series].beta:
        return diagnosis
    last = [model for model in run.models if model.series == series and run.parts_done(model)][-1]
    return replace(diagnosis, at_end=metrics_at_end(run, last, split, beta=beta))


def is_saved(run: Run) -> bool:
    """Return whether the run folder holds valid diagnoses, so that ``load_or_diagnose`` is quick."""
    stamp = _stamp(run)
    return stamp is not None and (read_saved(run.path) or {}).get(STAMP) == stamp


def _load(run: Run, series: str, split: str) -> Diagnosis | None:
    """Return the saved diagnosis; None where there is no valid one."""
    file = read_saved(run.path)
    if file is None or file.get(STAMP) != _stamp(run):
        return None
    try:
        saved = [raw for raw in file[DIAGNOSES] if raw["series"] == series and raw["split"] == split]
        diagnosis = _with_run_folder(_diagnosis(saved[0]), RUN_FOLDER, str(run.path)) if saved else None
        # Whoever wrote the file may have computed its checksum, too: every sentence is made once, in case it has none.
        diagnoses_as_json([diagnosis] if diagnosis is not None else [], "en")
        return diagnosis
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        return None


def _stamp(run: Run) -> str | None:
    """Return a hash of the manifest, the rules' version and the causes in their order; None for an unfinished run."""
    if not run.is_complete or not scored_series(run):
        return None
    rules = f"rules {thresholds.RULES_VERSION}: {', '.join(every_cause())}"
    return hashlib.sha256((run.path / MANIFEST_FILE).read_bytes() + rules.encode()).hexdigest()


def _with_run_folder(diagnosis: Diagnosis, old: str, new: str) -> Diagnosis:
    """Return the diagnosis with the path of the run folder replaced in its commands."""
    questions = [replace(item, command=item.command.replace(f"--out {old}", f"--out {new}")) for item in diagnosis.open]
    return replace(diagnosis, open=questions)


def _as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return all fields; numbers that are not finite become None, since JSON has none."""
    return json.loads(json.dumps(asdict(diagnosis)), parse_constant=lambda name: None)


def _diagnosis(raw: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis that ``_as_json`` wrote."""
    steps = {name: raw["fall"][name] for name in STEPS}
    built: dict[str, Any] = {
        "fall": Fall(**steps, **_with_nan(raw["fall"], leave_out=STEPS)),
        "answer": Answer(**raw["answer"]),
        "harm": _harm(raw["harm"]),
        "shares": {name: Share(**_with_nan(share)) for name, share in raw["shares"].items()},
        "shares_shown": {name: Share(**_with_nan(share)) for name, share in raw["shares_shown"].items()},
        "findings": [_finding(item) for item in raw["findings"]],
        "open": [OpenQuestion(**item) for item in raw["open"]],
        "numbers": _with_nan(raw["numbers"]),
        "numbers_shown": _with_nan(raw["numbers_shown"]),
        "at_end": _with_nan(raw["at_end"]),
        "probes": [Measurement(**item) for item in raw["probes"]],
        "patterns": [BigramChange(*item) for item in raw["patterns"]],
        "phrases": [_phrase(item) for item in raw["phrases"]],
        "phrases_used": [_phrase(item) for item in raw["phrases_used"]],
        "example": Example(**_with_nan(raw["example"])) if raw["example"] else None,
    }
    return Diagnosis(**(dict(raw) | built))


def _phrase(raw: Sequence[Any]) -> Phrase:
    values: list[Any] = [math.nan if value is None else value for value in raw]
    return Phrase(*values)


def _harm(raw: Mapping[str, Any]) -> Harm:
    return Harm(**(_with_nan(raw) | {"numbers": _with_nan(raw["numbers"]), "signs": tuple(raw["signs"])}))


def _finding(raw: Mapping[str, Any]) -> Finding:
    built: dict[str, Any] = {name: tuple(raw[name]) for name in ("pairs", "counter")}
    built["tokens"] = tuple(ExampleToken(**token) for token in raw["tokens"])
    built["measured"] = Measurement(**raw["measured"]) if raw["measured"] else None
    return Finding(**(_with_nan(raw) | built))


def _with_nan(raw: Mapping[str, Any], *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the values with NaN in place of None, without some names."""
    return {name: math.nan if value is None else value for name, value in raw.items() if name not in leave_out}

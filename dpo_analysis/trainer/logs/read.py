"""Any training log, a file or a folder, as a table of curves: its kind is told by what is in it."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.trainer.logs import csv_export, json_lines, tensorboard, trackio, trainer_state, wandb_file
from dpo_analysis.trainer.logs.curves import COUNTS, Curves, no_values
from dpo_analysis.trainer.logs.found import (
    CSV,
    JSON_LINES,
    NAMED_BY_TIME,
    START_BYTES,
    TENSORBOARD,
    TRACKIO,
    TRAINER_STATE,
    WANDB,
    FoundLog,
    find_logs,
    start_of,
)

READERS: dict[str, Callable[[Sequence[Path]], dict[str, Curves]]] = {
    TRAINER_STATE: trainer_state.read,
    JSON_LINES: json_lines.read,
    WANDB: wandb_file.read,
    TENSORBOARD: tensorboard.read,
    TRACKIO: trackio.read,
    CSV: csv_export.read,
}
"""The reader of every kind of log: it returns the values of the files of one log, by run."""
NAMES = "trainer_state.json, logging.jsonl, events.out.tfevents.*, run-*.wandb, a .db of trackio, or a .csv with steps"
MAX_NAMED = 8
"""Runs that a message names."""
BETWEEN_RUN_AND_FILE = re.compile(
    rf"runs?|wandb|tb|tensorboard|logs?|files|trackio|(?:offline-)?run-\d.*|v\d+-\d.*|checkpoint-\d+|\d+\.\d+"
    rf"|{NAMED_BY_TIME.pattern}",
    re.IGNORECASE,
)
"""Folders between that of a training and the file with its log, which say nothing about the training."""


def read_log(path: "str | Path | FoundLog", *, series: str | None = None) -> pa.Table:
    """Read a training log of any kind into ``schema.CURVES_SCHEMA``.

    ``split`` is "train" (means over a window of batches that ends at the step), "eval", or "eval_<set>" where several
    sets were evaluated. Metrics have the names of ``aliases.ALIASES``, else the trainer's. The metadata counts what is
    no number, was logged twice, or is lost (``curves.Curves``), and names the ``kind`` and the ``source``.

    Args:
        path: a file, a folder that holds logs (the most complete is read), or a log of ``find_logs``.
        series: name of the training run; None takes its name in the log, or that of its folder. Where a log holds
            several runs, the one of this name, or each under its name.

    Raises:
        InputError: there is no log, it cannot be read, has no values, or holds several runs and none of this name.
    """
    found = path if isinstance(path, FoundLog) else found_log(Path(path))
    runs = {name: curves for name, curves in read_found(found).items() if curves.last_step is not None}
    if not runs:
        raise no_values(found.path)
    if series in runs:
        runs = {series: runs[series]}
    elif series is not None and len(runs) > 1:
        names = ", ".join(list(runs)[:MAX_NAMED])
        raise InputError(f"several runs in training log {found.path}: {names}; give one of these names as the series")
    default = series_name(found.path)
    tables = [curves.table(series if series and len(runs) == 1 else run or default) for run, curves in runs.items()]
    counts = {name: str(sum(int(table.schema.metadata[name.encode()]) for table in tables)) for name in COUNTS}
    table = pa.concat_tables([table.cast(CURVES_SCHEMA) for table in tables])
    return table.replace_schema_metadata(counts | {"kind": found.kind, "source": str(found.path)})


def read_found(found: FoundLog) -> dict[str, Curves]:
    """Return the values of a log by run; raises what its reader raises."""
    return READERS[found.kind](found.paths)


def series_name(path: Path) -> str:
    """Return the name of the folder of a training, from a log in it; that of the file where the folder has none."""
    resolved = path.resolve()
    for folder in [resolved, *resolved.parents] if path.is_dir() else resolved.parents:
        if folder.name and not BETWEEN_RUN_AND_FILE.fullmatch(folder.name):
            return folder.name
    return resolved.stem or "policy"


def found_log(path: Path) -> FoundLog:
    """Return the log that a path names.

    Raises:
        InputError: there is no such path, or it holds no log that is known.
    """
    if path.is_dir():
        logs = find_logs(path)
        if not logs:
            raise InputError(f"no training log in {path}: it holds none of {NAMES}; name the log, or its folder")
        return logs[0]
    return FoundLog(_kind(path, start_of(path)), (path,), path, 0)


def _kind(path: Path, start: bytes) -> str:
    """Return the kind of a file from its first bytes; only JSON Lines are told by their name where they are cut."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(trackio.MAGIC):
        return TRACKIO
    if start.startswith(wandb_file.MAGIC):
        return WANDB
    if tensorboard.is_event_file(start):
        return TENSORBOARD
    if text[:1] in (b"{", b"["):
        lines = path.suffix == ".jsonl" or (path.suffix != ".json" and _has_json_lines(path, start))
        return JSON_LINES if lines else TRAINER_STATE
    row = csv_export.first_row(start)
    if path.suffix.lower() == ".csv" or csv_export.is_log(row):
        return CSV
    raise InputError(f"no training log in {path}: its bytes are those of none of {NAMES}; name another file")


def _has_json_lines(path: Path, start: bytes) -> bool:
    return json_lines.is_json_lines(start if len(start) < START_BYTES else start_of(path, json_lines.MAX_LINE))


def last_step(found: FoundLog) -> int | None:
    """Return the last step of a log; None where it cannot be read. The whole log is read for it."""
    try:
        if found.kind == TRAINER_STATE:
            return trainer_state.global_step(found.paths[0])
        return max((curves.last_step or 0 for curves in read_found(found).values()), default=None)
    except InputError:
        return None

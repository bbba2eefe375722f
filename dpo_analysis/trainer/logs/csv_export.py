"""CSV files: an export of W&B's charts, or any table with a step and metrics as columns."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dpo_analysis.errors import InputError
from dpo_analysis.text.plain_numbers import parse_number
from dpo_analysis.trainer.logs.aliases import LOG_CALLS, METRIC_OF, NOT_METRICS, STEP_NAMES, split_and_name, trl_key
from dpo_analysis.trainer.logs.curves import Curves, as_step
from dpo_analysis.trainer.logs.files import open_log, unreadable

MAX_FILE = 2**30
MAX_CELL = 2**20
MAX_COLUMNS = 20_000
BETWEEN = " - "
"""What W&B writes between the name of a run and that of a metric."""
BOUNDS = ("__MIN", "__MAX")
"""Ends of the columns that hold the least and the largest of the values that W&B has averaged into a point."""
NOT_BY_STEP = frozenset({"pair_id", "prompt", "chosen", "rejected", "side", "model", "series"})
"""Columns of tables that have several rows for a step: of pairs, of responses, of checkpoints."""
WORDS = {"": None, "infinity": "inf", "-infinity": "-inf"}


class Column(NamedTuple):
    """A column: its place, its run ("" where it names none), and the name as in trainer_state.json."""

    place: int
    run: str
    key: str


def read(files: Sequence[Path]) -> dict[str, Curves]:
    """Return the values of the first of ``files`` by run; rows that are cut off or not CSV are counted.

    The step of a row is the run's ``train/global_step`` where there is such a column, else that of the table.

    Raises:
        InputError: the file cannot be read, is over 1 GiB, or has no column with the step.
    """
    with open_log(files[0], MAX_FILE) as handle:
        text = io.TextIOWrapper(handle, "utf-8-sig", errors="replace", newline="")
        try:
            return _read(csv.reader(text), files[0])
        except OSError as error:
            raise unreadable(files[0], error) from error


def is_log(header: Sequence[str]) -> bool:
    """Return whether the columns of a CSV file are those of a training log: a step, and a metric that we know."""
    columns = _columns(header)
    known = any(split_and_name(column.key)[1] in METRIC_OF for column in columns)
    return known and bool(_step_columns(columns)) and not NOT_BY_STEP & set(header)


def first_row(start: bytes) -> list[str]:
    """Return the cells of the first row of a file that begins with these bytes."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
    try:
        return next(csv.reader(io.StringIO(start.decode("utf-8-sig", "replace"), newline="")), [])
    except csv.Error:
        return []


def _read(rows: Iterator[list[str]], file: Path) -> dict[str, Curves]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise InputError(f"damaged training log {file}: {error}; export it again") from error
    columns = _columns(header)
    steps = _step_columns(columns)
    if not steps or len(header) > MAX_COLUMNS:
        known = ", ".join(("Step", "step", "train/global_step"))
        raise InputError(f"no steps in training log {file}: no column is called {known}; name the step's column 'step'")
    others = sorted(NOT_BY_STEP & set(header))
    if others:
        raise InputError(
            f"no training log in {file}: its column {others[0]!r} is of a table of pairs or checkpoints, not of steps; "
            "name the trainer's log"
        )
    curves = {column.run: Curves() for column in columns if column.key not in NOT_METRICS} or {"": Curves()}
    damaged = 0
    while True:
        try:
            cells = next(rows, None)
        except csv.Error:
            damaged += 1
            continue
        if cells is None:
            break
        if len(cells) == len(header):
            _add(cells, columns, steps, curves)
        elif cells:
            damaged += 1
    for found in curves.values():
        found.damaged = damaged
    return curves


def _columns(header: Sequence[str]) -> list[Column]:
    """Return the columns with a name, but for those of the least and the largest value."""
    columns = []
    for place, name in enumerate(header):
        run, between, metric = name.strip().rpartition(BETWEEN)
        if metric and not metric.endswith(BOUNDS):
            columns.append(
                Column(place, run if between else "", trl_key(metric) if metric not in STEP_NAMES else metric)
            )
    return columns


def _step_columns(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """Return, by run, the columns with its step, the surest first; those of the table, under "", serve every run."""
    found = [column for name in STEP_NAMES for column in columns if column.key == name]
    runs = {column.run for column in columns} | {""}
    by_run = {run: [column for column in found if column.run in (run, "")] for run in runs}
    return by_run if found else {}


def _add(
    cells: Sequence[str], columns: Sequence[Column], steps: dict[str, list[Column]], curves: dict[str, Curves]
) -> None:
    """Add the cells of a row to the curves of their runs."""
    for column in columns:
        number = _number(cells[column.place])
        if number is None or column.key.startswith("_") or (column.key in NOT_METRICS and column.key != "epoch"):
            continue
        found = ((counter.key, as_step(_number(cells[counter.place]))) for counter in steps[column.run])
        name, step = next(((name, step) for name, step in found if step is not None), ("", None))
        run = curves.get(column.run)
        if step is None or run is None:
            continue
        if column.key == "epoch":
            run.add_epoch(step, number)
        else:
            run.add(column.key, step, number)
            run.log_calls += name in LOG_CALLS


def _number(cell: str) -> float | None:
    word = cell.strip().lower()
    word = WORDS.get(word, word)
    try:
        return None if word is None else parse_number(word)
    except ValueError:
        return None

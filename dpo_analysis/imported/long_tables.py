"""Long tables of summed log-probs: one row for each pair, model and side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dpo_analysis.data.sources import Row, read_rows
from dpo_analysis.errors import InputError
from dpo_analysis.imported.imported_sums import FACTS, THE_REFERENCE, Gathered, Label, step_of
from dpo_analysis.schema import REFERENCE, SIDES

READ = ("pair_id", "row", "series", "model", "step", "side", "split", "logps", "reference_logps", *FACTS)
"""The columns that are read; others are left out, and said to be."""
NEEDED = "a row needs pair_id (or row), model (or step), side and logps"


def gather_rows(source: object, split: str | None, series: str, into: Gathered) -> None:
    """Read a long table: a file (.parquet, .csv, .jsonl ...), a DataFrame or a list of rows.

    Columns: ``pair_id``, or ``row`` (a number); ``model``, or ``step`` alone, which is then the name, too; ``side``
    (chosen, rejected); ``logps`` (nats, summed over the response; empty where unknown); and, if there are, ``series``,
    ``split``, ``prompt``, ``chosen``, ``rejected``, ``group_id`` and ``reference_logps``: what the reference says of
    the same response, which may stand in every row of it. A model called ``reference`` is the reference.

    Args:
        source: the table.
        split: the split of all its rows; None: each row's own, else ``eval``.
        series: what a policy without a ``series`` of its own belongs to.
        into: what was gathered before.

    Raises:
        InputError: the table cannot be read, or a row lacks what is needed; its place is named.
    """
    seen: dict[tuple[int, int], float] = {}
    for row in read_rows(source):
        values = {name: _plain(row.values.get(name)) for name in READ}
        into.unused += [name for name in row.values if name not in READ and name not in into.unused]
        pair = _pair(row, values, split, into)
        side = _side(row, values)
        label = _label(row, values, series)
        into.add(into.model(label, row.where), pair, side, _number(row, values["logps"], "logps"))
        if values["reference_logps"] is not None and label != THE_REFERENCE:
            _reference(row, (pair, side), _number(row, values["reference_logps"], "reference_logps"), seen)
    for (pair, side), logps in seen.items():
        into.add(into.model(THE_REFERENCE, str(source)), pair, side, logps)


def _pair(row: Row, values: Mapping[str, Any], split: str | None, into: Gathered) -> int:
    named = values["pair_id"] is not None
    name = values["pair_id"] if named else values["row"]
    if name is None:
        raise _bad(row, f"no pair_id and no row, only {sorted(row.values)}", NEEDED)
    text = str(name) if named else str(_whole(row, name, "row"))
    facts = {fact: str(values[fact]) for fact in FACTS if values[fact] is not None}
    own = split or values["split"] or row.split
    return into.pair(str(own), text, row.where, named=named, facts=facts)


def _side(row: Row, values: Mapping[str, Any]) -> int:
    if values["side"] not in SIDES:
        raise _bad(row, f"side is {values['side']!r}", f"write {' or '.join(SIDES)}")
    return SIDES.index(values["side"])


def _label(row: Row, values: Mapping[str, Any], series: str) -> Label:
    if values["model"] is None and values["step"] is None:
        raise _bad(row, f"no model and no step, only {sorted(row.values)}", NEEDED)
    if values["model"] == REFERENCE:
        return THE_REFERENCE
    step = None if values["step"] is None else _whole(row, values["step"], "step")
    name = str(step) if values["model"] is None else str(values["model"])
    own = str(values["series"]) if values["series"] is not None else series
    if own == REFERENCE or "/" in own:
        raise _bad(row, f"series is {own!r}", f"it is one word without '/', and not {REFERENCE!r}")
    return Label(own, name, step_of(name) if step is None else step)


def _reference(row: Row, place: tuple[int, int], logps: float, seen: dict[tuple[int, int], float]) -> None:
    before = seen.setdefault(place, logps)
    if before != logps and not (math.isnan(before) and math.isnan(logps)):
        raise _bad(
            row, f"reference_logps is {logps} and was {before} for the same response",
            "a run has one reference; import the tables of another one into another folder",
        )  # fmt: skip


def _plain(value: object) -> Any:
    """``value``, or None for what a file shows as an empty cell."""
    empty = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if empty or str(value) == "<NA>" else value


def _number(row: Row, value: object, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, Sequence) and not isinstance(value, str):
        raise _bad(row, f"{name} is a list", "give the sum over the response: one number")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _bad(row, f"{name} is {str(value)[:40]!r}", "give the summed log-prob in nats: one number") from None


def _whole(row: Row, value: object, name: str) -> int:
    number = _number(row, value, name)
    if not math.isfinite(number) or number < 0 or number != int(number):
        raise _bad(row, f"{name} is {str(value)[:40]!r}", "give a whole number from 0 on")
    return int(number)


def _bad(row: Row, why: str, fix: str) -> InputError:
    return InputError(f"bad row in {row.where}: {why}; {fix}")

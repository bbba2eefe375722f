"""Long tables of summed log-probs: a row for each pair, model and side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dpo_analysis.data.shapes.json_values import SURROGATE, without_surrogates
from dpo_analysis.data.sources import Row, read_rows
from dpo_analysis.errors import InputError
from dpo_analysis.imported.imported_sums import (
    MAX_WHOLE,
    PAIR_FIELDS,
    THE_REFERENCE,
    ImportedModel,
    ImportedSums,
    step_from_name,
)
from dpo_analysis.schema import REFERENCE, SIDES
from dpo_analysis.text.plain_numbers import parse_number

COLUMNS = ("pair_id", "row", "series", "model", "step", "side", "split", "logps", "reference_logps", *PAIR_FIELDS)
"""The columns that are read; the names of all other columns are reported."""
NEEDED_COLUMNS = "a row needs pair_id (or row), model (or step), side and logps"


def read_long_table(source: object, split: str | None, series: str, sums: ImportedSums) -> None:
    """Read a long table: a file (.parquet, .csv, .jsonl ...), a DataFrame or a list of rows.

    Needed columns: ``pair_id``, or ``row`` (a number); ``model``, or ``step``, which then is the name, too; ``side``
    (chosen, rejected); ``logps`` (nats, summed over the response; empty where unknown). Optional columns: ``series``,
    ``split``, ``prompt``, ``chosen``, ``rejected``, ``group_id`` and ``reference_logps``, the reference's sum for the
    same response, which every row of the response may repeat. A model named ``reference`` is the reference.

    Args:
        source: the table.
        split: the split of all its rows; None for the split that each row names, else ``eval``.
        series: the series of policies whose rows name no series.
        sums: takes what is read.

    Raises:
        InputError: the table cannot be read, or a row lacks a needed value; the message names its place.
    """
    reference_sums: dict[tuple[int, int], float] = {}
    for row in read_rows(source):
        values = {name: _value_or_none(row.values.get(name)) for name in COLUMNS}
        sums.unused += [name for name in row.values if name not in COLUMNS and name not in sums.unused]
        pair = _read_pair(row, values, split, sums)
        side = _read_side(row, values)
        model = _read_model(row, values, series)
        sums.add_sum(sums.add_model(model, row.where), pair, side, _number(row, values["logps"], "logps"))
        if values["reference_logps"] is not None and model != THE_REFERENCE:
            logps = _number(row, values["reference_logps"], "reference_logps")
            _set_reference_sum(row, (pair, side), logps, reference_sums)
    for (pair, side), logps in reference_sums.items():
        sums.add_sum(sums.add_model(THE_REFERENCE, str(source)), pair, side, logps)


def _read_pair(row: Row, values: Mapping[str, Any], split: str | None, sums: ImportedSums) -> int:
    """Return the index of the pair of a row, added if new."""
    has_id = values["pair_id"] is not None
    name = values["pair_id"] if has_id else values["row"]
    if name is None:
        raise _bad_row(row, f"no pair_id and no row, only {sorted(row.values)}", NEEDED_COLUMNS)
    text = str(name) if has_id else str(_whole_number(row, name, "row"))
    # A text is only shown, and loses what UTF-8 cannot store; by a name rows are told apart, and it must stay as it is.
    fields = {key: without_surrogates(str(values[key])) for key in PAIR_FIELDS if values[key] is not None}
    split = str(split or values["split"] or row.split)
    return sums.add_pair(
        _name(row, split, "split"), _name(row, text, "pair_id"), row.where, has_id=has_id, fields=fields
    )


def _read_side(row: Row, values: Mapping[str, Any]) -> int:
    """Return the index in ``SIDES`` of the side of a row."""
    if values["side"] not in SIDES:
        raise _bad_row(row, f"side is {values['side']!r}", f"write {' or '.join(SIDES)}")
    return SIDES.index(values["side"])


def _read_model(row: Row, values: Mapping[str, Any], series: str) -> ImportedModel:
    if values["model"] is None and values["step"] is None:
        raise _bad_row(row, f"no model and no step, only {sorted(row.values)}", NEEDED_COLUMNS)
    if values["model"] == REFERENCE:
        return THE_REFERENCE
    step = None if values["step"] is None else _whole_number(row, values["step"], "step")
    name = str(step) if values["model"] is None else str(values["model"])
    series = str(values["series"]) if values["series"] is not None else series
    if series == REFERENCE or "/" in series:
        raise _bad_row(row, f"series is {series!r}", f"it is one word without '/', and not {REFERENCE!r}")
    series, name = _name(row, series, "series"), _name(row, name, "model")
    return ImportedModel(series, name, step_from_name(name) if step is None else step)


def _name(row: Row, text: str, column: str) -> str:
    """Return the name of a pair, a split, a series or a model, checked to be text that UTF-8 can store."""
    if SURROGATE.search(text):
        raise _bad_row(row, f"{column} holds half of a character", "write the table again, as UTF-8")
    return text


def _set_reference_sum(
    row: Row, response: tuple[int, int], logps: float, reference_sums: dict[tuple[int, int], float]
) -> None:
    """Store the reference's sum for a response, given by pair and side; an earlier row must have the same sum."""
    before = reference_sums.setdefault(response, logps)
    if before != logps and not (math.isnan(before) and math.isnan(logps)):
        why = f"reference_logps is {logps} and was {before} for the same response"
        raise _bad_row(row, why, "a run has one reference; import the tables of another one into another folder")


def _value_or_none(value: object) -> Any:
    """Return ``value``, or None for what a file shows as an empty cell."""
    empty = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if empty or str(value) == "<NA>" else value


def _number(row: Row, value: Any, name: str) -> float:
    """Return ``value`` as a float; NaN for None."""
    if value is None:
        return math.nan
    if isinstance(value, Sequence) and not isinstance(value, str):
        raise _bad_row(row, f"{name} is a list", "give the sum over the response: one number")
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError(value)
        return parse_number(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise _bad_row(row, f"{name} is {str(value)[:40]!r}", "give the summed log-prob in nats: one number") from None


def _whole_number(row: Row, value: object, name: str) -> int:
    number = _number(row, value, name)
    if not math.isfinite(number) or not 0 <= number < MAX_WHOLE or number != int(number):
        raise _bad_row(row, f"{name} is {str(value)[:40]!r}", f"give a whole number from 0 to {MAX_WHOLE - 1}")
    return int(number)


def _bad_row(row: Row, why: str, fix: str) -> InputError:
    return InputError(f"bad row in {row.where}: {why}; {fix}")

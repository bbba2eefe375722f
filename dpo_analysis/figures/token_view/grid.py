"""One response under several models as rectangles of numbers: what each unit is worth, and what fell there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis import schema
from dpo_analysis.figures.scales import scale_of, with_change
from dpo_analysis.figures.token_view.colors import BY_NAME, of_units
from dpo_analysis.figures.token_view.glyphs import Cell
from dpo_analysis.figures.token_view.text_units import UNITS, units

Key = tuple[str, str]
"""A policy: series and name."""


class Noise(Protocol):
    """How far two scorings of one model differ, nats: of one token, and of a whole response."""

    @property
    def token(self) -> float: ...  # noqa: D102
    @property
    def response(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Grid:
    """One side: its units, and values and noise marks of shape (models, entries).

    Attributes:
        cells: what is drawn; a cell of "token" has as many entries as tokens, any other unit one.
        pieces: the bytes of each token.
        starts: the first token of each entry, shape (entries,).
        token_ids: of every token.
        values: what is coloured.
        falls: the change of the log-prob against the reference (for ``change``: since the first model), nats; what
            lies below the noise floor is 0.
        quiet: whether a value lies below the noise floor.
        totals: of the whole response, shape (models,).
    """

    cells: list[Cell]
    pieces: list[bytes]
    starts: NDArray[np.int64]
    token_ids: list[int]
    values: NDArray[np.float64]
    falls: NDArray[np.float64]
    quiet: NDArray[np.bool_]
    totals: NDArray[np.float64]


def grid_of(rows: pd.DataFrame, models: Sequence[Key], color: str, unit: str, noise: Noise | None) -> Grid | None:
    """One side of a token table (with ``change``, if that is the colour) as a grid; None where it has no token."""
    if rows.empty:
        return None
    first = rows.drop_duplicates("position").sort_values("position")
    pieces = _pieces(first)
    cells = units(pieces, unit)
    count, token = len(first), unit == UNITS[0]
    starts = np.arange(count) if token else np.array([cell.first for cell in cells])
    column, known = "credit" if color == "credit_z" else color, BY_NAME[color]
    order = _order(rows, models)
    parts = _matrix(rows, order, column, len(models), count)
    variance = _matrix(rows, order, "credit_variance", len(models), count) if color == "credit_z" else None
    ratio = _matrix(rows, order, "log_ratio", len(models), count)
    if color == "change":
        ratio = ratio - ratio[:1]
    falls = np.add.reduceat(ratio, starts, axis=1)
    noisy = of_units(color, ratio.cumsum(axis=1), None, starts) if color == "value" else falls
    whole = np.zeros(1, dtype=np.int64)
    return Grid(
        cells=cells,
        pieces=pieces,
        starts=starts,
        token_ids=list(first["token_id"]) if "token_id" in first else [],
        values=of_units(color, parts, variance, starts),
        falls=np.where(np.abs(falls) < _floor(noise, token), 0.0, falls),
        quiet=np.abs(noisy) < (_floor(noise, token and color != "value") if known.noisy else 0.0),
        totals=of_units(color, parts, variance, whole)[:, 0] / (count if color == "entropy" else 1),
    )


def spread(tokens: pd.DataFrame, color: str, unit: str, base: str) -> float:
    """The scale of a colour over a token table: what ``scale_of`` says of all its units, of all pairs and models.

    Args:
        tokens: a token table, of any number of pairs.
        color: one of ``COLORS``.
        unit: one of ``UNITS``.
        base: the policy (SERIES/NAME) that ``change`` is measured from.
    """
    table = with_change(tokens, base) if color == "change" else tokens
    if unit == UNITS[0]:
        return scale_of(table[color])
    found = []
    for _, rows in table.groupby(["pair_id", "side"], sort=False):
        keys = list(dict.fromkeys(zip(rows["series"], rows["model"], strict=True)))
        grid = grid_of(rows, keys, color, unit, None)
        found.append(grid.values.ravel() if grid else np.zeros(0))
    return scale_of(np.concatenate([np.zeros(0), *found]))


def sides(tokens: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each side that has any, in the order of ``schema.SIDES``."""
    parts = {side: tokens[tokens["side"] == side] for side in schema.SIDES}
    return {side: rows for side, rows in parts.items() if len(rows)}


def _floor(noise: Noise | None, of_token: bool) -> float:
    """Nats; of several tokens together that of a response."""
    return 0.0 if noise is None else noise.token if of_token else noise.response


def _pieces(first: pd.DataFrame) -> list[bytes]:
    """The bytes of each token; of a run without vocabulary what stands for them."""
    pieces = list(first["token_bytes"])
    if all(isinstance(piece, bytes) for piece in pieces):
        return pieces
    return [text.encode() for text in first["text"]]


def _order(rows: pd.DataFrame, models: Sequence[Key]) -> NDArray[np.int64]:
    """The place of each row's model in ``models``, shape (rows,); -1 for another one."""
    codes, names = zip(*(pd.factorize(rows[name]) for name in ("series", "model")), strict=True)
    places = np.full([len(one) + 1 for one in names], -1)
    for index, (series, model) in enumerate(models):
        if series in names[0] and model in names[1]:
            places[names[0].get_loc(series), names[1].get_loc(model)] = index
    return places[codes[0], codes[1]]


def _matrix(
    rows: pd.DataFrame, order: NDArray[np.int64], column: str, n_models: int, count: int
) -> NDArray[np.float64]:
    """One column as (models, tokens); NaN where a model has no value."""
    matrix, known = np.full((n_models, count), np.nan), order >= 0
    matrix[order[known], rows["position"].to_numpy(dtype=int)[known]] = rows[column].to_numpy(dtype=float)[known]
    return matrix

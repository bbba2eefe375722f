"""One response under several models as matrices of numbers: the value of each unit, and what fell there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis import schema
from dpo_analysis.figures.scales import scale_of, with_change
from dpo_analysis.figures.token_view.colors import BY_NAME, unit_values
from dpo_analysis.figures.token_view.glyphs import Glyph
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
    """One response under several models.

    An entry is what gets a colour: a token where the unit is "token", else a unit. A glyph of the unit "token" may hold
    several entries (tokens that share a character); of any other unit it holds one.

    Attributes:
        glyphs: what is drawn.
        pieces: the bytes of each token.
        starts: the first token of each entry, shape (entries,).
        token_ids: of every token; empty where the table has none.
        values: the colour's number, shape (models, entries), in the unit of the colour.
        falls: the change of the log-prob against the reference (for ``change``: since the first model), shape (models,
            entries), nats; 0 below the noise floor.
        quiet: whether a value lies below the noise floor, shape (models, entries).
        totals: of the whole response, shape (models,), in the unit of the colour.
    """

    glyphs: list[Glyph]
    pieces: list[bytes]
    starts: NDArray[np.int64]
    token_ids: list[int]
    values: NDArray[np.float64]
    falls: NDArray[np.float64]
    quiet: NDArray[np.bool_]
    totals: NDArray[np.float64]


def response_grid(rows: pd.DataFrame, models: Sequence[Key], color: str, unit: str, noise: Noise | None) -> Grid | None:
    """Return one side of a token table as a grid; None where it has no token.

    Args:
        rows: the rows of one side of one pair, with ``change`` if that is the colour.
        models: the policies, in the order of the grid's rows.
        color: one of ``COLORS``.
        unit: one of ``UNITS``.
        noise: the noise floor; None counts nothing as noise.
    """
    if rows.empty:
        return None
    first = rows.drop_duplicates("position").sort_values("position")
    pieces = _pieces(first)
    glyphs = units(pieces, unit)
    count, by_token = len(first), unit == UNITS[0]
    starts = np.arange(count) if by_token else np.array([glyph.first for glyph in glyphs])
    column, noisy = "credit" if color == "credit_z" else color, BY_NAME[color].noisy
    order = _model_indices(rows, models)
    parts = _matrix(rows, order, column, len(models), count)
    variance = _matrix(rows, order, "credit_variance", len(models), count) if color == "credit_z" else None
    log_ratios = _matrix(rows, order, "log_ratio", len(models), count)
    if color == "change":
        log_ratios = log_ratios - log_ratios[:1]
    falls = np.add.reduceat(log_ratios, starts, axis=1)
    changes = unit_values(color, log_ratios.cumsum(axis=1), None, starts) if color == "value" else falls
    whole = np.zeros(1, dtype=np.int64)
    return Grid(
        glyphs=glyphs,
        pieces=pieces,
        starts=starts,
        token_ids=list(first["token_id"]) if "token_id" in first else [],
        values=unit_values(color, parts, variance, starts),
        falls=np.where(np.abs(falls) < _floor(noise, by_token), 0.0, falls),
        quiet=np.abs(changes) < (_floor(noise, by_token and color != "value") if noisy else 0.0),
        totals=unit_values(color, parts, variance, whole)[:, 0] / (count if color == "entropy" else 1),
    )


def color_scale(tokens: pd.DataFrame, color: str, unit: str, base: str) -> float:
    """Return the scale of a colour over all units of a token table (``scale_of``), in the unit of the colour.

    Args:
        tokens: a token table, of any number of pairs and models.
        color: one of ``COLORS``.
        unit: one of ``UNITS``.
        base: the policy (SERIES/NAME) that ``change`` is measured from.
    """
    table = with_change(tokens, base) if color == "change" else tokens
    if unit == UNITS[0]:
        return scale_of(table[color])
    values = [np.zeros(0)]
    for _, rows in table.groupby(["pair_id", "side"], sort=False):
        keys = list(dict.fromkeys(zip(rows["series"], rows["model"], strict=True)))
        grid = response_grid(rows, keys, color, unit, None)
        values.append(grid.values.ravel() if grid else np.zeros(0))
    return scale_of(np.concatenate(values))


def rows_by_side(tokens: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each side that has any, in the order of ``schema.SIDES``."""
    rows = {side: tokens[tokens["side"] == side] for side in schema.SIDES}
    return {side: of_side for side, of_side in rows.items() if len(of_side)}


def _floor(noise: Noise | None, of_token: bool) -> float:
    """Return the noise floor, nats; for several tokens together that of a response."""
    return 0.0 if noise is None else noise.token if of_token else noise.response


def _pieces(first: pd.DataFrame) -> list[bytes]:
    """Return the bytes of each token; in a run without vocabulary those of the text that stands for it."""
    pieces = list(first["token_bytes"])
    if all(isinstance(piece, bytes) for piece in pieces):
        return pieces
    return [text.encode() for text in first["text"]]


def _model_indices(rows: pd.DataFrame, models: Sequence[Key]) -> NDArray[np.int64]:
    """Return the index of each row's model in ``models``, shape (rows,); -1 for another model."""
    codes, names = zip(*(pd.factorize(rows[name]) for name in ("series", "model")), strict=True)
    indices = np.full([len(index) + 1 for index in names], -1)
    for place, (series, model) in enumerate(models):
        if series in names[0] and model in names[1]:
            indices[names[0].get_loc(series), names[1].get_loc(model)] = place
    return indices[codes[0], codes[1]]


def _matrix(
    rows: pd.DataFrame, order: NDArray[np.int64], column: str, n_models: int, count: int
) -> NDArray[np.float64]:
    """Return a column as (models, tokens); NaN where a model has no value."""
    matrix, known = np.full((n_models, count), np.nan), order >= 0
    matrix[order[known], rows["position"].to_numpy(dtype=int)[known]] = rows[column].to_numpy(dtype=float)[known]
    return matrix

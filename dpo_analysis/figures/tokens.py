"""The token view: chosen above rejected, checkpoints side by side, every token coloured by one number on one scale.

``payload`` turns a token table into what tokens.js draws; ``token_view`` wraps it as a page for a notebook or a file.
"""

import hashlib
import html
import json
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from dpo_analysis import schema, words
from dpo_analysis.errors import InputError
from dpo_analysis.figures.cells import ESCAPE, NEWLINE, SPACE, TAB, TEXT, Cell, cells
from dpo_analysis.figures.scales import scale_end, scale_of
from dpo_analysis.figures.theme import signed, unit
from dpo_analysis.figures.token_page import BINS, page

COLORS = ("advantage", "value", "logp", "reference_logp", "change")
"""What tokens can be coloured by; ``change`` is the change of the advantage since the first checkpoint shown."""
PANELS = 4
NOISE_BIN, MISSING_BIN = "~", " "
NEEDED = frozenset(
    "pair_id side series model step position token_bytes logp reference_logp log_ratio advantage value".split()
)
"""The columns that a token view is made from."""
KINDS = {TEXT: "", NEWLINE: "n", TAB: "t", SPACE: "s", ESCAPE: "e"}


class Noise(Protocol):
    """How far two scorings of one model differ, nats: of one token, and of a whole response."""

    @property
    def token(self) -> float: ...  # noqa: D102
    @property
    def response(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token view that a notebook shows as it is; ``html`` is the same as one self-contained page."""

    payload: dict[str, Any]

    @property
    def html(self) -> str:
        """One HTML page that loads nothing and runs only its own script (content-security policy by hash)."""
        return page(self.payload)

    def _repr_html_(self) -> str:
        tokens = max((len(bins) for side in self.payload["sides"] for bins in side["bins"]), default=0)
        height = 150 + len(self.payload["sides"]) * min(480, 70 + 10 * max(6, tokens // 3))
        source = html.escape(self.html, quote=True)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{source}" style="width:100%;height:{height}px;border:0"></iframe>'
        )


def token_view(
    tokens: pd.DataFrame,
    *,
    color: str = "advantage",
    noise: Noise | None = None,
    scale: float | None = None,
    lang: str = "en",
) -> TokenView:
    """Colour the tokens of one pair; of more than four checkpoints the first, the middle and the last are shown.

    Args:
        tokens: the token table of one pair (``dpo_analysis.tables.token_table`` or ``scoring.score_text``).
        color: advantage (beta x nats), value (their running sum), logp, reference_logp (nats), or change.
        noise: the run's noise floor; what lies below it is grey.
        scale: the value that gets the full colour; None is the 99th percentile over all panels shown.
        lang: "en" or "zh".

    Raises:
        InputError: no tokens, tokens of several pairs, or an unknown color.
    """
    return TokenView(payload(tokens, color=color, noise=noise, scale=scale, lang=lang))


def payload(
    tokens: pd.DataFrame,
    *,
    color: str = "advantage",
    noise: Noise | None = None,
    scale: float | None = None,
    lang: str = "en",
) -> dict[str, Any]:
    """What tokens.js draws, ready for JSON: cells and words once, values and shades per side and model.

    Arguments and errors as ``token_view``.
    """
    _check(tokens, color)
    chosen = _models(tokens)
    grids = {side: _grids(tokens[tokens["side"] == side], chosen, color, noise) for side in schema.SIDES}
    grids = {side: grid for side, grid in grids.items() if grid is not None}
    limit = scale or scale_of(np.concatenate([grid.values.ravel() for grid in grids.values()]))
    base = chosen[0] if color == "change" else None
    data = {
        "color": color,
        "scale": limit,
        "unit": unit("advantage" if color == "change" else color, lang),
        "signed": not color.endswith("logp"),
        "models": [_label(tokens, key, lang) for key in chosen],
        "sides": [_side(side, grid, limit, color, lang) for side, grid in grids.items()],
        "words": _words(color, limit, "" if base is None else _label(tokens, base, lang), lang),
    }
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return {"id": digest[:16], **data}


@dataclass(frozen=True, slots=True)
class _Grid:
    """One side: byte pieces, and values and noise marks of shape (models, tokens)."""

    pieces: list[bytes]
    values: np.ndarray
    quiet: np.ndarray


def bins(values: np.ndarray, quiet: np.ndarray, limit: float) -> str:
    """One character per token: its shade from -20 ("0") over 0 ("D") to 20 ("X"); "~" is noise, a blank no value."""
    with np.errstate(invalid="ignore"):
        strength = np.minimum(np.abs(values) / limit, 1.0) ** 0.8
        shades = np.where(np.isfinite(values), np.rint(np.sign(values) * strength * BINS), 0).astype(int)
    letters = [chr(ord("0") + BINS + shade) for shade in shades]
    return "".join(
        MISSING_BIN if not math.isfinite(value) else NOISE_BIN if still else letter
        for letter, value, still in zip(letters, values, quiet, strict=True)
    )


def _check(tokens: pd.DataFrame, color: str) -> None:
    lacking = sorted(NEEDED - set(tokens.columns)) if isinstance(tokens, pd.DataFrame) else ["columns at all"]
    if lacking:
        raise InputError(
            f"no token table in this {type(tokens).__name__}: it has no {', '.join(lacking[:3])}; give one pair's "
            "dpo_analysis.token_table(run, pair_id=...), or what score_text returns"
        )
    if color not in COLORS:
        raise InputError(
            f"unknown color {color!r} for the token view: it can be {', '.join(COLORS)}; give one of these"
        )
    if tokens.empty:
        raise InputError("no tokens to show: the table has no rows; give the token table of one scored pair")
    if tokens["pair_id"].nunique() > 1:
        raise InputError("tokens of several pairs in one token view: it shows one; select by pair_id first")


def _models(tokens: pd.DataFrame) -> list[tuple[str, str]]:
    keys = list(dict.fromkeys(zip(tokens["series"], tokens["model"], strict=True)))
    return keys if len(keys) <= PANELS else [keys[0], keys[len(keys) // 2], keys[-1]]


def _label(tokens: pd.DataFrame, key: tuple[str, str], lang: str) -> str:
    """A checkpoint as a panel names it: its step, else its name; behind its series where there are several."""
    series, model = key
    step = tokens.loc[(tokens["series"] == series) & (tokens["model"] == model), "step"].iloc[0]
    name = model if pd.isna(step) else words.text("figure.step", lang, step=int(step))
    return name if tokens["series"].nunique() == 1 else f"{series} · {name}"


def _grids(rows: pd.DataFrame, models: list[tuple[str, str]], color: str, noise: Noise | None) -> _Grid | None:
    if rows.empty:
        return None
    pieces = rows.drop_duplicates("position").sort_values("position")
    column = "advantage" if color == "change" else color
    values = _matrix(rows, models, column, len(pieces))
    ratio = _matrix(rows, models, "log_ratio", len(pieces))
    if color == "change":
        values, ratio = values - values[:1], ratio - ratio[:1]
    floor = 0.0 if noise is None or color.endswith("logp") else noise.response if color == "value" else noise.token
    quiet = np.abs(ratio.cumsum(axis=1) if color == "value" else ratio) < floor
    return _Grid(list(pieces["token_bytes"]), values, quiet)


def _matrix(rows: pd.DataFrame, models: list[tuple[str, str]], column: str, count: int) -> np.ndarray:
    """One column as (models, tokens); NaN where a model has no value."""
    matrix = np.full((len(models), count), np.nan)
    for index, (series, model) in enumerate(models):
        mine = rows[(rows["series"] == series) & (rows["model"] == model)]
        matrix[index, mine["position"].to_numpy(dtype=int)] = mine[column].to_numpy(dtype=float)
    return matrix


def _side(side: str, grid: _Grid, limit: float, color: str, lang: str) -> dict[str, Any]:
    finals = grid.values[:, -1] if color == "value" else np.nansum(grid.values, axis=1)
    return {
        "side": side,
        "label": words.text(f"side.{side}", lang),
        "cells": [_cell(cell, grid.pieces) for cell in cells(grid.pieces)],
        "values": [[_rounded(value) for value in row] for row in grid.values],
        "bins": [bins(row, quiet, limit) for row, quiet in zip(grid.values, grid.quiet, strict=True)],
        "totals": [words.text(f"tokens.total.{color}", lang, value=signed(float(value))) for value in finals],
    }


def _cell(cell: Cell, pieces: list[bytes]) -> str | list[Any]:
    """A plain one-token cell as its text; else [tokens, parts, hexadecimal bytes of each token]."""
    if cell.count == 1 and len(cell.parts) == 1 and cell.parts[0][0] == TEXT:
        return cell.parts[0][1]
    parts = [[KINDS[kind], text] for kind, text in cell.parts]
    return [cell.count, parts, [piece.hex(" ") for piece in pieces[cell.first : cell.first + cell.count]]]


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _words(color: str, limit: float, base: str, lang: str) -> dict[str, str]:
    keys = ("token", "bytes", "noise", "clipped", "keys", "all", "missing")
    said = {key: words.text(f"tokens.view.{key}", lang) for key in keys}
    said["title"] = words.text(f"tokens.color.{color}.meaning", lang, base=base)
    low, high = scale_end(-limit), scale_end(limit)
    return said | {"low": low, "high": high if not color.endswith("logp") else "0"}

"""The payload of the token view: everything that tokens.js draws of a pair, ready for JSON."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis import words
from dpo_analysis.errors import InputError
from dpo_analysis.figures.labels import checkpoint_label
from dpo_analysis.figures.scales import end_labels, scale_ends, scale_of, with_change
from dpo_analysis.figures.theme import unit_label
from dpo_analysis.figures.token_view.colors import AMOUNT, BY_NAME, COLORS, missing_colors
from dpo_analysis.figures.token_view.glyphs import ESCAPE, NEWLINE, SPACE, TAB, TEXT
from dpo_analysis.figures.token_view.grid import Grid, Key, Noise, response_grid, rows_by_side
from dpo_analysis.figures.token_view.marks import DIFFERENT, PAIRED, PREFIX, difference_marks, largest_falls
from dpo_analysis.figures.token_view.number_codec import encode_numbers
from dpo_analysis.figures.token_view.page import SHADES
from dpo_analysis.figures.token_view.text_units import UNITS
from dpo_analysis.text.numbers import signed

MAX_PANELS = 4
NOISE_SHADE, MISSING_SHADE = "~", " "
COLUMNS = frozenset(
    "pair_id side series model step position token_bytes logp reference_logp log_ratio advantage value".split()
)
"""The columns that a token view is made from."""
KINDS = {TEXT: "", NEWLINE: "n", TAB: "t", SPACE: "s", ESCAPE: "e"}
"""The class of each kind of text in tokens.css."""
WORDS = ("token", "tokens", "bytes", "noise", "clipped", "help", "keys", "pairs", "all", "missing", "find", "found")
WORDS += ("nowhere",)
"""The words that tokens.js uses: ``tokens.view.<name>``."""


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """How the tokens of a pair are shown.

    Attributes:
        color: the number that they are coloured by, one of ``COLORS``.
        unit: what gets one colour, one of ``UNITS``.
        marks: whether the shared beginning and what differs from the other response are marked.
        most: whether all but the units that carry 80 % of what fell are dimmed.
        lang: "en" or "zh".
    """

    color: str = "advantage"
    unit: str = "token"
    marks: bool = False
    most: bool = False
    lang: str = "en"


def payload(
    tokens: pd.DataFrame, *, noise: Noise | None = None, scale: float | None = None, about: str = "", **options: Any
) -> dict[str, Any]:
    """Return what tokens.js draws: glyphs and words once, values and shades per side and model.

    Arguments and errors as ``token_view``; ``about`` says over which tokens a given scale is taken.
    """
    shown = DisplayOptions(**options)
    _check(tokens, shown)
    keys = _shown_models(tokens)
    table = with_change(tokens, "/".join(keys[0])) if shown.color == "change" else tokens
    rows = rows_by_side(table)
    all_grids = {side: response_grid(rows[side], keys, shown.color, shown.unit, noise) for side in rows}
    grids = {side: grid for side, grid in all_grids.items() if grid is not None}
    limit = scale or scale_of(np.concatenate([grid.values.ravel() for grid in grids.values()]))
    marks = _marks(grids) if shown.marks else {}
    labels = _model_labels(tokens, keys, shown.lang)
    data = {
        "color": shown.color,
        "scale": limit,
        "unit": unit_label(BY_NAME[shown.color].unit, shown.lang),
        "ramp": BY_NAME[shown.color].ramp,
        "models": labels,
        "sides": [_side_payload(side, grid, limit, marks.get(side, ""), shown) for side, grid in grids.items()],
        "words": _words(shown, limit, labels[0] if shown.color == "change" else "", about),
    }
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return {"id": digest[:16], **data}


def shades(values: np.ndarray, quiet: np.ndarray, limit: float) -> str:
    """Return one character per value: its shade from -20 ("0") over 0 ("D") to 20 ("X"), "~" for noise, " " for none.

    Args:
        values: in the unit of the colour, shape (entries,).
        quiet: whether a value lies below the noise floor, shape (entries,).
        limit: the value that gets the full colour.
    """
    with np.errstate(invalid="ignore"):
        strength = np.minimum(np.abs(values) / limit, 1.0) ** 0.8
        steps = np.where(np.isfinite(values), np.rint(np.sign(values) * strength * SHADES), 0).astype(int)
    letters = [chr(ord("0") + SHADES + step) for step in steps]
    return "".join(
        MISSING_SHADE if not math.isfinite(value) else NOISE_SHADE if is_quiet else letter
        for letter, value, is_quiet in zip(letters, values, quiet, strict=True)
    )


def _check(tokens: pd.DataFrame, options: DisplayOptions) -> None:
    lacking = sorted(COLUMNS - set(tokens.columns)) if isinstance(tokens, pd.DataFrame) else ["columns at all"]
    if lacking:
        raise InputError(
            f"no token table in this {type(tokens).__name__}: it has no {', '.join(lacking[:3])}; give one pair's "
            "dpo_analysis.token_table(run, pair_id=...), or what score_text returns"
        )
    for name, value, allowed in (("color", options.color, COLORS), ("unit", options.unit, UNITS)):
        if value not in allowed:
            raise InputError(
                f"unknown {name} {value!r} for the token view: it can be {', '.join(allowed)}; give one of these"
            )
    if tokens.empty:
        raise InputError("no tokens to show: the table has no rows; give the token table of one scored pair")
    if tokens["pair_id"].nunique() > 1:
        raise InputError("tokens of several pairs in one token view: it shows one; select by pair_id first")
    missing = missing_colors(tokens).get(options.color)
    if missing:
        raise InputError(
            f"no {options.color} in these tokens: {missing} was not collected of this pair; take another color, or "
            "score again with --evidence-pairs all"
        )


def _shown_models(tokens: pd.DataFrame) -> list[Key]:
    """Return the models of a token table; of more than ``MAX_PANELS`` the first, the middle and the last."""
    keys = list(dict.fromkeys(zip(tokens["series"], tokens["model"], strict=True)))
    return keys if len(keys) <= MAX_PANELS else [keys[0], keys[len(keys) // 2], keys[-1]]


def _model_labels(tokens: pd.DataFrame, keys: list[Key], lang: str) -> list[str]:
    """Return each checkpoint's step, else its name; with its series in front where there are several."""
    steps = tokens.drop_duplicates(["series", "model"]).set_index(["series", "model"])["step"]
    names = [checkpoint_label(steps[key], key[1], lang) for key in keys]
    if tokens["series"].nunique() == 1:
        return names
    return [f"{series} · {name}" for (series, _), name in zip(keys, names, strict=True)]


def _marks(grids: dict[str, Grid]) -> dict[str, str]:
    """Return one mark per entry, by side; empty where there is one side, or tokens without ids."""
    if len(grids) < 2 or not all(grid.token_ids for grid in grids.values()):
        return {}
    marks = difference_marks(*(grid.token_ids for grid in grids.values()))
    return {side: _entry_marks(mark, grid.starts) for (side, grid), mark in zip(grids.items(), marks, strict=True)}


def _entry_marks(marks: str, starts: np.ndarray) -> str:
    """Return the mark of each entry: it differs where one of its tokens does, and is prefix where all are."""
    ends = [*starts[1:].tolist(), len(marks)]
    parts = [marks[first:end] for first, end in zip(starts.tolist(), ends, strict=True)]
    return "".join(DIFFERENT if DIFFERENT in part else PREFIX if set(part) == {PREFIX} else PAIRED for part in parts)


def _side_payload(side: str, grid: Grid, limit: float, marks: str, options: DisplayOptions) -> dict[str, Any]:
    by_token = options.unit == UNITS[0]
    data = {
        "side": side,
        "label": words.text(f"side.{side}", options.lang),
        "count": int(grid.glyphs[-1].first + grid.glyphs[-1].count),
        **_cells(grid, by_token),
        "values": [encode_numbers(row) for row in grid.values],
        "bins": [shades(row, quiet, limit) for row, quiet in zip(grid.values, grid.quiet, strict=True)],
        "totals": [_total(float(value), options) for value in grid.totals],
    }
    if not by_token:
        data["at"] = grid.starts.tolist()
    if marks:
        data["marks"] = marks
    return data | (_largest_falls(grid, options.lang) if options.most else {})


def _largest_falls(grid: Grid, lang: str) -> dict[str, Any]:
    """Return per model which entries stay bright ("1") and which are dimmed ("0"), and the sentence about it.

    Where nothing fell the marks are empty, and nothing is dimmed.
    """
    kept, sentences = [], []
    for falls in grid.falls:
        mask = largest_falls(falls)
        if mask is None:
            kept.append("")
            sentences.append(words.text("tokens.most.none", lang))
        else:
            kept.append("".join("01"[int(is_kept)] for is_kept in mask))
            sentences.append(words.text("tokens.most.some", lang, kept=int(mask.sum()), count=len(mask)))
    return {"kept": kept, "most": sentences}


def _total(value: float, options: DisplayOptions) -> str:
    number = signed(value) if BY_NAME[options.color].ramp != AMOUNT else signed(value).removeprefix("+")
    return words.text(f"tokens.total.{options.color}", options.lang, value=number)


def _cells(grid: Grid, by_token: bool) -> dict[str, Any]:
    """Return the texts of all glyphs, one a line, and by place the glyphs that are more than a plain text.

    Such a glyph is [entries, parts, bytes of each token], or [1, parts] where the unit is not a token.
    """
    lines, more = [], {}
    for place, glyph in enumerate(grid.glyphs):
        if (glyph.count == 1 or not by_token) and len(glyph.parts) == 1 and glyph.parts[0][0] == TEXT:
            lines.append(glyph.parts[0][1])
            continue
        parts = [[KINDS[kind], text] for kind, text in glyph.parts]
        token_bytes = [piece.hex(" ") for piece in grid.pieces[glyph.first : glyph.first + glyph.count]]
        lines.append("")
        more[str(place)] = [glyph.count, parts, token_bytes] if by_token else [1, parts]
    return {"cells": "\n".join(lines), "more": more}


def _words(options: DisplayOptions, limit: float, base: str, about: str) -> dict[str, str]:
    """Return the texts of the view: what it shows, the ends of its scale, and what tokens.js says."""
    lang = options.lang
    texts = {name: words.text(f"tokens.view.{name}", lang) for name in WORDS}
    texts["title"] = words.text(f"tokens.color.{options.color}.meaning", lang, base=base)
    if options.unit != UNITS[0]:
        how = {"value": "last", "credit_z": "z"}.get(options.color, "sum")
        texts["summed"] = words.text(f"tokens.unit.{how}", lang, unit=words.text(f"tokens.unit.{options.unit}", lang))
    low, high = end_labels(scale_ends(limit, BY_NAME[options.color].ramp))
    texts |= {"low": low, "high": high, "about": about or words.text("tokens.scale.shown", lang)}
    if options.marks:
        texts |= {"same": words.text("tokens.marks.same", lang), "other": words.text("tokens.marks.other", lang)}
    if options.most:
        texts["most"] = words.text("tokens.most.rule", lang)
    return texts

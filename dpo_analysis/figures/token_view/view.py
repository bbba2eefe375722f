"""The token view: chosen above rejected, checkpoints side by side, every token coloured by one number on one scale.

``payload`` turns a token table into what tokens.js draws; ``token_view`` wraps it as a page for a notebook or a file.
"""

import hashlib
import html
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis import words
from dpo_analysis.errors import InputError
from dpo_analysis.figures.scales import end_words, scale_ends, scale_of, with_change
from dpo_analysis.figures.theme import signed
from dpo_analysis.figures.theme import unit as unit_of
from dpo_analysis.figures.token_view.colors import AMOUNT, BY_NAME, COLORS, absent
from dpo_analysis.figures.token_view.glyphs import ESCAPE, NEWLINE, SPACE, TAB, TEXT
from dpo_analysis.figures.token_view.grid import Grid, Noise, grid_of, sides
from dpo_analysis.figures.token_view.marks import ALIKE, OTHER, PAIRED, carriers, differences
from dpo_analysis.figures.token_view.number_codec import packed
from dpo_analysis.figures.token_view.page import BINS, page
from dpo_analysis.figures.token_view.text_units import UNITS

PANELS = 4
NOISE_BIN, MISSING_BIN = "~", " "
NEEDED = frozenset(
    "pair_id side series model step position token_bytes logp reference_logp log_ratio advantage value".split()
)
"""The columns that a token view is made from."""
KINDS = {TEXT: "", NEWLINE: "n", TAB: "t", SPACE: "s", ESCAPE: "e"}


@dataclass(frozen=True, slots=True)
class Look:
    """How the tokens of a pair are shown.

    Attributes:
        color: what they are coloured by, one of ``COLORS``.
        unit: what is coloured as one, one of ``UNITS``.
        marks: whether the shared beginning and what differs from the other response are marked.
        most: whether all but the units that carry 80 % of what fell are dimmed.
        lang: "en" or "zh".
    """

    color: str = "advantage"
    unit: str = "token"
    marks: bool = False
    most: bool = False
    lang: str = "en"


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token view that a notebook shows as it is; ``html`` is the same as one self-contained page."""

    payload: dict[str, Any]

    @property
    def html(self) -> str:
        """One HTML page that loads nothing and runs only its own script (content-security policy by hash)."""
        return page(self.payload)

    def _repr_html_(self) -> str:
        tokens = max((side["count"] for side in self.payload["sides"]), default=0)
        height = 190 + len(self.payload["sides"]) * min(480, 70 + 10 * max(6, tokens // 3))
        source = html.escape(self.html, quote=True)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{source}" style="width:100%;height:{height}px;border:0"></iframe>'
        )


def token_view(
    tokens: pd.DataFrame, *, noise: Noise | None = None, scale: float | None = None, **look: Any
) -> TokenView:
    """Colour the tokens of one pair; of more than four checkpoints the first, the middle and the last are shown.

    Args:
        tokens: the token table of one pair (``dpo_analysis.tables.pairs.token_table`` or ``scoring.score_text``).
        noise: the run's noise floor; what lies below it is grey.
        scale: the value that gets the full colour; None is the 99th percentile over all panels shown.
        look: color="advantage" (or another of ``COLORS``), unit="token" (or word, sentence, line), marks=False,
            most=False, lang="en" (or "zh"): see ``Look``.

    Raises:
        InputError: no tokens, tokens of several pairs, an unknown color or unit, or a color without values.
    """
    return TokenView(payload(tokens, noise=noise, scale=scale, **look))


def payload(
    tokens: pd.DataFrame, *, noise: Noise | None = None, scale: float | None = None, about: str = "", **look: Any
) -> dict[str, Any]:
    """What tokens.js draws, ready for JSON: cells and words once, values and shades per side and model.

    Arguments and errors as ``token_view``; ``about`` says what a given scale is over.
    """
    chosen = Look(**look)
    _check(tokens, chosen)
    keys = _models(tokens)
    table = with_change(tokens, "/".join(keys[0])) if chosen.color == "change" else tokens
    grids = {side: grid_of(rows, keys, chosen.color, chosen.unit, noise) for side, rows in sides(table).items()}
    shown = {side: grid for side, grid in grids.items() if grid is not None}
    limit = scale or scale_of(np.concatenate([grid.values.ravel() for grid in shown.values()]))
    marks = _marks(shown) if chosen.marks else {}
    known = tokens.drop_duplicates(["series", "model"]).set_index(["series", "model"])["step"]
    labels = [_label(known, key, chosen.lang) for key in keys]
    data = {
        "color": chosen.color,
        "scale": limit,
        "unit": unit_of(BY_NAME[chosen.color].unit, chosen.lang),
        "ramp": BY_NAME[chosen.color].ramp,
        "models": labels,
        "sides": [_side(side, grid, limit, marks.get(side, ""), chosen) for side, grid in shown.items()],
        "words": _words(chosen, limit, labels[0] if chosen.color == "change" else "", about),
    }
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return {"id": digest[:16], **data}


def bins(values: np.ndarray, quiet: np.ndarray, limit: float) -> str:
    """One character per value: its shade from -20 ("0") over 0 ("D") to 20 ("X"); "~" is noise, a blank no value."""
    with np.errstate(invalid="ignore"):
        strength = np.minimum(np.abs(values) / limit, 1.0) ** 0.8
        shades = np.where(np.isfinite(values), np.rint(np.sign(values) * strength * BINS), 0).astype(int)
    letters = [chr(ord("0") + BINS + shade) for shade in shades]
    return "".join(
        MISSING_BIN if not math.isfinite(value) else NOISE_BIN if still else letter
        for letter, value, still in zip(letters, values, quiet, strict=True)
    )


def _check(tokens: pd.DataFrame, look: Look) -> None:
    lacking = sorted(NEEDED - set(tokens.columns)) if isinstance(tokens, pd.DataFrame) else ["columns at all"]
    if lacking:
        raise InputError(
            f"no token table in this {type(tokens).__name__}: it has no {', '.join(lacking[:3])}; give one pair's "
            "dpo_analysis.token_table(run, pair_id=...), or what score_text returns"
        )
    for name, value, known in (("color", look.color, COLORS), ("unit", look.unit, UNITS)):
        if value not in known:
            raise InputError(
                f"unknown {name} {value!r} for the token view: it can be {', '.join(known)}; give one of these"
            )
    if tokens.empty:
        raise InputError("no tokens to show: the table has no rows; give the token table of one scored pair")
    if tokens["pair_id"].nunique() > 1:
        raise InputError("tokens of several pairs in one token view: it shows one; select by pair_id first")
    missing = absent(tokens).get(look.color)
    if missing:
        raise InputError(
            f"no {look.color} in these tokens: {missing} was not collected of this pair; take another color, or score "
            "again with --evidence-pairs all"
        )


def _models(tokens: pd.DataFrame) -> list[tuple[str, str]]:
    keys = list(dict.fromkeys(zip(tokens["series"], tokens["model"], strict=True)))
    return keys if len(keys) <= PANELS else [keys[0], keys[len(keys) // 2], keys[-1]]


def _label(steps: pd.Series, key: tuple[str, str], lang: str) -> str:
    """A checkpoint as a panel names it: its step, else its name; behind its series where there are several."""
    series, model = key
    step = steps[key]
    name = model if pd.isna(step) else words.text("figure.step", lang, step=int(step))
    return name if steps.index.get_level_values("series").nunique() == 1 else f"{series} · {name}"


def _marks(shown: dict[str, Grid]) -> dict[str, str]:
    """Per side one mark per entry; nothing where there is one side, or tokens without ids."""
    if len(shown) < 2 or not all(grid.token_ids for grid in shown.values()):
        return {}
    found = differences(*(grid.token_ids for grid in shown.values()))
    return {side: _of_entries(mark, grid.starts) for (side, grid), mark in zip(shown.items(), found, strict=True)}


def _of_entries(marks: str, starts: np.ndarray) -> str:
    """A unit differs where one of its tokens does, and belongs to the beginning where all do."""
    ends = [*starts[1:].tolist(), len(marks)]
    parts = [marks[first:end] for first, end in zip(starts.tolist(), ends, strict=True)]
    return "".join(OTHER if OTHER in part else ALIKE if set(part) == {ALIKE} else PAIRED for part in parts)


def _side(side: str, grid: Grid, limit: float, marks: str, look: Look) -> dict[str, Any]:
    made = {
        "side": side,
        "label": words.text(f"side.{side}", look.lang),
        "count": int(grid.cells[-1].first + grid.cells[-1].count),
        **_cells(grid, look.unit == UNITS[0]),
        "values": [packed(row) for row in grid.values],
        "bins": [bins(row, quiet, limit) for row, quiet in zip(grid.values, grid.quiet, strict=True)],
        "totals": [_total(float(value), look) for value in grid.totals],
    }
    if look.unit != UNITS[0]:
        made["at"] = grid.starts.tolist()
    if marks:
        made["marks"] = marks
    return made | (_most(grid, look.lang) if look.most else {})


def _most(grid: Grid, lang: str) -> dict[str, Any]:
    """What is kept of each panel ("1") and dimmed ("0"), empty where nothing fell; and the sentence about it."""
    kept = [carriers(row) for row in grid.falls]
    said = [
        words.text("tokens.most.none", lang)
        if one is None
        else words.text("tokens.most.some", lang, kept=int(one.sum()), count=len(one))
        for one in kept
    ]
    return {"kept": ["" if one is None else "".join("01"[int(here)] for here in one) for one in kept], "most": said}


def _total(value: float, look: Look) -> str:
    shown = signed(value) if BY_NAME[look.color].ramp != AMOUNT else signed(value).removeprefix("+")
    return words.text(f"tokens.total.{look.color}", look.lang, value=shown)


def _cells(grid: Grid, tokens: bool) -> dict[str, Any]:
    """The text of every cell, a line each, and by place those that are more: entries, parts, and each token's bytes."""
    lines, more = [], {}
    for place, cell in enumerate(grid.cells):
        if (cell.count == 1 or not tokens) and len(cell.parts) == 1 and cell.parts[0][0] == TEXT:
            lines.append(cell.parts[0][1])
            continue
        parts = [[KINDS[kind], text] for kind, text in cell.parts]
        own = [piece.hex(" ") for piece in grid.pieces[cell.first : cell.first + cell.count]]
        lines.append("")
        more[str(place)] = [cell.count, parts, own] if tokens else [1, parts]
    return {"cells": "\n".join(lines), "more": more}


VIEW = ("token", "tokens", "bytes", "noise", "clipped", "help", "keys", "pairs", "all", "missing", "find", "found")
VIEW += ("nowhere",)


def _words(look: Look, limit: float, base: str, about: str) -> dict[str, str]:
    lang = look.lang
    said = {key: words.text(f"tokens.view.{key}", lang) for key in VIEW}
    said["title"] = words.text(f"tokens.color.{look.color}.meaning", lang, base=base)
    if look.unit != UNITS[0]:
        how = {"value": "last", "credit_z": "z"}.get(look.color, "sum")
        said["summed"] = words.text(f"tokens.unit.{how}", lang, unit=words.text(f"tokens.unit.{look.unit}", lang))
    low, high = end_words(scale_ends(limit, BY_NAME[look.color].ramp))
    said |= {"low": low, "high": high, "about": about or words.text("tokens.scale.shown", lang)}
    if look.marks:
        said |= {"same": words.text("tokens.marks.same", lang), "other": words.text("tokens.marks.other", lang)}
    if look.most:
        said["most"] = words.text("tokens.most.rule", lang)
    return said

"""What the Tokens page shows of a pair, made once and kept: the panels, their scale, and what gained at a token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import state

from dpo_analysis import words
from dpo_analysis.arrays.selection import drawn_pairs
from dpo_analysis.figures.scales import with_change
from dpo_analysis.figures.theme import percent
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.figures.token_view.grid import spread
from dpo_analysis.figures.token_view.view import payload
from dpo_analysis.runs import Run
from dpo_analysis.tables import pairs as tables
from dpo_analysis.tables.top_tokens import Gains, gainers


@dataclass(frozen=True, slots=True)
class Shown:
    """What is looked at: a pair under checkpoints (SERIES/NAME), and how its tokens are shown (``figures.Look``).

    ``over_run`` is whether the scale is taken over pairs drawn from the run, so that it is the same for every pair.
    """

    pair_id: str
    models: tuple[str, ...]
    color: str
    unit: str
    marks: bool
    most: bool
    over_run: bool


def panels(run: Run, shown: Shown) -> dict[str, Any]:
    """What the token view draws, at the chosen beta."""
    lang = state.language()
    look = {"color": shown.color, "unit": shown.unit, "marks": shown.marks, "most": shown.most, "lang": lang}
    about = words.text("tokens.scale.pair.about", lang)
    if shown.over_run:
        about = words.text("tokens.scale.run.about", lang, pairs=len(state.table(drawn_pairs, run)))
    scale = _scale(run, shown, shown.unit)
    what = {"pair_id": shown.pair_id, "models": shown.models, "beta": state.beta()}
    return state.table(_payload, run, **what, scale=scale, about=about, **look)


def coloured(run: Run, shown: Shown) -> tuple[pd.DataFrame, float]:
    """The tokens of the pair with their change since the first checkpoint shown, and the scale of its tokens."""
    return with_change(state.tokens(run, shown.pair_id), shown.models[0]), _scale(run, shown, "token")


def gains(run: Run, shown: Shown, token: dict[str, Any], model: str) -> Gains | None:
    """What gained at a token under one checkpoint; None where it was not collected."""
    return state.table(gainers, run, pair_id=shown.pair_id, model=model, **token)


def draw_gains(found: Gains | None, lang: str) -> None:
    """The table of what gained at a token, and how much moved there in all."""
    if found is None:
        st.caption(words.text("tokens.gain.none", lang))
        return
    st.caption(words.text("tokens.gain.moved", lang, moved=percent(found.moved)))
    names = ["text", "kind", "reference_probability", "probability", "gain"]
    rows = found.table[names].assign(
        text=[visible(text) for text in found.table["text"]],
        kind=[words.text(f"tokens.gain.{kind}", lang) for kind in found.table["kind"]],
    )
    shown = rows.rename(columns={name: words.text(f"tokens.gain.column.{name}", lang) for name in names})
    st.dataframe(shown, hide_index=True, column_config=show.decimals(shown, "%.4f"))


def _scale(run: Run, shown: Shown, unit: str) -> float:
    of_pair = {} if shown.over_run else {"pair_id": shown.pair_id}
    how = {"color": shown.color, "unit": unit, "base": shown.models[0], "beta": state.beta()}
    return state.table(_spread, run, series=tuple(_series(shown.models)), **of_pair, **how)


def _series(models: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(key.partition("/")[0] for key in models))


def _spread(
    run: Run, *, series: Sequence[str], color: str, unit: str, base: str, beta: float | None, pair_id: str = ""
) -> float:
    """The scale over every checkpoint of these series: of one pair, or of pairs drawn from the run."""
    ids = [pair_id] if pair_id else drawn_pairs(run)
    return spread(tables.token_table(run, pair_id=ids, series=list(series), beta=beta), color, unit, base)


def _payload(run: Run, *, pair_id: str, models: Sequence[str], beta: float | None, **how: Any) -> dict[str, Any]:
    table = tables.token_table(run, pair_id=pair_id, model=list(models), beta=beta)
    own = table["series"] + "/" + table["model"]
    rows = pd.concat([table[own == key] for key in models], ignore_index=True)
    return payload(rows, noise=run.noise_floor, **how)

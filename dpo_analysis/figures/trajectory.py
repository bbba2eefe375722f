"""One token over all checkpoints: its log-prob under each policy, and under the reference."""

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.heatmaps import token_names
from dpo_analysis.figures.panels import Axes, Line, Panel, draw
from dpo_analysis.figures.theme import MARKS, plain, signed, step_label, unit


def token_trajectory(
    tokens: pd.DataFrame, *, side: str, position: int, lang: str = "en", theme: str = "light"
) -> go.Figure:
    """Log-prob of one token over the checkpoints, nats, one panel per series; dotted: under the reference.

    Args:
        tokens: the token table of one pair.
        side: "chosen" or "rejected".
        position: its place in the response, from 0.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    rows = tokens[tokens["side"] == side]
    name = plain(token_names(rows)[position])
    panels = [
        _panel(mine, place, name, (side, lang))
        for place, (_, mine) in enumerate(rows[rows["position"] == position].groupby("series", sort=False), start=1)
    ]
    title = words.text("figure.axis.title", lang, name=words.text("figure.axis.logp", lang), unit=unit("logp", lang))
    return draw(panels, Axes(words.text("figure.axis.step", lang), title), theme=theme)


def _panel(rows: pd.DataFrame, place: int, name: str, look: tuple[str, str]) -> Panel:
    side, lang = look
    known = rows["step"].notna().all() and rows["step"].is_unique
    x = rows["step"].astype(float) if known else pd.Series(range(len(rows)), index=rows.index, dtype=float)
    labels = [step_label(step, model, lang) for step, model in zip(rows["step"], rows["model"], strict=True)]
    points = pd.DataFrame(
        {
            "x": x,
            "y": rows["logp"],
            "note": [f"{a}: <b>{signed(b, 3)}</b>" for a, b in zip(labels, rows["logp"], strict=True)],
        }
    )
    line = Line(name, MARKS[side], points.sort_values("x"), label=signed(rows["logp"].iloc[-1], 3))
    level = (words.text("figure.line.reference", lang), "reference", float(rows["reference_logp"].iloc[0]))
    ticks = {} if known else dict(zip(x, labels, strict=True))
    return Panel(1, place, f"<b>{plain(rows['series'].iloc[0])}</b>  “{name}”", [line], [level], ticks)

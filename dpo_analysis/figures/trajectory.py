"""One token over all checkpoints: its log-prob under each policy, and under the reference."""

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.heatmaps import token_names
from dpo_analysis.figures.panels import Axes, HorizontalLine, Line, Panel, draw_panels
from dpo_analysis.figures.theme import LINE_STYLES, axis_title, escaped, step_label
from dpo_analysis.text.numbers import signed


def token_trajectory(
    tokens: pd.DataFrame, *, side: str, position: int, lang: str = "en", theme: str = "light"
) -> go.Figure:
    """Draw the log-prob of one token over the checkpoints, one panel per series; dotted: under the reference.

    The x axis is the training step, or the order of the checkpoints where a step is unknown or occurs twice; the y axis
    is the log-prob, nats.

    Args:
        tokens: the token table of one pair.
        side: "chosen" or "rejected".
        position: its place in the response, from 0.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    response = tokens[tokens["side"] == side]
    name = escaped(token_names(response)[position])
    series = response[response["position"] == position].groupby("series", sort=False)
    panels = [_panel(rows, column, name, side, lang) for column, (_, rows) in enumerate(series, start=1)]
    y_title = axis_title(words.text("figure.axis.logp", lang), "logp", lang)
    return draw_panels(panels, Axes(words.text("figure.axis.step", lang), y_title), theme=theme)


def _panel(rows: pd.DataFrame, column: int, name: str, side: str, lang: str) -> Panel:
    has_steps = rows["step"].notna().all() and rows["step"].is_unique
    x = rows["step"].astype(float) if has_steps else pd.Series(range(len(rows)), index=rows.index, dtype=float)
    labels = [step_label(step, model, lang) for step, model in zip(rows["step"], rows["model"], strict=True)]
    notes = [f"{label}: <b>{signed(logp, 3)}</b>" for label, logp in zip(labels, rows["logp"], strict=True)]
    points = pd.DataFrame({"x": x, "y": rows["logp"], "note": notes}).sort_values("x")
    line = Line(name, LINE_STYLES[side], points, label=signed(rows["logp"].iloc[-1], 3))
    reference_name = words.text("figure.line.reference", lang)
    reference = HorizontalLine(reference_name, "reference", float(rows["reference_logp"].iloc[0]))
    ticks = {} if has_steps else dict(zip(x, labels, strict=True))
    return Panel(1, column, f"<b>{escaped(rows['series'].iloc[0])}</b>  “{name}”", [line], [reference], ticks)

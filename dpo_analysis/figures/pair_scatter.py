"""Every pair as a point: the change of its chosen response against the change of its rejected response."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dpo_analysis import words
from dpo_analysis.figures.scales import axis_ticks
from dpo_analysis.figures.theme import (
    LABEL,
    PALETTES,
    add_text,
    apply_theme,
    color_of,
    empty_figure,
    escaped,
    unit_label,
    with_opacity,
)
from dpo_analysis.tables.filters import Box
from dpo_analysis.text.numbers import signed

MAX_POINTS, LOWEST_POINTS = 4000, 1000
"""Of more than ``MAX_POINTS`` pairs a sample is drawn; the ``LOWEST_POINTS`` that fell most are always in it."""
HEIGHT, TICKS = 420, 8
"""Pixels, and how many ticks an axis has at most."""
HOVER_LETTERS = 80


def drop_scatter(
    pairs: pd.DataFrame,
    *,
    labels: pd.Series | None = None,
    shown: NDArray[np.bool_] | None = None,
    box: Box | None = None,
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Draw every pair that counts: change of the rejected (x) against change of the chosen log-prob (y), nats.

    Below 0 on an axis that response is less likely than under the reference; above the diagonal the margin grew.

    Args:
        pairs: the pair table of one policy.
        labels: by pair_id, the hover text of a point; None is its pair_id.
        shown: whether a filter keeps a pair, shape (pairs,); the other pairs are grey.
        box: a rectangle to draw.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure whose points carry their pair_id as customdata; up to 4,000 of them.
    """
    kept = np.ones(len(pairs), dtype=bool) if shown is None else shown
    points = pairs.assign(kept=kept).dropna(subset=["chosen_log_ratio", "rejected_log_ratio"])
    if points.empty:
        return empty_figure(lang=lang, theme=theme)
    figure = go.Figure()
    sample = sample_points(points)
    for grey in (True, False):
        _add_points(figure, sample[sample["kept"] != grey], labels, grey, theme)
    _add_axes(figure, points, lang, theme)
    _add_counts(figure, points, lang, theme)
    if box is not None:
        draw_box(figure, box, theme)
    return apply_theme(figure, theme=theme, height=HEIGHT).update_layout(dragmode="select", margin_t=14)


def draw_box(figure: go.Figure, box: Box, theme: str) -> None:
    """Draw a rectangle in a scatter."""
    color = color_of("policy", theme)
    ends = {"x0": box.left, "x1": box.right, "y0": box.bottom, "y1": box.top}
    figure.add_shape(type="rect", **ends, line={"color": color, "width": 1.5}, fillcolor=with_opacity(color, 0.06))


def sample_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return at most ``MAX_POINTS`` rows: those whose chosen response fell most, and a fixed sample of the others."""
    if len(points) <= MAX_POINTS:
        return points
    order = points["chosen_log_ratio"].argsort(kind="stable").to_numpy()
    others = np.random.default_rng(0).choice(order[LOWEST_POINTS:], MAX_POINTS - LOWEST_POINTS, replace=False)
    return points.iloc[np.sort(np.concatenate([order[:LOWEST_POINTS], others]))]


def _add_points(figure: go.Figure, rows: pd.DataFrame, labels: pd.Series | None, grey: bool, theme: str) -> None:
    names = rows["pair_id"] if labels is None else labels.reindex(rows["pair_id"]).fillna("")
    notes = [
        f"{escaped(str(name)[:HOVER_LETTERS])}<br>{signed(chosen, 2)} / {signed(rejected, 2)} nats"
        for name, chosen, rejected in zip(names, rows["chosen_log_ratio"], rows["rejected_log_ratio"], strict=True)
    ]
    color, opacity = ("zero", 0.3) if grey else ("policy", 0.65)
    figure.add_scattergl(
        x=rows["rejected_log_ratio"],
        y=rows["chosen_log_ratio"],
        customdata=rows["pair_id"],
        mode="markers",
        hovertext=notes,
        hovertemplate="%{hovertext}<extra></extra>",
        name="grey" if grey else "kept",
        marker={"size": 6, "color": color_of(color, theme), "opacity": opacity},
    )


def _add_axes(figure: go.Figure, points: pd.DataFrame, lang: str, theme: str) -> None:
    """Add both axes with their zero lines, and the dotted diagonal on which the margin did not change."""
    zero = color_of("zero", theme)
    figure.add_hline(0, line={"color": zero, "width": 1.3})
    figure.add_vline(0, line={"color": zero, "width": 1.3})
    x, y = _axis_range(points["rejected_log_ratio"], 0.08), _axis_range(points["chosen_log_ratio"], 0.16)
    ends = max(x[0], y[0]), min(x[1], y[1])
    if ends[0] < ends[1]:
        diagonal = {"color": zero, "width": 1.2, "dash": "dot"}
        figure.add_scatter(x=ends, y=ends, mode="lines", hoverinfo="skip", line=diagonal)
    for side, update, span in (("rejected", figure.update_xaxes, x), ("chosen", figure.update_yaxes, y)):
        title = words.text(f"pairs.axis.{side}", lang, unit=unit_label("chosen_log_ratio", lang))
        grid = color_of("grid", theme)
        ticks = axis_ticks(*span, most=TICKS)
        update(range=list(span), **ticks, gridcolor=grid, zeroline=False, title={"text": title, "standoff": 6})


def _axis_range(values: pd.Series, room: float) -> tuple[float, float]:
    """Return the range of an axis with room at both ends: the labels in the corners must hide no point."""
    low, high = min(0.0, values.min()), max(0.0, values.max())
    pad = max(room * (high - low), 0.05)
    return low - pad, high + pad


def _add_counts(figure: go.Figure, points: pd.DataFrame, lang: str, theme: str) -> None:
    """Add to each corner what its quarter means, and how many of the kept pairs lie in it."""
    kept = points[points["kept"]]
    for chosen, rejected in (("fell", "fell"), ("fell", "rose"), ("rose", "fell"), ("rose", "rose")):
        inside = kept["chosen_log_ratio"].ge(0) == (chosen == "rose")
        inside &= kept["rejected_log_ratio"].ge(0) == (rejected == "rose")
        add_text(
            figure,
            words.text(f"pairs.quarter.{chosen}_{rejected}", lang, n=int(inside.sum())),
            x=1 if rejected == "rose" else 0,
            y=1 if chosen == "rose" else 0,
            xanchor="right" if rejected == "rose" else "left",
            yanchor="top" if chosen == "rose" else "bottom",
            borderpad=3,
            font={"size": LABEL, "color": color_of("text", theme)},
            bgcolor=with_opacity(PALETTES[theme].background, 0.85),
        )

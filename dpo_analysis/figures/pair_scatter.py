"""Which pairs pay: every pair as a point, the change of its chosen against the change of its rejected response."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dpo_analysis import words
from dpo_analysis.figures.theme import LABEL, PALETTES, blank, colour, dress, faded, plain, signed, unit
from dpo_analysis.tables.filters import Box

DRAWN = 4000
"""More points than so many are thinned: the ones that fell most stay, of the others a fixed sample is drawn."""
KEPT = 1000
HEIGHT = 420
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
    """Change of the rejected (x) against change of the chosen log-prob (y) of every pair that counts, nats.

    Below 0 on an axis that response is less likely than under the reference; above the diagonal the margin grew.

    Args:
        pairs: the pair table of one policy.
        labels: by pair_id, what a point is called on hover; None is its pair_id.
        shown: the pairs that a filter keeps, shape (pairs,); the others are grey.
        box: a rectangle to mark.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure whose points carry their pair_id as customdata; up to 4,000 of them.
    """
    kept = np.ones(len(pairs), dtype=bool) if shown is None else shown
    points = pairs.assign(kept=kept).dropna(subset=["chosen_log_ratio", "rejected_log_ratio"])
    if points.empty:
        return blank(lang=lang, theme=theme)
    figure = go.Figure()
    drawn = thinned(points)
    for grey in (True, False):
        _points(figure, drawn[drawn["kept"] != grey], labels, grey, theme)
    _lines(figure, points, lang, theme)
    _corners(figure, points, lang, theme)
    if box is not None:
        mark_box(figure, box, theme)
    return dress(figure, theme=theme, height=HEIGHT).update_layout(dragmode="select", margin_t=14)


def mark_box(figure: go.Figure, box: Box, theme: str) -> None:
    """Draw a rectangle in a scatter."""
    shade = colour("policy", theme)
    ends = {"x0": box.left, "x1": box.right, "y0": box.bottom, "y1": box.top}
    figure.add_shape(type="rect", **ends, line={"color": shade, "width": 1.5}, fillcolor=faded(shade, 0.06))


def thinned(points: pd.DataFrame) -> pd.DataFrame:
    """At most ``DRAWN`` rows: those whose chosen response fell most, and of the others a sample drawn with seed 0."""
    if len(points) <= DRAWN:
        return points
    order = points["chosen_log_ratio"].argsort(kind="stable").to_numpy()
    others = np.random.default_rng(0).choice(order[KEPT:], DRAWN - KEPT, replace=False)
    return points.iloc[np.sort(np.concatenate([order[:KEPT], others]))]


def _points(figure: go.Figure, rows: pd.DataFrame, labels: pd.Series | None, grey: bool, theme: str) -> None:
    names = rows["pair_id"] if labels is None else labels.reindex(rows["pair_id"]).fillna("")
    notes = [
        f"{plain(str(name)[:HOVER_LETTERS])}<br>{signed(chosen, 2)} / {signed(rejected, 2)} nats"
        for name, chosen, rejected in zip(names, rows["chosen_log_ratio"], rows["rejected_log_ratio"], strict=True)
    ]
    figure.add_scattergl(
        x=rows["rejected_log_ratio"], y=rows["chosen_log_ratio"], customdata=rows["pair_id"], mode="markers",
        hovertext=notes, hovertemplate="%{hovertext}<extra></extra>", name="grey" if grey else "kept",
        marker={"size": 6, "color": colour("zero" if grey else "policy", theme), "opacity": 0.3 if grey else 0.65},
    )  # fmt: skip


def _lines(figure: go.Figure, points: pd.DataFrame, lang: str, theme: str) -> None:
    shade = colour("zero", theme)
    figure.add_hline(0, line={"color": shade, "width": 1.3})
    figure.add_vline(0, line={"color": shade, "width": 1.3})
    x, y = (_span(points[f"{side}_log_ratio"], pad) for side, pad in (("rejected", 0.08), ("chosen", 0.16)))
    ends = max(x[0], y[0]), min(x[1], y[1])
    if ends[0] < ends[1]:
        figure.add_scatter(
            x=ends, y=ends, mode="lines", hoverinfo="skip", line={"color": shade, "width": 1.2, "dash": "dot"}
        )
    for name, axis, reach in (("rejected", figure.update_xaxes, x), ("chosen", figure.update_yaxes, y)):
        title = words.text(f"pairs.axis.{name}", lang, unit=unit("chosen_log_ratio", lang))
        axis(range=list(reach), gridcolor=colour("grid", theme), zeroline=False, title={"text": title, "standoff": 6})


def _span(values: pd.Series, room: float) -> tuple[float, float]:
    """The range of an axis, with room at both ends: the corners' labels must hide no point."""
    low, high = min(0.0, values.min()), max(0.0, values.max())
    pad = max(room * (high - low), 0.05)
    return low - pad, high + pad


def _corners(figure: go.Figure, points: pd.DataFrame, lang: str, theme: str) -> None:
    """What each quarter means, and how many of the kept pairs lie in it."""
    kept = points[points["kept"]]
    for chosen, rejected in ((False, False), (False, True), (True, False), (True, True)):
        inside = (kept["chosen_log_ratio"].ge(0) == chosen) & (kept["rejected_log_ratio"].ge(0) == rejected)
        said = words.text(f"pairs.quarter.{_way(chosen)}_{_way(rejected)}", lang, n=int(inside.sum()))
        figure.add_annotation(
            text=said, x=1 if rejected else 0, y=1 if chosen else 0, xref="paper", yref="paper", showarrow=False,
            xanchor="right" if rejected else "left", yanchor="top" if chosen else "bottom", borderpad=3,
            font={"size": LABEL, "color": colour("text", theme)}, bgcolor=faded(PALETTES[theme].background, 0.85),
        )  # fmt: skip


def _way(rose: bool) -> str:
    return "rose" if rose else "fell"

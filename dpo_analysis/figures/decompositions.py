"""A decomposition as bars: what each part adds to the mean change, chosen left, rejected right, on one scale."""

from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dpo_analysis import words
from dpo_analysis.figures.scales import axis_ticks
from dpo_analysis.figures.theme import (
    LABEL,
    TITLE,
    apply_theme,
    axes_of,
    color_of,
    empty_figure,
    layout_of,
    with_opacity,
)
from dpo_analysis.schema import SIDES
from dpo_analysis.text.numbers import percent, signed

BAR_HEIGHT, MARGINS_HEIGHT = 34, 92
"""Pixels: one part, and what stands above and below all of them."""


class _Look(NamedTuple):
    lang: str
    theme: str


def split_bars(rows: pd.DataFrame, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Draw the parts of one decomposition as bars, chosen left, rejected right.

    The x axis is what a part adds to the mean change of the log-prob, nats per response; whiskers are 95 % intervals
    over groups, where there are any.

    Args:
        rows: the rows of one ``by`` of ``dpo_analysis.tables.decompositions.decomposition_table``.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure; beside each bar stands its value and, in brackets, its share of the whole. Where parts have different
        signs no share is written: a part of more than the whole says nothing.
    """
    if rows.empty:
        return empty_figure(lang=lang, theme=theme)
    look, by = _Look(lang, theme), rows["by"].iloc[0]
    parts = list(dict.fromkeys(rows["part"]))
    totals = {side: rows.loc[rows["side"] == side, "log_ratio"].sum() for side in SIDES}
    titles = [
        f"<b>{words.text(f'side.{side}', lang)}</b>  {words.text('causes.whole', lang, value=signed(totals[side]))}"
        for side in SIDES
    ]
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.05, shared_yaxes=True)
    for column, side in enumerate(SIDES, start=1):
        of_side = rows[rows["side"] == side].set_index("part").reindex(parts).reset_index()
        figure.add_trace(_bars(of_side, side, look), row=1, col=column)
        figure.add_trace(_values(of_side, theme), row=1, col=column)
    return _with_axes(figure, rows, [words.text(f"causes.{by}.{part}", lang) for part in parts], look)


def _bars(rows: pd.DataFrame, side: str, look: _Look) -> go.Bar:
    color = color_of(side, look.theme)
    whiskers = {
        "array": rows["high"] - rows["log_ratio"],
        "arrayminus": rows["log_ratio"] - rows["low"],
        "symmetric": False,
        "color": color,
        "thickness": 1.2,
        "width": 5,
    }
    return go.Bar(
        x=rows["log_ratio"],
        y=list(range(len(rows))),
        orientation="h",
        error_x=whiskers,
        width=0.62,
        marker_color=with_opacity(color, 0.55),
        hovertext=_hover_texts(rows, look.lang),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _hover_texts(rows: pd.DataFrame, lang: str) -> list[str]:
    """Return how many pairs and tokens a part holds, and its change per token."""
    return [
        words.text(
            "causes.hover" if row["n_tokens"] else "causes.hover.sums",
            lang,
            pairs=int(row["n_pairs"]),
            tokens=int(row["n_tokens"]),
            per_token=signed(row["log_ratio_per_token"], 3),
        )
        for row in rows.fillna({"n_pairs": 0, "n_tokens": 0}).to_dict("records")
    ]


def _values(rows: pd.DataFrame, theme: str) -> go.Scatter:
    """Return the values at the ends of bars and whiskers, with their shares where all parts have the same sign."""
    falls = rows["log_ratio"] < 0
    ends = rows["low"].fillna(rows["log_ratio"]).where(falls, rows["high"].fillna(rows["log_ratio"]))
    same_sign = rows["share"].dropna().between(0, 1).all()
    shares = rows["share"] if same_sign else rows["share"] * float("nan")
    labels = [_value_label(value, share) for value, share in zip(rows["log_ratio"], shares, strict=True)]
    return go.Scatter(
        x=ends.clip(upper=0).where(falls, ends),
        y=list(range(len(rows))),
        mode="text",
        cliponaxis=False,
        text=[f" {label} " for label in labels],
        hoverinfo="skip",
        textposition=["middle left" if fell else "middle right" for fell in falls],
        textfont={"size": LABEL, "color": color_of("text", theme)},
    )


def _value_label(value: float, share: float) -> str:
    if pd.isna(value):
        return ""
    return signed(value) if pd.isna(share) else f"{signed(value)} ({percent(share)})"


def _with_axes(figure: go.Figure, rows: pd.DataFrame, part_labels: list[str], look: _Look) -> go.Figure:
    low = min(0.0, rows[["log_ratio", "low"]].min().min())
    high = max(0.0, rows[["log_ratio", "high"]].max().max())
    room = 0.45 * max(high - low, 1e-9)
    span = [low - (room if low < 0 else 0), high + (room if high > 0 else 0.02 * room)]
    text = color_of("text", look.theme)
    apply_theme(figure, theme=look.theme, height=MARGINS_HEIGHT + BAR_HEIGHT * len(part_labels))
    figure.update_xaxes(
        range=span,
        gridcolor=color_of("grid", look.theme),
        zeroline=True,
        zerolinecolor=color_of("zero", look.theme),
        zerolinewidth=1.4,
        **axis_ticks(*span, most=5),
        title={"text": words.text("causes.column.log_ratio", look.lang), "standoff": 4, "font": {"size": LABEL}},
    )
    figure.update_yaxes(
        tickvals=list(range(len(part_labels))),
        ticktext=[f"{label} " for label in part_labels],
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        tickfont={"size": LABEL, "color": text},
        automargin=True,
    )
    for title, axis in zip(layout_of(figure).annotations, axes_of(figure, "x"), strict=True):
        title.update(font={"size": TITLE, "color": text}, x=axis.domain[0], xanchor="left")
    return figure.update_layout(margin={"t": 30, "b": 48, "l": 12})

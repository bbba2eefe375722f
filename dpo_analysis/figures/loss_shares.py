"""The shares of the lost log-prob as bars, with their intervals; the unexplained share in its own colour."""

import math
import textwrap

import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import Diagnosis
from dpo_analysis.figures.decompositions import BAR_HEIGHT
from dpo_analysis.figures.theme import LABEL, apply_theme, color_of, empty_figure, with_opacity
from dpo_analysis.text.numbers import percent

MARGINS_HEIGHT = 64
"""Pixels above and below the bars."""
LABEL_LETTERS = 24
"""Letters of a line of a label."""
ROLES = {"pushed": "rejected", "pulled": "chosen", "no_data": "negative", "unexplained": "reference"}
"""Share -> its role in the palette."""


def share_bars(found: Diagnosis, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Return bars that show where the lost log-prob went, a bar for each share of ``ROLES``.

    The x axis is the share, 0 to 100 %; whiskers are 95 % intervals over groups.

    Args:
        found: a diagnosis; without shares the figure says that there is nothing to draw.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    if not found.shares:
        return empty_figure(lang=lang, theme=theme)
    names, shares = list(found.shares), list(found.shares.values())
    values, rows = [share.share for share in shares], list(range(len(shares)))
    ends = [share.share if math.isnan(share.high) else share.high for share in shares]
    whiskers = {
        "array": [end - value for end, value in zip(ends, values, strict=True)],
        "arrayminus": [0 if math.isnan(share.low) else share.share - share.low for share in shares],
        "symmetric": False,
        "thickness": 1.2,
        "width": 5,
        "color": color_of("muted", theme),
    }
    bars = go.Bar(
        x=values,
        y=rows,
        orientation="h",
        width=0.62,
        error_x=whiskers,
        hovertext=[words.text(f"diagnosis.share.{name}", lang) for name in names],
        hovertemplate="%{hovertext}<extra></extra>",
        marker_color=[with_opacity(color_of(ROLES[name], theme), 0.6) for name in names],
    )
    labels = go.Scatter(
        x=ends,
        y=rows,
        mode="text",
        text=[f"  {percent(value)}" for value in values],
        textposition="middle right",
        hoverinfo="skip",
        cliponaxis=False,
        textfont={"size": LABEL, "color": color_of("text", theme)},
    )
    return _with_axes(go.Figure([bars, labels]), names, lang, theme)


def _with_axes(figure: go.Figure, names: list[str], lang: str, theme: str) -> go.Figure:
    apply_theme(figure, theme=theme, height=MARGINS_HEIGHT + BAR_HEIGHT * len(names))
    title = {"text": words.text("diagnosis.shares.axis", lang), "standoff": 4, "font": {"size": LABEL}}
    figure.update_xaxes(
        range=[0, 1.12],
        tickvals=[0, 0.5, 1],
        tickformat=".0%",
        gridcolor=color_of("grid", theme),
        zerolinecolor=color_of("zero", theme),
        title=title,
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[_label(name, lang) for name in names],
        tickfont={"size": LABEL, "color": color_of("text", theme)},
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return figure.update_layout(margin={"t": 8, "b": 48, "l": 12})


def _label(name: str, lang: str) -> str:
    """Return the name of a share in lines that leave the bars room on a narrow page."""
    lines = textwrap.wrap(words.text(f"diagnosis.share.{name}.short", lang), LABEL_LETTERS)
    return "<br>".join(f"{line} " for line in lines)

"""Two policies on the same pairs: every pair as a point, A against B, and the difference by position."""

from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.pair_scatter import HOVER_LETTERS, TICKS, draw_box, sample_points
from dpo_analysis.figures.panels import Axes, Line, Panel, draw_panels
from dpo_analysis.figures.scales import axis_ticks
from dpo_analysis.figures.theme import (
    LABEL,
    LINE_STYLES,
    PALETTES,
    add_text,
    apply_theme,
    axis_title,
    color_of,
    empty_figure,
    escaped,
    with_opacity,
)
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.filters import Box
from dpo_analysis.tables.policy_pairs import OUTCOMES
from dpo_analysis.text.numbers import signed

HEIGHT = 420


class _Marker(NamedTuple):
    """How the pairs of one outcome are drawn: role in the palette, Plotly's symbol, and its character in the legend."""

    color: str
    symbol: str
    character: str


MARKERS = {
    "both": _Marker("zero", "circle", "●"),
    "neither": _Marker("muted", "square", "■"),
    "broken": _Marker("negative", "x", "✕"),
    "fixed": _Marker("positive", "triangle-up", "▲"),
}
"""By outcome, in the order of drawing: pairs whose order did not change lie below those whose order did."""


def pair_changes(
    both: pd.DataFrame,
    *,
    axis: tuple[str, str, str, str],
    labels: pd.Series,
    box: Box | None = None,
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Draw one number of every pair under A (x) and under B (y); on the dotted line nothing changed.

    Args:
        both: ``dpo_analysis.tables.policy_pairs.compare_pairs`` with a column ``outcome`` (``pair_outcomes``). Numbers
            are beta x nats, or nats where the reference was left out.
        axis: the number (chosen, rejected or margin), its name in words, and the labels of A and of B.
        labels: by pair_id, the hover text of a point.
        box: a rectangle to draw.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    name = axis[0]
    points = both.assign(chosen_log_ratio=both[f"{name}_change"])
    if points.empty:
        return empty_figure(lang=lang, theme=theme)
    figure = go.Figure()
    sample = sample_points(points)
    for outcome, marker in MARKERS.items():
        rows = sample[sample["outcome"] == outcome]
        figure.add_scattergl(
            x=rows[f"{name}_a"],
            y=rows[f"{name}_b"],
            mode="markers",
            customdata=rows["pair_id"],
            hovertext=_hover_texts(rows, name, labels),
            hovertemplate="%{hovertext}<extra></extra>",
            name=outcome,
            marker={"size": 7, "symbol": marker.symbol, "color": color_of(marker.color, theme), "opacity": 0.75},
        )
    if box is not None:
        draw_box(figure, box, theme)
    _add_axes(figure, points, axis, theme)
    _add_legend(figure, both["outcome"], lang, theme)
    return apply_theme(figure, theme=theme, height=HEIGHT).update_layout(margin_t=34, dragmode="select")


def _hover_texts(rows: pd.DataFrame, name: str, labels: pd.Series) -> list[str]:
    return [
        f"{escaped(str(labels.get(pair_id, ''))[:HOVER_LETTERS])}<br>A {signed(a)}, B {signed(b)}"
        for pair_id, a, b in zip(rows["pair_id"], rows[f"{name}_a"], rows[f"{name}_b"], strict=True)
    ]


def _add_axes(figure: go.Figure, points: pd.DataFrame, axis: tuple[str, str, str, str], theme: str) -> None:
    """Add both axes with their zero lines, and the dotted diagonal of no change."""
    zero, (name, quantity, label_a, label_b) = color_of("zero", theme), axis
    figure.add_hline(0, line={"color": zero, "width": 1.3})
    figure.add_vline(0, line={"color": zero, "width": 1.3})
    values = points[[f"{name}_a", f"{name}_b"]]
    ends = [min(0.0, values.min().min()), max(0.0, values.max().max())]
    diagonal = {"color": zero, "width": 1.2, "dash": "dot"}
    figure.add_scatter(x=ends, y=ends, mode="lines", hoverinfo="skip", line=diagonal)
    for label, policy, update in ((label_a, "a", figure.update_xaxes), (label_b, "b", figure.update_yaxes)):
        low, high = min(0.0, points[f"{name}_{policy}"].min()), max(0.0, points[f"{name}_{policy}"].max())
        pad = max(0.06 * (high - low), 1e-6)
        text = f"{policy.upper()}: {escaped(label)}, {quantity}"
        title = {"text": text, "standoff": 6, "font": {"size": LABEL}}
        look = {"gridcolor": color_of("grid", theme), "zeroline": False, "title": title}
        update(range=[low - pad, high + pad], **axis_ticks(low - pad, high + pad, most=TICKS), **look)


def _add_legend(figure: go.Figure, outcomes: pd.Series, lang: str, theme: str) -> None:
    """Add the outcomes with their symbols and counts as one line above the figure."""
    counts = outcomes.value_counts()
    entries = [
        f"<span style='color:{color_of(MARKERS[outcome].color, theme)}'>{MARKERS[outcome].character}</span> "
        f"{words.text(f'compare.outcome.{outcome}', lang)} {int(counts.get(outcome, 0))}"
        for outcome in OUTCOMES
    ]
    font, background = {"size": LABEL, "color": color_of("text", theme)}, with_opacity(PALETTES[theme].background, 0.85)
    place = {"xanchor": "left", "yanchor": "bottom", "yshift": 6}
    add_text(figure, "    ".join(entries), 0, 1, **place, font=font, bgcolor=background)


def position_change(profile: pd.DataFrame, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Draw the difference of the mean log-ratio (y, nats), B minus A, by position in the response (x), a line per side.

    Args:
        profile: ``dpo_analysis.tables.policy_pairs.position_changes``.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    if profile.empty:
        return empty_figure(lang=lang, theme=theme)
    lines = [_line(profile[profile["side"] == side], side, lang) for side in SIDES]
    last = int(profile["position"].max())
    ticks = dict(zip(*axis_ticks(0, max(last, 1), most=TICKS, whole=True).values(), strict=True))
    panel = Panel(1, 1, "", [line for line in lines if len(line.points)], [], ticks)
    y_title = axis_title(words.text("compare.profile.axis", lang), "log_ratio", lang)
    figure = draw_panels([panel], Axes(words.text("figure.axis.position", lang), y_title), theme=theme)
    return figure.update_xaxes(tickangle=0)


def _line(rows: pd.DataFrame, side: str, lang: str) -> Line:
    name = words.text(f"side.{side}", lang)
    notes = [
        words.text("compare.profile.hover", lang, position=position, value=signed(value, 3), n=n, side=name)
        for position, value, n in zip(rows["position"], rows["log_ratio"], rows["n_used"], strict=True)
    ]
    points = pd.DataFrame({"x": rows["position"].astype(float), "y": rows["log_ratio"], "note": notes})
    return Line(name, LINE_STYLES[side], points, label=name)

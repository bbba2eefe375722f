"""Two policies on the same pairs: every pair as a point, A against B, and the difference by position."""

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.pair_scatter import HOVER_LETTERS, mark_box, thinned
from dpo_analysis.figures.panels import Axes, Line, Panel, draw
from dpo_analysis.figures.theme import LABEL, MARKS, PALETTES, blank, colour, dress, faded, plain, signed, unit
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.filters import Box
from dpo_analysis.tables.policy_pairs import OUTCOMES

HEIGHT = 420
SHAPES = {
    "fixed": ("positive", "triangle-up"),
    "broken": ("negative", "x"),
    "both": ("zero", "circle"),
    "neither": ("muted", "square"),
}
"""Colour and symbol of each outcome; the pairs that changed nothing are drawn first, so that the others are seen."""


def pair_changes(
    both: pd.DataFrame,
    *,
    axis: tuple[str, str, str, str],
    labels: pd.Series,
    box: Box | None = None,
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """One number of every pair under A (x) and under B (y); on the dotted line nothing changed.

    Args:
        both: ``dpo_analysis.tables.policy_pairs.compare_pairs``, with a column ``outcome`` (``comparison.outcomes``).
        axis: the number (chosen, rejected or margin), what it is in words, and the labels of A and of B.
        labels: by pair_id, what a point is called on hover.
        box: a rectangle to mark.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    name = axis[0]
    points = both.assign(chosen_log_ratio=both[f"{name}_change"])
    if points.empty:
        return blank(lang=lang, theme=theme)
    figure = go.Figure()
    drawn = thinned(points)
    for kind in ("both", "neither", "broken", "fixed"):
        rows = drawn[drawn["outcome"] == kind]
        role, symbol = SHAPES[kind]
        notes = [
            f"{plain(str(labels.get(one, ''))[:HOVER_LETTERS])}<br>A {signed(a)}, B {signed(b)}"
            for one, a, b in zip(rows["pair_id"], rows[f"{name}_a"], rows[f"{name}_b"], strict=True)
        ]
        figure.add_scattergl(
            x=rows[f"{name}_a"], y=rows[f"{name}_b"], mode="markers", customdata=rows["pair_id"], hovertext=notes,
            hovertemplate="%{hovertext}<extra></extra>", name=kind,
            marker={"size": 7, "symbol": symbol, "color": colour(role, theme), "opacity": 0.75},
        )  # fmt: skip
    if box is not None:
        mark_box(figure, box, theme)
    _frame(figure, points, axis, theme)
    _legend(figure, both["outcome"], lang, theme)
    return dress(figure, theme=theme, height=HEIGHT).update_layout(margin_t=34, dragmode="select")


def _frame(figure: go.Figure, points: pd.DataFrame, axis: tuple[str, str, str, str], theme: str) -> None:
    shade, (name, what, a, b) = colour("zero", theme), axis
    figure.add_hline(0, line={"color": shade, "width": 1.3})
    figure.add_vline(0, line={"color": shade, "width": 1.3})
    values = points[[f"{name}_a", f"{name}_b"]]
    low, high = min(0.0, values.min().min()), max(0.0, values.max().max())
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", hoverinfo="skip", line={"color": shade, "width": 1.2, "dash": "dot"}
    )
    for side, end, update in ((a, "a", figure.update_xaxes), (b, "b", figure.update_yaxes)):
        own = points[f"{name}_{end}"]
        start, stop = min(0.0, own.min()), max(0.0, own.max())
        pad = max(0.06 * (stop - start), 1e-6)
        title = {"text": f"{end.upper()}: {plain(side)}, {what}", "standoff": 6, "font": {"size": LABEL}}
        update(range=[start - pad, stop + pad], gridcolor=colour("grid", theme), zeroline=False, title=title)


def _legend(figure: go.Figure, outcome: pd.Series, lang: str, theme: str) -> None:
    """The outcomes with their symbols and counts in one line above the figure."""
    marks = {"triangle-up": "▲", "x": "✕", "circle": "●", "square": "■"}
    counts = outcome.value_counts()
    said = [
        f"<span style='color:{colour(SHAPES[kind][0], theme)}'>{marks[SHAPES[kind][1]]}</span> "
        f"{words.text(f'compare.outcome.{kind}', lang)} {int(counts.get(kind, 0))}"
        for kind in OUTCOMES
    ]
    figure.add_annotation(
        text="    ".join(said), x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=6,
        showarrow=False, font={"size": LABEL, "color": colour("text", theme)},
        bgcolor=faded(PALETTES[theme].background, 0.85),
    )  # fmt: skip


def position_change(profile: pd.DataFrame, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Difference of the mean log-ratio by position in the response, nats, one line per side; B minus A.

    Args:
        profile: ``dpo_analysis.tables.policy_pairs.profile_change``.
        lang: "en" or "zh".
        theme: "light" or "dark".
    """
    if profile.empty:
        return blank(lang=lang, theme=theme)
    lines = [_line(profile[profile["side"] == side], side, lang) for side in SIDES]
    name = words.text("compare.profile.axis", lang)
    title = words.text("figure.axis.title", lang, name=name, unit=unit("log_ratio", lang))
    ends = range(0, int(profile["position"].max()) + 1, max(1, int(profile["position"].max()) // 8))
    ticks = {float(place): str(place) for place in ends}
    panel = Panel(1, 1, "", [line for line in lines if len(line.points)], [], ticks)
    return draw([panel], Axes(words.text("figure.axis.position", lang), title), theme=theme).update_xaxes(tickangle=0)


def _line(rows: pd.DataFrame, side: str, lang: str) -> Line:
    name = words.text(f"side.{side}", lang)
    notes = [
        words.text("compare.profile.hover", lang, position=position, value=signed(value, 3), n=n, side=name)
        for position, value, n in zip(rows["position"], rows["log_ratio"], rows["n_used"], strict=True)
    ]
    points = pd.DataFrame({"x": rows["position"].astype(float), "y": rows["log_ratio"], "note": notes})
    return Line(name, MARKS[side], points, label=name)

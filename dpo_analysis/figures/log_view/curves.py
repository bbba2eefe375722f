"""The curves of training logs alone, over training steps: a panel for every series and split."""

import math
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.curves import MOST_COLUMNS
from dpo_analysis.figures.panels import Axes, HorizontalLine, Line, Panel, draw_panels
from dpo_analysis.figures.theme import LINE_STYLES, axis_title, empty_figure, escaped
from dpo_analysis.text.numbers import percent, signed


@dataclass(frozen=True, slots=True)
class LogChart:
    """Logged metrics that share one y axis.

    Attributes:
        lines: the key in ``LINE_STYLES`` by metric.
        unit_column: the column of ``schema.COLUMNS`` whose unit the y axis has; empty for shares.
    """

    lines: dict[str, str]
    unit_column: str = ""


CHARTS = {
    "reward": LogChart(
        {"chosen_reward": "chosen", "rejected_reward": "rejected", "margin": "margin"}, unit_column="chosen_reward"
    ),
    "logps": LogChart({"chosen_logps": "chosen", "rejected_logps": "rejected"}, unit_column="chosen_logps"),
    "accuracy": LogChart({"accuracy_trl": "policy"}),
    "loss": LogChart({"loss": "policy"}, unit_column="loss"),
}
"""What is drawn of a log, by name; ``figure.log.axis.<name>`` in words is the title of the y axis."""


MOST_POINTS = 2000
"""Points of a line: of a longer one every n-th value is drawn, and the last."""


def charts_of(curves: pd.DataFrame) -> list[str]:
    """Return the names of ``CHARTS`` of which a log has a value.

    Args:
        curves: logs in ``schema.CURVES_SCHEMA``.
    """
    logged = set(curves.loc[curves["value"].notna(), "metric"])
    return [name for name, chart in CHARTS.items() if logged & chart.lines.keys()]


def log_curves(curves: pd.DataFrame, name: str, *, lang: str = "en", theme: str = "light") -> go.Figure:
    """Draw what trainers logged (y, in the unit of the chart) over training steps (x).

    Values that are NaN or infinite are gaps, and long curves are thinned (``every_nth``). Log-probs and losses are as
    the trainer logged them: sums over a response or means over its tokens.

    Args:
        curves: logs in ``schema.CURVES_SCHEMA``.
        name: one of ``CHARTS``.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure with a column for every series and a row for every split.
    """
    chart = CHARTS[name]
    rows = curves[curves["metric"].isin(list(chart.lines))]
    if rows["value"].notna().sum() == 0:
        return empty_figure(lang=lang, theme=theme)
    series = list(dict.fromkeys(rows["series"]))
    depth = math.ceil(len(series) / MOST_COLUMNS)
    panels = [
        _panel(group, chart, row * depth + place // MOST_COLUMNS + 1, place % MOST_COLUMNS + 1, lang)
        for row, split in enumerate(dict.fromkeys(rows["split"]))
        for place, one in enumerate(series)
        for group in [rows[(rows["series"] == one) & (rows["split"] == split)]]
        if len(group)
    ]
    title = words.text(f"figure.log.axis.{name}", lang)
    share = not chart.unit_column
    y_title = title if share else axis_title(title, chart.unit_column, lang)
    axes = Axes(words.text("figure.axis.step", lang), y_title, share, same_scale=share)
    return draw_panels(panels, axes, theme=theme)


def every_nth(curves: pd.DataFrame, name: str) -> int:
    """Return n where every n-th value of the longest curve of a chart is drawn; 1 where all are."""
    rows = curves[curves["metric"].isin(list(CHARTS[name].lines))]
    longest = rows.groupby(["series", "split", "metric"]).size().max() if len(rows) else 0
    return max(1, math.ceil(longest / MOST_POINTS))


def _panel(rows: pd.DataFrame, chart: LogChart, row: int, column: int, lang: str) -> Panel:
    """Return the panel of one series and split."""
    lines = [
        _line(rows[rows["metric"] == metric], metric, style, not chart.unit_column, lang)
        for metric, style in chart.lines.items()
        if (rows["metric"] == metric).any()
    ]
    split = words.text("figure.log.split", lang, split=escaped(str(rows["split"].iloc[0])))
    title = f"<b>{escaped(str(rows['series'].iloc[0]))}</b><br><span style='font-size:12px'>{split}</span>"
    half = [] if chart.unit_column else [HorizontalLine("", "reference", 0.5)]
    return Panel(row, column, title, lines, half)


def _line(rows: pd.DataFrame, metric: str, style: str, share: bool, lang: str) -> Line:
    """Return one metric as a line, named at its end with its last value."""
    rows = _thinned(rows.sort_values("step"))
    name, written = words.text(f"figure.log.{metric}", lang), percent if share else signed
    notes = [
        words.text("figure.log.hover", lang, name=name, step=step, value=written(value))
        for step, value in zip(rows["step"], rows["value"], strict=True)
    ]
    points = pd.DataFrame({"x": rows["step"].astype(float), "y": rows["value"].astype(float), "note": notes})
    known = rows["value"].dropna()
    last = written(float(known.iloc[-1])) if len(known) else ""
    label = words.text(f"figure.log.end.{metric}", lang)
    return Line(label, LINE_STYLES[style], points, band=False, label=f"{label} {last}")


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    nth = math.ceil(len(rows) / MOST_POINTS)
    # Counted from the end, so that the last value is among those that stay.
    return rows.iloc[::-1].iloc[::nth].iloc[::-1] if nth > 1 else rows

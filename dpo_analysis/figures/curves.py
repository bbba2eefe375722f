"""Metrics over training steps: implicit reward, log-prob per token, accuracy, for every series and split.

Each function takes the step table (``dpo_analysis.tables.pairs.step_table``) and returns a Plotly figure.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.labels import hover_texts
from dpo_analysis.figures.panels import Axes, HorizontalLine, Line, Panel, draw_panels
from dpo_analysis.figures.theme import LINE_STYLES, LineStyle, axis_title, empty_figure, escaped
from dpo_analysis.tables.steps import worst_series_first
from dpo_analysis.text.numbers import percent, signed


@dataclass(frozen=True, slots=True)
class _Options:
    """The arguments that all three functions share, see ``reward_curves``, and the number of series."""

    logged: pd.DataFrame | None
    from_reference: Collection[str]
    layout: str
    lang: str
    theme: str
    titles: bool = True
    n_series: int = 1


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric as one line.

    Attributes:
        metric: its column in the step table.
        style: its key in ``LINE_STYLES``.
        reference: the metric's value under the reference, from a row of the step table: the start of the line where
            training began at the reference. None where it has none.
    """

    metric: str
    style: str
    reference: Callable[[pd.Series], float] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share one y axis.

    Attributes:
        name: ``figure.axis.<name>`` in words is the title of the y axis.
        curves: the lines.
        unit_column: the column whose unit the y axis has; empty for shares.
        share: whether the values are shares, written in percent.
    """

    name: str
    curves: tuple[Curve, ...]
    unit_column: str
    share: bool = False


def zero(_: pd.Series) -> float:
    """Return the reward of the reference itself, which is exactly 0."""
    return 0.0


def reference_logps_per_token(side: str) -> Callable[[pd.Series], float]:
    """Return the function that takes the mean log-prob of a side under the reference from a row, nats per token."""
    return lambda row: row[f"{side}_logps_per_token"] - row[f"{side}_drift_per_token"]


REWARD = Chart(
    "reward",
    (
        Curve("chosen_reward", "chosen", zero),
        Curve("rejected_reward", "rejected", zero),
        Curve("margin", "margin", zero),
    ),
    "chosen_reward",
)
LOGP = Chart(
    "logp",
    tuple(Curve(f"{side}_logps_per_token", side, reference_logps_per_token(side)) for side in ("chosen", "rejected")),
    "log_ratio_per_token",
)
ACCURACY = Chart(
    "accuracy",
    (Curve("accuracy", "policy"), Curve("ranking_accuracy", "reference", lambda row: row.reference_ranking_accuracy)),
    "",
    share=True,
)

LOGGED_AS = {"accuracy": "accuracy_trl"}
"""Metrics whose logged counterpart has another definition: a trainer counts ties as losses."""
MOST_COLUMNS = 4
"""Panels beside each other; their names would run into each other if there were more."""
LAYOUTS = ("series", "free", "together")
"""A panel per series with one scale; a panel per series, each with its scale; a panel per curve with all series in it.
"""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
"""What tells series in one panel apart, besides the name at the end of the line."""


def reward_curves(
    steps: pd.DataFrame,
    *,
    logged: pd.DataFrame | None = None,
    from_reference: Collection[str] = (),
    layout: str = "series",
    lang: str = "en",
    theme: str = "light",
    titles: bool = True,
) -> go.Figure:
    """Draw the mean implicit reward of both sides and their margin (y, beta x nats) over training steps (x).

    Args:
        steps: the step table; where it has ``<metric>_p10`` and ``_p90``, the band holds the middle 80 % of the pairs.
        logged: the trainer's own log, drawn thin with hollow markers (series, split, step, metric, value).
        from_reference: series whose training began at the reference: their curves begin at 0, exactly.
        layout: one of ``LAYOUTS``; every split has its row of panels, and the series that ends lowest comes first.
        lang: "en" or "zh".
        theme: "light" or "dark".
        titles: whether each panel names its series; False for a figure of one series beside its name.

    Returns:
        A figure; bars where a series has one checkpoint.
    """
    return _draw(steps, REWARD, _Options(logged, from_reference, layout, lang, theme, titles))


def logp_curves(
    steps: pd.DataFrame,
    *,
    logged: pd.DataFrame | None = None,
    from_reference: Collection[str] = (),
    layout: str = "series",
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Draw the mean log-prob of both sides (y, nats per token) over training steps (x); dotted: under the reference.

    Arguments as ``reward_curves``.
    """
    return _draw(steps, LOGP, _Options(logged, from_reference, layout, lang, theme))


def accuracy_curves(
    steps: pd.DataFrame,
    *,
    logged: pd.DataFrame | None = None,
    from_reference: Collection[str] = (),
    layout: str = "series",
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Draw accuracy and ranking accuracy (y, shares of pairs) over training steps (x).

    Accuracy: the implicit reward orders the pair right; ranking accuracy: the policy's log-prob does, without the
    reference. A dotted line marks one half. Accuracy has no start at step 0: without any drift every pair is a tie.
    Arguments as ``reward_curves``.
    """
    return _draw(steps, ACCURACY, _Options(logged, from_reference, layout, lang, theme))


def _draw(steps: pd.DataFrame, chart: Chart, options: _Options) -> go.Figure:
    steps = worst_series_first(steps.loc[steps["n_used"] > 0])
    if steps.empty:
        return empty_figure(lang=options.lang, theme=options.theme)
    options = replace(options, n_series=steps["series"].nunique())
    splits = steps.groupby("split", sort=False)
    make = _curve_panels if options.layout == "together" else _series_panels
    panels = [panel for row, (_, rows) in enumerate(splits, start=1) for panel in make(rows, chart, options, row)]
    y_title = words.text(f"figure.axis.{chart.name}", options.lang)
    if not chart.share:
        y_title = axis_title(y_title, chart.unit_column, options.lang)
    x_title, same_scale = words.text("figure.axis.step", options.lang), options.layout != "free"
    axes = Axes(x_title, y_title, chart.share, same_scale, bars=chart is REWARD)
    return draw_panels(panels, axes, theme=options.theme)


def _series_panels(steps: pd.DataFrame, chart: Chart, options: _Options, row: int) -> list[Panel]:
    """Return a panel per series: its curves, its log, its reference; many series take several rows for each split."""
    panels = []
    series = steps.groupby("series", sort=False)
    first = (row - 1) * math.ceil(options.n_series / MOST_COLUMNS)
    for place, (name, rows) in enumerate(series):
        rows, ticks = _with_x(rows)
        logged = _log_of(options, str(name), str(rows["split"].iloc[0]))
        lines = [_line(rows, curve, chart, logged, options) for curve in chart.curves]
        title = _title(str(name), rows, options.lang) if options.titles else ""
        reference = _reference_lines(rows.iloc[-1], chart)
        down, across = divmod(place, MOST_COLUMNS)
        panels.append(Panel(first + down + 1, across + 1, title, lines, reference, ticks))
    return panels


def _curve_panels(steps: pd.DataFrame, chart: Chart, options: _Options, row: int) -> list[Panel]:
    """Return a panel per curve: one line for each series, told apart by dash, symbol and the name at its end."""
    panels = []
    tables = [(str(name), _with_x(rows)[0]) for name, rows in steps.groupby("series", sort=False)]
    for column, curve in enumerate(chart.curves, start=1):
        lines = []
        for place, (name, rows) in enumerate(tables):
            line = _line(rows, curve, chart, None, options)
            style = LineStyle(line.style.color, DASHES[place % len(DASHES)], SYMBOLS[place % len(SYMBOLS)])
            value = line.label.removeprefix(line.name)
            lines.append(replace(line, name=escaped(name), style=style, band=False, label=f"{escaped(name)}{value}"))
        title = _title(words.text(f"figure.line.{curve.metric}", options.lang), steps, options.lang)
        reference = _reference_lines(tables[0][1].iloc[-1], replace(chart, curves=(curve,)))
        panels.append(Panel(row, column, title, lines, reference))
    return panels


def _title(name: str, rows: pd.DataFrame, lang: str) -> str:
    last, used = rows.iloc[-1], int(rows["n_used"].min())
    count = words.text("figure.used", lang, used=used, total=int(last.n_pairs), split=escaped(last.split))
    return f"<b>{escaped(name)}</b><br><span style='font-size:12px'>{count}</span>"


def _log_of(options: _Options, series: str, split: str) -> pd.DataFrame | None:
    """Return the trainer's log beside one panel; None where it is empty."""
    if options.logged is None:
        return None
    rows = options.logged[(options.logged["series"] == series) & (options.logged["split"] == split)]
    return None if rows.empty else rows


def _with_x(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[float, str]]:
    """Return the rows with ``x``, and the names of its ticks.

    x is the step; where a step is unknown or occurs twice, x counts the checkpoints and the ticks name them.
    """
    rows = rows.copy()
    if rows["step"].notna().all() and rows["step"].is_unique:
        return rows.assign(x=rows["step"].astype(float)).sort_values("x"), {}
    return rows.assign(x=range(len(rows))), {float(place): escaped(name) for place, name in enumerate(rows["model"])}


def _reference_lines(last: pd.Series, chart: Chart) -> list[HorizontalLine]:
    """Return the values under the reference where these are not simply 0; one half for shares."""
    if chart.share:
        return [HorizontalLine("", "reference", 0.5)]
    curves = [curve for curve in chart.curves if curve.reference and curve.reference is not zero]
    lines = [
        HorizontalLine("", LINE_STYLES[curve.style].color, curve.reference(last)) for curve in curves if curve.reference
    ]
    return [line for line in lines if math.isfinite(line.y)]


def _line(rows: pd.DataFrame, curve: Curve, chart: Chart, logged: pd.DataFrame | None, options: _Options) -> Line:
    lang = options.lang
    name = words.text(f"figure.line.{curve.metric}", lang)
    points = pd.DataFrame({"x": rows["x"], "y": rows[curve.metric]})
    points["note"] = hover_texts(rows, name, curve.metric, chart.share)
    for end in ("p10", "p90"):
        if f"{curve.metric}_{end}" in rows:
            points[end] = rows[f"{curve.metric}_{end}"]
    if curve.reference is not None and _has_start(rows, logged, options):
        points = pd.concat([_start(curve.reference(rows.iloc[0]), name, chart, lang), points], ignore_index=True)
    ends = points["y"].dropna()
    value = (percent(ends.iloc[-1]) if chart.share else signed(ends.iloc[-1])) if len(ends) else ""
    log = _logged_points(logged, curve.metric, name, chart.share, lang)
    band = not chart.share and curve.metric != "margin"
    return Line(name, LINE_STYLES[curve.style], points, log, band=band, label=f"{name} {value}")


def _has_start(rows: pd.DataFrame, logged: pd.DataFrame | None, options: _Options) -> bool:
    """Return whether a line begins at step 0: training began at the reference, and there is more than one point."""
    by_step = rows["step"].notna().all() and rows["step"].is_unique and rows["x"].min() > 0
    from_reference = rows["series"].iloc[0] in options.from_reference
    return bool(by_step and from_reference and (len(rows) > 1 or logged is not None))


def _start(value: float, name: str, chart: Chart, lang: str) -> pd.DataFrame:
    """Return step 0 of a series that began at the reference: 0 for rewards, else the value under the reference."""
    note = words.text("figure.start", lang, name=name, value=percent(value) if chart.share else signed(value, 3))
    band = {} if chart.name != "reward" else {"p10": [0.0], "p90": [0.0]}
    return pd.DataFrame({"x": [0.0], "y": [value], "note": [note], **band})


def _logged_points(logged: pd.DataFrame | None, metric: str, name: str, share: bool, lang: str) -> pd.DataFrame | None:
    """Return what the trainer logged of a metric, over steps; None where it logged nothing."""
    logged_metric = LOGGED_AS.get(metric, metric)
    if logged is None or logged_metric not in set(logged["metric"]):
        return None
    rows = logged[logged["metric"] == logged_metric].dropna(subset=["value"]).sort_values("step")
    value_text = percent if share else signed
    notes = [words.text("figure.logged", lang, name=name, value=value_text(value)) for value in rows["value"]]
    return pd.DataFrame({"x": rows["step"].astype(float), "y": rows["value"], "note": notes})

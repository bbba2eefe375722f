"""Metrics over training steps: implicit reward, log-prob per token, accuracy, for every series and split.

Each function takes the step table (``dpo_analysis.tables.pairs.step_table``) and returns a Plotly figure.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from dpo_analysis import words
from dpo_analysis.figures.labels import hover
from dpo_analysis.figures.panels import Axes, Line, Panel, draw
from dpo_analysis.figures.theme import MARKS, Mark, blank, percent, plain, signed, unit


@dataclass(frozen=True, slots=True)
class _View:
    """How a chart is drawn: the arguments that all three functions share."""

    logged: pd.DataFrame | None
    from_reference: Collection[str]
    layout: str
    lang: str
    theme: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric as one line: its mark, and its value under the reference (its start, where training began there)."""

    metric: str
    mark: str
    reference: Callable[[pd.Series], float] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share one y axis."""

    name: str
    curves: tuple[Curve, ...]
    unit_of: str
    share: bool = False


def zero(_: pd.Series) -> float:
    """The reward of the reference itself, exactly."""
    return 0.0


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
    (
        Curve("chosen_logps_per_token", "chosen", lambda row: row.chosen_logps_per_token - row.chosen_drift_per_token),
        Curve(
            "rejected_logps_per_token",
            "rejected",
            lambda row: row.rejected_logps_per_token - row.rejected_drift_per_token,
        ),
    ),
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


LAYOUTS = ("series", "free", "together")
"""A panel per series with one scale; a panel per series with its own; a panel per curve with all series in it."""


def reward_curves(
    steps: pd.DataFrame,
    *,
    logged: pd.DataFrame | None = None,
    from_reference: Collection[str] = (),
    layout: str = "series",
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Mean implicit reward of both sides and their margin over steps, beta x nats.

    Args:
        steps: the step table; where it has ``<metric>_p10`` and ``_p90``, the band holds the middle 80 % of the pairs.
        logged: the trainer's own log, drawn thin with hollow marks (series, split, step, metric, value).
        from_reference: series whose training began at the reference: their curves begin at 0, exactly.
        layout: one of ``LAYOUTS``; every split has a row of its own.
        lang: "en" or "zh".
        theme: "light" or "dark".

    Returns:
        A figure; with one checkpoint in a series, bars.
    """
    return _chart(steps, REWARD, _View(logged, from_reference, layout, lang, theme))


def logp_curves(
    steps: pd.DataFrame,
    *,
    logged: pd.DataFrame | None = None,
    from_reference: Collection[str] = (),
    layout: str = "series",
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Mean log-prob of both sides, nats per token; dotted: under the reference. Arguments as ``reward_curves``."""
    return _chart(steps, LOGP, _View(logged, from_reference, layout, lang, theme))


def accuracy_curves(
    steps: pd.DataFrame,
    *,
    logged: pd.DataFrame | None = None,
    from_reference: Collection[str] = (),
    layout: str = "series",
    lang: str = "en",
    theme: str = "light",
) -> go.Figure:
    """Accuracy (the implicit reward orders the pair right) and ranking accuracy (the bare policy does), shares.

    A dotted line marks one half. Accuracy has no start at step 0: without any drift every pair is a tie. Arguments as
    ``reward_curves``.
    """
    return _chart(steps, ACCURACY, _View(logged, from_reference, layout, lang, theme))


def _chart(steps: pd.DataFrame, chart: Chart, view: _View) -> go.Figure:
    steps = steps.loc[steps["n_used"] > 0]
    if steps.empty:
        return blank(lang=view.lang, theme=view.theme)
    splits = steps.groupby("split", sort=False)
    fill = _curve_panels if view.layout == "together" else _series_panels
    panels = [panel for row, (_, rows) in enumerate(splits, start=1) for panel in fill(rows, chart, view, row)]
    y_title = words.text(f"figure.axis.{chart.name}", view.lang)
    if not chart.share:
        y_title = words.text("figure.axis.title", view.lang, name=y_title, unit=unit(chart.unit_of, view.lang))
    x_title = words.text("figure.axis.step", view.lang)
    return draw(
        panels, Axes(x_title, y_title, chart.share, view.layout != "free", bars=chart is REWARD), theme=view.theme
    )


def _series_panels(steps: pd.DataFrame, chart: Chart, view: _View, row: int) -> list[Panel]:
    """A panel per series: its curves, its log, its reference."""
    panels = []
    for column, (name, rows) in enumerate(steps.groupby("series", sort=False), start=1):
        placed, ticks = _with_x(rows)
        mine = _log_of(view, str(name), str(placed["split"].iloc[0]))
        lines = [_line(placed, curve, chart, mine, view) for curve in chart.curves]
        title, levels = _title(str(name), placed, view.lang), _levels(placed.iloc[-1], chart)
        panels.append(Panel(row, column, title, lines, levels, ticks))
    return panels


def _curve_panels(steps: pd.DataFrame, chart: Chart, view: _View, row: int) -> list[Panel]:
    """A panel per curve: one line for each series, told apart by dash, symbol and the name at its end."""
    panels = []
    tables = [(str(name), _with_x(rows)[0]) for name, rows in steps.groupby("series", sort=False)]
    for column, curve in enumerate(chart.curves, start=1):
        lines = []
        for place, (name, rows) in enumerate(tables):
            line = _line(rows, curve, chart, None, view)
            mark = Mark(line.mark.colour, DASHES[place % len(DASHES)], SYMBOLS[place % len(SYMBOLS)])
            value = line.label.removeprefix(line.name)
            lines.append(replace(line, name=plain(name), mark=mark, band=False, label=f"{plain(name)}{value}"))
        title = _title(words.text(f"figure.line.{curve.metric}", view.lang), steps, view.lang)
        levels = _levels(tables[0][1].iloc[-1], replace(chart, curves=(curve,)))
        panels.append(Panel(row, column, title, lines, levels))
    return panels


def _title(name: str, rows: pd.DataFrame, lang: str) -> str:
    last = rows.iloc[-1]
    count = words.text(
        "figure.used", lang, used=int(rows["n_used"].min()), total=int(last.n_pairs), split=plain(last.split)
    )
    return f"<b>{plain(name)}</b><br><span style='font-size:12px'>{count}</span>"


def _log_of(view: _View, series: str, split: str) -> pd.DataFrame | None:
    """The log beside one panel; None where there is nothing in it."""
    if view.logged is None:
        return None
    rows = view.logged[(view.logged["series"] == series) & (view.logged["split"] == split)]
    return None if rows.empty else rows


def _with_x(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[float, str]]:
    """The rows with x = step; where a step is unknown or doubled, x counts the checkpoints and the ticks name them."""
    rows = rows.copy()
    if rows["step"].notna().all() and rows["step"].is_unique:
        return rows.assign(x=rows["step"].astype(float)).sort_values("x"), {}
    return rows.assign(x=range(len(rows))), {float(place): plain(name) for place, name in enumerate(rows["model"])}


def _levels(last: pd.Series, chart: Chart) -> list[tuple[str, str, float]]:
    """Where the reference is, in charts where that is not simply 0; one half for shares."""
    if chart.share:
        return [("", "reference", 0.5)]
    curves = [curve for curve in chart.curves if curve.reference and curve.reference is not zero]
    return [("", MARKS[curve.mark].colour, curve.reference(last)) for curve in curves if curve.reference]


def _line(rows: pd.DataFrame, curve: Curve, chart: Chart, logged: pd.DataFrame | None, view: _View) -> Line:
    lang = view.lang
    name = words.text(f"figure.line.{curve.metric}", lang)
    points = pd.DataFrame({"x": rows["x"], "y": rows[curve.metric]})
    points["note"] = hover(rows, name, curve.metric, chart.share)
    for end in ("p10", "p90"):
        if f"{curve.metric}_{end}" in rows:
            points[end] = rows[f"{curve.metric}_{end}"]
    if curve.reference is not None and _starts(rows, logged, view):
        points = pd.concat([_start(curve.reference(rows.iloc[0]), name, chart, lang), points], ignore_index=True)
    ends = points["y"].dropna()
    value = (percent(ends.iloc[-1]) if chart.share else signed(ends.iloc[-1])) if len(ends) else ""
    log = _logged(logged, curve.metric, name, chart.share, lang)
    band = not chart.share and curve.metric != "margin"
    return Line(name, MARKS[curve.mark], points, log, band=band, label=f"{name} {value}")


def _starts(rows: pd.DataFrame, logged: pd.DataFrame | None, view: _View) -> bool:
    """Whether a line begins at step 0: training began at the reference, and there is more than one point to draw."""
    by_step = rows["step"].notna().all() and rows["step"].is_unique and rows["x"].min() > 0
    return bool(by_step and rows["series"].iloc[0] in view.from_reference and (len(rows) > 1 or logged is not None))


def _start(value: float, name: str, chart: Chart, lang: str) -> pd.DataFrame:
    """Step 0 of a series that began at the reference: exact for rewards, the reference's own value elsewhere."""
    note = words.text("figure.start", lang, name=name, value=percent(value) if chart.share else signed(value, 3))
    band = {} if chart.name != "reward" else {"p10": [0.0], "p90": [0.0]}
    return pd.DataFrame({"x": [0.0], "y": [value], "note": [note], **band})


def _logged(logged: pd.DataFrame | None, metric: str, name: str, share: bool, lang: str) -> pd.DataFrame | None:
    wanted = LOGGED_AS.get(metric, metric)
    if logged is None or wanted not in set(logged["metric"]):
        return None
    rows = logged[logged["metric"] == wanted].dropna(subset=["value"]).sort_values("step")
    show = percent if share else signed
    notes = [words.text("figure.logged", lang, name=name, value=show(value)) for value in rows["value"]]
    return pd.DataFrame({"x": rows["step"].astype(float), "y": rows["value"], "note": notes})


DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")

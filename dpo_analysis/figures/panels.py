"""Small multiples of lines over steps: bands, labels at line ends that do not collide, a zero line, bars for one point.

``curves.py`` says which numbers; this file only draws them.
"""

from dataclasses import dataclass, field

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dpo_analysis.figures.labels import few, spread, width
from dpo_analysis.figures.scales import FLAT, tick_format
from dpo_analysis.figures.theme import LABEL, PALETTES, TITLE, Mark, colour, dress, faded, signed

PANEL_HEIGHT, GAP, TICK_WIDTH = 250, 16, 44
"""Pixels: the height of one panel, and the least distance of two labels at line ends and of two steps on the axis."""
TOP, BOTTOM, BETWEEN, RIGHT = 56, 44, 100, 44
"""Pixels: above and below all panels, between two rows of them (axis, axis title, panel title), and what the labels of
the last panel may take at the right where the page is narrow."""
RINGS = 12
"""Up to so many logged values are rings wide enough to be seen around the recomputed marks where both agree."""
PAGE_WIDTH = 800
"""Pixels a figure is likely to have; only used to leave room for the labels."""
NEAR_END = 0.2
"""Share of a panel's steps: labels of lines that end so near the last point are kept apart from each other."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``points`` has x and y, and where known p10, p90 and note (the hover text)."""

    name: str
    mark: Mark
    points: pd.DataFrame
    logged: pd.DataFrame | None = None
    band: bool = True
    label: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One small chart: its place, title and lines; ``levels`` are dotted horizontal lines (label, colour's role, y)."""

    row: int
    column: int
    title: str
    lines: list[Line]
    levels: list[tuple[str, str, float]] = field(default_factory=list)
    ticks: dict[float, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Axes:
    """What all panels share: axis titles, shares or not, one y scale or many, bars or marks for a lone checkpoint."""

    x: str
    y: str
    share: bool = False
    same_scale: bool = True
    bars: bool = False


def draw(panels: list[Panel], axes: Axes, *, theme: str) -> go.Figure:
    """Draw the panels; a panel in which every line has one point becomes bars (or marks, where 0 means nothing)."""
    rows, columns = max(p.row for p in panels), max(p.column for p in panels)
    inner = rows * PANEL_HEIGHT + (rows - 1) * BETWEEN
    figure = make_subplots(
        rows,
        columns,
        vertical_spacing=BETWEEN / inner if rows > 1 else 0,
        horizontal_spacing=0.05 if axes.same_scale else 0.07,
    )
    common = _span(panels, axes)
    for panel in panels:
        _draw_panel(figure, panel, axes, common if axes.same_scale else _span([panel], axes), theme)
    dress(figure, theme=theme, height=inner + TOP + BOTTOM)
    return figure.update_layout(margin={"t": TOP, "b": BOTTOM, "r": RIGHT})


def _span(panels: list[Panel], axes: Axes) -> tuple[float, float]:
    """The y range: means, log entries, zero, error bars, and as much of the bands as does not dwarf the means."""
    lines = [line for panel in panels for line in panel.lines]
    means = [line.points["y"] for line in lines] + [line.logged["y"] for line in lines if line.logged is not None]
    means.append(pd.Series([level[2] for panel in panels for level in panel.levels], dtype=float))
    bands = [_ends(line) for line in lines]
    means += [_ends(line) for panel in panels if _is_lone(panel) for line in panel.lines]
    values = pd.concat([*means, pd.Series(dtype=float)]).dropna()
    if values.empty:
        return (0.0, 1.0) if axes.share else (-1.0, 1.0)
    if axes.share:
        return max(-0.03, min(values.min() - 0.06, 0.45)), 1.03
    low, high = min(0.0, values.min()), max(0.0, values.max())
    if high - low < FLAT:
        low, high = -FLAT, FLAT
    reach = 0.6 * (high - low)
    wide = pd.concat([*bands, values]).dropna()
    low, high = max(min(wide.min(), low), low - reach), min(max(wide.max(), high), high + reach)
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def _ends(line: Line) -> pd.Series:
    """Both ends of every band or error bar of a line; empty where it has none."""
    known = line.band and {"p10", "p90"} <= set(line.points)
    return pd.concat([line.points["p10"], line.points["p90"]]) if known else pd.Series(dtype=float)


def _is_lone(panel: Panel) -> bool:
    return all(len(line.points) <= 1 and line.logged is None for line in panel.lines)


def _draw_panel(figure: go.Figure, panel: Panel, axes: Axes, span: tuple[float, float], theme: str) -> None:
    place = {"row": panel.row, "col": panel.column}
    if _is_lone(panel):
        _lone(figure, panel, axes, place, theme)
    else:
        for line in panel.lines:
            _line(figure, line, place, theme)
        _end_labels(figure, panel, span, place, theme)
        _x_axis(figure, panel, axes, place)
        _levels(figure, panel, place, theme)
    _y_axis(figure, panel, axes, span, theme)
    _title(figure, panel, theme)


def _levels(figure: go.Figure, panel: Panel, place: dict[str, int], theme: str) -> None:
    """Dotted lines behind the curves, as far as these go: not through the labels at line ends."""
    stop = max((line.points["x"].max() for line in panel.lines if len(line.points)), default=0.0)
    start = next(figure.select_xaxes(**place)).range[0]
    for _, role, level in panel.levels:
        drawn = {"color": colour(role, theme), "width": 1.3, "dash": "dot"}
        figure.add_shape(type="line", x0=start, x1=stop, y0=level, y1=level, line=drawn, layer="below", **place)


def _line(figure: go.Figure, line: Line, place: dict[str, int], theme: str) -> None:
    mark, points = line.mark, line.points
    shade = colour(mark.colour, theme)
    if line.band and {"p10", "p90"} <= set(points):
        band = points.dropna(subset=["p10", "p90"])
        x = [*band["x"], *band["x"][::-1]]
        y = [*band["p90"], *band["p10"][::-1]]
        fill = faded(shade, 0.13 if theme == "light" else 0.18)
        figure.add_scatter(
            x=x, y=y, fill="toself", fillcolor=fill, line_width=0, hoverinfo="skip", mode="lines", **place
        )
    if line.logged is not None and len(line.logged):
        size = 13 if len(line.logged) <= RINGS else 5
        figure.add_scatter(
            x=line.logged["x"], y=line.logged["y"], mode="lines+markers",
            line={"color": faded(shade, 0.55), "width": 1},
            marker={"symbol": f"{mark.symbol}-open", "size": size, "color": faded(shade, 0.8)},
            text=line.logged["note"], hovertemplate="%{text}<extra></extra>", **place,
        )  # fmt: skip
    figure.add_scatter(
        x=points["x"], y=points["y"], mode="lines+markers", name=line.name,
        line={"color": shade, "width": 2.2, "dash": mark.dash},
        marker={"symbol": mark.symbol, "size": 7, "color": shade},
        text=points["note"], hovertemplate="%{text}<extra></extra>", connectgaps=False, **place,
    )  # fmt: skip


def _end_labels(figure: go.Figure, panel: Panel, span: tuple[float, float], place: dict[str, int], theme: str) -> None:
    """What stands at the right of every line's end, and of every level that has a name.

    Of lines that end near the last point it stands behind that point, so that no other line runs through it.
    """
    known = [(line, line.points.dropna(subset=["y"])) for line in panel.lines]
    ends = [
        (float(points["x"].iloc[-1]), float(points["y"].iloc[-1]), line.label or line.name, line.mark.colour)
        for line, points in known if len(points)
    ]  # fmt: skip
    last = max((end[0] for end in ends), default=0.0)
    ends += [(last, level, _level_label(name, level), role) for name, role, level in panel.levels if name]
    first = min((float(points["x"].iloc[0]) for _, points in known if len(points)), default=0.0)
    near = last - NEAR_END * (last - first)
    for group in dict.fromkeys(min(end[0], near) for end in ends):
        here = [end for end in ends if min(end[0], near) == group]
        heights = spread([end[1] for end in here], span, GAP / PANEL_HEIGHT)
        for (x, _, text, role), y in zip(here, heights, strict=True):
            figure.add_annotation(
                x=last if group == near else x, y=y, text=text, showarrow=False, xanchor="left", xshift=9, borderpad=0,
                font={"color": colour(role, theme), "size": LABEL}, bgcolor=PALETTES[theme].background, **place,
            )  # fmt: skip


def _level_label(name: str, level: float) -> str:
    return f"{name} {signed(level)}"


def _lone(figure: go.Figure, panel: Panel, axes: Axes, place: dict[str, int], theme: str) -> None:
    """One checkpoint: a bar (a mark where 0 is no baseline) per line, its 10-90 % range, its name and value below."""
    for _, role, level in panel.levels:
        figure.add_hline(
            level, line={"color": colour(role, theme), "width": 1.3, "dash": "dot"}, layer="below", **place
        )
    for line in panel.lines:
        mark, points = line.mark, line.points
        shade, reach = colour(mark.colour, theme), None
        if line.band and {"p10", "p90"} <= set(points):
            reach = {
                "array": points["p90"] - points["y"],
                "arrayminus": points["y"] - points["p10"],
                "symmetric": False,
            }
            reach |= {"color": shade, "thickness": 1.2, "width": 6}
        shown = {"x": [line.label.replace(" ", "<br>") or line.name] * len(points), "y": points["y"], "error_y": reach}
        shown |= {"hovertext": points["note"], "hovertemplate": "%{hovertext}<extra></extra>"} | place
        if axes.bars:
            figure.add_bar(marker_color=faded(shade, 0.55), width=0.5, **shown)
        else:
            figure.add_scatter(mode="markers", marker={"symbol": mark.symbol, "size": 11, "color": shade}, **shown)
    figure.update_xaxes(showgrid=False, zeroline=False, tickfont={"size": LABEL}, type="category", **place)


def _y_axis(figure: go.Figure, panel: Panel, axes: Axes, span: tuple[float, float], theme: str) -> None:
    first = panel.column == 1
    figure.update_yaxes(
        range=list(span), gridcolor=colour("grid", theme), nticks=6, tickformat=".0%" if axes.share else "",
        zeroline=not axes.share, zerolinecolor=colour("zero", theme), zerolinewidth=1.4,
        title={"text": axes.y, "standoff": 8, "font": {"size": LABEL}} if first else None,
        showticklabels=first or not axes.same_scale, row=panel.row, col=panel.column, **tick_format(*span),
    )  # fmt: skip


def _x_axis(figure: go.Figure, panel: Panel, axes: Axes, place: dict[str, int]) -> None:
    """Ticks at checkpoints only, and room at the right for the labels at line ends."""
    xs = pd.concat([frame["x"] for line in panel.lines for frame in (line.points, line.logged) if frame is not None])
    low, high = float(xs.min()), float(xs.max())
    long = high - low or 1.0
    columns = len({x_axis.domain for x_axis in figure.select_xaxes()})
    pixels = PAGE_WIDTH / columns - 40
    labels = [line.label or line.name for line in panel.lines]
    labels += [_level_label(name, level) for name, _, level in panel.levels if name]
    room = 14 + 7.4 * max(width(label) for label in labels)
    stop = low + long * pixels / max(pixels - room, 60)
    steps = sorted({x for line in panel.lines for x in line.points["x"]})
    ticks = panel.ticks or {x: f"{x:.10g}" for x in few(steps, (stop - low) * TICK_WIDTH / pixels)}
    figure.update_xaxes(
        range=[low - 0.05 * long, stop], tickvals=list(ticks), ticktext=list(ticks.values()), showgrid=False,
        zeroline=False, tickangle=0 if not panel.ticks else None,
        title={"text": axes.x, "standoff": 4, "font": {"size": LABEL}}, **place,
    )  # fmt: skip


def _title(figure: go.Figure, panel: Panel, theme: str) -> None:
    place = {"row": panel.row, "col": panel.column}
    x_axis, y_axis = next(figure.select_xaxes(**place)), next(figure.select_yaxes(**place))
    figure.add_annotation(
        text=panel.title, x=x_axis.domain[0], y=y_axis.domain[1], xref="paper", yref="paper", xanchor="left",
        yanchor="bottom", yshift=6, showarrow=False, font={"size": TITLE, "color": colour("text", theme)}, align="left",
    )  # fmt: skip

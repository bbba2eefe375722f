"""Small multiples of lines over steps: bands, labels at line ends that do not collide, a zero line, bars for one point.

The other modules decide which numbers are drawn; this one only draws them.
"""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dpo_analysis.figures.labels import spread_labels, text_width, thin_ticks
from dpo_analysis.figures.scales import FLAT, axis_ticks
from dpo_analysis.figures.theme import (
    LABEL,
    PALETTES,
    TITLE,
    LineStyle,
    add_text,
    apply_theme,
    axes_of,
    color_of,
    with_opacity,
)
from dpo_analysis.text.numbers import signed

PANEL_HEIGHT, LABEL_GAP, TICK_WIDTH = 250, 16, 44
"""Pixels: the height of one panel, and the least distance of two labels at line ends and of two steps on the axis."""
TOP, BOTTOM, BETWEEN, RIGHT = 56, 44, 100, 44
"""Pixels: above and below all panels, between two rows of them (axis, axis title, panel title), and what the labels of
the last panel may take at the right where the page is narrow."""
LARGE_MARKERS = 12
"""Up to so many logged values have markers large enough to be seen around the recomputed ones where both agree."""
TOP_WITHOUT_TITLE = 10
"""Pixels above the panels where none has a title."""
PAGE_WIDTH, NARROW_WIDTH = 800, 660
"""Pixels a figure is likely to have, and at least has; only used to leave room for the labels, which may reach into the
next panel's margin unless that has ticks there."""
MOST_MARKERS = 40
"""Up to so many points of a line have markers; more of them would merge into a band, and the line says the same."""
NEAR_END = 0.2
"""Share of a panel's steps: labels of lines that end so near the last point are kept apart from each other."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel.

    Attributes:
        name: of the trace.
        style: its colour, dash and symbol.
        points: x, y and note (the hover text), and where known p10 and p90, the ends of its band.
        logged: x, y and note of the trainer's log.
        band: whether p10 and p90 are drawn.
        label: the text at the line's end; empty for the name.
    """

    name: str
    style: LineStyle
    points: pd.DataFrame
    logged: pd.DataFrame | None = None
    band: bool = True
    label: str = ""

    @property
    def has_band(self) -> bool:
        """Whether the middle 80 % of the pairs is known and drawn."""
        return self.band and {"p10", "p90"} <= set(self.points)


@dataclass(frozen=True, slots=True)
class HorizontalLine:
    """A dotted line across a panel: its name (empty: without a label), its role in the palette, and its y."""

    name: str
    color: str
    y: float

    @property
    def label(self) -> str:
        """Its name and value."""
        return f"{self.name} {signed(self.y)}"


@dataclass(frozen=True, slots=True)
class Panel:
    """One small chart: its row and column (from 1), title, lines, and the names of its ticks (none: the numbers)."""

    row: int
    column: int
    title: str
    lines: list[Line]
    horizontal_lines: list[HorizontalLine] = field(default_factory=list)
    ticks: dict[float, str] = field(default_factory=dict)

    @property
    def place(self) -> dict[str, Any]:
        """Row and column as Plotly's arguments."""
        return {"row": self.row, "col": self.column}

    @property
    def has_single_points(self) -> bool:
        """Whether no line has more than one point: the run has one checkpoint."""
        return all(len(line.points) <= 1 and line.logged is None for line in self.lines)


@dataclass(frozen=True, slots=True)
class Axes:
    """What all panels share.

    Attributes:
        x: title of the x axes.
        y: title of the y axes.
        share: whether y is a share, written in percent.
        same_scale: whether all panels have one y range.
        bars: whether single points become bars, which start at 0, or markers.
    """

    x: str
    y: str
    share: bool = False
    same_scale: bool = True
    bars: bool = False


def draw_panels(panels: list[Panel], axes: Axes, *, theme: str) -> go.Figure:
    """Draw panels as one figure; a panel in which every line has one point becomes bars or markers."""
    rows, columns = max(panel.row for panel in panels), max(panel.column for panel in panels)
    inner = rows * PANEL_HEIGHT + (rows - 1) * BETWEEN
    drawn = {(panel.row, panel.column) for panel in panels}
    figure = make_subplots(
        rows,
        columns,
        specs=[[{} if (row + 1, column + 1) in drawn else None for column in range(columns)] for row in range(rows)],
        vertical_spacing=BETWEEN / inner if rows > 1 else 0,
        horizontal_spacing=0.05 if axes.same_scale else min(0.1, 0.3 / columns),
    )
    common = _y_range(panels, axes)
    for panel in panels:
        _draw_panel(figure, panel, axes, common if axes.same_scale else _y_range([panel], axes), theme)
    top = TOP if any(panel.title for panel in panels) else TOP_WITHOUT_TITLE
    apply_theme(figure, theme=theme, height=inner + top + BOTTOM)
    return figure.update_layout(margin={"t": top, "b": BOTTOM, "r": RIGHT})


def _y_range(panels: list[Panel], axes: Axes) -> tuple[float, float]:
    """Return the y range: means, log, zero, error bars, and as much of the bands as does not dwarf the means."""
    lines = [line for panel in panels for line in panel.lines]
    means = [line.points["y"] for line in lines] + [line.logged["y"] for line in lines if line.logged is not None]
    means.append(pd.Series([line.y for panel in panels for line in panel.horizontal_lines], dtype=float))
    bands = [_band_ends(line) for line in lines]
    means += [_band_ends(line) for panel in panels if panel.has_single_points for line in panel.lines]
    values = pd.concat([*means, pd.Series(dtype=float)]).dropna()
    if values.empty:
        return (0.0, 1.0) if axes.share else (-1.0, 1.0)
    if axes.share:
        return max(-0.03, min(values.min() - 0.06, 0.45)), 1.03
    low, high = min(0.0, values.min()), max(0.0, values.max())
    if high - low < FLAT:
        low, high = -FLAT, FLAT
    reach = 0.6 * (high - low)
    with_bands = pd.concat([*bands, values]).dropna()
    low, high = max(min(with_bands.min(), low), low - reach), min(max(with_bands.max(), high), high + reach)
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def _band_ends(line: Line) -> pd.Series:
    """Return both ends of every band or error bar of a line; empty where it has none."""
    return pd.concat([line.points["p10"], line.points["p90"]]) if line.has_band else pd.Series(dtype=float)


def _draw_panel(figure: go.Figure, panel: Panel, axes: Axes, span: tuple[float, float], theme: str) -> None:
    if panel.has_single_points:
        _draw_single_points(figure, panel, axes, theme)
    else:
        for line in panel.lines:
            _draw_line(figure, line, panel.place, theme)
        _draw_end_labels(figure, panel, span, theme)
        _set_x_axis(figure, panel, axes)
        _draw_horizontal_lines(figure, panel, theme)
    _set_y_axis(figure, panel, axes, span, theme)
    _draw_title(figure, panel, theme)


def _draw_horizontal_lines(figure: go.Figure, panel: Panel, theme: str) -> None:
    """Draw dotted lines behind the curves, as far as these go: not through the labels at line ends."""
    stop = max((line.points["x"].max() for line in panel.lines if len(line.points)), default=0.0)
    start = next(axes_of(figure, "x", **panel.place)).range[0]
    for line in panel.horizontal_lines:
        look = {"color": color_of(line.color, theme), "width": 1.3, "dash": "dot"}
        figure.add_shape(type="line", x0=start, x1=stop, y0=line.y, y1=line.y, line=look, layer="below", **panel.place)


def _draw_line(figure: go.Figure, line: Line, place: dict[str, Any], theme: str) -> None:
    """Draw the band, the trainer's log with hollow markers, and the line itself on top."""
    style, points, logged = line.style, line.points, line.logged
    color = color_of(style.color, theme)
    if line.has_band:
        band = points.dropna(subset=["p10", "p90"])
        outline = {"x": [*band["x"], *band["x"][::-1]], "y": [*band["p90"], *band["p10"][::-1]]}
        fill = with_opacity(color, 0.13 if theme == "light" else 0.18)
        figure.add_scatter(
            **outline, fill="toself", fillcolor=fill, line_width=0, hoverinfo="skip", mode="lines", **place
        )
    if logged is not None and len(logged):
        size = 13 if len(logged) <= LARGE_MARKERS else 5
        figure.add_scatter(
            x=logged["x"],
            y=logged["y"],
            mode=_mode(logged),
            line={"color": with_opacity(color, 0.55), "width": 1},
            marker={"symbol": f"{style.symbol}-open", "size": size, "color": with_opacity(color, 0.8)},
            text=logged["note"],
            hovertemplate="%{text}<extra></extra>",
            **place,
        )
    figure.add_scatter(
        x=points["x"],
        y=points["y"],
        mode=_mode(points),
        name=line.name,
        line={"color": color, "width": 2.2, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 7, "color": color},
        text=points["note"],
        hovertemplate="%{text}<extra></extra>",
        connectgaps=False,
        **place,
    )


def _mode(points: pd.DataFrame) -> str:
    return "lines+markers" if len(points) <= MOST_MARKERS else "lines"


def _draw_end_labels(figure: go.Figure, panel: Panel, span: tuple[float, float], theme: str) -> None:
    """Draw the labels at the right of every line's end, and of every horizontal line that has a name.

    Labels of lines that end near the last point stand behind that point, so that no other line runs through them.
    """
    drawn = [(line, line.points.dropna(subset=["y"])) for line in panel.lines]
    drawn = [(line, points) for line, points in drawn if len(points)]
    ends = [
        (float(points["x"].iloc[-1]), float(points["y"].iloc[-1]), line.label or line.name, line.style.color)
        for line, points in drawn
    ]
    last = max((x for x, *_ in ends), default=0.0)
    ends += [(last, line.y, line.label, line.color) for line in panel.horizontal_lines if line.name]
    first = min((float(points["x"].iloc[0]) for _, points in drawn), default=0.0)
    near_end = last - NEAR_END * (last - first)
    for group in dict.fromkeys(min(x, near_end) for x, *_ in ends):
        members = [end for end in ends if min(end[0], near_end) == group]
        heights = spread_labels([end[1] for end in members], span, LABEL_GAP / PANEL_HEIGHT)
        for (x, _, text, role), y in zip(members, heights, strict=True):
            figure.add_annotation(
                x=last if group == near_end else x,
                y=y,
                text=text,
                showarrow=False,
                xanchor="left",
                xshift=9,
                borderpad=0,
                font={"color": color_of(role, theme), "size": LABEL},
                bgcolor=PALETTES[theme].background,
                **panel.place,
            )


def _draw_single_points(figure: go.Figure, panel: Panel, axes: Axes, theme: str) -> None:
    """Draw one checkpoint: a bar or marker per line, its 10-90 % range, and its name and value in two lines below."""
    for line in panel.horizontal_lines:
        look = {"color": color_of(line.color, theme), "width": 1.3, "dash": "dot"}
        figure.add_hline(line.y, line=look, layer="below", **panel.place)
    for line in panel.lines:
        color = color_of(line.style.color, theme)
        value = line.label.removeprefix(line.name).strip()
        x = ["<br>".join(filter(None, (line.name, value)))] * len(line.points)
        common = {"x": x, "y": line.points["y"], "error_y": _error_bars(line, color)}
        common |= {"hovertext": line.points["note"], "hovertemplate": "%{hovertext}<extra></extra>"} | panel.place
        if axes.bars:
            figure.add_bar(marker_color=with_opacity(color, 0.55), width=0.5, **common)
        else:
            marker = {"symbol": line.style.symbol, "size": 11, "color": color}
            figure.add_scatter(mode="markers", marker=marker, **common)
    figure.update_xaxes(showgrid=False, zeroline=False, tickfont={"size": LABEL}, type="category", **panel.place)


def _error_bars(line: Line, color: str) -> dict[str, Any] | None:
    if not line.has_band:
        return None
    up, down = line.points["p90"] - line.points["y"], line.points["y"] - line.points["p10"]
    return {"array": up, "arrayminus": down, "symmetric": False, "color": color, "thickness": 1.2, "width": 6}


def _set_y_axis(figure: go.Figure, panel: Panel, axes: Axes, span: tuple[float, float], theme: str) -> None:
    first = panel.column == 1
    figure.update_yaxes(
        range=list(span),
        gridcolor=color_of("grid", theme),
        **axis_ticks(*span, share=axes.share),
        zeroline=not axes.share,
        zerolinecolor=color_of("zero", theme),
        zerolinewidth=1.4,
        title={"text": axes.y, "standoff": 8, "font": {"size": LABEL}} if first else None,
        showticklabels=first or not axes.same_scale,
        **panel.place,
    )


def _set_x_axis(figure: go.Figure, panel: Panel, axes: Axes) -> None:
    """Set ticks at checkpoints only, and room at the right for the labels at line ends."""
    xs = pd.concat([frame["x"] for line in panel.lines for frame in (line.points, line.logged) if frame is not None])
    low, high = float(xs.min()), float(xs.max())
    length = high - low or 1.0
    columns = len({axis.domain for axis in axes_of(figure, "x")})
    pixels = (PAGE_WIDTH if axes.same_scale else NARROW_WIDTH) / columns - 40
    labels = [line.label or line.name for line in panel.lines]
    labels += [line.label for line in panel.horizontal_lines if line.name]
    room = 14 + 7.4 * max(text_width(label) for label in labels)
    stop = low + length * pixels / max(pixels - room, 60)
    steps = sorted({x for line in panel.lines for x in line.points["x"]})
    ticks = panel.ticks or {x: f"{x:.10g}" for x in thin_ticks(steps, (stop - low) * TICK_WIDTH / pixels)}
    figure.update_xaxes(
        range=[low - 0.05 * length, stop],
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        showgrid=False,
        zeroline=False,
        tickangle=0 if not panel.ticks else None,
        title={"text": axes.x, "standoff": 4, "font": {"size": LABEL}},
        **panel.place,
    )


def _draw_title(figure: go.Figure, panel: Panel, theme: str) -> None:
    x_axis, y_axis = (next(axes_of(figure, letter, **panel.place)) for letter in "xy")
    font, place = {"size": TITLE, "color": color_of("text", theme)}, {"xanchor": "left", "yanchor": "bottom"}
    add_text(figure, panel.title, x_axis.domain[0], y_axis.domain[1], **place, yshift=6, font=font, align="left")

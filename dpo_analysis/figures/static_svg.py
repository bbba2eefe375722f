"""The project's figures as static SVG, drawn without a browser; the SVG needs no script and no network.

Draws what these figures are made of and nothing else: lines, markers and filled areas, bars with error bars, text,
horizontal and vertical lines, rectangles and annotations on linear axes. Numbers are those of the figure; text is
escaped, and of Plotly's markup only bold, line breaks and font sizes are kept.
"""

import html
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from dpo_analysis.errors import InputError
from dpo_analysis.figures.svg_plane import MARKUP, Plane, attribute, line_element, rect_element, text_element
from dpo_analysis.figures.theme import layout_of, traces_of

WIDTH = 1000
DASHES = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 4"}
TRACES = ("scatter", "bar")
ANCHORS = {"left": "start", "right": "end", "center": "middle"}
SYMBOLS = {
    "circle": "M{x} {y}m-{r},0a{r},{r} 0 1,0 {d},0a{r},{r} 0 1,0 -{d},0",
    "square": "M{x} {y}m-{r},-{r}h{d}v{d}h-{d}z",
    "diamond": "M{x} {y}m0,-{r}l{r},{r}l-{r},{r}l-{r},-{r}z",
    "triangle-up": "M{x} {y}m0,-{r}l{r},{d}h-{d}z",
    "cross": "M{x} {y}m-{r},0h{d}m-{r},-{r}v{d}",
}
"""The path of every marker, by Plotly's symbol."""
Point = tuple[float, float]


def svg(figure: go.Figure, *, title: str, width: int = WIDTH) -> str:
    """Return a figure as the text of an ``<svg>`` element that scales with the page.

    Args:
        figure: a figure of lines or bars, made by a function of ``dpo_analysis.figures``.
        title: what a screen reader says in place of the picture.
        width: pixels.

    Raises:
        InputError: the figure holds what cannot be drawn here (a heat map).
    """
    traces = traces_of(figure)
    kinds = sorted({trace.type for trace in traces} - set(TRACES))
    if kinds:
        raise InputError(f"no SVG of a {kinds[0]}: only lines and bars can be; save it with the app's camera button")
    layout = layout_of(figure)
    height = int(layout.height or 400)
    plane = Plane(figure, width, height)
    names = sorted({trace.xaxis or "x" for trace in traces} or {"x"})
    parts = [f'<rect width="{width}" height="{height}" fill="{attribute(layout.paper_bgcolor)}"/>']
    for name in names:
        parts += plane.axes(name)
    for trace in traces:
        parts += _bars(trace, plane) if trace.type == "bar" else _scatter(trace, plane)
    parts += [element for shape in layout.shapes for element in _shape(shape, plane)]
    parts += [element for annotation in layout.annotations for element in _annotation(annotation, plane)]
    label = attribute(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}" '
        f'font-family="{attribute(layout.font.family)}" font-size="{layout.font.size}"><title>{label}</title>'
        f"{''.join(parts)}</svg>"
    )


def _scatter(trace: Any, plane: Plane) -> Iterator[str]:
    points = list(_points(trace, plane))
    mode = trace.mode or "lines+markers"
    if trace.fill == "toself":
        top, bottom = sorted(plane.span(trace.yaxis or "y"))
        corners = [(x, min(max(y, top), bottom)) for part in _without_gaps(points) for x, y in part]
        outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        yield f'<polygon points="{outline}" fill="{attribute(trace.fillcolor)}"/>'
    elif "lines" in mode:
        for part in _without_gaps(points):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in part)
            dash = DASHES.get(trace.line.dash or "solid")
            style = f' stroke-dasharray="{dash}"' if dash else ""
            color, width = attribute(trace.line.color), trace.line.width or 2
            yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"{style}/>'
    if "markers" in mode:
        yield from (_marker(trace.marker, x, y) for x, y in points if math.isfinite(x + y))
    if "text" in mode:
        text_position = trace.textposition
        positions = text_position if isinstance(text_position, list | tuple) else [text_position] * len(points)
        for (x, y), text, position in zip(points, trace.text, positions, strict=True):
            anchor = "end" if "left" in str(position) else "start" if "right" in str(position) else "middle"
            yield text_element(x, y + 4, str(text), anchor, trace.textfont.color, trace.textfont.size)


def _marker(marker: Any, x: float, y: float) -> str:
    name = str(marker.symbol or "circle")
    radius, hollow = (marker.size or 6) / 2, name.endswith("-open") or name == "cross"
    path = SYMBOLS.get(name.removesuffix("-open"), SYMBOLS["circle"])
    shape = path.format(x=f"{x:.1f}", y=f"{y:.1f}", r=f"{radius:g}", d=f"{2 * radius:g}")
    color = attribute(marker.color)
    return f'<path d="{shape}" fill="{"none" if hollow else color}" stroke="{color}" stroke-width="1.2"/>'


def _bars(trace: Any, plane: Plane) -> Iterator[str]:
    """Yield the bars of a trace, each with its error bar; ``along`` is the axis of values, ``across`` the other."""
    flat = trace.orientation == "h"
    along, across = ("x", "y") if flat else ("y", "x")
    names = {axis: trace[f"{axis}axis"] or axis for axis in "xy"}
    half = (float(trace.width or 0.8) if not isinstance(trace.width, Sequence) else float(trace.width[0])) / 2
    errors = trace[f"error_{along}"]
    for index, (value, category) in enumerate(zip(trace[along], trace[across], strict=True)):
        slot = plane.number(names[across], category)
        if not math.isfinite(value):
            continue
        ends = sorted((plane.pixel(names[along], 0), plane.pixel(names[along], value)))
        sides = sorted((plane.pixel(names[across], slot - half), plane.pixel(names[across], slot + half)))
        box = (ends[0], sides[0], ends[1], sides[1]) if flat else (sides[0], ends[0], sides[1], ends[1])
        color = trace.marker.color
        color = color if isinstance(color, str) else color[index]
        yield rect_element(*box, attribute(color))
        if errors.array is not None:
            below = errors.arrayminus if errors.arrayminus is not None else errors.array
            low, high = (plane.pixel(names[along], end) for end in (value - below[index], value + errors.array[index]))
            middle = sum(sides) / 2
            line = (low, middle, high, middle) if flat else (middle, low, middle, high)
            yield line_element(*line, errors.color or attribute(color), 1.2)


def _shape(shape: Any, plane: Plane) -> Iterator[str]:
    x = [plane.pixel_of(_reference(shape.xref, "x"), value) for value in (shape.x0, shape.x1)]
    y = [plane.pixel_of(_reference(shape.yref, "y"), value) for value in (shape.y0, shape.y1)]
    if shape.type == "rect":
        fill, stroke = attribute(shape.fillcolor or "none"), attribute(shape.line.color or "none")
        yield rect_element(min(x), min(y), max(x), max(y), fill, stroke)
    else:
        yield line_element(
            x[0], y[0], x[1], y[1], shape.line.color, shape.line.width or 1, DASHES.get(shape.line.dash or "")
        )


def _annotation(note: Any, plane: Plane) -> Iterator[str]:
    x = plane.pixel_of(_reference(note.xref, "x"), note.x) + (note.xshift or 0)
    y = plane.pixel_of(_reference(note.yref, "y"), note.y) - (note.yshift or 0)
    lines = _lines(str(note.text), note.font.size or 12)
    anchor = ANCHORS.get(note.xanchor or "center", "middle")
    rise = sum(size * 1.3 for _, size, _ in lines[1:])
    first = {"bottom": y - rise - 3, "top": y + lines[0][1]}.get(note.yanchor or "middle", y + lines[0][1] * 0.35)
    color = note.font.color or plane.layout.font.color
    for place, (text, size, bold) in enumerate(lines):
        weight = ' font-weight="600"' if bold else ""
        yield text_element(x, first + place * 1.3 * size, text, anchor, color, size, weight)


def _lines(text: str, size: float) -> list[tuple[str, float, bool]]:
    """Return the lines of an annotation: text without markup, size in pixels, and whether it begins bold."""
    lines: list[tuple[str, float, bool]] = []
    for line in text.split("<br>"):
        font_size = re.search(r"font-size:(\d+)px", line)
        bare = html.unescape(MARKUP.sub("", line))
        lines.append((bare, float(font_size[1]) if font_size else size, line.startswith("<b>")))
    return lines


def _reference(reference: str | None, axis: str) -> str:
    return f"paper {axis}" if reference == "paper" else reference or axis


def _points(trace: Any, plane: Plane) -> Iterator[Point]:
    names = trace.xaxis or "x", trace.yaxis or "y"
    for point in zip(trace.x, trace.y, strict=True):
        x, y = (
            plane.pixel(name, math.nan if value is None else plane.number(name, value))
            for name, value in zip(names, point, strict=True)
        )
        yield x, y


def _without_gaps(points: list[Point]) -> Iterator[list[Point]]:
    """Yield the parts of a line between its gaps."""
    part: list[Point] = []
    for point in [*points, (math.nan, math.nan)]:
        if math.isfinite(point[0] + point[1]):
            part.append(point)
        elif part:
            yield part
            part = []

"""The project's figures as static SVG: text that needs no script, no network and no browser engine to be made.

Draws what these figures are made of and nothing else: lines, marks and filled areas, bars with error bars, text,
horizontal and vertical lines, rectangles and annotations on linear axes. Numbers are those of the figure; text is
escaped, and of Plotly's markup only bold, line breaks and font sizes are obeyed.
"""

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dpo_analysis.errors import InputError

WIDTH = 1000
DASHES = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 4"}
DRAWN = ("scatter", "bar")
ANCHORS = {"left": "start", "right": "end", "center": "middle"}
PIECE = re.compile(r"(<br>|<b>|</b>|<span style='font-size:\d+px'>|</span>)")
TICK_LENGTH, TICK_GAP = 1, 14
MARKS = {
    "circle": "M{x} {y}m-{r},0a{r},{r} 0 1,0 {d},0a{r},{r} 0 1,0 -{d},0",
    "square": "M{x} {y}m-{r},-{r}h{d}v{d}h-{d}z",
    "diamond": "M{x} {y}m0,-{r}l{r},{r}l-{r},{r}l-{r},-{r}z",
    "triangle-up": "M{x} {y}m0,-{r}l{r},{d}h-{d}z",
    "cross": "M{x} {y}m-{r},0h{d}m-{r},-{r}v{d}",
}


def svg(figure: go.Figure, *, title: str, width: int = WIDTH) -> str:
    """One figure as the text of an ``<svg>`` element, ``width`` pixels wide, that scales with the page.

    Args:
        figure: a figure of lines or bars, made by a function of ``dpo_analysis.figures``.
        title: what a screen reader says in place of the picture.
        width: pixels.

    Raises:
        InputError: the figure holds what cannot be drawn here (a heat map).
    """
    kinds = sorted({trace.type for trace in figure.data} - set(DRAWN))
    if kinds:
        raise InputError(
            f"no SVG of a {kinds[0]}: lines and bars are drawn here; save that one from the app's camera button"
        )
    layout = figure.layout
    height = int(layout.height or 400)
    frame = _Frame(figure, width, height)
    names = sorted({trace.xaxis or "x" for trace in figure.data} or {"x"})
    parts = [f'<rect width="{width}" height="{height}" fill="{_safe(layout.paper_bgcolor)}"/>']
    for name in names:
        parts += frame.axes(name)
    for trace in figure.data:
        parts += _bars(trace, frame) if trace.type == "bar" else _scatter(trace, frame)
    parts += [line for shape in layout.shapes for line in _shape(shape, frame)]
    parts += [line for note in layout.annotations for line in _note(note, frame)]
    label = html.escape(title, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{label}" '
        f'font-family="{_safe(layout.font.family)}" font-size="{layout.font.size}"><title>{label}</title>'
        f"{''.join(parts)}</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where on the picture a number of the figure lies."""

    figure: go.Figure
    width: int
    height: int

    @property
    def layout(self) -> Any:
        """The figure's layout."""
        return self.figure.layout

    def axis(self, name: str) -> Any:
        """``x2`` -> layout.xaxis2."""
        return self.layout[f"{name[0]}axis{name[1:]}"]

    def span(self, name: str) -> tuple[float, float]:
        """The pixels that the ends of an axis lie at; y runs downwards."""
        margin, low, high = self.layout.margin, *(self.axis(name).domain or (0, 1))
        if name[0] == "x":
            inner = self.width - self.left - margin.r
            return self.left + low * inner, self.left + high * inner
        inner = self.height - margin.t - margin.b
        return self.height - margin.b - low * inner, self.height - margin.b - high * inner

    @property
    def left(self) -> float:
        """Pixels left of the panels: the margin, and as much as words for ticks take."""
        words = [len(str(t)) for axis in self.figure.select_yaxes() if axis.automargin for t in axis.ticktext or ()]
        return max(self.layout.margin.l, 7 * max(words, default=0) + 12)

    def ends(self, name: str) -> tuple[float, float]:
        """The numbers at both ends of an axis."""
        axis = self.axis(name)
        if axis.range is not None:
            return axis.range[0], axis.range[1]
        values = axis.tickvals if axis.tickvals is not None else range(len(self.words(name)) or 2)
        low, high = min(values) - 0.5, max(values) + 0.5
        return (high, low) if axis.autorange == "reversed" else (low, high)

    def words(self, name: str) -> list[str]:
        """The words that stand for numbers on an axis, in the order in which the traces have them."""
        of = [trace for trace in self.figure.data if (trace[f"{name[0]}axis"] or name[0]) == name]
        values = [value for trace in of for value in (trace[name[0]] if trace[name[0]] is not None else ())]
        return list(dict.fromkeys(value for value in values if isinstance(value, str)))

    def number(self, name: str, value: float | str) -> float:
        """A number of an axis, or the place of a word on it."""
        return float(self.words(name).index(value)) if isinstance(value, str) else float(value)

    def place(self, name: str, value: float) -> float:
        """The pixel of a number."""
        (low, high), (start, stop) = self.ends(name), self.span(name)
        return start + (float(value) - low) / (high - low) * (stop - start)

    def at(self, reference: str, value: float) -> float:
        """The pixel of a place that is a number of an axis, or a share of the paper."""
        base, _, domain = reference.partition(" ")
        if base == "paper":
            margin = self.layout.margin
            if domain == "y":
                return self.height - margin.b - value * (self.height - margin.t - margin.b)
            return self.left + value * (self.width - self.left - margin.r)
        if domain:
            start, stop = self.span(base)
            return start + value * (stop - start)
        return self.place(base, value)

    def axes(self, x: str) -> Iterator[str]:
        """Grid, zero line, ticks and titles of one panel."""
        y = self.axis(x).anchor or f"y{x[1:]}"
        left, right = self.span(x)
        bottom, top = self.span(y)
        for value, text in _ticks(self.axis(y), self.ends(y), self.words(y)):
            where = self.place(y, value)
            if self.axis(y).gridcolor and self.axis(y).showgrid is not False:
                yield _line(left, where, right, where, self.axis(y).gridcolor, 1)
            if self.axis(y).showticklabels is not False:
                yield _text(left - 8, where + 4, text, "end", self._ink(y))
        for value, text in _ticks(self.axis(x), self.ends(x), self.words(x)):
            where = self.place(x, value)
            if self.axis(x).gridcolor and self.axis(x).showgrid is not False:
                yield _line(where, bottom, where, top, self.axis(x).gridcolor, 1)
            yield _text(where, bottom + TICK_GAP + 2, text, "middle", self._ink(x))
        for name, line in ((y, lambda at: (left, at, right, at)), (x, lambda at: (at, bottom, at, top))):
            low, high = sorted(self.ends(name))
            if self.axis(name).zeroline and low <= 0 <= high:
                yield _line(*line(self.place(name, 0)), self.axis(name).zerolinecolor, 1.4)
        if self.axis(x).title.text:
            yield _text((left + right) / 2, bottom + 34, self.axis(x).title.text, "middle", self._ink(x), 13)
        if self.axis(y).title.text:
            middle = (top + bottom) / 2
            spin = f' transform="rotate(-90 {left - 48:.1f} {middle:.1f})"'
            yield _text(left - 48, middle, self.axis(y).title.text, "middle", self._ink(y), 13, spin)

    def _ink(self, name: str) -> str:
        return self.axis(name).tickfont.color or self.layout.font.color


def _ticks(axis: Any, ends: tuple[float, float], words: list[str]) -> list[tuple[float, str]]:
    low, high = sorted(ends)
    if words:
        return [(float(place), word) for place, word in enumerate(words)]
    if axis.tickvals is not None:
        texts = axis.ticktext if axis.ticktext is not None else [f"{value:g}" for value in axis.tickvals]
        pairs = zip(axis.tickvals, texts, strict=True)
        return [(float(value), str(text)) for value, text in pairs if low <= value <= high]
    step = nice_step((high - low) / max(1, (axis.nticks or 6) - 1))
    values = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    percent = "%" in (axis.tickformat or "")
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    shown = [f"{100 * value:.0f}%" if percent else f"{value:.{digits}f}" for value in values + 0.0]
    return list(zip(values.tolist(), [text.replace("-", "\u2212") for text in shown], strict=True))


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 x a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _scatter(trace: Any, frame: _Frame) -> Iterator[str]:
    points = list(_points(trace, frame))
    mode = trace.mode or "lines+markers"
    if trace.fill == "toself":
        top, bottom = sorted(frame.span(trace.yaxis or "y"))
        corners = [(x, min(max(y, top), bottom)) for run in _runs(points) for x, y in run]
        outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        yield f'<polygon points="{outline}" fill="{_safe(trace.fillcolor)}"/>'
    elif "lines" in mode:
        for run in _runs(points):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            dash = DASHES.get(trace.line.dash or "solid")
            style = f' stroke-dasharray="{dash}"' if dash else ""
            ink, width = _safe(trace.line.color), trace.line.width or 2
            yield f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="{width}"{style}/>'
    if "markers" in mode:
        yield from (_mark(trace.marker, x, y) for x, y in points if math.isfinite(x + y))
    if "text" in mode:
        places = (
            trace.textposition if isinstance(trace.textposition, list | tuple) else [trace.textposition] * len(points)
        )
        for (x, y), text, place in zip(points, trace.text, places, strict=True):
            anchor = "end" if "left" in str(place) else "start" if "right" in str(place) else "middle"
            yield _text(x, y + 4, str(text), anchor, trace.textfont.color, trace.textfont.size)


def _mark(marker: Any, x: float, y: float) -> str:
    name = str(marker.symbol or "circle")
    radius, hollow = (marker.size or 6) / 2, name.endswith("-open") or name == "cross"
    path = MARKS.get(name.removesuffix("-open"), MARKS["circle"])
    shape = path.format(x=f"{x:.1f}", y=f"{y:.1f}", r=f"{radius:g}", d=f"{2 * radius:g}")
    ink = _safe(marker.color)
    return f'<path d="{shape}" fill="{"none" if hollow else ink}" stroke="{ink}" stroke-width="1.2"/>'


def _bars(trace: Any, frame: _Frame) -> Iterator[str]:
    flat = trace.orientation == "h"
    along, across = ("x", "y") if flat else ("y", "x")
    names = {axis: trace[f"{axis}axis"] or axis for axis in "xy"}
    half = (float(trace.width or 0.8) if not isinstance(trace.width, Sequence) else float(trace.width[0])) / 2
    errors = trace[f"error_{along}"]
    for index, (value, word) in enumerate(zip(trace[along], trace[across], strict=True)):
        slot = frame.number(names[across], word)
        if not math.isfinite(value):
            continue
        ends = sorted((frame.place(names[along], 0), frame.place(names[along], value)))
        sides = sorted((frame.place(names[across], slot - half), frame.place(names[across], slot + half)))
        box = (ends[0], sides[0], ends[1], sides[1]) if flat else (sides[0], ends[0], sides[1], ends[1])
        ink = trace.marker.color
        ink = ink if isinstance(ink, str) else ink[index]
        yield _rect(*box, _safe(ink))
        if errors.array is not None:
            below = errors.arrayminus if errors.arrayminus is not None else errors.array
            reach = [
                frame.place(names[along], value - below[index]),
                frame.place(names[along], value + errors.array[index]),
            ]
            middle = sum(sides) / 2
            line = (reach[0], middle, reach[1], middle) if flat else (middle, reach[0], middle, reach[1])
            yield _line(*line, errors.color or _safe(ink), 1.2)


def _shape(shape: Any, frame: _Frame) -> Iterator[str]:
    x = [frame.at(_paper(shape.xref, "x"), value) for value in (shape.x0, shape.x1)]
    y = [frame.at(_paper(shape.yref, "y"), value) for value in (shape.y0, shape.y1)]
    if shape.type == "rect":
        yield _rect(min(x), min(y), max(x), max(y), _safe(shape.fillcolor or "none"), _safe(shape.line.color or "none"))
    else:
        yield _line(x[0], y[0], x[1], y[1], shape.line.color, shape.line.width or 1, DASHES.get(shape.line.dash or ""))


def _note(note: Any, frame: _Frame) -> Iterator[str]:
    x = frame.at(_paper(note.xref, "x"), note.x) + (note.xshift or 0)
    y = frame.at(_paper(note.yref, "y"), note.y) - (note.yshift or 0)
    lines = _lines(str(note.text), note.font.size or 12)
    anchor = ANCHORS.get(note.xanchor or "center", "middle")
    rise = sum(size * 1.3 for _, size, _ in lines[1:])
    first = {"bottom": y - rise - 3, "top": y + lines[0][1]}.get(note.yanchor or "middle", y + lines[0][1] * 0.35)
    for place, (text, size, bold) in enumerate(lines):
        weight = ' font-weight="600"' if bold else ""
        yield _text(
            x, first + place * 1.3 * size, text, anchor, note.font.color or frame.layout.font.color, size, weight
        )


def _lines(text: str, size: float) -> list[tuple[str, float, bool]]:
    """The lines of an annotation: text without markup, size in pixels, and whether it begins bold."""
    found: list[tuple[str, float, bool]] = []
    for line in text.split("<br>"):
        asked = re.search(r"font-size:(\d+)px", line)
        plain = html.unescape(PIECE.sub("", line))
        found.append((plain, float(asked[1]) if asked else size, line.startswith("<b>")))
    return found


def _paper(reference: str | None, axis: str) -> str:
    return f"paper {axis}" if reference == "paper" else reference or axis


def _points(trace: Any, frame: _Frame) -> Iterator[tuple[float, float]]:
    x, y = trace.xaxis or "x", trace.yaxis or "y"
    for across, up in zip(trace.x, trace.y, strict=True):
        values = [math.nan if one is None else frame.number(name, one) for name, one in ((x, across), (y, up))]
        yield frame.place(x, values[0]), frame.place(y, values[1])


def _runs(points: list[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """The points between gaps."""
    run: list[tuple[float, float]] = []
    for point in [*points, (math.nan, math.nan)]:
        if math.isfinite(point[0] + point[1]):
            run.append(point)
        elif run:
            yield run
            run = []


def _line(x0: float, y0: float, x1: float, y1: float, ink: str, width: float, dash: str | None = None) -> str:
    style = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{_safe(ink)}" stroke-width="{width:g}"{style}/>'


def _rect(x0: float, y0: float, x1: float, y1: float, fill: str, stroke: str = "none") -> str:
    box = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
    return f'<rect {box} fill="{fill}" stroke="{stroke}"/>'


def _text(x: float, y: float, text: str, anchor: str, ink: str, size: float | None = None, more: str = "") -> str:
    large = f' font-size="{size:g}"' if size else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_safe(ink)}"'
    return f"<text {place}{large}{more}>{html.escape(PIECE.sub(' ', text).strip())}</text>"


def _safe(value: object) -> str:
    return html.escape(str(value), quote=True)

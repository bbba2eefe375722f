"""The coordinates, axes and elements of a static SVG: the pixel of every number of a figure, and how it is written."""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from dpo_analysis.figures.scales import axis_ticks
from dpo_analysis.figures.theme import axes_of, layout_of, traces_of

MARKUP = re.compile(r"(<br>|<b>|</b>|<span style='font-size:\d+px'>|</span>)")
"""What figures use of Plotly's markup."""
TICK_GAP = 14
"""Pixels between the x axis and its ticks."""


@dataclass(frozen=True, slots=True)
class Plane:
    """The picture's coordinates: which pixel a number of the figure lies at. Axes are named "x", "x2", "y", ..."""

    figure: go.Figure
    width: int
    height: int
    found: dict[tuple[str, str], Any] = field(default_factory=dict)

    def _once(self, kind: str, name: str, find: Callable[[str], Any]) -> Any:
        """Return ``find(name)``, which is asked once: Plotly looks every attribute up anew, and every point asks."""
        key = (kind, name)
        if key not in self.found:
            self.found[key] = find(name)
        return self.found[key]

    @property
    def layout(self) -> Any:
        """The figure's layout."""
        return layout_of(self.figure)

    def axis(self, name: str) -> Any:
        """Return ``layout.xaxis2`` for ``x2``."""
        return self._once("axis", name, lambda name: self.layout[f"{name[0]}axis{name[1:]}"])

    def span(self, name: str) -> tuple[float, float]:
        """Return the pixels of both ends of an axis; y runs downwards."""
        return self._once("span", name, self._span)

    def _span(self, name: str) -> tuple[float, float]:
        margin, low, high = self.layout.margin, *(self.axis(name).domain or (0, 1))
        if name[0] == "x":
            inner = self.width - self.left - margin.r
            return self.left + low * inner, self.left + high * inner
        inner = self.height - margin.t - margin.b
        return self.height - margin.b - low * inner, self.height - margin.b - high * inner

    @property
    def left(self) -> float:
        """Pixels left of the panels: the margin, or more where the ticks have long names."""
        return self._once("left", "", self._left)

    def _left(self, _: str) -> float:
        lengths = [len(str(t)) for axis in axes_of(self.figure, "y") if axis.automargin for t in axis.ticktext or ()]
        return max(self.layout.margin.l, 7 * max(lengths, default=0) + 12)

    def ends(self, name: str) -> tuple[float, float]:
        """Return the numbers at both ends of an axis."""
        return self._once("ends", name, self._ends)

    def _ends(self, name: str) -> tuple[float, float]:
        axis = self.axis(name)
        if axis.range is not None:
            return axis.range[0], axis.range[1]
        values = axis.tickvals if axis.tickvals is not None else range(len(self.categories(name)) or 2)
        low, high = min(values) - 0.5, max(values) + 0.5
        return (high, low) if axis.autorange == "reversed" else (low, high)

    def categories(self, name: str) -> list[str]:
        """Return the words that stand for numbers on an axis, in the order in which the traces have them."""
        return self._once("categories", name, self._categories)

    def _categories(self, name: str) -> list[str]:
        traces = [trace for trace in traces_of(self.figure) if (trace[f"{name[0]}axis"] or name[0]) == name]
        values = [value for trace in traces for value in (trace[name[0]] if trace[name[0]] is not None else ())]
        return list(dict.fromkeys(value for value in values if isinstance(value, str)))

    def number(self, name: str, value: float | str) -> float:
        """Return a number of an axis as it is, and a category as its place."""
        return float(self.categories(name).index(value)) if isinstance(value, str) else float(value)

    def pixel(self, name: str, value: float) -> float:
        """Return the pixel of a number of an axis."""
        (low, high), (start, stop) = self.ends(name), self.span(name)
        return start + (float(value) - low) / (high - low) * (stop - start)

    def pixel_of(self, reference: str, value: float) -> float:
        """Return the pixel of a coordinate of a shape or annotation.

        Args:
            reference: "x2" (a number of this axis), "x2 domain" (a share of it), or "paper x" (a share of all panels).
            value: the number or share.
        """
        base, _, domain = reference.partition(" ")
        if base == "paper":
            margin = self.layout.margin
            if domain == "y":
                return self.height - margin.b - value * (self.height - margin.t - margin.b)
            return self.left + value * (self.width - self.left - margin.r)
        if domain:
            start, stop = self.span(base)
            return start + value * (stop - start)
        return self.pixel(base, value)

    def axes(self, x: str) -> Iterator[str]:
        """Yield grid, zero lines, ticks and titles of the panel of an x axis."""
        y = self.axis(x).anchor or f"y{x[1:]}"
        yield from self._y_ticks(x, y)
        yield from self._x_ticks(x, y)
        yield from self._zero_lines(x, y)
        yield from self._titles(x, y)

    def _y_ticks(self, x: str, y: str) -> Iterator[str]:
        axis, (left, right) = self.axis(y), self.span(x)
        for value, text in _ticks(axis, self.ends(y), self.categories(y)):
            at = self.pixel(y, value)
            if axis.gridcolor and axis.showgrid is not False:
                yield line_element(left, at, right, at, axis.gridcolor, 1)
            if axis.showticklabels is not False:
                yield text_element(left - 8, at + 4, text, "end", self._tick_color(y))

    def _x_ticks(self, x: str, y: str) -> Iterator[str]:
        axis, (bottom, top) = self.axis(x), self.span(y)
        for value, text in _ticks(axis, self.ends(x), self.categories(x)):
            at = self.pixel(x, value)
            if axis.gridcolor and axis.showgrid is not False:
                yield line_element(at, bottom, at, top, axis.gridcolor, 1)
            yield text_element(at, bottom + TICK_GAP + 2, text, "middle", self._tick_color(x))

    def _zero_lines(self, x: str, y: str) -> Iterator[str]:
        (left, right), (bottom, top) = self.span(x), self.span(y)
        for name in (y, x):
            low, high = sorted(self.ends(name))
            if self.axis(name).zeroline and low <= 0 <= high:
                at = self.pixel(name, 0)
                ends = (left, at, right, at) if name == y else (at, bottom, at, top)
                yield line_element(*ends, self.axis(name).zerolinecolor, 1.4)

    def _titles(self, x: str, y: str) -> Iterator[str]:
        (left, right), (bottom, top) = self.span(x), self.span(y)
        if self.axis(x).title.text:
            yield text_element(
                (left + right) / 2, bottom + 34, self.axis(x).title.text, "middle", self._tick_color(x), 13
            )
        if self.axis(y).title.text:
            middle = (top + bottom) / 2
            rotation = f' transform="rotate(-90 {left - 48:.1f} {middle:.1f})"'
            yield text_element(left - 48, middle, self.axis(y).title.text, "middle", self._tick_color(y), 13, rotation)

    def _tick_color(self, name: str) -> str:
        return self.axis(name).tickfont.color or self.layout.font.color


def _ticks(axis: Any, ends: tuple[float, float], categories: list[str]) -> list[tuple[float, str]]:
    """Return the ticks of an axis as (number, text): its categories, its own ticks, or round numbers."""
    low, high = sorted(ends)
    if categories:
        return [(float(place), category) for place, category in enumerate(categories)]
    if axis.tickvals is not None:
        texts = axis.ticktext if axis.ticktext is not None else [f"{value:g}" for value in axis.tickvals]
        ticks = zip(axis.tickvals, texts, strict=True)
        return [(float(value), str(text)) for value, text in ticks if low <= value <= high]
    ticks = axis_ticks(low, high, share="%" in (axis.tickformat or ""))
    return list(zip(ticks["tickvals"], ticks["ticktext"], strict=True))


def line_element(x0: float, y0: float, x1: float, y1: float, color: str, width: float, dash: str | None = None) -> str:
    """Return a ``<line>`` from (x0, y0) to (x1, y1), pixels."""
    style = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{attribute(color)}" stroke-width="{width:g}"{style}/>'


def rect_element(x0: float, y0: float, x1: float, y1: float, fill: str, stroke: str = "none") -> str:
    """Return a ``<rect>`` with these corners, pixels; fill and stroke are already escaped."""
    box = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
    return f'<rect {box} fill="{fill}" stroke="{stroke}"/>'


def text_element(
    x: float, y: float, text: str, anchor: str, color: str, size: float | None = None, more: str = ""
) -> str:
    """Return a ``<text>`` at (x, y), pixels, escaped and without markup; ``more`` are further attributes."""
    font_size = f' font-size="{size:g}"' if size else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{attribute(color)}"'
    return f"<text {place}{font_size}{more}>{html.escape(MARKUP.sub(' ', text).strip())}</text>"


def attribute(value: object) -> str:
    """Return a value escaped for an attribute in quotes."""
    return html.escape(str(value), quote=True)

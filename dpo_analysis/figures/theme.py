"""The look of every figure: colours for light and dark pages, line styles that also work without colour, and texts.

The pairs of colours keep a CIE76 distance of at least 42 under simulated protanopia, deuteranopia and tritanopia, and a
contrast of at least 4.5 to the page; what a colour says is also said by a dash, a symbol, a label or a sign.
"""

import html
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dpo_analysis import schema, words
from dpo_analysis.figures.labels import checkpoint_label
from dpo_analysis.figures.notebook.notebook_figure import in_notebooks

FONT = (
    '"Source Sans", "Source Sans 3", "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif'
)
TICK, LABEL, TITLE = 12, 13, 14
"""Font sizes in pixels."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme, as #rrggbb."""

    background: str
    raised: str
    text: str
    muted: str
    grid: str
    zero: str
    chosen: str
    rejected: str
    policy: str
    reference: str
    margin: str
    positive: str
    negative: str
    amount: str


LIGHT = Palette(
    background="#ffffff",
    raised="#f4f5f8",
    text="#31333f",
    muted="#5f6370",
    grid="#ececf0",
    zero="#8d919c",
    chosen="#117733",
    rejected="#AA4499",
    policy="#0B62C4",
    reference="#767676",
    margin="#332B28",
    positive="#0B62C4",
    negative="#E66100",
    amount="#8A4FC7",
)
DARK = Palette(
    background="#0e1117",
    raised="#1b1f29",
    text="#fafafa",
    muted="#a8adb8",
    grid="#252932",
    zero="#7b808c",
    chosen="#5BD08A",
    rejected="#D97BC6",
    policy="#4C9AFF",
    reference="#9A9590",
    margin="#F0EDE8",
    positive="#4C9AFF",
    negative="#FF8A33",
    amount="#B98AF0",
)
PALETTES = {"light": LIGHT, "dark": DARK}
VERDICTS = {
    "light": {"likely": "#A33B00", "possible": "#765900", "cannot tell": "#5547C4", "unlikely": "#5F6370"},
    "dark": {"likely": "#FF9A5C", "possible": "#E0B84C", "cannot tell": "#B0A4FF", "unlikely": "#A8ADB8"},
}
"""The colour of each verdict, by theme; beside it stands a mark that works without colour."""


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How a line is drawn: the role of its colour in the palette, and the dash and symbol that work without colour."""

    color: str
    dash: str
    symbol: str


LINE_STYLES = {
    "chosen": LineStyle("chosen", "solid", "circle"),
    "rejected": LineStyle("rejected", "dash", "square"),
    "margin": LineStyle("margin", "dot", "diamond"),
    "policy": LineStyle("policy", "solid", "circle"),
    "reference": LineStyle("reference", "dot", "diamond"),
}


def color_of(role: str, theme: str) -> str:
    """Return the colour (#rrggbb) of a role ("chosen", "zero", ...) in a theme ("light" or "dark")."""
    return str(getattr(PALETTES[theme], role))


def with_opacity(color: str, opacity: float) -> str:
    """Return ``#rrggbb`` as an rgba() of this opacity."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def mix(color: str, background: str, share: float) -> str:
    """Return ``share`` of a colour mixed into the background, as #rrggbb."""
    both = [[int(code[place : place + 2], 16) for place in (1, 3, 5)] for code in (color, background)]
    return "#" + "".join(f"{round(share * top + (1 - share) * bottom):02x}" for top, bottom in zip(*both, strict=True))


def diverging_colorscale(theme: str) -> list[list[float | str]]:
    """Return Plotly's colour scale from the negative pole through the page's background (0) to the positive pole."""
    palette = PALETTES[theme]
    ends = [(0.0, palette.negative, 0.95), (0.25, palette.negative, 0.5), (0.5, palette.background, 1.0)]
    ends += [(0.75, palette.positive, 0.5), (1.0, palette.positive, 0.95)]
    return [[place, mix(pole, palette.background, share)] for place, pole, share in ends]


def sequential_colorscale(theme: str) -> list[list[float | str]]:
    """Return Plotly's colour scale from the page's background (0) upwards, for amounts without a sign."""
    palette = PALETTES[theme]
    ends = ((0.0, 0.0), (0.5, 0.5), (1.0, 0.95))
    return [[place, mix(palette.amount, palette.background, share)] for place, share in ends]


def escaped(text: object) -> str:
    """Return the text of a model, run or person escaped for a figure: Plotly reads some HTML, and none must act."""
    return html.escape(str(text), quote=False)


def unit_label(column: str, lang: str) -> str:
    """Return the unit of a column or metric in the reader's language."""
    return unit_text(schema.unit(column), lang)


def unit_text(unit: str, lang: str) -> str:
    """Return a unit of ``schema`` ("nats per token") in the reader's language."""
    return words.text(f"unit.{unit.replace(' ', '_')}", lang)


def axis_title(name: str, column: str, lang: str) -> str:
    """Return the title of an axis: a name, and the unit of a column in brackets."""
    return words.text("figure.axis.title", lang, name=name, unit=unit_label(column, lang))


def step_label(step: float | None, model: str, lang: str) -> str:
    """Return a checkpoint's step, else its name, escaped for a figure."""
    return escaped(checkpoint_label(step, model, lang))


def layout_of(figure: go.Figure) -> Any:
    """Return the layout of a figure, untyped: Plotly makes its attributes when they are asked for."""
    return figure.layout


def traces_of(figure: go.Figure) -> Any:
    """Return the traces of a figure, untyped as its layout."""
    return figure.data


def axes_of(figure: go.Figure, letter: str, **place: int) -> Any:
    """Return the x or y axes of a figure, untyped; of one panel where ``row`` and ``col`` are given."""
    return figure.select_xaxes(**place) if letter == "x" else figure.select_yaxes(**place)


def add_text(figure: go.Figure, text: str, x: float, y: float, **options: Any) -> None:
    """Add a text at a place of the figure, x and y as shares of the area of all panels (Plotly's paper)."""
    figure.add_annotation(text=text, x=x, y=y, xref="paper", yref="paper", showarrow=False, **options)


def apply_theme(figure: go.Figure, *, theme: str, height: int) -> go.Figure:
    """Give a finished figure the page's fonts, colours and margins, and return it."""
    palette = PALETTES[theme]
    figure.update_layout(
        height=height,
        paper_bgcolor=palette.background,
        plot_bgcolor=palette.background,
        font={"family": FONT, "size": TICK, "color": palette.muted},
        hoverlabel={"font": {"family": FONT, "size": LABEL}, "bgcolor": palette.background, "align": "left"},
        margin={"l": 64, "r": 12, "t": 44, "b": 44},
        showlegend=False,
        dragmode=False,
        template={"layout": {axis: {"exponentformat": "none"} for axis in ("xaxis", "yaxis")}},
    )
    figure.update_annotations(font_family=FONT)
    return in_notebooks(figure)


def empty_figure(*, lang: str, theme: str) -> go.Figure:
    """Return a figure that says that no checkpoint has a score yet."""
    figure = go.Figure()
    add_text(figure, words.text("figure.nothing", lang), 0, 0.5, xanchor="left", font_size=LABEL)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return apply_theme(figure, theme=theme, height=120)

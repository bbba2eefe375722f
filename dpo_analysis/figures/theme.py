"""The look that every figure shares: colours for light and dark pages, marks that also work without colour, and words.

The pairs of colours keep a CIE76 distance of at least 42 under simulated protanopia, deuteranopia and tritanopia, and a
contrast of at least 4.5 to the page; what a colour says is also said by a dash, a symbol, a label or a sign.
"""

import html
import math
from dataclasses import dataclass

import plotly.graph_objects as go

from dpo_analysis import schema, words

FONT = (
    '"Source Sans", "Source Sans 3", "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif'
)
TICK, LABEL, TITLE = 12, 13, 14


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
    background="#ffffff", raised="#f4f5f8", text="#31333f", muted="#5f6370", grid="#ececf0", zero="#8d919c",
    chosen="#117733", rejected="#AA4499", policy="#0B62C4", reference="#767676", margin="#332B28",
    positive="#0B62C4", negative="#E66100", amount="#8A4FC7",
)  # fmt: skip
DARK = Palette(
    background="#0e1117", raised="#1b1f29", text="#fafafa", muted="#a8adb8", grid="#252932", zero="#7b808c",
    chosen="#5BD08A", rejected="#D97BC6", policy="#4C9AFF", reference="#9A9590", margin="#F0EDE8",
    positive="#4C9AFF", negative="#FF8A33", amount="#B98AF0",
)  # fmt: skip
PALETTES = {"light": LIGHT, "dark": DARK}
VERDICTS = {
    "light": {"likely": "#A33B00", "possible": "#765900", "cannot tell": "#5547C4", "unlikely": "#5F6370"},
    "dark": {"likely": "#FF9A5C", "possible": "#E0B84C", "cannot tell": "#B0A4FF", "unlikely": "#A8ADB8"},
}
"""The colour of each verdict, by theme; "cannot tell" has its own, and each has a mark that works without colour."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How one kind of line is drawn: the palette's colour, and the dash and symbol that work without colour."""

    colour: str
    dash: str
    symbol: str


MARKS = {
    "chosen": Mark("chosen", "solid", "circle"),
    "rejected": Mark("rejected", "dash", "square"),
    "margin": Mark("margin", "dot", "diamond"),
    "policy": Mark("policy", "solid", "circle"),
    "reference": Mark("reference", "dot", "diamond"),
}


def colour(name: str, theme: str) -> str:
    """The colour of a role ("chosen", "zero", ...) in a theme ("light" or "dark")."""
    return str(getattr(PALETTES[theme], name))


def faded(code: str, opacity: float) -> str:
    """``#rrggbb`` as an rgba() of this opacity, for bands."""
    red, green, blue = (int(code[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def mixed(code: str, background: str, share: float) -> str:
    """``share`` of a colour in the background, as #rrggbb."""
    both = [[int(c[place : place + 2], 16) for place in (1, 3, 5)] for c in (code, background)]
    return "#" + "".join(f"{round(share * top + (1 - share) * bottom):02x}" for top, bottom in zip(*both, strict=True))


def diverging(theme: str) -> list[list[float | str]]:
    """A colour scale from the negative pole over the page's background (0) to the positive pole."""
    palette = PALETTES[theme]
    ends = [(0.0, palette.negative, 0.95), (0.25, palette.negative, 0.5), (0.5, palette.background, 1.0)]
    ends += [(0.75, palette.positive, 0.5), (1.0, palette.positive, 0.95)]
    return [[place, mixed(pole, palette.background, share)] for place, pole, share in ends]


def rising(theme: str) -> list[list[float | str]]:
    """A colour scale from the page's background (0) upwards, for what has no sign."""
    palette = PALETTES[theme]
    ends = ((0.0, 0.0), (0.5, 0.5), (1.0, 0.95))
    return [[place, mixed(palette.amount, palette.background, share)] for place, share in ends]


def plain(text: object) -> str:
    """Somebody's text (a model's, a run's, a token's) for a figure, which reads a little HTML: shown, never obeyed."""
    return html.escape(str(text), quote=False)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, the minus as wide as the plus; one digit of what would round to 0; undefined: a dash."""
    if not math.isfinite(value):
        return "–"
    rounded = f"{value:+.{digits}f}"
    if float(rounded) == 0:
        rounded = "0" if value == 0 else f"{value:+.1g}".replace("e-0", "e-")
    return rounded.replace("-", "\u2212")


def percent(value: float) -> str:
    """A share as a whole percentage, one place where it is under 10 % or over 90 %."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.0%}" if 0.1 <= value <= 0.9 or value in (0, 1) else f"{value:.1%}"


def unit(column: str, lang: str) -> str:
    """The unit of a column or metric, in words of the reader's language."""
    return words.text(f"unit.{schema.unit(column).replace(' ', '_')}", lang)


def step_label(step: float | None, model: str, lang: str) -> str:
    """A checkpoint's name for an axis: its step where it has one, else its name."""
    known = step is not None and math.isfinite(step)
    return words.text("figure.step", lang, step=int(step or 0)) if known else plain(model)


def dress(figure: go.Figure, *, theme: str, height: int) -> go.Figure:
    """Give a finished figure the page's fonts, colours and margins; returns it."""
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
    return figure


def blank(*, lang: str, theme: str) -> go.Figure:
    """A figure of nothing, which says so: no checkpoint has a score yet."""
    figure = go.Figure()
    text = words.text("figure.nothing", lang)
    figure.add_annotation(
        text=text, x=0, y=0.5, xref="paper", yref="paper", xanchor="left", showarrow=False, font_size=LABEL
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return dress(figure, theme=theme, height=120)

"""Coloured tokens as plain HTML without a script: for a card that is read at a glance, in a page or in a notebook."""

import html
from collections.abc import Sequence

from dpo_analysis.figures.theme import PALETTES, mix
from dpo_analysis.figures.token_view.glyphs import NEWLINE, Glyph, glyphs

STRONGEST = 0.64
"""Share of a pole's colour in the background at the end of the scale: text keeps a contrast of 4.5 to 1."""
LEVELS = 12
"""Shades of a pole, so that equal looks are equal styles."""


def still_tokens(
    pieces: Sequence[bytes],
    values: Sequence[float],
    *,
    largest: float,
    theme: str = "light",
    marked: tuple[int, int] | None = None,
) -> str:
    """Return the text of some tokens as HTML, each token behind its colour: orange below 0, blue above.

    Args:
        pieces: bytes of each token, in order.
        values: a value of each token; NaN has no colour. Tokens that share a character show their sum.
        largest: absolute value at the end of the scale; larger values have the same colour.
        theme: "light" or "dark".
        marked: first and last token of a phrase that is underlined; None for none.

    Returns:
        HTML in which all text is escaped.
    """
    spans = []
    for glyph in glyphs(pieces):
        value = sum(values[glyph.first : glyph.first + glyph.count])
        inside = marked is not None and marked[0] <= glyph.first <= marked[1]
        style = _style(value, largest, theme, inside)
        text = html.escape(_shown(glyph))
        spans.append(f'<span style="{style}">{text}</span>' if style else text)
    return "".join(spans)


def _style(value: float, largest: float, theme: str, inside: bool) -> str:
    """Return the colour and the underline of a token; empty for neither."""
    styles = []
    strength = min(abs(value) / largest, 1.0) if largest > 0 and value == value else 0.0
    level = round(LEVELS * strength**0.8)
    if level:
        palette = PALETTES[theme]
        pole = palette.negative if value < 0 else palette.positive
        styles.append(f"background:{mix(pole, palette.background, STRONGEST * level / LEVELS)}")
    if inside:
        styles.append("border-bottom:2px solid currentColor")
    return ";".join(styles)


def _shown(glyph: Glyph) -> str:
    """Return the text of a glyph; a line break becomes a space, so that a card stays small."""
    return "".join(" " if kind == NEWLINE else text for kind, text in glyph.parts)

"""Units: what gets one colour, a token, a word, a sentence or a line; always whole tokens, in the text's order.

A word is the white space in front of it and the text up to the next white space; each Chinese or Japanese character is
a word. A sentence ends after ``.!?…؟۔`` and white space, after ``。！？``, and at a line break; a line ends at a line
break. A special token of a chat template (``<|im_end|>``) is a unit by itself, and a token that holds a border belongs
to the unit in which it begins.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from dpo_analysis.figures.token_view.glyphs import ESCAPE, NEWLINE, SPACE, TAB, Glyph, glyphs, join_glyphs

UNITS = ("token", "word", "sentence", "line")
MARKUP = re.compile(r"\s*(<[|｜][^>]{0,60}[|｜]>|</?s>)\s*")
"""A special token of a chat template."""
ENDED = re.compile(r"""[.!?…؟۔]["'”’»)\]]*(\s*)$""")
ENDED_WIDE = re.compile(r"""[。！？]["'”’」』）]*\s*$""")
CLOSERS = "\"'”’」』）»)]。！？"
"""Characters that belong to the sentence before them."""
TAIL = 16
"""Characters of a unit that decide where it ends."""


def units(pieces: Sequence[bytes], unit: str) -> list[Glyph]:
    """Return the units of a response, which cover every token once.

    Args:
        pieces: the bytes of each token, in order.
        unit: one of ``UNITS``; "token" gives the glyphs themselves, which hold several tokens where they share a
            character.
    """
    smallest = glyphs(pieces)
    if unit == UNITS[0]:
        return smallest
    begins, groups, tail, has_text = BEGINS[unit], [], "", False
    for glyph in smallest:
        text = original_text(glyph)
        if not groups or MARKUP.fullmatch(text) or MARKUP.fullmatch(tail) or begins(tail, text, has_text):
            groups.append([])
            tail, has_text = "", False
        groups[-1].append(glyph)
        tail, has_text = (tail + text)[-max(TAIL, len(text)) :], has_text or bool(text.strip())
    return [join_glyphs(group) for group in groups]


def original_text(glyph: Glyph) -> str:
    """Return a glyph's text with white space in place of its marks; a byte without a character is U+FFFD."""
    kinds = {NEWLINE: "\n", TAB: "\t"}
    return "".join(
        kinds.get(kind, " " * len(text) if kind == SPACE else "\ufffd" if kind == ESCAPE else text)
        for kind, text in glyph.parts
    )


def _word_begins(tail: str, text: str, has_text: bool) -> bool:
    if tail.endswith("\n"):
        return True
    if not has_text:
        return False
    if _is_ideograph(text[0]) or (_is_wide(tail[-1]) and text[0].isalnum()):
        return True
    return text[0].isspace() or tail[-1].isspace()


def _is_ideograph(character: str) -> bool:
    """Return whether a character counts as a word: Chinese and Japanese are written without spaces."""
    return _is_wide(character) and unicodedata.category(character) == "Lo"


def _is_wide(character: str) -> bool:
    hangul = "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u11ff"
    return unicodedata.east_asian_width(character) in "WF" and not hangul


def _sentence_begins(tail: str, text: str, has_text: bool) -> bool:
    if tail.endswith("\n"):
        return True
    if not has_text or text[0] in CLOSERS or text.isspace():
        return False
    ended = ENDED.search(tail)
    return bool(ended and (ended[1] or text[0].isspace())) or bool(ENDED_WIDE.search(tail))


def _line_begins(tail: str, text: str, has_text: bool) -> bool:
    return tail.endswith("\n")


BEGINS: dict[str, Callable[[str, str, bool], bool]] = {
    "word": _word_begins,
    "sentence": _sentence_begins,
    "line": _line_begins,
}
"""Whether a unit begins with ``text``, by the end of the unit before it and whether that holds more than white space.
"""

"""Units: what is coloured as one, a token, a word, a sentence or a line; always whole tokens, in the text's order.

A word is the white space in front of it and what follows up to the next white space; each Chinese or Japanese
character is one. A sentence ends behind ``.!?…؟۔`` and white space, behind ``。！？``, and at a line break; a line at a
line break. A mark of a chat template (``<|im_end|>``) is a unit of its own, and a token that holds a border goes where
it begins.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from dpo_analysis.figures.token_view.glyphs import ESCAPE, NEWLINE, SPACE, TAB, Cell, cells, join

UNITS = ("token", "word", "sentence", "line")
MARKUP = re.compile(r"\s*(<[|｜][^>]{0,60}[|｜]>|</?s>)\s*")
ENDED = re.compile(r"""[.!?…؟۔]["'”’»)\]]*(\s*)$""")
ENDED_WIDE = re.compile(r"""[。！？]["'”’」』）]*\s*$""")
CLOSERS = "\"'”’」』）»)]。！？"
TAIL = 16
"""Characters of a unit that decide where it ends."""


def units(pieces: Sequence[bytes], unit: str) -> list[Cell]:
    """The units of a response, which cover every token once.

    Args:
        pieces: the bytes of each token, in order.
        unit: one of ``UNITS``; "token" gives the cells themselves, which hold several tokens where they share a
            character.
    """
    small = cells(pieces)
    if unit == UNITS[0]:
        return small
    begins, groups, tail, seen = BEGINS[unit], [], "", False
    for cell in small:
        text = written(cell)
        if not groups or MARKUP.fullmatch(text) or MARKUP.fullmatch(tail) or begins(tail, text, seen):
            groups.append([])
            tail, seen = "", False
        groups[-1].append(cell)
        tail, seen = (tail + text)[-max(TAIL, len(text)) :], seen or bool(text.strip())
    return [join(group) for group in groups]


def written(cell: Cell) -> str:
    r"""A cell as it was written: white space instead of its marks; bytes that are no character stay ``\xE4``."""
    kinds = {NEWLINE: "\n", TAB: "\t"}
    return "".join(
        kinds.get(kind, " " * len(text) if kind == SPACE else "\ufffd" if kind == ESCAPE else text)
        for kind, text in cell.parts
    )


def _word_begins(tail: str, text: str, seen: bool) -> bool:
    if tail.endswith("\n"):
        return True
    if not seen:
        return False
    if _stands_alone(text[0]) or (_is_wide(tail[-1]) and text[0].isalnum()):
        return True
    return text[0].isspace() or tail[-1].isspace()


def _stands_alone(char: str) -> bool:
    """Whether a character is a word: those of Chinese and Japanese, which are written without spaces."""
    return _is_wide(char) and unicodedata.category(char) == "Lo"


def _is_wide(char: str) -> bool:
    hangul = "\uac00" <= char <= "\ud7a3" or "\u1100" <= char <= "\u11ff"
    return unicodedata.east_asian_width(char) in "WF" and not hangul


def _sentence_begins(tail: str, text: str, seen: bool) -> bool:
    if tail.endswith("\n"):
        return True
    if not seen or text[0] in CLOSERS or text.isspace():
        return False
    ended = ENDED.search(tail)
    return bool(ended and (ended[1] or text[0].isspace())) or bool(ENDED_WIDE.search(tail))


def _line_begins(tail: str, text: str, seen: bool) -> bool:
    return tail.endswith("\n")


BEGINS: dict[str, Callable[[str, str, bool], bool]] = {
    "word": _word_begins,
    "sentence": _sentence_begins,
    "line": _line_begins,
}
"""Whether a unit begins with ``text``, by the end of the unit before it and whether that holds more than space."""

"""Glyphs: the shortest runs of tokens that can be shown as text, and how each character is shown.

A byte-level tokenizer cuts characters: decoding its tokens one by one shows replacement marks where there was text.
Tokens that share a character (or a letter and its combining mark) form one glyph; nearly every glyph is one token.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

TEXT, SPACE, TAB, NEWLINE, ESCAPE = "text", "space", "tab", "newline", "escape"
JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""Zero-width characters that shape their neighbours; they never reorder text, so they stay as they are."""

PLAIN = re.compile(rb" ?[!-~]+(?: [!-~]+)*")
"""Printable ASCII with single spaces."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """Consecutive tokens that are drawn together; tokens.js calls it a cell.

    Attributes:
        first: the place of its first token in the response.
        count: how many tokens it holds.
        parts: (kind, shown text) in reading order.
    """

    first: int
    count: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Character:
    """A character, or one byte that belongs to none (``text`` empty), at bytes ``start`` to ``stop``."""

    text: str
    raw: bytes
    start: int
    stop: int


def glyphs(pieces: Sequence[bytes]) -> list[Glyph]:
    r"""Group tokens into the shortest runs whose bytes decode.

    Args:
        pieces: the bytes of each token, in order.

    Returns:
        Glyphs that cover every token once; a byte that never becomes part of a character is shown as ``\xE4``.
    """
    plain = _plain_tokens(pieces)
    grouped: list[Glyph] = []
    for is_plain, group in groupby(range(len(pieces)), key=plain.__getitem__):
        places = list(group)
        if is_plain:
            grouped += [Glyph(place, 1, ((TEXT, pieces[place].decode()),)) for place in places]
        else:
            first, last = places[0], places[-1]
            decoded = decoded_glyphs(pieces[first : last + 1])
            grouped += [Glyph(first + glyph.first, glyph.count, glyph.parts) for glyph in decoded]
    return grouped


def _plain_tokens(pieces: Sequence[bytes]) -> list[bool]:
    """Return which tokens are glyphs by themselves, whatever stands beside them: a short way for most tokens.

    They are ``PLAIN``, the token that follows begins with ASCII, so that no mark combines with them, and a space in
    front is a single one.
    """
    shapes = [PLAIN.fullmatch(piece) is not None for piece in pieces]
    padded = [b"a", *pieces, b"a"]
    return [
        shape and b"" < last[-1:] < b"\x80" and b"" < later[:1] < b"\x80" and not (last[-1:] == piece[:1] == b" ")
        for shape, last, piece, later in zip(shapes, padded, pieces, padded[2:], strict=False)
    ]


def decoded_glyphs(pieces: Sequence[bytes]) -> list[Glyph]:
    """Group tokens as ``glyphs`` does, by decoding every character."""
    characters = list(_characters(b"".join(pieces)))
    token_of_byte = [index for index, piece in enumerate(pieces) for _ in piece]
    joined = _joined_borders(characters, token_of_byte)
    parts: list[list[tuple[str, str]]] = [[] for _ in pieces]
    for character, part in zip(characters, _parts(characters), strict=True):
        parts[token_of_byte[character.start]].append(part)
    return [
        Glyph(first, count, _merge(part for token in parts[first : first + count] for part in token))
        for first, count in _runs(len(pieces), joined)
    ]


def join_glyphs(group: Sequence[Glyph]) -> Glyph:
    """Return consecutive glyphs as one."""
    parts = _merge(part for glyph in group for part in glyph.parts)
    return Glyph(group[0].first, sum(glyph.count for glyph in group), parts)


def glyph_text(glyph: Glyph) -> str:
    """Return the text that is shown, without kinds."""
    return "".join(text for _, text in glyph.parts)


def visible(text: str) -> str:
    r"""Return a text with its control, bidirectional and zero-width characters escaped (``\u202E``)."""
    if text.isascii() and text.isprintable():
        return text
    characters = list(_characters(text.encode("utf-8", errors="replace")))
    return "".join(
        character.text if character.text in ("\n", "\t", " ") else shown
        for character, (_, shown) in zip(characters, _parts(characters), strict=True)
    )


def _characters(data: bytes) -> Iterator[_Character]:
    place = 0
    while place < len(data):
        size = _length(data[place])
        text = _decoded(data[place : place + size])
        size = size if text else 1
        yield _Character(text, data[place : place + size], place, place + size)
        place += size


def _length(lead: int) -> int:
    """Return the bytes of a UTF-8 character by its first byte."""
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _decoded(data: bytes) -> str:
    text = data.decode("utf-8", errors="ignore")
    return text if len(text) == 1 and len(text.encode()) == len(data) else ""


def _joined_borders(characters: list[_Character], token_of_byte: list[int]) -> set[int]:
    """Return the borders between tokens that lie inside a character or in front of a combining mark.

    A border is named by the token that follows it.
    """
    joined: set[int] = set()
    before = ""
    for character in characters:
        first, last = token_of_byte[character.start], token_of_byte[character.stop - 1]
        joined.update(range(first + 1, last + 1))
        if character.start and _combines(character.text, before) and token_of_byte[character.start - 1] != first:
            joined.update(range(token_of_byte[character.start - 1] + 1, first + 1))
        before = character.text
    return joined


def _combines(character: str, before: str) -> bool:
    """Return whether a character cannot be drawn without the one in front of it."""
    if not character or not before or not before.isprintable() or before.isspace():
        return before == "\u200d" and bool(character)
    modifier = "\U0001f3fb" <= character <= "\U0001f3ff"
    return modifier or character in JOINERS or unicodedata.category(character) in ("Mn", "Mc", "Me")


def _parts(characters: list[_Character]) -> list[tuple[str, str]]:
    texts = ["", *(character.text for character in characters), ""]
    return [_part(character, texts[index], texts[index + 2]) for index, character in enumerate(characters)]


def _part(character: _Character, before: str, after: str) -> tuple[str, str]:
    r"""Return the kind of a character and how it is shown.

    ``↵``, ``→``, ``·`` (a space beside another), ``\xE4`` (a byte) or ``\u202E`` (a character without a shape).
    """
    text = character.text
    if not text:
        return ESCAPE, "".join(f"\\x{byte:02X}" for byte in character.raw)
    if text == "\n":
        return NEWLINE, "↵"
    if text == "\t":
        return TAB, "→"
    if text == " ":
        return (SPACE, "·") if " " in (before, after) else (TEXT, " ")
    if text in JOINERS:
        return (TEXT, text) if before.isprintable() and before else (ESCAPE, f"\\u{ord(text):04X}")
    if not text.isprintable() or unicodedata.category(text) in ("Cf", "Zs"):
        return ESCAPE, f"\\x{ord(text):02X}" if ord(text) < 0x80 else f"\\u{ord(text):04X}"
    return TEXT, text


def _runs(count: int, joined: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the first token and the length of each run of tokens without an open border."""
    first = 0
    for border in range(1, count + 1):
        if border not in joined:
            yield first, border - first
            first = border


def _merge(parts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Join neighbouring parts of text, and of spaces; a glyph without any is shown as ``∅``."""
    merged: list[tuple[str, str]] = []
    for kind, text in parts:
        if merged and merged[-1][0] == kind and kind in (TEXT, SPACE):
            merged[-1] = (kind, merged[-1][1] + text)
        else:
            merged.append((kind, text))
    return tuple(merged) or ((ESCAPE, "∅"),)

"""From byte pieces to cells: the shortest runs of tokens that can be shown as text, and how each character is shown.

A byte-level tokenizer cuts characters: decoding its tokens one by one shows replacement marks where there was text.
Tokens that share a character (or a letter and its combining mark) form one cell; nearly every cell is one token.
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


@dataclass(frozen=True, slots=True)
class Cell:
    """``count`` tokens from token ``first``, shown as ``parts``: (kind, what is shown), in reading order."""

    first: int
    count: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Char:
    """A character, or one byte that belongs to none (``text`` empty), at bytes ``start`` to ``stop``."""

    text: str
    raw: bytes
    start: int
    stop: int


def cells(pieces: Sequence[bytes]) -> list[Cell]:
    r"""Group tokens into the shortest runs whose bytes decode.

    Args:
        pieces: the bytes of each token, in order.

    Returns:
        Cells that cover every token once; a byte that never becomes part of a character is shown as ``\xE4``.
    """
    plain = _plain(pieces)
    found: list[Cell] = []
    for is_plain, group in groupby(range(len(pieces)), key=plain.__getitem__):
        places = list(group)
        if is_plain:
            found += [Cell(place, 1, ((TEXT, pieces[place].decode()),)) for place in places]
        else:
            first, last = places[0], places[-1]
            own = _cells(pieces[first : last + 1])
            found += [Cell(first + cell.first, cell.count, cell.parts) for cell in own]
    return found


def _plain(pieces: Sequence[bytes]) -> list[bool]:
    """Which tokens are cells as they are, whatever stands beside them: printed ASCII with single spaces inside.

    The token behind such a one begins with ASCII, so that nothing clings to it, and a space in front stands alone.
    """
    shapes = [PLAIN.fullmatch(piece) is not None for piece in pieces]
    padded = [b"a", *pieces, b"a"]
    return [
        shape and b"" < last[-1:] < b"\x80" and b"" < later[:1] < b"\x80" and not (last[-1:] == piece[:1] == b" ")
        for shape, last, piece, later in zip(shapes, padded, pieces, padded[2:], strict=False)
    ]


def _cells(pieces: Sequence[bytes]) -> list[Cell]:
    chars = list(_characters(b"".join(pieces)))
    owner = [index for index, piece in enumerate(pieces) for _ in piece]
    joined = _joined_borders(chars, owner)
    kinds = _kinds(chars)
    parts: list[list[tuple[str, str]]] = [[] for _ in pieces]
    for char, kind in zip(chars, kinds, strict=True):
        parts[owner[char.start]].append(kind)
    return [_cell(first, count, parts) for first, count in _runs(len(pieces), joined)]


def join(group: Sequence[Cell]) -> Cell:
    """Cells that follow each other as one."""
    merged = _merged(part for cell in group for part in cell.parts)
    return Cell(group[0].first, sum(cell.count for cell in group), merged)


def shown(cell: Cell) -> str:
    """A cell as plain text: what is shown, without kinds."""
    return "".join(text for _, text in cell.parts)


def visible(text: str) -> str:
    r"""A text that hides nothing: control, bidirectional and zero-width characters as ``\u202E``; line breaks stay."""
    if text.isascii() and text.isprintable():
        return text
    chars = list(_characters(text.encode("utf-8", errors="replace")))
    return "".join(
        char.text if char.text in ("\n", "\t", " ") else shape
        for char, (_, shape) in zip(chars, _kinds(chars), strict=True)
    )


def _characters(data: bytes) -> Iterator[_Char]:
    place = 0
    while place < len(data):
        size = _length(data[place])
        text = _decoded(data[place : place + size])
        size = size if text else 1
        yield _Char(text, data[place : place + size], place, place + size)
        place += size


def _length(lead: int) -> int:
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _decoded(data: bytes) -> str:
    text = data.decode("utf-8", errors="ignore")
    return text if len(text) == 1 and len(text.encode()) == len(data) else ""


def _joined_borders(chars: list[_Char], owner: list[int]) -> set[int]:
    """Token borders (named by the token behind them) that lie inside a character or in front of a combining mark."""
    joined: set[int] = set()
    before = ""
    for char in chars:
        first, last = owner[char.start], owner[char.stop - 1]
        joined.update(range(first + 1, last + 1))
        if char.start and _clings(char.text, before) and owner[char.start - 1] != first:
            joined.update(range(owner[char.start - 1] + 1, first + 1))
        before = char.text
    return joined


def _clings(char: str, before: str) -> bool:
    """Whether a character cannot be drawn without the one in front of it."""
    if not char or not before or not before.isprintable() or before.isspace():
        return before == "\u200d" and bool(char)
    modifier = "\U0001f3fb" <= char <= "\U0001f3ff"
    return modifier or char in JOINERS or unicodedata.category(char) in ("Mn", "Mc", "Me")


def _kinds(chars: list[_Char]) -> list[tuple[str, str]]:
    around = ["", *(char.text for char in chars), ""]
    return [_kind(char, around[index], around[index + 2]) for index, char in enumerate(chars)]


def _kind(char: _Char, before: str, after: str) -> tuple[str, str]:
    r"""How a character is shown: ``↵``, ``→``, ``·`` (one of many spaces), ``\xE4`` or ``\u202E`` (without shape)."""
    text = char.text
    if not text:
        return ESCAPE, "".join(f"\\x{byte:02X}" for byte in char.raw)
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
    first = 0
    for border in range(1, count + 1):
        if border not in joined:
            yield first, border - first
            first = border


def _cell(first: int, count: int, parts: list[list[tuple[str, str]]]) -> Cell:
    return Cell(first, count, _merged(part for token in parts[first : first + count] for part in token))


def _merged(parts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    merged: list[tuple[str, str]] = []
    for kind, text in parts:
        if merged and merged[-1][0] == kind and kind in (TEXT, SPACE):
            merged[-1] = (kind, merged[-1][1] + text)
        else:
            merged.append((kind, text))
    return tuple(merged) or ((ESCAPE, "∅"),)

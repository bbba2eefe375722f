"""Pieces of a chat template: texts that are tokenised one by one, and special tokens that stand by their id."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.errors import InputError

TOKEN_SLOT = re.compile(r"\{\{(bos_token|eos_token|token:(.+))\}\}", re.DOTALL)
"""A slot that is a special token: the tokenizer's, or a token by name."""


class SpecialToken(NamedTuple):
    """A special token of a template: bos_token, eos_token, or the name of a token."""

    name: str


Piece = str | SpecialToken
SpecialTokens = Mapping[str, tuple[str, int | None]]
"""Name of a special token -> its text and id; the id is None where the tokenizer has no such token."""


def read_slots(slots: Iterable[str]) -> tuple[Piece, ...]:
    """Return the slots of a template's data as pieces."""
    pieces: list[Piece] = []
    for slot in slots:
        found = TOKEN_SLOT.fullmatch(slot)
        pieces.append(SpecialToken(found[2] or found[1]) if found else slot)
    return tuple(pieces)


def filled(pieces: Sequence[Piece], **values: str) -> list[Piece]:
    """Return the pieces with ``{{name}}`` replaced by each value, once a piece."""
    filled_pieces: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str):
            for name, value in values.items():
                piece = piece.replace("{{" + name + "}}", value, 1)
        filled_pieces.append(piece)
    return filled_pieces


def piece_texts(pieces: Iterable[Piece]) -> Iterator[str]:
    """Yield the texts that are tokenised; an empty text is not."""
    return (piece for piece in pieces if isinstance(piece, str) and piece)


def joined_text(pieces: Iterable[Piece], special: SpecialTokens) -> str:
    """Return the text of the pieces, special tokens included."""
    return "".join(piece if isinstance(piece, str) else special[piece.name][0] for piece in pieces)


def joined_ids(pieces: Iterable[Piece], ids: Mapping[str, np.ndarray], special: SpecialTokens) -> np.ndarray:
    """Return the token ids of the pieces, int32 of shape (tokens,); ``ids`` has those of the texts."""
    parts = [np.empty(0, dtype=np.int32)]
    for piece in pieces:
        if isinstance(piece, str):
            parts += [ids[piece]] if piece else []
        elif (token_id := special[piece.name][1]) is not None:
            parts.append(np.array([token_id], dtype=np.int32))
    return np.concatenate(parts)


def token_id(tokenizer: Any, token: str, place: str) -> int:
    """Return the id of a token.

    Raises:
        InputError: the tokenizer has no such token; ``place`` says what needs it.
    """
    found = tokenizer.get_vocab().get(token)
    if found is None:
        raise InputError(
            f"no token {token!r} in the tokenizer: {place} ends turns with it; give the tokenizer of the trained folder"
        )
    return found

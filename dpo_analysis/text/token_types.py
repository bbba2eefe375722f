"""The type of text of each vocabulary entry: the beginning of a word, a number, a mark, a special token."""

import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.text.regions import SentenceMarks, decoded_texts

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
KINDS = ("word", "piece", "han", "number", "mark", "space", "bytes", "special", "unknown")
"""word: letters after a space; piece: letters without a space (a word's continuation, or the first word of a line);
han: Chinese, Japanese or Korean characters; number: digits and no letter; mark: neither letter nor digit; space: white
space only; bytes: no whole character; special: a token of the template; unknown: not in the vocabulary."""
HAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")
"""Beginnings of the Unicode names of the characters that count as ``han``."""


class TokenTypes(NamedTuple):
    """Types of the entries of a vocabulary by token id, computed once; empty without a vocabulary.

    Attributes:
        kinds: index in ``KINDS``, shape (ids,); unknown for ids that the vocabulary lacks.
        special: whether the entry is a special token, shape (ids,).
        sentences: which entries can end a sentence, shape (ids + 1,); the last entry stands for ids that the vocabulary
            lacks. None without a vocabulary.
    """

    kinds: Ints
    special: Mask
    sentences: SentenceMarks | None

    @classmethod
    def of(cls, vocab: pa.Table | None) -> "TokenTypes":
        """Return the types of all entries of a vocabulary (``schema.VOCAB_SCHEMA``)."""
        if vocab is None or not vocab.num_rows:
            return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool), None)
        ids, special = vocab["token_id"].to_numpy(), _special_entries(vocab)
        kinds = np.full(int(ids.max()) + 1, KINDS.index("unknown"), dtype=np.int64)
        special_ids = np.zeros(len(kinds), dtype=bool)
        kinds[ids] = [KINDS.index(token_kind(content)) for content in vocab["bytes"].to_pylist()]
        kinds[ids[special]], special_ids[ids[special]] = KINDS.index("special"), True
        texts = np.full(len(kinds) + 1, "", dtype=object)
        texts[ids] = decoded_texts(vocab)
        return cls(kinds, special_ids, SentenceMarks.of(texts.tolist()))

    def kinds_of(self, token_ids: NDArray) -> Ints:
        """Return the index in ``KINDS`` of every token id, shape (tokens,); unknown for ids not in the vocabulary."""
        return _looked_up(self.kinds, token_ids, KINDS.index("unknown"))

    def sentence_ends(self, lengths: Ints, token_ids: NDArray) -> Mask | None:
        """Return which tokens end a sentence, shape (tokens,), by the rule of ``regions.sentence_ends``.

        Args:
            lengths: tokens of each response, shape (responses,).
            token_ids: concatenated responses, shape (tokens,).
        """
        if self.sentences is None:
            return None
        return self.sentences.take(_within(token_ids, len(self.kinds))).ends(lengths)

    def is_special(self, token_ids: NDArray) -> Mask:
        """Return which token ids are special tokens, shape (tokens,)."""
        return _looked_up(self.special, token_ids, False)


def special_tokens_mask(vocab: pa.Table | None, token_ids: NDArray) -> Mask:
    """Return which token ids are special tokens, shape (tokens,); none without a vocabulary."""
    if vocab is None:
        return np.zeros(len(token_ids), dtype=bool)
    return np.isin(token_ids, vocab["token_id"].to_numpy()[_special_entries(vocab)])


def token_kind(token_bytes: bytes) -> str:
    """Return the kind of a vocabulary entry, a name of ``KINDS``, from its bytes."""
    try:
        text = token_bytes.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes"
    if not text.strip():
        return "space" if text else "special"
    if any(unicodedata.name(letter, "").startswith(HAN) for letter in text):
        return "han"
    if any(letter.isalpha() for letter in text):
        return "word" if text[0].isspace() else "piece"
    return "number" if any(letter.isdigit() for letter in text) else "mark"


def _special_entries(vocab: pa.Table) -> Mask:
    return vocab["special"].to_numpy(zero_copy_only=False).astype(bool)


def _looked_up(values: NDArray, token_ids: NDArray, missing: object) -> NDArray:
    """Return the value of every token id, ``missing`` for ids outside ``values``."""
    padded = np.append(values, np.array([missing], dtype=values.dtype))
    return padded[_within(token_ids, len(values))]


def _within(token_ids: NDArray, size: int) -> Ints:
    """Return the ids, with ``size`` in place of ids outside 0 to ``size`` - 1."""
    return np.where((token_ids >= 0) & (token_ids < size), token_ids, size)

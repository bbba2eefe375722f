"""What kind of text each vocabulary entry is: a word's beginning, a number, a mark, an end of text."""

import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.text.regions import Sentences, plain_texts

Ints = NDArray[np.int64]
KINDS = ("word", "piece", "han", "number", "mark", "space", "bytes", "special", "unknown")
"""word: letters behind a space; piece: letters without one (a word's continuation, or a line's first word); han:
Chinese, Japanese or Korean characters; number: digits and no letter; mark: neither letter nor digit; space: white
space only; bytes: no whole character; special: a token of the template; unknown: not in the vocabulary."""
HAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")


class Entries(NamedTuple):
    """What a vocabulary says about its ids, by id: arrays of shape (ids,), empty where there is no vocabulary.

    Attributes:
        kinds: the place in ``KINDS``; unknown for ids that are missing.
        special: whether the id is of the template.
        sentences: what the ids have to do with sentences; None where there is no vocabulary. The last entry stands for
            ids that are missing.
    """

    kinds: Ints
    special: NDArray[np.bool_]
    sentences: Sentences | None

    @classmethod
    def of(cls, vocab: pa.Table | None) -> "Entries":
        """Look at every entry of a vocabulary once (``schema.VOCAB_SCHEMA``)."""
        if vocab is None or not vocab.num_rows:
            return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool), None)
        ids, special = vocab["token_id"].to_numpy(), vocab["special"].to_numpy(zero_copy_only=False).astype(bool)
        kinds = np.full(int(ids.max()) + 1, KINDS.index("unknown"), dtype=np.int64)
        marks = np.zeros(len(kinds), dtype=bool)
        kinds[ids] = [KINDS.index(kind_of(content)) for content in vocab["bytes"].to_pylist()]
        kinds[ids[special]], marks[ids[special]] = KINDS.index("special"), True
        texts = np.full(len(kinds) + 1, "", dtype=object)
        texts[ids] = plain_texts(vocab)
        return cls(kinds, marks, Sentences.of(texts.tolist()))

    def kinds_of(self, token_ids: NDArray) -> Ints:
        """The place in ``KINDS`` of every token id, shape (tokens,); unknown where the vocabulary has no such id."""
        return _looked_up(self.kinds, token_ids, KINDS.index("unknown"))

    def sentence_ends(self, lengths: Ints, token_ids: NDArray) -> NDArray[np.bool_] | None:
        """Which tokens end a sentence, as ``token_places.sentence_ends`` says, shape (tokens,)."""
        if self.sentences is None:
            return None
        return self.sentences.at(_inside(token_ids, len(self.kinds))).ends(lengths)

    def is_special(self, token_ids: NDArray) -> NDArray[np.bool_]:
        """Which token ids are of the template, shape (tokens,)."""
        return _looked_up(self.special, token_ids, False)


def _looked_up(values: NDArray, token_ids: NDArray, missing: object) -> NDArray:
    padded = np.append(values, np.array([missing], dtype=values.dtype))
    return padded[_inside(token_ids, len(values))]


def _inside(token_ids: NDArray, size: int) -> Ints:
    """The ids, and ``size`` for those that are none of ``size`` entries."""
    return np.where((token_ids >= 0) & (token_ids < size), token_ids, size)


def specials(vocab: pa.Table | None, token_ids: NDArray) -> NDArray[np.bool_]:
    """Which token ids are special, shape (tokens,); none where there is no vocabulary."""
    if vocab is None:
        return np.zeros(len(token_ids), dtype=bool)
    return np.isin(token_ids, vocab["token_id"].to_numpy()[vocab["special"].to_numpy(zero_copy_only=False)])


def kind_of(token_bytes: bytes) -> str:
    """The kind of one entry's bytes, one of ``KINDS``."""
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

"""What kind of text each vocabulary entry is: a word's beginning, a number, a mark, an end of text."""

import unicodedata

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

KINDS = ("word", "piece", "han", "number", "mark", "space", "bytes", "special", "unknown")
"""word: letters behind a space; piece: letters without one (a word's continuation, or a line's first word); han:
Chinese, Japanese or Korean characters; number: digits and no letter; mark: neither letter nor digit; space: white
space only; bytes: no whole character; special: a token of the template; unknown: not in the vocabulary."""
HAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")


def kind_of_ids(vocab: pa.Table | None, token_ids: NDArray) -> NDArray[np.int64]:
    """The place in ``KINDS`` of every token id, shape (tokens,); unknown where there is no vocabulary."""
    known, place = np.unique(token_ids, return_inverse=True)
    if vocab is None or not len(known):
        return np.full(len(token_ids), KINDS.index("unknown"), dtype=np.int64)
    entries = vocab.filter(pa.array(np.isin(vocab["token_id"].to_numpy(), known)))
    kinds = {
        row["token_id"]: KINDS.index("special" if row["special"] else kind_of(row["bytes"]))
        for row in entries.to_pylist()
    }
    return np.array([kinds.get(one, KINDS.index("unknown")) for one in known.tolist()], dtype=np.int64)[place]


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

"""Texts that are equal but for case and white space, compared by one hash of each."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
FREQUENT_SHARE, LEAST_PAIRS = 0.1, 5
"""Share of the pairs, and number of them, above which a text that they share on one side is frequent."""
SHORT = 8
"""Responses of fewer tokens may well be right for one prompt and wrong for another: Yes, No, a number."""


def text_keys(texts: Iterable[str | None]) -> pd.Series:
    """Return a hash of each text, Int64, shape (texts,), equal for texts that differ only in case and white space.

    Null for None.
    """
    keys = [None if text is None else _key(text) for text in texts]
    return pd.Series(keys, dtype="Int64")


def contradicted(rows: pd.DataFrame) -> Mask:
    """Return which pairs have a response that another pair of the same prompt prefers the other way, shape (pairs,).

    Args:
        rows: columns group_id, chosen_key, rejected_key, chosen_n_tokens and rejected_n_tokens, one row per pair.
    """
    return _preferred_the_other_way(rows, pd.factorize(rows["group_id"])[0])


def both_ways(rows: pd.DataFrame) -> Mask:
    """Return which pairs have a response that a pair of another prompt prefers the other way, shape (pairs,).

    Pairs with a response of fewer than ``SHORT`` tokens are left out.

    Args:
        rows: as in ``contradicted``.
    """
    long = (rows[["chosen_n_tokens", "rejected_n_tokens"]].fillna(0) >= SHORT).all(axis=1).to_numpy(dtype=bool)
    return _preferred_the_other_way(rows, np.zeros(len(rows), dtype=np.int64), long) & ~contradicted(rows)


def near_duplicate(rows: pd.DataFrame) -> Mask:
    """Return which pairs repeat an earlier pair of the same prompt but for case and white space, shape (pairs,).

    Args:
        rows: as in ``contradicted``, with the columns split and duplicate; exact duplicates do not count.
    """
    complete = rows[["chosen_key", "rejected_key"]].notna().all(axis=1)
    again = rows.duplicated(["group_id", "split", "chosen_key", "rejected_key"])
    return (complete & again & ~rows["duplicate"].astype(bool)).to_numpy(dtype=bool)


def frequent_text(rows: pd.DataFrame) -> Mask:
    """Return which pairs have a response whose text more than a tenth of all pairs have on that side, shape (pairs,).

    A text of fewer than ``LEAST_PAIRS`` pairs is never frequent, so that a handful of pairs gives no warning.

    Args:
        rows: columns chosen_key and rejected_key, one row per pair.
    """
    least = max(LEAST_PAIRS, FREQUENT_SHARE * len(rows))
    counts = [rows[name].map(rows[name].value_counts()).fillna(0) for name in ("chosen_key", "rejected_key")]
    return np.asarray((counts[0] > least) | (counts[1] > least), dtype=bool)


def _preferred_the_other_way(rows: pd.DataFrame, groups: NDArray[np.int64], considered: Mask | None = None) -> Mask:
    """Return which pairs have a chosen text that is rejected, or a rejected text that is chosen, by another pair.

    Args:
        rows: as in ``contradicted``.
        groups: pairs are compared within these groups, shape (pairs,).
        considered: only these pairs are compared, shape (pairs,); None for all.
    """
    keys = pd.concat([rows["chosen_key"], rows["rejected_key"]], ignore_index=True)
    both = pd.DataFrame({"group": np.tile(groups, 2), "key": keys})
    codes = both.groupby(["group", "key"], sort=False, dropna=False).ngroup().to_numpy()
    complete = rows[["chosen_key", "rejected_key"]].notna().all(axis=1).to_numpy(dtype=bool)
    chosen, rejected = codes[: len(rows)], codes[len(rows) :]
    compared = complete & (chosen != rejected) & (True if considered is None else considered)
    return compared & (np.isin(chosen, rejected[compared]) | np.isin(rejected, chosen[compared]))


def _key(text: str) -> int:
    folded = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(folded, digest_size=8).digest(), "big", signed=True)

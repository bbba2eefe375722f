"""When two texts count as the same: but for case and white space, told by one number each."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
SHORT = 8
"""Tokens below which a response may well be right for one prompt and wrong for another: Yes, No, a number."""


def text_keys(texts: Iterable[str | None]) -> pd.Series:
    """One number for each text, equal where the texts are the same but for case and white space; null for no text."""
    keys = [None if text is None else _key(text) for text in texts]
    return pd.Series(keys, dtype="Int64")


def contradicted(rows: pd.DataFrame) -> Bools:
    """Pairs with a response that another pair of the same prompt judges the other way round, shape (pairs,).

    Args:
        rows: columns group_id, chosen_key, rejected_key, chosen_n_tokens and rejected_n_tokens.
    """
    return _judged_otherwise(rows, pd.factorize(rows["group_id"])[0])


def both_ways(rows: pd.DataFrame) -> Bools:
    """Pairs with a response that a pair of another prompt judges the other way round; short ones aside.

    Args:
        rows: as ``contradicted``.
    """
    long = (rows[["chosen_n_tokens", "rejected_n_tokens"]].fillna(0) >= SHORT).all(axis=1).to_numpy(dtype=bool)
    return _judged_otherwise(rows, np.zeros(len(rows), dtype=np.int64), long) & ~contradicted(rows)


def near_duplicate(rows: pd.DataFrame) -> Bools:
    """Pairs that say the same as an earlier pair of the same prompt on both sides, but for case and white space.

    Args:
        rows: as ``contradicted``, and duplicate: rows that are exactly equal are not told again.
    """
    known = rows[["chosen_key", "rejected_key"]].notna().all(axis=1)
    again = rows.duplicated(["group_id", "split", "chosen_key", "rejected_key"])
    return (known & again & ~rows["duplicate"].astype(bool)).to_numpy(dtype=bool)


def _judged_otherwise(rows: pd.DataFrame, groups: NDArray[np.int64], asked: Bools | None = None) -> Bools:
    """Pairs whose chosen text is rejected, or whose rejected text is chosen, by another pair of the same group."""
    keys = pd.concat([rows["chosen_key"], rows["rejected_key"]], ignore_index=True)
    both = pd.DataFrame({"group": np.tile(groups, 2), "key": keys})
    codes = both.groupby(["group", "key"], sort=False, dropna=False).ngroup().to_numpy()
    known = rows[["chosen_key", "rejected_key"]].notna().all(axis=1).to_numpy(dtype=bool)
    chosen, rejected = codes[: len(rows)], codes[len(rows) :]
    counts = known & (chosen != rejected) & (True if asked is None else asked)
    return counts & (np.isin(chosen, rejected[counts]) | np.isin(rejected, chosen[counts]))


def _key(text: str) -> int:
    folded = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(folded, digest_size=8).digest(), "big", signed=True)

"""Groups of pairs of the same prompt: every response to the prompt once, side by side."""

import pandas as pd

from dpo_analysis.schema import SIDES

COLUMNS = ["text", "sides", "n_pairs", "n_tokens", "logps", "log_ratio", "log_ratio_per_token"]


def groups_with_several_pairs(pairs: pd.DataFrame) -> pd.Series:
    """Return the number of pairs that count of every group with at least two, by group_id, most pairs first.

    Args:
        pairs: a pair table of one policy.
    """
    groups = pairs.loc[pairs["margin"].notna(), "group_id"]
    counts = groups[groups.duplicated(keep=False)].value_counts(sort=False)
    return counts.sort_values(ascending=False, kind="stable")


def group_responses(pairs: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per distinct response of these pairs, the largest loss of probability first.

    A response whose text is not known has a row of its own, as it may differ from every other one.

    Args:
        pairs: the pairs of a group in the pair table of one policy.
        texts: columns chosen and rejected by pair_id.

    Returns:
        Columns: text, sides (the sides on which the response stands, in the order of ``schema.SIDES``, joined by
        ``+``), n_pairs, n_tokens, logps and log_ratio (nats), log_ratio_per_token (nats per token).
    """
    counted = pairs.dropna(subset=["margin"])
    rows = pd.concat([_responses(counted, texts, side) for side in SIDES], ignore_index=True)
    return _one_row_each(rows, rows["text"].where(rows["text"] != "", rows["pair_id"] + " " + rows["side"]))


def pair_responses(pairs: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Return a row for the chosen and one for the rejected response of a pair, even where both have the same text.

    Arguments and columns as in ``group_responses``; ``pairs`` is the one row of the pair.
    """
    counted = pairs.dropna(subset=["margin"])
    rows = pd.concat([_responses(counted, texts, side) for side in SIDES], ignore_index=True)
    return _one_row_each(rows, rows["side"])


def _one_row_each(rows: pd.DataFrame, keys: pd.Series) -> pd.DataFrame:
    """Return ``COLUMNS`` with one row for the rows that share a key, with the numbers of the first of them."""
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    groups = rows.groupby(keys, sort=False)
    sides = groups["side"].agg(lambda values: "+".join(dict.fromkeys(values)))
    first = rows.groupby(keys, sort=False).head(1).set_axis(sides.index)
    merged = first.assign(sides=sides, n_pairs=groups["pair_id"].nunique())
    merged["log_ratio_per_token"] = merged["log_ratio"] / merged["n_tokens"].astype(float)
    return merged.sort_values("log_ratio", kind="stable")[COLUMNS].reset_index(drop=True)


def _responses(pairs: pd.DataFrame, texts: pd.DataFrame, side: str) -> pd.DataFrame:
    """Return the responses of one side, one row per pair; the text is empty where it is not known."""
    numbers = {name: pairs[f"{side}_{name}"] for name in ("n_tokens", "logps", "log_ratio")}
    return pd.DataFrame(
        {
            "pair_id": pairs["pair_id"],
            "side": side,
            "text": texts[side].reindex(pairs["pair_id"]).fillna("").to_numpy(),
            **numbers,
        }
    )

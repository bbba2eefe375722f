"""The answers to one prompt: every response that the pairs of a group have, each once, side by side."""

import pandas as pd

from dpo_analysis.schema import SIDES

COLUMNS = ["text", "sides", "n_pairs", "n_tokens", "logps", "log_ratio", "log_ratio_per_token"]


def groups_of_several(pairs: pd.DataFrame) -> pd.Series:
    """Groups with more than one pair that counts: how many pairs each has, by group_id, most pairs first."""
    groups = pairs.loc[pairs["margin"].notna(), "group_id"]
    counts = groups[groups.duplicated(keep=False)].value_counts(sort=False)
    return counts.sort_values(ascending=False, kind="stable")


def answers(pairs: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """One row per distinct response of these pairs, most probability lost first; those of unknown text have none.

    Args:
        pairs: rows of one policy's pair table, those of one group.
        texts: columns chosen and rejected by pair_id.

    Returns:
        text, sides (the sides it stands on, in ``schema.SIDES`` order, joined by ``+``), n_pairs, n_tokens, logps and
        log_ratio (nats), log_ratio_per_token (nats per token).
    """
    known = pairs.dropna(subset=["margin"])
    rows = pd.concat([_side(known, texts, side) for side in SIDES], ignore_index=True).dropna(subset=["text"])
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    sides = rows.groupby("text", sort=False)["side"].agg(lambda found: "+".join(dict.fromkeys(found)))
    numbers = rows.drop_duplicates("text").set_index("text")
    numbers = numbers.assign(sides=sides, n_pairs=rows.groupby("text", sort=False)["pair_id"].nunique())
    numbers["log_ratio_per_token"] = numbers["log_ratio"] / numbers["n_tokens"].astype(float)
    return numbers.reset_index().sort_values("log_ratio", kind="stable")[COLUMNS].reset_index(drop=True)


def _side(pairs: pd.DataFrame, texts: pd.DataFrame, side: str) -> pd.DataFrame:
    named = {name: f"{side}_{name}" for name in ("n_tokens", "logps", "log_ratio")}
    columns = {name: pairs[column] for name, column in named.items()}
    return pd.DataFrame(
        {"pair_id": pairs["pair_id"], "side": side, "text": texts[side].reindex(pairs["pair_id"]).to_numpy(), **columns}
    )

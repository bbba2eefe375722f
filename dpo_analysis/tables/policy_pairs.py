"""Two policies on the same pairs: what each pair gained or lost, and which pairs were fixed or broken."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

NUMBERS = ("chosen", "rejected", "margin")
KEYS = ["pair_id", "group_id"]
OUTCOMES = ("fixed", "broken", "both", "neither")
"""fixed: wrong under A and right under B; broken: right under A and wrong under B; both and neither are right."""


class _Columns(NamedTuple):
    chosen: str
    rejected: str


WITH, WITHOUT = _Columns("chosen_reward", "rejected_reward"), _Columns("chosen_logps", "rejected_logps")


def compare_pairs(first: pd.DataFrame, second: pd.DataFrame, *, bare: bool = False) -> pd.DataFrame:
    """One row per pair that counts under both policies, by pair_id, in the order of ``first``.

    Args:
        first: the pair table of policy A.
        second: the pair table of policy B, of this run or of another one.
        bare: leave the reference out: log-probs in place of rewards.

    Returns:
        pair_id, group_id, then for chosen, rejected and margin (chosen minus rejected) ``<name>_a``, ``<name>_b`` and
        ``<name>_change`` (B minus A), in beta x nats, or in nats where ``bare``; ranking_a and ranking_b, nats: the
        bare policy's log-prob of the chosen minus that of the rejected response; reward_a and reward_b, beta x nats:
        the chosen reward; gap_a and gap_b, beta x nats: the margin of the rewards.
    """
    sides = [_numbers(frame.dropna(subset=["margin"]), WITHOUT if bare else WITH) for frame in (first, second)]
    both = sides[0].merge(sides[1].drop(columns="group_id"), on="pair_id", suffixes=("_a", "_b"))
    changes = {f"{name}_change": both[f"{name}_b"] - both[f"{name}_a"] for name in NUMBERS}
    return both.assign(**changes)


def _numbers(pairs: pd.DataFrame, columns: _Columns) -> pd.DataFrame:
    chosen, rejected = pairs[columns.chosen], pairs[columns.rejected]
    numbers = {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
    numbers |= {"ranking": pairs["chosen_logps"] - pairs["rejected_logps"]}
    return pairs[KEYS].assign(**numbers, reward=pairs["chosen_reward"], gap=pairs["margin"])


def outcomes(both: pd.DataFrame, criterion: str) -> pd.Series:
    """Which of ``OUTCOMES`` each pair is by a criterion of ``CRITERIA``, shape (pairs,)."""
    right = [CRITERIA[criterion](both[[f"{name}_{end}" for name in RIGHT]].set_axis(RIGHT, axis=1)) for end in "ab"]
    named = np.select([right[0] & right[1], right[1], right[0]], ["both", "fixed", "broken"], "neither")
    return pd.Series(named, index=both.index, dtype=object)


def profile_change(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The difference of two position tables of one model each, B minus A: side, position, n_used, log_ratio (nats).

    Positions that both have; n_used is the smaller count.
    """
    both = first.merge(second, on=["side", "position"], suffixes=("_a", "_b"))
    both = both.assign(log_ratio=both["log_ratio_b"] - both["log_ratio_a"])
    both["n_used"] = both[["n_used_a", "n_used_b"]].min(axis=1)
    return both[["side", "position", "n_used", "log_ratio"]]


RIGHT = ["gap", "reward", "ranking"]
CRITERIA: dict[str, Callable[[pd.DataFrame], Any]] = {
    "margin": lambda pairs: pairs["gap"] > 0,
    "chosen": lambda pairs: pairs["reward"] >= 0,
    "ranking": lambda pairs: pairs["ranking"] > 0,
}

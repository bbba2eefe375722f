"""Two policies on the same pairs: the change of each pair, and which pairs became right or wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

COMPARED = ("chosen", "rejected", "margin")
"""Numbers that are compared: those of both sides, and chosen minus rejected."""
KEYS = ["pair_id", "group_id"]
OUTCOMES = ("fixed", "broken", "both", "neither")
"""fixed: wrong under A and right under B; broken: right under A and wrong under B; both: right under both; neither:
wrong under both."""


class _Columns(NamedTuple):
    """The columns of a pair table that are compared."""

    chosen: str
    rejected: str


REWARDS, LOGPS = _Columns("chosen_reward", "rejected_reward"), _Columns("chosen_logps", "rejected_logps")


def compare_pairs(first: pd.DataFrame, second: pd.DataFrame, *, bare: bool = False) -> pd.DataFrame:
    """Return one row per pair that counts under both policies, matched by pair_id, in the order of ``first``.

    Args:
        first: the pair table of policy A.
        second: the pair table of policy B, of this run or of another run.
        bare: compare log-probs, without the reference, instead of rewards.

    Returns:
        pair_id, group_id, then for chosen, rejected and margin (chosen minus rejected) ``<name>_a``, ``<name>_b`` and
        ``<name>_change`` (B minus A), in beta x nats, or in nats if ``bare``; ranking_a and ranking_b, nats: the
        policy's log-prob of the chosen minus that of the rejected response; reward_a and reward_b, beta x nats: the
        chosen reward; gap_a and gap_b, beta x nats: the margin of the rewards.
    """
    columns = LOGPS if bare else REWARDS
    tables = [_numbers(table.dropna(subset=["margin"]), columns) for table in (first, second)]
    both = tables[0].merge(tables[1].drop(columns="group_id"), on="pair_id", suffixes=("_a", "_b"))
    changes = {f"{name}_change": both[f"{name}_b"] - both[f"{name}_a"] for name in COMPARED}
    return both.assign(**changes)


def pair_outcomes(both: pd.DataFrame, criterion: str) -> pd.Series:
    """Return which of ``OUTCOMES`` each pair has by a criterion of ``CRITERIA``, shape (pairs,).

    Args:
        both: a table of ``compare_pairs``.
        criterion: margin, chosen or ranking.
    """
    right = [
        CRITERIA[criterion](both[[f"{name}_{end}" for name in JUDGED]].set_axis(JUDGED, axis=1)) for end in ("a", "b")
    ]
    outcomes = np.select([right[0] & right[1], right[1], right[0]], ["both", "fixed", "broken"], "neither")
    return pd.Series(outcomes, index=both.index, dtype=object)


def position_changes(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the difference of two position tables of one model each, B minus A, at positions that both have.

    Args:
        first: the position table of policy A.
        second: the position table of policy B.

    Returns:
        Columns: side, position, n_used (the smaller of both counts), log_ratio (nats).
    """
    both = first.merge(second, on=["side", "position"], suffixes=("_a", "_b"))
    both = both.assign(log_ratio=both["log_ratio_b"] - both["log_ratio_a"])
    both["n_used"] = both[["n_used_a", "n_used_b"]].min(axis=1)
    return both[["side", "position", "n_used", "log_ratio"]]


def _numbers(pairs: pd.DataFrame, columns: _Columns) -> pd.DataFrame:
    chosen, rejected = pairs[columns.chosen], pairs[columns.rejected]
    numbers = {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
    numbers |= {"ranking": pairs["chosen_logps"] - pairs["rejected_logps"]}
    return pairs[KEYS].assign(**numbers, reward=pairs["chosen_reward"], gap=pairs["margin"])


JUDGED = ["gap", "reward", "ranking"]
"""Columns of ``compare_pairs`` that a criterion may use, without the suffix of the policy."""
CRITERIA: dict[str, Callable[[pd.DataFrame], Any]] = {
    "margin": lambda pairs: pairs["gap"] > 0,
    "chosen": lambda pairs: pairs["reward"] >= 0,
    "ranking": lambda pairs: pairs["ranking"] > 0,
}
"""When a pair is right under a policy."""

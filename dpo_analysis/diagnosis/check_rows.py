"""One line per pair of a run about its tokens: the frame that ``check`` makes before any run exists, made from one."""

import numpy as np
import pandas as pd

from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.runs import Run
from dpo_analysis.runs.summaries.store import read_facts
from dpo_analysis.schema import SIDES

REPEATED = r"[0-9a-f]{16}-\d+"
"""The pair_id of a row that repeats an earlier one."""
FLAGS = ("ends_with_eos", "double_eos", "truncated")


def rows_of_run(run: Run) -> pd.DataFrame:
    """What ``dpo_analysis.data.row_warnings`` asks for, as far as a run folder tells; the same columns.

    ``where`` is the pair_id, and ``border_shift`` 0: whether the border moved is known only while text becomes tokens.

    Raises:
        StorageError: a part is damaged.
    """
    pairs, n_tokens = inputs(run)
    rows = pairs[["pair_id", "group_id", "split", "status"]].copy()
    rows["where"], rows["reason"], rows["border_shift"] = rows["pair_id"], "", 0
    rows["duplicate"] = rows["pair_id"].str.fullmatch(REPEATED)
    rows["splits_of_prompt"] = _splits_of_prompt(rows) if len(run.splits) > 1 else 1
    asked = [f"{side}_{name}" for side in SIDES for name in (*FLAGS, "key")]
    facts = read_facts(run, ["row", "double_bos", *asked]).to_pandas()
    facts = facts.set_index("row").reindex(pairs["row"]).set_index(rows.index)
    rows["double_bos"] = facts["double_bos"].eq(True)
    for place, side in enumerate(SIDES):
        rows[f"{side}_n_tokens"] = n_tokens[:, place]
        rows[f"{side}_key"] = facts[f"{side}_key"].astype("Int64")
        for name in FLAGS:
            rows[f"{side}_{name}"] = facts[f"{side}_{name}"]
    return rows


def _splits_of_prompt(rows: pd.DataFrame) -> np.ndarray:
    """In how many splits each pair's prompt is, shape (pairs,)."""
    group, split = (pd.factorize(rows[name])[0] for name in ("group_id", "split"))
    there = np.unique(group * (split.max() + 1) + split) // (split.max() + 1)
    return np.bincount(there)[group]

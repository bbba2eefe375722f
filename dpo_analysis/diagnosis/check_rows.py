"""The rows of a run as the row checks read them: the table of the command ``check``, rebuilt from the run folder."""

import numpy as np
import pandas as pd

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.data.row_texts import TEXT_WARNINGS, source_flags
from dpo_analysis.runs import Run
from dpo_analysis.runs.parts import source_row
from dpo_analysis.runs.summaries.store import read_pair_facts
from dpo_analysis.schema import SIDES

REPEATED_ROW = r"[0-9a-f]{16}-\d+"
"""The pair_id of a row that repeats an earlier row: that row's hash and a number."""
MAX_SOURCES = 500
"""Pairs of a split whose rows are looked at as text: rows of a data set have one shape, and a page must open soon."""
FLAGS = ("ends_with_eos", "double_eos", "truncated")


def rows_to_check(run: Run) -> pd.DataFrame:
    """Return one line per pair with the columns that ``data.row_warnings`` reads, as far as the run folder holds them.

    ``where`` is the pair_id. ``border_shift`` is 0, since whether the border between prompt and response moved is known
    only while text becomes tokens, and so is whether a tokenizer has a chat template that a plain text did not use.

    Raises:
        StorageError: a part is damaged.
    """
    pairs, n_tokens = pair_index(run)
    rows = pairs[["pair_id", "group_id", "split", "status"]].copy()
    rows["where"], rows["reason"], rows["border_shift"] = rows["pair_id"], "", 0
    rows["duplicate"] = rows["pair_id"].str.fullmatch(REPEATED_ROW)
    rows["splits_of_prompt"] = _splits_of_prompt(rows) if len(run.splits) > 1 else 1
    names = [f"{side}_{name}" for side in SIDES for name in (*FLAGS, "key")]
    facts = read_pair_facts(run, ["row", "double_bos", *names]).to_pandas()
    facts = facts.set_index("row").reindex(pairs["row"]).set_index(rows.index)
    rows["double_bos"] = facts["double_bos"].eq(True)
    flags = _flags_of_sources(run, pairs).reindex(pairs["row"]).set_index(rows.index)
    rows[list(TEXT_WARNINGS)] = flags
    for index, side in enumerate(SIDES):
        rows[f"{side}_n_tokens"] = n_tokens[:, index]
        rows[f"{side}_key"] = facts[f"{side}_key"].astype("Int64")
        for flag in FLAGS:
            rows[f"{side}_{flag}"] = facts[f"{side}_{flag}"]
    return rows


def _flags_of_sources(run: Run, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return ``data.row_texts.TEXT_WARNINGS`` by row, of the first ``MAX_SOURCES`` pairs of each split.

    They are null for other pairs, and where the source of a pair is not stored, or its shape is not known.

    Args:
        run: the run.
        pairs: row and split of every pair.
    """
    looked_at = set(pairs.groupby("split", sort=False).head(MAX_SOURCES)["row"].tolist())
    table = run.pairs(columns=["row", "source"], rows=looked_at)
    flags = {
        row: source_flags(source_row(text)) if text else None
        for row, text in zip(table["row"].to_pylist(), table["source"].to_pylist(), strict=True)
        if row in looked_at
    }
    columns = {name: [None if flag is None else flag[name] for flag in flags.values()] for name in TEXT_WARNINGS}
    return pd.DataFrame(columns, index=np.array(list(flags), dtype=np.int64), dtype="boolean")


def _splits_of_prompt(rows: pd.DataFrame) -> np.ndarray:
    """Return the number of splits that each pair's prompt is in, shape (pairs,)."""
    group, split = (pd.factorize(rows[name])[0] for name in ("group_id", "split"))
    n_splits = split.max() + 1
    groups = np.unique(group * n_splits + split) // n_splits
    return np.bincount(groups)[group]

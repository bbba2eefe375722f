"""The texts of pairs as they were tokenised, read only for the pairs that are needed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.runs import Run

TEXTS = ("prompt", "chosen", "rejected")


def pair_texts(run: Run, pair_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Return prompt, chosen and rejected text by pair_id, as they were tokenised; empty where the run has no text.

    Args:
        run: an open run.
        pair_ids: the pairs, in the order of the result; ids that the run does not have are left out. None for all.

    Raises:
        StorageError: a part is damaged.
    """
    if pair_ids is None:
        return run.pairs(columns=["pair_id", *TEXTS]).to_pandas().fillna("").set_index("pair_id")
    index = pair_index(run)
    rows = np.sort(index.rows[index.pairs["pair_id"].isin(list(pair_ids)).to_numpy()])
    tables = []
    for part in np.unique(rows // run.part_size).tolist():
        part_rows = rows[rows // run.part_size == part]
        table = run.pairs(part, ["row", "pair_id", *TEXTS], part_rows.tolist())
        tables.append(table.filter(pa.array(np.isin(table["row"].to_numpy(), part_rows))))
    if not tables:
        return pd.DataFrame(columns=list(TEXTS))
    texts = pa.concat_tables(tables).drop_columns(["row"]).to_pandas().fillna("").set_index("pair_id")
    return texts.loc[[pair_id for pair_id in pair_ids if pair_id in texts.index]]

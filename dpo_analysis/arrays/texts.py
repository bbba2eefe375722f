"""The texts of pairs: what was tokenised, read for the pairs that are asked for and no others."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.runs import Run

TEXTS = ("prompt", "chosen", "rejected")


def pair_texts(run: Run, pair_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """By pair_id: prompt, chosen and rejected as they were tokenised, empty where the run has none.

    All pairs where ``pair_ids`` is None.

    Ids that the run does not have are left out; the others come in the order asked.

    Raises:
        StorageError: a part is damaged.
    """
    if pair_ids is None:
        return run.pairs(columns=["pair_id", *TEXTS]).to_pandas().fillna("").set_index("pair_id")
    pairs = inputs(run).pairs
    rows = np.sort(pairs["row"].to_numpy()[pairs["pair_id"].isin(list(pair_ids)).to_numpy()])
    found = []
    for part in np.unique(rows // run.part_size).tolist():
        own = rows[rows // run.part_size == part]
        table = run.pairs(part, ["row", "pair_id", *TEXTS], own.tolist())
        found.append(table.filter(pa.array(np.isin(table["row"].to_numpy(), own))))
    if not found:
        return pd.DataFrame(columns=list(TEXTS))
    texts = pa.concat_tables(found).drop_columns(["row"]).to_pandas().fillna("").set_index("pair_id")
    return texts.loc[[one for one in pair_ids if one in texts.index]]

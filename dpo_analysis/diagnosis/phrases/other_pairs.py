"""How many other pairs reject a phrase and how many choose it, by their texts."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.diagnosis.ledger.bigram_counts import sampled_pairs
from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
UNKNOWN = (float("nan"), float("nan"))


def count_other_pairs(run: Run, split: str, phrases: Sequence[str], rows: Sequence[Ints]) -> list[tuple[float, float]]:
    """Return how many other pairs have each phrase in the rejected response alone, and how many in the chosen alone.

    The mean over the pairs that the phrase was found in, none of which counts itself or a pair of the same prompt. A
    pair with the phrase on both sides counts for neither. NaN for a run without texts.

    Args:
        run: an open run.
        split: split of the pairs that are counted, at most ``bigram_counts.MAX_COUNTED_PAIRS`` of them.
        phrases: the phrases, without white space at their ends.
        rows: the rows of the pairs that each phrase was found in; one array per phrase, of shape (pairs,).

    Raises:
        StorageError: a part is damaged.
    """
    if not phrases:
        return []
    counted = sampled_pairs(run, split)["row"].to_numpy()
    found = find_in_texts(run, counted, phrases)
    if found is None:
        return [UNKNOWN] * len(phrases)
    index = pair_index(run)
    groups = np.unique(index.pairs["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
    group_of_counted = groups[index.indices(counted)]
    result = []
    for number, of_phrase in enumerate(rows):
        asking = groups[index.indices(np.unique(of_phrase))]
        alone = (found[1, number] & ~found[0, number], found[0, number] & ~found[1, number])
        result.append(tuple(_others(side, group_of_counted, asking) for side in alone))
    return [(rejects, chooses) for rejects, chooses in result]


def _others(side: Mask, group_of_counted: Ints, asking: Ints) -> float:
    """Return how many counted pairs have the phrase, without those of the asking pair's prompt, as a mean over them."""
    by_group = np.bincount(group_of_counted[side], minlength=int(max(asking.max(), group_of_counted.max())) + 1)
    return float(side.sum() - by_group[asking].mean())


def find_in_texts(run: Run, rows: Ints, phrases: Sequence[str]) -> Mask | None:
    """Return whether the text of each side has each phrase, shape (sides, phrases, pairs), the pairs by row.

    None where the run has no texts.

    Args:
        run: an open run.
        rows: rows of the pairs, shape (pairs,).
        phrases: the phrases; upper and lower case differ.

    Raises:
        StorageError: a part is damaged.
    """
    parts = [np.zeros((len(SIDES), len(phrases), 0), dtype=bool)]
    for part in run.present_parts:
        table = run.pairs(part, ["row", *SIDES])
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
        if table.num_rows and table[SIDES[0]].null_count == table.num_rows:
            return None
        sides = [
            [pc.fill_null(pc.match_substring(table[side], phrase), False).to_numpy() for phrase in phrases]
            for side in SIDES
        ]
        parts.append(np.array(sides, dtype=bool).reshape(len(SIDES), len(phrases), table.num_rows))
    return np.concatenate(parts, axis=2)

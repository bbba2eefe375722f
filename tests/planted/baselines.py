"""Three simpler ways to name a cause, to be beaten: text overlap alone, CHES alone, the position of the drop alone.

Each turns a run into a few numbers and takes the nearest centroid of the causes in FIT, after scaling by FIT's spread;
clean runs are a cause like any other (``none``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import RESPONSE_START, BigramCounts
from dpo_analysis.numerics.edit_distance import normalized_edit_distances
from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import flatten_lists
from dpo_analysis.tables.decompositions import decomposition_table
from dpo_analysis.tables.evidence import ches_table
from dpo_analysis.text.regions import REGIONS
from tests.planted.verdicts import CANNOT_TELL, NONE

Vector = NDArray[np.float64]


def text_overlap(run: Run, split: str) -> Vector:
    """From the texts alone: how far the other pairs reject, or choose, the word pairs of a chosen response.

    The largest, mean and lowest excess (rejects - chooses over pairs, mean over pairs), where in the response the
    largest and the lowest stand (0 to 1), and the edit distance between the two responses.
    """
    bigrams = BigramCounts(run, split)
    rows, chosen, rejected = [], [], []
    for part in range(run.n_parts):
        table = run.responses(part, columns=["row", "side", "token_ids"])
        ids = np.split(flatten_lists(table["token_ids"])[1], np.cumsum(flatten_lists(table["token_ids"])[0])[:-1])
        for row, side, own in zip(table["row"].to_pylist(), table["side"].to_pylist(), ids, strict=True):
            (chosen if side == "chosen" else rejected).append(own)
            if side == "chosen":
                rows.append(row)
    found = []
    for row, own in zip(rows, chosen, strict=True):
        counts = bigrams.look_up(np.full(len(own), row), np.concatenate([[RESPONSE_START], own[:-1]]), own)
        excess = (counts.rejects - counts.chooses) / max(bigrams.n_pairs, 1)
        places = np.argmax(excess) / len(own), np.argmin(excess) / len(own)
        found.append([excess.max(), excess.mean(), excess.min(), *places])
    return np.append(np.mean(found, axis=0), normalized_edit_distances(chosen, rejected).mean())


def ches_alone(run: Run, split: str) -> Vector:
    """CHES and length-normalised CHES under the first checkpoint: mean and spread over pairs."""
    table = ches_table(run, model=run.models[0].key)
    values = table[["ches", "ln_ches"]].to_numpy()
    return np.concatenate([values.mean(axis=0), values.std(axis=0)])


def position_alone(run: Run, split: str) -> Vector:
    """The shares of the chosen responses' change that lie in opening, core, closing and end, at the last checkpoint."""
    table = decomposition_table(run, model=run.models[-1].key, split=split).query("side == 'chosen' and by == 'place'")
    change = table.set_index("part")["log_ratio"].reindex(REGIONS).fillna(0).to_numpy()
    return np.append(change / max(np.abs(change).sum(), 1e-9), change.sum())


BASELINES: Mapping[str, Callable[[Run, str], Vector]] = {
    "text overlap alone": text_overlap,
    "CHES alone": ches_alone,
    "position alone": position_alone,
}


class Centroids:
    """The nearest of the causes' mean vectors."""

    def __init__(self, vectors: Sequence[Vector], causes: Sequence[str]) -> None:
        """Fit to runs of known cause."""
        stacked = np.stack(vectors)
        self._mean, self._spread = stacked.mean(axis=0), np.maximum(stacked.std(axis=0), 1e-9)
        self.causes = sorted(set(causes))
        scaled = (stacked - self._mean) / self._spread
        self._centres = np.stack([scaled[[one == cause for one in causes]].mean(axis=0) for cause in self.causes])

    def name(self, vector: Vector) -> str:
        """The nearest cause; ``cannot tell`` where that is the clean runs."""
        distance = np.linalg.norm((vector - self._mean) / self._spread - self._centres, axis=1)
        nearest = self.causes[int(np.argmin(distance))]
        return CANNOT_TELL if nearest == NONE else nearest

"""The training pairs of a series: how far they moved, and how many of them reject the same text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import TRAIN_SPLIT
from dpo_analysis.diagnosis.ledger.response_ids import read_response_ids
from dpo_analysis.diagnosis.outcome.pair_changes import PairChanges, read_pair_changes
from dpo_analysis.diagnosis.outcome.wrong_pairs import WrongPairs, find_wrong_pairs
from dpo_analysis.diagnosis.thresholds import SAME_START_TOKENS
from dpo_analysis.runs import Model, Run

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RepeatedText:
    """How many pairs have the same rejected response.

    Attributes:
        n_pairs: pairs with a rejected response of at least one token.
        n_same: pairs whose rejected response is the most frequent one, token by token.
        n_same_start: pairs whose rejected response begins with the most frequent ``SAME_START_TOKENS`` tokens.
        rows: rows of the pairs in ``n_same``, sorted.
    """

    n_pairs: int
    n_same: int
    n_same_start: int
    rows: tuple[int, ...] = ()

    @property
    def same(self) -> float:
        """Share of the pairs with the most frequent rejected response; 0 where no text is repeated."""
        return self.n_same / self.n_pairs if self.n_same > 1 else 0.0

    @property
    def same_start(self) -> float:
        """Share of the pairs with the most frequent beginning; 0 where no beginning is repeated."""
        return self.n_same_start / self.n_pairs if self.n_same_start > 1 else 0.0


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """The pairs that a series was trained on, or those of the diagnosed split where the run has no training pairs.

    Attributes:
        changes: how far their responses moved at the checkpoint shown.
        trained: whether they are the pairs that the series was trained on.
        rejected: how many of them have the same rejected response; None where the run has no tokens.
        wrong: the pairs that the policy orders wrongly with confidence; None where the run has no tokens.
    """

    changes: PairChanges
    trained: bool
    rejected: RepeatedText | None = None
    wrong: WrongPairs | None = None


def read_training_pairs(run: Run, model: Model, split: str) -> TrainingPairs:
    """Return the training pairs at one checkpoint; those of ``split`` where the run has no split ``train``.

    Raises:
        InputError: the run has no such split.
        StorageError: a part is damaged.
    """
    trained = TRAIN_SPLIT in run.splits
    changes = read_pair_changes(run, model, TRAIN_SPLIT if trained else split)
    if not run.has_tokens:
        return TrainingPairs(changes, trained)
    responses = read_response_ids(run, changes.rows)
    rejected = count_repeated(changes.rows.tolist(), responses[1])
    return TrainingPairs(changes, trained, rejected, find_wrong_pairs(changes, responses))


def count_repeated(rows: Sequence[int], responses: Sequence[Ints]) -> RepeatedText:
    """Return how many responses equal the most frequent one, and how many begin as the most frequent beginning.

    Args:
        rows: row of each response.
        responses: token ids of each response; empty ones do not count.
    """
    texts = {row: ids.tobytes() for row, ids in zip(rows, responses, strict=True) if len(ids)}
    if not texts:
        return RepeatedText(0, 0, 0)
    text, n_same = Counter(texts.values()).most_common(1)[0]
    starts = Counter(ids[:SAME_START_TOKENS].tobytes() for ids in responses if len(ids) >= SAME_START_TOKENS)
    n_same_start = max((count for _, count in starts.most_common(1)), default=0)
    same_rows = tuple(sorted(row for row, ids in texts.items() if ids == text))
    return RepeatedText(len(texts), n_same, max(n_same, n_same_start), same_rows)

"""Sums of log-probs over the responses of a split, as a trainer's evaluation takes them, batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.summaries.store import PAIR_SUMS, read_pair_index, read_summary
from dpo_analysis.schema import FLAGGED, SCORED, SIDES
from dpo_analysis.trainer.evaluations import EVALUATION_BATCH, LOSES_LONGEST_END

LOGPS = [f"{side}_logps" for side in SIDES]
N_TOKENS = [f"{side}_n_tokens" for side in SIDES]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedSums:
    """Sums over responses of a policy and the reference on the pairs of a split that count, in reading order.

    Attributes:
        policy: log-probs, nats, shape (pairs, sides).
        reference: those of the reference, shape (pairs, sides).
        n_tokens: tokens that the sums are over, shape (pairs, sides).
    """

    policy: np.ndarray
    reference: np.ndarray
    n_tokens: np.ndarray

    @property
    def log_ratios(self) -> np.ndarray:
        """Log-probs of the policy minus those of the reference, nats, shape (pairs, sides)."""
        return self.policy - self.reference


def evaluated_sums(run: Run, model: Model, split: str) -> EvaluatedSums:
    """Return the sums of a policy and the reference on the pairs of a split, without tokens that its trainer lost.

    Raises:
        StorageError: a part is damaged.
    """
    index = read_pair_index(run).to_pandas().set_index("row")
    policy = read_summary(run, PAIR_SUMS, model).to_pandas().set_index("row").reindex(index.index)
    reference = read_summary(run, PAIR_SUMS, run.reference).to_pandas().set_index("row").reindex(index.index)
    used = (index["split"] == split) & index["status"].isin(SCORED)
    used &= policy["status"].notna() & reference["status"].notna()
    used &= ~policy["status"].isin(FLAGGED) & ~reference["status"].isin(FLAGGED)
    sums = EvaluatedSums(
        policy.loc[used, LOGPS].to_numpy(dtype=float),
        reference.loc[used, LOGPS].to_numpy(dtype=float),
        index.loc[used, N_TOKENS].to_numpy(dtype=float),
    )
    parameters = run.series[model.series].parameters
    if not parameters.get(LOSES_LONGEST_END) or not run.has_tokens:
        return sums
    return _without_lost_ends(run, model, sums, index.index[used], parameters)


def _without_lost_ends(
    run: Run, model: Model, sums: EvaluatedSums, rows: "pd.Index[int]", parameters: Mapping[str, Any]
) -> EvaluatedSums:
    """Return the sums without the last token of the longest sequences of each batch.

    TRL 0.12 cut the columns of a batch that are padding in every sequence, and one column too many.
    """
    prompts = _prompt_lengths(run, rows)
    lost = lost_ends(prompts, sums.n_tokens, parameters.get(EVALUATION_BATCH) or len(rows))
    if not lost.any():
        return sums
    ends = [np.where(lost, _last_logps(run, one, rows), 0.0) for one in (model, run.reference)]
    return EvaluatedSums(sums.policy - ends[0], sums.reference - ends[1], sums.n_tokens - lost)


def lost_ends(prompts: np.ndarray, responses: np.ndarray, batch_size: int) -> np.ndarray:
    """Return which responses lose their last token in TRL 0.12, shape (pairs, sides).

    Args:
        prompts: tokens of the prompts, shape (pairs,).
        responses: tokens of the responses, shape (pairs, sides).
        batch_size: pairs of a batch.
    """
    lost = np.zeros(responses.shape, dtype=bool)
    lengths = prompts[:, None] + responses
    for start in range(0, len(prompts), batch_size):
        batch = slice(start, start + batch_size)
        longest = lengths[batch].max()
        # Where the longest prompt and the longest response are of one sequence, no column is padding throughout.
        if longest < prompts[batch].max() + responses[batch].max():
            lost[batch] = lengths[batch] == longest
    return lost


def _prompt_lengths(run: Run, rows: "pd.Index[int]") -> np.ndarray:
    table = run.responses(columns=["row", "side", "prompt_token_ids"])
    lengths = {
        row: len(ids)
        for row, ids in zip(table.column("row").to_pylist(), table.column("prompt_token_ids").to_pylist(), strict=True)
    }
    return np.array([lengths[row] for row in rows])


def _last_logps(run: Run, model: Model, rows: "pd.Index[int]") -> np.ndarray:
    """Return the log-prob of every response's last token, nats, shape (pairs, sides)."""
    entries = run.scores(model, columns=["row", "side", "logp"]).to_pylist()
    last = {(entry["row"], entry["side"]): entry["logp"][-1] for entry in entries if entry["logp"]}
    return np.array([[last.get((row, side), 0.0) for side in SIDES] for row in rows])

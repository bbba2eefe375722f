"""Tables of the evidence of a run: the CHES score of pairs, and the credit of responses.

Evidence exists for a sample of pairs; a pair without evidence has no row.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings
from dpo_analysis.arrays.response_sums import pair_index, response_sums
from dpo_analysis.arrays.selection import Names, choose_models
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import list_sums, side_indices
from dpo_analysis.schema import REFERENCE, SIDES
from dpo_analysis.tables.pairs import stacked_nonempty, with_policy

CHES_COLUMNS = ["pair_id", "series", "model", "step", "ches", "ln_ches"]
CREDIT_COLUMNS = [
    "pair_id",
    "side",
    "series",
    "model",
    "step",
    "n_tokens",
    "reward",
    "expected_reward",
    "credit",
    "credit_variance",
    "credit_z",
]


def ches(
    chosen_rejected: ArrayLike, chosen_chosen: ArrayLike, chosen_n: ArrayLike, rejected_n: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return CHES and its length-normalised form, inner products of hidden states, any shape; larger: more collision.

    With S the sum of the final hidden states that predict a response's tokens (after the final norm, from the last
    prompt position on, without the state of the last token, as in the authors' code) CHES = <S+, S-> - ||S+||^2 and
    ln-CHES = <S+, S-> / (n+ n-) - ||S+||^2 / n+^2. Compare pairs of one model only. It is exactly 0 where the two
    responses differ in nothing but their last token. Razin et al. 2024, arXiv:2410.08847.

    Args:
        chosen_rejected: <S+, S->.
        chosen_chosen: ||S+||^2.
        chosen_n: states in S+.
        rejected_n: states in S-.
    """
    cross, norm = np.asarray(chosen_rejected, dtype=np.float64), np.asarray(chosen_chosen, dtype=np.float64)
    n, k = np.asarray(chosen_n, dtype=np.float64), np.asarray(rejected_n, dtype=np.float64)
    return cross - norm, cross / (n * k) - norm / n**2


def ches_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """Return one row per policy and pair with evidence ``hidden``: its CHES score, see ``ches``.

    Args:
        run: an open run.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME; ``"reference"`` for the model before training.

    Returns:
        Columns: pair_id, series, model, step, ches, ln_ches (inner products of hidden states).

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a part is damaged.
    """
    models = [run.reference] if model == REFERENCE else choose_models(run, series, model)
    return stacked_nonempty([_ches_of(run, scored) for scored in models], CHES_COLUMNS)


def credit_table(run: Run, *, series: Names = None, model: Names = None, beta: float | None = None) -> pd.DataFrame:
    """Return one row per policy and response with evidence ``kl``: its reward, and the reward expected of the movement.

    Args:
        run: an open run.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        beta: None for the beta of each series.

    Returns:
        Columns: pair_id, side, series, model, step, n_tokens; reward, beta x nats; expected_reward, beta x nats: -beta
        * sum of KL(pi_ref || pi), the mean reward of the reference's tokens along this response; credit, beta x nats:
        reward - expected_reward; credit_variance, (beta x nats)^2; credit_z: credit in standard deviations, see
        ``rewards.centred_credit``.

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a part is damaged.
    """
    settings = LossSettings(beta)
    settings.check(run)
    policies = choose_models(run, series, model)
    frames = [_credits_of(run, policy, settings.beta_of(run.series[policy.series])) for policy in policies]
    return stacked_nonempty(frames, CREDIT_COLUMNS)


def _ches_of(run: Run, model: Model) -> pd.DataFrame:
    table = run.evidence("hidden", model).to_pandas()
    scores, normalised = ches(
        table["chosen_rejected"], table["chosen_chosen"], table["chosen_n_states"], table["rejected_n_states"]
    )
    return _with_columns(table["pair_id"].to_numpy(), model, {"ches": scores, "ln_ches": normalised})[CHES_COLUMNS]


def _credits_of(run: Run, policy: Model, beta: float) -> pd.DataFrame:
    table = run.evidence("kl", policy, columns=["row", "pair_id", "side", "kl_reference_policy", "null_variance"])
    table = table.filter(pa.array(side_indices(table) >= 0))
    side, index = side_indices(table), pair_index(run)
    pair = index.indices(table["row"].to_numpy())
    change = rewards.log_ratio(response_sums(run, policy).logps, response_sums(run, run.reference).logps)[pair, side]
    reward, expected = beta * change, -beta * list_sums(table["kl_reference_policy"])
    variance = rewards.credit_variance(list_sums(table["null_variance"]), beta)
    columns = {
        "side": np.array(SIDES, dtype=object)[side],
        "n_tokens": index.n_tokens[pair, side],
        "reward": reward,
        "expected_reward": expected,
        "credit": reward - expected,
        "credit_variance": variance,
        "credit_z": rewards.credit_z(reward - expected, variance),
    }
    return _with_columns(table["pair_id"].to_pandas().to_numpy(), policy, columns)[CREDIT_COLUMNS]


def _with_columns(pair_ids: NDArray, model: Model, columns: dict[str, Any]) -> pd.DataFrame:
    return with_policy(pd.DataFrame({"pair_id": pair_ids}), model).assign(**columns)

"""What the evidence of a run says, as tables: CHES per pair, and responses beside what the model's movement explains.

Evidence exists of a sample of pairs; those without it have no lines.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from dpo_analysis.arrays.pair_quantities import Setting
from dpo_analysis.arrays.response_sums import inputs, sums
from dpo_analysis.arrays.selection import Names, choose_models
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import list_sums, side_places
from dpo_analysis.schema import REFERENCE, SIDES

CHES_COLUMNS = ["pair_id", "series", "model", "step", "ches", "ln_ches"]
CREDIT_COLUMNS = [
    "pair_id", "side", "series", "model", "step", "n_tokens", "reward", "expected_reward", "credit",
    "credit_variance", "credit_z",
]  # fmt: skip


def ches(
    chosen_rejected: ArrayLike, chosen_chosen: ArrayLike, chosen_n: ArrayLike, rejected_n: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CHES and its length-normalised form, inner products of hidden states, any shape; larger: the pair hits itself.

    With S the sum of the final hidden states that predict a response's tokens (after the final norm, the last prompt
    position first, the last token's own state left out, as the authors' code has it) CHES = <S+, S-> - ||S+||^2 and
    ln-CHES = <S+, S-> / (n+ n-) - ||S+||^2 / n+^2. Compare pairs of one model only. It is exactly 0 where the two
    responses differ in nothing but their last token. Razin et al. 2024, arXiv:2410.08847.

    Args:
        chosen_rejected: <S+, S->.
        chosen_chosen: ||S+||^2.
        chosen_n: states in S+.
        rejected_n: states in S-.
    """
    cross, own, n, k = (
        np.asarray(one, dtype=np.float64) for one in (chosen_rejected, chosen_chosen, chosen_n, rejected_n)
    )
    return cross - own, cross / (n * k) - own / n**2


def ches_table(run: Run, *, series: Names = None, model: Names = None) -> pd.DataFrame:
    """CHES of every pair with evidence, under each policy; ``model="reference"`` for the model before training.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    chosen = [run.reference] if model == REFERENCE else choose_models(run, series, model)
    frames = [_ches_of(run, one) for one in chosen]
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=CHES_COLUMNS)


def _ches_of(run: Run, model: Model) -> pd.DataFrame:
    table = run.evidence("hidden", model).to_pandas()
    whole, normalised = ches(
        table["chosen_rejected"], table["chosen_chosen"], table["chosen_n_states"], table["rejected_n_states"]
    )
    return _named(table["pair_id"].to_numpy(), model).assign(ches=whole, ln_ches=normalised)[CHES_COLUMNS]


def credit_table(run: Run, *, series: Names = None, model: Names = None, beta: float | None = None) -> pd.DataFrame:
    """One row per policy and response with evidence ``kl``: its reward, and what the policy's movement explains of it.

    ``expected_reward`` = -beta * sum of KL(pi_ref || pi): the mean reward of answers that the reference would give,
    along this response; ``credit`` = reward - expected_reward, ``credit_z`` the same in standard deviations (see
    ``rewards.centred_credit``). Rewards in beta x nats.

    Args:
        run: an open run.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        beta: None for each series' own.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    setting = Setting(beta)
    setting.check(run)
    chosen = choose_models(run, series, model)
    frames = [_credits_of(run, one, setting.beta_of(run.series[one.series])) for one in chosen]
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=CREDIT_COLUMNS)


def _credits_of(run: Run, policy: Model, beta: float) -> pd.DataFrame:
    table = run.evidence("kl", policy, columns=["row", "pair_id", "side", "kl_reference_policy", "null_variance"])
    table = table.filter(pa.array(side_places(table) >= 0))
    side = side_places(table)
    known = inputs(run)
    place = np.searchsorted(known.pairs["row"].to_numpy(), table["row"].to_numpy())
    change = rewards.log_ratio(sums(run, policy).logps, sums(run, run.reference).logps)[place, side]
    reward, expected = beta * change, -beta * list_sums(table["kl_reference_policy"])
    variance = rewards.credit_variance(list_sums(table["null_variance"]), beta)
    frame = _named(table["pair_id"].to_pandas().to_numpy(), policy)
    return frame.assign(
        side=np.array(SIDES, dtype=object)[side],
        n_tokens=known.n_tokens[place, side],
        reward=reward,
        expected_reward=expected,
        credit=reward - expected,
        credit_variance=variance,
        credit_z=rewards.credit_z(reward - expected, variance),
    )[CREDIT_COLUMNS]


def _named(pair_ids: NDArray, model: Model) -> pd.DataFrame:
    step = pd.array([model.step] * len(pair_ids), dtype="Int64")
    return pd.DataFrame({"pair_id": pair_ids, "series": model.series, "model": model.name, "step": step})

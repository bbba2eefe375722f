"""Every number of every pair under a policy as arrays: the numbers of the pair table before they become a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import (
    PairIndex,
    ResponseSums,
    counted_pairs,
    pair_index,
    pair_statuses,
    response_sums,
    shared_logps,
)
from dpo_analysis.errors import InputError
from dpo_analysis.numerics import pair_loss, rewards
from dpo_analysis.runs import Model, Run, Series
from dpo_analysis.schema import SIDES

Array = NDArray[np.float64]


class LossSettings(NamedTuple):
    """The beta and the loss of a table; None means those of each series."""

    beta: float | None = None
    loss_type: str | Sequence[str] | None = None

    def check(self, run: Run) -> None:
        """Check that every series of ``run`` has rewards under these settings and, if a loss is set, that loss.

        Raises:
            InputError: beta is not above 0, or the loss is no function of a single pair.
        """
        if self.beta is not None and not self.beta > 0:
            raise InputError(f"bad beta {self.beta}: it must be a number above 0; give the trainer's")
        for series in run.series.values():
            if self.loss_type is None:
                pair_loss.check_loss("sigmoid", self.beta_of(series))
            else:
                pair_loss.check_loss(self.loss_of(series), self.beta_of(series), self._parameters(series))

    def beta_of(self, series: Series) -> float:
        """Return the beta for ``series``."""
        return series.beta if self.beta is None else float(self.beta)

    def loss_of(self, series: Series) -> str | list[str]:
        """Return the name or names of the loss for ``series``."""
        if self.loss_type is None:
            return series.loss_type
        return self.loss_type if isinstance(self.loss_type, str) else list(self.loss_type)

    def loss(self, series: Series, pairs: pair_loss.PairLogps) -> Array:
        """Return the loss of every pair, shape (pairs,), in the unit of its formula.

        NaN where no loss is set and that of the series is no function of a single pair.
        """
        try:
            return pair_loss.loss(
                pairs, beta=self.beta_of(series), loss_type=self.loss_of(series), parameters=self._parameters(series)
            )
        except InputError:
            if self.loss_type is not None:
                raise
            return np.full(len(pairs.chosen), np.nan)

    def _parameters(self, series: Series) -> dict[str, Any]:
        """Return the parameters of the series' loss, without loss_weights for another list of losses."""
        same_loss = self.loss_type is None or self.loss_of(series) == series.loss_type
        return {key: value for key, value in series.parameters.items() if same_loss or key != "loss_weights"}


def pair_quantities(run: Run, policy: Model, settings: LossSettings) -> dict[str, NDArray]:
    """Return the status and every number of every pair under ``policy`` by name, each of shape (pairs,), by row.

    The numbers of the pair table (units in ``schema.PAIR``) and: ``used`` (the pair counts), ``chosen_entropy`` and
    ``rejected_entropy`` (nats, summed over positions), ``noise`` (nats, the run's noise floor of a response; 0 where
    unknown).

    Raises:
        StorageError: a part is damaged.
        InputError: as ``LossSettings.check``.
    """
    index, sums, reference = pair_index(run), response_sums(run, policy), response_sums(run, run.reference)
    series = run.series[policy.series]
    result: dict[str, NDArray] = {"status": pair_statuses(run, policy)}
    result |= _logps(index, sums, reference)
    result |= _rewards(result, settings.beta_of(series))
    result["used"] = counted_pairs(run, policy)
    result["chosen_entropy"], result["rejected_entropy"] = sums.entropy[:, 0], sums.entropy[:, 1]
    logps = _pair_logps(index, sums, reference)
    if series.parameters.get("ld_alpha") is not None:
        logps = replace(logps, shared=_shared(run, policy, result["used"]))
    result["loss"] = settings.loss(series, logps)
    floor = run.noise_floor
    result["noise"] = np.full(len(result["used"]), floor.response if floor else 0.0)
    return result


def _logps(index: PairIndex, sums: ResponseSums, reference: ResponseSums) -> dict[str, Array]:
    return {
        "chosen_logps": sums.logps[:, 0],
        "rejected_logps": sums.logps[:, 1],
        "reference_chosen_logps": reference.logps[:, 0],
        "reference_rejected_logps": reference.logps[:, 1],
        "reference_margin": rewards.margin(reference.logps[:, 0], reference.logps[:, 1]),
        "chosen_n_tokens": index.n_tokens[:, 0],
        "rejected_n_tokens": index.n_tokens[:, 1],
    }


def _rewards(logps: Mapping[str, NDArray], beta: float) -> dict[str, Array]:
    ratios = {side: rewards.log_ratio(logps[f"{side}_logps"], logps[f"reference_{side}_logps"]) for side in SIDES}
    margins = rewards.margin(beta * ratios["chosen"], beta * ratios["rejected"])
    return {
        "chosen_log_ratio": ratios["chosen"],
        "rejected_log_ratio": ratios["rejected"],
        "chosen_reward": beta * ratios["chosen"],
        "rejected_reward": beta * ratios["rejected"],
        "margin": margins,
        "gradient_weight": rewards.gradient_weight(margins),
    }


def _pair_logps(index: PairIndex, sums: ResponseSums, reference: ResponseSums) -> pair_loss.PairLogps:
    return pair_loss.PairLogps(
        chosen=sums.logps[:, 0],
        rejected=sums.logps[:, 1],
        reference_chosen=reference.logps[:, 0],
        reference_rejected=reference.logps[:, 1],
        chosen_n_tokens=index.n_tokens[:, 0],
        rejected_n_tokens=index.n_tokens[:, 1],
    )


def _shared(run: Run, policy: Model, used: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array] | None:
    """Return ``PairLogps.shared``; None where a pair that counts has no stored tokens."""
    logps, reference = shared_logps(run, policy), shared_logps(run, run.reference)
    if np.isnan((logps + reference)[used]).any():
        return None
    return logps[:, 0], logps[:, 1], reference[:, 0], reference[:, 1]

"""Every per-pair quantity of one policy as an array: the numbers of the pair table, before they become a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import Inputs, Sums, counted, inputs, shared_logps, statuses, sums
from dpo_analysis.errors import InputError
from dpo_analysis.numerics import losses, rewards
from dpo_analysis.runs import Model, Run, Series

Array = NDArray[np.float64]


class Setting(NamedTuple):
    """The beta and the loss that a table is made with; None means each series' own."""

    beta: float | None = None
    loss_type: str | Sequence[str] | None = None

    def check(self, run: Run) -> None:
        """Pass when every series of ``run`` has a reward and, where a loss is asked for, that loss.

        Raises:
            InputError: beta is not above 0, or the loss is no function of one pair.
        """
        for series in run.series.values():
            asked = self.loss_type is not None
            losses.check_loss(self.loss_of(series) if asked else "sigmoid", self.beta_of(series), self._facts(series))

    def beta_of(self, series: Series) -> float:
        """The beta to use for ``series``."""
        return series.beta if self.beta is None else float(self.beta)

    def loss_of(self, series: Series) -> str | list[str]:
        """The loss to use for ``series``."""
        if self.loss_type is None:
            return series.loss_type
        return self.loss_type if isinstance(self.loss_type, str) else list(self.loss_type)

    def loss(self, series: Series, pairs: losses.PairLogps) -> Array:
        """The loss of every pair; NaN where the series' own loss is no function of one pair and none was asked for."""
        try:
            return losses.loss(
                pairs, beta=self.beta_of(series), loss_type=self.loss_of(series), parameters=self._parameters(series)
            )
        except InputError:
            if self.loss_type is not None:
                raise
            return np.full(len(pairs.chosen), np.nan)

    def _parameters(self, series: Series) -> dict[str, Any]:
        """The series' parameters; its loss_weights belong to its own list of losses."""
        own = self.loss_type is None or self.loss_of(series) == series.loss_type
        return {key: value for key, value in series.parameters.items() if own or key != "loss_weights"}

    def _facts(self, series: Series) -> dict[str, Any]:
        return {} if self.loss_type is None else self._parameters(series)


def quantities(run: Run, policy: Model, setting: Setting) -> dict[str, NDArray]:
    """Status and every number of every pair under ``policy``, by name, each of shape (pairs,), by row.

    Besides the numbers of the pair table: ``used`` (the pair counts), ``chosen_entropy`` and ``rejected_entropy``
    (nats, summed over positions) and ``noise`` (nats, the run's noise floor of a response; 0 where unknown).

    Raises:
        StorageError: a part is damaged.
        InputError: as ``Setting.check``.
    """
    pairs, own, reference = inputs(run), sums(run, policy), sums(run, run.reference)
    series = run.series[policy.series]
    result: dict[str, NDArray] = {"status": statuses(run, policy)}
    result |= _logps(pairs, own, reference)
    result |= _rewards(result, setting.beta_of(series))
    result["used"] = counted(run, policy)
    result["chosen_entropy"], result["rejected_entropy"] = own.entropy[:, 0], own.entropy[:, 1]
    logps = _pair_logps(pairs, own, reference)
    if series.parameters.get("ld_alpha") is not None:
        logps = replace(logps, shared=_shared(run, policy, result["used"]))
    result["loss"] = setting.loss(series, logps)
    floor = run.noise_floor
    result["noise"] = np.full(len(result["used"]), floor.response if floor else 0.0)
    return result


def _logps(pairs: Inputs, own: Sums, reference: Sums) -> dict[str, Array]:
    return {
        "chosen_logps": own.logps[:, 0],
        "rejected_logps": own.logps[:, 1],
        "reference_chosen_logps": reference.logps[:, 0],
        "reference_rejected_logps": reference.logps[:, 1],
        "reference_margin": rewards.margin(reference.logps[:, 0], reference.logps[:, 1]),
        "chosen_n_tokens": pairs.n_tokens[:, 0],
        "rejected_n_tokens": pairs.n_tokens[:, 1],
    }


def _rewards(logps: Mapping[str, NDArray], beta: float) -> dict[str, Array]:
    ratios = {
        side: rewards.log_ratio(logps[f"{side}_logps"], logps[f"reference_{side}_logps"])
        for side in ("chosen", "rejected")
    }
    margins = rewards.margin(beta * ratios["chosen"], beta * ratios["rejected"])
    return {
        "chosen_log_ratio": ratios["chosen"],
        "rejected_log_ratio": ratios["rejected"],
        "chosen_reward": beta * ratios["chosen"],
        "rejected_reward": beta * ratios["rejected"],
        "margin": margins,
        "gradient_weight": rewards.gradient_weight(margins),
    }


def _pair_logps(pairs: Inputs, own: Sums, reference: Sums) -> losses.PairLogps:
    return losses.PairLogps(
        chosen=own.logps[:, 0],
        rejected=own.logps[:, 1],
        reference_chosen=reference.logps[:, 0],
        reference_rejected=reference.logps[:, 1],
        chosen_n_tokens=pairs.n_tokens[:, 0],
        rejected_n_tokens=pairs.n_tokens[:, 1],
    )


def _shared(run: Run, policy: Model, used: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array] | None:
    """What ``ld_alpha`` needs; None where a pair that counts has no stored tokens."""
    own, reference = shared_logps(run, policy), shared_logps(run, run.reference)
    if np.isnan((own + reference)[used]).any():
        return None
    return own[:, 0], own[:, 1], reference[:, 0], reference[:, 1]

"""Beta and loss of every series: from the caller, its trainer's folder, the run, or DPO's defaults."""

from collections.abc import Mapping, Sequence
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.numerics.losses import REFERENCE_FREE
from dpo_analysis.numerics.pair_loss import check_loss
from dpo_analysis.runs import Series
from dpo_analysis.trainer import Training


def resolve_series(
    name: str, trainings: Sequence[Training], objective: Mapping[str, Any], stored: Series | None
) -> Series:
    """Return the series called ``name`` with its beta and loss.

    Beta, loss_type and parameters are those of the caller, else of its training, else of the run, else DPO's defaults.

    Args:
        name: the series.
        trainings: from ``trainer.find_training``.
        objective: beta, loss_type and parameters from the caller; None where the caller does not say.
        stored: the same series in an existing run folder.

    Raises:
        InputError: a loss without a reference or with a moving one, or an unknown loss.
    """
    training = next((training for training in trainings if training.series == name), None)
    recorded = {key: _recorded(key, training, stored) for key in ("beta", "loss_type", "parameters", "logged_logps")}
    from_caller = {key: value for key, value in objective.items() if value is not None}
    parameters = dict(recorded.pop("parameters") or {})
    if from_caller.get("loss_type", recorded["loss_type"]) != recorded["loss_type"]:
        parameters.pop("loss_weights", None)  # they belong to another list of losses
    parameters |= dict(from_caller.pop("parameters", {}))
    values = {key: value for key, value in (recorded | from_caller).items() if value is not None}
    if from_caller.get("beta") == 0:
        raise InputError(f"bad beta 0 for series {name!r}: it must be above 0; give the trainer's")
    series = Series(name, parameters=parameters, **values)
    check_objective(series)
    return series


def beta_sources(series: Sequence[Series], trainings: Sequence[Training], stored: Mapping[str, Series]) -> list[str]:
    """Return where each beta comes from that neither the caller nor a training's files or log give.

    Args:
        series: the series of this command.
        trainings: from ``trainer.find_training``.
        stored: the series of an existing run folder, by name.
    """
    with_training = {one.series for one in trainings if one.beta is not None or one.log_path is not None}
    lines: dict[tuple[str, float], list[str]] = {}
    for one in series:
        if one.name not in with_training:
            lines.setdefault(("run" if one.name in stored else "default", one.beta), []).append(one.name)
    return [_beta_source(kind, beta, ", ".join(names)) for (kind, beta), names in lines.items()]


def _beta_source(kind: str, beta: float, names: str) -> str:
    if kind == "run":
        return f"beta {beta:g} of {names} is the one that the run folder had before"
    return f"beta {beta:g} is assumed for {names}, DPO's default; give the trainer's as --beta"


def _recorded(key: str, training: Training | None, stored: Series | None) -> Any:
    """Return what a trainer's folder says, else the run; a beta of 0 is said, an empty value is not."""
    value = getattr(training, key, None)
    return value if value or (key == "beta" and value is not None) else getattr(stored, key, None)


def check_objective(series: Series) -> None:
    """Refuse a loss that single pairs do not have, and one whose rewards cannot be computed from saved checkpoints.

    WPO's weights (use_weighting) change the loss alone, so its rewards can be scored.
    """
    names = [series.loss_type] if isinstance(series.loss_type, str) else series.loss_type
    reference_free = next((name for name in names if name in REFERENCE_FREE), None)
    if reference_free or series.parameters.get("reference_free"):
        raise InputError(
            f"loss {reference_free or names[0]!r} of series {series.name}: it is trained without a reference, so there "
            f"is no implicit reward to score; only DPO's own losses have one"
        )
    if series.parameters.get("sync_ref_model"):
        raise InputError(
            f"moving reference (sync_ref_model) in series {series.name}: it was not saved, so its rewards cannot be "
            f"computed again; only runs with a fixed reference can be scored"
        )
    check_loss(names, series.beta, {key: value for key, value in series.parameters.items() if key != "use_weighting"})

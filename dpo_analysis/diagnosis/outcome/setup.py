"""What the run folder says about how a series was trained, as far as it may explain that no response moved."""

import math
from dataclasses import dataclass

from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.trainer_log import logged_curves


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """Settings and logged values of a training run, up to one checkpoint.

    Attributes:
        beta: beta of the series; 0 means that the loss has no gradient.
        learning_rate: highest logged learning rate; NaN where none is logged.
        gradient_norm: highest logged norm of the gradient; NaN where none is logged.
        same_weights: the checkpoint has exactly the weights of the reference.
    """

    beta: float = math.nan
    learning_rate: float = math.nan
    gradient_norm: float = math.nan
    same_weights: bool = False


def read_setup(run: Run, model: Model) -> TrainingSetup:
    """Return how the series of a checkpoint was trained.

    Raises:
        StorageError: a file is damaged.
    """
    log = logged_curves(run)
    log = log[(log["series"] == model.series) & (log["step"] <= (model.step or math.inf))] if len(log) else log
    highest = log.groupby("metric")["value"].max() if len(log) else {}
    return TrainingSetup(
        beta=run.series[model.series].beta,
        learning_rate=float(highest.get("learning_rate", math.nan)),
        gradient_norm=float(highest.get("grad_norm", math.nan)),
        same_weights=bool(model.weights) and model.weights == run.reference.weights,
    )

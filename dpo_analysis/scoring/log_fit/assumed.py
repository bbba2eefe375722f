"""Settings of the tokens that no file says: the trainer's log decides them before anything is scored."""

import dataclasses
from typing import Any

import numpy as np

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.arguments import ScoreArguments
from dpo_analysis.scoring.inputs import ScoringInputs, prepare_inputs
from dpo_analysis.scoring.log_fit.alternatives import Alternative
from dpo_analysis.scoring.log_fit.fit import CLEARLY
from dpo_analysis.scoring.log_fit.logged_means import LOGPS, LoggedPoint, farthest, is_exact, points_of
from dpo_analysis.scoring.log_fit.tries import Setup, first_fit, policy_means
from dpo_analysis.scoring.models.settings import ScoringSettings
from dpo_analysis.trainer import Training, read_log

DECIDED_BY_LOG = ("tokenization", "template")
"""Settings that are taken from the log where no file says them."""


def settle_assumptions(
    arguments: ScoreArguments, inputs: ScoringInputs, settings: ScoringSettings
) -> tuple[ScoreArguments, ScoringInputs]:
    """Return the arguments and inputs with the tokenization and template by which a trainer's log fits.

    Only what no file says and the caller leaves open is decided, and only where exactly one training is scored. Without
    a log, or where the assumption fits it, or where nothing does, everything stays as it is.

    Raises:
        InputError: an input cannot be used with the settings that were found.
    """
    if len(inputs.trainings) != 1 or len(inputs.model_set.series) != 1:
        return arguments, inputs
    training = inputs.trainings[0]
    is_open = [name for name in DECIDED_BY_LOG if _is_assumed(training, name) and getattr(arguments, name) is None]
    point = _last_point(training, inputs, settings) if is_open else None
    if point is None:
        return arguments, inputs
    logged = np.array([point.logged[name] for name in LOGPS])
    sources = settings.loadable(inputs.model_set.models, lambda line: None)
    setup = Setup.of(arguments, inputs, sources, settings.batch_tokens)
    if not _differs(setup, point, logged):
        return arguments, inputs
    found, _ = first_fit(training, setup, point, logged)
    if found is None or found.setting not in DECIDED_BY_LOG:
        return arguments, inputs
    return _with_found(arguments, training, found)


def _is_assumed(training: Training, name: str) -> bool:
    return training.sources.get(name, "").startswith("assumed")


def _last_point(training: Training, inputs: ScoringInputs, settings: ScoringSettings) -> LoggedPoint | None:
    """Return the last evaluation of a checkpoint in the log that has log-probs of as many pairs; None without one."""
    if training.log_path is None:
        return None
    try:
        curves = read_log(training.log_path, series=training.series)
    except InputError:
        return None
    series, models = inputs.model_set.series[0], [one.model for one in inputs.model_set.policies]
    sizes: dict[str, tuple[int, int]] = {}
    for pair in inputs.tokenized:
        used, all_pairs = sizes.get(pair.pair.split, (0, 0))
        sizes[pair.pair.split] = used + bool(pair.responses), all_pairs + 1
    exact = is_exact(series.parameters, {"dtype": settings.dtype, "numerics": settings.numerics})
    points = points_of(curves, series, models, sizes, exact=exact)
    usable = [point for point in points if set(LOGPS) <= point.logged.keys() and point.same_pairs is not False]
    return usable[-1] if usable else None


def _differs(setup: Setup, point: LoggedPoint, logged: np.ndarray) -> bool:
    """Return whether the log does not fit the settings that were assumed."""
    source = next(one for one in setup.sources if one.model.key == point.model.key)
    pairs = [pair for pair in setup.tokenized if pair.pair.split == point.split and pair.responses]
    with source.open() as scorer:
        values = policy_means(scorer, pairs, point, setup.batch_tokens)
    return farthest(values, logged, exact=point.exact) > (1 if point.exact else CLEARLY)


def _with_found(
    arguments: ScoreArguments, training: Training, found: Alternative
) -> tuple[ScoreArguments, ScoringInputs]:
    """Return arguments and inputs with the setting that fits, and a note that says so."""
    value: Any = found.settings[found.setting]
    sources = training.sources | {found.setting: f"from the log: with {found.value} it fits, and not without"}
    settled = dataclasses.replace(training, sources=sources, **{found.setting: value})
    arguments = dataclasses.replace(arguments, trainer_outputs=[settled])
    inputs = prepare_inputs(arguments)
    note = (
        f"{found.setting} of {training.series} is {found.value}: no file says it, but with it our log-probs fit the "
        f"training log, and with the assumption they do not"
    )
    return arguments, dataclasses.replace(inputs, notes=[*inputs.notes, note])

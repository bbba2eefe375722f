"""After scoring: every series is held against its trainer's log, and the answer is kept in the run's log."""

import dataclasses
from collections.abc import Sequence

from dpo_analysis.runs import Run, RunWriter, open_run
from dpo_analysis.scoring.arguments import ScoreArguments
from dpo_analysis.scoring.inputs import ScoringInputs
from dpo_analysis.scoring.log_fit.fit import AGREES, FITS, NO_FIT, OTHER_PAIRS, REFERENCE, LogFit, fit_log
from dpo_analysis.scoring.log_fit.tries import Setup
from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.score_writer import log_note
from dpo_analysis.trainer import Training

EVENT = "log_fit"
CHANGES_NO_SCORE = ("beta", "logged_logps")
"""Settings that are applied to the scores of a run later."""


def judge_by_log(
    writer: RunWriter,
    arguments: ScoreArguments,
    inputs: ScoringInputs,
    sources: Sequence[ModelSource],
    batch_tokens: int,
) -> None:
    """Hold every series of this command against its log; a beta that only the log tells is stored in the run.

    Nothing happens while parts are missing. Where training or scoring used 16 bits, more may differ by rounding.

    Raises:
        StorageError: the log or a part is damaged, or the disk refuses.
    """
    run = open_run(writer.path)
    if not run.is_complete:
        return
    trainings = {training.series: training for training in inputs.trainings}
    setup = Setup.of(arguments, inputs, sources, batch_tokens)
    for series in inputs.model_set.series:
        training = trainings.get(series.name)
        known = arguments.beta is not None or training is None or training.beta is not None
        fit = fit_log(run, series.name, training, setup, beta_is_known=known)
        if not known:
            _store_beta(writer, run, series.name, fit)
        writer.log(EVENT, series=series.name, **dataclasses.asdict(fit))
        # An assumption under which the log fits needs no word.
        assumed = [] if fit.outcome in (AGREES, FITS) and fit.logged else inputs.assumptions.get(series.name, [])
        for line in (*fit_lines(series.name, fit, training, beta_is_known=known), *assumed):
            log_note(writer, line)


def _store_beta(writer: RunWriter, run: Run, series: str, fit: LogFit) -> None:
    """Put the beta that the log tells into the manifest, in place of the default that was there until now."""
    if fit.beta is not None and fit.beta != run.series[series].beta:
        writer.correct_series([dataclasses.replace(run.series[series], beta=fit.beta)], ("beta",))


def fit_lines(series: str, fit: LogFit, training: Training | None, *, beta_is_known: bool = True) -> list[str]:
    """Return what a person must know of a fit: that the log fits, the setting by which it would, or that none does.

    Args:
        series: the series.
        fit: how it fits its log.
        training: what its trainer's folder says; None without one.
        beta_is_known: whether beta is given or recorded.
    """
    where = f"step {fit.step}, {fit.split}"
    assumed = (
        [] if beta_is_known or fit.beta is not None else [f"beta of {series} is not known: 0.1 is assumed; give --beta"]
    )
    if fit.outcome == AGREES and fit.beta is not None:
        solved = f"beta of {series} is {fit.value}: solved from the training log, which our values then fit ({where})"
        return [f"{solved}; as an option --beta {fit.beta:g}"]
    if fit.outcome == AGREES:
        how = "to four digits" if fit.exact else "within the rounding of 16 bits"
        return [f"our values of {series} fit its training log {how} (up to {where})", *assumed]
    if fit.outcome == FITS:
        again = "run the same command" if fit.setting in CHANGES_NO_SCORE else "score again into a new folder"
        name = "" if fit.setting in ("bos", "eos") else f"{fit.setting.replace('_', ' ')} "
        fits = f"the training log of {series} fits {name}{fit.value} ({where}), unlike this run"
        return [f"{fits}: {again} with {fit.option}"]
    if fit.outcome == REFERENCE:
        return [
            f"the training log of {series} fits our log-probs, but its rewards fit no beta ({where}): training had "
            "another reference; give it as --reference",
            *assumed,
        ]
    return [*_unfit_lines(series, fit, where), *assumed]


def _unfit_lines(series: str, fit: LogFit, where: str) -> list[str]:
    """Return what a person must know of a log that fits no setting that was tried, or was not compared."""
    if fit.outcome == NO_FIT and not fit.logged:
        return [
            f"the training log of {series} does not fit ({where}): its share of won pairs or its loss differs; the "
            "trainer evaluated other pairs, or a setting differs, such as max_length or the template"
        ]
    if fit.outcome == NO_FIT:
        tried = f", and {fit.n_tried} other settings were tried" if fit.n_tried else ""
        return [
            f"the training log of {series} does not fit: its chosen log-prob is {fit.logged[0]:.4f}, ours is "
            f"{fit.recomputed[0]:.4f} ({where}){tried}; the trainer evaluated other pairs, or a setting differs that "
            "was not tried"
        ]
    if fit.outcome == OTHER_PAIRS and fit.logged:
        return [
            f"the trainer of {series} most likely evaluated other pairs, so its log is not compared: it differs by no "
            f"more than two samples of pairs do ({where}: logged chosen log-prob {fit.logged[0]:.4f}, ours "
            f"{fit.recomputed[0]:.4f})"
        ]
    if fit.outcome == OTHER_PAIRS:
        return [
            f"the trainer of {series} evaluated another number of pairs than {fit.split} has: its log is not compared"
        ]
    return []

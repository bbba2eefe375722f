"""Why did the chosen reward fall? The whole diagnosis of one series on one split, from checks to open questions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.checks import Check, run_checks
from dpo_analysis.diagnosis.fall_detection import detect_fall
from dpo_analysis.diagnosis.fall_statistics import compute_statistics
from dpo_analysis.diagnosis.findings import (
    LIKELY,
    POSSIBLE,
    VERDICTS,
    Diagnosis,
    Finding,
    Measurement,
    OpenQuestion,
)
from dpo_analysis.diagnosis.influence_verdict import GROUP_OF_CAUSE, InfluenceVerdict, read_influence_verdict
from dpo_analysis.diagnosis.ledger.bigram_counts import TRAIN_SPLIT, BigramCounts
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.ledger.reader import read_ledger
from dpo_analysis.diagnosis.ledger.top_bigrams import find_top_bigrams
from dpo_analysis.diagnosis.outcome.answer import SETUP_CAUSES, find_answer
from dpo_analysis.diagnosis.outcome.harm import judge_harm
from dpo_analysis.diagnosis.outcome.harm_signs import read_harm_signs
from dpo_analysis.diagnosis.outcome.limits import limit_findings
from dpo_analysis.diagnosis.outcome.outcome import read_outcome
from dpo_analysis.diagnosis.outcome.training_pairs import read_training_pairs
from dpo_analysis.diagnosis.outcome.why import PULL_CAUSES
from dpo_analysis.diagnosis.phrases.example import find_example
from dpo_analysis.diagnosis.phrases.phrase import Example
from dpo_analysis.diagnosis.phrases.phrases import find_phrases
from dpo_analysis.diagnosis.phrases.replacement import find_replacement
from dpo_analysis.diagnosis.probe_findings import read_probe_findings
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios, default_split
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import TOO_LATE_NATS
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.steps import step_table
from dpo_analysis.text.numbers import fixed

METRICS_AT_END = (
    *("chosen_drift", "rejected_drift", "chosen_reward", "rejected_reward"),
    *("margin", "accuracy", "ranking_accuracy", "loss"),
)
"""Metrics of the last checkpoint that a diagnosis shows."""


def diagnose(
    run: Run,
    *,
    series: str | None = None,
    split: str | None = None,
    model: str | None = None,
    beta: float | None = None,
    loss_type: str | None = None,
    checks: Sequence[Check] | None = None,
) -> Diagnosis:
    """Return what explains the fall of the chosen responses in one series, as far as the run shows it.

    Args:
        run: an open run.
        series: a series; None for the one whose chosen responses end lowest.
        split: split of the pairs; None for ``eval`` where the run has it, else its first.
        model: name of the checkpoint shown, or SERIES/NAME: the fall is measured there, and later checkpoints are not
            looked at. None for the last that is scored.
        beta: beta of the rewards shown; None for the series' own. The fall is in nats and does not depend on it.
        loss_type: formula of the loss shown; None for the series' own.
        checks: the checks of the run, if they were made already.

    Raises:
        InputError: the run has no such series, checkpoint or split, or nothing is scored yet.
        StorageError: a part is damaged.
    """
    run.check_pairs("diagnose")
    split = split or default_split(run)
    log_ratios = choose_log_ratios(run, series=series, split=split, model=model)
    at_end = metrics_at_end(run, log_ratios.models[-1], split, beta=beta, loss_type=loss_type)
    return _diagnose_series(run, log_ratios, split, at_end, run_checks(run) if checks is None else checks)


def choose_log_ratios(run: Run, *, series: str | None, split: str, model: str | None) -> SeriesLogRatios:
    """Return the log-ratios of the series that ``diagnose`` speaks of; the last of its models is the checkpoint shown.

    Arguments and errors as in ``diagnose``.
    """
    if model is not None and series is None:
        of_name = [known.series for known in run.models if model in (known.key, known.name)]
        series = of_name[0] if len(of_name) == 1 else run.model(model).series
    candidates = [SeriesLogRatios(run, name, split, model) for name in ([series] if series else run.series)]
    candidates = [log_ratios for log_ratios in candidates if log_ratios.models]
    if not candidates:
        raise _nothing_scored(run)
    return min(candidates, key=lambda candidate: np.nan_to_num(candidate.means[-1], nan=np.inf))


def metrics_at_end(
    run: Run, model: Model, split: str, *, beta: float | None = None, loss_type: str | None = None
) -> dict[str, float]:
    """Return ``METRICS_AT_END`` of one policy on one split, by name; units as in ``step_table``."""
    table = step_table(run, series=model.series, model=model.name, split=split, beta=beta, loss_type=loss_type)
    return {name: float(table[name].iloc[-1]) for name in METRICS_AT_END}


def diagnose_all(
    run: Run, *, split: str | None = None, beta: float | None = None, loss_type: str | None = None
) -> list[Diagnosis]:
    """Return a diagnosis of every series that has a scored checkpoint, the one that ends lowest first.

    Arguments and errors as in ``diagnose``.
    """
    run.check_pairs("diagnose")
    checks = run_checks(run)
    names = scored_series(run)
    if not names:
        raise _nothing_scored(run)
    diagnoses = [
        diagnose(run, series=name, split=split, beta=beta, loss_type=loss_type, checks=checks) for name in names
    ]
    return sorted(diagnoses, key=lambda diagnosis: np.nan_to_num(diagnosis.at_end["chosen_drift"], nan=np.inf))


def scored_series(run: Run) -> list[str]:
    """Return the series that have a checkpoint with a scored part."""
    return [name for name in run.series if any(model.series == name and run.parts_done(model) for model in run.models)]


def _nothing_scored(run: Run) -> InputError:
    return InputError(f"nothing to diagnose in {run.path}: no checkpoint is scored yet; run the score command again")


def read_symptoms(run: Run, log_ratios: SeriesLogRatios, split: str, checks: Sequence[Check]) -> Symptoms:
    """Return what the causes of one series are judged by at the first checkpoint that can be read.

    Args:
        run: an open run.
        log_ratios: the log-ratios of the series on the split, with at least one checkpoint.
        split: split of the pairs.
        checks: the checks of the run.

    Raises:
        StorageError: a part is damaged.
    """
    return read_both_ends(run, log_ratios, split, checks)[0]


def read_both_ends(
    run: Run, log_ratios: SeriesLogRatios, split: str, checks: Sequence[Check]
) -> tuple[Symptoms, Symptoms]:
    """Return the symptoms of the first checkpoint that can be read and of the checkpoint shown, the last.

    Twice the same object where both are the same checkpoint, or where no decline is established. Arguments and errors
    as in ``read_symptoms``.
    """
    last = len(log_ratios.models) - 1
    training = read_training_pairs(run, log_ratios.models[last], split)
    none = Symptoms(detect_fall(log_ratios), log_ratios, None, checks, None, None, {}, training)
    if not log_ratios.established:
        return none, none
    bigrams = BigramCounts(run, TRAIN_SPLIT if TRAIN_SPLIT in run.splits else split, split)
    ledgers = ((index, read_ledger(run, log_ratios, index, bigrams)) for index in log_ratios.readable)
    index, ledger = next(((index, read) for index, read in ledgers if read is not None), (log_ratios.readable[0], None))
    ledger = ledger or read_ledger(run, log_ratios, index, bigrams, without_evidence=True)
    last_ledger = ledger if index == last else read_ledger(run, log_ratios, last, bigrams)
    last_ledger = last_ledger or read_ledger(run, log_ratios, last, bigrams, without_evidence=True)
    first = _with_statistics(none, run, index, ledger, last_ledger)
    return first, first if index == last else _with_statistics(none, run, last, last_ledger, last_ledger)


def _with_statistics(none: Symptoms, run: Run, index: int, ledger: Ledger | None, last: Ledger | None) -> Symptoms:
    """Return the symptoms of the checkpoint at ``index``; ``last`` is the ledger of the last checkpoint."""
    log_ratios = none.log_ratios
    statistics = compute_statistics(run, log_ratios, index, ledger, last)
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices]) if ledger and ledger.has_evidence else {}
    return replace(none, index=index, statistics=statistics, ledger=ledger, shares=shares)


def _diagnose_series(
    run: Run, log_ratios: SeriesLogRatios, split: str, at_end: dict[str, float], checks: Sequence[Check]
) -> Diagnosis:
    symptoms, shown = read_both_ends(run, log_ratios, split, checks)
    statistics, ledger, last = symptoms.statistics, symptoms.ledger, log_ratios.models[-1]
    influence = read_influence_verdict(run, last.series, split) if statistics else None
    later = [] if shown is symptoms else _find_all(shown)
    findings = limit_findings(_find_all(symptoms), symptoms, shown, later)
    findings = _ordered(
        [_with_influence(finding, influence) for finding in findings], next(iter(symptoms.directions), "")
    )
    differs = shown is not symptoms
    return Diagnosis(
        series=last.series,
        split=split,
        fall=symptoms.fall,
        checkpoint_used=log_ratios.models[symptoms.index].key if symptoms.index is not None else "",
        checkpoint_shown=last.key,
        answer=find_answer(read_outcome(run, shown, split, findings)),
        harm=judge_harm(read_harm_signs(run, last, split, _no_data(shown))),
        shares=symptoms.shares,
        findings=findings,
        open=_notes_on_log(checks)
        + _open_questions(run, symptoms, split, to_confirm=influence is None and _can_be_confirmed(findings)),
        numbers=statistics.to_json() if statistics else {},
        at_end=at_end,
        probes=read_probe_findings(run, last),
        patterns=find_top_bigrams(run, ledger) if ledger and symptoms.has_evidence else [],
        phrases=find_phrases(run, shown.ledger) if shown.ledger else [],
        phrases_used=find_phrases(run, ledger) if differs and ledger else [],
        counted_split=ledger.bigrams.split if ledger else "",
        example=_example(run, shown),
        moved_to=_moved_to(run, ledger, findings),
        shares_shown=shown.shares if differs else {},
        numbers_shown=shown.statistics.to_json() if differs and shown.statistics else {},
    )


def _example(run: Run, symptoms: Symptoms) -> Example | None:
    if symptoms.ledger is None:
        return None
    return find_example(run, symptoms.ledger, symptoms.log_ratios.pair_ids[symptoms.ledger.pair_indices])


def _moved_to(run: Run, ledger: Ledger | None, findings: Sequence[Finding]) -> str:
    """Return what the model moved to at the place of the first likely or possible pull; empty for none."""
    pulls = [finding for finding in findings if finding.cause in PULL_CAUSES and finding.verdict in (LIKELY, POSSIBLE)]
    return find_replacement(run, ledger, pulls[0].where) if pulls and ledger else ""


def _no_data(symptoms: Symptoms) -> float:
    """Return the share of the lost log-prob that went to tokens in none of the texts; NaN where it is not known."""
    return symptoms.statistics.no_data if symptoms.statistics else float("nan")


def _find_all(symptoms: Symptoms) -> list[Finding]:
    """Return the findings of every cause.

    Raises:
        RuntimeError: no cause is loaded, so that an established fall would be left without any answer.
    """
    causes = every_cause()
    if not causes:
        raise RuntimeError("no cause of a fall is loaded: the package is incomplete; install dpo-analysis again")
    return [finding for find in causes.values() for finding in find(symptoms)]


def _with_influence(finding: Finding, influence: InfluenceVerdict | None) -> Finding:
    """Return the finding with the measured influence, as a likely intervention where its group was confirmed."""
    if influence is None or finding.verdict not in (LIKELY, POSSIBLE) or finding.cause not in GROUP_OF_CAUSE:
        return finding
    finding = replace(finding, measured=Measurement(influence.key, influence.values))
    return replace(finding, verdict=LIKELY, certainty="intervention") if influence.confirms(finding.cause) else finding


def _can_be_confirmed(findings: Sequence[Finding]) -> bool:
    return any(finding.verdict in (LIKELY, POSSIBLE) and finding.cause in GROUP_OF_CAUSE for finding in findings)


def _ordered(findings: list[Finding], main_region: str) -> list[Finding]:
    """Return the findings, the gravest verdict first; of equal ones those about the main region of the loss come first.

    Where the setup or the columns are likely wrong, no other cause is more than possible.
    """
    setup = [finding.cause for finding in findings if finding.cause in SETUP_CAUSES and finding.verdict == LIKELY]
    if setup:
        findings = [
            replace(finding, verdict=POSSIBLE)
            if finding.verdict == LIKELY and finding.cause not in SETUP_CAUSES
            else finding
            for finding in findings
        ]
    elsewhere = {finding.where for finding in findings} - {"", main_region}
    return sorted(findings, key=lambda finding: (VERDICTS.index(finding.verdict), finding.where in elsewhere))


def _notes_on_log(checks: Sequence[Check]) -> list[OpenQuestion]:
    """Return that the check of the trainer's log was skipped, or left values out, where it did."""
    notes = []
    for check in checks:
        keys = [check.key] if check.key == "checks.logged.others" else []
        keys += [key for key in check.notes if key == "checks.logged.not_finite"]
        values = {name: f"metric.{value}" if name == "metric" else str(value) for name, value in check.values.items()}
        notes += [OpenQuestion(key, values) for key in keys]
    return notes


def _open_questions(run: Run, symptoms: Symptoms, split: str, *, to_confirm: bool) -> list[OpenQuestion]:
    """Return what this run cannot answer, and how to find out; ``to_confirm``: a cause can be and was not confirmed."""
    statistics = symptoms.statistics
    if statistics is None:
        return []
    if not run.has_tokens:
        return [OpenQuestion("diagnosis.open.tokens", {}, "dpo-analysis score PAIRS ... --out OTHER")]
    questions = []
    score = f"dpo-analysis score ... --out {run.path}"
    if not symptoms.has_evidence:
        questions.append(OpenQuestion("diagnosis.open.evidence", {}, f"{score} --evidence fallen"))
    if to_confirm and TRAIN_SPLIT in run.splits:
        command = f"{score.replace('...', f'{TRAIN_SPLIT}=PAIRS ...')} --confirm"
        questions.append(OpenQuestion("diagnosis.open.confirm", {}, command))
    if np.isnan(statistics.rise):
        questions.append(OpenQuestion("diagnosis.open.beginning"))
    too_late = TOO_LATE_NATS * symptoms.log_ratios.mean_scale
    if symptoms.index == 0 and statistics.lost > too_late:
        values = {"lost": fixed(statistics.lost), "most": fixed(too_late, 0)}
        questions.append(OpenQuestion("diagnosis.open.too_late", values))
    if TRAIN_SPLIT not in run.splits:
        command = f"dpo-analysis score {TRAIN_SPLIT}=PAIRS ... --out OTHER"
        questions.append(OpenQuestion("diagnosis.open.train", {"split": split}, command))
    return questions

"""Why did the chosen reward fall? The whole diagnosis of one series on one split, from checks to open questions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.checks import Check, run_checks
from dpo_analysis.diagnosis.fall_detection import detect_fall
from dpo_analysis.diagnosis.fall_statistics import FallStatistics, compute_statistics
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
from dpo_analysis.diagnosis.probe_findings import read_probe_findings
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios, default_split
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import TOO_LATE_NATS
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.steps import step_table
from dpo_analysis.text.numbers import fixed

METRICS_AT_END = ("chosen_drift", "chosen_reward", "rejected_reward", "margin", "accuracy", "ranking_accuracy", "loss")
"""Metrics of the last checkpoint that a diagnosis shows."""


def diagnose(
    run: Run,
    *,
    series: str | None = None,
    split: str | None = None,
    beta: float | None = None,
    loss_type: str | None = None,
    checks: Sequence[Check] | None = None,
) -> Diagnosis:
    """Return what explains the fall of the chosen responses in one series, as far as the run shows it.

    Args:
        run: an open run.
        series: a series; None for the one whose chosen responses end lowest.
        split: split of the pairs; None for ``eval`` where the run has it, else its first.
        beta: beta of the rewards shown; None for the series' own. The fall is in nats and does not depend on it.
        loss_type: formula of the loss shown; None for the series' own.
        checks: the checks of the run, if they were made already.

    Raises:
        InputError: the run has no such series or split, or nothing is scored yet.
        StorageError: a part is damaged.
    """
    split = split or default_split(run)
    candidates = [SeriesLogRatios(run, name, split) for name in ([series] if series else run.series)]
    candidates = [log_ratios for log_ratios in candidates if log_ratios.models]
    if not candidates:
        raise _nothing_scored(run)
    log_ratios = min(candidates, key=lambda candidate: np.nan_to_num(candidate.means[-1], nan=np.inf))
    at_end = metrics_at_end(run, log_ratios.models[-1], split, beta=beta, loss_type=loss_type)
    return _diagnose_series(run, log_ratios, split, at_end, run_checks(run) if checks is None else checks)


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
    """Return everything that the causes of one series are judged by.

    Args:
        run: an open run.
        log_ratios: the log-ratios of the series on the split, with at least one checkpoint.
        split: split of the pairs.
        checks: the checks of the run.

    Raises:
        StorageError: a part is damaged.
    """
    fall = detect_fall(log_ratios)
    if not log_ratios.established:
        return Symptoms(fall, log_ratios, None, checks, None, None, {})
    index, ledger, statistics = _read_checkpoint(run, log_ratios, split)
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices]) if ledger else {}
    return Symptoms(fall, log_ratios, index, checks, statistics, ledger, shares)


def _read_checkpoint(run: Run, log_ratios: SeriesLogRatios, split: str) -> tuple[int, Ledger | None, FallStatistics]:
    """Return the index of the first readable checkpoint with evidence, its ledger and its statistics."""
    bigrams = BigramCounts(run, TRAIN_SPLIT if TRAIN_SPLIT in run.splits else split)
    for index in log_ratios.readable:
        ledger = read_ledger(run, log_ratios, index, bigrams)
        if ledger is not None:
            last = len(log_ratios.models) - 1
            last_ledger = ledger if index == last else read_ledger(run, log_ratios, last, bigrams)
            return index, ledger, compute_statistics(run, log_ratios, index, ledger, last_ledger)
    first = log_ratios.readable[0]
    return first, None, compute_statistics(run, log_ratios, first, None)


def _diagnose_series(
    run: Run, log_ratios: SeriesLogRatios, split: str, at_end: dict[str, float], checks: Sequence[Check]
) -> Diagnosis:
    symptoms = read_symptoms(run, log_ratios, split, checks)
    statistics, ledger, last = symptoms.statistics, symptoms.ledger, log_ratios.models[-1]
    influence = read_influence_verdict(run, last.series, split) if statistics else None
    findings = [finding for find in every_cause().values() for finding in find(symptoms)]
    findings = _ordered([_with_influence(finding, influence) for finding in findings])
    return Diagnosis(
        series=last.series,
        split=split,
        fall=symptoms.fall,
        checkpoint_used=log_ratios.models[symptoms.index].key if symptoms.index is not None else "",
        shares=symptoms.shares,
        findings=findings,
        open=_open_questions(run, symptoms, split, to_confirm=influence is None and _can_be_confirmed(findings)),
        numbers=statistics.to_json() if statistics else {},
        at_end=at_end,
        probes=read_probe_findings(run, last),
        patterns=find_top_bigrams(run, ledger) if ledger else [],
    )


def _with_influence(finding: Finding, influence: InfluenceVerdict | None) -> Finding:
    """Return the finding with the measured influence, as a likely intervention where its group was confirmed."""
    if influence is None or finding.verdict not in (LIKELY, POSSIBLE) or finding.cause not in GROUP_OF_CAUSE:
        return finding
    finding = replace(finding, measured=Measurement(influence.key, influence.values))
    return replace(finding, verdict=LIKELY, certainty="intervention") if influence.confirms(finding.cause) else finding


def _can_be_confirmed(findings: Sequence[Finding]) -> bool:
    return any(finding.verdict == LIKELY and finding.cause in GROUP_OF_CAUSE for finding in findings)


def _ordered(findings: list[Finding]) -> list[Finding]:
    """Return the findings, the gravest verdict first.

    Where the setup is likely wrong, no other cause is more than possible.
    """
    if any(finding.cause == "artefact" and finding.verdict == LIKELY for finding in findings):
        findings = [
            replace(finding, verdict=POSSIBLE) if finding.verdict == LIKELY and finding.cause != "artefact" else finding
            for finding in findings
        ]
    return sorted(findings, key=lambda finding: VERDICTS.index(finding.verdict))


def _open_questions(run: Run, symptoms: Symptoms, split: str, *, to_confirm: bool) -> list[OpenQuestion]:
    """Return what this run cannot answer, and how to find out; ``to_confirm``: a cause can be and was not confirmed."""
    statistics = symptoms.statistics
    if statistics is None:
        return []
    if not run.has_tokens:
        return [OpenQuestion("diagnosis.open.tokens", {}, "dpo-analysis score PAIRS ... --out OTHER")]
    questions = []
    score = f"dpo-analysis score ... --out {run.path}"
    if symptoms.ledger is None:
        questions.append(OpenQuestion("diagnosis.open.evidence", {}, f"{score} --evidence fallen"))
    if to_confirm and TRAIN_SPLIT in run.splits:
        command = f"{score.replace('...', f'{TRAIN_SPLIT}=PAIRS ...')} --confirm"
        questions.append(OpenQuestion("diagnosis.open.confirm", {}, command))
    if np.isnan(statistics.rise):
        questions.append(OpenQuestion("diagnosis.open.beginning"))
    if symptoms.index == 0 and statistics.lost > TOO_LATE_NATS:
        values = {"lost": fixed(statistics.lost), "most": fixed(TOO_LATE_NATS, 0)}
        questions.append(OpenQuestion("diagnosis.open.too_late", values))
    if TRAIN_SPLIT not in run.splits:
        command = f"dpo-analysis score {TRAIN_SPLIT}=PAIRS ... --out OTHER"
        questions.append(OpenQuestion("diagnosis.open.train", {"split": split}, command))
    return questions

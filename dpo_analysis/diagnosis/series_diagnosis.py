"""Why did the chosen reward fall? The whole diagnosis of one series on one split, from checks to open questions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.checks import Check, run_checks
from dpo_analysis.diagnosis.fall_detection import Path, find_fall
from dpo_analysis.diagnosis.fall_statistics import Signals, signals
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, VERDICTS, Diagnosis, Finding, Measured, Open
from dpo_analysis.diagnosis.influence_verdict import CAUSES, Confirmation, confirmed
from dpo_analysis.diagnosis.ledger.bigram_counts import TRAIN, Contexts
from dpo_analysis.diagnosis.ledger.ledger import Ledger, read_ledger
from dpo_analysis.diagnosis.ledger.top_bigrams import find_patterns
from dpo_analysis.diagnosis.probe_findings import probe_sentences
from dpo_analysis.diagnosis.symptoms import Case, plain
from dpo_analysis.diagnosis.thresholds import TOO_LATE
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.tables.pairs import step_table

AT_END = ("chosen_drift", "chosen_reward", "rejected_reward", "margin", "accuracy", "ranking_accuracy", "loss")
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
    """What explains the fall of the chosen responses in one series, as far as the run tells.

    Args:
        run: an open run.
        series: a series; None for the one whose chosen responses end lowest.
        split: the pairs to look at; None for ``eval`` where the run has it, else its first.
        beta: of the rewards shown; None for the series' own. A fall is in nats and does not depend on it.
        loss_type: of the loss shown; None for the series' own.
        checks: the checks of the run, if they were made already.

    Raises:
        InputError: no such series or split, or nothing is scored yet.
        StorageError: a part is damaged.
    """
    where = split or default_split(run)
    paths = [Path(run, name, where) for name in ([series] if series else run.series)]
    paths = [path for path in paths if path.models]
    if not paths:
        raise InputError(f"nothing to diagnose in {run.path}: no checkpoint is scored yet; run the score command again")
    path = min(paths, key=lambda one: np.nan_to_num(one.means[-1], nan=np.inf))
    at_end = numbers_at_end(run, path.models[-1], where, beta=beta, loss_type=loss_type)
    return _diagnosed(run, path, where, at_end, run_checks(run) if checks is None else checks)


def numbers_at_end(
    run: Run, model: Model, split: str, *, beta: float | None = None, loss_type: str | None = None
) -> dict[str, float]:
    """The metrics of ``AT_END`` under one policy on one split, by name."""
    own = {"series": model.series, "model": model.name, "split": split}
    last = step_table(run, beta=beta, loss_type=loss_type, **own).iloc[-1]
    return {name: float(last[name]) for name in AT_END}


def diagnose_all(
    run: Run, *, split: str | None = None, beta: float | None = None, loss_type: str | None = None
) -> list[Diagnosis]:
    """A diagnosis for every series that has a scored checkpoint, the one that ends lowest first; as ``diagnose``."""
    checks = run_checks(run)
    scored = scored_series(run)
    if not scored:
        raise InputError(f"nothing to diagnose in {run.path}: no checkpoint is scored yet; run the score command again")
    asked = {"split": split, "beta": beta, "loss_type": loss_type, "checks": checks}
    found = [diagnose(run, series=name, **asked) for name in scored]
    return sorted(found, key=lambda one: np.nan_to_num(one.at_end["chosen_drift"], nan=np.inf))


def default_split(run: Run) -> str:
    """The pairs that are looked at where nobody says which: ``eval`` where the run has it, else its first split."""
    return "eval" if "eval" in run.splits else run.splits[0]


def scored_series(run: Run) -> list[str]:
    """The series that have a checkpoint of which something is scored."""
    return [name for name in run.series if any(one.series == name and run.parts_done(one) for one in run.models)]


def _contexts(run: Run, split: str) -> Contexts:
    return Contexts(run, TRAIN if TRAIN in run.splits else split)


def _diagnosed(run: Run, path: Path, split: str, at_end: dict[str, float], checks: Sequence[Check]) -> Diagnosis:
    fall = find_fall(run, path)
    established = path.established
    place, ledger, found = _read(run, path, split) if established else (None, None, None)
    shares = ledger.shares(path.groups[ledger.place]) if ledger else {}
    case = Case(fall, established, path, place, checks, found, ledger, shares)
    asked = confirmed(run, path.models[-1].series, split) if established else None
    found_by_cause = [_confirmed(finding, asked) for find in every_cause().values() for finding in find(case)]
    findings = _ordered(found_by_cause)
    unasked = asked is None and any(one.verdict == LIKELY and one.cause in CAUSES for one in findings)
    used = path.models[place].key if place is not None else ""
    return Diagnosis(
        path.models[-1].series, split, fall, used, shares, findings, _open(run, case, split, unasked=unasked),
        found.to_json() if found else {}, at_end, probe_sentences(run, path.models[-1]),
        find_patterns(run, ledger) if ledger else [],
    )  # fmt: skip


def _read(run: Run, path: Path, split: str) -> tuple[int, Ledger | None, Signals]:
    """The first checkpoint that can be read, its ledger and its signals."""
    contexts = _contexts(run, split)
    places = path.readable
    for place in places:
        ledger = read_ledger(run, path, place, contexts)
        if ledger is not None:
            last = len(path.models) - 1
            at_end = ledger if place == last else read_ledger(run, path, last, contexts)
            return place, ledger, signals(run, path, place, ledger, at_end)
    return places[0], None, signals(run, path, places[0], None)


def _confirmed(one: Finding, asked: Confirmation | None) -> Finding:
    """The finding as an intervention where its group was confirmed; what was measured stands behind its sentence."""
    if asked is None or one.verdict not in (LIKELY, POSSIBLE) or one.cause not in CAUSES:
        return one
    told = replace(one, measured=Measured(asked.key, asked.values))
    return replace(told, verdict=LIKELY, certainty="intervention") if asked.confirms(one.cause) else told


def _ordered(findings: list[Finding]) -> list[Finding]:
    """The likely ones first; where a check of the setup failed, no other cause is more than possible."""
    if any(one.cause == "artefact" and one.verdict == LIKELY for one in findings):
        findings = [
            replace(one, verdict=POSSIBLE) if one.verdict == LIKELY and one.cause != "artefact" else one
            for one in findings
        ]
    return sorted(findings, key=lambda one: VERDICTS.index(one.verdict))


def _open(run: Run, case: Case, split: str, *, unasked: bool) -> list[Open]:
    """What this run cannot answer, and how to find out."""
    found = []
    score = f"dpo-analysis score ... --out {run.path}"
    if case.signals is not None and not run.has_tokens:
        return [Open("diagnosis.open.tokens", {}, "dpo-analysis score PAIRS ... --out OTHER")]
    if case.signals is not None and case.ledger is None:
        found.append(Open("diagnosis.open.evidence", {}, f"{score} --evidence fallen"))
    if unasked and TRAIN in run.splits:
        found.append(Open("diagnosis.open.confirm", {}, f"{score.replace('...', f'{TRAIN}=PAIRS ...')} --confirm"))
    if case.signals is not None and case.signals.rise != case.signals.rise:
        found.append(Open("diagnosis.open.beginning"))
    if case.place == 0 and case.signals is not None and case.signals.lost > TOO_LATE:
        found.append(Open("diagnosis.open.too_late", {"lost": plain(case.signals.lost), "most": plain(TOO_LATE, 0)}))
    if case.signals is not None and TRAIN not in run.splits:
        found.append(
            Open("diagnosis.open.train", {"split": split}, f"dpo-analysis score {TRAIN}=PAIRS ... --out OTHER")
        )
    return found

"""What keeps a finding from being likely: too few pairs, a small part of the loss, chance, or a fall that grew since.

A cause says what its signature says. Whether that is enough to name it is decided after it, by the same rules for every
cause that reads the loss of the chosen responses. A finding that is held back stays possible, and says why among its
counter-evidence.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import (
    CONFIRMED_SHARE,
    ENOUGH_FALLEN_PAIRS,
    ENOUGH_GROUPS,
    ENOUGH_READ_PAIRS,
    GREW_SINCE_TIMES,
    PLACE_LOSS_SHARE,
)
from dpo_analysis.text.numbers import fixed, whole_percent

NOT_OF_THE_LOSS = ("artefact", "swapped_columns", "unexplained")
"""Causes that are judged by the setup or by all pairs, not by what the chosen responses lost."""
SHARE_OF_CAUSE = {
    "collision": "pushed_by_chance",
    "style_drift": "pulled_by_chance",
    "competing_answer": "pulled_by_chance",
}
"""What random labels give of the share that a cause is judged by, by cause."""
NOT_WHEN_RUINED = ("style_drift", "competing_answer", "near_identical", "reference_effect")
"""Causes that a fall of everything outranks."""
NO_BEGINNING = ("generic_drift",)
"""Causes that are judged by the whole curve, so that a fall which grew since does not speak against them."""


def limit_findings(
    findings: Sequence[Finding], read: Symptoms, shown: Symptoms, later: Sequence[Finding]
) -> list[Finding]:
    """Return the findings; those that may not be likely become possible, with the reason as counter-evidence.

    Args:
        findings: findings at the checkpoint used.
        read: symptoms of the checkpoint used.
        shown: symptoms of the checkpoint shown; the same object where both are the same checkpoint.
        later: findings at the checkpoint shown.
    """
    confirmed = {
        (finding.cause, finding.where)
        for finding in later
        if finding.verdict == LIKELY and not finding.share < CONFIRMED_SHARE
    }
    if any(finding.cause == "swapped_columns" and finding.verdict == LIKELY for finding in findings):
        # With the columns swapped no logged value agrees, and that says nothing more about the setup.
        compared = [finding.cause == "artefact" and finding.certainty == "comparison" for finding in findings]
        pairs = zip(findings, compared, strict=True)
        findings = [replace(finding, verdict=POSSIBLE) if is_compared else finding for finding, is_compared in pairs]
    return [_limited(finding, read, shown, (finding.cause, finding.where) in confirmed) for finding in findings]


def _limited(finding: Finding, read: Symptoms, shown: Symptoms, confirmed: bool) -> Finding:
    if finding.verdict != LIKELY or finding.cause in NOT_OF_THE_LOSS or finding.certainty == "intervention":
        return finding
    reason = _reason(finding, read, shown, confirmed)
    if not reason:
        return finding
    values = dict(finding.values) | _values(finding, read, shown)
    counter = (*finding.counter, f"diagnosis.limit.{reason}")
    return replace(finding, verdict=POSSIBLE, values=values, counter=counter)


def _reason(finding: Finding, read: Symptoms, shown: Symptoms, confirmed: bool) -> str:
    """Return why a finding may not be likely; empty where nothing speaks against it."""
    statistics, at_end = read.statistics, shown.statistics
    if statistics is None or at_end is None:
        return ""
    if at_end.n_fallen < ENOUGH_FALLEN_PAIRS:
        return "few"
    if statistics.n_fallen < ENOUGH_READ_PAIRS and finding.cause not in NO_BEGINNING:
        return "few_read"
    if statistics.n_groups < ENOUGH_GROUPS:
        return "groups"
    ends_earlier = finding.cause == "length_or_eos" and read.ends_earlier
    region = None if ends_earlier else read.by_region.get(finding.where)
    if region is not None and region["weight"] < PLACE_LOSS_SHARE:
        return "place"
    chance = (region or {}).get(SHARE_OF_CAUSE.get(finding.cause, ""), math.nan)
    if finding.low <= chance:
        return "chance"
    if read.ruined and finding.cause in NOT_WHEN_RUINED:
        return "ruined"
    grew = at_end.lost > GREW_SINCE_TIMES * statistics.lost
    return "grew" if grew and not confirmed and finding.cause not in NO_BEGINNING else ""


def _values(finding: Finding, read: Symptoms, shown: Symptoms) -> dict[str, str]:
    """Return the numbers in the sentences of all reasons."""
    statistics, at_end = read.statistics, shown.statistics
    assert statistics is not None
    assert at_end is not None
    chance = read.by_region.get(finding.where, {}).get(SHARE_OF_CAUSE.get(finding.cause, ""), math.nan)
    weight = read.by_region.get(finding.where, {}).get("weight", float("nan"))
    return {
        "fallen": str(at_end.n_fallen),
        "least": str(ENOUGH_FALLEN_PAIRS),
        "fallen_read": str(statistics.n_fallen),
        "least_read": str(ENOUGH_READ_PAIRS),
        "groups": str(statistics.n_groups),
        "weight": whole_percent(weight),
        "chance": whole_percent(chance),
        "per_token": fixed(at_end.end_per_token, 3),
        "lost_read": fixed(statistics.lost),
        "lost_shown": fixed(at_end.lost),
    }

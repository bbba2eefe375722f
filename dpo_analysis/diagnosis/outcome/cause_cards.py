"""Cards of the likely and the possible causes: what a terminal and a notebook say of each, a cause once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dpo_analysis import words
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Diagnosis, Finding, fill_sentence
from dpo_analysis.diagnosis.outcome.why import state_of, with_source
from dpo_analysis.text.numbers import whole_percent


class CauseCard(NamedTuple):
    """What is said of one cause, whatever the number of places in the response where it was found.

    Attributes:
        verdict: the gravest verdict: likely or possible.
        cause: name of the cause.
        title: the cause in words, with the places where it was found.
        certainty: how it is known, in words.
        evidence: one sentence on what was found where the cause is gravest.
        measured: what an intervention showed; empty where none was made.
        against: the counter-evidence, each sentence once.
        advice: what people change, with its source; empty for none.
        pairs: ids of pairs that show it, the clearest first.
    """

    verdict: str
    cause: str
    title: str
    certainty: str
    evidence: str
    measured: str
    against: list[str]
    advice: str
    pairs: list[str]


def cause_cards(diagnosis: Diagnosis, lang: str = "en") -> list[CauseCard]:
    """Return a card for every cause that is likely or possible, in the order of the findings; none of too few pairs."""
    if state_of(diagnosis) == "too_few":
        return []
    by_cause: dict[str, list[Finding]] = {}
    for finding in diagnosis.findings:
        if finding.verdict in (LIKELY, POSSIBLE):
            by_cause.setdefault(finding.cause, []).append(finding)
    return [_card(findings, lang) for findings in by_cause.values()]


def _card(findings: Sequence[Finding], lang: str) -> CauseCard:
    gravest = findings[0]
    advice = fill_sentence(gravest.advice, gravest.values, lang) if gravest.advice else ""
    measured = next((finding.measured.sentence(lang) for finding in findings if finding.measured), "")
    return CauseCard(
        verdict=gravest.verdict,
        cause=gravest.cause,
        title=_title(findings, lang),
        certainty=words.text(f"diagnosis.certainty.{gravest.certainty}", lang),
        evidence=gravest.sentence(lang),
        measured=measured,
        against=_against(findings, lang),
        advice=with_source(advice, gravest, lang),
        pairs=list(dict.fromkeys(pair for finding in findings for pair in finding.pairs)),
    )


def _against(findings: Sequence[Finding], lang: str) -> list[str]:
    """Return the counter-evidence, each sentence once; what keeps a cause from being likely comes first."""
    lines = [
        (key.split(".")[1] != "limit", fill_sentence(key, finding.values, lang))
        for finding in findings
        for key in finding.counter
    ]
    return list(dict.fromkeys(line for _, line in sorted(lines, key=lambda line: line[0])))


def _title(findings: Sequence[Finding], lang: str) -> str:
    """Return the name of the cause; where it was found at several places, with these and their shares of the loss."""
    name = words.text(f"diagnosis.cause.{findings[0].cause}", lang)
    places = [_place(finding, lang) for finding in findings if finding.where and finding.cause != "length_or_eos"]
    if not places:
        return name
    return f"{name} ({', '.join(places)})" if lang == "en" else f"{name}（{'、'.join(places)}）"


def _place(finding: Finding, lang: str) -> str:
    place = words.text(f"causes.place.{finding.where}", lang)
    has_share = finding.unit == "share" and math.isfinite(finding.share)
    return f"{place} {whole_percent(finding.share)}" if has_share else place

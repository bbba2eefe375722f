"""Findings of the causes by pull: the lost probability went to tokens that other pairs choose in the same context.

``style_drift`` and ``competing_answer`` share them; they differ in the region of the response and in their words.
"""

from collections.abc import Collection

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.symptoms import PULLED, UNDECIDED, Symptoms
from dpo_analysis.text.numbers import signed_fixed, whole_percent


def find_pull(symptoms: Symptoms, cause: str, regions: Collection[str], source: str) -> list[Finding]:
    """Return a finding for each of ``regions`` that is pulled or undecided or whose wording moves.

    One unlikely finding where there is no such region; none without a ledger.

    Args:
        symptoms: what the cause is judged by.
        cause: name of the cause.
        regions: regions of the response that the cause is about.
        source: paper of the signature.
    """
    ledger = symptoms.ledger
    if ledger is None or symptoms.statistics is None or not symptoms.has_evidence:
        return []
    directions = {
        region: direction
        for region, direction in symptoms.directions.items()
        if direction in (PULLED, UNDECIDED) and region in regions
    }
    findings = [_pulled(symptoms, ledger, cause, source, region, way) for region, way in directions.items()]
    for region, gain in symptoms.shifted.items():
        if region in regions and directions.get(region) != PULLED:
            findings.append(_shifted(symptoms, ledger, cause, source, region, gain))
    return findings or [_unlikely(symptoms, ledger, cause, source, regions)]


def _pulled(symptoms: Symptoms, ledger: Ledger, cause: str, source: str, region: str, direction: str) -> Finding:
    """Return the finding for a region that is pulled or undecided."""
    pairs, tokens = symptoms.examples(ledger.tokens.pulled, region)
    pulled = symptoms.share_in("pulled", region)
    ends = {"low": whole_percent(pulled.low), "high": whole_percent(pulled.high)}
    return Finding(
        cause,
        POSSIBLE if direction == UNDECIDED else LIKELY,
        "association",
        region,
        pulled.share,
        pulled.low,
        pulled.high,
        key="diagnosis.undecided" if direction == UNDECIDED else f"diagnosis.{cause}.likely",
        values=_values(symptoms, ledger, pulled.share) | {"place": f"causes.place.{region}"} | ends,
        pairs=pairs,
        tokens=tokens,
        counter=("diagnosis.data_driven.counter",),
        advice=f"diagnosis.{cause}.advice",
        source=source,
    )


def _shifted(symptoms: Symptoms, ledger: Ledger, cause: str, source: str, region: str, gain: float) -> Finding:
    """Return the finding for a region in which chosen responses that did not fall gained ``gain`` nats per token."""
    lost = symptoms.by_region[region]["weight"]
    return Finding(
        cause,
        LIKELY,
        "association",
        region,
        key=f"diagnosis.{cause}.moved",
        values=_values(symptoms, ledger, lost) | {"place": f"causes.place.{region}", "gain": signed_fixed(gain, 3)},
        pairs=symptoms.most_fallen(),
        counter=("diagnosis.moved.counter",),
        advice=f"diagnosis.{cause}.advice",
        source=source,
    )


def _unlikely(symptoms: Symptoms, ledger: Ledger, cause: str, source: str, regions: Collection[str]) -> Finding:
    total = sum(symptoms.share_in("pulled", region).share for region in regions)
    values = _values(symptoms, ledger, total)
    key = f"diagnosis.{cause}.unlikely"
    return Finding(cause, UNLIKELY, "association", share=total, key=key, values=values, source=source)


def _values(symptoms: Symptoms, ledger: Ledger, share: float) -> dict[str, str]:
    """Return the numbers that every sentence of these causes may use."""
    counted = {"n": str(ledger.bigrams.n_pairs), "x": symptoms.x_text()}
    return {"share": whole_percent(share)} | symptoms.share_texts() | counted

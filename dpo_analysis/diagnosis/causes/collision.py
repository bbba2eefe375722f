"""Other pairs reject what this pair chooses: the lost tokens stand in their rejected responses, in the same context.

Signature: at one region C, the share of the lost log-prob on tokens that other pairs reject in this context more than
they choose, is large and exceeds what random labels of the other pairs give, by far more than P does, what went to
tokens that other pairs choose; where both exceed chance alike, X, the mean of (r - c) / (r + c + K), decides. It needs
no evidence ``topk``. Counter-evidence: P, and what neither explains; a rejected closing in front of which ending is
chosen belongs to ``length_or_eos``. Certainty: association; only ``score --confirm`` makes it an intervention. Unit:
share of the lost log-prob.
Source: likelihood displacement by similar preferences, Razin et al. 2024, arXiv:2410.08847.
"""

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.symptoms import PUSHED, UNDECIDED, Symptoms
from dpo_analysis.diagnosis.thresholds import PUSHED_TOKEN_X
from dpo_analysis.text.numbers import whole_percent

RANK = 3
OTHER_CAUSE = ("end",)
"""Regions that another cause, ``length_or_eos``, speaks of."""


def find(symptoms: Symptoms) -> list[Finding]:
    """Return a finding for each region that is pushed or undecided, else an unlikely one; none without a ledger."""
    if symptoms.ledger is None or symptoms.statistics is None:
        return []
    findings = [
        _pushed(symptoms, symptoms.ledger, region, direction)
        for region, direction in symptoms.directions.items()
        if direction in (PUSHED, UNDECIDED) and region not in OTHER_CAUSE
    ]
    return findings or [_unlikely(symptoms)]


def _pushed(symptoms: Symptoms, ledger: Ledger, region: str, direction: str) -> Finding:
    """Return the finding for a region that is pushed or undecided."""
    pairs, tokens = symptoms.examples((ledger.tokens.x > PUSHED_TOKEN_X).astype(float), region)
    pushed = symptoms.share_in("pushed", region)
    values = _values(symptoms) | {"share": whole_percent(pushed.share), "place": f"causes.place.{region}"}
    values |= {"low": whole_percent(pushed.low), "high": whole_percent(pushed.high), "n": str(ledger.bigrams.n_pairs)}
    ends_earlier = symptoms.ends_earlier
    counter = [f"diagnosis.data_driven.counter{'' if symptoms.has_evidence else '.no_evidence'}"]
    counter += ["diagnosis.collision.counter.sooner"] if ends_earlier else []
    return Finding(
        "collision",
        POSSIBLE if direction == UNDECIDED or ends_earlier else LIKELY,
        "association",
        region,
        pushed.share,
        pushed.low,
        pushed.high,
        key=_key(symptoms, direction),
        values=values,
        pairs=pairs,
        tokens=tokens,
        counter=tuple(counter),
        advice="diagnosis.collision.advice",
        source="arXiv:2405.16436",
    )


def _key(symptoms: Symptoms, direction: str) -> str:
    """Return the key of the sentence for a region that is pushed or undecided."""
    if direction != UNDECIDED:
        return "diagnosis.collision.likely"
    return "diagnosis.undecided" if symptoms.has_evidence else "diagnosis.undecided.no_evidence"


def _unlikely(symptoms: Symptoms) -> Finding:
    pushed = symptoms.share_in("pushed", "")
    return Finding(
        "collision",
        UNLIKELY,
        "association",
        "",
        pushed.share,
        pushed.low,
        pushed.high,
        key="diagnosis.collision.unlikely",
        values=_values(symptoms) | {"share": whole_percent(pushed.share)},
        source="arXiv:2405.16436",
    )


def _values(symptoms: Symptoms) -> dict[str, str]:
    pushed = whole_percent(symptoms.share_in("pushed", "").share)
    return symptoms.share_texts() | {"x": symptoms.x_text(), "pushed": pushed}

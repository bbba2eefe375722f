"""The end of the response, not its content: the end-of-text token lost the probability, or got it too early.

Signature: a large share of the lost log-prob on end-of-text tokens, or gone to an end of text in front of closings that
other pairs reject; an end of text that gained in chosen responses which did not fall; or a loss at the end of text that
other pairs account for. Counter-evidence: what was lost elsewhere, and whether the chosen responses are longer.
Certainty: decomposition (a region of the exact split). Unit: share of the lost log-prob.
Source: length in DPO, Park et al. 2024, arXiv:2403.19159.
"""

import math

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import PULLED, PUSHED, Symptoms
from dpo_analysis.diagnosis.thresholds import DATA_DRIVEN_SHARE, END_GAIN_NATS, END_OF_TEXT_SHARE
from dpo_analysis.text.numbers import signed_fixed, whole_percent

RANK = 7


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where there is a ledger."""
    statistics, ledger = symptoms.statistics, symptoms.ledger
    if statistics is None or math.isnan(statistics.end):
        return []
    share = statistics.end
    verdict = LIKELY if share >= END_OF_TEXT_SHARE else POSSIBLE if share >= DATA_DRIVEN_SHARE else UNLIKELY
    key = verdict
    gain = symptoms.by_region["end"]["gain"]
    if symptoms.ends_earlier and verdict != LIKELY:
        verdict, key, share = LIKELY, "sooner", statistics.ended
        if gain >= END_GAIN_NATS:
            key, share = "gained", math.nan
    if symptoms.directions.get("end") in (PUSHED, PULLED) and verdict != LIKELY:
        verdict, key, share = LIKELY, LIKELY, statistics.end
    shown = verdict != UNLIKELY
    pairs, tokens = symptoms.examples(ledger.tokens.loss_share, "end") if shown and ledger else ((), ())
    finding = Finding(
        "length_or_eos",
        verdict,
        "decomposition",
        "end",
        share,
        key=f"diagnosis.length_or_eos.{key}",
        values={"share": whole_percent(share), "longer": whole_percent(statistics.longer), "gain": signed_fixed(gain)},
        pairs=pairs,
        tokens=tokens,
        counter=("diagnosis.length_or_eos.counter",) if shown else (),
        advice="diagnosis.length_or_eos.advice" if shown else "",
        source="arXiv:2405.14734",
    )
    return [finding]

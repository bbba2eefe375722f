"""The end of the response, not its content: the end-of-text token lost the probability, or got it too early.

Signature: a large share of the lost log-prob on end-of-text tokens, or gone to an end of text in front of closings that
other pairs reject. Counter-evidence: what lies elsewhere, and whether chosen responses are the longer ones. Certainty:
decomposition (a place of the exact split). Unit: share of the lost log-prob. Source: length in DPO, Park et al. 2024,
arXiv:2403.19159.
"""

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case, share
from dpo_analysis.diagnosis.thresholds import AT_THE_END, DATA_DRIVEN

RANK = 7


def find(case: Case) -> list[Finding]:
    """One finding where there is a ledger."""
    found = case.signals
    if found is None or found.end != found.end:
        return []
    verdict = LIKELY if found.end >= AT_THE_END else POSSIBLE if found.end >= DATA_DRIVEN else UNLIKELY
    key, own = verdict, found.end
    if case.sooner and verdict != LIKELY:
        verdict, key, own = LIKELY, "sooner", found.ended
    values = {"share": share(own), "longer": share(found.longer)}
    pairs, shown = case.examples(case.ledger.tokens.weight, "end") if verdict != UNLIKELY and case.ledger else ((), ())
    advice = "diagnosis.length_or_eos.advice" if verdict != UNLIKELY else ""
    counter = ("diagnosis.length_or_eos.counter",) if verdict != UNLIKELY else ()
    return [
        Finding("length_or_eos", verdict, "decomposition", "end", own, key=f"diagnosis.length_or_eos.{key}",
                values=values, pairs=pairs, tokens=shown, counter=counter, advice=advice, source="arXiv:2403.19159")
    ]  # fmt: skip

"""What is chosen in one pair is rejected in another: the same response to the same prompt, or labels that look flipped.

Signature: a large share of the lost log-prob lies in pairs that another pair contradicts. That they do is a fact of the
data (identity); that the fall goes with it is an association. Counter-evidence: as large a share of the pairs is
contradicted anyway. Or: much of it lies in pairs that others turn round, and far more than their share of the pairs.
Unit: share of the lost log-prob. Source: label noise in DPO, Chowdhury et al. 2024,
arXiv:2403.00409.
"""

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case, share
from dpo_analysis.diagnosis.thresholds import (
    CONTRADICTED,
    CONTRADICTED_PAIRS,
    NEAR,
    TIMES,
    TIMES_NEAR,
    TURNED,
    TURNED_NEAR,
)

RANK = 1


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None or found.contradicted != found.contradicted:
        return []
    least, times = (TURNED_NEAR, TIMES_NEAR) if found.edit < NEAR else (TURNED, TIMES)
    turned = found.turned >= least and found.turned >= times * found.turned_pairs
    against = found.contradicted >= CONTRADICTED and found.contradicted_pairs >= CONTRADICTED_PAIRS
    likely = against or turned
    verdict = LIKELY if likely else POSSIBLE if found.contradicted > 0 else UNLIKELY
    values = {"share": share(found.contradicted), "pairs": share(found.contradicted_pairs)}
    values |= {"turned": share(found.turned), "turned_pairs": share(found.turned_pairs)}
    key = "turned" if turned and not against else verdict
    told = verdict != UNLIKELY
    counter = f"diagnosis.contradiction.counter{'.turned' if key == 'turned' else ''}"
    return [
        Finding("contradiction", verdict, "association", share=found.turned if key == "turned" else found.contradicted,
                values=values, counter=(counter,) if told else (), key=f"diagnosis.contradiction.{key}",
                advice="diagnosis.contradiction.advice" if told else "", source="arXiv:2403.00409")
    ]  # fmt: skip

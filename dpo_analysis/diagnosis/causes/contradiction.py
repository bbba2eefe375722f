"""The same response is chosen in one pair and rejected in another pair of the same prompt.

Signature: a large share of the lost log-prob lies in pairs that another pair contradicts. That they do is a fact of the
data (identity); that the fall goes with it is an association. Counter-evidence: as large a share of the pairs is
contradicted anyway. Unit: share of the lost log-prob. Source: label noise in DPO, Chowdhury et al. 2024,
arXiv:2403.00409.
"""

from dpo_analysis.diagnosis.case import Case, share
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.thresholds import CONTRADICTED

RANK = 1


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None or found.contradicted != found.contradicted:
        return []
    verdict = LIKELY if found.contradicted >= CONTRADICTED else POSSIBLE if found.contradicted > 0 else UNLIKELY
    values = {"share": share(found.contradicted), "pairs": share(found.contradicted_pairs)}
    counter = ("diagnosis.contradiction.counter",) if verdict != UNLIKELY else ()
    advice = "diagnosis.contradiction.advice" if verdict != UNLIKELY else ""
    return [
        Finding("contradiction", verdict, "association", share=found.contradicted, values=values, counter=counter,
                key=f"diagnosis.contradiction.{verdict}", advice=advice, source="arXiv:2403.00409")
    ]  # fmt: skip

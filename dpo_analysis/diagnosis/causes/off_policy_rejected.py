"""The rejected responses are nothing that the reference would say.

Signature: under the reference a rejected token is less likely than a chosen one by more than a threshold, nats per
token. Counter-evidence: what other pairs' texts account for. Certainty: association. Unit: none (nats per token of the
gap). Source: on-policy data for preference learning, Tajwar et al. 2024, arXiv:2404.14367.
"""

from dpo_analysis.diagnosis.findings import LIKELY, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case, plain

RANK = 2


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None or found.gap != found.gap:
        return []
    verdict = LIKELY if case.off_policy else UNLIKELY
    values = {"gap": plain(found.gap)}
    shown = case.fallen_first() if case.off_policy else ()
    advice = "diagnosis.off_policy_rejected.advice" if case.off_policy else ""
    return [
        Finding("off_policy_rejected", verdict, "association", values=values, pairs=shown, advice=advice,
                key=f"diagnosis.off_policy_rejected.{verdict}", source="arXiv:2404.14367")
    ]  # fmt: skip

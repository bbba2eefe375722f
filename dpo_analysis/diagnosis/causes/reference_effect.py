"""The fall is what the policy's movement explains: the responses look like the reference's own, and it moved.

Signature: over both responses of all pairs the change is about -sum KL(pi_ref || pi), what the reference's answers lose
on average whichever is labelled chosen; credit_z is small, and the reference finds both sides as likely. That the mean
falls so is arithmetic (identity); that these responses are such answers is judged. Counter-evidence: larger credits.
Unit: ratio. Source: Rafailov et al. 2024, arXiv:2404.12358.
"""

from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case, plain
from dpo_analysis.diagnosis.thresholds import EXPECTED, KEPT_CREDIT, KEPT_GAP

RANK = 6


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None:
        return []
    low, high = EXPECTED
    if found.both_expected != found.both_expected:
        verdict = CANNOT_TELL
    elif case.like_reference:
        verdict = LIKELY
    else:
        verdict = POSSIBLE if low <= found.both_expected <= high and found.credit_size < KEPT_CREDIT else UNLIKELY
    values = {"both": plain(found.both_expected), "z": plain(found.credit_size), "gap": plain(found.gap)}
    values |= {"limit": plain(KEPT_CREDIT), "near": plain(KEPT_GAP), "edit": plain(found.edit)}
    told = verdict in (LIKELY, POSSIBLE)
    against = f"diagnosis.reference_effect.counter{'.possible' if verdict == POSSIBLE else ''}"
    return [
        Finding("reference_effect", verdict, "identity", values=values, unit="ratio", share=found.both_expected,
                key=f"diagnosis.reference_effect.{verdict.replace(' ', '_')}",
                counter=(against,) if told else (),
                advice="diagnosis.reference_effect.advice" if told else "", source="arXiv:2404.12358")
    ]  # fmt: skip

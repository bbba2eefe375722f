"""The fall is what the policy's movement explains: the responses look like the reference's own, and it moved.

Signature: on both sides the change is about -sum KL(pi_ref || pi), what answers of the reference lose on average, and
credit_z is small. That the mean falls so is arithmetic (identity); that these responses are such answers is judged.
Counter-evidence: a side that fell by more or less. Unit: ratio. Source: Rafailov et al. 2024, arXiv:2404.12358.
"""

from dpo_analysis.diagnosis.case import Case, plain
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.thresholds import EXPECTED, KEPT_CREDIT

RANK = 9


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None:
        return []
    low, high = EXPECTED
    inside = [low <= one <= high for one in (found.expected, found.rejected_expected)]
    if found.expected != found.expected:
        verdict = CANNOT_TELL
    elif all(inside) and found.credit_size < KEPT_CREDIT and not case.data_driven and not case.off_policy:
        verdict = LIKELY
    else:
        verdict = POSSIBLE if all(inside) else UNLIKELY
    values = {
        "chosen": plain(found.expected),
        "rejected": plain(found.rejected_expected),
        "z": plain(found.credit_size),
    }
    told = verdict in (LIKELY, POSSIBLE)
    return [
        Finding("reference_effect", verdict, "identity", values=values, unit="ratio", share=found.expected,
                key=f"diagnosis.reference_effect.{verdict.replace(' ', '_')}",
                counter=("diagnosis.reference_effect.counter",) if told else (),
                advice="diagnosis.reference_effect.advice" if told else "", source="arXiv:2404.12358")
    ]  # fmt: skip

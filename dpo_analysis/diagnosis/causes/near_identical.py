"""The rejected responses are near copies of the chosen ones, and what pushes them down pushes the slot they share.

Signature: a small edit distance between the two responses of fallen pairs, nothing in other pairs' texts that accounts
for the loss, no place at which the others gained, and a curve that did not fall from the beginning nor rise much: where
the mean rises, others gain. It is not each pair hurting itself: planted runs fall as much in pairs that were not
trained on. Counter-evidence: a fall from the very beginning; where nearly all went to what no text has, it cannot be
told. Certainty: association. Unit: none (share of the longer response).
Source: Pal et al. 2024 (Smaug), arXiv:2402.13228; Yuan et al. 2024, arXiv:2410.13828.
"""

from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case, nats, plain, share
from dpo_analysis.diagnosis.thresholds import NEAR, NEVER_ROSE, RISEN

RANK = 9


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None or found.edit != found.edit:
        return []
    key = ""
    if found.edit >= NEAR:
        verdict = UNLIKELY
    elif case.ledger is None:
        verdict = CANNOT_TELL
    elif case.nowhere:
        verdict, key = CANNOT_TELL, "diagnosis.nowhere"
    else:
        other = case.data_driven or case.off_policy or bool(case.shifted)
        verdict = LIKELY if NEVER_ROSE < found.rise < RISEN and not other else POSSIBLE
    values = {"edit": plain(found.edit), "rise": nats(found.rise), "data": share(found.data_driven)}
    values["no_data"] = share(found.no_data)
    told = verdict in (LIKELY, POSSIBLE)
    return [
        Finding("near_identical", verdict, "association", values=values, pairs=case.fallen_first() if told else (),
                key=key or f"diagnosis.near_identical.{verdict.replace(' ', '_')}",
                counter=("diagnosis.near_identical.counter",) if told else (),
                advice="diagnosis.near_identical.advice" if told else "", source="arXiv:2402.13228, arXiv:2410.13828")
    ]  # fmt: skip

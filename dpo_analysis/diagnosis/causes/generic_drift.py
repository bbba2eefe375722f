"""Everything falls: the step was too large, or there were too many of them.

Signature: the mean never rose, not even at the beginning; or nothing in the data explains the fall and the two
responses are not near copies. Counter-evidence: what other pairs' texts account for. Certainty: association. Unit: none
(nats of the highest mean). Source: common-mode drift, Ren & Sutherland 2024, arXiv:2407.10490.
"""

from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case, nats, plain, share
from dpo_analysis.diagnosis.thresholds import FAR, NEAR, NEVER_ROSE

RANK = 8


def find(case: Case) -> list[Finding]:
    """One finding where a decline is established."""
    found = case.signals
    if found is None or found.edit != found.edit:
        return []
    from_the_start = found.rise <= NEVER_ROSE
    if case.ledger is None:
        verdict, key = (POSSIBLE, "possible") if from_the_start else (CANNOT_TELL, "cannot")
    elif case.data_driven or case.off_policy:
        verdict, key = (POSSIBLE, "possible") if from_the_start else (UNLIKELY, "unlikely")
    elif found.edit >= FAR and not from_the_start and (case.like_reference or case.shifted):
        verdict, key = POSSIBLE, "beside"
    elif case.nowhere and not from_the_start:
        verdict, key = CANNOT_TELL, "nowhere"
    elif from_the_start or found.edit >= FAR:
        verdict, key = LIKELY, "start" if from_the_start else "likely"
    else:
        verdict, key = (UNLIKELY, "near") if found.edit < NEAR else (CANNOT_TELL, "cannot")
    values = {"rise": nats(found.rise), "edit": plain(found.edit), "data": share(found.data_driven),
              "lost": plain(found.lost), "no_data": share(found.no_data)}  # fmt: skip
    key = "diagnosis.nowhere" if key == "nowhere" else f"diagnosis.generic_drift.{key}"
    told = verdict in (LIKELY, POSSIBLE)
    against = f"diagnosis.generic_drift.counter{'.left' if verdict == LIKELY and not from_the_start else ''}"
    return [
        Finding("generic_drift", verdict, "association", values=values, key=key,
                pairs=case.fallen_first() if told else (), counter=(against,) if told else (),
                advice="diagnosis.generic_drift.advice" if told else "", source="arXiv:2407.10490")
    ]  # fmt: skip

"""Other pairs reject what this pair chooses: the lost tokens stand in their rejected responses, in the same context.

Signature: C, the share of the lost log-prob on tokens that other pairs reject here more than they choose, and X, the
mean of (r - c) / (r + c + K), say push. Counter-evidence: what went to tokens that others choose (P), and what neither
explains; a closing that is rejected where ending before it is chosen is one of ``length_or_eos``. Certainty:
association; only ``score --confirm`` makes it an intervention. Unit: share of the lost log-prob.
Source: likelihood displacement by similar preferences, Razin et al. 2024, arXiv:2410.08847.
"""

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import PUSHED, UNDECIDED, Case, plain, share
from dpo_analysis.diagnosis.thresholds import PUSHED as FROM

RANK = 3
ENDS = ("end",)
"""Places that another cause speaks of."""


def find(case: Case) -> list[Finding]:
    """A finding for each place that is pushed, or undecided; one that says no where none is."""
    if case.ledger is None or case.signals is None:
        return []
    told = {place: way for place, way in case.directions.items() if way in (PUSHED, UNDECIDED) and place not in ENDS}
    found = [_at(case, place, way) for place, way in told.items()]
    return found or [_none(case)]


def _at(case: Case, place: str, way: str) -> Finding:
    tokens = case.ledger.tokens  # type: ignore[union-attr]
    pairs, shown = case.examples((tokens.x > FROM).astype(float), place)
    own = case.share_at("pushed", place)
    values = _values(case) | {"share": share(own.share), "place": f"causes.place.{place}"}
    values |= {"low": share(own.low), "high": share(own.high), "n": str(case.ledger.contexts.n_pairs)}  # type: ignore[union-attr]
    key = "diagnosis.undecided" if way == UNDECIDED else "diagnosis.collision.likely"
    ends = place == "closing" and case.sooner
    counter = ("diagnosis.data_driven.counter", *(["diagnosis.collision.counter.sooner"] if ends else []))
    return Finding(
        "collision", POSSIBLE if way == UNDECIDED or ends else LIKELY, "association", place,
        own.share, own.low, own.high, key=key, values=values, pairs=pairs, tokens=shown, counter=counter,
        advice="diagnosis.collision.advice", source="arXiv:2410.08847",
    )  # fmt: skip


def _none(case: Case) -> Finding:
    whole = case.shares["pushed"]
    values = _values(case) | {"share": share(whole.share)}
    return Finding("collision", UNLIKELY, "association", "", whole.share, whole.low, whole.high,
                   key="diagnosis.collision.unlikely", values=values, source="arXiv:2410.08847")  # fmt: skip


def _values(case: Case) -> dict[str, str]:
    x = case.signals.x if case.signals else float("nan")
    return {name: share(one.share) for name, one in case.shares.items()} | {"x": plain(x)}

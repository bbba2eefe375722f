"""What nothing here explains: a share like any other, and the whole answer where no cause is likely.

Signature: none. Certainty: decomposition (what is left of the ledger). Unit: share of the lost log-prob.
"""

from dpo_analysis.diagnosis.findings import CANNOT_TELL, Finding
from dpo_analysis.diagnosis.symptoms import Case, share

RANK = 99


def find(case: Case) -> list[Finding]:
    """The unexplained share where a decline is established; without a ledger that there is none to read."""
    if case.signals is None:
        return []
    own = case.shares.get("unexplained")
    if own is None:
        return [Finding("unexplained", CANNOT_TELL, "decomposition", key="diagnosis.unexplained.no_ledger")]
    pairs, tokens = case.examples(case.ledger.unexplained) if case.ledger else ((), ())
    values = {"share": share(own.share), "low": share(own.low), "high": share(own.high)}
    values |= {"no_data": share(case.shares["no_data"].share)}
    return [
        Finding("unexplained", CANNOT_TELL, "decomposition", "", own.share, own.low, own.high, values=values,
                key="diagnosis.unexplained.share", pairs=pairs, tokens=tokens)
    ]  # fmt: skip

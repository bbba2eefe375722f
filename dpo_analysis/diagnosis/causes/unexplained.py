"""What no cause explains: a share of the loss like any other, and the whole answer where no cause is likely.

Signature: none. Certainty: decomposition (what is left of the ledger). Unit: share of the lost log-prob.
"""

from dpo_analysis.diagnosis.findings import CANNOT_TELL, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.text.numbers import whole_percent

RANK = 99


def find(symptoms: Symptoms) -> list[Finding]:
    """Return the unexplained share where a decline is established; without a ledger, that there is none to read."""
    if symptoms.statistics is None:
        return []
    share = symptoms.shares.get("unexplained")
    if share is None:
        return [Finding("unexplained", CANNOT_TELL, "decomposition", key="diagnosis.unexplained.no_ledger")]
    pairs, tokens = symptoms.examples(symptoms.ledger.unexplained) if symptoms.ledger else ((), ())
    values = {"share": whole_percent(share.share), "low": whole_percent(share.low), "high": whole_percent(share.high)}
    values["no_data"] = whole_percent(symptoms.shares["no_data"].share)
    finding = Finding(
        "unexplained",
        CANNOT_TELL,
        "decomposition",
        "",
        share.share,
        share.low,
        share.high,
        key="diagnosis.unexplained.share",
        values=values,
        pairs=pairs,
        tokens=tokens,
    )
    return [finding]

"""Only the wording changes: probability went to other openings or closings, which other pairs choose.

Signature: in the opening or the closing P is large and exceeds what random labels of the other pairs give, by far more
than C does; where both exceed chance alike, X near or below 0 decides. Or the chosen responses that did not fall gained
there, about as much per token as a chosen response that fell lost, where nothing is pushed and no end of text lost most
of it.
Counter-evidence: C, and what neither explains. Certainty: association; the opening swap of ``score --probes`` answers
whether the core is kept behind the policy's own opening. Unit: share of the lost log-prob. Source: learning dynamics of
fine-tuning, Ren & Sutherland 2024, arXiv:2407.10490.
"""

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.pull_findings import find_pull
from dpo_analysis.diagnosis.symptoms import Symptoms

RANK = 5


def find(symptoms: Symptoms) -> list[Finding]:
    """Return a finding for the opening, for the closing or for both, else an unlikely one; none without a ledger."""
    return find_pull(symptoms, "style_drift", ("opening", "closing"), "arXiv:2502.14340")

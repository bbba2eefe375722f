"""Only the wording changes: probability went to other openings or closings, which other pairs choose.

Signature: P at the opening or the closing with X near or below 0; or the chosen responses that did not fall gained half
a nat there, where nothing is pushed and no end of text lost most of it. Counter-evidence: C, and what neither explains.
Certainty: association; the opening swap of ``score --probes`` answers whether the core is kept behind the policy's own
opening. Unit: share of the lost log-prob. Source: learning dynamics of fine-tuning, Ren & Sutherland 2024,
arXiv:2407.10490.
"""

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.pull_findings import pulled_at
from dpo_analysis.diagnosis.symptoms import Case

RANK = 5


def find(case: Case) -> list[Finding]:
    """A finding for the opening, for the closing, for both, or one that says no."""
    return pulled_at(case, "style_drift", ("opening", "closing"), "arXiv:2407.10490")

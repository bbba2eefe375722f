"""Another answer rises in the core: probability went to tokens that other pairs choose in the same context.

Signature: in the core P, the share of the lost log-prob that went to tokens which other pairs choose in this context,
is large and exceeds what random labels of the other pairs give, by far more than C does; where both exceed chance
alike, X near or below 0 decides. Or the chosen responses that did not fall gained in the core and at neither opening
nor closing, about as much per token as a chosen response that fell lost, in pairs whose two responses are neither near
copies nor far apart. Counter-evidence: C, and what neither explains. Certainty: association. Unit: share of the lost
log-prob. On planted runs a competing answer in the core and a collision there are often two sides of one fact: the
verdict is then "undecided".
Source: benign displacement, Razin et al. 2024, arXiv:2410.08847.
"""

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.pull_findings import find_pull
from dpo_analysis.diagnosis.symptoms import Symptoms

RANK = 4


def find(symptoms: Symptoms) -> list[Finding]:
    """Return a finding about the core; none without a ledger."""
    return find_pull(symptoms, "competing_answer", ("core",), "arXiv:2410.11677")

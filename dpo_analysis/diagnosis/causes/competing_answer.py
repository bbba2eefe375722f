"""Another answer rises in the core: probability went to tokens that other pairs choose in the same context.

Signature: P, the share of the lost log-prob that went to tokens other pairs choose here, with X near or below 0, in the
core; or the chosen responses that did not fall gained there, and nowhere else, in pairs whose two responses are neither
near copies nor far apart. Counter-evidence: C, and what neither explains. Certainty: association. Unit: share of the
lost log-prob. On planted runs a competing answer in the core and a collision there are often one thing with two faces:
then it is "undecided".
Source: benign displacement, Razin et al. 2024, arXiv:2410.08847.
"""

from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.pull_findings import pulled_at
from dpo_analysis.diagnosis.symptoms import Case

RANK = 4


def find(case: Case) -> list[Finding]:
    """A finding about the core."""
    return pulled_at(case, "competing_answer", ("core",), "arXiv:2410.08847")

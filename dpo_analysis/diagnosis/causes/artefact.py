"""The setup, not the training: other weights, template, ends of text or reference than the trainer's.

Signature: a check of the setup failed, or most recomputed values lie off the trainer's own log.
Counter-evidence: checks that passed. Certainty: identity (a check is arithmetic). Unit: none.
"""

from dpo_analysis.diagnosis.case import Case
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding

RANK = 0
SETUP = ("weights", "step0", "beginning", "logged")
MOST = 0.5
"""Share of the compared points of the log from which on a disagreement is one of the setup."""


def find(case: Case) -> list[Finding]:
    """One finding: which checks failed, or that none did."""
    asked = {check.name: check for check in case.checks if check.name in SETUP}
    failed = [name for name, check in asked.items() if check.verdict == "fail" or _off(name, check.values)]
    unsure = [name for name, check in asked.items() if check.verdict == "warn" and name not in failed]
    verdict = LIKELY if failed else POSSIBLE if unsure or case.fall.kind == "offset" else UNLIKELY
    told = failed or unsure
    key = "offset" if verdict == POSSIBLE and not told else verdict
    names = {f"check{number}": f"checks.{name}" for number, name in enumerate(told)}
    values = {"n": str(len(told)), "passed": str(sum(check.verdict == "pass" for check in asked.values()))} | names
    values["checks"] = ", ".join(told)
    pairs = tuple(one for name in told for one in asked[name].pair_ids)
    counter = ("diagnosis.artefact.counter",) if told else ()
    advice = "diagnosis.artefact.advice" if verdict != UNLIKELY else ""
    return [
        Finding("artefact", verdict, "identity", key=f"diagnosis.artefact.{key}", values=values, pairs=pairs[:10],
                counter=counter, advice=advice, source="dpo_analysis.diagnosis.checks")
    ]  # fmt: skip


def _off(name: str, values: dict) -> bool:
    return name == "logged" and "far" in values and values["far"] >= MOST * values["n"]

"""The setup, not the training: other weights, template, ends of text or reference than the trainer's.

Signature: a check of the setup failed; much of the trainer's own log lies off the recomputed values; or most responses
lack their end of text or have a mark twice.
Counter-evidence: checks that passed. Certainty: identity (a check is arithmetic). Unit: none.
"""

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Case
from dpo_analysis.diagnosis.thresholds import DOUBT_LOG, MISENDED, OFF_LOG

RANK = 0
MARKS = ("no_eos", "double_eos", "double_bos")
"""Complaints about the marks at a text's ends: one pair is a slip, most of them are the setup."""
SETUP = ("weights", "step0", "beginning", "same_reference", "logged", *MARKS)


def find(case: Case) -> list[Finding]:
    """One finding: which checks failed, or that none did."""
    n_pairs = max(len(case.path.rows), 1)
    asked = {check.name: check for check in case.checks if check.name in SETUP}
    failed = [name for name, check in asked.items() if check.verdict == "fail" or _off(name, check.values, n_pairs)]
    unsure = [name for name, check in asked.items() if check.verdict == "warn" and name not in failed]
    unsure = [name for name in unsure if name != "logged" or _share_off(asked[name].values) >= DOUBT_LOG]
    verdict = LIKELY if failed else POSSIBLE if unsure or case.fall.kind == "offset" else UNLIKELY
    told = failed or unsure
    key = "offset" if verdict == POSSIBLE and not told else verdict
    names = {f"check{number}": f"checks.{name}" for number, name in enumerate(told)}
    values = {"n": str(len(told)), "passed": str(sum(check.verdict == "pass" for check in asked.values()))} | names
    values["checks"] = f"checks.{told[0]}" if len(told) == 1 else ", ".join(told)
    pairs = tuple(one for name in told for one in asked[name].pair_ids)
    counter = ("diagnosis.artefact.counter",) if told else ()
    advice = "diagnosis.artefact.advice" if verdict != UNLIKELY else ""
    return [
        Finding("artefact", verdict, "identity", key=f"diagnosis.artefact.{key}", values=values, pairs=pairs[:10],
                counter=counter, advice=advice, source="dpo_analysis.diagnosis.checks")
    ]  # fmt: skip


def _off(name: str, values: dict, n_pairs: int) -> bool:
    if name == "logged":
        return _share_off(values) >= OFF_LOG
    return name in MARKS and int(values.get("n", 0)) >= MISENDED * n_pairs


def _share_off(values: dict) -> float:
    """The share of the compared values of the trainer's log that lie off."""
    return values["far"] / values["n"] if values.get("n") and "far" in values else 0.0

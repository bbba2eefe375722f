"""The setup, not the training: other weights, template, ends of text or reference than the trainer's.

Signature: a check of the setup failed; or a large share of the values that the trainer logged in evaluations differs
from the recomputed values; or most responses lack their end of text or have a mark twice. Counter-evidence: checks that
passed. Certainty: identity (a check is arithmetic). Unit: none.
"""

from collections.abc import Mapping
from typing import Any

from dpo_analysis.diagnosis.checks import Check
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import BAD_ENDING_SHARE, LOG_DOUBT_SHARE, LOG_MISMATCH_SHARE

RANK = 0
ENDING_CHECKS = ("no_eos", "double_eos", "double_bos")
"""Checks of the marks at both ends of a text: in a single pair it is a slip, in most pairs it is the setup."""
SETUP_CHECKS = ("weights", "step0", "beginning", "same_reference", "logged", *ENDING_CHECKS)


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding: which checks of the setup failed, or that none did."""
    n_pairs = max(len(symptoms.log_ratios.rows), 1)
    checks = {check.name: check for check in symptoms.checks if check.name in SETUP_CHECKS}
    failed = [name for name, check in checks.items() if check.verdict == "fail" or _is_off(check, n_pairs)]
    unsure = [name for name, check in checks.items() if check.verdict == "warn" and name not in failed]
    unsure = [name for name in unsure if name != "logged" or _far_share(checks[name].values) >= LOG_DOUBT_SHARE]
    verdict = LIKELY if failed else POSSIBLE if unsure or symptoms.fall.kind == "offset" else UNLIKELY
    blamed = failed or unsure
    n_passed = sum(check.verdict == "pass" for check in checks.values())
    values = {"n": str(len(blamed)), "passed": str(n_passed)}
    values |= {f"check{number}": f"checks.{name}" for number, name in enumerate(blamed)}
    values["checks"] = f"checks.{blamed[0]}" if len(blamed) == 1 else ", ".join(blamed)
    key = "offset" if verdict == POSSIBLE and not blamed else verdict
    finding = Finding(
        "artefact",
        verdict,
        "identity",
        key=f"diagnosis.artefact.{key}",
        values=values,
        pairs=tuple(pair_id for name in blamed for pair_id in checks[name].pair_ids)[:10],
        counter=("diagnosis.artefact.counter",) if blamed else (),
        advice="diagnosis.artefact.advice" if verdict != UNLIKELY else "",
        source="dpo_analysis.diagnosis.checks",
    )
    return [finding]


def _is_off(check: Check, n_pairs: int) -> bool:
    """Return whether a check that only warned met so much that the setup is wrong."""
    if check.verdict != "warn":
        return False
    if check.name == "logged":
        return _far_share(check.values) >= LOG_MISMATCH_SHARE
    return check.name in ENDING_CHECKS and int(str(check.values.get("n", 0))) >= BAD_ENDING_SHARE * n_pairs


def _far_share(values: Mapping[str, Any]) -> float:
    """Return the share of the compared values of the trainer's log that differ."""
    return values["far"] / values["n"] if values.get("n") and "far" in values else 0.0

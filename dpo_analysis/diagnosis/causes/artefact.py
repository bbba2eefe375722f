"""The setup, not the training: other weights, template, ends of text, lengths or reference than the trainer's.

Signature: a check of the setup failed; or a large share of the values that the trainer logged in evaluations of these
pairs differs from the recomputed values; or most responses lack their end of text, have a mark twice, or were cut.
Counter-evidence: checks that passed. Certainty: identity where a check is arithmetic, comparison elsewhere. Unit: none.
Where no decline is established nothing needs an explanation, and only a check that is arithmetic may accuse.
"""

from collections.abc import Mapping
from typing import Any

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.setup_checks.check import Check
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import (
    BAD_ENDING_SHARE,
    LOG_DOUBT_SHARE,
    LOG_MISMATCH_SHARE,
    TRUNCATED_DOUBT_SHARE,
    TRUNCATED_SHARE,
)

RANK = 0
HARD_CHECKS = ("weights", "step0", "same_reference", "beginning")
"""Checks that are arithmetic: where one of them fails the numbers are wrong, whether anything fell or not."""
ENDING_CHECKS = ("no_eos", "double_eos", "double_bos")
"""Checks of the marks at both ends of a text: in a single pair it is a slip, in most pairs it is the setup."""
SETUP_CHECKS = (*HARD_CHECKS, "template", "logged", *ENDING_CHECKS, "truncated")
WITH_SENTENCE = {
    "logged": (LIKELY, POSSIBLE),
    "truncated": (LIKELY, POSSIBLE),
    "template": (LIKELY, POSSIBLE),
    "same_reference": (POSSIBLE,),
}
"""Checks with a sentence for the verdict to which they alone lead; every other check is named in a general sentence."""


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding: which checks of the setup failed, or that none did."""
    n_pairs = max(len(symptoms.log_ratios.rows), 1)
    checks = {check.name: check for check in symptoms.checks if check.name in SETUP_CHECKS}
    doubts = {name: _doubt(check, n_pairs) for name, check in checks.items()}
    if _pairs_are_foreign(checks) and not (checks["template"].key or checks["template"].notes):
        doubts["template"] = UNLIKELY
    failed = [name for name, doubt in doubts.items() if doubt == LIKELY]
    blamed = failed or [name for name, doubt in doubts.items() if doubt == POSSIBLE]
    verdict = LIKELY if failed else POSSIBLE if blamed or symptoms.fall.kind == "offset" else UNLIKELY
    if verdict == LIKELY and symptoms.statistics is None and not _is_arithmetic(blamed, checks):
        verdict = POSSIBLE
    n_passed = sum(check.verdict == "pass" for check in checks.values())
    only = checks[blamed[0]] if len(blamed) == 1 else _proven(blamed, checks)
    n_blamed = 1 if only else len(blamed)
    values = _texts(only.values if only else {}) | {"checks_failed": str(len(blamed)), "passed": str(n_passed)}
    values |= {f"check{number}": f"checks.{name}" for number, name in enumerate(blamed)}
    values["checks"] = f"checks.{blamed[0]}" if blamed else ""
    finding = Finding(
        "artefact",
        verdict,
        "identity" if _is_arithmetic(blamed, checks) else "comparison",
        key=f"diagnosis.artefact.{_sentence(verdict, only, n_blamed)}",
        values=values,
        pairs=tuple(pair_id for name in blamed for pair_id in checks[name].pair_ids)[:10],
        counter=("diagnosis.artefact.counter",) if blamed else (),
        advice=_advice(verdict, only),
    )
    return [finding]


def _proven(blamed: list[str], checks: Mapping[str, Check]) -> Check | None:
    """Return the check of the log where one setting makes it fit to four digits: it explains the others."""
    return checks["logged"] if "logged" in blamed and checks["logged"].key == "checks.logged.fits" else None


def _pairs_are_foreign(checks: Mapping[str, Check]) -> bool:
    """Return whether the pairs are not the trainer's: foreign texts surprise a reference under any template."""
    return "template" in checks and "logged" in checks and checks["logged"].key == "checks.logged.others"


def _doubt(check: Check, n_pairs: int) -> str:
    """Return the verdict to which one check alone leads."""
    if check.verdict == "fail":
        return LIKELY
    if check.verdict != "warn":
        return UNLIKELY
    share = _share(check, n_pairs)
    if check.name == "logged":
        likely, possible = LOG_MISMATCH_SHARE, LOG_DOUBT_SHARE
        if check.values.get("undecided") and share >= possible:  # the pairs may be others than the trainer's
            return POSSIBLE
    elif check.name == "truncated":
        likely, possible = TRUNCATED_SHARE, TRUNCATED_DOUBT_SHARE
    elif check.name in ENDING_CHECKS:
        likely, possible = BAD_ENDING_SHARE, 0.0
    else:
        return POSSIBLE
    return LIKELY if share >= likely else POSSIBLE if share >= possible else UNLIKELY


def _share(check: Check, n_pairs: int) -> float:
    """Return the share of the values compared, or of the pairs, that the check is about."""
    if check.name == "logged":
        return check.values["far"] / check.values["n"] if check.values.get("n") and "far" in check.values else 0.0
    return int(str(check.values.get("n", 0))) / max(int(check.values.get("of", n_pairs)), 1)


def _is_arithmetic(blamed: list[str], checks: Mapping[str, Check]) -> bool:
    """Return whether a failed check is arithmetic; so is a log that a single setting makes fit."""
    hard = any(name in HARD_CHECKS and checks[name].verdict == "fail" for name in blamed)
    return hard or _proven(blamed, checks) is not None


def _sentence(verdict: str, only: Check | None, n_blamed: int) -> str:
    """Return the end of the key of the finding's sentence."""
    if not n_blamed:
        return "offset" if verdict == POSSIBLE else UNLIKELY
    if only is None or verdict not in WITH_SENTENCE.get(only.name, ()):
        return verdict if n_blamed == 1 else f"several.{verdict}"
    if only.key:
        return only.key.removeprefix("checks.")
    return f"{only.name}.{verdict}"


def _advice(verdict: str, only: Check | None) -> str:
    if verdict == UNLIKELY:
        return ""
    if only is not None and only.name == "truncated":
        return "diagnosis.artefact.truncated.advice"
    if only is not None and only.name == "same_reference" and only.verdict == "warn":
        return "diagnosis.artefact.same_reference.advice"
    if only is not None and only.key == "checks.logged.fits":
        return "diagnosis.artefact.logged.fits.advice"
    return "diagnosis.artefact.advice"


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a check as text; the name of a metric is a key of ``words``."""
    return {name: f"metric.{value}" if name == "metric" else str(value) for name, value in values.items()}

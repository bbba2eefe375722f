"""The texts of checks, for the Checks page and the report: their summary, and question, verdict and answer of one."""

from collections.abc import Sequence

from dpo_analysis import words
from dpo_analysis.data.row_texts import TEXT_WARNINGS
from dpo_analysis.diagnosis import CHECK_VERDICTS, Check


def summary(checks: Sequence[Check], lang: str = "en") -> str:
    """Return that no check failed, if so, then how many checks are in each state but passed."""
    counts = {name: sum(check.verdict == name for check in checks) for name in CHECK_VERDICTS if name != "pass"}
    said = [] if counts["fail"] else [words.text("checks.count.good", lang)]
    said += [words.text(f"checks.count.{name}", lang, n=n) for name, n in counts.items() if n]
    return ("" if lang == "zh" else " ").join(said)


def question(check: Check, lang: str = "en") -> str:
    """Return what the check asks."""
    return words.text(f"checks.{check.name}", lang)


def mark(check: Check, lang: str = "en") -> str:
    """Return the verdict in a word, or a tick for a check that passed."""
    return "✓" if check.verdict == "pass" else words.text(f"checks.verdict.{check.verdict}", lang)


def answer(check: Check, lang: str = "en") -> str:
    """Return what the check found, with its numbers."""
    key = check.key or f"checks.{check.name}.{check.verdict}"
    if key in words.catalogue(lang):
        values = dict(check.values)
        if "metric" in values:
            values["metric"] = words.text(f"metric.{values['metric']}", lang)
        sentences = [words.text(name, lang, **values) for name in (key, *check.notes)]
        return ("；" if lang == "zh" else "; ").join(sentences)
    if check.verdict == "unknown":
        return words.text(f"checks.data.unknown{'.text' if check.name in TEXT_WARNINGS else ''}", lang)
    if not check.values["n"]:
        return words.text("checks.data.none", lang)
    return words.text("checks.data", lang, complaint=words.text(f"check.complaint.{check.name}", lang), **check.values)

"""What a check asks and what it found, in words: for the Checks page and the report."""

from dpo_analysis import words
from dpo_analysis.diagnosis import Check


def question(check: Check, lang: str = "en") -> str:
    """What the check asks."""
    return words.text(f"checks.{check.name}", lang)


def mark(check: Check, lang: str = "en") -> str:
    """The verdict in a word, or a tick."""
    return "✓" if check.verdict == "pass" else words.text(f"checks.verdict.{check.verdict}", lang)


def answer(check: Check, lang: str = "en") -> str:
    """What it found, with its numbers."""
    own = f"checks.{check.name}.{check.verdict}"
    if own in words.WORDS:
        metric = {key: words.text(f"metric.{name}", lang) for key, name in check.values.items() if key == "metric"}
        return words.text(own, lang, **check.values | metric)
    if check.verdict == "unknown":
        return words.text("checks.data.unknown", lang)
    if not check.values["n"]:
        return words.text("checks.data.none", lang)
    return words.text("checks.data", lang, complaint=words.text(f"check.complaint.{check.name}", lang), **check.values)

"""The glossary: every word of art with its formula and meaning, and every cause with the rule that calls it likely."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dpo_analysis import words
from dpo_analysis.diagnosis import thresholds
from dpo_analysis.diagnosis.causes import every_cause

TERMS = (
    "logits", "logp", "logps", "average", "log_ratio", "reward", "margin", "accuracy", "advantage", "value",
    "displacement", "lost", "lost_share", "ledger", "pushed", "pulled", "no_data", "place", "near", "credit", "noise",
    "certainty", "verdict",
)  # fmt: skip


MINUS = re.compile(r"-(?=\d)")


class Term(NamedTuple):
    """One entry in the reader's language: the word, its formula or rule, and what it means."""

    name: str
    formula: str
    meaning: str


def glossary(lang: str = "en") -> Iterator[Term]:
    """Every entry, the causes last in their rank's order; the numbers of their rules are those of ``thresholds``."""
    for term in TERMS:
        yield Term(*(words.text(f"details.term.{term}{end}", lang) for end in ("", ".formula", ".meaning")))
    numbers = {name: value for name, value in vars(thresholds).items() if name.isupper()}
    for cause in every_cause():
        rule = words.text(f"glossary.{cause}.rule", lang, **numbers)
        name = words.text(f"diagnosis.cause.{cause}", lang)
        yield Term(name, MINUS.sub("\u2212", rule), words.text(f"glossary.{cause}.meaning", lang))

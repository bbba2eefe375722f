"""The glossary: every technical term with its formula and meaning, and every cause with the rule of "likely"."""

from collections.abc import Iterator
from typing import NamedTuple

from dpo_analysis import words
from dpo_analysis.diagnosis import thresholds
from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.text.numbers import with_minus_signs

TERMS = (
    "logits",
    "logp",
    "logps",
    "average",
    "log_ratio",
    "reward",
    "margin",
    "accuracy",
    "advantage",
    "value",
    "displacement",
    "lost",
    "lost_share",
    "ledger",
    "pushed",
    "pulled",
    "no_data",
    "place",
    "near",
    "credit",
    "noise",
    "certainty",
    "verdict",
)
"""Keys of the terms, in the glossary's order: ``details.term.<key>`` in words."""


class Term(NamedTuple):
    """One entry in the reader's language: the term, its formula or rule, and its meaning."""

    name: str
    formula: str
    meaning: str


def glossary(lang: str = "en") -> Iterator[Term]:
    """Yield every entry: the terms, then the causes by rank; both name the numbers of ``thresholds``."""
    numbers = {name: value for name, value in vars(thresholds).items() if name.isupper()}
    for term in TERMS:
        yield Term(*(words.text(f"details.term.{term}{end}", lang, **numbers) for end in ("", ".formula", ".meaning")))
    for cause in every_cause():
        rule = words.text(f"glossary.{cause}.rule", lang, **numbers)
        name = words.text(f"diagnosis.cause.{cause}", lang)
        yield Term(name, with_minus_signs(rule), words.text(f"glossary.{cause}.meaning", lang))

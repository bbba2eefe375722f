"""The glossary: every technical term with its formula and meaning, and every cause with the rule of "likely"."""

from collections.abc import Iterator
from typing import Any, NamedTuple

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
    "state",
    "fell",
    "lost",
    "lost_share",
    "phrase",
    "ledger",
    "pushed",
    "pulled",
    "no_data",
    "unexplained",
    "place",
    "near",
    "credit",
    "noise",
    "certainty",
    "correlation",
    "tested",
    "verdict",
)
"""Keys of the terms, in the glossary's order: ``details.term.<key>`` in words."""


class Term(NamedTuple):
    """One entry in the reader's language: the term, its formula or rule, and its meaning."""

    name: str
    formula: str
    meaning: str


def term(name: str, lang: str = "en") -> Term:
    """Return the entry of one of ``TERMS``."""
    return Term(*(words.text(f"details.term.{name}{end}", lang, **_numbers()) for end in ("", ".formula", ".meaning")))


def glossary(lang: str = "en") -> Iterator[Term]:
    """Yield every entry: the terms, then the causes by rank; both name the numbers of ``thresholds``."""
    for name in TERMS:
        yield term(name, lang)
    for cause in every_cause():
        rule = words.text(f"glossary.{cause}.rule", lang, **_numbers())
        name = words.text(f"diagnosis.cause.{cause}", lang)
        yield Term(name, with_minus_signs(rule), words.text(f"glossary.{cause}.meaning", lang))


def _numbers() -> dict[str, Any]:
    """Return the numbers of ``thresholds`` that entries name, by name."""
    return {name: value for name, value in vars(thresholds).items() if name.isupper()}

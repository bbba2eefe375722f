"""A check: one question about a run, its answer, and the pairs that the answer is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHECK_VERDICTS = ("fail", "warn", "note", "unknown", "pass")
"""The gravest first; ``unknown``: the run does not hold what would answer the question."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: the question, which is ``checks.<name>`` in ``words``.
        verdict: one of ``CHECK_VERDICTS``.
        values: numbers and names in the answer.
        pair_ids: pairs that the answer is about, the first ``checks.EXAMPLE_PAIRS``.
        key: key of the answer in ``words``, which takes ``values``; empty for ``checks.<name>.<verdict>``.
        notes: keys of further sentences of the answer, which take ``values``, too.
    """

    name: str
    verdict: str
    values: Mapping[str, Any] = field(default_factory=dict)
    pair_ids: tuple[str, ...] = ()
    key: str = ""
    notes: tuple[str, ...] = ()

"""What every chapter of a report is made of: the run, the options, and text that may enter the page unescaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from dpo_analysis import words
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.tables.steps import step_table, worst_series_first

PAIRS = 4
THEMES = ("light", "dark")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report shows.

    Attributes:
        series: only this training run; None for all.
        pair_ids: these pairs; none means those whose chosen response fell most.
        pairs: how many of those.
        beta: instead of each series' own.
        lang: "en" or "zh".
        split: which pairs the numbers are of; None for "eval" where the run has it, else its first split.
    """

    series: str | None = None
    pair_ids: Sequence[str] = ()
    pairs: int = PAIRS
    beta: float | None = None
    lang: str = "en"
    split: str | None = None


class TrustedHtml(str):
    """Text that is made here and goes into the page as it is: style, script, SVG, and JSON without ``<``."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the text unescaped; Jinja2 calls this before it would escape."""
        return str(self)


class ReportRun(NamedTuple):
    """A run as the report shows it.

    Attributes:
        run: the run.
        options: as they were given.
        split: the split that the numbers are of.
        steps: its step table, the series that ends lowest first.
    """

    run: Run
    options: ReportOptions
    split: str
    steps: pd.DataFrame

    def say(self, key: str, **values: object) -> str:
        """Return the words of ``key`` in the report's language."""
        return words.text(key, self.options.lang, **values)


def prepare(run: Run, options: ReportOptions) -> ReportRun:
    """Return the run with its step table, after checking the options.

    Raises:
        InputError: the run has no such series, pair or split, or the number of pairs is negative.
    """
    run.check_pairs("report")
    split = options.split or ("eval" if "eval" in run.splits else run.splits[0])
    if options.pairs < 0:
        raise InputError(f"no report of {options.pairs} pairs: --pairs is 0 or more; give another number")
    for pair_id in options.pair_ids:
        find_pair(run, pair_id)
    steps = step_table(run, beta=options.beta, series=options.series, split=split)
    return ReportRun(run, options, split, worst_series_first(steps))

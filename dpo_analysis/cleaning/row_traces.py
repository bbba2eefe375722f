"""Traces of values that a run cannot keep in its source rows, since JSON has none: bytes, dates, NaN, broken Unicode.

When rows are read, bytes become their length, dates become text, NaN becomes null, and a lone surrogate the replacement
character (``data.shapes.json_values``). The run does not know which values were such, so what looks like one is named.
"""

import json
import re
from collections import Counter

from dpo_analysis.errors import counted

BYTES = re.compile(r'"<\d+ bytes>"')
REPLACED = "\ufffd"
DATE = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?)?")
NAMED_COLUMNS = 3
"""Columns that the note names of each kind."""


class RowTraces:
    """Counts, over source rows as JSON, what looks like a value that JSON does not have."""

    def __init__(self) -> None:
        """Start without any row."""
        self._texts: Counter[str] = Counter()
        self._dates: Counter[str] = Counter()
        self._nulls: Counter[str] = Counter()
        self._numbers: set[str] = set()

    def look_at(self, line: str) -> None:
        """Take one row into account."""
        if BYTES.search(line):
            self._texts["bytes as their length"] += 1
        if REPLACED in line or "\\ufffd" in line:
            self._texts["the replacement character of broken Unicode"] += 1
        for name, value in json.loads(line).items():
            if value is None:
                self._nulls[name] += 1
            elif isinstance(value, float):
                self._numbers.add(name)
            elif isinstance(value, str) and len(value) <= 40 and DATE.fullmatch(value):
                self._dates[name] += 1

    def note(self) -> str:
        """Return one line on what may differ from the data; empty where nothing was seen."""
        found = [f"{what} in {counted(count, 'row')}" for what, count in self._texts.items()]
        found += _named("dates as text in", self._dates)
        found += _named("null among the numbers of", {n: c for n, c in self._nulls.items() if n in self._numbers})
        if not found:
            return ""
        return (
            "the run keeps rows as JSON, which has no bytes, dates, NaN or broken Unicode; there may have been such "
            f"values where it has {', '.join(found)}: compare these with your data if they matter"
        )


def _named(what: str, columns: "dict[str, int] | Counter[str]") -> list[str]:
    names = [f"`{name}`" for name in list(columns)[:NAMED_COLUMNS]]
    more = ", ..." if len(columns) > NAMED_COLUMNS else ""
    return [f"{what} {', '.join(names)}{more}"] if names else []

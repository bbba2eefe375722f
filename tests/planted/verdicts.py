"""Right, cannot tell and wrong: what a set of named runs adds up to, with Wilson intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

CANNOT_TELL = "cannot tell"
NONE = "none"
Z = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Named:
    """One run: what is right to say about it and what was said.

    Attributes:
        run: the entry's name.
        kind: plant, clean, decoy, mixture or artefact.
        cause: the planted cause; ``none`` where nothing should be named.
        where: the planted segment or variant.
        right: every name that counts as right.
        said: the name, or ``cannot tell``.
        at: the segment that was said, or nothing.
    """

    run: str
    kind: str
    cause: str
    where: str
    right: frozenset[str]
    said: str
    at: str = ""

    @property
    def verdict(self) -> str:
        """Right, cannot tell or wrong; on a clean run a name is an alarm and silence is right."""
        if self.cause == NONE:
            return "right" if self.said == CANNOT_TELL else "alarm"
        if self.said == CANNOT_TELL:
            return CANNOT_TELL
        return "right" if self.said in self.right else "wrong"


def wilson(count: int, total: int) -> tuple[float, float]:
    """The Wilson 95 % interval of a share; the whole range where there is nothing."""
    if total == 0:
        return 0.0, 1.0
    share, spread = count / total, Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def tally(found: Iterable[Named]) -> dict[str, Any]:
    """Per cause and over all: numbers of right, cannot tell and wrong, with intervals; alarms on clean runs."""
    found = list(found)
    judged = [one for one in found if one.cause != NONE and one.kind != "mixture"]
    clean = [one for one in found if one.cause == NONE]
    mixed = [one for one in found if one.kind == "mixture"]
    causes = {
        cause: _counts([one for one in judged if one.cause == cause]) for cause in sorted({o.cause for o in judged})
    }
    return {
        "all": _counts(judged),
        "causes": causes,
        "confusion": _confusion(found),
        "clean": _share([one for one in clean if one.verdict == "alarm"], clean),
        "mixtures": _counts(mixed),
        "runs": [{"run": one.run, "verdict": one.verdict, "said": one.said, "at": one.at} for one in found],
    }


def _counts(found: list[Named]) -> dict[str, Any]:
    by = {verdict: [one for one in found if one.verdict == verdict] for verdict in ("right", CANNOT_TELL, "wrong")}
    placed = [one for one in by["right"] if one.at == one.where]
    return {name: _share(some, found) for name, some in by.items()} | {"right place": _share(placed, by["right"])}


def _share(some: list[Named], every: list[Named]) -> dict[str, Any]:
    low, high = wilson(len(some), len(every))
    share = len(some) / len(every) if every else None
    return {"n": len(some), "of": len(every), "share": share, "low": low, "high": high}


def _confusion(found: list[Named]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for one in found:
        row = table.setdefault(f"{one.kind} {one.cause} {one.where}", {})
        row[one.said] = row.get(one.said, 0) + 1
    return table


def as_text(title: str, result: dict[str, Any]) -> str:
    """A table for the terminal; every share with its 95 % interval."""
    lines = [f"{title}", f"{'cause':24s}{'runs':>5s}  {'right':22s}{'cannot tell':22s}{'wrong':22s}"]
    for cause, row in {**result["causes"], "all": result["all"], "mixtures (either)": result["mixtures"]}.items():
        cells = "".join(f"{_cell(row[name]):22s}" for name in ("right", CANNOT_TELL, "wrong"))
        lines.append(f"{cause:24s}{row['right']['of']:5d}  {cells}")
    clean = result["clean"]
    lines.append(f"{'false alarms (clean)':24s}{clean['of']:5d}  {_cell(clean)}")
    return "\n".join(lines)


def _cell(one: dict[str, Any]) -> str:
    return f"{one['n']:3d} {one['low']:.2f} to {one['high']:.2f}" if one["of"] else "  -"

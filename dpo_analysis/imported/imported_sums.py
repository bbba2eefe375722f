"""What was read from elsewhere, whatever its shape: pairs, models, and one summed log-prob for each of both sides."""

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.errors import InputError, counted
from dpo_analysis.schema import REFERENCE, SIDES

ROUNDING = 1e-3
"""Nats by which a sum of log-probs may lie above 0: rounding of 16 bits, no more."""
FACTS = ("prompt", "chosen", "rejected", "group_id")
NUMBERED = re.compile(r"(?:checkpoint-)?([0-9]{1,18})")
Place = tuple[str, str]
"""A split and what the pair is called in it."""


@dataclass(slots=True)
class Entry:
    """One pair: its split, its name there, what is told of it, and where it was read first."""

    split: str
    name: str
    where: str
    named: bool
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Label:
    """One model: its series (empty for the reference), its name and its step."""

    series: str
    name: str
    step: int | None

    @property
    def key(self) -> str:
        """SERIES/NAME, or ``reference``."""
        return f"{self.series}/{self.name}" if self.series else self.name


THE_REFERENCE = Label("", REFERENCE, None)


class Gathered:
    """Log-probs as they are read, one after the other, in 25 bytes each; ``table`` lays them out.

    Attributes:
        pairs: in the order of reading.
        models: likewise.
        unused: names of arrays or columns that were not read.
    """

    def __init__(self) -> None:
        self.pairs: list[Entry] = []
        self.models: list[Label] = []
        self.unused: list[str] = []
        self._pairs: dict[Place, int] = {}
        self._models: dict[tuple[str, str], int] = {}
        self._cells = array("q")
        self._logps = array("d")

    def pair(self, split: str, name: str, where: str, *, named: bool, facts: Mapping[str, str] | None = None) -> int:
        """The place of a pair, made where it is new; what is told of it must agree with what was told before.

        Args:
            split: its split.
            name: what it is called there.
            where: the place of reading, for complaints.
            named: whether ``name`` is the reader's own id, not a number.
            facts: of ``FACTS``, those that stand in this row.

        Raises:
            InputError: a text or group of it is another one than before.
        """
        place = self._pairs.setdefault((split, name), len(self.pairs))
        if place == len(self.pairs):
            self.pairs.append(Entry(split, name, where, named))
        known = self.pairs[place].facts
        for fact, value in (facts or {}).items():
            if known.setdefault(fact, value) != value:
                raise InputError(
                    f"bad row in {where}: pair {name[:40]!r} has another {fact} than in {self.pairs[place].where}; "
                    "one pair_id is one pair, so give each its own"
                )
        return place

    def model(self, label: Label, where: str) -> int:
        """The place of a model, made where it is new.

        Raises:
            InputError: it had another step before.
        """
        key = (label.series, label.name)
        place = self._models.setdefault(key, len(self.models))
        if place == len(self.models):
            self.models.append(label)
        if self.models[place].step != label.step:
            raise InputError(
                f"bad row in {where}: model {label.key} is at step {label.step} here and at "
                f"{self.models[place].step} before; one checkpoint has one step"
            )
        return place

    def add(self, model: int, pair: int, side: int, logps: float) -> None:
        """One sum, nats; NaN where it is unknown."""
        self._cells.extend((model, pair, side))
        self._logps.append(logps)

    def table(self, source: str) -> NDArray[np.float64]:
        """All sums, nats, shape (models, pairs, sides), each given exactly once.

        Raises:
            InputError: one is missing, given twice, or above 0; the first of them is named.
        """
        if not self.pairs:
            raise InputError(f"no rows in {source}: it is empty; give a table with at least one pair")
        shape = len(self.models), len(self.pairs), len(SIDES)
        cells = np.frombuffer(self._cells, dtype=np.int64).reshape(-1, 3)
        values = np.frombuffer(self._logps, dtype=np.float64)
        flat = np.ravel_multi_index(tuple(cells.T), shape)
        times = np.bincount(flat, minlength=int(np.prod(shape)))
        self._refuse(np.flatnonzero(times > 1), shape, source, "twice", "leave one of the rows out")
        self._refuse(
            np.flatnonzero(times == 0), shape, source, "nowhere",
            "give both sides of every pair under every model, an empty value where it is unknown",
        )  # fmt: skip
        table = np.empty(shape)
        table.reshape(-1)[flat] = values
        with np.errstate(invalid="ignore"):
            self._refuse(
                np.flatnonzero(table > ROUNDING), shape, source, "above 0",
                "give log-probs summed over the response in nats, no losses and no probabilities",
            )  # fmt: skip
        return table

    def _refuse(self, flat: NDArray[np.int64], shape: tuple[int, int, int], source: str, how: str, fix: str) -> None:
        if len(flat):
            model, pair, side = (int(one) for one in np.unravel_index(flat[0], shape))
            more = f" and {counted(len(flat) - 1, 'more value')}" if len(flat) > 1 else ""
            raise InputError(
                f"bad table in {source}: the {SIDES[side]} logps of pair {self.pairs[pair].name[:40]!r} under "
                f"{self.models[model].key} stand {how}{more}; {fix}"
            )


def step_of(name: str) -> int | None:
    """The step that a model's name tells (checkpoint-100, 100); None for another name."""
    match = NUMBERED.fullmatch(name)
    return int(match[1]) if match else None

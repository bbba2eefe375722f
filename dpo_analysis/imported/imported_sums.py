"""Summed log-probs as they are read from tables and arrays: pairs, models, and a sum for each of both sides."""

import math
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.errors import InputError, counted
from dpo_analysis.schema import REFERENCE, SIDES

MAX_LOGPS = 1e-3
"""Nats by which a sum of log-probs may lie above 0, since 16 bits round."""
MAX_WHOLE = 2**53
"""Steps and numbers of rows lie below: from here on whole numbers are no longer told apart by a float."""
PAIR_FIELDS = ("prompt", "chosen", "rejected", "group_id")
"""The fields of a pair that its rows may have."""
CHECKPOINT_NAME = re.compile(r"(?:checkpoint-)?([0-9]{1,15})")


@dataclass(slots=True)
class ImportedPair:
    """A pair as its rows describe it.

    Attributes:
        split: its split.
        name: its pair_id, or its number within the split.
        where: the place where it was read first.
        has_id: whether ``name`` is a pair_id, and not a number.
        fields: those of ``PAIR_FIELDS`` that some row has.
    """

    split: str
    name: str
    where: str
    has_id: bool
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model as its rows name it: series (empty for the reference), name and step (None where unknown)."""

    series: str
    name: str
    step: int | None

    @property
    def key(self) -> str:
        """SERIES/NAME, or ``reference``."""
        return f"{self.series}/{self.name}" if self.series else self.name


THE_REFERENCE = ImportedModel("", REFERENCE, None)


class ImportedSums:
    """Summed log-probs in the order of reading, 25 bytes each; ``to_array`` arranges them by model, pair and side.

    Attributes:
        pairs: the pairs in the order of reading.
        models: the models in the order of reading.
        unused: names of arrays or columns that were not read.
    """

    def __init__(self) -> None:
        self.pairs: list[ImportedPair] = []
        self.models: list[ImportedModel] = []
        self.unused: list[str] = []
        self._pair_index: dict[tuple[str, str], int] = {}
        self._model_index: dict[tuple[str, str], int] = {}
        self._indices = array("q")
        self._logps = array("d")

    def add_pair(
        self, split: str, name: str, where: str, *, has_id: bool, fields: Mapping[str, str] | None = None
    ) -> int:
        """Return the index of a pair, added if new.

        Args:
            split: its split.
            name: its pair_id, or its number within the split.
            where: the place of reading, for error messages.
            has_id: whether ``name`` is a pair_id, and not a number.
            fields: those of ``PAIR_FIELDS`` that this row has.

        Raises:
            InputError: a field has another value than in an earlier row of the same pair.
        """
        index = self._pair_index.setdefault((split, name), len(self.pairs))
        if index == len(self.pairs):
            self.pairs.append(ImportedPair(split, name, where, has_id))
        pair = self.pairs[index]
        for key, value in (fields or {}).items():
            if pair.fields.setdefault(key, value) != value:
                raise InputError(
                    f"bad row in {where}: pair {name[:40]!r} has a different {key} in {pair.where}; "
                    "give each pair a pair_id of its own"
                )
        return index

    def add_model(self, model: ImportedModel, where: str) -> int:
        """Return the index of a model, added if new.

        Raises:
            InputError: the model had another step in an earlier row.
        """
        index = self._model_index.setdefault((model.series, model.name), len(self.models))
        if index == len(self.models):
            self.models.append(model)
        step = self.models[index].step
        if step != model.step:
            raise InputError(
                f"bad row in {where}: model {model.key} has step {model.step}, but step {step} in an earlier "
                "row; give each checkpoint one step"
            )
        return index

    def add_sum(self, model: int, pair: int, side: int, logps: float) -> None:
        """Add a summed log-prob, nats; NaN where it is unknown. The model, the pair and the side are indices."""
        self._indices.extend((model, pair, side))
        self._logps.append(logps)

    def to_array(self, source: str) -> NDArray[np.float64]:
        """Return all sums, nats, shape (models, pairs, sides); NaN where a sum is unknown.

        Args:
            source: the name of the tables, for error messages.

        Raises:
            InputError: a sum is missing, given twice or above 0; the message names the first.
        """
        if not self.pairs:
            raise InputError(f"no rows in {source}: it is empty; give a table with at least one pair")
        shape = len(self.models), len(self.pairs), len(SIDES)
        indices = np.frombuffer(self._indices, dtype=np.int64).reshape(-1, 3)
        values = np.frombuffer(self._logps, dtype=np.float64)
        flat = (indices[:, 0] * shape[1] + indices[:, 1]) * shape[2] + indices[:, 2]
        # Nothing of this shape is made before every sum is known to be there: 20,000 rows, each of another pair and
        # another model, would ask for 6 GB.
        order = np.argsort(flat, kind="stable")
        flat, values = flat[order], values[order]
        twice = flat[1:][flat[1:] == flat[:-1]]
        self._refuse(twice, len(twice), shape, source, "twice", "leave one of the rows out")
        gaps = np.flatnonzero(flat != np.arange(len(flat)))
        missing = gaps[:1] if len(gaps) else np.array([len(flat)])
        both_sides = "give both sides of every pair under every model, an empty value where it is unknown"
        self._refuse(missing, math.prod(shape) - len(flat), shape, source, "nowhere", both_sides)
        with np.errstate(invalid="ignore"):
            above = np.flatnonzero(values > MAX_LOGPS)
        sums_in_nats = "give log-probs summed over the response in nats, no losses and no probabilities"
        self._refuse(above, len(above), shape, source, "above 0", sums_in_nats)
        return values.reshape(shape)

    def _refuse(
        self, wrong: NDArray[np.int64], count: int, shape: tuple[int, int, int], source: str, how: str, fix: str
    ) -> None:
        """Raise an InputError if a sum is wrong.

        Args:
            wrong: the flat index of at least the first wrong sum.
            count: how many sums are wrong.
            shape: numbers of models, pairs and sides.
            source: the name of the tables.
            how: how the sums stand in the tables: twice, nowhere, above 0.
            fix: what to do about it.
        """
        if count:
            model, pair, side = (int(index) for index in np.unravel_index(wrong[0], shape))
            more = f" and {counted(count - 1, 'more value')}" if count > 1 else ""
            raise InputError(
                f"bad table in {source}: the {SIDES[side]} logps of pair {self.pairs[pair].name[:40]!r} under "
                f"{self.models[model].key} stand {how}{more}; {fix}"
            )


def step_from_name(name: str) -> int | None:
    """Return the step in the name of a model (checkpoint-100, 100); None for any other name."""
    match = CHECKPOINT_NAME.fullmatch(name)
    return int(match[1]) if match else None

"""The values of a training log on their way to a table of curves: steps logged again, NaN, infinities and losses."""

import math
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.trainer.logs.aliases import NOT_METRICS, metrics_of

MAX_CURVES = 20_000
MAX_VALUES = 20_000_000
COUNTS = ("duplicates", "discarded", "nulls", "nan", "infinite", "damaged", "lost_bytes", "log_calls")
"""What the metadata of a table of curves counts, see ``Curves``."""
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How trackio and W&B write numbers that JSON does not have."""


class Curves:
    """The values of one training run, added in the order in which they were logged.

    A step that goes back is a run that was resumed from a checkpoint: what was logged from that step on before does not
    count. So the last value of a step counts (``duplicates``), and later steps that the resumed run never reached are
    left out (``discarded``). NaN and infinities are null (``nan``, ``infinite``, both ``nulls``).

    Attributes:
        damaged: records or lines of the log that could not be read.
        lost_bytes: bytes behind the place where reading had to end.
        log_calls: values whose step is the count of W&B or trackio, which may be that of the calls of ``log``.
    """

    def __init__(self) -> None:
        """Make curves without values."""
        self.damaged = self.lost_bytes = self.log_calls = 0
        self._values: dict[str, tuple[array[int], array[float]]] = {}
        self._epochs: dict[int, float] = {}
        self._count = 0

    @property
    def last_step(self) -> int | None:
        """The highest step with a value; None where there is none."""
        return max((max(steps) for steps, _ in self._values.values() if steps), default=None)

    def add(self, key: str, step: int, value: float) -> None:
        """Add a value: ``key`` is named as in trainer_state.json, ``step`` counts optimizer steps.

        Raises:
            InputError: more curves or values than any training logs.
        """
        key = key.encode("utf-8", "replace").decode()  # a lone surrogate cannot be stored
        column = self._values.get(key)
        if column is None:
            if len(self._values) >= MAX_CURVES:
                raise InputError(f"more than {MAX_CURVES} metrics in a training log: this is no log of a training")
            column = self._values[key] = (array("q"), array("d"))
        column[0].append(step)
        column[1].append(value)
        self._count += 1
        if self._count > MAX_VALUES:
            raise InputError(f"more than {MAX_VALUES} values in a training log: thin it out and try again")

    def add_epoch(self, step: int, epoch: object) -> None:
        """Note the epoch of a step; what is no finite number is passed over."""
        number = as_float(epoch)
        if number is not None and math.isfinite(number):
            self._epochs[step] = number

    def add_record(self, record: Mapping[str, Any], step: object, *, counts_calls: bool = False) -> None:
        """Add every number of a logged record, whose keys are named as in trainer_state.json, and its epoch.

        Args:
            record: values by name.
            step: the step of the record; without one, the record is passed over.
            counts_calls: whether the step is the count of W&B or trackio.
        """
        checked = as_step(step)
        if checked is None:
            return
        self.add_epoch(checked, record.get("epoch"))
        for key, value in record.items():
            if key not in NOT_METRICS and not key.startswith("_"):
                number = as_float(value)
                if number is not None:
                    self.add(key, checked, number)
                    self.log_calls += counts_calls

    def table(self, series: str) -> pa.Table:
        """Return ``schema.CURVES_SCHEMA``, sorted by split, metric and step; its metadata has ``COUNTS``."""
        names = metrics_of(self._values)
        counts = dict.fromkeys(COUNTS, 0) | {
            "damaged": self.damaged,
            "lost_bytes": self.lost_bytes,
            "log_calls": self.log_calls,
        }
        tables = []
        for key in sorted(names, key=lambda key: names[key]):
            steps, values = (np.frombuffer(column, kind) for column, kind in zip(self._values[key], "qd", strict=True))
            kept = _kept(steps)
            duplicates = int(np.isin(steps[~kept], steps[kept]).sum())
            counts["duplicates"] += duplicates
            counts["discarded"] += int((~kept).sum()) - duplicates
            steps, values = steps[kept], values[kept]
            counts["nan"] += int(np.isnan(values).sum())
            counts["infinite"] += int(np.isinf(values).sum())
            tables.append(self._curve(series, *names[key], steps, values))
        counts["nulls"] = counts["nan"] + counts["infinite"]
        table = pa.concat_tables([CURVES_SCHEMA.empty_table(), *tables])
        return table.replace_schema_metadata({name: str(count) for name, count in counts.items()})

    def _curve(self, series: str, split: str, metric: str, steps: np.ndarray, values: np.ndarray) -> pa.Table:
        """Return one curve in ``schema.CURVES_SCHEMA``."""
        columns = {
            "series": pa.repeat(series, len(steps)),
            "split": pa.repeat(split, len(steps)),
            "step": steps,
            "epoch": [self._epochs.get(step) for step in steps.tolist()],
            "metric": pa.repeat(metric, len(steps)),
            "value": pa.array(values, pa.float64(), mask=~np.isfinite(values)),
        }
        arrays = [pa.array(columns[field.name], field.type) for field in CURVES_SCHEMA]
        return pa.table(arrays, schema=CURVES_SCHEMA)


def _kept(steps: np.ndarray) -> np.ndarray:
    """Return, by value, whether every later value belongs to a later step."""
    following = np.full(len(steps), np.iinfo(np.int64).max)
    if len(steps) > 1:
        following[:-1] = np.minimum.accumulate(steps[::-1])[::-1][1:]
    return steps < following


def as_float(value: object) -> float | None:
    """Return a logged number; None for anything else. Integers beyond floats are infinite."""
    if isinstance(value, str):
        return NOT_FINITE.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON integers have no upper bound
        return math.inf if value > 0 else -math.inf


def as_step(value: object) -> int | None:
    """Return a step, a whole number from 0 as int64 holds it; ``"5/40"`` is step 5. None for anything else."""
    if isinstance(value, str):
        first = value.partition("/")[0].strip()
        value = int(first) if first.isascii() and first.isdigit() and len(first) < 19 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        return None
    return value


def no_values(path: Path) -> InputError:
    """Return the error for a log that was read and has no values."""
    return InputError(f"no values in training log {path}: no step has a number; name another log")

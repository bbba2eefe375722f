"""What a Ray driver sends to its workers and gets back: tasks, and records of what a task would have written.

A worker scores with the same session as any other process, but writes to a ``RecordingWriter`` instead of a run folder.
The driver then writes the records into the folder that it has locked. So the files are those of one process, and no
worker needs the folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.runs import Model, NoiseFloor, Part


@dataclass(frozen=True, slots=True)
class EvidencePlan:
    """The evidence that workers collect.

    Attributes:
        kinds: ``topk``, ``kl``, ``hidden``.
        rows: rows of the pairs to collect it of, by model key.
        parts: the parts of the run, reduced to these pairs.
    """

    kinds: Sequence[str]
    rows: Mapping[str, frozenset[int]]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Task:
    """Work on one part of one model.

    Attributes:
        model: the model.
        part: the part to score or to collect evidence of; None: only measure the noise floor.
        is_unscored: whether the part's scores are missing.
        noise_pairs: the pairs to measure the noise floor on; None: it is not measured.
    """

    model: Model
    part: Part | None
    is_unscored: bool
    noise_pairs: list[TokenizedPair] | None


@dataclass(frozen=True, slots=True)
class ScoresRecord:
    """Scores of the task's part, in ``schema.SCORES_SCHEMA``."""

    table: pa.Table


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """Evidence of one kind about the task's part, in the kind's schema."""

    kind: str
    table: pa.Table


@dataclass(frozen=True, slots=True)
class NoiseFloorRecord:
    """The run's noise floor."""

    noise: NoiseFloor


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One event for the run's log."""

    event: str
    facts: dict[str, Any]


Record = ScoresRecord | EvidenceRecord | NoiseFloorRecord | LogRecord


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What came of one task.

    Attributes:
        records: what to write, in order.
        failure: why the model cannot be used; empty where it could.
        n_out_of_memory: pairs that did not fit into memory.
        n_tokens: prompt and response tokens that were read.
        fingerprint: hash of the model's outputs in the engine's self-check; empty where it was not opened.
        unavailable: kinds of evidence that cannot be collected, each with the key of the model.
        worker: host and process id of the worker; empty where it was lost.
    """

    records: list[Record]
    failure: str
    n_out_of_memory: int = 0
    n_tokens: int = 0
    fingerprint: bytes = b""
    unavailable: frozenset[tuple[str, str]] = frozenset()
    worker: str = ""


class RecordingWriter:
    """A ``ScoreWriter`` on a worker, which has no run folder: it records what it is given to write.

    Args:
        models: the models of the command.
        evidence_parts: the parts to collect evidence of.
        folder: where hidden states go that do not fit into memory.

    Attributes:
        task: the current task, which decides what is missing.
        records: what the task has written so far.
    """

    shard = (0, 1)
    tag = "away"
    identity_hash = ""

    def __init__(self, models: Sequence[Model], evidence_parts: Sequence[Part], folder: Path) -> None:
        self.models, self.shard_parts, self.path = list(models), list(evidence_parts), folder
        self.expected: dict[str, tuple[str, int]] = {}
        self.task = Task(self.models[0], None, False, None)
        self.records: list[Record] = []

    def begin(self, task: Task) -> None:
        """Make ``task`` the current one, without any records."""
        self.task, self.records = task, []

    @property
    def has_noise_floor(self) -> bool:
        """Whether the noise floor is stored already, or measured by another task."""
        return self.task.noise_pairs is None

    @property
    def parts(self) -> list[Part]:
        """One part with the pairs that the noise floor is measured on: nothing else asks for the plan of the run."""
        return [Part(0, [], self.task.noise_pairs or [])]

    def missing_parts(self, model: Model) -> list[Part]:
        """Return the task's part where ``model`` is to score it; no other part."""
        task = self.task
        return [task.part] if task.part is not None and task.is_unscored and model == task.model else []

    def write_scores(self, model: Model, part: Part, table: pa.Table) -> None:
        """Record the scores of the task's part."""
        self._check_is_task(model.key, part.index)
        self.records.append(ScoresRecord(table))

    def write_noise_floor(self, noise: NoiseFloor) -> None:
        """Record the noise floor."""
        self.records.append(NoiseFloorRecord(noise))

    def write_addition(self, path: str, table: pa.Table, label: Mapping[str, str]) -> None:
        """Record evidence about the task's part; the driver makes path and label anew."""
        self._check_is_task(label["model"], int(label["part"]))
        self.records.append(EvidenceRecord(label["kind"], table))

    def log(self, event: str, **facts: Any) -> None:
        """Record one event for the log."""
        self.records.append(LogRecord(event, facts))

    def _check_is_task(self, key: str, part_index: int) -> None:
        part = self.task.part
        is_task = part is not None and (key, part_index) == (self.task.model.key, part.index)
        assert is_task, f"{key}, part {part_index}, in a task of {self.task.model.key}"

"""What scoring needs of a run folder's writer, so that a worker without the folder can record instead of write."""

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from dpo_analysis.runs import Model, NoiseFloor, Part
from dpo_analysis.runs.evidence.kinds import RunFolder


class ScoreWriter(RunFolder, Protocol):
    """Takes the scores and the evidence of one worker; ``runs.RunWriter``, or a recorder on a Ray worker.

    Attributes:
        models: what the command scores, the reference first.
        expected: evidence that the worker is to write, by path: its name, and its part.
    """

    models: list[Model]
    expected: dict[str, tuple[str, int]]

    @property
    def shard(self) -> tuple[int, int]:
        """The worker's number, and the number of workers."""
        ...

    @property
    def tag(self) -> str:
        """Marks the temporary files of the worker."""
        ...

    @property
    def parts(self) -> Sequence[Part]:
        """The whole plan of the run."""
        ...

    @property
    def shard_parts(self) -> list[Part]:
        """The parts of the worker's share, in order."""
        ...

    @property
    def has_noise_floor(self) -> bool:
        """Whether the noise floor need not be measured any more."""
        ...

    def missing_parts(self, model: Model) -> list[Part]:
        """Return the worker's parts that lack scores of ``model``, in order."""
        ...

    def write_scores(self, model: Model, part: Part, table: pa.Table) -> None:
        """Write one part of one model, whole, in ``schema.SCORES_SCHEMA``."""
        ...

    def write_noise_floor(self, noise: NoiseFloor) -> None:
        """Write the noise floor."""
        ...


def log_note(writer: ScoreWriter, line: str) -> None:
    """Write a line into the run's log."""
    writer.log("note", text=line)

"""One part of one model, scored on another machine: what was to be written comes back, and is written at home.

A worker runs the same session as a process of its own would, but on a ``Memo`` instead of a run folder. So whatever a
session writes is written by the one process that holds the folder's lock, and the files are those of one process.
"""

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.errors import DPOAnalysisError, InputError
from dpo_analysis.runs import Model, Part
from dpo_analysis.scoring.loop import Session

if TYPE_CHECKING:
    from dpo_analysis.scoring.models.model_set import Entry
    from dpo_analysis.scoring.models.settings import Means

PART = "the part of this task"
"""Stands for the part itself in what comes back: home has it."""


@dataclass(frozen=True, slots=True)
class Collection:
    """The evidence that is wanted: its kinds, rows of pairs by model key, and the parts cut down to those pairs."""

    kinds: Sequence[str]
    rows: Mapping[str, frozenset[int]]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do with one model.

    Attributes:
        model: which.
        part: the part to score or to collect evidence of; None: only measure the noise floor.
        unscored: whether its scores are missing.
        noise: the pairs to measure the noise floor on; None: it is not wanted.
    """

    model: Model
    part: Part | None
    unscored: bool
    noise: list[TokenizedPair] | None


class Memo:
    """Stands in for a run folder's writer where there is none: remembers what it is told to write and to log.

    Attributes:
        task: the one at hand.
        calls: name, arguments and named arguments, in order.
        own_parts: those with evidence to collect.
    """

    shard, tag, identity_hash = (0, 1), "away", ""

    def __init__(self, models: Sequence[Model], own_parts: Sequence[Part], folder: Path) -> None:
        """For the models of a command; ``folder`` is for what does not fit into memory."""
        self.models, self.own_parts, self.path = list(models), list(own_parts), folder
        self.expected: dict[str, tuple[str, int]] = {}
        self.task = Task(self.models[0], None, False, None)
        self.calls: list[tuple[str, list[Any], dict[str, Any]]] = []

    @property
    def has_noise(self) -> bool:
        """Whether the noise floor is known, or measured by another task."""
        return self.task.noise is None

    @property
    def parts(self) -> list[Part]:
        """One, of the pairs that the noise floor is to be measured on."""
        return [Part(0, [], self.task.noise or [])]

    def mine(self, model: Model) -> list[Part]:
        """The part to score."""
        task = self.task
        return [task.part] if task.part is not None and task.unscored and model == task.model else []

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Any ``write_...`` and ``put_...`` of a writer, and ``log``."""
        if not name.startswith(("write_", "put_")) and name != "log":
            raise AttributeError(f"{name} on a worker without a run folder")
        return partial(self._remember, name)

    def _remember(self, name: str, *given: Any, **named: Any) -> None:
        self.calls.append((name, [PART if one is self.task.part else one for one in given], named))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one task.

    Attributes:
        calls: of the ``Memo``.
        failure: why the model cannot be used; empty where it could.
        no_memory: scorings that did not fit into memory.
        tokens: prompt and response tokens that were read.
        probe: the model's outputs in its self-check, hashed; empty where it was not opened.
        gone: kinds of evidence that cannot be had, and of which models.
        where: host and process; empty where the worker was lost.
    """

    calls: list[tuple[str, list[Any], dict[str, Any]]]
    failure: str
    no_memory: int = 0
    tokens: int = 0
    probe: bytes = b""
    gone: frozenset[tuple[str, str]] = frozenset()
    where: str = ""


class Worker:
    """Holds the models that it was last asked for, and scores parts; it lives in a process of its own."""

    def __init__(
        self, entries: Sequence["Entry"], means: "Means", wanted: Collection | None, home: tuple[str, str]
    ) -> None:
        """Get ready for ``entries``; ``home`` is the host and the working folder of the process that asks."""
        self._entries, self._means = {entry.model.key: entry for entry in entries}, means
        self._home, self._probe = home[0], b""
        self._checked: set[str] = set()
        # relative paths of models mean the same here, where that folder is shared
        with contextlib.suppress(OSError):
            os.chdir(home[1])
        models = [entry.model for entry in entries]
        self._memo = Memo(models, wanted.parts if wanted else (), Path(tempfile.gettempdir()))
        sources = means.sources(entries, self._note, self)
        self._sources = {source.model.key: source for source in sources}
        self._evidence = self._collector(wanted) if wanted else None

    def see(self, model: Model, engine: Any) -> None:
        """As ``sources.Watch``: the reference may be open elsewhere, so home compares."""
        if model == self._memo.task.model:
            self._probe = engine.probe

    def where(self) -> str:
        """Host and process, once it is there."""
        return f"{socket.gethostname()} {os.getpid()}"

    def work(self, task: Task) -> Outcome:
        """Do ``task``; what keeps its model from being used is in the outcome."""
        from dpo_analysis.scoring.models.loading import few_threads, pick_device

        self._memo.task, self._memo.calls, self._probe = task, [], b""
        key = task.model.key
        session = Session(self._memo, self._means.batch_tokens, lambda progress: None, self._evidence)  # type: ignore[arg-type]
        try:
            self._check(key)
            with few_threads(self._means.n_parameters, pick_device(self._means.device)):
                session.visit(self._sources[key], [] if task.part is None else [task.part])
            failure = session.failures.get(key, "")
        except DPOAnalysisError as error:
            failure = str(error)
            self._memo.log("failed", model=key, reason=failure)
        gone = frozenset(self._evidence.gone if self._evidence else ())
        return Outcome(
            self._memo.calls, failure, session.no_memory, session.done_tokens, self._probe, gone, self.where()
        )

    def _note(self, line: str) -> None:
        self._memo.log("note", text=line)

    def _collector(self, wanted: Collection):
        from dpo_analysis.scoring.evidence.collector import Collector

        reference = next(source for source in self._sources.values() if source.model.is_reference)
        tokens = self._means.batch_tokens
        return Collector(self._memo, reference, wanted.rows, kinds=wanted.kinds, batch_tokens=tokens, note=self._note)  # type: ignore[arg-type]

    def _check(self, key: str) -> None:
        """On another machine the path must lead to the same weights.

        Raises:
            InputError: it leads to others.
        """
        from dpo_analysis.scoring.models.preflight import weights_sha256

        entry = self._entries[key]
        if key in self._checked or entry.files is None or socket.gethostname() == self._home:
            return
        if weights_sha256(entry.files) != entry.model.weights:
            raise InputError(
                f"other weights in {entry.files.folder} on host {socket.gethostname()} than on {self._home}: "
                "use a folder that all machines share, or copy the model again"
            )
        self._checked.add(key)

"""The parts of a run dealt out to the workers of a cluster, and what they did written by this one process.

A worker keeps to its model while that has parts left, so that large models are loaded seldom.
"""

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Part
from dpo_analysis.scoring.loop import Progress, Session, needs_noise
from dpo_analysis.scoring.noise_floor import noise_pairs
from dpo_analysis.scoring.workers.ray_cluster import RETRIES, Cluster
from dpo_analysis.scoring.workers.ray_worker import PART, Collection, Outcome, Task

if TYPE_CHECKING:
    from dpo_analysis.runs import RunWriter
    from dpo_analysis.scoring.evidence.collector import Collector
    from dpo_analysis.scoring.models.model_set import Entry
    from dpo_analysis.scoring.models.settings import Means


def score_on(
    cluster: Cluster,
    means: "Means",
    writer: "RunWriter",
    entries: Sequence["Entry"],
    *,
    batch_tokens: int,
    report: Callable[[Progress], None],
    evidence: "Collector | None" = None,
) -> None:
    """``work.score_parts`` on the cluster's workers; every file is written here.

    Raises:
        InputError: no worker could start; else as ``work.score_parts``.
    """
    session = Session(writer, batch_tokens, report, evidence)
    with session.running(entries):
        tasks = _Tasks(session, [entry.model for entry in entries])
        home = (socket.gethostname(), os.getcwd())
        crew = _Crew(cluster, (list(entries), means, _collection(writer, evidence), home), session.writer.log)
        probes: dict[Model, bytes] = {}
        while len(tasks) or crew.is_busy:
            for task, outcome in crew.work(tasks):
                _conclude(session, tasks, task, outcome)
                if outcome.probe:
                    probes[task.model] = outcome.probe
        crew.dismiss()
        _compare(writer.log, probes)


def check_entries(entries: Sequence["Entry"]) -> None:
    """Refuse models that only this process has.

    Raises:
        InputError: one is in its memory.
    """
    loaded = next((entry.model.key for entry in entries if entry.files is None), None)
    if loaded is not None:
        raise InputError(f"{loaded} is in the memory of this process: save it where all workers see it, and pass that")


def _collection(writer: "RunWriter", evidence: "Collector | None") -> Collection | None:
    """What a worker must know to collect evidence: the pairs that are wanted, and no others."""
    if evidence is None:
        return None
    rows = frozenset().union(*evidence.wanted.values())
    parts = []
    for part in writer.parts:
        kept = [(row, pair) for row, pair in zip(part.rows, part.pairs, strict=True) if row in rows]
        if kept:
            parts.append(Part(part.index, [row for row, _ in kept], [pair for _, pair in kept]))
    return Collection(evidence.kinds, evidence.wanted, parts)


class _Tasks:
    """What is missing, by model."""

    def __init__(self, session: Session, models: Sequence[Model]) -> None:
        writer = session.writer
        self._models = {model.key: model for model in models}
        self._left = {model.key: deque(session.missing(model)) for model in models}
        self._unscored = {model.key: {part.index for part in writer.mine(model)} for model in models}
        tokenized = [pair for part in writer.parts for pair in part.pairs]
        self._noise = {model.key: noise_pairs(tokenized) for model in models if needs_noise(writer, model)}

    def __len__(self) -> int:
        return sum(map(len, self._left.values())) + sum(not self._left[key] for key in self._noise)

    def take(self, last: str) -> Task | None:
        """The next task for a worker that holds the model ``last``; None where none is left.

        Another model is the one with most parts left; before all of them comes the one that the noise is measured on.
        """
        most = max(self._left, key=lambda one: (one in self._noise, len(self._left[one])))
        key = last if self._left.get(last) else most
        if not self._left[key] and key not in self._noise:
            return None
        part = self._left[key].popleft() if self._left[key] else None
        unscored = part is not None and part.index in self._unscored[key]
        return Task(self._models[key], part, unscored, self._noise.pop(key, None))

    def drop(self, key: str) -> None:
        """Forget what is left of a model that cannot be used."""
        self._left[key].clear()
        self._noise.pop(key, None)


class _Crew:
    """The workers: those that start, those that wait for a task, and what the others are at."""

    def __init__(self, cluster: Cluster, needed: tuple, log: Callable[..., None]) -> None:
        self._cluster, self._needed, self._log = cluster, needed, log
        self._starting: dict[Any, Any] = {}
        self._idle: list[tuple[Any, str]] = []
        self._busy: dict[Any, tuple[Any, Task]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a task is under way."""
        return bool(self._busy)

    def work(self, tasks: _Tasks) -> Iterator[tuple[Task, Outcome]]:
        """Hire, deal out, wait for something to be done, and give what was done."""
        size = len(self._starting) + len(self._idle) + len(self._busy)
        for _ in range(size, min(self._cluster.slots(), len(tasks) + len(self._busy))):
            actor = self._cluster.hire(self._needed)
            self._starting[actor.where.remote()] = actor
        while self._idle and (task := tasks.take(self._idle[-1][1])):
            actor, _ = self._idle.pop()
            self._busy[actor.work.remote(task)] = (actor, task)
        for done in self._cluster.first_done([*self._busy, *self._starting]):
            result = self._cluster.result(done)
            if done in self._starting:
                self._join(self._starting.pop(done), result)
                continue
            actor, task = self._busy.pop(done)
            if isinstance(result, Outcome):
                self._idle.append((actor, task.model.key))
            else:
                self._cluster.dismiss(actor)
                result = _lost(task)
            yield task, result

    def dismiss(self) -> None:
        """End every worker: there is nothing left to do."""
        for actor in [*self._starting.values(), *(actor for actor, _ in self._idle)]:
            self._cluster.dismiss(actor)

    def _join(self, actor: Any, where: Any) -> None:
        if isinstance(where, str):
            self._log("worker", worker=where)
            self._idle.append((actor, ""))
        elif not (self._idle or self._busy or self._starting):
            cause = str(where).strip().splitlines()[-1][:160]
            raise InputError(f"no Ray worker could start: {cause}; install dpo-analysis[score] on every machine")


def _lost(task: Task) -> Outcome:
    what = "the noise floor" if task.part is None else f"part {task.part.index}"
    return Outcome([], f"its worker died {RETRIES + 1} times at {what}, for lack of memory perhaps")


def _conclude(session: Session, tasks: _Tasks, task: Task, outcome: Outcome) -> None:
    """Write what a worker did; a policy that cannot be used is remembered, the reference's end is the end.

    Raises:
        InputError: the reference cannot be used.
    """
    _write(session, task, outcome)
    session.no_memory += outcome.no_memory
    if not outcome.failure:
        if task.part is not None:
            session.tell(outcome.tokens, task.model, task.part)
        return
    if task.model.is_reference and outcome.where:
        raise InputError(outcome.failure)
    session.failures.setdefault(task.model.key, outcome.failure)
    tasks.drop(task.model.key)


def _write(session: Session, task: Task, outcome: Outcome) -> None:
    """Do here what the worker was to do."""
    evidence: Any = session.evidence
    for name, given, named in outcome.calls:
        if name == "put_addition":
            _, table, label = given
            evidence.put(label["kind"], task.model, task.part, table)
            continue
        told = named | {"worker": outcome.where} if name == "log" else named
        known = [task.part if isinstance(one, str) and one == PART else one for one in given]
        getattr(session.writer, name)(*known, **told)
    if evidence is not None and outcome.gone:
        evidence.forget(outcome.gone)


class _Probe(NamedTuple):
    """As much of an engine as ``sources.Watch`` looks at."""

    probe: bytes


def _compare(log: Callable[..., None], probes: dict[Model, bytes]) -> None:
    """Tell which policies are the reference in disguise."""
    from dpo_analysis.scoring.models.model_loader import Watch

    watch = Watch(lambda line: log("note", text=line))
    for model in sorted(probes, key=lambda one: not one.is_reference):
        watch.see(model, _Probe(probes[model]))  # type: ignore[arg-type]

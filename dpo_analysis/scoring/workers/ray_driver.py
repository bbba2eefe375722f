"""The driver of a Ray run: gives the parts to the workers of a cluster, and writes what they send back.

A worker keeps to its model while that has parts left, so that large models are loaded seldom.
"""

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Part, RunWriter
from dpo_analysis.scoring.loop import Progress, ScoringSession, needs_noise_floor
from dpo_analysis.scoring.noise_floor import noise_pairs
from dpo_analysis.scoring.score_writer import log_note
from dpo_analysis.scoring.workers.ray_cluster import MAX_RETRIES, Cluster, WorkerHandle
from dpo_analysis.scoring.workers.ray_worker import WorkerSetup
from dpo_analysis.scoring.workers.task_records import (
    EvidencePlan,
    EvidenceRecord,
    LogRecord,
    NoiseFloorRecord,
    ScoresRecord,
    Task,
    TaskResult,
)

if TYPE_CHECKING:
    from ray import ObjectRef

    from dpo_analysis.scoring.evidence.collector import RunCollector
    from dpo_analysis.scoring.models.model_loader import LoadableModel
    from dpo_analysis.scoring.models.resolved_model import ResolvedModel
    from dpo_analysis.scoring.models.settings import ScoringSettings


def score_on_ray(
    cluster: Cluster,
    settings: "ScoringSettings",
    writer: RunWriter,
    sources: Sequence["LoadableModel"],
    *,
    batch_tokens: int,
    report: Callable[[Progress], None],
    evidence: "RunCollector | None" = None,
) -> None:
    """Score as ``loop.score_parts`` does, on the cluster's workers; every file is written by this process.

    Args:
        cluster: the cluster.
        settings: how the models are loaded and scored.
        writer: the open run folder.
        sources: its models, the reference first.
        batch_tokens: tokens of one forward pass.
        report: called after every part.
        evidence: the evidence to collect; None for none.

    Raises:
        InputError: no worker could start; else as ``loop.score_parts``.
    """
    session = ScoringSession(writer, batch_tokens, report, evidence)
    models = [source.model for source in sources]
    with session.running(writer, models):
        tasks = _TaskQueue(session, models)
        setup = WorkerSetup(
            models=[source.resolved for source in sources],
            settings=settings,
            evidence=_evidence_plan(writer, evidence),
            driver_host=socket.gethostname(),
            driver_folder=os.getcwd(),
        )
        pool = _WorkerPool(cluster, setup, writer)
        fingerprints: dict[Model, bytes] = {}
        while len(tasks) or pool.is_busy:
            for task, result in pool.next_results(tasks):
                _write_records(writer, evidence, task, result)
                _count_result(session, tasks, task, result)
                if result.fingerprint:
                    fingerprints[task.model] = result.fingerprint
        pool.stop()
        _note_equal_models(writer, fingerprints)


def check_models_on_disk(models: Sequence["ResolvedModel"]) -> None:
    """Refuse models that only this process has.

    Raises:
        InputError: a model is in its memory.
    """
    in_memory = next((resolved.model.key for resolved in models if resolved.files is None), None)
    if in_memory is not None:
        raise InputError(
            f"{in_memory} is in the memory of this process: save it where all workers see it, and pass that"
        )


def _evidence_plan(writer: RunWriter, evidence: "RunCollector | None") -> EvidencePlan | None:
    """Return what a worker must know to collect evidence: the pairs to collect it of, and no other pairs."""
    if evidence is None:
        return None
    rows = frozenset().union(*evidence.rows.values())
    parts = []
    for part in writer.parts:
        planned = [(row, pair) for row, pair in zip(part.rows, part.pairs, strict=True) if row in rows]
        if planned:
            parts.append(Part(part.index, [row for row, _ in planned], [pair for _, pair in planned]))
    return EvidencePlan(evidence.kinds, evidence.rows, parts)


class _TaskQueue:
    """The tasks that no worker has yet, by model."""

    def __init__(self, session: ScoringSession, models: Sequence[Model]) -> None:
        writer = session.writer
        self._models = {model.key: model for model in models}
        self._parts = {model.key: deque(session.missing_parts(model)) for model in models}
        self._unscored = {model.key: {part.index for part in writer.missing_parts(model)} for model in models}
        tokenized = [pair for part in writer.parts for pair in part.pairs]
        self._noise = {model.key: noise_pairs(tokenized) for model in models if needs_noise_floor(writer, model)}

    def __len__(self) -> int:
        return sum(map(len, self._parts.values())) + sum(not self._parts[key] for key in self._noise)

    def take(self, loaded: str) -> Task | None:
        """Return the next task for a worker that has loaded the model with key ``loaded``; None where none is left.

        Where that has no parts left, the model with most parts left is next; before all others the model that the noise
        floor is measured on.
        """
        longest = max(self._parts, key=lambda key: (key in self._noise, len(self._parts[key])))
        key = loaded if self._parts.get(loaded) else longest
        if not self._parts[key] and key not in self._noise:
            return None
        part = self._parts[key].popleft() if self._parts[key] else None
        is_unscored = part is not None and part.index in self._unscored[key]
        return Task(self._models[key], part, is_unscored, self._noise.pop(key, None))

    def drop(self, key: str) -> None:
        """Remove the tasks of a model that cannot be used."""
        self._parts[key].clear()
        self._noise.pop(key, None)


class _WorkerPool:
    """The workers that start, the busy workers, and the idle workers with the key of the model that each has loaded."""

    def __init__(self, cluster: Cluster, setup: WorkerSetup, writer: RunWriter) -> None:
        self._cluster, self._setup, self._writer = cluster, setup, writer
        self._starting: dict[ObjectRef[str], WorkerHandle] = {}
        self._idle: list[tuple[WorkerHandle, str]] = []
        self._busy: dict[ObjectRef[TaskResult], tuple[WorkerHandle, Task]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a task is being worked on."""
        return bool(self._busy)

    def next_results(self, tasks: _TaskQueue) -> Iterator[tuple[Task, TaskResult]]:
        """Start workers, give them tasks, wait for something to be done, and yield each task that was finished."""
        size = len(self._starting) + len(self._idle) + len(self._busy)
        for _ in range(size, min(self._cluster.max_workers(), len(tasks) + len(self._busy))):
            worker = self._cluster.start_worker(self._setup)
            self._starting[worker.location()] = worker
        while self._idle and (task := tasks.take(self._idle[-1][1])):
            worker, _ = self._idle.pop()
            self._busy[worker.run(task)] = (worker, task)
        for done in self._cluster.wait_for_any([*self._busy, *self._starting]):
            if done in self._starting:
                self._add(self._starting.pop(done), self._cluster.result(done))
            else:
                yield self._finished(done)

    def stop(self) -> None:
        """End every worker: there is nothing left to do."""
        for worker in [*self._starting.values(), *(worker for worker, _ in self._idle)]:
            self._cluster.stop_worker(worker)

    def _add(self, worker: WorkerHandle, location: str | Exception) -> None:
        """Take a worker that has started; a failed start is an error only where there is no other worker.

        Raises:
            InputError: it is.
        """
        if isinstance(location, str):
            self._writer.log("worker", worker=location)
            self._idle.append((worker, ""))
        elif not (self._idle or self._busy or self._starting):
            cause = str(location).strip().splitlines()[-1][:160]
            raise InputError(f"no Ray worker could start: {cause}; install dpo-analysis[score] on every machine")

    def _finished(self, done: "ObjectRef[TaskResult]") -> tuple[Task, TaskResult]:
        """Return a task with its result, and its worker to the idle workers; a worker that died is stopped."""
        worker, task = self._busy.pop(done)
        result = self._cluster.result(done)
        if isinstance(result, TaskResult):
            self._idle.append((worker, task.model.key))
            return task, result
        self._cluster.stop_worker(worker)
        place = "the noise floor" if task.part is None else f"part {task.part.index}"
        failure = f"its worker died {MAX_RETRIES + 1} times at {place}, for lack of memory perhaps"
        return task, TaskResult([], failure)


def _write_records(writer: RunWriter, evidence: "RunCollector | None", task: Task, result: TaskResult) -> None:
    """Write into the run folder what the worker recorded, in its order."""
    for record in result.records:
        match record:
            case LogRecord():
                writer.log(record.event, **record.facts | {"worker": result.worker})
            case NoiseFloorRecord():
                writer.write_noise_floor(record.noise)
            case ScoresRecord():
                assert task.part is not None
                writer.write_scores(task.model, task.part, record.table)
            case EvidenceRecord():
                assert evidence is not None
                assert task.part is not None
                evidence.store(record.kind, task.model, task.part, record.table)
    if evidence is not None and result.unavailable:
        evidence.mark_unavailable(result.unavailable)


def _count_result(session: ScoringSession, tasks: _TaskQueue, task: Task, result: TaskResult) -> None:
    """Report a task that succeeded; drop the other tasks of a policy that cannot be used.

    Raises:
        InputError: the reference cannot be used.
    """
    session.n_out_of_memory += result.n_out_of_memory
    if not result.failure:
        if task.part is not None:
            session.report_part(result.n_tokens, task.model, task.part)
        return
    if task.model.is_reference and result.worker:
        raise InputError(result.failure)
    session.failures.setdefault(task.model.key, result.failure)
    tasks.drop(task.model.key)


def _note_equal_models(writer: RunWriter, fingerprints: dict[Model, bytes]) -> None:
    """Note which policies have exactly the outputs of the reference."""
    from dpo_analysis.scoring.models.model_loader import ReferenceComparison

    comparison = ReferenceComparison(lambda line: log_note(writer, line))
    for model in sorted(fingerprints, key=lambda model: not model.is_reference):
        comparison.compare(model, fingerprints[model])

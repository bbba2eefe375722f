"""The worker of a Ray cluster: scores parts of models, and sends back what is to be written."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpo_analysis.errors import DPOAnalysisError, InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.loop import ScoringSession
from dpo_analysis.scoring.score_writer import log_note
from dpo_analysis.scoring.workers.task_records import EvidencePlan, RecordingWriter, Task, TaskResult

if TYPE_CHECKING:
    from dpo_analysis.scoring.evidence.collector import RunCollector
    from dpo_analysis.scoring.models.resolved_model import ResolvedModel
    from dpo_analysis.scoring.models.settings import ScoringSettings


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is started with.

    Attributes:
        models: the models of the command, the reference first.
        settings: how they are loaded and scored.
        evidence: the evidence to collect; None for none.
        driver_host: host of the driver.
        driver_folder: working folder of the driver.
    """

    models: Sequence["ResolvedModel"]
    settings: "ScoringSettings"
    evidence: EvidencePlan | None
    driver_host: str
    driver_folder: str


class Worker:
    """Scores parts in a process of its own, and keeps the models loaded that it was last asked for.

    The modules that need torch are imported inside: the driver imports this class without torch.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._models = {resolved.model.key: resolved for resolved in setup.models}
        self._settings, self._driver_host = setup.settings, setup.driver_host
        self._fingerprint = b""
        self._checked: set[str] = set()
        # relative paths of models mean the same as for the driver, where that folder is shared
        with contextlib.suppress(OSError):
            os.chdir(setup.driver_folder)
        evidence_parts = setup.evidence.parts if setup.evidence else ()
        models = [resolved.model for resolved in setup.models]
        self._writer = RecordingWriter(models, evidence_parts, Path(tempfile.gettempdir()))
        sources = setup.settings.loadable(setup.models, self._note, self._keep_fingerprint)
        self._sources = {source.model.key: source for source in sources}
        self._evidence = self._collector(setup.evidence) if setup.evidence else None

    def location(self) -> str:
        """Return host and process id; an answer means that the worker has started."""
        return f"{socket.gethostname()} {os.getpid()}"

    def run(self, task: Task) -> TaskResult:
        """Work on ``task``; an error that keeps its model from being used is in the result."""
        from dpo_analysis.scoring.models.devices import few_threads, pick_device

        self._writer.begin(task)
        self._fingerprint = b""
        key = task.model.key
        session = ScoringSession(self._writer, self._settings.batch_tokens, lambda progress: None, self._evidence)
        try:
            self._check_weights(key)
            with few_threads(self._settings.n_parameters, pick_device(self._settings.device)):
                session.score_model(self._sources[key], [] if task.part is None else [task.part])
            failure = session.failures.get(key, "")
        except DPOAnalysisError as error:
            failure = str(error)
            self._writer.log("failed", model=key, reason=failure)
        return TaskResult(
            records=self._writer.records,
            failure=failure,
            n_out_of_memory=session.n_out_of_memory,
            n_tokens=session.done_tokens,
            fingerprint=self._fingerprint,
            unavailable=frozenset(self._evidence.unavailable if self._evidence else ()),
            worker=self.location(),
        )

    def _keep_fingerprint(self, model: Model, fingerprint: bytes) -> None:
        """Keep the hash of a model's outputs: the driver compares, since the reference may be open elsewhere."""
        if model == self._writer.task.model:
            self._fingerprint = fingerprint

    def _note(self, line: str) -> None:
        log_note(self._writer, line)

    def _collector(self, plan: EvidencePlan) -> "RunCollector":
        from dpo_analysis.scoring.evidence.collector import RunCollector

        reference = next(source for source in self._sources.values() if source.model.is_reference)
        tokens = self._settings.batch_tokens
        return RunCollector(self._writer, reference, plan.rows, kinds=plan.kinds, batch_tokens=tokens, note=self._note)

    def _check_weights(self, key: str) -> None:
        """Refuse a model whose path leads to other weights on this machine than on the driver's.

        Raises:
            InputError: it does.
        """
        from dpo_analysis.scoring.models.preflight import weights_sha256

        resolved = self._models[key]
        if key in self._checked or resolved.files is None or socket.gethostname() == self._driver_host:
            return
        if weights_sha256(resolved.files) != resolved.model.weights:
            raise InputError(
                f"different weights in {resolved.files.folder} on {socket.gethostname()} and {self._driver_host}: "
                "use a folder that all machines share, or copy the model again"
            )
        self._checked.add(key)

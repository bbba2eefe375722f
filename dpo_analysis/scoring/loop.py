"""The loop over parts and models: what is missing is scored, written, reported; torch stays behind ``Scorer``.

The first missing part of every model comes first, so that curves appear early; then one model after the other.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted, PartialResult, RunBusy, StorageError
from dpo_analysis.runs import Model, Part, RunWriter
from dpo_analysis.scoring.interrupts import stop_signals
from dpo_analysis.scoring.oom_retry import score_fitting
from dpo_analysis.scoring.part_table import part_requests, part_table
from dpo_analysis.scoring.requests import Evidence, Request, Scorer, TokenScores

SHOWN_FAILURES = 2

__all__ = [
    "Listed",
    "ModelSource",
    "Progress",
    "Request",
    "Scorer",
    "Session",
    "TokenScores",
    "score_parts",
    "stop_signals",
]


class Listed(Protocol):
    """Something of one model of the run."""

    @property
    def model(self) -> Model:
        """Which model of the run it is."""
        ...


class ModelSource(Listed, Protocol):
    """A model that can be opened when its turn comes."""

    def open(self) -> AbstractContextManager[Scorer]:
        """The model in memory, for the length of a ``with`` block.

        Raises:
            DPOAnalysisError: it cannot be used; other models still can.
        """
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far this worker is, after a part.

    Attributes:
        done_tokens: prompt and response tokens scored by this command.
        total_tokens: those it had to score when it began.
        tokens_per_second: mean since it began, loading included.
        seconds_left: at that speed.
        model: key of the model just scored.
        part: the part just written.
    """

    done_tokens: int
    total_tokens: int
    tokens_per_second: float
    seconds_left: float
    model: str
    part: int


def score_parts(
    writer: RunWriter,
    sources: Sequence[ModelSource],
    *,
    batch_tokens: int,
    report: Callable[[Progress], None],
    evidence: Evidence | None = None,
) -> None:
    """Score and write everything that is missing of this worker's share, then finish the run folder.

    A part in which memory runs out is scored again at half the budget, down to single responses; a pair that does not
    fit even so is written with status ``oom``. A pair with a log-prob that is not finite gets ``nonfinite``.

    Args:
        writer: the open run folder.
        sources: its models, the reference first.
        batch_tokens: tokens of one batch.
        report: called after every part.
        evidence: what to collect of some pairs on the way; None for nothing.

    Raises:
        PartialResult: a policy could not be used, or pairs did not fit into memory; everything else is done.
        InputError: the reference could not be used.
        StorageError: the disk is full or refuses.
        Interrupted: SIGINT or SIGTERM; finished parts are kept.
    """
    session = Session(writer, batch_tokens, report, evidence)
    with session.running(sources):
        for source, parts in _visits(session, sources):
            session.visit(source, parts)
        if evidence:
            evidence.conclude(time.monotonic() - session.begin)


@dataclass
class Session:
    """What one command has done so far."""

    writer: RunWriter
    batch_tokens: int
    report: Callable[[Progress], None]
    evidence: Evidence | None = None
    failures: dict[str, str] = field(default_factory=dict)
    no_memory: int = 0
    done_tokens: int = 0
    total_tokens: int = 0
    begin: float = field(default_factory=time.monotonic)

    @contextmanager
    def running(self, sources: Sequence[Listed]) -> Iterator[None]:
        """The whole command around its scoring: inputs before it, checksums after it; errors as ``score_parts``."""
        try:
            with stop_signals():
                self.writer.write_inputs()
                self.plan(sources)
                yield
                if not self.failures:
                    self.writer.finish()
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted while scoring into {self.writer.path}: {self.writer.saved()}; "
                "the same command goes on there"
            ) from None
        self.conclude()

    def plan(self, sources: Sequence[Listed]) -> None:
        """Count the tokens to score."""
        self.total_tokens = sum(self._n_tokens(source.model) for source in sources)

    def missing(self, model: Model) -> list[Part]:
        """This worker's parts of which scores or evidence about ``model`` are missing, in order."""
        parts = self.writer.mine(model) + (self.evidence.parts(model) if self.evidence else [])
        return sorted({part.index: part for part in parts}.values(), key=lambda part: part.index)

    def visit(self, source: ModelSource, parts: Sequence[Part]) -> None:
        """Open a model and score some parts; a policy that cannot be used is remembered, not raised."""
        model = source.model
        if model.key in self.failures:
            return
        if self.evidence:
            self.evidence.prepare(model, parts)
        unscored = {part.index for part in self.writer.mine(model)}
        try:
            with source.open() as scorer:
                for part in parts:
                    (self._score if part.index in unscored else self._collect)(scorer, model, part)
                if needs_noise(self.writer, model):
                    self._measure(scorer)
            return
        except (StorageError, Interrupted, RunBusy):
            raise
        except DPOAnalysisError as error:
            failure = error
        except MemoryError:
            failure = InputError(f"{model.key} does not fit into memory; use a larger device or --dtype bfloat16")
        if model.is_reference:
            raise failure
        self.failures[model.key] = str(failure)
        self.writer.log("failed", model=model.key, reason=str(failure))

    def conclude(self) -> None:
        """Raise PartialResult for what could not be done."""
        if self.failures:
            shown = list(self.failures.items())[:SHOWN_FAILURES]
            more = len(self.failures) - len(shown)
            reasons = "; ".join(f"{key}: {reason}" for key, reason in shown) + (f"; and {more} more" if more else "")
            raise PartialResult(f"finished without {len(self.failures)} of {len(self.writer.models)} models: {reasons}")
        if self.no_memory:
            raise PartialResult(
                f"finished, but {self.no_memory} scorings did not fit into memory and are marked oom in "
                f"{self.writer.path}: log.jsonl names their parts; to try again, delete those and use a larger device"
            )

    def _score(self, scorer: Scorer, model: Model, part: Part) -> None:
        begin = time.monotonic()
        requests, places = part_requests(part)
        gathering = self.evidence.gather(scorer, model, part) if self.evidence else None
        scores, fitted, budget = score_fitting(gathering or scorer, requests, self.batch_tokens)
        table = part_table(part, places, scores, fitted)
        if gathering:
            # Before the scores: where those are, evidence that was asked for with them is.
            gathering.write()
        self.writer.write_scores(model, part, table)
        if budget != self.batch_tokens:
            lost = _pairs_lost(table)
            self.no_memory += lost
            self.writer.log("memory", model=model.key, part=part.index, batch_tokens=budget, pairs_lost=lost)
        tokens = sum(request.n_tokens for request in requests)
        seconds = round(time.monotonic() - begin, 3)
        self.writer.log("part", model=model.key, part=part.index, tokens=tokens, seconds=seconds)
        self.tell(tokens, model, part)

    def _collect(self, scorer: Scorer, model: Model, part: Part) -> None:
        """Evidence for a part that was scored before."""
        assert self.evidence
        gathering = self.evidence.gather(scorer, model, part)
        if gathering:
            gathering.collect(self.batch_tokens)
            gathering.write()
        self.tell(self.evidence.n_tokens(model, part), model, part)

    def _n_tokens(self, model: Model) -> int:
        """Tokens of a model that this worker has still to read."""
        parts = self.writer.mine(model)
        tokens = sum(request.n_tokens for part in parts for request in part_requests(part)[0])
        if self.evidence:
            unscored = {part.index for part in parts}
            scored = [part for part in self.evidence.parts(model) if part.index not in unscored]
            tokens += sum(self.evidence.n_tokens(model, part) for part in scored)
        return tokens

    def tell(self, tokens: int, model: Model, part: Part) -> None:
        """Report a part that is written."""
        self.done_tokens += tokens
        speed = self.done_tokens / max(time.monotonic() - self.begin, 1e-9)
        left = (self.total_tokens - self.done_tokens) / speed if speed else 0.0
        self.report(Progress(self.done_tokens, self.total_tokens, speed, left, model.key, part.index))

    def _measure(self, scorer: Scorer) -> None:
        # Imported here because noise takes its types from this module.
        from dpo_analysis.scoring.noise_floor import noise_floor

        tokenized = [pair for part in self.writer.parts for pair in part.pairs]
        noise = noise_floor(scorer, tokenized, batch_tokens=self.batch_tokens)
        if noise is None:
            self.writer.log("noise", problem="no finite response, or none that fits into memory")
        else:
            self.writer.write_noise(noise)


def _visits(session: Session, sources: Sequence[ModelSource]) -> Iterator[tuple[ModelSource, list[Part]]]:
    """Which model to open for which parts, in order."""
    waiting = [(source, session.missing(source.model)) for source in sources]
    waiting = [(source, parts) for source, parts in waiting if parts or needs_noise(session.writer, source.model)]
    if len(waiting) == 1:
        yield waiting[0]
        return
    for source, parts in waiting:
        yield source, parts[:1]
    for source, parts in waiting:
        if parts[1:]:
            yield source, parts[1:]


def needs_noise(writer: RunWriter, model: Model) -> bool:
    """Whether this worker has the noise floor still to measure, with ``model``."""
    return model.is_reference and writer.shard[0] == 0 and not writer.has_noise


def _pairs_lost(table: pa.Table) -> int:
    statuses = zip(table["row"].to_pylist(), table["status"].to_pylist(), strict=True)
    return len({row for row, status in statuses if status == "oom"})

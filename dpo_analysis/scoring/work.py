"""The loop over parts and models: what is missing is scored, written, reported; torch stays behind ``Scorer``.

The first missing part of every model comes first, so that curves appear early; then one model after the other.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from dpo_analysis.errors import DPOAnalysisError, InputError, Interrupted, PartialResult, RunBusy, StorageError
from dpo_analysis.runs import Model, Part, RunWriter
from dpo_analysis.scoring.fitting import score_fitting
from dpo_analysis.scoring.partscores import part_requests, part_table
from dpo_analysis.scoring.requests import Request, Scorer, TokenScores

if TYPE_CHECKING:
    from types import FrameType

SHOWN_FAILURES = 2

__all__ = ["ModelSource", "Progress", "Request", "Scorer", "TokenScores", "score_parts", "stop_signals"]


class ModelSource(Protocol):
    """A model that can be opened when its turn comes."""

    @property
    def model(self) -> Model:
        """Which model of the run it is."""
        ...

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
) -> None:
    """Score and write everything that is missing of this worker's share, then finish the run folder.

    A part in which memory runs out is scored again at half the budget, down to single responses; a pair that does not
    fit even so is written with status ``oom``. A pair with a log-prob that is not finite gets ``nonfinite``.

    Args:
        writer: the open run folder.
        sources: its models, the reference first.
        batch_tokens: tokens of one batch.
        report: called after every part.

    Raises:
        PartialResult: a policy could not be used, or pairs did not fit into memory; everything else is done.
        InputError: the reference could not be used.
        StorageError: the disk is full or refuses.
        Interrupted: SIGINT or SIGTERM; finished parts are kept.
    """
    session = _Session(writer, batch_tokens, report)
    try:
        with stop_signals():
            writer.write_inputs()
            session.plan(sources)
            for source, parts in _visits(writer, sources):
                session.visit(source, parts)
            if not session.failures:
                writer.finish()
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted while scoring into {writer.path}: {writer.saved()}; the same command goes on there"
        ) from None
    session.conclude()


@contextmanager
def stop_signals() -> Iterator[None]:
    """SIGTERM ends the block as SIGINT does, by KeyboardInterrupt; a second signal has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: "FrameType | None") -> None:
        for one, handler in before.items():
            signal.signal(one, handler)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@dataclass
class _Session:
    """What one command has done so far."""

    writer: RunWriter
    batch_tokens: int
    report: Callable[[Progress], None]
    failures: dict[str, str] = field(default_factory=dict)
    no_memory: int = 0
    done_tokens: int = 0
    total_tokens: int = 0
    begin: float = field(default_factory=time.monotonic)

    def plan(self, sources: Sequence[ModelSource]) -> None:
        """Count the tokens to score."""
        parts = [part for source in sources for part in self.writer.mine(source.model)]
        self.total_tokens = sum(request.n_tokens for part in parts for request in part_requests(part)[0])

    def visit(self, source: ModelSource, parts: Sequence[Part]) -> None:
        """Open a model and score some parts; a policy that cannot be used is remembered, not raised."""
        model = source.model
        if model.key in self.failures:
            return
        try:
            with source.open() as scorer:
                for part in parts:
                    self._score(scorer, model, part)
                if _needs_noise(self.writer, model):
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
        scores, fitted, budget = score_fitting(scorer, requests, self.batch_tokens)
        table = part_table(part, places, scores, fitted)
        self.writer.write_scores(model, part, table)
        if budget != self.batch_tokens:
            lost = _pairs_lost(table)
            self.no_memory += lost
            self.writer.log("memory", model=model.key, part=part.index, batch_tokens=budget, pairs_lost=lost)
        tokens = sum(request.n_tokens for request in requests)
        seconds = round(time.monotonic() - begin, 3)
        self.writer.log("part", model=model.key, part=part.index, tokens=tokens, seconds=seconds)
        self._tell(tokens, model, part)

    def _tell(self, tokens: int, model: Model, part: Part) -> None:
        self.done_tokens += tokens
        speed = self.done_tokens / max(time.monotonic() - self.begin, 1e-9)
        left = (self.total_tokens - self.done_tokens) / speed if speed else 0.0
        self.report(Progress(self.done_tokens, self.total_tokens, speed, left, model.key, part.index))

    def _measure(self, scorer: Scorer) -> None:
        # Imported here because noise takes its types from this module.
        from dpo_analysis.scoring.noise import noise_floor

        tokenized = [pair for part in self.writer.parts for pair in part.pairs]
        noise = noise_floor(scorer, tokenized, batch_tokens=self.batch_tokens)
        if noise is None:
            self.writer.log("noise", problem="no finite response, or none that fits into memory")
        else:
            self.writer.write_noise(noise)


def _visits(writer: RunWriter, sources: Sequence[ModelSource]) -> Iterator[tuple[ModelSource, list[Part]]]:
    """Which model to open for which parts, in order."""
    waiting = [(source, writer.mine(source.model)) for source in sources]
    waiting = [(source, parts) for source, parts in waiting if parts or _needs_noise(writer, source.model)]
    if len(waiting) == 1:
        yield waiting[0]
        return
    for source, parts in waiting:
        yield source, parts[:1]
    for source, parts in waiting:
        if parts[1:]:
            yield source, parts[1:]


def _needs_noise(writer: RunWriter, model: Model) -> bool:
    return model.is_reference and writer.shard[0] == 0 and not writer.has_noise


def _pairs_lost(table: pa.Table) -> int:
    statuses = zip(table["row"].to_pylist(), table["status"].to_pylist(), strict=True)
    return len({row for row, status in statuses if status == "oom"})

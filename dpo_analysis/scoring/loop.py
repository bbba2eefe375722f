"""The loop over models and parts: it scores, writes and reports whatever is missing. Torch-free.

The first missing part of every model is scored first, so that curves appear early; then one model after the other.
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
from dpo_analysis.scoring.noise_floor import noise_floor
from dpo_analysis.scoring.oom_retry import score_with_oom_retry
from dpo_analysis.scoring.part_table import part_requests, part_table
from dpo_analysis.scoring.requests import CollectingScorer, EvidenceCollector, Scorer
from dpo_analysis.scoring.score_writer import ScoreWriter

MAX_SHOWN_FAILURES = 2
"""Models that could not be used and whose reason the last line gives; the others are only counted."""


class ModelSource(Protocol):
    """A model of the run that can be opened when its turn comes."""

    @property
    def model(self) -> Model:
        """Its place in the run."""
        ...

    def open(self) -> AbstractContextManager[Scorer]:
        """Load the model for the length of a ``with`` block.

        Raises:
            DPOAnalysisError: it cannot be used; other models still can.
        """
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of this worker, after a part.

    Attributes:
        done_tokens: prompt and response tokens scored by this command.
        total_tokens: tokens that the command had to score when it began.
        tokens_per_second: mean speed since then, with the time of loading.
        seconds_left: time left at that speed.
        model: key of the model just scored.
        part: index of the part just written.
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
    evidence: EvidenceCollector | None = None,
) -> None:
    """Score and write every missing part of this worker's share, then finish the run folder.

    A part in which memory runs out is scored again at half the budget, down to single responses; a pair that does not
    fit even then is written with status ``oom``. A pair with a log-prob that is not finite has status ``nonfinite``.

    Args:
        writer: the open run folder.
        sources: its models, the reference first.
        batch_tokens: tokens of one batch.
        report: called after every part.
        evidence: collects evidence of some pairs on the way; None for no evidence.

    Raises:
        PartialResult: a policy could not be used, or pairs did not fit into memory; everything else is done.
        InputError: the reference could not be used.
        StorageError: the disk is full or cannot be written.
        Interrupted: SIGINT or SIGTERM; finished parts are kept.
    """
    session = ScoringSession(writer, batch_tokens, report, evidence)
    with session.running(writer, [source.model for source in sources]):
        for source, parts in _in_scoring_order(session, sources):
            session.score_model(source, parts)
        if evidence:
            evidence.log_cost(time.monotonic() - session.started)


@dataclass
class ScoringSession:
    """The scoring of one command, and its results so far.

    Attributes:
        writer: takes the scores.
        batch_tokens: tokens of one batch.
        report: called after every part.
        evidence: collects evidence of some pairs; None for no evidence.
        failures: why a policy could not be used, by model key.
        n_out_of_memory: pairs of all models that did not fit into memory.
        done_tokens: prompt and response tokens scored so far.
        total_tokens: tokens to score when the command began.
        started: time on the monotonic clock, seconds.
    """

    writer: ScoreWriter
    batch_tokens: int
    report: Callable[[Progress], None]
    evidence: EvidenceCollector | None = None
    failures: dict[str, str] = field(default_factory=dict)
    n_out_of_memory: int = 0
    done_tokens: int = 0
    total_tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def running(self, writer: RunWriter, models: Sequence[Model]) -> Iterator[None]:
        """Write the inputs before the block that scores, and checksums after it; errors as ``score_parts``."""
        try:
            with stop_signals():
                writer.write_inputs()
                self.total_tokens = sum(self._n_missing_tokens(model) for model in models)
                yield
                if not self.failures:
                    writer.finish()
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted while scoring into {writer.path}: {writer.saved_share()}; the same command goes on there"
            ) from None
        self._raise_partial_result()

    def missing_parts(self, model: Model) -> list[Part]:
        """Return this worker's parts that lack scores of ``model`` or evidence about it, in order."""
        parts = self.writer.missing_parts(model) + (self.evidence.missing_parts(model) if self.evidence else [])
        return sorted({part.index: part for part in parts}.values(), key=lambda part: part.index)

    def score_model(self, source: ModelSource, parts: Sequence[Part]) -> None:
        """Open a model and score some parts; a policy that cannot be used is put into ``failures``.

        Raises:
            InputError: the reference cannot be used.
            StorageError: the disk is full or cannot be written.
        """
        model = source.model
        if model.key in self.failures:
            return
        if self.evidence:
            self.evidence.prepare(model, parts)
        unscored = {part.index for part in self.writer.missing_parts(model)}
        try:
            with source.open() as scorer:
                for part in parts:
                    (self._score_part if part.index in unscored else self._collect_evidence)(scorer, model, part)
                if needs_noise_floor(self.writer, model):
                    self._measure_noise_floor(scorer)
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

    def report_part(self, tokens: int, model: Model, part: Part) -> None:
        """Report a part of ``tokens`` prompt and response tokens that is written."""
        self.done_tokens += tokens
        speed = self.done_tokens / max(time.monotonic() - self.started, 1e-9)
        left = (self.total_tokens - self.done_tokens) / speed if speed else 0.0
        self.report(Progress(self.done_tokens, self.total_tokens, speed, left, model.key, part.index))

    def _raise_partial_result(self) -> None:
        """Raise PartialResult where a policy could not be used or pairs did not fit into memory."""
        if self.failures:
            shown = list(self.failures.items())[:MAX_SHOWN_FAILURES]
            more = len(self.failures) - len(shown)
            reasons = "; ".join(f"{key}: {reason}" for key, reason in shown) + (f"; and {more} more" if more else "")
            raise PartialResult(f"finished without {len(self.failures)} of {len(self.writer.models)} models: {reasons}")
        if self.n_out_of_memory:
            raise PartialResult(
                f"finished, but {self.n_out_of_memory} scorings did not fit into memory and are marked oom in "
                f"{self.writer.path}: log.jsonl names their parts; to try again, delete those and use a larger device"
            )

    def _score_part(self, scorer: Scorer, model: Model, part: Part) -> None:
        begin = time.monotonic()
        requests, request_indices = part_requests(part)
        evidence = self._evidence_scorer(scorer, model, part)
        scores, fitted, budget = score_with_oom_retry(evidence or scorer, requests, self.batch_tokens)
        table = part_table(part, request_indices, scores, fitted)
        if evidence:
            # before the scores: a part with scores has the evidence that was to be collected with them
            evidence.write()
        self.writer.write_scores(model, part, table)
        if budget != self.batch_tokens:
            lost = _n_pairs_lost(table)
            self.n_out_of_memory += lost
            self.writer.log("memory", model=model.key, part=part.index, batch_tokens=budget, pairs_lost=lost)
        tokens = sum(request.n_tokens for request in requests)
        seconds = round(time.monotonic() - begin, 3)
        self.writer.log("part", model=model.key, part=part.index, tokens=tokens, seconds=seconds)
        self.report_part(tokens, model, part)

    def _collect_evidence(self, scorer: Scorer, model: Model, part: Part) -> None:
        """Collect evidence of a part that was scored before."""
        assert self.evidence
        evidence = self._evidence_scorer(scorer, model, part)
        if evidence:
            evidence.collect(self.batch_tokens)
            evidence.write()
        self.report_part(self.evidence.n_tokens(model, part), model, part)

    def _evidence_scorer(self, scorer: Scorer, model: Model, part: Part) -> CollectingScorer | None:
        return self.evidence.collecting_scorer(scorer, model, part) if self.evidence else None

    def _n_missing_tokens(self, model: Model) -> int:
        """Return the prompt and response tokens that this worker must still read with ``model``."""
        parts = self.writer.missing_parts(model)
        tokens = sum(request.n_tokens for part in parts for request in part_requests(part)[0])
        if self.evidence:
            unscored = {part.index for part in parts}
            scored = [part for part in self.evidence.missing_parts(model) if part.index not in unscored]
            tokens += sum(self.evidence.n_tokens(model, part) for part in scored)
        return tokens

    def _measure_noise_floor(self, scorer: Scorer) -> None:
        tokenized = [pair for part in self.writer.parts for pair in part.pairs]
        floor = noise_floor(scorer, tokenized, batch_tokens=self.batch_tokens)
        if floor is None:
            self.writer.log("noise", problem="no finite response, or none that fits into memory")
        else:
            self.writer.write_noise_floor(floor)


def _in_scoring_order(
    session: ScoringSession, sources: Sequence[ModelSource]
) -> Iterator[tuple[ModelSource, list[Part]]]:
    """The models to open, in order, each with the parts to score."""
    waiting = [(source, session.missing_parts(source.model)) for source in sources]
    waiting = [(source, parts) for source, parts in waiting if parts or needs_noise_floor(session.writer, source.model)]
    if len(waiting) == 1:
        yield waiting[0]
        return
    for source, parts in waiting:
        yield source, parts[:1]
    for source, parts in waiting:
        if parts[1:]:
            yield source, parts[1:]


def needs_noise_floor(writer: ScoreWriter, model: Model) -> bool:
    """Return whether this worker must still measure the noise floor, with ``model``."""
    return model.is_reference and writer.shard[0] == 0 and not writer.has_noise_floor


def _n_pairs_lost(table: pa.Table) -> int:
    statuses = zip(table["row"].to_pylist(), table["status"].to_pylist(), strict=True)
    return len({row for row, status in statuses if status == "oom"})

"""Evidence beside the scores: likeliest ids, exact divergences and CHES of a sample of pairs, in the policies' passes.

Policy and reference are compared whatever their size and whether they share a base: the reference's final hidden states
of the sampled pairs are stored on the host (``reference_states``), its head is retained (``lm_heads``), and each policy
brings its states along as it is scored. So no two models need be loaded at once, and the reference is read once for all
policies.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from dpo_analysis.runs import Model, Part, RunWriter, open_run
from dpo_analysis.runs.evidence import kinds as evidence
from dpo_analysis.runs.evidence.kinds import sample_rows
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest, fallen_rows
from dpo_analysis.scoring.evidence.part_collector import (
    COMPARED_KINDS,
    PartCollector,
    ReferenceOutputs,
    requests_of_rows,
    retained_head,
    show_states,
)
from dpo_analysis.scoring.evidence.reference_states import StateStore
from dpo_analysis.scoring.loop import ModelSource, Progress, score_parts
from dpo_analysis.scoring.requests import CollectingScorer, Request, Scorer
from dpo_analysis.scoring.score_writer import ScoreWriter, log_note


def score_with_evidence(
    writer: RunWriter,
    sources: Sequence[ModelSource],
    request: EvidenceRequest,
    *,
    batch_tokens: int,
    report: Callable[[Progress], None],
    score: Callable[..., None] = score_parts,
) -> None:
    """Score everything that is missing, and collect the evidence of ``request``; errors as ``loop.score_parts``.

    Evidence of pairs that fell is collected once everything is scored.

    Args:
        writer: the open run folder.
        sources: its models, the reference first.
        request: the evidence to collect.
        batch_tokens: tokens of one forward pass.
        report: called after every part.
        score: ``loop.score_parts``, or a function of the same arguments and errors that scores on other machines.
    """

    def collector(rows: Mapping[str, frozenset[int]]) -> RunCollector:
        note = partial(log_note, writer)
        return RunCollector(writer, sources[0], rows, kinds=request.kinds, batch_tokens=batch_tokens, note=note)

    if not request.fallen:
        sample = sample_rows(writer.parts, request.max_pairs) if request.kinds else frozenset()
        sample_collector = collector({source.model.key: sample for source in sources}) if sample else None
        score(writer, sources, batch_tokens=batch_tokens, report=report, evidence=sample_collector)
        return
    score(writer, sources, batch_tokens=batch_tokens, report=report)
    run = open_run(writer.path)
    if not all(done == total for done, total in run.progress().values()):
        log_note(writer, "no evidence of pairs that fell yet, as parts are missing; run the same command again later")
        return
    rows = fallen_rows(run, [source.model for source in sources[1:]], request.max_pairs)
    if any(rows.values()):
        score(writer, sources, batch_tokens=batch_tokens, report=report, evidence=collector(rows))
    else:
        log_note(writer, "no evidence: no pair's chosen response fell under any of these policies")


class RunCollector:
    """A ``requests.EvidenceCollector``: the evidence of all parts and models of one command.

    Args:
        writer: the open run folder.
        reference: the reference, to be opened when its states are needed.
        rows: rows of the pairs to collect evidence of, by model key; a policy without an entry has none.
        kinds: ``topk``, ``kl``, ``hidden``.
        batch_tokens: tokens of one forward pass.
        note: takes a line for the log: which evidence is unavailable, and what it cost.

    Attributes:
        rows, kinds: the arguments.
        unavailable: kinds of evidence that cannot be collected, each with the key of the model.
    """

    def __init__(
        self,
        writer: ScoreWriter,
        reference: ModelSource,
        rows: Mapping[str, frozenset[int]],
        *,
        kinds: Sequence[str],
        batch_tokens: int,
        note: Callable[[str], None],
    ) -> None:
        self._writer, self._reference, self.rows = writer, reference, rows
        self.kinds, self._batch_tokens, self._note = kinds, batch_tokens, note
        self._all_rows = frozenset().union(*rows.values())
        self._store = StateStore(writer.path, writer.tag)
        self._head: Head | None = None
        self.unavailable: set[tuple[str, str]] = set()
        self._missing: dict[str, dict[int, list[str]]] = {}
        self._stored_rows: set[int] = set()
        self._seconds: list[float] = []

    def missing_parts(self, model: Model) -> list[Part]:
        """See ``requests.EvidenceCollector``."""
        missing = self._missing_kinds(model)
        return [part for part in self._writer.shard_parts if self._available(model, missing.get(part.index, ()))]

    def n_tokens(self, model: Model, part: Part) -> int:
        """See ``requests.EvidenceCollector``."""
        return sum(request.n_tokens for request in requests_of_rows(part, self._rows_of(model)))

    def prepare(self, model: Model, parts: Sequence[Part]) -> None:
        """See ``requests.EvidenceCollector``: the reference's states of the pairs that any policy is compared on."""
        indices = {part.index for part in parts}
        # a reference that has nothing left to score would have to be loaded again for every visit
        all_parts = not self._writer.missing_parts(self._reference.model)
        parts = [part for part in self.missing_parts(model) if all_parts or part.index in indices]
        needed = [part for part in parts if self._is_compared(model, part) and part.index not in self._store]
        if not needed:
            return
        begin = time.monotonic()
        try:
            with self._reference.open() as engine:
                assert isinstance(engine, Engine)
                self._store_reference(engine, model, needed)
        except MemoryError:
            self._give_up(COMPARED_KINDS, "the reference did not fit into memory again")
        self._seconds.append(time.monotonic() - begin)

    def collecting_scorer(self, scorer: Scorer, model: Model, part: Part) -> CollectingScorer | None:
        """See ``requests.EvidenceCollector``."""
        assert isinstance(scorer, Engine)
        kinds = self._collectable_kinds(scorer, model, part)
        if not kinds:
            return None
        reference = None
        if self._head is not None and set(kinds) & set(COMPARED_KINDS):
            reference = ReferenceOutputs(self._head, partial(self._store.get, part.index))
        return PartCollector(
            scorer,
            part,
            self._rows_of(model),
            kinds=kinds,
            reference=reference,
            store=lambda kind, table: self.store(kind, model, part, table),
            add_seconds=self._seconds.append,
        )

    def log_cost(self, seconds: float) -> None:
        """See ``requests.EvidenceCollector``."""
        spent = sum(self._seconds)
        if self._stored_rows:
            self._note(
                f"evidence ({', '.join(self.kinds)}) of {len(self._stored_rows)} pairs: {spent:.1f} s, "
                f"{spent / max(seconds, spent, 1e-9):.0%} of the time; --evidence none leaves it out"
            )

    def store(self, kind: str, model: Model, part: Part, table: pa.Table) -> None:
        """Store one kind of evidence of a part, in its schema."""
        evidence.add_evidence(self._writer, kind, model, part.index, table)
        self._missing[model.key][part.index].remove(kind)
        self._stored_rows |= set(table["row"].to_pylist())

    def mark_unavailable(self, kinds: Collection[tuple[str, str]]) -> None:
        """Expect no more of these kinds of evidence, each given with a model's key."""
        self.unavailable |= set(kinds)
        names = {f"evidence {kind} of {key}" for kind, key in kinds}
        for path in [path for path, (name, _) in self._writer.expected.items() if name in names]:
            del self._writer.expected[path]

    def _rows_of(self, model: Model) -> frozenset[int]:
        return self._all_rows if model.is_reference else self.rows.get(model.key, frozenset())

    def _missing_kinds(self, model: Model) -> dict[int, list[str]]:
        """Return the kinds that each part lacks, by the part's index; the folder is looked at once."""
        if model.key not in self._missing:
            kinds = [kind for kind in self.kinds if kind not in COMPARED_KINDS or not model.is_reference]
            self._missing[model.key] = missing = {}
            for part in self._writer.shard_parts:
                if rows := self._rows_of(model).intersection(part.rows):
                    stored = {kind: evidence.stored_rows(self._writer, kind, model, part.index) for kind in kinds}
                    missing[part.index] = [kind for kind in kinds if rows - stored[kind]]
                    self._expect(model, part, missing[part.index])
        return self._missing[model.key]

    def _expect(self, model: Model, part: Part, kinds: Sequence[str]) -> None:
        """Let the run count as unfinished until these files are written."""
        for kind in kinds:
            path = evidence.evidence_path(kind, model, part.index)
            self._writer.expected[path] = (f"evidence {kind} of {model.key}", part.index)

    def _available(self, model: Model, kinds: Sequence[str]) -> list[str]:
        return [kind for kind in kinds if (kind, model.key) not in self.unavailable]

    def _is_compared(self, model: Model, part: Part) -> bool:
        return bool(set(COMPARED_KINDS) & set(self._available(model, self._missing_kinds(model).get(part.index, ()))))

    def _collectable_kinds(self, engine: Engine, model: Model, part: Part) -> list[str]:
        """Return the kinds that this part lacks and that can be collected; unavailable kinds are noted once."""
        kinds = self._available(model, self._missing_kinds(model).get(part.index, ()))
        if not kinds:
            return []
        if engine.head is None:
            self._give_up(kinds, f"its trunk and head do not come apart ({engine.fallback_reason})", model)
        elif self._head is not None and engine.head.vocab_size != self._head.vocab_size:
            sizes = f"{engine.head.vocab_size} entries, the reference's {self._head.vocab_size}"
            why = f"its vocabulary has {sizes}: no distribution of one is one of the other"
            self._give_up(COMPARED_KINDS, why, model)
        return self._available(model, kinds)

    def _give_up(self, kinds: Sequence[str], why: str, model: Model | None = None) -> None:
        """Collect no more of these kinds, of ``model`` or of all policies, and note it once."""
        models = [model] if model else [policy for policy in self._writer.models if not policy.is_reference]
        new = {(kind, each.key) for kind in kinds if kind in self.kinds for each in models} - self.unavailable
        self.mark_unavailable(new)
        if new:
            names = ", ".join(kind for kind in self.kinds if kind in {kind for kind, _ in new})
            self._note(f"no evidence ({names}) of {model.key if model else 'any policy'}: {why}")

    def _store_reference(self, engine: Engine, model: Model, parts: Sequence[Part]) -> None:
        """Store the reference's states of every part that ``model`` is compared on."""
        if engine.head is None:
            why = f"the reference's trunk and head do not come apart ({engine.fallback_reason})"
            self._give_up(COMPARED_KINDS, why)
        for part in parts:
            if self._is_compared(model, part):
                self._store_part(engine, part)

    def _store_part(self, engine: Engine, part: Part) -> None:
        """Store the reference's states of a part, and retain its head.

        They are always computed for the same requests, whatever was interrupted, so that their bytes are the same.
        """
        requests = requests_of_rows(part, self._all_rows)
        self._store.begin_part(part.index, requests)

        def hook(request_rows: Sequence[tuple[Request, np.ndarray]], states: Tensor) -> None:
            if self._head is None:
                self._head = retained_head(engine, states)
            for request, rows in request_rows if self._head else ():
                self._store.put(part.index, request, states[torch.from_numpy(rows).to(states.device)])

        show_states(engine, requests, self._batch_tokens, hook)
        if self._head is None:
            self._give_up(COMPARED_KINDS, "the reference's head cannot be used without the whole of it")

"""Evidence beside the scores: top ids, exact divergences and CHES of a sample of pairs, in the policies' own passes.

Policy and reference meet in this way, whatever their size and whether they share a base: the reference's final states
of the sampled pairs are kept on the host (``states``), its head stays by itself (``heads``), and each policy brings its
states along as it is scored. So no two models need be loaded at once, and the reference is read once for all policies.
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
from dpo_analysis.scoring.evidence.pair_sample import Wish, fallen_rows
from dpo_analysis.scoring.evidence.part_collector import (
    COMPARED,
    Beside,
    PartGathering,
    kept_head,
    show_states,
    wanted_requests,
)
from dpo_analysis.scoring.evidence.reference_states import StateStore
from dpo_analysis.scoring.loop import ModelSource, Progress, score_parts
from dpo_analysis.scoring.requests import Gathering, Request, Scorer


def score_collecting(
    writer: RunWriter,
    sources: Sequence[ModelSource],
    wanted: Wish,
    *,
    batch_tokens: int,
    report: Callable[[Progress], None],
    score: Callable[..., None] = score_parts,
) -> None:
    """``work.score_parts`` with the evidence that is wanted; of fallen pairs it is collected once all is scored.

    With ``score`` it is done elsewhere: a function of the same arguments, and the same errors.
    """

    def collector(rows: Mapping[str, frozenset[int]]) -> Collector:
        note = partial(_note, writer)
        return Collector(writer, sources[0], rows, kinds=wanted.kinds, batch_tokens=batch_tokens, note=note)

    if not wanted.fallen:
        sample = sample_rows(writer.parts, wanted.pairs) if wanted.kinds else frozenset()
        evidence = collector({source.model.key: sample for source in sources}) if sample else None
        score(writer, sources, batch_tokens=batch_tokens, report=report, evidence=evidence)
        return
    score(writer, sources, batch_tokens=batch_tokens, report=report)
    run = open_run(writer.path)
    if not all(done == whole for done, whole in run.progress().values()):
        _note(writer, "no evidence of fallen pairs yet: parts are missing; run the same command when all are scored")
        return
    rows = fallen_rows(run, [source.model for source in sources[1:]], wanted.pairs)
    if any(rows.values()):
        score(writer, sources, batch_tokens=batch_tokens, report=report, evidence=collector(rows))
    else:
        _note(writer, "no evidence: no pair's chosen response fell under any of these policies")


def _note(writer: RunWriter, line: str) -> None:
    writer.log("note", text=line)


class Collector:
    """See ``requests.Evidence``.

    Args:
        writer: the open run folder.
        reference: the reference, to be opened when its states are needed.
        wanted: rows of pairs by model key; none for a model that is not there.
        kinds: ``topk``, ``kl``, ``hidden``.
        batch_tokens: tokens of one forward.
        note: told in one line what cannot be had, and what it cost.

    Attributes:
        wanted, kinds: as given.
        gone: kinds of models, by key, that cannot be had.
    """

    def __init__(
        self,
        writer: RunWriter,
        reference: ModelSource,
        wanted: Mapping[str, frozenset[int]],
        *,
        kinds: Sequence[str],
        batch_tokens: int,
        note: Callable[[str], None],
    ) -> None:
        self._writer, self._reference, self.wanted = writer, reference, wanted
        self.kinds, self._batch_tokens, self._note = kinds, batch_tokens, note
        self._all = frozenset().union(*wanted.values())
        self._store = StateStore(writer.path, writer.tag)
        self._head: Head | None = None
        self.gone: set[tuple[str, str]] = set()
        self._missing: dict[str, dict[int, list[str]]] = {}
        self._pairs: set[int] = set()
        self._seconds: list[float] = []

    def parts(self, model: Model) -> list[Part]:
        """See ``requests.Evidence``."""
        missing = self._missing_of(model)
        return [part for part in self._writer.own_parts if self._live(model, missing.get(part.index, ()))]

    def n_tokens(self, model: Model, part: Part) -> int:
        """See ``requests.Evidence``."""
        return sum(request.n_tokens for request in wanted_requests(part, self._rows(model)))

    def prepare(self, model: Model, parts: Sequence[Part]) -> None:
        """See ``requests.Evidence``: the reference's states of the pairs that any policy is compared on."""
        indices = {part.index for part in parts}
        # a reference that has nothing left to score would have to be loaded again for every visit
        whole = not self._writer.mine(self._reference.model)
        parts = [part for part in self.parts(model) if whole or part.index in indices]
        needed = [part for part in parts if self._is_compared(model, part) and part.index not in self._store]
        if not needed:
            return
        begin = time.monotonic()
        try:
            with self._reference.open() as engine:
                assert isinstance(engine, Engine)
                self._keep_all(engine, model, needed)
        except MemoryError:
            self._give_up(COMPARED, "the reference did not fit into memory again")
        self._seconds.append(time.monotonic() - begin)

    def gather(self, scorer: Scorer, model: Model, part: Part) -> Gathering | None:
        """See ``requests.Evidence``."""
        assert isinstance(scorer, Engine)
        kinds = self._possible(scorer, model, part)
        if not kinds:
            return None
        compared = self._head is not None and bool(set(kinds) & set(COMPARED))
        return PartGathering(
            scorer,
            part,
            self._rows(model),
            kinds=kinds,
            beside=Beside(self._head, lambda one: self._store.get(part.index, one)) if compared else None,  # type: ignore[arg-type]
            store=lambda kind, table: self.put(kind, model, part, table),
            spend=self._seconds.append,
        )

    def conclude(self, seconds: float) -> None:
        """See ``requests.Evidence``."""
        own = sum(self._seconds)
        if self._pairs:
            self._note(
                f"evidence ({', '.join(self.kinds)}) of {len(self._pairs)} pairs: {own:.1f} s, "
                f"{own / max(seconds, own, 1e-9):.0%} of the time; --evidence none leaves it out"
            )

    def _rows(self, model: Model) -> frozenset[int]:
        return self._all if model.is_reference else self.wanted.get(model.key, frozenset())

    def _missing_of(self, model: Model) -> dict[int, list[str]]:
        """The kinds that each part lacks, by the part's index; looked up once."""
        if model.key not in self._missing:
            kinds = [kind for kind in self.kinds if kind not in COMPARED or not model.is_reference]
            self._missing[model.key] = found = {}
            for part in self._writer.own_parts:
                if wanted := self._rows(model).intersection(part.rows):
                    stored = {kind: evidence.rows_stored(self._writer, kind, model, part.index) for kind in kinds}
                    found[part.index] = [kind for kind in kinds if wanted - stored[kind]]
                    self._expect(model, part, found[part.index])
        return self._missing[model.key]

    def _expect(self, model: Model, part: Part, kinds: Sequence[str]) -> None:
        for kind in kinds:
            path = evidence.evidence_path(kind, model, part.index)
            self._writer.expected[path] = (f"evidence {kind} of {model.key}", part.index)

    def _live(self, model: Model, kinds: Sequence[str]) -> list[str]:
        return [kind for kind in kinds if (kind, model.key) not in self.gone]

    def _is_compared(self, model: Model, part: Part) -> bool:
        return bool(set(COMPARED) & set(self._live(model, self._missing_of(model).get(part.index, ()))))

    def _possible(self, engine: Engine, model: Model, part: Part) -> list[str]:
        """The kinds that this part lacks and that can be had; what cannot is told once."""
        kinds = self._live(model, self._missing_of(model).get(part.index, ()))
        if not kinds:
            return []
        if engine.head is None:
            self._give_up(kinds, f"its trunk and head do not come apart ({engine.why})", model)
        elif self._head is not None and engine.head.size != self._head.size:
            sizes = f"{engine.head.size} entries, the reference's {self._head.size}"
            self._give_up(COMPARED, f"its vocabulary has {sizes}: no distribution of one is one of the other", model)
        return self._live(model, kinds)

    def _give_up(self, kinds: Sequence[str], why: str, model: Model | None = None) -> None:
        """Nothing of these kinds will be collected, of one model or of all."""
        models = [model] if model else [one for one in self._writer.models if not one.is_reference]
        new = {(kind, one.key) for kind in kinds if kind in self.kinds for one in models} - self.gone
        self.forget(new)
        if new:
            told = ", ".join(kind for kind in self.kinds if kind in {kind for kind, _ in new})
            self._note(f"no evidence ({told}) of {model.key if model else 'any policy'}: {why}")

    def forget(self, gone: Collection[tuple[str, str]]) -> None:
        """Expect no more of some kinds of some models, by key."""
        self.gone |= set(gone)
        names = {f"evidence {kind} of {key}" for kind, key in gone}
        for path in [path for path, (name, _) in self._writer.expected.items() if name in names]:
            del self._writer.expected[path]

    def _keep_all(self, engine: Engine, model: Model, parts: Sequence[Part]) -> None:
        if engine.head is None:
            self._give_up(COMPARED, f"the reference's trunk and head do not come apart ({engine.why})")
        for part in parts:
            if self._is_compared(model, part):
                self._keep(engine, part)

    def _keep(self, engine: Engine, part: Part) -> None:
        """Keep the reference's states of a part, and its head; always of the same requests, so of the same bytes."""
        requests = wanted_requests(part, self._all)
        self._store.begin(part.index, requests)

        def look(takes: Sequence[tuple[Request, np.ndarray]], states: Tensor) -> None:
            if self._head is None:
                self._head = kept_head(engine, states)
            for request, rows in takes if self._head else ():
                self._store.put(part.index, request, states[torch.from_numpy(rows).to(states.device)])

        show_states(engine, requests, self._batch_tokens, look)
        if self._head is None:
            self._give_up(COMPARED, "the reference's head cannot be used without the whole of it")

    def put(self, kind: str, model: Model, part: Part, table: pa.Table) -> None:
        """Store one kind of a part."""
        evidence.add(self._writer, kind, model, part.index, table)
        self._missing[model.key][part.index].remove(kind)
        self._pairs |= set(table["row"].to_pylist())

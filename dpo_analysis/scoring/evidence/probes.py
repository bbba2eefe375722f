"""Probes made and scored once all is scored: samples, greedy continuations, and the core behind another opening."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from dpo_analysis.data.tokenization import Response, TokenizedPair
from dpo_analysis.errors import DPOAnalysisError, Interrupted, RunBusy, StorageError
from dpo_analysis.runs import Model, Part, Run, RunWriter, open_run
from dpo_analysis.runs.evidence import probes
from dpo_analysis.runs.evidence.kinds import draw
from dpo_analysis.runs.evidence.probes import GREEDY, SAMPLES, SWAP
from dpo_analysis.runs.parts import responses_table
from dpo_analysis.schema import CHOSEN, SCORED
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.evidence.generation import continuations
from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.oom_retry import score_fitting
from dpo_analysis.scoring.part_table import part_requests, part_table
from dpo_analysis.text.regions import PLACES, places, sentence_ends
from dpo_analysis.text.token_types import specials

DRAWN = 8
"""Samples of each prompt."""
LONGEST = 512
"""Tokens after which a continuation is cut at most; before that, at the longest response of the run's own."""
SEED = "probe"


@dataclass
class Probing:
    """What one command does about probes.

    Attributes:
        writer: the run folder, open.
        run: the same, open for reading.
        rows: the pairs whose prompts are probed.
        pairs: those pairs.
        vocab: the run's vocabulary.
        longest: tokens after which a continuation is cut.
        ends: ids that end a text.
        batch_tokens: tokens of one forward.
    """

    writer: RunWriter
    run: Run
    rows: list[int]
    pairs: list[TokenizedPair]
    vocab: pa.Table | None
    longest: int
    ends: tuple[int, ...]
    batch_tokens: int

    @property
    def settings(self) -> dict[str, str]:
        """What decides the responses beside the model, as label."""
        ids = " ".join(pair.pair.pair_id for pair in self.pairs)
        return {"drawn": str(DRAWN), "longest": str(self.longest), "seed": SEED, "prompts": ids}


def probe(writer: RunWriter, sources: Sequence[ModelSource], count: int, *, batch_tokens: int) -> None:
    """Make and score the probes that are missing, of the models of this command.

    A policy that cannot be opened or does not fit is told of and passed over.

    Args:
        writer: the run folder, whose parts this command or others have scored.
        sources: the models of this command, the reference first.
        count: prompts, those that ``evidence.draw`` puts first, one pair of each group.
        batch_tokens: tokens of one forward.

    Raises:
        DPOAnalysisError: the reference cannot be used, or the disk refuses.
    """
    run = open_run(writer.path)
    if not run.is_complete:
        _note(writer, "nothing probed yet: parts are missing; run the same command when all are scored")
        return
    begin, state = time.monotonic(), _probing(writer, run, count, batch_tokens)
    if not state.pairs:
        _note(writer, "nothing to probe: no pair is scored")
        return
    reference, *policies = sources
    with reference.open() as engine:
        assert isinstance(engine, Engine)
        for name, drawn in ((SAMPLES, DRAWN), (GREEDY, 0)):
            _make(state, name, reference.model, partial(_say, state, engine, drawn))
            _score(state, engine, name, reference.model, reference.model)
    done = [source.model for source in policies if _policy(state, source, reference.model)]
    with reference.open() as engine:
        assert isinstance(engine, Engine)
        for policy in done:
            for name in (GREEDY, SWAP):
                _score(state, engine, name, policy, reference.model)
    writer.finish()
    _note(writer, f"probes of {len(state.pairs)} prompts: {time.monotonic() - begin:.1f} s")


def _probing(writer: RunWriter, run: Run, count: int, batch_tokens: int) -> Probing:
    split = "eval" if "eval" in run.splits else run.splits[0]
    planned = [
        (row, pair) for part in writer.parts for row, pair in zip(part.rows, part.pairs, strict=True)
        if pair.pair.split == split and pair.status in SCORED
    ]  # fmt: skip
    first: dict[str, tuple[int, TokenizedPair]] = {}
    for row, pair in sorted(planned, key=lambda one: draw(one[1].pair.pair_id)):
        first.setdefault(pair.group_id, (row, pair))
    kept = sorted(list(first.values())[:count], key=lambda one: one[0])
    longest = max((len(own.token_ids) for _, pair in planned for own in pair.responses.values()), default=1)
    vocab = run.vocab()
    ends = {pair.special.eos for _, pair in kept} | _last_special(vocab, kept)
    return Probing(
        writer, run, [row for row, _ in kept], [pair for _, pair in kept], vocab, min(longest, LONGEST),
        tuple(sorted(one for one in ends if one is not None)), batch_tokens,
    )  # fmt: skip


def _last_special(vocab: pa.Table | None, kept: Sequence[tuple[int, TokenizedPair]]) -> set[int]:
    """Special ids that the chosen responses end with: chat templates end a turn with one of their own.

    A newline may stand behind it.
    """
    tails = [pair.responses[CHOSEN].token_ids[-2:] for _, pair in kept]
    last = np.concatenate([np.zeros(0, np.int32), *tails]).astype(np.int64)
    return set(last[specials(vocab, last)].tolist())


def _policy(state: Probing, source: ModelSource, reference: Model) -> bool:
    """Make and score what one policy says; False where it cannot be used."""
    model = source.model
    try:
        with source.open() as engine:
            assert isinstance(engine, Engine)
            _make(state, GREEDY, model, partial(_say, state, engine, 0))
            _make(state, SWAP, model, lambda: _swapped(state, model))
            for name, maker in ((SAMPLES, reference), (GREEDY, reference), (GREEDY, model), (SWAP, model)):
                _score(state, engine, name, maker, model)
    except (StorageError, Interrupted, RunBusy):
        raise
    except (DPOAnalysisError, MemoryError) as error:
        _note(state.writer, f"{model.key} cannot be probed: {error}")
        return False
    return True


def _make(state: Probing, name: str, maker: Model, make: Callable[[], list[dict[str, Response]]]) -> None:
    """Store one maker's responses, where they are not there."""
    if probes.has_responses(state.writer, name, maker, state.settings):
        return
    part = _part(state, make())
    probes.store_responses(state.writer, name, maker, responses_table(part), state.settings)


def _part(state: Probing, responses: Sequence[dict[str, Response]]) -> Part:
    pairs = [replace(pair, responses=own, status="ok") for pair, own in zip(state.pairs, responses, strict=True)]
    return Part(0, state.rows, pairs)


def _say(state: Probing, engine: Engine, drawn: int) -> list[dict[str, Response]]:
    """What a model says after every prompt: ``sample-0`` ... drawn, or ``greedy``."""
    found = []
    for pair in state.pairs:
        prompt = pair.responses[CHOSEN].prompt_token_ids
        said = continuations(
            engine.model,
            prompt,
            count=drawn,
            longest=state.longest,
            ends=state.ends,
            seed=f"{SEED} {pair.pair.pair_id}",
        )
        names = [f"sample-{number}" for number in range(drawn)] if drawn else [GREEDY]
        found.append(dict(zip(names, said, strict=True)))
    return found


def _swapped(state: Probing, model: Model) -> list[dict[str, Response]]:
    """The core of every chosen response behind the prompt and the opening of the model's own greedy response.

    None where the chosen response has no core.
    """
    table = probes.read_responses(state.run, GREEDY, model)
    assert table is not None
    said = _by_row(state, table)
    found = []
    for pair, own in zip(state.pairs, said, strict=True):
        response, greedy = pair.responses[CHOSEN], own[GREEDY].token_ids
        core = response.token_ids[_place(state.vocab, response.token_ids) == PLACES.index("core")]
        opening = greedy[_place(state.vocab, greedy) == PLACES.index("opening")]
        front = np.concatenate([response.prompt_token_ids, opening])
        found.append({SWAP: Response(front, core, False)} if len(core) else {})
    return found


def _place(vocab: pa.Table | None, ids: np.ndarray) -> np.ndarray:
    """The place in ``PLACES`` of every token of one response."""
    lengths, own = np.array([len(ids)]), ids.astype(np.int64)
    return places(lengths, specials(vocab, own), sentence_ends(vocab, lengths, own))


def _score(state: Probing, engine: Engine, name: str, maker: Model, scorer: Model) -> None:
    """Store what one model says of one maker's responses, where it is not there."""
    if probes.has_scores(state.writer, name, maker, scorer):
        return
    table = probes.read_responses(state.run, name, maker)
    assert table is not None
    part = _part(state, _by_row(state, table))
    requests, where = part_requests(part)
    scores, fitted, _ = score_fitting(engine, requests, state.batch_tokens)
    probes.store_scores(state.writer, name, maker, scorer, part_table(part, where, scores, fitted))


def _by_row(state: Probing, table: pa.Table) -> list[dict[str, Response]]:
    found: dict[int, dict[str, Response]] = {row: {} for row in state.rows}
    for one in table.to_pylist():
        ids = (np.array(one[name], dtype=np.int32) for name in ("prompt_token_ids", "token_ids"))
        found[one["row"]][one["side"]] = Response(*ids, one["truncated"])
    return [found[row] for row in state.rows]


def _note(writer: RunWriter, line: str) -> None:
    writer.log("note", text=line)

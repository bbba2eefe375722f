"""Probes made and scored once a run is scored: samples, greedy continuations, and cores after another opening.

The core of a chosen response is what lies between its opening and its closing (``text.regions``).
"""

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
from dpo_analysis.runs.evidence.kinds import draw_key
from dpo_analysis.runs.evidence.probes import GREEDY, SAMPLES, SWAP
from dpo_analysis.runs.parts import responses_table
from dpo_analysis.schema import CHOSEN, SCORED
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.evidence.generation import generate_continuations
from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.oom_retry import score_with_oom_retry
from dpo_analysis.scoring.part_table import part_requests, part_table
from dpo_analysis.scoring.score_writer import log_note
from dpo_analysis.text.regions import REGIONS, sentence_ends, token_regions
from dpo_analysis.text.token_types import special_tokens_mask

N_SAMPLES = 8
"""Samples of each prompt."""
MAX_NEW_TOKENS = 512
"""Tokens after which a continuation is cut at most; before that, at the length of the run's longest response."""
SEED = "probe"


@dataclass
class ProbeSettings:
    """The prompts and the generation settings of one command's probes.

    Attributes:
        writer: the run folder, open.
        run: the same, open for reading.
        rows: the pairs whose prompts are probed.
        pairs: those pairs.
        vocab: the run's vocabulary, in ``schema.VOCAB_SCHEMA``.
        max_new_tokens: tokens after which a continuation is cut.
        eos_token_ids: ids that end a text.
        batch_tokens: tokens of one forward pass.
    """

    writer: RunWriter
    run: Run
    rows: list[int]
    pairs: list[TokenizedPair]
    vocab: pa.Table | None
    max_new_tokens: int
    eos_token_ids: tuple[int, ...]
    batch_tokens: int

    @property
    def label(self) -> dict[str, str]:
        """The file label: what the responses depend on beside the model."""
        ids = " ".join(pair.pair.pair_id for pair in self.pairs)
        return {"drawn": str(N_SAMPLES), "longest": str(self.max_new_tokens), "seed": SEED, "prompts": ids}


def run_probes(writer: RunWriter, sources: Sequence[ModelSource], n_prompts: int, *, batch_tokens: int) -> None:
    """Make and score the probes that are missing, with the models of this command.

    A policy that cannot be opened or does not fit is noted in the log and skipped.

    Args:
        writer: the run folder, whose parts this command or others have scored.
        sources: the models of this command, the reference first.
        n_prompts: prompts to probe: those that ``draw_key`` puts first, one pair of each group.
        batch_tokens: tokens of one forward pass.

    Raises:
        DPOAnalysisError: the reference cannot be used, or the disk refuses.
    """
    run = open_run(writer.path)
    if not run.is_complete:
        log_note(writer, "nothing probed yet: parts are missing; run the same command when all are scored")
        return
    begin, settings = time.monotonic(), _probe_settings(writer, run, n_prompts, batch_tokens)
    if not settings.pairs:
        log_note(writer, "nothing to probe: no pair is scored")
        return
    reference, *policies = sources
    with reference.open() as engine:
        assert isinstance(engine, Engine)
        for name, n_samples in ((SAMPLES, N_SAMPLES), (GREEDY, 0)):
            _make_missing(settings, name, reference.model, partial(_continuations, settings, engine, n_samples))
            _score_missing(settings, engine, name, reference.model, reference.model)
    probed = [source.model for source in policies if _probe_policy(settings, source, reference.model)]
    with reference.open() as engine:
        assert isinstance(engine, Engine)
        for policy in probed:
            for name in (GREEDY, SWAP):
                _score_missing(settings, engine, name, policy, reference.model)
    writer.finish()
    log_note(writer, f"probes of {len(settings.pairs)} prompts: {time.monotonic() - begin:.1f} s")


def _probe_settings(writer: RunWriter, run: Run, n_prompts: int, batch_tokens: int) -> ProbeSettings:
    split = "eval" if "eval" in run.splits else run.splits[0]
    scored = [
        (row, pair)
        for part in writer.parts
        for row, pair in zip(part.rows, part.pairs, strict=True)
        if pair.pair.split == split and pair.status in SCORED
    ]
    by_group: dict[str, tuple[int, TokenizedPair]] = {}
    for row, pair in sorted(scored, key=lambda item: draw_key(item[1].pair.pair_id)):
        by_group.setdefault(pair.group_id, (row, pair))
    probed = sorted(list(by_group.values())[:n_prompts], key=lambda item: item[0])
    longest = max((len(response.token_ids) for _, pair in scored for response in pair.responses.values()), default=1)
    vocab, pairs = run.vocab(), [pair for _, pair in probed]
    return ProbeSettings(
        writer=writer,
        run=run,
        rows=[row for row, _ in probed],
        pairs=pairs,
        vocab=vocab,
        max_new_tokens=min(longest, MAX_NEW_TOKENS),
        eos_token_ids=end_ids(vocab, pairs),
        batch_tokens=batch_tokens,
    )


def end_ids(vocab: pa.Table | None, pairs: Sequence[TokenizedPair]) -> tuple[int, ...]:
    """Return the ids that end a text: end-of-text, and the special ids that end the chosen responses.

    Chat templates end a turn with an id of their own. A newline may follow it, so the last two tokens count.
    """
    tails = [pair.responses[CHOSEN].token_ids[-2:] for pair in pairs]
    ids = np.concatenate([np.zeros(0, np.int32), *tails]).astype(np.int64)
    ends = {pair.special_ids.eos for pair in pairs} | set(ids[special_tokens_mask(vocab, ids)].tolist())
    return tuple(sorted(token_id for token_id in ends if token_id is not None))


def _probe_policy(settings: ProbeSettings, source: ModelSource, reference: Model) -> bool:
    """Make and score the probes of one policy; return whether it can be used."""
    model = source.model
    try:
        with source.open() as engine:
            assert isinstance(engine, Engine)
            _make_missing(settings, GREEDY, model, partial(_continuations, settings, engine, 0))
            _make_missing(settings, SWAP, model, partial(_swapped_openings, settings, model))
            for name, maker in ((SAMPLES, reference), (GREEDY, reference), (GREEDY, model), (SWAP, model)):
                _score_missing(settings, engine, name, maker, model)
    except (StorageError, Interrupted, RunBusy):
        raise
    except (DPOAnalysisError, MemoryError) as error:
        log_note(settings.writer, f"{model.key} cannot be probed: {error}")
        return False
    return True


def _make_missing(
    settings: ProbeSettings, name: str, maker: Model, make: Callable[[], list[dict[str, Response]]]
) -> None:
    """Store the responses of one maker, unless they are stored already."""
    if probes.has_responses(settings.writer, name, maker, settings.label):
        return
    part = _probe_part(settings, make())
    probes.store_responses(settings.writer, name, maker, responses_table(part), settings.label)


def _probe_part(settings: ProbeSettings, responses: Sequence[dict[str, Response]]) -> Part:
    """Return a part of the probed pairs with these responses in place of their own."""
    pairs = [replace(pair, responses=sides, status="ok") for pair, sides in zip(settings.pairs, responses, strict=True)]
    return Part(0, settings.rows, pairs)


def _continuations(settings: ProbeSettings, engine: Engine, n_samples: int) -> list[dict[str, Response]]:
    """Return a model's continuations of every prompt: ``sample-0`` and so on, or ``greedy`` for no samples."""
    names = [f"sample-{number}" for number in range(n_samples)] if n_samples else [GREEDY]
    responses = []
    for pair in settings.pairs:
        continuations = generate_continuations(
            engine.model,
            pair.responses[CHOSEN].prompt_token_ids,
            n_samples=n_samples,
            max_new_tokens=settings.max_new_tokens,
            eos_token_ids=settings.eos_token_ids,
            seed=f"{SEED} {pair.pair.pair_id}",
        )
        responses.append(dict(zip(names, continuations, strict=True)))
    return responses


def _swapped_openings(settings: ProbeSettings, model: Model) -> list[dict[str, Response]]:
    """Return the core of every chosen response, to follow the prompt and the opening of the model's greedy response.

    A chosen response without a core has none.
    """
    table = probes.read_responses(settings.run, GREEDY, model)
    assert table is not None
    swapped = []
    for pair, sides in zip(settings.pairs, _responses_by_row(settings, table), strict=True):
        response, greedy = pair.responses[CHOSEN], sides[GREEDY].token_ids
        core = response.token_ids[_is_region(settings.vocab, response.token_ids, "core")]
        opening = greedy[_is_region(settings.vocab, greedy, "opening")]
        prompt = np.concatenate([response.prompt_token_ids, opening])
        swapped.append({SWAP: Response(prompt, core, False)} if len(core) else {})
    return swapped


def _is_region(vocab: pa.Table | None, ids: np.ndarray, region: str) -> np.ndarray:
    """Return which tokens of one response are in a region of ``REGIONS``, bool, (tokens,)."""
    lengths, token_ids = np.array([len(ids)]), ids.astype(np.int64)
    special, ends = special_tokens_mask(vocab, token_ids), sentence_ends(vocab, lengths, token_ids)
    return token_regions(lengths, special, ends) == REGIONS.index(region)


def _score_missing(settings: ProbeSettings, engine: Engine, name: str, maker: Model, scorer: Model) -> None:
    """Store one model's scores of one maker's responses, unless they are stored already."""
    if probes.has_scores(settings.writer, name, maker, scorer):
        return
    table = probes.read_responses(settings.run, name, maker)
    assert table is not None
    part = _probe_part(settings, _responses_by_row(settings, table))
    requests, request_indices = part_requests(part)
    scores, fitted, _ = score_with_oom_retry(engine, requests, settings.batch_tokens)
    probes.store_scores(settings.writer, name, maker, scorer, part_table(part, request_indices, scores, fitted))


def _responses_by_row(settings: ProbeSettings, table: pa.Table) -> list[dict[str, Response]]:
    """Return the responses of a table in ``schema.RESPONSES_SCHEMA`` by side, for each of the probed rows."""
    responses: dict[int, dict[str, Response]] = {row: {} for row in settings.rows}
    for line in table.to_pylist():
        prompt, ids = (np.array(line[name], dtype=np.int32) for name in ("prompt_token_ids", "token_ids"))
        responses[line["row"]][line["side"]] = Response(prompt, ids, line["truncated"])
    return [responses[row] for row in settings.rows]

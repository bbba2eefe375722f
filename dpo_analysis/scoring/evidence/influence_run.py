"""Questions of influence answered by the models of a run, and stored: what ``score --confirm`` does once all is scored.

The questions come from the read tower (``diagnosis.groups``), which this room knows nothing of.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.errors import DPOAnalysisError, Interrupted, RunBusy, StorageError
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Run, RunWriter, open_run
from dpo_analysis.runs.evidence import influence
from dpo_analysis.runs.evidence.influence import EFFECTS, GROUPS, Asked, Question
from dpo_analysis.runs.summaries.store import SUMS, read_summary
from dpo_analysis.schema import CHOSEN, EFFECTS_SCHEMA, GROUPS_SCHEMA, SIDES
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.evidence.influence import STEPS, Effect, Target, Weighted, group_effects
from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.requests import Request

Ask = Callable[[Run], Asked]


def confirm(writer: RunWriter, sources: Sequence[ModelSource], ask: Ask, *, batch_tokens: int) -> None:
    """Answer what ``ask`` asks of the finished run, by the models that this command was given.

    A question that was answered before is not asked again; a model that cannot answer is told of and passed over.

    Args:
        writer: the run folder, whose parts this command or others have scored.
        sources: the models of this command.
        ask: gives the questions of a run that is scored.
        batch_tokens: tokens of one forward.

    Raises:
        StorageError: the disk is full or refuses.
    """
    run = open_run(writer.path)
    if not run.is_complete:
        _note(writer, "nothing confirmed yet: parts are missing; run the same command when all are scored")
        return
    asked = ask(run)
    for line in asked.notes:
        _note(writer, line)
    by_key = {source.model.key: source for source in sources}
    for question in asked.questions:
        source = by_key.get(question.model)
        if source is None:
            _note(writer, f"{question.model} not asked: this command was not given it; add --policy for it")
        elif not influence.is_answered(writer, source.model, question):
            _answer(writer, run, source, question, batch_tokens)
    writer.finish()


def _answer(writer: RunWriter, run: Run, source: ModelSource, question: Question, batch_tokens: int) -> None:
    begin = time.monotonic()
    try:
        with source.open() as engine:
            assert isinstance(engine, Engine)
            tables = answer(engine, run, _pairs(writer), source.model, question, batch_tokens=batch_tokens)
    except (StorageError, Interrupted, RunBusy):
        raise
    except (DPOAnalysisError, MemoryError) as error:
        _note(writer, f"{question.model} cannot be asked: {error}")
        return
    influence.store(writer, source.model, question, tables)
    groups = ", ".join(f"{name} {len(rows)}" for name, rows in question.groups.items())
    seconds = time.monotonic() - begin
    _note(
        writer, f"{question.model} asked what {len(question.targets)} fallen responses owe to {groups}: {seconds:.1f} s"
    )


def answer(
    engine: Engine,
    run: Run,
    pairs: dict[int, TokenizedPair],
    model: Model,
    question: Question,
    *,
    batch_tokens: int,
) -> dict[str, pa.Table]:
    """The answer to one question, by kind, in ``schema.INFLUENCE_SCHEMAS``.

    Args:
        engine: the model, open.
        run: its run.
        pairs: the pairs of the run by row.
        model: the model's place in the run.
        question: what is asked.
        batch_tokens: tokens of one forward.

    Raises:
        InputError: its weights cannot be moved.
        MemoryError: not even one response with its gradient fits.
    """
    shares = _gradient_weights(run, model)
    beta = run.series[model.series].beta
    groups = {
        name: [Weighted(_requests(pairs[row]), beta * shares[row]) for row in rows]
        for name, rows in question.groups.items()
    }
    targets = [
        Target(_requests(pairs[row])[SIDES.index(CHOSEN)], np.array(places, dtype=np.int64))
        for row, places in question.targets
    ]
    effects = group_effects(engine.model, groups, targets, batch_tokens=batch_tokens)
    return {EFFECTS: _effects_table(effects, question, pairs), GROUPS: _groups_table(question, pairs, shares)}


def _effects_table(effects: Sequence[Effect], question: Question, pairs: dict[int, TokenizedPair]) -> pa.Table:
    lines = [
        {
            "group": one.group, "side": one.side, "row": row, "pair_id": pairs[row].pair.pair_id,
            "n_target_tokens": len(places), "effect": float(change), "effect_error": float(error),
            "n_group_pairs": len(question.groups[one.group]), "step_length": STEPS[0],
        }
        for one in effects
        for (row, places), change, error in zip(question.targets, one.change, one.error, strict=True)
    ]  # fmt: skip
    return pa.Table.from_pylist(lines, schema=EFFECTS_SCHEMA)


def _groups_table(question: Question, pairs: dict[int, TokenizedPair], shares: dict[int, float]) -> pa.Table:
    lines = [
        {"group": name, "row": row, "pair_id": pairs[row].pair.pair_id, "gradient_weight": shares[row]}
        for name, rows in question.groups.items()
        for row in rows
    ]
    return pa.Table.from_pylist(lines, schema=GROUPS_SCHEMA)


def _gradient_weights(run: Run, model: Model) -> dict[int, float]:
    """sigmoid(-margin) of every pair that is scored under model and reference, by row."""
    (rows, own), (base_rows, base) = (_logps(run, one) for one in (model, run.reference))
    common, here, there = np.intersect1d(rows, base_rows, return_indices=True)
    change = rewards.log_ratio(own[here], base[there])
    margins = run.series[model.series].beta * rewards.margin(change[:, 0], change[:, 1])
    weights = rewards.gradient_weight(margins)
    return {int(row): float(weight) for row, weight in zip(common, weights, strict=True) if np.isfinite(weight)}


def _logps(run: Run, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and summed log-probs (rows, sides), nats."""
    table = read_summary(run, SUMS, model)
    return table["row"].to_numpy(), np.stack([table[f"{side}_logps"].to_numpy() for side in SIDES], axis=1)


def _pairs(writer: RunWriter) -> dict[int, TokenizedPair]:
    return {row: pair for part in writer.parts for row, pair in zip(part.rows, part.pairs, strict=True)}


def _requests(pair: TokenizedPair) -> tuple[Request, Request]:
    chosen, rejected = (
        Request(pair.responses[side].prompt_token_ids, pair.responses[side].token_ids) for side in SIDES
    )
    return chosen, rejected


def _note(writer: RunWriter, line: str) -> None:
    writer.log("note", text=line)

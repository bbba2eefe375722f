"""Questions of influence, answered by the models of a run and stored: ``score --confirm``, once everything is scored.

The questions come from the diagnosis (``diagnosis.influence_groups``), which scoring does not import.
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
from dpo_analysis.runs.evidence.influence import EFFECTS, GROUPS, Question, Questions
from dpo_analysis.runs.summaries.store import PAIR_SUMS, read_summary
from dpo_analysis.schema import CHOSEN, EFFECTS_SCHEMA, GROUPS_SCHEMA, SIDES
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.evidence.influence import STEP_LENGTHS, GroupEffect, TargetTokens, WeightedPair, group_effects
from dpo_analysis.scoring.loop import ModelSource
from dpo_analysis.scoring.requests import Request, request_of
from dpo_analysis.scoring.score_writer import log_note

QuestionSource = Callable[[Run], Questions]
"""Returns the questions to ask of a scored run."""


def answer_questions(
    writer: RunWriter, sources: Sequence[ModelSource], question_source: QuestionSource, *, batch_tokens: int
) -> None:
    """Answer the questions about the finished run, by the models of this command, and store the answers.

    A question that is answered already is not asked again; a model that cannot answer is noted in the log and skipped.

    Args:
        writer: the run folder, whose parts this command or others have scored.
        sources: the models of this command.
        question_source: returns the questions.
        batch_tokens: tokens of one forward pass.

    Raises:
        StorageError: the disk is full or refuses.
    """
    run = open_run(writer.path)
    if not run.is_complete:
        log_note(writer, "nothing confirmed yet: parts are missing; run the same command when all are scored")
        return
    questions = question_source(run)
    for line in questions.notes:
        log_note(writer, line)
    by_key = {source.model.key: source for source in sources}
    for question in questions.questions:
        source = by_key.get(question.model)
        if source is None:
            log_note(writer, f"{question.model} not asked: this command was not given it; add --policy for it")
        elif not influence.is_answered(writer, source.model, question):
            _answer_and_store(writer, run, source, question, batch_tokens)
    writer.finish()


def _answer_and_store(writer: RunWriter, run: Run, source: ModelSource, question: Question, batch_tokens: int) -> None:
    begin = time.monotonic()
    pairs = {row: pair for part in writer.parts for row, pair in zip(part.rows, part.pairs, strict=True)}
    try:
        with source.open() as engine:
            assert isinstance(engine, Engine)
            tables = answer_question(engine, run, pairs, source.model, question, batch_tokens=batch_tokens)
    except (StorageError, Interrupted, RunBusy):
        raise
    except (DPOAnalysisError, MemoryError) as error:
        log_note(writer, f"{question.model} cannot be asked: {error}")
        return
    influence.store_influence(writer, source.model, question, tables)
    groups = ", ".join(f"{name} {len(rows)}" for name, rows in question.groups.items())
    seconds = time.monotonic() - begin
    targets = f"{len(question.targets)} fallen responses"
    log_note(writer, f"{question.model} asked what {targets} owe to {groups}: {seconds:.1f} s")


def answer_question(
    engine: Engine,
    run: Run,
    pairs: dict[int, TokenizedPair],
    model: Model,
    question: Question,
    *,
    batch_tokens: int,
) -> dict[str, pa.Table]:
    """Return the answer to one question, by kind, in ``schema.INFLUENCE_SCHEMAS``.

    Args:
        engine: the model, open.
        run: its run.
        pairs: the pairs of the run by row.
        model: the model's place in the run.
        question: what is asked.
        batch_tokens: tokens of one forward pass.

    Raises:
        InputError: its weights cannot be moved.
        MemoryError: not even one response with its gradient fits.
    """
    gradient_weights = _gradient_weights(run, model)
    beta = run.series[model.series].beta
    groups = {
        name: [WeightedPair(_requests(pairs[row]), beta * gradient_weights[row]) for row in rows]
        for name, rows in question.groups.items()
    }
    targets = [
        TargetTokens(request_of(pairs[row].responses[CHOSEN]), np.array(positions, dtype=np.int64))
        for row, positions in question.targets
    ]
    effects = group_effects(engine.model, groups, targets, batch_tokens=batch_tokens)
    return {
        EFFECTS: _effects_table(effects, question, pairs),
        GROUPS: _groups_table(question, pairs, gradient_weights),
    }


def _effects_table(effects: Sequence[GroupEffect], question: Question, pairs: dict[int, TokenizedPair]) -> pa.Table:
    lines = [
        {
            "group": effect.group,
            "side": effect.side,
            "row": row,
            "pair_id": pairs[row].pair.pair_id,
            "n_target_tokens": len(positions),
            "effect": float(change),
            "effect_error": float(error),
            "n_group_pairs": len(question.groups[effect.group]),
            "step_length": STEP_LENGTHS[0],
        }
        for effect in effects
        for (row, positions), change, error in zip(question.targets, effect.change, effect.error, strict=True)
    ]
    return pa.Table.from_pylist(lines, schema=EFFECTS_SCHEMA)


def _groups_table(question: Question, pairs: dict[int, TokenizedPair], gradient_weights: dict[int, float]) -> pa.Table:
    lines = [
        {"group": name, "row": row, "pair_id": pairs[row].pair.pair_id, "gradient_weight": gradient_weights[row]}
        for name, rows in question.groups.items()
        for row in rows
    ]
    return pa.Table.from_pylist(lines, schema=GROUPS_SCHEMA)


def _gradient_weights(run: Run, model: Model) -> dict[int, float]:
    """Return sigmoid(-margin), by row, of every pair that is scored under model and reference."""
    (rows, logps), (reference_rows, reference_logps) = (_summed_logps(run, scored) for scored in (model, run.reference))
    common, places, reference_places = np.intersect1d(rows, reference_rows, return_indices=True)
    log_ratios = rewards.log_ratio(logps[places], reference_logps[reference_places])
    margins = run.series[model.series].beta * rewards.margin(log_ratios[:, 0], log_ratios[:, 1])
    weights = rewards.gradient_weight(margins)
    return {int(row): float(weight) for row, weight in zip(common, weights, strict=True) if np.isfinite(weight)}


def _summed_logps(run: Run, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (pairs,), and summed log-probs (pairs, sides), nats."""
    table = read_summary(run, PAIR_SUMS, model)
    return table["row"].to_numpy(), np.stack([table[f"{side}_logps"].to_numpy() for side in SIDES], axis=1)


def _requests(pair: TokenizedPair) -> tuple[Request, Request]:
    """Return the requests for the chosen and the rejected response."""
    chosen, rejected = (request_of(pair.responses[side]) for side in SIDES)
    return chosen, rejected

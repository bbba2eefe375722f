"""``score``: pairs, a reference and policies in; a run folder out. Run again, it goes on where it stopped."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from dpo_analysis.data.pairs import Pair, load_pairs
from dpo_analysis.data.tokens import TokenizedPair, limit_groups, tokenize_pairs
from dpo_analysis.data.vocab import tokenizer_fingerprint, vocabulary
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run, RunWriter, open_run
from dpo_analysis.scoring.agreement import check_tokenizers, needs_of, pick_tokenizer
from dpo_analysis.scoring.engine import BATCH_TOKENS
from dpo_analysis.scoring.lineup import Lineup, line_up
from dpo_analysis.scoring.models import few_threads, pick_device, pick_dtype
from dpo_analysis.scoring.sources import Shelf, Watch
from dpo_analysis.scoring.work import Progress, score_parts
from dpo_analysis.training import Training, find_training, read_trainer_state
from dpo_analysis.training.discover import ASK as ASK_REFERENCE

MAX_LENGTH = 1024
"""TRL's default max_length in tokens, where neither the caller nor a trainer's folder says another."""


def score(
    pairs: Sequence[Pair] | Iterable[object] | str | Path,
    *,
    out: str | Path,
    reference: object = None,
    policies: Mapping[str, object] | Iterable[object] = (),
    trainer_outputs: Sequence[str | Path] = (),
    beta: float | None = None,
    loss_type: str | list[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    tokenizer: object = None,
    max_length: int | None = None,
    truncation: str | None = None,
    tokenization: str = "trl",
    chat_template: str | Path | None = None,
    base: str | Path | None = None,
    dtype: str | None = None,
    device: str = "auto",
    limit: int | None = None,
    batch_tokens: int | None = None,
    part_size: int = 512,
    shard: tuple[int, int] = (0, 1),
    report: Callable[[Progress], None] | None = None,
) -> Run:
    """Score the reference and every policy on ``pairs``, per token, into the run folder ``out``.

    Args:
        pairs: from ``load_pairs``, or sources for it.
        out: the run folder: new, unfinished, or finished and given further policies.
        reference: path, hub id or loaded model. None: an adapter's saved ``ref/``, else its base; or a trainer's folder
            says it.
        policies: ``{"[SERIES/]NAME": path, hub id or loaded model}``, or strings ``[[SERIES/]NAME=]MODEL``.
        trainer_outputs: folders that a trainer left; their checkpoints are policies too, their logs are imported.
        beta: DPO's beta; None: the trainer's own, else 0.1. Rewards and losses are computed later, from the run.
        loss_type: TRL's name of the loss, or several; None: the trainer's own, else sigmoid.
        parameters: further parameters of the loss, such as label_smoothing.
        tokenizer: path, hub id or tokenizer; None: the first policy's.
        max_length: longest prompt + response in tokens; None: the trainer's own, else 1024.
        truncation: keep_start or keep_end; None: the trainer's own, else keep_start.
        tokenization: the preset that turns rows into tokens; ``trl`` is exactly TRL 1.16.
        chat_template: a Jinja file, in place of the tokenizer's own template.
        base: base of adapters whose recorded one is not on this machine.
        dtype: float32, bfloat16 or float16; None: float32, but bfloat16 above 3B parameters on CUDA.
        device: auto, cpu, cuda or mps.
        limit: only the pairs of this many smallest group hashes of each split.
        batch_tokens: padded tokens of one forward pass; None: by device.
        part_size: rows of one part.
        shard: this worker's number and the number of workers.
        report: called after every part.

    Returns:
        The run, opened.

    Raises:
        InputError: an input cannot be taken; nothing was written.
        PartialResult: some policies or pairs could not be scored; everything else is in the folder.
        StorageError: the folder cannot be written.
        RunBusy: another process works on the same shard.
        Interrupted: stopped; finished parts are kept.
    """
    place = pick_device(device)
    trainings = [find_training(folder) for folder in trainer_outputs]
    objective = {"beta": beta, "loss_type": loss_type, "parameters": dict(parameters) if parameters else None}
    lineup = line_up(policies, reference, base=base, trainings=trainings, objective=objective)
    n_parameters = lineup.n_parameters()
    kind = pick_dtype(dtype, n_parameters, place)
    encoder = pick_tokenizer(tokenizer, lineup, chat_template)
    recipe = _recipe(tokenization, max_length, truncation, trainings)
    tokenized = limit_groups(tokenize_pairs(_loaded(pairs), encoder, **recipe), limit)
    needs = needs_of(tokenized)
    for entry in lineup.entries:
        needs.check(entry.config, entry.model.source)
    check_tokenizers(encoder, lineup, tokenized, template_given=chat_template is not None or tokenizer is not None)
    identity = _identity(tokenized, encoder, recipe, lineup)
    budget = batch_tokens or BATCH_TOKENS[place.type]
    opened = RunWriter.open(
        out,
        identity=identity | {"dtype": lineup.dtype or kind, "part_size": part_size},
        tokenized=tokenized,
        series=lineup.series,
        models=[entry.model for entry in lineup.entries],
        part_size=part_size,
        shard=shard,
        vocab=vocabulary(encoder),
    )
    with opened as writer, few_threads(n_parameters, place):
        _log_start(writer, lineup, place, budget)
        for line in (note for training in trainings for note in training.notes):
            if reference is None or not line.endswith(ASK_REFERENCE):
                writer.log("note", text=line)
        _write_curves(writer, trainings)
        shelf = Shelf(device=place, dtype=kind, needs=needs, note=lambda line: writer.log("note", text=line))
        watch = Watch(shelf.note)
        sources = [entry.source(shelf, needs, watch) for entry in lineup.entries]
        score_parts(writer, sources, batch_tokens=budget, report=report or (lambda progress: None))
    return open_run(out)


def _loaded(pairs: Sequence[Pair] | Iterable[object] | str | Path) -> list[Pair]:
    """Pairs as they are; anything else is read: one source, rows, or several sources."""
    if not isinstance(pairs, list | tuple) or (pairs and isinstance(pairs[0], Mapping)):
        return load_pairs(pairs)
    given = [one for one in pairs if isinstance(one, Pair)]
    return given if given and len(given) == len(pairs) else load_pairs(*pairs)


def _recipe(
    tokenization: str, max_length: int | None, truncation: str | None, trainings: Sequence[Training]
) -> dict[str, Any]:
    """How rows become ids: as the caller says, else as every training did."""
    return {
        "tokenization": tokenization,
        "max_length": max_length if max_length is not None else _common("max_length", trainings) or MAX_LENGTH,
        "truncation": truncation or _common("truncation", trainings) or "keep_start",
    }


def _common(name: str, trainings: Sequence[Training]) -> Any:
    found = {getattr(one, name): one.series for one in trainings if getattr(one, name) is not None}
    if len(found) > 1:
        told = ", ".join(f"{series} {value}" for value, series in found.items())
        raise InputError(f"different {name} in these trainings: {told}; pass --{name.replace('_', '-')}")
    return next(iter(found), None)


def _identity(
    tokenized: Sequence[TokenizedPair], tokenizer: Any, recipe: Mapping[str, Any], lineup: Lineup
) -> dict[str, Any]:
    """What every number of the run comes from; a run folder with another identity is refused."""
    marks = tokenizer_fingerprint(tokenizer)
    template = marks.pop("template", None)
    conversational = any(pair.pair.conversational for pair in tokenized)
    order = hashlib.sha256()
    for pair in tokenized:
        order.update(f"{pair.pair.pair_id}\t{pair.pair.split}\n".encode())
    return {
        "pairs": order.hexdigest(),
        "tokenizer": marks,
        "template": template if conversational else None,
        "numerics": "default",
        "reference": lineup.reference.model.weights,
        **recipe,
    }


def _log_start(writer: RunWriter, lineup: Lineup, device: torch.device, batch_tokens: int) -> None:
    writer.log(
        "start",
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        threads=torch.get_num_threads(),
        batch_tokens=batch_tokens,
        models={entry.model.key: entry.place for entry in lineup.entries},
    )


def _write_curves(writer: RunWriter, trainings: Sequence[Training]) -> None:
    """Import each trainer's log, under its series; one that cannot be read costs the overlay alone."""
    for training in trainings:
        if training.log_path is None:
            continue
        try:
            curves = read_trainer_state(training.log_path, series=training.series)
        except InputError as error:
            writer.log("note", text=str(error))
            continue
        writer.write_curves(curves)

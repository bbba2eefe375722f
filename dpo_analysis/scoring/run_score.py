"""``score``: pairs, a reference and policies in; a run folder out. Run again, it goes on where it stopped."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from dpo_analysis.data.compressed_pairs import load_kept
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import TokenizedPair, limit_groups, tokenize_pairs
from dpo_analysis.data.vocab import tokenizer_fingerprint, vocabulary
from dpo_analysis.errors import DPOAnalysisError, InputError
from dpo_analysis.runs import Run, RunWriter, Series, open_run
from dpo_analysis.runs.evidence.kinds import KINDS, PAIRS
from dpo_analysis.scoring.engine.engine import BATCH_TOKENS
from dpo_analysis.scoring.engine.placement import DeviceMap, check_device_map
from dpo_analysis.scoring.engine.trl_numerics import ROWS
from dpo_analysis.scoring.evidence.collector import score_collecting
from dpo_analysis.scoring.evidence.influence_run import Ask
from dpo_analysis.scoring.evidence.influence_run import confirm as answer_questions
from dpo_analysis.scoring.evidence.pair_sample import wish
from dpo_analysis.scoring.evidence.probes import probe
from dpo_analysis.scoring.loop import Progress
from dpo_analysis.scoring.models.loading import check_numerics, few_threads, pick_device, pick_dtype
from dpo_analysis.scoring.models.model_set import Lineup, line_up
from dpo_analysis.scoring.models.settings import Means
from dpo_analysis.scoring.models.tokenizer_check import check_tokenizers, needs_of, pick_tokenizer
from dpo_analysis.scoring.workers.ray_cluster import check_workers, joined
from dpo_analysis.scoring.workers.ray_driver import check_entries, score_on
from dpo_analysis.trainer import Training, find_training, read_trainer_state
from dpo_analysis.trainer.discover import ASK as ASK_REFERENCE

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
    numerics: str = "default",
    device: str = "auto",
    device_map: DeviceMap | None = None,
    limit: int | None = None,
    evidence: str | Iterable[str] = KINDS,
    evidence_pairs: int | str = PAIRS,
    batch_tokens: int | None = None,
    part_size: int = 512,
    shard: tuple[int, int] = (0, 1),
    ray: str | None = None,
    ray_workers: int | None = None,
    probes: int = 0,
    confirm: Ask | None = None,
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
        beta: DPO's beta; None: the trainer's own, else the run's, else 0.1. Rewards and losses are computed later, from
            the run: one that is given corrects what a run that is there says of these series.
        loss_type: TRL's name of the loss, or several; None: the trainer's own, else the run's, else sigmoid.
        parameters: further parameters of the loss, such as label_smoothing.
        tokenizer: path, hub id or tokenizer; None: the first policy's.
        max_length: longest prompt + response in tokens; None: the trainer's own, else 1024.
        truncation: keep_start or keep_end; None: the trainer's own, else keep_start.
        tokenization: the preset that turns rows into tokens; ``trl`` is exactly TRL 1.16.
        chat_template: a Jinja file, in place of the tokenizer's own template.
        base: base of adapters whose recorded one is not on this machine.
        dtype: float32, bfloat16 or float16; None: float32, but bfloat16 above 3B parameters on CUDA.
        numerics: ``default``, or ``trainer``: what TRL logs under bfloat16 autocast, from float32 weights.
        device: auto, cpu, cuda or mps.
        device_map: spreads each model over the devices of this machine, as for transformers (``auto``, or a dict).
        limit: only the pairs of this many smallest group hashes of each split.
        evidence: kinds to collect of some pairs: topk, kl, hidden; or none; or fallen, for pairs whose chosen response
            fell under a policy, beside like ones that did not, once all is scored.
        evidence_pairs: pairs of each split (fallen: of each policy) to collect it of, or all; 0 for none.
        batch_tokens: padded tokens of one forward pass; None: by device.
        part_size: rows of one part.
        shard: this worker's number and the number of workers.
        ray: where models run on a Ray cluster: HOST:PORT, ``local``, or ``auto`` for a running one, else ``local``.
        ray_workers: how many to ask the cluster for; None: one per GPU it has, else one per core.
        probes: once all is scored, of how many prompts to draw samples and greedy continuations, score them under every
            model, and score the chosen core behind each policy's own opening; the worker of shard 0 does it, in this
            process.
        confirm: once all is scored, which groups of pairs to follow the gradients of (``diagnosis.groups.ask``); the
            worker of shard 0 does it, in this process.
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
    wanted = wish(evidence, evidence_pairs)
    check_numerics(numerics, dtype)
    check_device_map(device_map, ray=ray)
    check_workers(ray, shard)
    for name, asked in (("probes", probes > 0), ("confirm", confirm is not None)):
        if asked and ray is not None:
            raise InputError(f"--{name} beside --ray: models run in this process for it; give it in a second command")
    if ray is None:
        pick_device(device)
    trainings = [find_training(folder) for folder in trainer_outputs]
    objective = {"beta": beta, "loss_type": loss_type, "parameters": dict(parameters) if parameters else None}
    known = _stored_series(out)
    lineup = line_up(policies, reference, base=base, trainings=trainings, objective=objective, known=known)
    if ray is not None:
        check_entries(lineup.entries)
    # asked first: weights that do not fit their config are told better here than by what loads the tokenizer
    n_parameters = lineup.n_parameters()
    encoder = pick_tokenizer(tokenizer, lineup, chat_template)
    recipe = _recipe(tokenization, max_length, truncation, trainings)
    tokenized = limit_groups(tokenize_pairs(_loaded(pairs), encoder, **recipe), limit)
    if confirm is not None and "train" not in {pair.pair.split for pair in tokenized}:
        raise InputError("--confirm without training pairs: it follows their gradients; give train=PAIRS as well")
    needs = needs_of(tokenized)
    for entry in lineup.entries:
        needs.check(entry.config, entry.model.source)
    check_tokenizers(encoder, lineup, tokenized, template_given=chat_template is not None or tokenizer is not None)
    identity = _identity(tokenized, encoder, recipe, lineup)
    with joined(ray, device=device, workers=ray_workers) as cluster:
        place = cluster.place if cluster else pick_device(device)
        kind = "float32" if numerics == "trainer" else pick_dtype(dtype, n_parameters, place)
        budget = batch_tokens or (ROWS * needs.longest if numerics == "trainer" else BATCH_TOKENS[place.type])
        means = Means(cluster.device if cluster else device, kind, numerics, device_map, needs, n_parameters, budget)
        opened = RunWriter.open(
            out,
            identity=identity | {"dtype": lineup.dtype or kind, "numerics": numerics, "part_size": part_size},
            tokenized=tokenized,
            series=lineup.series,
            models=[entry.model for entry in lineup.entries],
            part_size=part_size,
            shard=shard,
            vocab=vocabulary(encoder),
            given=_given_fields(objective),
        )
        with opened as writer, few_threads(n_parameters, place):
            _log_start(writer, lineup, place, budget)
            for line in (*writer.corrected, *lineup.notes, *_training_notes(trainings, reference)):
                writer.log("note", text=line)
            _write_curves(writer, trainings)
            tell = report or (lambda progress: None)
            if cluster:
                afar = partial(score_on, cluster, means)
                score_collecting(writer, lineup.entries, wanted, batch_tokens=budget, report=tell, score=afar)
            else:
                sources = means.sources(lineup.entries, lambda line: writer.log("note", text=line))
                score_collecting(writer, sources, wanted, batch_tokens=budget, report=tell)
                if probes and shard[0] == 0:
                    probe(writer, sources, probes, batch_tokens=budget)
                if confirm is not None and shard[0] == 0:
                    answer_questions(writer, sources, confirm, batch_tokens=budget)
    return open_run(out)


def _training_notes(trainings: Sequence[Training], reference: object) -> list[str]:
    """What was found out about the trainings, but for advice that the caller followed."""
    notes = [note for training in trainings for note in training.notes]
    return [note for note in notes if reference is None or not note.endswith(ASK_REFERENCE)]


def _loaded(pairs: Sequence[Pair] | Iterable[object] | str | Path) -> Sequence[Pair]:
    """Pairs as they are; anything else is read: one source, rows, or several sources."""
    if not isinstance(pairs, list | tuple) or (pairs and isinstance(pairs[0], Mapping)):
        return load_kept(pairs)
    given = [one for one in pairs if isinstance(one, Pair)]
    return given if given and len(given) == len(pairs) else load_kept(*pairs)


def _stored_series(out: str | Path) -> dict[str, Series]:
    """The series of the run that is there; none where there is no run, or where ``RunWriter.open`` will refuse it."""
    try:
        return open_run(out).series
    except DPOAnalysisError:
        return {}


def _given_fields(objective: Mapping[str, Any]) -> set[str]:
    """The fields of a series that the caller gave; another loss_type may take its loss_weights out of parameters."""
    given = {name for name, value in objective.items() if value is not None}
    return given | {"parameters"} if "loss_type" in given else given


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
        scored_from=_seen_from(writer.path),
    )


def _seen_from(run: Path) -> str:
    """The working folder as seen from the run folder, against which relative model paths are found again."""
    try:
        return Path(os.path.relpath(Path.cwd(), run.resolve())).as_posix()
    except ValueError:  # another drive
        return Path.cwd().as_posix()


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

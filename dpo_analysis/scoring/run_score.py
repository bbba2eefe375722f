"""``score``: pairs, a reference and policies in; a run folder out. A second call goes on where the first stopped."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import transformers

from dpo_analysis.data.vocab import vocabulary
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run, RunWriter, open_run
from dpo_analysis.scoring.arguments import ScoreArguments, keywords_from
from dpo_analysis.scoring.engine.engine import BATCH_TOKENS
from dpo_analysis.scoring.engine.placement import check_device_map
from dpo_analysis.scoring.engine.trl_numerics import BATCH_SEQUENCES
from dpo_analysis.scoring.evidence.collector import score_with_evidence
from dpo_analysis.scoring.evidence.influence_run import answer_questions
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest, parse_evidence_request
from dpo_analysis.scoring.evidence.probes import run_probes
from dpo_analysis.scoring.inputs import ScoringInputs, prepare_inputs
from dpo_analysis.scoring.log_fit.assumed import settle_assumptions
from dpo_analysis.scoring.log_fit.judge import judge_by_log
from dpo_analysis.scoring.loop import score_parts
from dpo_analysis.scoring.models.devices import check_numerics, few_threads, pick_device, pick_dtype
from dpo_analysis.scoring.models.settings import ScoringSettings
from dpo_analysis.scoring.score_writer import log_note
from dpo_analysis.scoring.workers.ray_cluster import Cluster, check_ray_options, join_ray_cluster
from dpo_analysis.scoring.workers.ray_driver import score_on_ray
from dpo_analysis.trainer import read_log
from dpo_analysis.trainer.logs import log_notes


@keywords_from(ScoreArguments)
def score(arguments: ScoreArguments) -> Run:
    """Score the reference and every policy on ``pairs``, per token, into the run folder ``out``.

    Returns:
        The run, opened.

    Raises:
        InputError: an input cannot be used; nothing was written.
        PartialResult: some policies or pairs could not be scored; everything else is in the folder.
        StorageError: the folder cannot be written.
        RunBusy: another process works on the same shard.
        Interrupted: the scoring was stopped; finished parts are kept.
    """
    evidence = parse_evidence_request(arguments.evidence, arguments.evidence_pairs)
    _check_options(arguments)
    inputs = prepare_inputs(arguments)
    with join_ray_cluster(arguments.ray, device=arguments.device, workers=arguments.ray_workers) as cluster:
        device = cluster.torch_device if cluster else pick_device(arguments.device)
        settings = _settings(arguments, inputs, cluster, device)
        if cluster is None:
            arguments, inputs = settle_assumptions(arguments, inputs, settings)
            settings = _settings(arguments, inputs, cluster, device)
        with _open_writer(arguments, inputs, settings) as writer, few_threads(inputs.n_parameters, device):
            _log_start(writer, inputs, device, settings.batch_tokens, arguments.limit)
            _write_curves(writer, arguments, inputs)
            _score_models(arguments, evidence, inputs, settings, writer, cluster)
    return open_run(arguments.out)


def _check_options(arguments: ScoreArguments) -> None:
    """Check the options that need no model.

    Raises:
        InputError: an option is unknown, excluded by another, or not possible on this machine.
    """
    check_numerics(arguments.numerics, arguments.dtype)
    check_device_map(arguments.device_map, ray=arguments.ray)
    check_ray_options(arguments.ray, arguments.shard)
    for name, is_set in (("probes", arguments.probes > 0), ("confirm", arguments.confirm is not None)):
        if is_set and arguments.ray is not None:
            raise InputError(f"--{name} beside --ray: Ray does not run it; give it in a second command without --ray")
    if arguments.ray is None:
        pick_device(arguments.device)


def _settings(
    arguments: ScoreArguments, inputs: ScoringInputs, cluster: Cluster | None, device: torch.device
) -> ScoringSettings:
    as_trainer = arguments.numerics == "trainer"
    default_tokens = BATCH_SEQUENCES * inputs.requirements.longest_sequence if as_trainer else BATCH_TOKENS[device.type]
    return ScoringSettings(
        device=cluster.device if cluster else arguments.device,
        dtype="float32" if as_trainer else pick_dtype(arguments.dtype, inputs.n_parameters, device),
        numerics=arguments.numerics,
        device_map=arguments.device_map,
        requirements=inputs.requirements,
        n_parameters=inputs.n_parameters,
        batch_tokens=arguments.batch_tokens or default_tokens,
    )


def _open_writer(arguments: ScoreArguments, inputs: ScoringInputs, settings: ScoringSettings) -> RunWriter:
    identity = {
        "dtype": inputs.model_set.dtype or settings.dtype,
        "numerics": settings.numerics,
        "part_size": arguments.part_size,
    }
    return RunWriter.open(
        arguments.out,
        identity=inputs.identity | identity,
        tokenized=inputs.tokenized,
        series=inputs.model_set.series,
        models=[resolved.model for resolved in inputs.model_set.models],
        part_size=arguments.part_size,
        shard=arguments.shard,
        vocab=vocabulary(inputs.tokenizer),
        explicit=inputs.explicit,
    )


def _score_models(
    arguments: ScoreArguments,
    evidence: EvidenceRequest,
    inputs: ScoringInputs,
    settings: ScoringSettings,
    writer: RunWriter,
    cluster: Cluster | None,
) -> None:
    """Score everything that is missing, here or on the Ray cluster, then run the probes and answer the questions."""
    sources = settings.loadable(inputs.model_set.models, partial(log_note, writer))
    score_with_evidence(
        writer,
        sources,
        evidence,
        batch_tokens=settings.batch_tokens,
        report=arguments.report or (lambda progress: None),
        score=partial(score_on_ray, cluster, settings) if cluster else score_parts,
    )
    if cluster is not None or arguments.shard[0] != 0:
        return
    judge_by_log(writer, arguments, inputs, sources, settings.batch_tokens)
    if arguments.probes:
        run_probes(writer, sources, arguments.probes, batch_tokens=settings.batch_tokens)
    if arguments.confirm is not None:
        answer_questions(writer, sources, arguments.confirm, batch_tokens=settings.batch_tokens)


def _log_start(
    writer: RunWriter, inputs: ScoringInputs, device: torch.device, batch_tokens: int, limit: int | None
) -> None:
    writer.log(
        "start",
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        threads=torch.get_num_threads(),
        batch_tokens=batch_tokens,
        limit=limit,
        pairs_read=inputs.pairs_read,
        models={resolved.model.key: resolved.location for resolved in inputs.model_set.models},
        scored_from=_working_folder_from(writer.path),
    )
    for training in inputs.trainings:
        writer.log("found", series=training.series, trainer=training.trainer, sources=training.sources)
    for line in (*writer.corrected, *inputs.notes):
        log_note(writer, line)


def _working_folder_from(run: Path) -> str:
    """Return the working folder relative to the run folder; relative paths of models are found again with it."""
    try:
        return Path(os.path.relpath(Path.cwd(), run.resolve())).as_posix()
    except ValueError:  # another drive
        return Path.cwd().as_posix()


def _write_curves(writer: RunWriter, arguments: ScoreArguments, inputs: ScoringInputs) -> None:
    """Import the log of every trainer, under its series; a log that cannot be read is noted and left out."""
    logs = [(training.series, training.log_path) for training in inputs.trainings if training.log_path is not None]
    names = [series.name for series in inputs.model_set.series]
    logs += [log_and_series(log, names) for log in arguments.logs]
    for series, path in logs:
        try:
            curves = read_log(path, series=series)
        except InputError as error:
            log_note(writer, str(error))
            continue
        for line in log_notes(curves):
            log_note(writer, line)
        writer.write_curves(curves)


def log_and_series(log: str | Path, names: Sequence[str]) -> tuple[str, str]:
    """Return series and path of ``[SERIES=]PATH``.

    Raises:
        InputError: there are several series and none is named, or an unknown one is.
    """
    series, path = ("", str(log)) if Path(log).exists() else str(log).rpartition("=")[::2]
    if not series and len(names) == 1:
        series = names[0]
    if series not in names:
        raise InputError(f"no series for the log {log}: there is {', '.join(names)}; give it as --log SERIES={path}")
    return series, path

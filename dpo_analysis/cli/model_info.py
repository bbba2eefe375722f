"""``info``: what a folder is, what was found in it, and whether it can be scored."""

import os.path
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dpo_analysis.cli.found import found_lines
from dpo_analysis.errors import InputError
from dpo_analysis.trainer import Training, find_training
from dpo_analysis.trainer.folder import CHECKPOINT, is_folder, is_regular, saved_dtype


def info(
    model: Annotated[
        str, typer.Argument(metavar="MODEL_OR_DIR", help="A model's folder, a hub id, or a trainer's output folder.")
    ],
    base: Annotated[
        str | None, typer.Option(help="The base model of an adapter, if the recorded path is not here.")
    ] = None,
) -> None:
    """Say what a model or a trainer's folder is, and whether it can be scored.

    Nothing is loaded and nothing in the folder is run.
    """
    for line in info_lines(model, base):
        typer.echo(line)


def info_lines(source: str, base: str | None = None) -> list[str]:
    """Return what was found in a folder and whether it can be scored, a line each.

    Args:
        source: a model's folder, a hub id, or a trainer's output folder.
        base: the base model of an adapter whose recorded base is not on this machine.

    Raises:
        InputError: there is no such folder, and no such model on the hub.
    """
    folder = Path(os.path.expanduser(source))
    if folder.suffix in (".yaml", ".yml"):
        return [f"{source}: a config of a training; give it as --config to score"]
    if is_regular(folder / "manifest.json"):
        return [f"{source}: a run folder; look at it: dpo-analysis app {source}"]
    if not is_folder(folder):
        from dpo_analysis.scoring.models.model_folders import model_folder

        folder = model_folder(source)
    if _is_training(folder):
        training = find_training(folder)
        lines = [*found_lines(training, {"base": base}), "models:"]
        for _, path in training.checkpoints:
            lines.append(f"  {Path(path).name}: {', '.join(_model_facts(path, base or _found_base(training)))}")
        return [*lines, *(f"note: {note}" for note in training.notes)]
    return [
        f"{source}: {facts}" if number == 0 else f"  {facts}" for number, facts in enumerate(_model_facts(source, base))
    ]


def _found_base(training: Training) -> str | None:
    """Return the reference of a training as the base of its adapters, where it is a folder on this machine."""
    return training.reference if training.reference and Path(training.reference).is_dir() else None


def _is_training(folder: Path) -> bool:
    """Return whether a folder is a checkpoint, or one that a trainer wrote to: no model that was saved by itself."""
    names = {path.name for path in folder.iterdir()} | {folder.resolve().name}
    below = any(CHECKPOINT.fullmatch(name) for name in names) or (folder / "ckpt").is_dir()
    beside = names & {"training_args.bin", "args.json", "trainer_state.json"}
    return bool(below or beside or not names & {"config.json", "adapter_config.json"})


def _model_facts(source: str, base: str | None) -> Iterator[str]:
    """Yield kind, size, dtype, tokenizer and chat template of a model, and whether it can be scored."""
    from dpo_analysis.scoring.models.preflight import check_weights, find_model, position_limit, vocabulary_size
    from dpo_analysis.scoring.models.weight_files import DamagedWeights

    try:
        files = find_model(source, base=base)
    except InputError as error:
        yield f"cannot be scored: {error}"
        return
    kind = (
        "a full model" if files.kind == "full" else f"an adapter ({files.adapter_config.get('peft_type', 'unknown')})"
    )
    yield f"{kind} of type {files.config.get('model_type')}"
    if files.base is not None:
        yield f"on {files.base.folder}"
    try:
        n_parameters = check_weights(files)
    except DamagedWeights as error:
        yield f"cannot be scored: {error}"
        return
    yield f"{n_parameters:,} parameters in {saved_dtype(files.full.folder) or 'an unknown type'}"
    yield f"at most {position_limit(files.config) or 'any number of'} tokens"
    yield f"vocabulary of {vocabulary_size(files.config)}"
    yield _tokenizer_fact(files.folder, files.full.folder)
    yield "can be scored"


def _tokenizer_fact(*folders: Path) -> str:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
    folder = next((one for one in folders if any((one / name).is_file() for name in names)), None)
    if folder is None:
        return "no tokenizer beside it: give --tokenizer FOLDER"
    from dpo_analysis.trainer.folder import read_json_object

    has_template = (folder / "chat_template.jinja").is_file() or bool(
        read_json_object(folder / "tokenizer_config.json").get("chat_template")
    )
    return f"tokenizer {'with' if has_template else 'without'} a chat template"

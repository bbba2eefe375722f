"""Is this a model that can be scored? Answered from the folder alone, before torch is loaded and a GPU is paid for.

Safetensors only, no code from a checkpoint, and no download of a name that merely stands in a file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.models import model_folders
from dpo_analysis.scoring.models.weight_files import (
    Damaged,
    Tensor,
    check_adapter,
    check_config,
    file_sha256,
    json_sha256,
    n_parameters,
    safetensors_header,
)

PROMPT_LEARNING = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE")
"""PEFT types that add virtual tokens; their scores would not sit at the response's positions."""
OTHER_HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM", "RewardModel")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
_VOLATILE = ("transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache")
_MACHINE = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk that passed the checks of its folder: full, or an adapter with its base.

    Attributes:
        source: path or hub id as the user typed it.
        kind: ``full`` or ``adapter``.
        folder: where it lies.
        weights: its safetensors files (an adapter's own; its base has others).
        config: the parsed config.json (an adapter: its base's).
        adapter: the parsed adapter_config.json; empty for a full model.
        base: the full model under an adapter.
    """

    source: str
    kind: str
    folder: Path
    weights: tuple[Path, ...]
    config: dict
    adapter: dict
    base: "ModelFiles | None"

    @property
    def full(self) -> "ModelFiles":
        """The full model: itself, or the adapter's base."""
        return self.base or self


def inspect_model(source: str | Path, *, base: str | Path | None = None) -> ModelFiles:
    """Everything that can be known of a model before it is loaded.

    Args:
        source: a folder, or a hub id (asked for by name, so it may be fetched).
        base: for an adapter whose recorded base is not on this machine.

    Raises:
        InputError: it cannot be scored; the line says why and what to do.
        Damaged: it could be scored, were its weight files whole.
    """
    files = find_model(source, base=base)
    check_weights(files)
    return files


def find_model(source: str | Path, *, base: str | Path | None = None) -> ModelFiles:
    """Like ``inspect_model`` without opening the weight files.

    Raises:
        InputError: it cannot be scored, whatever its weight files hold.
    """
    folder = model_folders.model_folder(source)
    if (folder / "adapter_config.json").is_file():
        return _adapter(str(source), folder, base)
    weights = model_folders.weight_files(folder)
    config = read_json(folder / "config.json", missing="a model folder has one beside its weights; copy it there")
    _refuse_config(config, folder)
    return ModelFiles(str(source), "full", folder, weights, config, {}, None)


def _adapter(source: str, folder: Path, base: str | Path | None) -> ModelFiles:
    adapter = read_json(folder / "adapter_config.json", missing="")
    kind = str(adapter.get("peft_type", "")).upper()
    if kind in PROMPT_LEARNING:
        raise InputError(f"adapter of type {kind} in {folder}: it adds virtual tokens; only weight adapters are scored")
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise InputError(model_folders.why_no_adapter(folder))
    under = find_model(base if base is not None else model_folders.recorded_base(folder, adapter))
    if under.kind != "full":
        raise InputError(f"base {under.folder} of adapter {folder} is itself an adapter: merge it into its base first")
    return ModelFiles(source, "adapter", folder, (path,), under.config, adapter, under)


def saved_reference(files: ModelFiles) -> ModelFiles | None:
    """The ``ref/`` adapter that a trainer saved beside an adapter, or None.

    TRL saves one when training went on from an adapter: that adapter, not the bare base, was the reference.
    """
    if files.base is None or not (files.folder / "ref" / "adapter_config.json").is_file():
        return None
    return find_model(files.folder / "ref", base=files.base.folder)


def read_json(path: Path, *, missing: str) -> dict:
    """The JSON object in ``path``.

    Raises:
        InputError: there is no such file (``missing`` says what to do) or it does not parse to an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no {path.name} in {path.parent}: {missing}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"bad {path.name} in {path.parent}: {error}; copy the file again") from error
    if not isinstance(value, dict):
        raise InputError(f"bad {path.name} in {path.parent}: not a JSON object; copy the file again")
    return value


def _refuse_config(config: Mapping, folder: Path) -> None:
    """Refuse what is no causal language model of a class that transformers itself carries."""
    names = [str(name) for name in config.get("architectures") or ()]
    if config.get("is_encoder_decoder"):
        raise InputError(
            f"encoder-decoder model {config.get('model_type', '')} in {folder}: only causal language models have "
            f"the per-token view; score a decoder-only model"
        )
    other = [name for name in names if any(head in name for head in OTHER_HEADS)]
    if other:
        raise InputError(f"{other[0]} in {folder}: it has no language-model head; point at the policy itself")
    if config.get("quantization_config"):
        method = (config["quantization_config"] or {}).get("quant_method", "unknown")
        raise InputError(f"quantised weights ({method}) in {folder}: not supported; point at the unquantised model")
    shipped = sorted(path.name for path in folder.glob("*.py"))
    if config.get("auto_map") and (shipped or not config.get("model_type")):
        raise InputError(
            f"model code {', '.join(shipped) or 'auto_map'} in {folder}: code from a checkpoint is never run; "
            f"remove auto_map from config.json and the .py files if transformers' own class fits"
        )
    if not config.get("model_type"):
        raise InputError(f"no model_type in {folder / 'config.json'}: its class cannot be told; copy it again")


def check_weights(files: ModelFiles) -> int:
    """Open every weight file's header; returns the number of parameters of the full model.

    Raises:
        Damaged: a file is cut short, unreadable, lacks tensors its index names, or holds empty ones; or the weights do
            not fit the config or the adapter its base.
    """
    full = _whole(files.full)
    tensors = {name: tensor for header in full.values() for name, tensor in header.items()}
    check_config(files.full.folder, _text_config(files.config), tensors)
    if files.base is not None:
        (own,) = _whole(files).values()
        check_adapter(files.folder, own, files.base.folder, tensors)
    return n_parameters(full.values())


def _whole(files: ModelFiles) -> dict[Path, dict[str, Tensor]]:
    """The header of every weight file, each with all that the index promises."""
    headers = {path: safetensors_header(path) for path in files.weights}
    for path, header in headers.items():
        empty = [name for name, tensor in header.items() if 0 in tensor.shape]
        if empty:
            raise Damaged(f"empty tensor {empty[0]} in {path}: {model_folders.ZERO_HINT}")
        if not header:
            raise Damaged(f"no tensors in {path}: the save was not finished; copy it again or use another checkpoint")
    for name, shard in model_folders.weight_map(files.folder).items() if files.kind == "full" else ():
        if name not in headers[files.folder / shard]:
            raise Damaged(f"no tensor {name} in {files.folder / shard}: its index names it; copy the shard again")
    return headers


def weights_sha256(files: ModelFiles, *, cache: bool = True) -> str:
    """One hash of all that decides the model's numbers: weight files, config, and an adapter's base.

    Paths, versions and the recorded base name do not enter: a copied checkpoint keeps its hash.
    """
    config = files.adapter if files.kind == "adapter" else files.config
    skipped = _MACHINE if files.kind == "adapter" else _VOLATILE
    parts = {
        "config": {key: value for key, value in config.items() if key not in skipped},
        "weights": [[path.name, file_sha256(path, cache=cache)] for path in files.weights],
        "base": weights_sha256(files.base, cache=cache) if files.base else None,
    }
    return json_sha256(parts)


def model_sha256(model: Model) -> str:
    """The hash of a run's model from its files as they are now, read anew: for ``runs.verify_run``.

    The network is not asked.

    Raises:
        InputError: it was in memory when it was scored, or is no longer where it was.
    """
    if model.source.startswith("loaded "):
        raise InputError(f"{model.key} was scored from memory: it has no files to compare; save it and score that")
    try:
        folder = model_folders.model_folder(model.source, fetch=False)
    except InputError as error:
        where = model.source or "an unknown place"
        raise InputError(f"not found at {where}; cd to where it was scored, or put it back there") from error
    return weights_sha256(find_model(folder), cache=False)


def position_limit(config: Mapping) -> int | None:
    """Longest sequence in tokens that the model's positions reach; None where they have no end (ALiBi, recurrent)."""
    text = _text_config(config)
    if text.get("alibi") or text.get("position_embedding_type") == "alibi":
        return None
    limit = next((text[key] for key in _POSITIONS if text.get(key)), None)
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    original, factor = rope.get("original_max_position_embeddings"), rope.get("factor")
    stretched = int(original * factor) if original and factor else 0
    return max(int(limit), stretched) if isinstance(limit, int) else None


def vocabulary_size(config: Mapping) -> int | None:
    """Number of token ids that the config promises."""
    size = _text_config(config).get("vocab_size")
    return int(size) if isinstance(size, int) else None


def _text_config(config: Mapping) -> Mapping:
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config

"""Checks of a model's folder that need no torch: they decide before anything is loaded whether it can be scored.

Only safetensors are read, no code from a checkpoint is run, and a model that a file merely names is not downloaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model
from dpo_analysis.scoring.models import model_folders
from dpo_analysis.scoring.models.adapters.four_bit import FourBit, check_quantization, four_bit_of
from dpo_analysis.scoring.models.adapters.kinds import check_scorable, rewriting_method, vocabulary_rows
from dpo_analysis.scoring.models.weight_files import (
    DamagedWeights,
    TensorInfo,
    check_adapter,
    check_config,
    count_parameters,
    file_sha256,
    json_sha256,
    plain_name,
    safetensors_header,
    unwrapped_name,
)
from dpo_analysis.text.bounded_json import parse_json

OTHER_HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM", "RewardModel")
MAX_POSITIONS = 2**53
"""More positions than any model has; a config may hold any number."""
_POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")
_UNHASHED_CONFIG_KEYS = ("transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache")
_UNHASHED_ADAPTER_KEYS = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model whose folder passed the checks: a full model, or an adapter with its base.

    Attributes:
        kind: ``full`` or ``adapter``.
        folder: the model's folder.
        weight_paths: its safetensors files; those of an adapter's base are the base's.
        config: the parsed config.json; for an adapter the config of its base.
        adapter_config: the parsed adapter_config.json; empty for a full model.
        base: the full model under an adapter.
        saved_reference: folder of the ``ref/`` adapter that a trainer saved beside an adapter; None where there is
            none. TRL saves one when training went on from an adapter: that adapter, not the base, was the reference.
        four_bit: how a full model is packed into 4 bits as it is loaded; None where it is not.
    """

    kind: str
    folder: Path
    weight_paths: tuple[Path, ...]
    config: dict[str, Any]
    adapter_config: dict[str, Any]
    base: "ModelFiles | None" = None
    saved_reference: Path | None = None
    four_bit: FourBit | None = None

    @property
    def full(self) -> "ModelFiles":
        """The full model: this model, or the adapter's base."""
        return self.base or self


def find_model(
    source: str | Path, *, base: str | Path | None = None, full_models: dict[Path, ModelFiles] | None = None
) -> ModelFiles:
    """Return the files of a model without opening its weight files.

    Args:
        source: a folder, or a hub id, which is downloaded where it is not in the local cache.
        base: base model of an adapter whose recorded base is not on this machine.
        full_models: full models by folder; a base that several adapters share is then read once. New ones are added.

    Raises:
        InputError: the model cannot be scored, whatever its weight files hold.
    """
    folder = model_folders.model_folder(source)
    full_models = {} if full_models is None else full_models
    if (folder / "adapter_config.json").is_file():
        return _find_adapter(folder, base, full_models)
    if folder not in full_models:
        weight_paths = model_folders.safetensors_files(folder)
        config = read_json(folder / "config.json", missing="a model folder has one beside its weights; copy it there")
        _refuse_config(config, folder)
        four_bit = four_bit_of(config, "config.json")
        full_models[folder] = ModelFiles("full", folder, weight_paths, config, {}, four_bit=four_bit)
    return full_models[folder]


def _find_adapter(folder: Path, base: str | Path | None, full_models: dict[Path, ModelFiles]) -> ModelFiles:
    config = read_json(folder / "adapter_config.json", missing="")
    check_scorable(folder, config)
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise InputError(model_folders.why_no_adapter(folder))
    base = base if base is not None else model_folders.recorded_base(folder, config)
    full = find_model(base, full_models=full_models)
    if full.kind != "full":
        raise InputError(
            f"base {full.folder} of adapter {folder} is itself an adapter: merge it into its base first, "
            "PeftModel.from_pretrained(BASE, FOLDER).merge_and_unload().save_pretrained(NEW), and pass --base NEW"
        )
    reference = folder / "ref" if (folder / "ref" / "adapter_config.json").is_file() else None
    if reference is not None and rewriting_method(config):
        raise InputError(
            f"adapter {folder} was trained on from a {rewriting_method(config)} adapter beside its copy ref/: PEFT "
            "rewrote the base once for each of the two, which cannot be told from the files; merge it where it was "
            "trained"
        )
    return ModelFiles("adapter", folder, (path,), full.config, config, full, reference)


def in_four_bits(files: ModelFiles, four_bit: FourBit) -> ModelFiles:
    """Return the files of a model that is packed into 4 bits as it is loaded; under an adapter its base is."""
    if files.base is not None:
        return replace(files, base=in_four_bits(files.base, four_bit))
    return replace(files, four_bit=four_bit)


def find_saved_reference(files: ModelFiles, full_models: dict[Path, ModelFiles] | None = None) -> ModelFiles | None:
    """Return the ``ref/`` adapter beside an adapter, on the same base; None where there is none.

    Raises:
        InputError: it cannot be scored.
    """
    if files.base is None or files.saved_reference is None:
        return None
    return find_model(files.saved_reference, base=files.base.folder, full_models=full_models)


def read_json(path: Path, *, missing: str) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises:
        InputError: there is no such file (``missing`` says what to do), or it does not parse to an object.
    """
    try:
        value = parse_json(model_folders.read_small_file(path))
    except FileNotFoundError as error:
        raise InputError(f"no {path.name} in {path.parent}: {missing}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"bad {path.name} in {path.parent}: {error}; copy the file again") from error
    if not isinstance(value, dict):
        raise InputError(f"bad {path.name} in {path.parent}: not a JSON object; copy the file again")
    return value


def _refuse_config(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse the config of a model that is no causal language model of a class of transformers."""
    names = config.get("architectures")
    architectures = [str(name) for name in names] if isinstance(names, list) else []
    if config.get("is_encoder_decoder"):
        raise InputError(
            f"encoder-decoder model {config.get('model_type', '')} in {folder}: only causal language models have "
            f"the per-token view; score a decoder-only model"
        )
    headless = [name for name in architectures if any(head in name for head in OTHER_HEADS)]
    if headless:
        raise InputError(f"{headless[0]} in {folder}: it has no language-model head; point at the policy itself")
    check_quantization(config, folder)
    code_files = sorted(path.name for path in folder.glob("*.py"))
    if config.get("auto_map") and (code_files or not config.get("model_type")):
        raise InputError(
            f"model code {', '.join(code_files) or 'auto_map'} in {folder}: code from a checkpoint is never run; "
            f"remove auto_map from config.json and the .py files if transformers' own class fits"
        )
    if not config.get("model_type"):
        raise InputError(f"no model_type in {folder / 'config.json'}: its class is unknown; copy the file again")


def check_weights(files: ModelFiles) -> int:
    """Check the header of every weight file; returns the number of parameters of the full model.

    Raises:
        DamagedWeights: a file is cut short, unreadable, lacks tensors that its index names, or holds empty tensors; or
            the weights do not fit the config, or the adapter does not fit its base.
    """
    full = _checked_headers(files.full)
    tensors = {plain_name(name): tensor for header in full.values() for name, tensor in header.items()}
    if len(tensors) != len({name for header in full.values() for name in header}):
        raise DamagedWeights(
            f"two tensors of one name in {files.full.folder}: some names begin with _orig_mod. or module., which "
            "wrappers of a model add, and some do not; keep the file of one save"
        )
    check_config(files.full.folder, _text_config(files.config), tensors)
    if files.base is not None:
        (adapter,) = _checked_headers(files).values()
        plain = {unwrapped_name(name): tensor for name, tensor in adapter.items()}
        # PEFT copies layers of the base before it puts such an adapter on them
        if not files.adapter_config.get("layer_replication"):
            check_adapter(files.folder, plain, files.base.folder, tensors)
    return count_parameters(full.values())


def _checked_headers(files: ModelFiles) -> dict[Path, dict[str, TensorInfo]]:
    """Return the header of every weight file; together they hold every tensor that the index names."""
    headers = {path: safetensors_header(path) for path in files.weight_paths}
    for path, header in headers.items():
        empty = [name for name, tensor in header.items() if 0 in tensor.shape]
        if empty:
            raise DamagedWeights(f"empty tensor {empty[0]} in {path}: {model_folders.ZERO_HINT}")
        if not header:
            raise DamagedWeights(
                f"no tensors in {path}: the save was not finished; copy it again or use another checkpoint"
            )
    for name, shard in model_folders.weight_map(files.folder).items() if files.kind == "full" else ():
        if name not in headers[files.folder / shard]:
            raise DamagedWeights(
                f"no tensor {name} in {files.folder / shard}: its index names it; copy the shard again"
            )
    return headers


def scored_config(files: ModelFiles) -> dict[str, Any]:
    """Return the config that pairs are checked against: an adapter's file may hold an embedding larger than its base's.

    Raises:
        DamagedWeights: the header of the adapter's file cannot be read.
    """
    rows = vocabulary_rows(safetensors_header(files.weight_paths[0])) if files.kind == "adapter" else {}
    size = rows.get("embedding", rows.get("head"))
    if size is None:
        return files.config
    text = files.config.get("text_config")
    return files.config | (
        {"text_config": text | {"vocab_size": size}} if isinstance(text, dict) else {"vocab_size": size}
    )


def weights_sha256(files: ModelFiles, *, cache: bool = True) -> str:
    """Return one hash of everything that decides a model's scores: weight files, config, and an adapter's base.

    Paths, versions and the recorded name of the base are left out, so a copied checkpoint keeps its hash.
    """
    config = files.adapter_config if files.kind == "adapter" else files.config
    unhashed = _UNHASHED_ADAPTER_KEYS if files.kind == "adapter" else _UNHASHED_CONFIG_KEYS
    parts = {
        "config": {key: value for key, value in config.items() if key not in unhashed},
        "weights": [[path.name, file_sha256(path, cache=cache)] for path in files.weight_paths],
        "base": weights_sha256(files.base, cache=cache) if files.base else None,
    }
    return json_sha256(parts)


def model_sha256(model: Model) -> str:
    """Return the hash of a run's model, read anew from its files as they are now, for ``runs.verify_run``.

    Nothing is downloaded.

    Raises:
        InputError: the model was in memory when it was scored, or is no longer where it was.
    """
    if model.source.startswith("loaded "):
        raise InputError(f"{model.key} was scored from memory: it has no files to compare; save it and score that")
    try:
        folder = model_folders.model_folder(model.source, download=False)
    except InputError as error:
        where = model.source or "an unknown place"
        raise InputError(f"not found at {where}; cd to where it was scored, or put it back there") from error
    return weights_sha256(find_model(folder), cache=False)


def position_limit(config: Mapping[str, Any]) -> int | None:
    """Return the longest sequence that the model's positions allow, in tokens; None where any is (ALiBi, recurrent)."""
    text = _text_config(config)
    if text.get("alibi") or text.get("position_embedding_type") == "alibi":
        return None
    limit = next((text[key] for key in _POSITION_KEYS if text.get(key)), None)
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    rope = rope if isinstance(rope, dict) else {}
    original, factor = rope.get("original_max_position_embeddings"), rope.get("factor")
    stretched = 0
    if isinstance(original, int | float) and isinstance(factor, int | float):
        stretched = int(original * factor) if 0 < original * factor < MAX_POSITIONS else 0
    return max(int(limit), stretched) if isinstance(limit, int) else None


def vocabulary_size(config: Mapping[str, Any]) -> int | None:
    """Return the number of token ids in the config; None where it does not say."""
    size = _text_config(config).get("vocab_size")
    return int(size) if isinstance(size, int) else None


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of the language model inside a multimodal model, or the config itself."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config

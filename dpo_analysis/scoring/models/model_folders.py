"""Where a model's files are, and why a folder holds no weights that can be loaded. Torch-free."""

import os.path
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.policy_names import checkpoints_in
from dpo_analysis.scoring.models.weight_files import DamagedWeights
from dpo_analysis.text.bounded_json import parse_json, read_at_most
from dpo_analysis.trainer.folder import is_folder, is_regular

INDEX = "model.safetensors.index.json"
ZERO_HINT = (
    "DeepSpeed ZeRO-3 left its pieces ungathered; run `python zero_to_fp32.py . merged --safe_serialization` there, or "
    "train with stage3_gather_16bit_weights_on_model_save"
)
FSDP_HINT = "FSDP left sharded weights; run `accelerate merge-weights {piece} {folder}` (safetensors is its default)"
PICKLE_HINT = (
    "pickled weights can carry code and are not loaded; where you trust them, convert: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
)
MAX_NAME = 200
"""Characters of a recorded name that a message shows."""
MAX_JSON_BYTES = 64 * 2**20
"""Bytes of a config or an index: the index of a model of a trillion parameters has a few MB."""
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_DOWNLOADED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_NOT_DOWNLOADED = ["original/*", "onnx/*", "checkpoint-*", "consolidated*"]


def model_folder(source: str | Path, *, download: bool = True) -> Path:
    """Return the local folder of a model: the folder itself, or the snapshot of a hub id.

    Args:
        source: a folder or a hub id.
        download: whether a hub id that is not in the local cache may be downloaded.

    Raises:
        InputError: there is no such folder, and no such model on the hub.
    """
    path = Path(os.path.expanduser(source))
    if is_folder(path):
        return path
    if is_regular(path):
        raise InputError(f"{source} is a file: a model is a folder with config.json and *.safetensors; name its folder")
    text = str(source)
    local = text.startswith((".", "/", "~")) or ("/" in text and is_folder(text.split("/")[0]))
    if local or not _HUB_ID.fullmatch(text):
        raise InputError(f"no such folder: {source}; name a folder with config.json and *.safetensors, or a hub id")
    return _hub_snapshot(text, download=download)


def _hub_snapshot(name: str, *, download: bool) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    except ImportError as error:
        raise InputError(f"no such folder: {name}; hub ids need pip install 'dpo-analysis[score]'") from error
    try:
        snapshot = snapshot_download(
            name, allow_patterns=_DOWNLOADED, ignore_patterns=_NOT_DOWNLOADED, local_files_only=not download
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        why = type(error).__name__.removesuffix("Error")
        raise InputError(
            f"no such folder: {name}, and the hub does not give a model of that name ({why}); check the name, the "
            f"network and, for a gated model, `hf auth login`"
        ) from error
    return Path(snapshot)


def recorded_base(folder: Path, adapter_config: Mapping[str, Any]) -> Path:
    """Return the folder of the base model that an adapter's config names; a recorded name is never downloaded.

    A relative path is tried from the working folder, then from the adapter's folder and the folders above it.

    Args:
        folder: the adapter's folder.
        adapter_config: its parsed adapter_config.json.

    Raises:
        InputError: the config names no base, or one that is not on this machine.
    """
    name = adapter_config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise InputError(f"no base model named in adapter {folder}; pass --base MODEL")
    if Path(name).is_absolute() and is_folder(name):
        return Path(name)
    if not Path(name).is_absolute():
        adapter_folder = folder.resolve()
        starts = [Path.cwd(), adapter_folder, *adapter_folder.parents]
        configs = ("config.json", "adapter_config.json")
        base = next((start / name for start in starts if any(is_regular(start / name / one) for one in configs)), None)
        if base is not None:
            return base.resolve()
        if _HUB_ID.fullmatch(name):
            try:
                return _hub_snapshot(name, download=False)
            except InputError:
                pass
    raise InputError(
        f"adapter {folder} needs base {name[:MAX_NAME]}: not found on this machine; pass --base MODEL, or the base as "
        "--reference beside --trainer-output"
    )


def safetensors_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of the full model in ``folder``, in the order of their names.

    Raises:
        InputError: there are no files that transformers would load; the message says what the folder holds instead.
        DamagedWeights: a shard that the index names is missing.
    """
    shards = sorted(set(weight_map(folder).values()))
    if not shards and (folder / "model.safetensors").is_file():
        return (folder / "model.safetensors",)
    if not shards:
        raise InputError(_why_no_weights(folder))
    missing = [name for name in shards if not is_regular(folder / name)]
    if missing:
        raise DamagedWeights(
            f"missing shard {missing[0]} in {folder}: {len(missing)} of {len(shards)} are not there; copy it again"
        )
    return tuple(folder / name for name in shards)


def weight_map(folder: Path) -> dict[str, str]:
    """Return the file name of each tensor's shard, from the folder's index; empty where there is no index.

    Raises:
        DamagedWeights: the index does not parse, or names files outside the folder.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    try:
        entries = parse_json(read_small_file(path))["weight_map"]
        shards = {str(name): str(shard) for name, shard in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedWeights(f"bad {INDEX} in {folder}: no weight_map can be read; copy the file again") from error
    if not shards or any(Path(shard).name != shard for shard in shards.values()):
        raise DamagedWeights(f"bad {INDEX} in {folder}: its shards are not files of this folder; copy the file again")
    return shards


def read_small_file(path: Path) -> bytes:
    """Return the bytes of a config or an index of a model.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the system refuses.
        ValueError: it is no plain file, so that reading could wait for ever, or has over ``MAX_JSON_BYTES``.
    """
    if path.exists() and not is_regular(path):
        raise ValueError("no plain file")
    with path.open("rb") as handle:
        data = read_at_most(handle, MAX_JSON_BYTES)
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"over {MAX_JSON_BYTES >> 20} MiB")
    return data


def _why_no_weights(folder: Path) -> str:
    """Return what a folder without loadable weights holds, and how to make weights of it that can be loaded."""
    sharded = next(iter(sorted(folder.glob("pytorch_model_fsdp*"))), None)
    if sharded is not None or any(folder.glob("*.distcp")):
        return f"no safetensors in {folder}: {FSDP_HINT.format(piece=sharded or folder, folder=folder)}"
    if (folder / "zero_to_fp32.py").is_file() or any(folder.glob("global_step*")):
        return f"no safetensors in {folder}: {ZERO_HINT}"
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    models = [name for name in pickled if not name.startswith(_NOT_WEIGHTS)]
    if models:
        return f"no safetensors in {folder}, only {models[0]}: {PICKLE_HINT}"
    if any(folder.glob("*.gguf")):
        return f"no safetensors in {folder}, only GGUF: quantised for inference; point at the model it was made from"
    checkpoints = checkpoints_in(folder)
    if checkpoints:
        return f"no model in {folder} itself, only checkpoints; name one, such as {checkpoints[-1][1]}"
    other_names = sorted(path.name for path in folder.glob("*.safetensors"))
    if other_names:
        return f"no model.safetensors in {folder}, only {other_names[0]}: save it by save_pretrained and point there"
    return f"no model in {folder}: neither config.json nor *.safetensors; name a folder saved by save_pretrained"


def why_no_adapter(folder: Path) -> str:
    """Return why the adapter in ``folder`` has no weights to load; PEFT would load a pickle, whatever its options."""
    if (folder / "adapter_model.bin").is_file():
        return (
            f"no adapter_model.safetensors in {folder}, only adapter_model.bin: pickled weights can carry code and are "
            f"not loaded; where you trust them, PeftModel.from_pretrained(BASE, FOLDER).save_pretrained(NEW_FOLDER)"
        )
    if (folder / "zero_to_fp32.py").is_file() or any(folder.glob("global_step*")):
        return f"no adapter_model.safetensors in {folder}: {ZERO_HINT}"
    return f"no adapter_model.safetensors in {folder}: the save was not finished; use another checkpoint"

"""Weight files without torch: safetensors headers, content hashes, and whether weights fit a config or a base.

Models are compared by content hash, since names and dates change when a checkpoint is copied and its bytes do not.
"""

import hashlib
import json
import math
import os
import re
import struct
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import parse_json

EMBEDDING_NAMES = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
LAYER_KEYS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size")
_LORA = (".lora_A.weight", ".lora_B.weight")
_PREFIX = "base_model.model."
_HEADS = ("lm_head", "embed_out")
MAX_HEADER_BYTES = 100_000_000
"""Length of the longest header that safetensors accepts, in bytes."""
KEY_MAPPING = {
    r"^(?:module\.|_orig_mod\.|_fsdp_wrapped_module\.|base_model\.model\.)+": "",
    r"\._orig_mod\.": ".",
    r"\._checkpoint_wrapped_module\.": ".",
    r"\._fsdp_wrapped_module\.": ".",
}
"""What the names of a wrapped model's weights hold beside transformers' names, and what takes its place: wrappers of
torch.compile, DDP, FSDP and activation checkpointing, and a merged ``PeftModel`` saved by hand. Each pattern is applied
once, as by transformers."""
_WRAPPERS = re.compile(r"^(?:module\.)+|(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


class DamagedWeights(InputError):
    """The weight files of a model exist but cannot be used; the other models of the run can still be scored."""


class TensorInfo(NamedTuple):
    """Type and shape of a tensor, as the header of a safetensors file records them."""

    dtype: str
    shape: tuple[int, ...]


def safetensors_header(path: Path) -> dict[str, TensorInfo]:
    """Return type and shape of every tensor in a safetensors file, by name.

    The file must be exactly as long as its header says.

    Raises:
        DamagedWeights: the header cannot be read or the file is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise DamagedWeights(f"bad safetensors header in {path}: it is cut short or something else; copy it again")
        raw = file.read(length)
    try:
        entries = parse_json(raw)
        tensors = {name: _tensor_info(entry) for name, entry in entries.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise DamagedWeights(
            f"bad safetensors header in {path}: it is not the JSON it should be; copy it again"
        ) from error
    if size != 8 + length + end:
        raise DamagedWeights(
            f"truncated weights in {path}: {size} bytes where the header promises {8 + length + end}; copy it again"
        )
    return tensors


def _tensor_info(entry: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))


def plain_name(name: str) -> str:
    """Return the name that transformers gives a full model's weight, without what wrappers of the model add to it."""
    for pattern, replacement in KEY_MAPPING.items():
        name = re.sub(pattern, replacement, name, count=1)
    return name


def unwrapped_name(name: str) -> str:
    """Return the name that PEFT gives an adapter's weight, without what wrappers of the model add to it."""
    return _WRAPPERS.sub("", name)


def count_parameters(headers: Iterable[Mapping[str, TensorInfo]]) -> int:
    """Return the number of values in the tensors of all ``headers``."""
    return sum(math.prod(tensor.shape) for header in headers for tensor in header.values())


def file_sha256(path: Path, *, cache: bool = True) -> str:
    """Return the sha256 of the file's bytes, cached by path, size, time and inode in the user's cache folder.

    Args:
        path: the file.
        cache: False reads the bytes again even where a hash is cached, as ``verify --weights`` must.

    Raises:
        DamagedWeights: the file cannot be read.
    """
    try:
        status = path.stat()
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
        entry = _cache_folder() / hashlib.sha256(key.encode()).hexdigest()
        cached = _read_cached(entry) if cache else None
        if cached is not None:
            return cached
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DamagedWeights(f"unreadable weights in {path}: {error.strerror or error}; check its rights") from error
    _write_cached(entry, digest)
    return digest


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "dpo-analysis" / "sha256"


def _read_cached(entry: Path) -> str | None:
    try:
        text = entry.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def _write_cached(entry: Path, digest: str) -> None:
    """Store ``digest``; a cache that cannot be written only costs time later."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}.tmp")
        temporary.write_text(digest, encoding="ascii")
        temporary.replace(entry)
    except OSError:
        return


def json_sha256(value: object) -> str:
    """Return the sha256 of a JSON value; the order of its keys makes no difference."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_config(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> None:
    """Check that the embedding is as wide as the config says, and that the config has no more layers than weights.

    Raises:
        DamagedWeights: they differ, so this config belongs to other weights.
    """
    layers = next((config[key] for key in LAYER_KEYS if key in config), None)
    if isinstance(layers, int | float) and not 1 <= layers <= len(tensors):
        raise DamagedWeights(
            f"config.json in {folder} does not fit its weights: it has {layers:g} layers, and there are {len(tensors)} "
            "weights; take both from the same model"
        )
    widths = {config[key] for key in WIDTH_KEYS if isinstance(config.get(key), int)}
    for name, tensor in tensors.items():
        if widths and name.endswith(EMBEDDING_NAMES) and len(tensor.shape) == 2 and tensor.shape[1] not in widths:
            raise DamagedWeights(
                f"config.json in {folder} does not fit its weights: {name} is {tensor.shape[1]} wide, the config says "
                f"{sorted(widths)[-1]}; take both from the same model"
            )


def check_adapter(
    folder: Path, adapter: Mapping[str, TensorInfo], base_folder: Path, base: Mapping[str, TensorInfo]
) -> None:
    """Check that a LoRA adapter's layers fit those of its base, where both use the same names.

    Raises:
        DamagedWeights: the adapter has layers that the base lacks, or layers of another size.
    """
    layers = {name: _layer_name(name) for name in adapter if name.endswith(_LORA)}
    # a head that is tied to the embedding is in no file
    missing = sorted({layer for layer in layers.values() if f"{layer}.weight" not in base and layer not in _HEADS})
    if missing and len(missing) < len(set(layers.values())):
        raise adapter_does_not_fit(folder, base_folder, f"the base has no {missing[0]}")
    for name, layer in layers.items():
        weight = base.get(f"{layer}.weight")
        size = adapter[name].shape[-1 if name.endswith(_LORA[0]) else 0]
        # 4-bit weights are packed into bytes: their shape says nothing of the layer's
        if weight is not None and weight.dtype != "U8" and size not in weight.shape:
            why = f"{name} is for {size} where {layer} is {' x '.join(map(str, weight.shape))}"
            raise adapter_does_not_fit(folder, base_folder, why)


def _layer_name(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix(_LORA[0]).removesuffix(_LORA[1])


def adapter_does_not_fit(folder: Path, base_folder: Path, why: str) -> DamagedWeights:
    """Return the error that refuses an adapter whose weights are not for its base."""
    return DamagedWeights(
        f"adapter {folder} does not fit base {base_folder}: {why}; pass the base it was trained on as --base"
    )

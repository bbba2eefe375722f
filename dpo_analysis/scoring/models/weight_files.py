"""Weight files without torch: what a safetensors header says, and the content hash of a model.

The hash is what makes "the same weights" a fact: names and dates change when a checkpoint is copied, bytes do not.
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
from typing import NamedTuple

from dpo_analysis.errors import InputError

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
WIDTHS = ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size")
_LORA = (".lora_A.weight", ".lora_B.weight")
_PREFIX = "base_model.model."
HEADER_CAP = 100_000_000
"""Longest header that safetensors itself accepts, in bytes."""


class Damaged(InputError):
    """Weights that are there but cannot be used; the other models of a run can still be scored."""


class Tensor(NamedTuple):
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def safetensors_header(path: Path) -> dict[str, Tensor]:
    """The tensors that ``path`` says it holds; the file must be exactly as long as its header promises.

    Raises:
        Damaged: the header cannot be read or the file is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
        if not 2 <= length <= min(HEADER_CAP, size - 8):
            raise Damaged(f"bad safetensors header in {path}: it is cut short or something else; copy it again")
        raw = file.read(length)
    try:
        entries = json.loads(raw)
        tensors = {name: _tensor(entry) for name, entry in entries.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise Damaged(f"bad safetensors header in {path}: it is not the JSON it should be; copy it again") from error
    if size != 8 + length + end:
        raise Damaged(
            f"truncated weights in {path}: {size} bytes where the header promises {8 + length + end}; copy it again"
        )
    return tensors


def _tensor(entry: Mapping) -> Tensor:
    return Tensor(str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))


def n_parameters(headers: Iterable[Mapping[str, Tensor]]) -> int:
    """Number of stored values over all ``headers``."""
    return sum(math.prod(tensor.shape) for header in headers for tensor in header.values())


def file_sha256(path: Path, *, cache: bool = True) -> str:
    """The sha256 of the file's bytes, remembered by path, size, time and inode in the user's cache folder.

    Args:
        path: the file.
        cache: False reads the bytes again whatever is remembered, as ``verify --weights`` must.

    Raises:
        Damaged: the file cannot be read.
    """
    try:
        facts = path.stat()
        key = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{facts.st_ino}"
        entry = _cache_folder() / hashlib.sha256(key.encode()).hexdigest()
        known = _recall(entry) if cache else None
        if known is not None:
            return known
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Damaged(f"unreadable weights in {path}: {error.strerror or error}; check its rights") from error
    _remember(entry, digest)
    return digest


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "dpo-analysis" / "sha256"


def _recall(entry: Path) -> str | None:
    try:
        text = entry.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def _remember(entry: Path, digest: str) -> None:
    """Store ``digest``; a cache that cannot be written costs time later and nothing else."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}.tmp")
        temporary.write_text(digest, encoding="ascii")
        temporary.replace(entry)
    except OSError:
        return


def json_sha256(value: object) -> str:
    """The sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_config(folder: Path, config: Mapping, tensors: Mapping[str, Tensor]) -> None:
    """Compare the embedding's width with the config's.

    Raises:
        Damaged: they differ, so this config belongs to other weights.
    """
    widths = {config[key] for key in WIDTHS if isinstance(config.get(key), int)}
    for name, tensor in tensors.items():
        if widths and name.endswith(EMBEDDINGS) and len(tensor.shape) == 2 and tensor.shape[1] not in widths:
            raise Damaged(
                f"config.json in {folder} does not fit its weights: {name} is {tensor.shape[1]} wide, the config says "
                f"{sorted(widths)[-1]}; take both from the same model"
            )


def check_adapter(folder: Path, adapter: Mapping[str, Tensor], base_folder: Path, base: Mapping[str, Tensor]) -> None:
    """Compare a LoRA adapter's layers with those of its base, where both use the same names.

    Raises:
        Damaged: the adapter has layers that the base lacks, or of another size.
    """
    layers = {name: _layer(name) for name in adapter if name.endswith(_LORA)}
    missing = sorted({layer for layer in layers.values() if f"{layer}.weight" not in base})
    if missing and len(missing) < len(set(layers.values())):
        _refuse(folder, base_folder, f"the base has no {missing[0]}")
    for name, layer in layers.items():
        known = base.get(f"{layer}.weight")
        size = adapter[name].shape[-1 if name.endswith(_LORA[0]) else 0]
        if known is not None and size not in known.shape:
            _refuse(folder, base_folder, f"{name} is for {size} where {layer} is {' x '.join(map(str, known.shape))}")


def _layer(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix(_LORA[0]).removesuffix(_LORA[1])


def _refuse(folder: Path, base_folder: Path, why: str) -> None:
    raise Damaged(f"adapter {folder} does not fit base {base_folder}: {why}; pass the base it was trained on as --base")

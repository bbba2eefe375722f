"""The files of a trainer's output folder, read within bounds: checkpoints, JSON objects, model cards."""

import os.path
import re
import stat
import struct
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import parse_json, read_at_most

CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})|global_step(\d{1,18})_hf")
"""Names of checkpoint folders: of transformers' Trainer, and of OpenRLHF."""
GENERIC_FOLDER_NAMES = (
    "output",
    "outputs",
    "output_dir",
    "out",
    "checkpoints",
    "ckpt",
    "ckpts",
    "results",
    "model",
    "models",
)
"""Folder names that say nothing about the run: the series is then named after the folder above."""
MAX_HEADER_BYTES = 100 * 2**20
MAX_TEXT_CHARACTERS = 2**20
MAX_JSON_CHARACTERS = 16 * 2**20
MAX_SUBFOLDERS = 1000
NOT_WEIGHTS = ("optimizer", "scheduler", "scaler", "rng_state")
""" Files of a checkpoint that hold the state of the training, not of the model."""
SAFETENSORS_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
VERSION_LINE = re.compile(r"\s*- ([A-Za-z][\w .-]{0,40}?):? v?(\d[\w.+-]{0,30})\s*")
TAG_LINE = re.compile(r"- ([\w./:-]{1,80})")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The model card that a trainer wrote.

    Attributes:
        base_model: the model that it names as the start of the training; empty where it names none.
        tags: the tags of its front matter.
        versions: versions of libraries by lower-case name, such as ``{"trl": "0.24.0"}``.
    """

    base_model: str = ""
    tags: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class TrainerFolder:
    """An output folder with its checkpoints.

    Attributes:
        root: the folder that holds the checkpoints, or is the only one.
        checkpoints: (step, folder) in step order; the step is None for a final model.
        notes: sentences for the user; reading appends to them.
    """

    root: Path
    checkpoints: list[tuple[int | None, Path]]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def find(cls, folder: str | Path) -> "TrainerFolder":
        """Return the folder with its checkpoints in step order.

        A folder whose only subfolder with checkpoints is ``ckpt`` or a run of its own stands for that subfolder.

        Raises:
            InputError: no such folder, no checkpoint in it, or several training runs below it.
        """
        root = Path(os.path.expanduser(folder))
        if not is_folder(root):
            raise InputError(f"no trainer output {folder}: there is no such folder; name the trainer's output_dir")
        notes: list[str] = []
        found = _checkpoints(root, notes)
        if found:
            return cls(root, found, notes)
        below = {path: numbered for path in _subfolders(root) if (numbered := _checkpoints_in(path, notes))}
        if len(below) > 1:
            names = ", ".join(str(path) for path in list(below)[:4])
            raise InputError(f"several training runs in {root}: {names}; name one of them")
        if below:
            path, numbered = next(iter(below.items()))
            return cls(root if _is_model(root) else path, [*numbered], notes)
        if _is_model(root):
            match = CHECKPOINT.fullmatch(root.resolve().name)
            return cls(root, [(_step(match) if match else None, root)], notes)
        raise InputError(
            f"no checkpoint in {root}: it holds neither checkpoint-N nor global_stepN_hf folders with a model nor a "
            "model of its own; name the trainer's output_dir"
        )

    @property
    def newest(self) -> Path:
        """The latest checkpoint."""
        return self.checkpoints[-1][1]

    @property
    def places(self) -> list[Path]:
        """Folders in which a file about the training may lie: the output folder, then its checkpoints, newest first."""
        above = [self.root.parent] if CHECKPOINT.fullmatch(self.root.resolve().name) else []
        return list(dict.fromkeys([self.root, *above, *(path for _, path in reversed(self.checkpoints))]))

    def file(self, name: str) -> Path | None:
        """Return the first regular file called ``name`` in ``places``; None where there is none."""
        return next((path for folder in self.places if is_regular(path := folder / name)), None)

    def json(self, name: str) -> dict[str, Any]:
        """Return the JSON object in the first file called ``name``; empty where there is none."""
        path = self.file(name)
        return read_json_object(path) if path is not None else {}

    @cached_property
    def card(self) -> ModelCard:
        """The model card in the output folder, else in a checkpoint."""
        path = self.file("README.md")
        return read_model_card(path) if path is not None else ModelCard()

    @property
    def series(self) -> str:
        """Name of the training run: that of the folder, or of the folder above where it says nothing."""
        folder = self.root.resolve()
        if CHECKPOINT.fullmatch(folder.name):
            folder = folder.parent
        if folder.name.lower() in GENERIC_FOLDER_NAMES and folder.parent.name:
            folder = folder.parent
        return folder.name or "policy"


def _checkpoints(root: Path, notes: list[str]) -> list[tuple[int | None, Path]]:
    return _checkpoints_in(root, notes) or _checkpoints_in(root / "ckpt", notes)


def _checkpoints_in(folder: Path, notes: list[str]) -> list[tuple[int | None, Path]]:
    """Return the checkpoints with a model directly in ``folder``, in step order; the rest is noted."""
    matches = ((CHECKPOINT.fullmatch(path.name), path) for path in _subfolders(folder))
    numbered: list[tuple[int | None, Path]] = sorted((_step(match), path) for match, path in matches if match)
    whole = [(step, path) for step, path in numbered if _is_model(path) and _has_weights(path)]
    for _, path in numbered:
        if not _is_model(path):
            notes.append(f"{path} has no config.json or adapter_config.json: it is left out")
        elif whole and not _has_weights(path):
            notes.append(f"{path} has no weights: it is left out")
    # Where no checkpoint has weights, the loader says what is there instead.
    return whole or [(step, path) for step, path in numbered if _is_model(path)]


def _step(match: re.Match[str]) -> int:
    return int(match[1] or match[2])


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = []
    for number, path in enumerate(folder.iterdir()):
        if number >= MAX_SUBFOLDERS:
            break
        if path.is_dir():
            found.append(path)
    return sorted(found)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _has_weights(folder: Path) -> bool:
    """Return whether a folder holds any file or folder of weights, also those that cannot be loaded."""
    names = (path.name for path in folder.iterdir())
    return any(
        (name.endswith((".safetensors", ".pt", ".pth", ".gguf")) and not name.startswith(NOT_WEIGHTS))
        or (name.endswith(".bin") and not name.startswith("training_args"))
        or name.startswith("global_step")
        for name in names
    )


def is_regular(path: Path) -> bool:
    """Return whether ``path`` is a regular file, so that reading it cannot wait for a writer as a pipe would."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_folder(name: str | Path) -> bool:
    """Return whether ``name`` is a folder; a name that no file system can hold is none."""
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):
        return False


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` as the home folder; ``~name`` of nobody stays, where ``Path.expanduser`` would raise."""
    return Path(os.path.expanduser(path))


def read_text(path: Path, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return the first ``limit`` characters of a text file; empty where it cannot be read."""
    if not is_regular(path):
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(limit)
    except OSError:
        return ""


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty where it cannot be read, or is another value."""
    try:
        value = parse_json(read_text(path, MAX_JSON_CHARACTERS))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read_model_card(path: Path) -> ModelCard:
    """Return base model and tags from a model card's front matter, and the versions listed in its text."""
    lines = read_text(path).splitlines()
    versions = {match[1].strip().lower(): match[2] for line in lines if (match := VERSION_LINE.fullmatch(line))}
    front = lines[1 : _end_of_front_matter(lines)]
    tags = tuple(match[1] for line in front if (match := TAG_LINE.fullmatch(line.strip())))
    return ModelCard(_base_model(front), tags, versions)


def _end_of_front_matter(lines: list[str]) -> int:
    """Return the index of the line that ends the front matter; 1 where there is none."""
    if not lines or lines[0].strip() != "---":
        return 1
    return next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), len(lines))


def _base_model(front: list[str]) -> str:
    for number, line in enumerate(front):
        key, _, value = line.partition(":")
        if key.strip() == "base_model" and not line.startswith((" ", "\t")):
            # YAML allows a list, which then starts on the next line; its first entry counts.
            next_line = front[number + 1].strip() if number + 1 < len(front) else ""
            value = value.strip() or (next_line.removeprefix("-").strip() if next_line.startswith("-") else "")
            value = value.strip("'\"")
            return value if value not in ("None", "null", "~") else ""
    return ""


def saved_dtype(folder: Path) -> str | None:
    """Return the most frequent dtype in the header of the folder's first safetensors file; None where unknown."""
    for path in sorted(folder.glob("*.safetensors")):
        if not is_regular(path):
            continue
        try:
            with open(path, "rb") as handle:
                (length,) = struct.unpack("<Q", handle.read(8))
                header = parse_json(read_at_most(handle, length)[:length]) if length <= MAX_HEADER_BYTES else {}
            dtypes = Counter(value.get("dtype") for key, value in header.items() if key != "__metadata__")
        except (OSError, ValueError, struct.error, AttributeError, TypeError):
            return None
        return SAFETENSORS_DTYPES.get(str(dtypes.most_common(1)[0][0])) if dtypes else None
    return None

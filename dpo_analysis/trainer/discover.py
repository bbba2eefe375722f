"""Find checkpoints, reference, beta, loss and log in the output folder of a TRL 1.16 trainer."""

import json
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.logs import global_step
from dpo_analysis.trainer.training_args import read_training_args

CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
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
MAX_README_CHARACTERS = 2**20
MAX_JSON_CHARACTERS = 16 * 2**20
SAFETENSORS_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
ASK_REFERENCE = "give what training started from as --reference MODEL"
"""Ending of the notes about a missing reference, by which they are dropped when the user gave a reference."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training run as described by its output folder; None stands for what the folder does not say.

    Attributes:
        series: name of the training run.
        checkpoints: (step, folder) in step order; the step is None for a final model without one.
        reference: the reference model: a folder, or a hub id that an adapter names as its base.
        beta: DPO's beta.
        loss_type: a TRL loss name, or several.
        parameters: parameters of the loss that differ from TRL's defaults, and facts where they are known: ``bf16``
            (trained under bf16 autocast), ``saved_dtype`` (float32, float16, bfloat16) and
            ``training_args.BATCH_SETTINGS``.
        max_length: tokens; ``training_args.NO_LIMIT`` where the trainer set none.
        truncation: keep_start or keep_end.
        bf16: trained under bf16 autocast.
        settings_path: the training_args.bin that beta, loss and lengths were read from.
        log_path: the trainer_state.json to read.
        notes: sentences for the user about what is missing, unreadable or assumed.
    """

    series: str
    checkpoints: list[tuple[int | None, str]]
    reference: str | None = None
    beta: float | None = None
    loss_type: str | list[str] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    max_length: int | None = None
    truncation: str | None = None
    bf16: bool | None = None
    settings_path: str | None = None
    log_path: str | None = None
    notes: list[str] = field(default_factory=list)


def find_training(folder: str | Path) -> Training:
    """Describe a trainer's output folder, or one of its ``checkpoint-N`` folders; nothing in it is executed.

    The files tell a full fine-tuning from a LoRA run (reference: the base with the adapter off) and from a run that
    continued an adapter (reference: the frozen copy saved as ``ref/``).

    Raises:
        InputError: no such folder, no checkpoint in it, or rewards that cannot be computed from checkpoints (a moving
            reference, a training without a reference).
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"no trainer output {folder}: there is no such folder; name the trainer's output_dir")
    notes: list[str] = []
    checkpoints = _checkpoints(root, notes)
    newest = checkpoints[-1][1]
    settings = read_training_args([path for _, path in checkpoints], root, notes)
    parameters = settings.pop("parameters")
    saved_dtype = _saved_dtype(newest)
    if saved_dtype is not None:
        parameters["saved_dtype"] = saved_dtype
    return Training(
        series=_series_name(root),
        checkpoints=[(step, str(path)) for step, path in checkpoints],
        reference=_reference(root, newest, notes),
        parameters=parameters,
        log_path=_log_path(root, [path for _, path in checkpoints], notes),
        notes=notes,
        **settings,
    )


def _checkpoints(root: Path, notes: list[str]) -> list[tuple[int | None, Path]]:
    """Return the checkpoints in step order, or ``root`` itself where it is a checkpoint or a final model."""
    numbered = _checkpoint_folders(root)
    with_model = [(step, path) for step, path in numbered if _is_model(path)]
    for _, path in numbered:
        if not _is_model(path):
            notes.append(f"{path} has no config.json or adapter_config.json: it is left out")
    if with_model:
        return list(with_model)
    if _is_model(root):
        match = CHECKPOINT.fullmatch(root.resolve().name)
        return [(int(match[1]) if match else None, root)]
    raise InputError(
        f"no checkpoint in {root}: it holds neither checkpoint-N folders with a model nor a model of its own; "
        "name the trainer's output_dir"
    )


def _checkpoint_folders(root: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of every ``checkpoint-N`` folder in ``root``, in step order."""
    matches = ((CHECKPOINT.fullmatch(path.name), path) for path in root.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _series_name(root: Path) -> str:
    folder = root.resolve()
    if CHECKPOINT.fullmatch(folder.name):
        folder = folder.parent
    if folder.name.lower() in GENERIC_FOLDER_NAMES and folder.parent.name:
        folder = folder.parent
    return folder.name or "policy"


def _log_path(root: Path, checkpoints: list[Path], notes: list[str]) -> str | None:
    """Return the log of the latest checkpoint, or the log in ``root`` where it reaches at least as far."""
    states = [path / "trainer_state.json" for path in reversed(checkpoints)]
    newest = next((path for path in states if path.is_file()), None)
    root_state = root / "trainer_state.json"
    try:
        if root_state.is_file() and (newest is None or (global_step(root_state) or 0) >= (global_step(newest) or 0)):
            newest = root_state
    except InputError as error:
        notes.append(str(error))
    if newest is None:
        notes.append(f"{root} has no trainer_state.json: there are no logged curves to lay over the recomputed ones")
    return None if newest is None else str(newest)


def _reference(root: Path, newest: Path, notes: list[str]) -> str | None:
    if (newest / "ref" / "adapter_config.json").is_file():
        return str(newest / "ref")
    if (newest / "adapter_config.json").is_file():
        return _adapter_base(newest, notes)
    start = _start_model(root, newest)
    if start is None:
        notes.append(f"{root} does not say what its reference was; {ASK_REFERENCE}")
        return None
    if Path(start).is_dir():
        notes.append(f"{root} names {start} as the model it started from: taken for the reference")
        return start
    # A name that is no folder may be a hub id, but also a path on another machine; guessing could score against a
    # wrong reference.
    notes.append(f"{root} names {start} as the model it started from, and that is not a folder here; {ASK_REFERENCE}")
    return None


def _adapter_base(adapter: Path, notes: list[str]) -> str | None:
    """Return the base model that the adapter names.

    A relative path was relative to the folder in which training was started, which is not recorded, so it is tried from
    every folder above the adapter.
    """
    name = _read_json_object(adapter / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        notes.append(f"{adapter} names no base model; give it as --base MODEL")
        return None
    folder = adapter.resolve()
    candidates = [Path(name), *(parent / name for parent in [folder, *folder.parents])]
    base = next((candidate for candidate in candidates if candidate.is_dir()), None)
    if base is None:
        notes.append(f"the base model {name} of {adapter} is not a folder here; if it has moved, give --base MODEL")
    return name if base is None else str(base)


def _start_model(root: Path, newest: Path) -> str | None:
    """Return the model that a full fine-tuning started from: config.json of transformers 4, or the model card."""
    for folder in (newest, root):
        name = _read_json_object(folder / "config.json").get("_name_or_path")
        if isinstance(name, str) and name:
            # A model that was loaded again and saved names its own folder, which is not what it started from.
            is_itself = Path(name).is_dir() and Path(name).resolve() in (newest.resolve(), root.resolve())
            if not is_itself:
                return name
    return _model_card_base(root / "README.md") or _model_card_base(newest / "README.md")


def _model_card_base(card: Path) -> str | None:
    """Return ``base_model`` from the front matter of a model card; None where there is none."""
    try:
        with open(card, encoding="utf-8", errors="replace") as handle:
            lines = handle.read(MAX_README_CHARACTERS).splitlines()
    except OSError:
        return None
    if not lines or lines[0].strip() != "---":
        return None
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            return None
        key, _, value = line.partition(":")
        if key.strip() == "base_model" and not line.startswith((" ", "\t")):
            # YAML allows a list, which then starts on the next line; its first entry counts.
            next_line = lines[number + 1].strip() if number + 1 < len(lines) else ""
            value = value.strip() or (next_line.removeprefix("-").strip() if next_line.startswith("-") else "")
            value = value.strip("'\"")
            return value if value not in ("", "None", "null", "~") else None
    return None


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            value = json.loads(handle.read(MAX_JSON_CHARACTERS))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _saved_dtype(folder: Path) -> str | None:
    """Return the most frequent dtype in the header of the folder's first safetensors file; None where unknown."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as handle:
                (length,) = struct.unpack("<Q", handle.read(8))
                header = json.loads(handle.read(length)) if length <= MAX_HEADER_BYTES else {}
            dtypes = Counter(value.get("dtype") for key, value in header.items() if key != "__metadata__")
        except (OSError, ValueError, struct.error, AttributeError, RecursionError):
            return None
        return SAFETENSORS_DTYPES.get(str(dtypes.most_common(1)[0][0])) if dtypes else None
    return None

"""What a TRL 1.16 trainer left in a folder: checkpoints, reference, beta, loss, and where its log is."""

import json
import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.logs import global_step
from dpo_analysis.trainer.training_args import read_arguments

CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
OUTPUT_LIKE = ("output", "outputs", "output_dir", "out", "checkpoints", "ckpt", "ckpts", "results", "model", "models")
"""Folder names that say nothing about the run: the series is then called after the folder above."""
LONGEST_HEADER, LONGEST_README, LONGEST_JSON = 100 * 2**20, 2**20, 16 * 2**20
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
ASK = "give what training started from as --reference MODEL"


@dataclass(frozen=True, slots=True)
class Training:
    """One training run as its folder tells it; what it does not tell is None.

    Attributes:
        series: what to call it.
        checkpoints: (step, folder) in step order; the step is None for a final model without one.
        reference: what the policy was measured against: a folder, or a hub id that an adapter names as its base.
        beta: DPO's beta.
        loss_type: a TRL loss name, or several.
        parameters: of the loss where they are not TRL's defaults, and two facts about numerics where known: ``bf16``
            (trained under bf16 autocast) and ``saved_dtype`` (float32, float16, bfloat16).
        max_length: tokens; ``arguments.NO_LIMIT`` where the trainer set none.
        truncation: keep_start or keep_end.
        bf16: trained under bf16 autocast.
        log_path: the trainer_state.json to read.
        notes: sentences for the person who asked.
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
    log_path: str | None = None
    notes: list[str] = field(default_factory=list)


def find_training(folder: str | Path) -> Training:
    """Find out what is in a trainer's output folder, or in one of its ``checkpoint-N``; nothing in it is executed.

    A full run, a LoRA run (reference: the base with the adapter off) and a run that went on from an adapter
    (reference: the frozen copy saved as ``ref/``) are told apart by their files.

    Raises:
        InputError: no such folder, no checkpoint in it, or rewards that no checkpoint can give back (a moving
            reference, a training without a reference).
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"no trainer output {folder}: there is no such folder; name the trainer's output_dir")
    notes: list[str] = []
    checkpoints = _checkpoints(root, notes)
    newest = checkpoints[-1][1]
    facts = read_arguments([path for _, path in checkpoints], root, notes)
    parameters = facts.pop("parameters")
    saved = _saved_dtype(newest)
    if saved is not None:
        parameters["saved_dtype"] = saved
    return Training(
        series=_series(root),
        checkpoints=[(step, str(path)) for step, path in checkpoints],
        reference=_reference(root, newest, notes),
        parameters=parameters,
        log_path=_log_path(root, [path for _, path in checkpoints], notes),
        notes=notes,
        **facts,
    )


def _checkpoints(root: Path, notes: list[str]) -> list[tuple[int | None, Path]]:
    """The checkpoints in step order; the folder itself where it is one or holds a final model only."""
    own = CHECKPOINT.fullmatch(root.resolve().name)
    found = sorted((int(match[1]), path) for match, path in _numbered(root))
    whole = [(step, path) for step, path in found if _is_model(path)]
    for _, path in found:
        if not _is_model(path):
            notes.append(f"{path} has no config.json or adapter_config.json: it is left out")
    if whole:
        return list(whole)
    if _is_model(root):
        return [(int(own[1]) if own else None, root)]
    raise InputError(
        f"no checkpoint in {root}: it holds neither checkpoint-N folders with a model nor a model of its own; "
        "name the trainer's output_dir"
    )


def _numbered(root: Path) -> list[tuple[re.Match[str], Path]]:
    found = ((CHECKPOINT.fullmatch(path.name), path) for path in root.iterdir() if path.is_dir())
    return [(match, path) for match, path in found if match]


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _series(root: Path) -> str:
    here = root.resolve()
    if CHECKPOINT.fullmatch(here.name):
        here = here.parent
    if here.name.lower() in OUTPUT_LIKE and here.parent.name:
        here = here.parent
    return here.name or "policy"


def _log_path(root: Path, checkpoints: list[Path], notes: list[str]) -> str | None:
    """The log of the highest checkpoint, or the root's own where it goes as far."""
    states = [path / "trainer_state.json" for path in reversed(checkpoints)]
    newest = next((path for path in states if path.is_file()), None)
    own = root / "trainer_state.json"
    try:
        if own.is_file() and (newest is None or (global_step(own) or 0) >= (global_step(newest) or 0)):
            newest = own
    except InputError as error:
        notes.append(str(error))
    if newest is None:
        notes.append(f"{root} has no trainer_state.json: there are no logged curves to lay over the recomputed ones")
    return None if newest is None else str(newest)


def _reference(root: Path, newest: Path, notes: list[str]) -> str | None:
    if (newest / "ref" / "adapter_config.json").is_file():
        return str(newest / "ref")
    if (newest / "adapter_config.json").is_file():
        return _base(newest, notes)
    named = _recorded_start(root, newest)
    if named is None:
        notes.append(f"{root} does not say what its reference was; {ASK}")
        return None
    if Path(named).is_dir():
        notes.append(f"{root} names {named} as the model it started from: taken for the reference")
        return named
    notes.append(f"{root} names {named} as the model it started from, and that is not a folder here; {ASK}")
    return None


def _base(adapter: Path, notes: list[str]) -> str | None:
    """The base model that the adapter names; a relative path is also tried from the folders above the adapter."""
    name = _json(adapter / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        notes.append(f"{adapter} names no base model; give it as --base MODEL")
        return None
    here = adapter.resolve()
    places = [Path(name), *(above / name for above in [here, *here.parents])]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        notes.append(f"the base model {name} of {adapter} is not a folder here; if it has moved, give --base MODEL")
    return name if found is None else str(found)


def _recorded_start(root: Path, newest: Path) -> str | None:
    """The model that a full run says it started from: config.json of transformers 4, or the model card."""
    for folder in (newest, root):
        name = _json(folder / "config.json").get("_name_or_path")
        own = (
            isinstance(name, str) and Path(name).is_dir() and Path(name).resolve() in (newest.resolve(), root.resolve())
        )
        if isinstance(name, str) and name and not own:
            return name
    return _card_base(root / "README.md") or _card_base(newest / "README.md")


def _card_base(card: Path) -> str | None:
    """``base_model`` in the front matter of a model card; None where there is none."""
    try:
        with open(card, encoding="utf-8", errors="replace") as handle:
            lines = handle.read(LONGEST_README).splitlines()
    except OSError:
        return None
    if not lines or lines[0].strip() != "---":
        return None
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            return None
        key, _, value = line.partition(":")
        if key.strip() == "base_model" and not line.startswith((" ", "\t")):
            after = lines[number + 1].strip() if number + 1 < len(lines) else ""
            value = value.strip() or (after.removeprefix("-").strip() if after.startswith("-") else "")
            value = value.strip("'\"")
            return value if value not in ("", "None", "null", "~") else None
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            value = json.loads(handle.read(LONGEST_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _saved_dtype(folder: Path) -> str | None:
    """The type that most tensors of the folder's first safetensors file have, from its header; None where unknown."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as handle:
                (length,) = struct.unpack("<Q", handle.read(8))
                header = json.loads(handle.read(length)) if length <= LONGEST_HEADER else {}
            kinds = Counter(value.get("dtype") for key, value in header.items() if key != "__metadata__")
        except (OSError, ValueError, struct.error, AttributeError, RecursionError):
            return None
        return DTYPES.get(str(kinds.most_common(1)[0][0])) if kinds else None
    return None

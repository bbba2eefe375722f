"""Whether a checkpoint in a trainer's output folder is whole, while the training still writes there. Torch-free."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.model_folders import weight_map
from dpo_analysis.scoring.models.weight_files import safetensors_header
from dpo_analysis.trainer.folder import is_regular

STATE = "trainer_state.json"
QUIET_SECONDS = 30.0
"""Seconds without a change after which a checkpoint without ``STATE`` counts as whole, and a damaged one as damaged."""
MAX_FILES = 1000


def unfinished(folder: Path) -> str:
    """Return what a checkpoint still lacks, as part of a message; empty where it can be scored.

    transformers' Trainer writes ``STATE`` last. A checkpoint of another trainer, without it, is whole when nothing in
    it has changed for ``QUIET_SECONDS``. A file that stays broken for so long is no longer waited for: scoring says
    what is wrong with it.
    """
    is_quiet = time.time() - last_change(folder) > QUIET_SECONDS
    if is_quiet:
        return ""
    state = folder / STATE
    if not is_regular(state):
        return f"it has no {STATE} yet"
    if _json_object(state) is None:
        return f"its {STATE} is not whole yet"
    if any(_changed(path) > _changed(state) for path in _weight_files(folder)):
        return f"it is written again: its weights are newer than its {STATE}"
    return next(_unfinished_weights(folder), "")


def training_ended(folder: Path) -> bool:
    """Return whether a checkpoint was written at the last step that its training was to take."""
    state = _json_object(folder / STATE) or {}
    step, last = state.get("global_step"), state.get("max_steps")
    return isinstance(step, int) and isinstance(last, int) and 0 < last <= step


def _unfinished_weights(folder: Path) -> Iterator[str]:
    """Yield the weight files that an index names or that are there, and that are not whole."""
    try:
        named = set(weight_map(folder).values())
    except InputError:
        yield "the index of its weights is not whole yet"
        return
    present = {path.name for path in _weight_files(folder)}
    for name in sorted(named | present):
        try:
            safetensors_header(folder / name)
        except (OSError, InputError):
            yield f"{name} is not whole yet"


def _json_object(path: Path) -> dict[str, object] | None:
    """Return the JSON object in a file; None where the file is missing or not whole."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _files(folder: Path) -> list[Path]:
    try:
        return [path for _, path in zip(range(MAX_FILES), folder.iterdir(), strict=False)]
    except OSError:
        return []


def _weight_files(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if path.suffix == ".safetensors"]


def last_change(folder: Path) -> float:
    """Return when anything in a folder changed last, seconds since 1970."""
    return max(_changed(path) for path in [folder, *_files(folder)])


def _changed(path: Path) -> float:
    """Return when a file changed last, seconds since 1970; now where it cannot be read."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()

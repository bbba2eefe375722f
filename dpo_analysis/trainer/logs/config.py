"""What a training log says about the settings of its training: the config of W&B, trackio and TensorBoard."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import parse_json
from dpo_analysis.trainer.logs import tensorboard, trackio, wandb_file
from dpo_analysis.trainer.logs.files import read_whole
from dpo_analysis.trainer.logs.found import TENSORBOARD, TRACKIO, WANDB, FoundLog, find_logs
from dpo_analysis.trainer.logs.read import found_log

MAX_KEYS, MAX_TEXT, MAX_ITEMS, MAX_DEPTH = 2000, 4000, 200, 3
MAX_CONFIG_TEXT, MAX_REQUIREMENTS = 2**22, 2**20
START_KEYS = ("model_name_or_path", "model", "_name_or_path")
"""Where a config names the model that training began from, the surest first."""
TRL_VERSION = re.compile(r"^trl\s*==\s*([^\s;#]+)", re.MULTILINE)


def logged_config(path: "str | Path | FoundLog") -> dict[str, Any]:
    """Return what a training log, or all logs in a folder, say about the training; empty where they say nothing.

    Values are numbers, texts, booleans, None and lists of these; a nested name is joined by dots. Where it is known,
    ``model`` is the model that training began from, and ``trl_version`` the version of TRL. At most 2000 names, texts
    of 4000 letters and lists of 200 items are kept.
    """
    found: dict[str, Any] = {}
    for log in reversed(_logs(path)):
        with suppress(InputError):
            found |= _plain(_config(log))
    start = next((found[key] for key in START_KEYS if isinstance(found.get(key), str) and found[key]), None)
    return found | ({} if start is None else {"model": start})


def _logs(path: "str | Path | FoundLog") -> list[FoundLog]:
    if isinstance(path, FoundLog):
        return [path]
    if Path(path).is_dir():
        return find_logs(path)
    with suppress(InputError):
        return [found_log(Path(path))]
    return []


def _config(log: FoundLog) -> dict[str, Any]:
    """Return the config of one log, as it was logged."""
    if log.kind == WANDB:
        return wandb_file.config(log.paths[-1]) | _trl_version(log.paths[-1])
    if log.kind == TRACKIO:
        return trackio.config(log.paths[0])
    found: dict[str, Any] = {}
    if log.kind == TENSORBOARD:
        for file in log.paths:
            texts = tensorboard.texts(file)
            # The trainer's arguments come last: they count before the config of the model.
            for name in ("model_config", "args"):
                found |= _parsed(texts.get(name, ""))
    return found


def _trl_version(wandb: Path) -> dict[str, str]:
    """Return the version of TRL from the list of packages that W&B keeps beside its file."""
    with suppress(InputError):
        text = read_whole(wandb.parent / "files" / "requirements.txt", MAX_REQUIREMENTS).decode("utf-8", "replace")
        match = TRL_VERSION.search(text)
        return {"trl_version": match[1]} if match else {}
    return {}


def _parsed(text: str) -> dict[str, Any]:
    if not 0 < len(text) <= MAX_CONFIG_TEXT:
        return {}
    try:
        value = parse_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _plain(config: Mapping[str, Any], prefix: str = "", depth: int = 1) -> dict[str, Any]:
    """Return the plain values of a config, nested names joined by dots, within the bounds of this module."""
    plain: dict[str, Any] = {}
    for name, value in list(config.items())[:MAX_KEYS]:
        if str(name).startswith("_wandb") or len(plain) >= MAX_KEYS:
            continue
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            if depth < MAX_DEPTH:
                plain |= _plain(value, f"{key}.", depth + 1)
        elif isinstance(value, list):
            if len(value) <= MAX_ITEMS and all(_is_plain(item) for item in value):
                plain[key] = value
        elif _is_plain(value):
            plain[key] = value
    return plain


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_TEXT)

"""Series, name, step and model of every policy that the user names. Torch-free.

A policy is ``[SERIES/]NAME=MODEL`` or a bare MODEL; a folder of ``checkpoint-*`` stands for all its checkpoints.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dpo_analysis.errors import InputError
from dpo_analysis.schema import REFERENCE
from dpo_analysis.trainer.folder import expanded, is_folder

DEFAULT_SERIES = "policy"
"""Series of a policy that names no series and is not in a ``checkpoint-N`` folder."""
_CHECKPOINT = re.compile(r"(?:checkpoint-|global_step)(\d{1,18})(?:_hf)?")


class NamedPolicy(NamedTuple):
    """A policy to score: series, name and step in the run, and its path, hub id or loaded model."""

    series: str
    name: str
    step: int | None
    model: object

    @property
    def key(self) -> str:
        """``series/name``, which identifies the policy within a run."""
        return f"{self.series}/{self.name}"


def name_policies(policies: Mapping[str, object] | Iterable[object]) -> list[NamedPolicy]:
    """Return every policy that ``policies`` names, in their order, the checkpoints of a folder by step.

    Args:
        policies: ``{"[SERIES/]NAME": model}``, or strings ``[[SERIES/]NAME=]MODEL`` and folders.

    Raises:
        InputError: two policies of one name, a bad name, or a loaded model without a name.
    """
    if isinstance(policies, Mapping):
        named = [policy for label, model in policies.items() for policy in _expand(str(label), model)]
    else:
        named = [policy for text in policies for policy in _expand(*_split(text))]
    check_distinct_names(named)
    return named


def check_distinct_names(policies: Iterable[NamedPolicy]) -> None:
    """Refuse policies of which two share a name.

    Raises:
        InputError: two policies have the same series and name.
    """
    by_key: dict[str, NamedPolicy] = {}
    for policy in policies:
        other = by_key.setdefault(policy.key, policy)
        if other is not policy:
            both = "the same model" if other.model == policy.model else f"{other.model} and {policy.model}"
            raise InputError(
                f"two policies named {policy.key}: {both}; one name is one model, so leave one out or give each its "
                "own SERIES/NAME=MODEL"
            )


def _split(text: object) -> tuple[str, object]:
    """Return label and model of ``LABEL=MODEL``; a bare MODEL, or a folder with ``=`` in its name, has no label."""
    if not isinstance(text, str | Path):
        raise InputError("a loaded model without a name: pass policies={'NAME': model}")
    if isinstance(text, Path) or "=" not in text or is_folder(expanded(text)):
        return "", text
    label, _, model = text.partition("=")
    if not label or not model:
        raise InputError(f"bad policy {text!r}: it is [[SERIES/]NAME=]MODEL; for example strong/100=out/checkpoint-100")
    return label, model


def _expand(label: str, model: object) -> list[NamedPolicy]:
    if not isinstance(model, str | Path):
        return [_single_policy(label, model)]
    folder = expanded(model)
    checkpoints = checkpoints_in(folder)
    if not checkpoints:
        return [_single_policy(label, model)]
    series = label or folder.resolve().name
    return [NamedPolicy(series, path.name, step, str(path)) for step, path in checkpoints]


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """Return step and path of every ``checkpoint-N`` folder in ``folder``, by step."""
    if not folder.is_dir():
        return []
    matches = ((_CHECKPOINT.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _single_policy(label: str, model: object) -> NamedPolicy:
    folder = expanded(model) if isinstance(model, str | Path) else None
    if folder is not None and folder.is_dir():
        folder = folder.resolve()
    folder_name = folder.name if folder is not None else ""
    checkpoint = _CHECKPOINT.fullmatch(folder_name)
    if label.count("/") > 1:
        raise InputError(f"bad policy name {label!r}: it is [SERIES/]NAME with one '/' at most")
    series, _, name = label.rpartition("/")
    name = name or folder_name
    if not series:
        series = folder.parent.name if checkpoint and folder is not None and folder.parent.name else DEFAULT_SERIES
    if not name or series == REFERENCE:
        raise InputError(f"bad policy name {label or str(model)!r}: give it as [SERIES/]NAME, SERIES not {REFERENCE!r}")
    return NamedPolicy(series, name, _step(name, folder_name), model if not isinstance(model, Path) else str(model))


def _step(name: str, folder: str) -> int | None:
    """Return the step in the policy's name, else in the name of its checkpoint folder; None where neither has one."""
    for text in (name, folder):
        match = _CHECKPOINT.fullmatch(text)
        if match:
            return int(match[1])
    return int(name) if re.fullmatch(r"[0-9]{1,18}", name) else None

"""What a policy on the command line stands for: series, name, step and where its model is. Torch-free.

A policy is ``[SERIES/]NAME=MODEL`` or a bare MODEL; a folder of ``checkpoint-*`` stands for all of them.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dpo_analysis.errors import InputError
from dpo_analysis.schema import REFERENCE

DEFAULT_SERIES = "policy"
"""The series of a policy that names none and does not lie in a ``checkpoint-N`` folder."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class NamedPolicy(NamedTuple):
    """One policy to score: its place in the run, and a path, a hub id or a loaded model."""

    series: str
    name: str
    step: int | None
    model: object

    @property
    def key(self) -> str:
        """``series/name``: the policy's identity within a run."""
        return f"{self.series}/{self.name}"


def resolve_policies(policies: Mapping[str, object] | Iterable[object]) -> list[NamedPolicy]:
    """Every policy that ``policies`` stands for, in the order given, checkpoints by step.

    Args:
        policies: ``{"[SERIES/]NAME": model}``, or strings ``[[SERIES/]NAME=]MODEL`` and folders.

    Raises:
        InputError: no policy, two of one name, a folder of no checkpoints, or a loaded model without a name.
    """
    if isinstance(policies, Mapping):
        found = [policy for label, model in policies.items() for policy in _expand(str(label), model)]
    else:
        found = [policy for text in policies for policy in _expand(*_split(text))]
    return distinct(found)


def distinct(policies: list[NamedPolicy]) -> list[NamedPolicy]:
    """``policies`` as they are, or the refusal of two that share one name.

    Raises:
        InputError: two policies have the same series and name.
    """
    seen: dict[str, NamedPolicy] = {}
    for policy in policies:
        other = seen.setdefault(policy.key, policy)
        if other is not policy:
            both = "the same model" if other.model == policy.model else f"{other.model} and {policy.model}"
            raise InputError(
                f"two policies named {policy.key}: {both}; one name is one model, so leave one out or give each its "
                "own SERIES/NAME=MODEL"
            )
    return policies


def _split(text: object) -> tuple[str, object]:
    """``NAME=MODEL`` apart; a bare MODEL has an empty label. A folder whose own name holds ``=`` is a MODEL."""
    if not isinstance(text, str | Path):
        raise InputError("a loaded model without a name: pass policies={'NAME': model}")
    if isinstance(text, Path) or "=" not in text or Path(text).expanduser().is_dir():
        return "", text
    label, _, model = text.partition("=")
    if not label or not model:
        raise InputError(f"bad policy {text!r}: it is [[SERIES/]NAME=]MODEL; for example strong/100=out/checkpoint-100")
    return label, model


def _expand(label: str, model: object) -> list[NamedPolicy]:
    checkpoints = checkpoints_in(Path(model).expanduser()) if isinstance(model, str | Path) else []
    if checkpoints:
        series = label or Path(model).expanduser().resolve().name  # type: ignore[arg-type]
        return [NamedPolicy(series, path.name, step, str(path)) for step, path in checkpoints]
    return [_single(label, model)]


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """The ``checkpoint-N`` folders in ``folder``, by N."""
    if not folder.is_dir():
        return []
    found = ((_CHECKPOINT.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in found if match)


def _single(label: str, model: object) -> NamedPolicy:
    folder = Path(model).expanduser() if isinstance(model, str | Path) else None
    if folder is not None and folder.is_dir():
        folder = folder.resolve()
    own = folder.name if folder is not None else ""
    checkpoint = _CHECKPOINT.fullmatch(own)
    if label.count("/") > 1:
        raise InputError(f"bad policy name {label!r}: it is [SERIES/]NAME with one '/' at most")
    series, _, name = label.rpartition("/")
    name = name or own
    if not series:
        series = folder.parent.name if checkpoint and folder is not None and folder.parent.name else DEFAULT_SERIES
    if not name or series == REFERENCE:
        raise InputError(f"bad policy name {label or str(model)!r}: give it as [SERIES/]NAME, SERIES not {REFERENCE!r}")
    return NamedPolicy(series, name, _step(name, own), model if not isinstance(model, Path) else str(model))


def _step(name: str, folder: str) -> int | None:
    """The step that the name gives, else the one that the checkpoint's folder gives."""
    for text in (name, folder):
        match = _CHECKPOINT.fullmatch(text)
        if match:
            return int(match[1])
    return int(name) if re.fullmatch(r"[0-9]{1,18}", name) else None

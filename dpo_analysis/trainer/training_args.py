"""The trainer's settings out of training_args.bin: beta, loss, lengths, numerics; nothing in the file is executed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.safe_pickle import Inert, UnreadablePickle, read_saved

NO_LIMIT = 2**31 - 1
"""``max_length`` of a trainer that set none: longer than any response."""
FILE = "training_args.bin"
DEFAULTS = {"label_smoothing": 0.0, "discopop_tau": 0.05, "f_divergence_type": "reverse_kl", "use_weighting": False,
            "f_alpha_divergence_coef": 0.5, "ld_alpha": None, "loss_weights": None}  # fmt: skip
"""Parameters of the loss, with TRL 1.16's defaults; those that differ are kept."""
WITHOUT_REFERENCE = ("CPOConfig", "ORPOConfig")
NOTHING: dict[str, Any] = {"beta": None, "loss_type": None, "max_length": None, "truncation": None, "bf16": None}


def read_arguments(checkpoints: Sequence[Path], root: Path, notes: list[str]) -> dict[str, Any]:
    """beta, loss_type, parameters, max_length, truncation and bf16, each None where it is not known.

    The highest checkpoint's file counts, else the folder's own; ``notes`` is told what could not be read, and where
    checkpoints disagree.

    Raises:
        InputError: the reference moved or there was none, so that no checkpoint gives the rewards back.
    """
    found: dict[Path, dict[str, Any]] = {}
    for folder in [*reversed(checkpoints), root]:
        path = folder / FILE
        if path.is_file() and path not in found:
            state = _state(path, notes)
            if state is not None:
                found[path] = state
    if not found:
        notes.append(f"{root} has no readable {FILE}: beta, loss and max_length are not known from it; give them")
        return NOTHING | {"parameters": {}}
    path, state = next(iter(found.items()))
    _refuse_lost_rewards(path, state)
    _compare(found, notes)
    return _facts(state)


def _state(path: Path, notes: list[str]) -> dict[str, Any] | None:
    try:
        value = read_saved(path)
    except UnreadablePickle as error:
        notes.append(
            f"{path} cannot be read ({str(error)[:100]}); give --beta and --loss-type if they are not the usual"
        )
        return None
    state = value.state if isinstance(value, Inert) else value
    if not isinstance(state, dict) or "beta" not in state:
        notes.append(f"{path} holds no arguments of a DPO trainer; give --beta and --loss-type")
        return None
    kind = value.name.rpartition(".")[2] if isinstance(value, Inert) else "DPOConfig"
    if kind in WITHOUT_REFERENCE:
        raise InputError(
            f"trained without a reference: {path} holds a {kind}, so there is no implicit reward; only runs of a DPO "
            "trainer have one"
        )
    if kind != "DPOConfig":
        notes.append(f"{path} holds a {kind}, not a DPOConfig: what it says of beta and loss is taken as DPO's")
    return {name: _plain(content) for name, content in state.items()}


def _plain(value: Any) -> Any:
    """An enumeration's member as its value; anything else as it is."""
    if isinstance(value, Inert) and len(value.arguments) == 1 and isinstance(value.arguments[0], str | int | float):
        return value.arguments[0]
    return value


def _refuse_lost_rewards(path: Path, state: Mapping[str, Any]) -> None:
    if state.get("sync_ref_model") is True:
        raise InputError(
            f"moving reference in {path}: sync_ref_model was on, and the moved reference was not saved, so its rewards "
            "cannot be computed again; only runs with a fixed reference can be scored"
        )
    if state.get("reference_free") is True:
        raise InputError(
            f"trained without a reference: {path} has reference_free on, so there is no implicit reward; only runs "
            "with a reference can be scored"
        )


def _compare(found: Mapping[Path, Mapping[str, Any]], notes: list[str]) -> None:
    newest, *older = found
    for name in ("beta", "loss_type"):
        other = next((path for path in older if found[path].get(name) != found[newest].get(name)), None)
        if other is not None:
            notes.append(
                f"{name} differs: {found[newest].get(name)} in {newest}, {found[other].get(name)} in {other}; "
                "the first is taken for all checkpoints"
            )


def _facts(state: Mapping[str, Any]) -> dict[str, Any]:
    losses = _losses(state.get("loss_type"))
    parameters = {
        name: _listed(state[name]) for name, usual in DEFAULTS.items() if state.get(name, usual) not in (usual, None)
    }
    kept = {name: value for name, value in parameters.items() if isinstance(value, str | bool | int | float | list)}
    bf16 = state.get("bf16")
    if isinstance(bf16, bool):
        kept["bf16"] = bf16
    return {
        "beta": _beta(state.get("beta")),
        "loss_type": losses,
        "parameters": kept,
        "max_length": _max_length(state),
        "truncation": state.get("truncation_mode") if isinstance(state.get("truncation_mode"), str) else None,
        "bf16": bf16 if isinstance(bf16, bool) else None,
    }


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _losses(value: Any) -> str | list[str] | None:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(_plain(name), str) for name in names):
        return None
    plain = [str(_plain(name)) for name in names]
    return plain[0] if len(plain) == 1 else plain


def _beta(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if known else None


def _max_length(state: Mapping[str, Any]) -> int | None:
    if "max_length" not in state:
        return None
    value = state["max_length"]
    if value is None:
        return NO_LIMIT
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

"""Settings of a DPO trainer from training_args.bin: beta, loss, lengths, numerics; nothing in the file is executed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.safe_pickle import InertObject, UnreadablePickle, read_torch_file

NO_LIMIT = 2**31 - 1
"""``max_length`` of a trainer that set none, in tokens: longer than any response."""
FILE_NAME = "training_args.bin"
LOSS_DEFAULTS = {
    "label_smoothing": 0.0,
    "discopop_tau": 0.05,
    "f_divergence_type": "reverse_kl",
    "use_weighting": False,
    "f_alpha_divergence_coef": 0.5,
    "ld_alpha": None,
    "loss_weights": None,
}
"""Parameters of the loss and their defaults in TRL 1.16; only values that differ are returned."""
BATCH_SETTINGS = {
    "logging_steps": "logging_steps",
    "per_device_train_batch_size": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "n_devices": "_n_gpu",
}
"""Settings that say how many pairs a logged training value is the mean of: name in a series' parameters -> name in the
file. ``n_devices`` counts the devices of a single process; the number of processes is not in the file."""
REFERENCE_FREE_CONFIGS = ("CPOConfig", "ORPOConfig")
UNKNOWN_SETTINGS: dict[str, Any] = {
    "beta": None,
    "loss_type": None,
    "max_length": None,
    "truncation": None,
    "bf16": None,
}


def read_training_args(checkpoints: Sequence[Path], root: Path, notes: list[str]) -> dict[str, Any]:
    """Return beta, loss_type, parameters, max_length, truncation, bf16 and settings_path, None where not known.

    They are read from the latest checkpoint, or from ``root`` where no checkpoint has the file. Sentences about files
    that could not be read and checkpoints that disagree are appended to ``notes``.

    Raises:
        InputError: the reference moved or there was none, so that the rewards cannot be computed from checkpoints.
    """
    states: dict[Path, dict[str, Any]] = {}
    for folder in [*reversed(checkpoints), root]:
        path = folder / FILE_NAME
        if path.is_file() and path not in states:
            state = _read_state(path, notes)
            if state is not None:
                states[path] = state
    if not states:
        notes.append(f"{root} has no readable {FILE_NAME}: beta, loss and max_length are not known from it; give them")
        return UNKNOWN_SETTINGS | {"parameters": {}}
    path, state = next(iter(states.items()))
    _refuse_lost_rewards(path, state)
    _note_differences(states, notes)
    return _settings(state) | {"settings_path": str(path)}


def _read_state(path: Path, notes: list[str]) -> dict[str, Any] | None:
    try:
        value = read_torch_file(path)
    except UnreadablePickle as error:
        notes.append(
            f"{path} cannot be read ({str(error)[:100]}); give --beta and --loss-type if they are not the usual"
        )
        return None
    state = value.state if isinstance(value, InertObject) else value
    if not isinstance(state, dict) or "beta" not in state:
        notes.append(f"{path} holds no arguments of a DPO trainer; give --beta and --loss-type")
        return None
    kind = value.name.rpartition(".")[2] if isinstance(value, InertObject) else "DPOConfig"
    if kind in REFERENCE_FREE_CONFIGS:
        raise InputError(
            f"trained without a reference: {path} holds a {kind}, so there is no implicit reward; only runs of a DPO "
            "trainer have one"
        )
    if kind != "DPOConfig":
        notes.append(f"{path} holds a {kind}, not a DPOConfig: what it says of beta and loss is taken as DPO's")
    return {name: _enum_value(item) for name, item in state.items()}


def _enum_value(value: Any) -> Any:
    """Return the value of an enumeration's member, which a pickle stores as a call of its class; others unchanged."""
    if (
        isinstance(value, InertObject)
        and len(value.arguments) == 1
        and isinstance(value.arguments[0], str | int | float)
    ):
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


def _note_differences(states: Mapping[Path, Mapping[str, Any]], notes: list[str]) -> None:
    newest, *older = states
    for name in ("beta", "loss_type"):
        other = next((path for path in older if states[path].get(name) != states[newest].get(name)), None)
        if other is not None:
            notes.append(
                f"{name} differs: {states[newest].get(name)} in {newest}, {states[other].get(name)} in {other}; "
                "the first is taken for all checkpoints"
            )


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    changed = {
        name: _tuple_as_list(state[name])
        for name, default in LOSS_DEFAULTS.items()
        if state.get(name, default) not in (default, None)
    }
    # A value of any other type comes from a damaged or foreign file, and could not be stored as JSON.
    parameters = {name: value for name, value in changed.items() if isinstance(value, str | bool | int | float | list)}
    bf16 = state.get("bf16")
    if isinstance(bf16, bool):
        parameters["bf16"] = bf16
    parameters |= _batch_settings(state)
    return {
        "beta": _valid_beta(state.get("beta")),
        "loss_type": _loss_types(state.get("loss_type")),
        "parameters": parameters,
        "max_length": _max_length(state),
        "truncation": state.get("truncation_mode") if isinstance(state.get("truncation_mode"), str) else None,
        "bf16": bf16 if isinstance(bf16, bool) else None,
    }


def _batch_settings(state: Mapping[str, Any]) -> dict[str, int]:
    """Return the ``BATCH_SETTINGS`` that are whole numbers above 0; a logging interval may be a share of the training.

    Without an accelerator ``_n_gpu`` is 0 or -1, and training runs on one device.
    """
    values = {name: state.get(stored) for name, stored in BATCH_SETTINGS.items()}
    whole = {
        name: int(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    }
    return {name: value for name, value in whole.items() if value > 0}


def _tuple_as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _loss_types(value: Any) -> str | list[str] | None:
    names = [value] if isinstance(value, str) else value
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(_enum_value(name), str) for name in names)
    ):
        return None
    loss_types = [str(_enum_value(name)) for name in names]
    return loss_types[0] if len(loss_types) == 1 else loss_types


def _valid_beta(value: Any) -> float | None:
    """Return beta as the file has it, 0 included: with it every reward is 0, and a default would invent others."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _max_length(state: Mapping[str, Any]) -> int | None:
    if "max_length" not in state:
        return None
    value = state["max_length"]
    if value is None:
        return NO_LIMIT
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

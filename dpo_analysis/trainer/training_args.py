"""Arguments of a trainer from training_args.bin as plain values; nothing in the file is executed."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.folder import TrainerFolder, is_regular
from dpo_analysis.trainer.safe_pickle import InertObject, UnreadablePickle, read_torch_file
from dpo_analysis.trainer.training import Fact, Facts

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
    "rpo_alpha": None,
}
"""Parameters of the loss and their defaults in TRL; only values that differ are kept."""
BATCH_SETTINGS = {
    "logging_steps": "logging_steps",
    "per_device_train_batch_size": "per_device_train_batch_size",
    "per_device_eval_batch_size": "per_device_eval_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "n_devices": "_n_gpu",
}
"""Settings that say how many pairs a logged value is the mean of: name in a series' parameters -> name in the
file. ``n_devices`` counts the devices of a single process; the number of processes is not in the file."""
REFERENCE_FREE_CONFIGS = ("CPOConfig", "ORPOConfig")
MAX_LIST = 64
MAX_CHARACTERS = 4096
MAX_SHOWN = 80
"""Letters of a value that a note shows."""


@dataclass(frozen=True, slots=True)
class TrainingArguments:
    """The arguments in the training_args.bin of a run's latest checkpoint that has a readable file.

    Attributes:
        kind: the class, ``trl.trainer.dpo_config.DPOConfig``; empty where the file does not say.
        values: names and plain values: texts, numbers, booleans, None, and lists of these.
        path: the file.
    """

    kind: str
    values: Mapping[str, Any]
    path: Path

    @property
    def class_name(self) -> str:
        """The class without its module."""
        return self.kind.rpartition(".")[2]

    @property
    def package(self) -> str:
        """The package of the class: trl, llamafactory, swift, axolotl."""
        return self.kind.partition(".")[0]


def read_training_arguments(folder: TrainerFolder) -> TrainingArguments | None:
    """Return the arguments of the latest checkpoint that has them, or of the output folder; None where none has.

    Sentences about files that could not be read and checkpoints that disagree are appended to the folder's notes.

    Raises:
        InputError: the reference moved or there was none, so that the rewards cannot be computed from checkpoints.
    """
    found: list[TrainingArguments] = []
    for place in [*(path for _, path in reversed(folder.checkpoints)), *folder.places]:
        path = place / FILE_NAME
        if is_regular(path) and all(path != other.path for other in found):
            arguments = _read(path, folder.notes)
            if arguments is not None:
                found.append(arguments)
    if not found:
        return None
    refuse_lost_rewards(found[0])
    _note_differences(found, folder.notes)
    return found[0]


def _read(path: Path, notes: list[str]) -> TrainingArguments | None:
    try:
        value = read_torch_file(path)
    except UnreadablePickle as error:
        notes.append(f"{path} cannot be read ({str(error)[:100]})")
        return None
    state = value.state if isinstance(value, InertObject) else value
    if not isinstance(state, dict):
        notes.append(f"{path} holds no arguments of a trainer")
        return None
    kind = value.name if isinstance(value, InertObject) else ""
    return TrainingArguments(kind, {name: plain_value(item) for name, item in state.items()}, path)


def plain_value(value: Any) -> Any:
    """Return a text, number, boolean or None as it is, a list or tuple of these as a list, and None for the rest.

    The member of an enumeration, which a pickle stores as a call of its class, gives its value. Deeper values are
    left out: no setting has one, and a small pickle can hold a list that takes hours to walk through.
    """
    if isinstance(value, InertObject) and len(value.arguments) == 1:
        value = value.arguments[0]
    if isinstance(value, str):
        return value[:MAX_CHARACTERS]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    if isinstance(value, list | tuple) and len(value) <= MAX_LIST:
        items = [item.arguments[0] if isinstance(item, InertObject) and item.arguments else item for item in value]
        if all(isinstance(item, str | bool | int | float) for item in items):
            return [plain_value(item) for item in items]
    return None


def refuse_lost_rewards(arguments: TrainingArguments) -> None:
    """Refuse a training whose rewards cannot be computed from its checkpoints.

    Raises:
        InputError: the reference moved, or there was none.
    """
    path, values = arguments.path, arguments.values
    if arguments.class_name in REFERENCE_FREE_CONFIGS:
        raise InputError(
            f"trained without a reference: {path} holds a {arguments.class_name}, so there is no implicit reward; only "
            "runs of a DPO trainer have one"
        )
    if values.get("sync_ref_model") is True:
        raise InputError(
            f"moving reference in {path}: sync_ref_model was on, and the moved reference was not saved, so its rewards "
            "cannot be computed again; only runs with a fixed reference can be scored"
        )
    if values.get("reference_free") is True:
        raise InputError(
            f"trained without a reference: {path} has reference_free on, so there is no implicit reward; only runs "
            "with a reference can be scored"
        )


def _note_differences(found: list[TrainingArguments], notes: list[str]) -> None:
    newest, *older = found
    for name in ("beta", "loss_type"):
        other = next((one for one in older if one.values.get(name) != newest.values.get(name)), None)
        if other is not None:
            values = [str(one.values.get(name))[:MAX_SHOWN] for one in (newest, other)]
            notes.append(
                f"{name} differs: {values[0]} in {newest.path}, {values[1]} in {other.path}; the first is taken for "
                "all checkpoints"
            )


def argument_facts(arguments: TrainingArguments) -> Facts:
    """Return beta, loss_type, parameters, max_length, truncation and bf16, as far as the file has them."""
    values = arguments.values
    bf16 = values.get("bf16")
    facts = {
        "beta": valid_beta(values.get("beta")),
        "loss_type": loss_types(values.get("loss_type")) if "beta" in values else None,
        "max_length": _max_length(values) if "beta" in values else None,
        "truncation": values.get("truncation_mode") if isinstance(values.get("truncation_mode"), str) else None,
        "bf16": bf16 if isinstance(bf16, bool) else None,
    }
    return {name: Fact(value, FILE_NAME) for name, value in facts.items() if value is not None}


def loss_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the loss that differ from TRL's defaults, whether bf16 was on, and batch settings."""
    changed = {
        name: values[name]
        for name, default in LOSS_DEFAULTS.items()
        if values.get(name, default) not in (default, None)
    }
    parameters: dict[str, Any] = {
        name: value for name, value in changed.items() if isinstance(value, str | bool | int | float | list)
    }
    if isinstance(values.get("bf16"), bool):
        parameters["bf16"] = values["bf16"]
    return parameters | _batch_settings(values)


def _batch_settings(values: Mapping[str, Any]) -> dict[str, int]:
    """Return the ``BATCH_SETTINGS`` that are whole numbers above 0; a logging interval may be a share of the training.

    Without an accelerator ``_n_gpu`` is 0 or -1, and training runs on one device.
    """
    stored = {name: values.get(key) for name, key in BATCH_SETTINGS.items()}
    whole = {
        name: int(value)
        for name, value in stored.items()
        if not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    }
    return {name: value for name, value in whole.items() if value > 0}


def loss_types(value: Any) -> str | list[str] | None:
    """Return a loss name, or several as a list; None where ``value`` is neither."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return names[0] if len(names) == 1 else names


def valid_beta(value: Any) -> float | None:
    """Return beta as the file has it, 0 included: with it every reward is 0, and a default would invent rewards."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        return None
    return float(value)


def positive_number(value: Any) -> int | None:
    """Return a whole number above 0; None where ``value`` is anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _max_length(values: Mapping[str, Any]) -> int | None:
    if "max_length" not in values:
        return None
    return NO_LIMIT if values["max_length"] is None else positive_number(values["max_length"])

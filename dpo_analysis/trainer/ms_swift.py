"""ms-swift: its args.json holds every argument of the training."""

from collections.abc import Mapping
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.folder import TrainerFolder
from dpo_analysis.trainer.training import Fact, Facts
from dpo_analysis.trainer.training_args import (
    NO_LIMIT,
    TrainingArguments,
    argument_facts,
    loss_types,
    positive_number,
    valid_beta,
)

NAME = "ms-swift"
FILE = "args.json"


def ms_swift_facts(folder: TrainerFolder, arguments: TrainingArguments | None) -> Facts | None:
    """Return what a folder of ms-swift says; None where another trainer wrote it.

    Raises:
        InputError: the training was no DPO, or its reference moved.
    """
    values = folder.json(FILE)
    if "swift_version" not in values and (arguments is None or arguments.package != "swift"):
        return None
    facts = argument_facts(arguments) if arguments is not None else {}
    return facts | _argument_facts(values)


def _argument_facts(values: Mapping[str, Any]) -> Facts:
    kind = values.get("rlhf_type", "dpo")
    if kind != "dpo":
        raise InputError(f"rlhf_type {kind} in {FILE}: only DPO has a fixed reference to score; give a run of dpo")
    if values.get("sync_ref_model") is True:
        raise InputError(
            f"moving reference in {FILE}: sync_ref_model was on, and the moved reference was not saved; only runs with "
            "a fixed reference can be scored"
        )
    version = values.get("swift_version")
    found = {
        "trainer": f"{NAME} {version}" if isinstance(version, str) else NAME,
        "tokenization": "ms-swift",
        "template": values.get("template") if isinstance(values.get("template"), str) else None,
        "beta": valid_beta(values.get("beta")),
        "loss_type": loss_types(values.get("loss_type")),
        "max_length": positive_number(values.get("max_length")) or NO_LIMIT,
        "truncation": values.get("truncation_strategy"),
        "bf16": values.get("bf16") if isinstance(values.get("bf16"), bool) else None,
        "start": values.get("ref_model") or values.get("model"),
    }
    if values.get("quant_bits") in (4, 8):
        found["parameters"] = {"quantization": f"{values['quant_bits']}bit"}
    return {
        name: Fact(value, FILE) for name, value in found.items() if isinstance(value, str | float | int | list | dict)
    }

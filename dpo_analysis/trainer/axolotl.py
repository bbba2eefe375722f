"""Axolotl: the config that it writes into debug.log."""

import json
from collections.abc import Mapping
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import is_deeper
from dpo_analysis.trainer.folder import TrainerFolder, read_text
from dpo_analysis.trainer.training import Fact, Facts
from dpo_analysis.trainer.training_args import FILE_NAME, TrainingArguments, argument_facts, positive_number, valid_beta

NAME = "Axolotl"
LOG = "debug.log"
BETA_KEYS = ("rl_beta", "dpo_beta")
TEMPLATES = ("chatml", "llama3")
"""Types of its data sets that render with a template of their name."""
LOSSES = {"dpo": "sigmoid", "ipo": "ipo"}
"""Axolotl's word of ``rl`` -> TRL's loss."""


def axolotl_facts(folder: TrainerFolder, arguments: TrainingArguments | None) -> Facts | None:
    """Return what a folder of Axolotl says; None where another trainer wrote it.

    Raises:
        InputError: the training was no preference training with a reference.
    """
    path = folder.file(LOG)
    config = config_in_log(read_text(path)) if path is not None else {}
    is_axolotl = arguments is not None and arguments.package == "axolotl"
    if not is_axolotl and "axolotl_config_path" not in config:
        return None
    facts = argument_facts(arguments) if arguments is not None else {}
    logged = config_facts(config, LOG) if config else {}
    source = LOG if config else FILE_NAME
    return logged | facts | {"trainer": Fact(NAME, source), "tokenization": Fact("axolotl", source)}


def config_in_log(text: str) -> dict[str, Any]:
    """Return the config that Axolotl prints as JSON into its log; empty where there is none."""
    start = text.find("config:\n{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start + len("config:\n"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and not is_deeper(value) else {}


def _template(config: Mapping[str, Any]) -> str | None:
    """Return the template that the type of the first data set names, ``chatml`` for ``chatml.intel``; else None."""
    datasets = config.get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets else {}
    name = str(first.get("type", "")).partition(".")[0] if isinstance(first, dict) else ""
    return name if name in TEMPLATES else None


def config_facts(config: Mapping[str, Any], source: str) -> Facts:
    """Return what Axolotl's config says of the training.

    Args:
        config: names and values of its YAML file.
        source: the name of the file.

    Raises:
        InputError: ``rl`` names no preference training with a reference.
    """
    kind = str(config.get("rl", "dpo"))
    if kind not in LOSSES:
        raise InputError(f"rl {kind} in {source}: only dpo and ipo have a reference to score; give such a run")
    betas = [valid_beta(config.get(key)) for key in BETA_KEYS]
    parameters: dict[str, Any] = {}
    if config.get("load_in_4bit") is True:
        parameters["quantization"] = "4bit"
    elif config.get("load_in_8bit") is True:
        parameters["quantization"] = "8bit"
    smoothing = config.get("dpo_label_smoothing")
    if isinstance(smoothing, int | float) and smoothing:
        parameters["label_smoothing"] = smoothing
    found = {
        "trainer": NAME,
        "tokenization": "axolotl",
        "beta": next((beta for beta in betas if beta is not None), None),
        "loss_type": LOSSES[kind],
        "parameters": parameters or None,
        "template": _template(config),
        "max_length": positive_number(config.get("sequence_len")),
        "start": config.get("base_model"),
    }
    return {name: Fact(value, source) for name, value in found.items() if value is not None}

"""LLaMA-Factory: what its output folder says of a DPO training, which is neither beta nor template."""

from collections.abc import Mapping
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.trainer.folder import TrainerFolder, is_regular
from dpo_analysis.trainer.training import Fact, Facts
from dpo_analysis.trainer.training_args import NO_LIMIT, TrainingArguments, positive_number, valid_beta
from dpo_analysis.trainer.yaml_file import read_yaml_object

NAME = "LLaMA-Factory"
SAVED_ARGUMENTS = "training_args.yaml"
"""The file that its web page writes beside the checkpoints: the arguments of the training."""
REFERENCE_FREE = ("orpo", "simpo")
AVERAGED_LOSSES = ("ipo",)
"""Losses for which it logs log-probs and rewards as averages over tokens."""
CUTOFF_LENGTH = 2048
"""Its default of ``cutoff_len``, in tokens of prompt + response."""


def is_llamafactory(folder: TrainerFolder, arguments: TrainingArguments | None) -> bool:
    """Return whether LLaMA-Factory wrote the folder."""
    if arguments is not None and arguments.package in ("llamafactory", "llmtuner"):
        return True
    return "llama-factory" in folder.card.tags or is_regular(folder.root / "trainer_log.jsonl")


def llamafactory_facts(folder: TrainerFolder, arguments: TrainingArguments | None) -> Facts | None:
    """Return what a folder of LLaMA-Factory says; None where another trainer wrote it."""
    if not is_llamafactory(folder, arguments):
        return None
    facts: Facts = {"trainer": Fact(NAME, "README.md" if "llama-factory" in folder.card.tags else "its files")}
    saved = folder.file(SAVED_ARGUMENTS)
    if saved is not None:
        facts |= config_facts(read_yaml_object(saved), SAVED_ARGUMENTS)
    facts.setdefault("loss_type", Fact("sigmoid", "LLaMA-Factory's default of pref_loss; no file says", assumed=True))
    facts.setdefault("tokenization", Fact("llamafactory", facts["trainer"].source))
    if "template" not in facts:
        reason = "the tokenizer's chat template; LLaMA-Factory does not record --template"
        facts["template"] = Fact("", reason, assumed=True)
    facts.setdefault("max_length", Fact(CUTOFF_LENGTH, "LLaMA-Factory's default of cutoff_len", assumed=True))
    return facts


def config_facts(config: Mapping[str, Any], source: str) -> Facts:
    """Return what LLaMA-Factory's arguments say of the training.

    Args:
        config: names and values of its YAML file.
        source: the name of the file.

    Raises:
        InputError: the stage is not dpo, or the loss has no reference.
    """
    stage, loss = str(config.get("stage", "dpo")), str(config.get("pref_loss", "sigmoid"))
    if stage != "dpo":
        raise InputError(f"stage {stage} in {source}: only preference training has pairs; give a config of stage dpo")
    if loss in REFERENCE_FREE:
        raise InputError(
            f"pref_loss {loss} in {source}: it is trained without a reference, so there is no implicit reward to score"
        )
    parameters: dict[str, Any] = {
        name: config[key]
        for name, key in (
            ("label_smoothing", "dpo_label_smoothing"),
            ("sft_weight", "pref_ftx"),
            ("ld_alpha", "ld_alpha"),
        )
        if isinstance(config.get(key), int | float) and config[key]
    }
    bits = config.get("quantization_bit")
    if bits in (4, 8):
        parameters["quantization"] = f"{bits}bit"
    facts: dict[str, Any] = {
        "trainer": NAME,
        "tokenization": "llamafactory",
        "beta": valid_beta(config.get("pref_beta", 0.1)),
        "loss_type": loss,
        "parameters": parameters or None,
        "template": str(config["template"]) if config.get("template") else "",
        "max_length": positive_number(config.get("cutoff_len", CUTOFF_LENGTH)) or NO_LIMIT,
        "bf16": bool(config.get("bf16", False)),
        "logged_logps": "mean" if loss in AVERAGED_LOSSES else None,
        "start": config.get("ref_model") or config.get("model_name_or_path"),
    }
    named = {name: Fact(value, source) for name, value in facts.items() if value is not None}
    for name, key in (("beta", "pref_beta"), ("max_length", "cutoff_len")):
        if key not in config:
            named[name] = named[name]._replace(source=f"LLaMA-Factory's default; {source} has no {key}")
    return named

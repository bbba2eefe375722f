"""What is known of a training run from its output folder or its config, and the file that says each setting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """A setting of a training run and where it is from.

    Attributes:
        value: the setting.
        source: the file that says it, such as ``training_args.bin``; for an assumption, its reason.
        assumed: whether no file says it.
    """

    value: Any
    source: str
    assumed: bool = False


Facts = dict[str, Fact]
"""Settings by the names of ``Training``'s attributes."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training run as described by its output folder; None stands for what no file says.

    Attributes:
        series: name of the training run.
        checkpoints: (step, folder) in step order; the step is None for a final model without one.
        folder: the output folder.
        trainer: name and version of the trainer, as far as they are known, such as ``TRL 0.24.0``.
        reference: the reference model: a folder, or a hub id that an adapter names as its base.
        beta: DPO's beta.
        loss_type: a TRL loss name, or several.
        parameters: parameters of the loss that differ from TRL's defaults, and facts where they are known: ``bf16``
            (trained under bf16 autocast), ``saved_dtype`` (float32, float16, bfloat16), ``quantization`` (the base was
            loaded in 4 or 8 bits) and ``training_args.BATCH_SETTINGS``.
        tokenization: the preset of ``data.presets`` that turns rows into tokens as this trainer did.
        template: the trainer's name of its chat template, for LLaMA-Factory and ms-swift.
        max_length: tokens; ``training_args.NO_LIMIT`` where the trainer set none.
        truncation: keep_start or keep_end, or a word of the trainer's preset.
        max_prompt_length: tokens of the prompt that TRL 0.28 and earlier kept.
        max_completion_length: tokens of a response that TRL 0.28 and earlier kept.
        logged_logps: ``mean`` where the trainer logged log-probs and rewards as averages over tokens, else ``sum``.
        bf16: trained under bf16 autocast.
        settings_path: the file that beta and loss were read from.
        log_path: the log to read: a file or a folder of ``logs.read_log``.
        sources: where each setting is from, by its name; an assumption starts with ``assumed``.
        candidates: models that files name as the start of the training and that are not on this machine, and models
            beside the folder that have the same name; none of them is used.
        notes: sentences for the user about what is missing, unreadable or assumed.
    """

    series: str
    checkpoints: list[tuple[int | None, str]]
    folder: str = ""
    trainer: str = ""
    reference: str | None = None
    beta: float | None = None
    loss_type: str | list[str] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    tokenization: str | None = None
    template: str | None = None
    max_length: int | None = None
    truncation: str | None = None
    max_prompt_length: int | None = None
    max_completion_length: int | None = None
    logged_logps: str | None = None
    bf16: bool | None = None
    settings_path: str | None = None
    log_path: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    candidates: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def merged_facts(*layers: Mapping[str, Fact]) -> Facts:
    """Return the facts of all layers, for each setting that of the first layer; a file counts before an assumption."""
    merged: Facts = {}
    for assumed in (False, True):
        for layer in layers:
            for name, fact in layer.items():
                if fact.assumed is assumed and fact.value is not None:
                    merged.setdefault(name, fact)
    return merged


def source_text(fact: Fact) -> str:
    """Return where a fact is from: ``from training_args.bin``, or ``assumed: `` and the reason."""
    return f"assumed: {fact.source}" if fact.assumed else f"from {fact.source}"

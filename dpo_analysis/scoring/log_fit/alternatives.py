"""Settings to try where the trainer's log does not fit: each differs from those of the run in one thing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dpo_analysis.data.presets import PRESETS, TEMPLATES, with_defaults
from dpo_analysis.data.special_tokens import CHANGES
from dpo_analysis.data.vocab import template_hash
from dpo_analysis.scoring.models.resolved_model import ResolvedModel
from dpo_analysis.scoring.models.tokenizer import load_tokenizer
from dpo_analysis.trainer import Training
from dpo_analysis.trainer.training_args import NO_LIMIT

RECORDED = ("tokenization", "template", "max_length", "truncation", "max_prompt_length", "max_completion_length")
NAMED_TEMPLATES = ("llamafactory", "ms-swift")
"""Presets whose trainer does not say, or not surely, which of its templates it used."""
MARK_WORDS = {
    ("eos", "add"): "one more end-of-text token",
    ("eos", "remove"): "no end-of-text token",
    ("bos", "add"): "a begin-of-text token in front",
    ("bos", "remove"): "no begin-of-text token in front",
}


class Alternative(NamedTuple):
    """A setting to try.

    Attributes:
        setting: what differs: tokenization, template, chat_template, max_length, truncation, bos, eos, ...
        value: its value, as text.
        option: the option of ``score`` that sets it.
        settings: keywords of ``tokenize_pairs``.
        bos, eos: keywords of ``with_special_tokens``.
        tokenizer: a tokenizer with another chat template; None for that of the run.
    """

    setting: str
    value: str
    option: str
    settings: Mapping[str, Any]
    bos: str | None = None
    eos: str | None = None
    tokenizer: Any = None


def alternatives(
    used: Mapping[str, Any],
    marks: Mapping[str, str | None],
    tokenizer: Any,
    training: Training | None,
    models: Sequence[ResolvedModel],
) -> Iterator[Alternative]:
    """Yield settings to try, the likeliest first.

    Args:
        used: the keywords of ``tokenize_pairs`` that the run was made with.
        marks: the keywords of ``with_special_tokens`` that it was made with.
        tokenizer: the tokenizer of the run.
        training: what the trainer's folder says; None without one.
        models: the models of the run, whose chat templates may differ.
    """
    kept = {"bos": marks.get("bos"), "eos": marks.get("eos")}
    if training is not None and training.tokenization not in (None, used["tokenization"]):
        yield _as_recorded(training, kept)
    for name in RECORDED:
        value = getattr(training, name, None)
        if value is not None and (value or None) != used.get(name):
            yield _with_setting(used, kept, name, value or None)
    for name in ("eos", "bos"):
        for change in (None, *CHANGES):
            if change != kept[name] and _possible(tokenizer, name, change):
                words = MARK_WORDS.get((name, change or ""), f"the {name} of the preset")
                option = f"--{name} {change}" if change else f"no --{name}"
                yield Alternative(name, words, option, used, **(kept | {name: change}))
    yield from _chat_templates(used, kept, tokenizer, models)
    for preset in PRESETS:
        if preset != used["tokenization"]:
            yield _with_setting(used, kept, "tokenization", preset)
    if used["tokenization"] in NAMED_TEMPLATES:
        for name in TEMPLATES[used["tokenization"]]:
            if name != used["template"]:
                yield _with_setting(used, kept, "template", name)
    for truncation in ("keep_start", "keep_end"):
        if truncation != used["truncation"]:
            yield _with_setting(used, kept, "truncation", truncation)


def _as_recorded(training: Training, kept: Mapping[str, str | None]) -> Alternative:
    """Return the preset of the trainer's folder with the template and the lengths that belong to it."""
    recorded = {name: getattr(training, name) or None for name in RECORDED if name != "tokenization"}
    preset = str(training.tokenization)
    settings = {"tokenization": preset} | with_defaults(preset, **recorded)._asdict()
    template = f" --template {training.template}" if training.template else ""
    return Alternative("tokenization", preset, f"--tokenization {preset}{template}", settings, kept["bos"], kept["eos"])


def _with_setting(used: Mapping[str, Any], kept: Mapping[str, str | None], name: str, value: Any) -> Alternative:
    settings = dict(used) | {name: value}
    if name == "tokenization":
        settings = {name: value} | with_defaults(value, max_length=used["max_length"])._asdict()
    flag = f"--{name.replace('_', '-')}"
    option = f"{flag} {value}" if value is not None else f"no {flag}"
    shown = "none" if value in (None, NO_LIMIT) else str(value)
    return Alternative(name, shown, option, settings, kept["bos"], kept["eos"])


def _possible(tokenizer: Any, name: str, change: str | None) -> bool:
    return change is None or getattr(tokenizer, f"{name}_token_id") is not None


def _chat_templates(
    used: Mapping[str, Any], kept: Mapping[str, str | None], tokenizer: Any, models: Sequence[ResolvedModel]
) -> Iterator[Alternative]:
    """Yield the chat templates beside the models that are not the one in use, each once."""
    template = getattr(tokenizer, "chat_template", None)
    seen = {template_hash(template)} if isinstance(template, str) else set()
    for resolved in sorted(models, key=lambda one: one.model.is_reference):
        stored = resolved.model.template
        if not stored or stored in seen or resolved.tokenizer_folder is None:
            continue
        seen.add(stored)
        folder = resolved.tokenizer_folder
        file = folder / "chat_template.jinja"
        option = f"--chat-template {file}" if file.is_file() else f"--tokenizer {folder}"
        other = load_tokenizer(folder)
        settings = dict(used) | {"template": None}
        yield Alternative("chat_template", str(Path(folder)), option, settings, kept["bos"], kept["eos"], other)

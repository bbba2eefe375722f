"""What was found in a trainer's folder: a line for each setting and where it is from, and the command said in full."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.data.presets import DEFAULTS
from dpo_analysis.trainer import Training
from dpo_analysis.trainer.discover import SETTINGS
from dpo_analysis.trainer.folder import is_folder, is_regular
from dpo_analysis.trainer.training_args import NO_LIMIT

SHOWN = ("reference", *(name for name in SETTINGS if name != "bf16"))
"""The settings that have a line, in order."""
PASSED = tuple("base tokenizer chat_template bos eos columns pairing limit dtype numerics part_size evidence".split())
"""Options of ``score`` that no folder says and that decide what is scored: the full command repeats them."""
USUAL = {"pairing": "best-worst", "numerics": "default", "part_size": 512, "evidence": "topk,kl,hidden"}
"""Values of these options that need not be said."""
MAX_CHECKPOINTS = 6
MAX_SHOWN = 1000
"""Characters of a value or a source that are shown."""


def found_lines(training: Training, options: Mapping[str, Any]) -> list[str]:
    """Return what was found in a trainer's folder, a line for each setting with where it is from.

    Args:
        training: of ``trainer.find_training``.
        options: the options that the user gave, by name; they count before what was found.
    """
    rows = [("checkpoints", _checkpoints(training), "")]
    for name in SHOWN:
        value, source = getattr(training, name), training.sources.get(name, "")
        given = options.get(name)
        if given is not None:
            also = f"; {_text(name, value)} {source}" if value is not None and _text(name, value) != str(given) else ""
            rows.append((name, str(given), f"from --{name.replace('_', '-')}{also}"))
        elif value is not None and not (name == "template" and not value and not source.startswith("assumed")):
            rows.append((name, _text(name, value), source))
        elif name in ("reference", "beta"):
            rows.append((name, "not found", _missing(name, training)))
    if training.log_path is not None:
        rows.append(("log", _inside(training.log_path, training.folder), ""))
    rows = [(name, _on_one_line(value), _on_one_line(source)) for name, value, source in rows]
    width = min(max(len(value) for _, value, _ in rows), 40)
    by = f": {training.trainer}, {training.sources['trainer']}" if training.trainer else ", whose trainer is not known"
    lines = [f"found in {training.folder}{by}"]
    return [*lines, *(f"  {name:<21} {value:<{width}}  {source}".rstrip() for name, value, source in rows)]


def full_command(pairs: Sequence[str], training: Training, options: Mapping[str, Any], out: str) -> str:
    """Return the ``score`` command that says everything that was found.

    Args:
        pairs: the sources of the pairs as the user gave them.
        training: of ``trainer.find_training``.
        options: the options that the user gave, by name.
        out: the run folder.
    """
    words = ["dpo-analysis", "score", *pairs]
    for _, path in training.checkpoints:
        words += ["--policy", f"{training.series}/{Path(path).resolve().name}={path}"]
    values = {name: options.get(name) if options.get(name) is not None else getattr(training, name) for name in SHOWN}
    passed = {name: options.get(name) for name in PASSED if options.get(name) != USUAL.get(name)}
    values["reference"] = values["reference"] or "MODEL"
    if _needs_base(training):
        # of a folder, score takes the reference as the base that is missing; of a policy it does not
        passed["base"] = passed.get("base") or options.get("reference")
    for name, value in (values | passed).items():
        is_said = value is not None and value != "" and not isinstance(value, list)
        if is_said and not _is_default(name, value, values["tokenization"]):
            words += [f"--{name.replace('_', '-')}", str(value)]
    if training.log_path is not None:
        words += ["--log", training.log_path]
    return shlex.join([*words, "--out", out])


def _needs_base(training: Training) -> bool:
    """Return whether the checkpoints are adapters whose base is not where their configs say."""
    newest = Path(training.checkpoints[-1][1])
    is_adapter = is_regular(newest / "adapter_config.json")
    return is_adapter and (training.reference is None or not is_folder(training.reference))


def _is_default(name: str, value: Any, preset: str | None) -> bool:
    """Return whether a limit is none and the preset sets none, so that no option needs to say it."""
    return value == NO_LIMIT and getattr(DEFAULTS.get(preset or "trl"), name, None) is None


def _checkpoints(training: Training) -> str:
    names = [Path(path).resolve().name for _, path in training.checkpoints]
    if len(names) <= MAX_CHECKPOINTS:
        return ", ".join(names)
    return f"{len(names)}, {names[0]} to {names[-1]}"


def _text(name: str, value: Any) -> str:
    if value == NO_LIMIT:
        return "none"
    if name == "template" and value == "":
        return "the tokenizer's"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _on_one_line(text: str) -> str:
    """Return a text of a trainer's file without control characters, which could forge lines of the terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:MAX_SHOWN])
    return shown if len(text) <= MAX_SHOWN else f"{shown}..."


def _missing(name: str, training: Training) -> str:
    if name == "beta":
        return "" if training.log_path is None else "it is solved from the log once the log-probs are there"
    return f"seen: {'; '.join(training.candidates)}" if training.candidates else "no file names it"


def _inside(path: str, folder: str) -> str:
    """Return a path relative to the folder where it lies in it."""
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path

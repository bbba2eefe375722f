"""What the folders of trainers decide for ``score`` beside its models: tokenization, bits, and what is assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dpo_analysis.data.presets import with_defaults
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Series
from dpo_analysis.scoring.arguments import ScoreArguments
from dpo_analysis.scoring.models.adapters.base_bits import match_training_bits
from dpo_analysis.scoring.models.adapters.four_bit import FourBit
from dpo_analysis.scoring.models.model_set import ModelSet
from dpo_analysis.trainer import Training
from dpo_analysis.trainer.reference import ASK_REFERENCE
from dpo_analysis.trainer.training_args import NO_LIMIT

DEFAULT_PRESET = "trl"
"""Where neither the caller nor a trainer's folder says how rows became tokens: as in the TRL of today."""


def ask_for_beta(arguments: ScoreArguments, trainings: Sequence[Training], stored: Mapping[str, Series]) -> None:
    """Refuse a training whose beta no file says and no log can tell.

    Raises:
        InputError: there is one, and the caller gives no beta.
    """
    for training in trainings:
        is_known = arguments.beta is not None or training.beta is not None or training.series in stored
        if not is_known and training.log_path is None and not arguments.logs:
            raise InputError(
                f"no beta for {training.folder or training.series}: neither its files nor a training log say it; give "
                "the training's as --beta (the default of TRL is 0.1)"
            )


def with_training_bits(model_set: ModelSet, trainings: Sequence[Training]) -> tuple[ModelSet, list[str]]:
    """Return the models with a base in 4 bits where training had one and this machine can load it, and notes."""
    recorded = {
        training.series: FourBit("nf4", True, training.sources.get("quantization", training.trainer))
        for training in trainings
        if training.parameters.get("quantization") == "4bit"
    }
    reference, policies, notes = match_training_bits(model_set.reference, model_set.policies, recorded)
    return replace(model_set, reference=reference, policies=policies), list(notes)


def tokenization_settings(arguments: ScoreArguments, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return how rows become token ids, as keywords of ``tokenize_pairs``: as the caller says, else as in training.

    A length or truncation of a training counts only for the preset of that training.

    Raises:
        InputError: trainings differ, and the caller does not say which to follow.
    """
    preset = arguments.tokenization or _common("tokenization", trainings) or DEFAULT_PRESET
    of_preset = [one for one in trainings if one.tokenization in (None, preset)]
    names = ("max_length", "truncation", "template", "max_prompt_length", "max_completion_length")
    given = {name: getattr(arguments, name) for name in names}
    values = {name: value if value is not None else _common(name, of_preset) for name, value in given.items()}
    settings = with_defaults(preset, **{name: value for name, value in values.items() if value})
    # a trainer that set no limit, and a preset that has none, give the same run
    unlimited = {name: None for name, value in settings._asdict().items() if value == NO_LIMIT}
    return {"tokenization": preset} | settings._asdict() | unlimited


def _common(name: str, trainings: Sequence[Training]) -> Any:
    """Return the value that a field has in every training that records it; None where no training does.

    Raises:
        InputError: trainings have different values.
    """
    series = {getattr(training, name): training.series for training in trainings if getattr(training, name) is not None}
    if len(series) > 1:
        values = ", ".join(f"{label} {value}" for value, label in series.items())
        raise InputError(f"different {name} in these trainings: {values}; pass --{name.replace('_', '-')}")
    return next(iter(series), None)


def stored_tokenization(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings as a run's identity holds them: those that are set, the template as ``trainer_template``.

    ``template`` in an identity is the hash of the tokenizer's chat template.
    """
    names = {"template": "trainer_template"}
    return {names.get(name, name): value for name, value in settings.items() if value}


def assumptions(trainings: Sequence[Training], arguments: ScoreArguments) -> dict[str, list[str]]:
    """Return by series a sentence for each setting of the tokens that neither a file nor the caller says."""
    notes: dict[str, list[str]] = {}
    for training in trainings:
        for name in ("tokenization", "template", "max_length"):
            source = training.sources.get(name, "")
            if source.startswith("assumed") and getattr(arguments, name) is None:
                option = name.replace("_", "-")
                line = f"{name} of {training.series} is {source}; give --{option} if it was another"
                notes.setdefault(training.series, []).append(line)
    return notes


def training_notes(trainings: Sequence[Training], reference: object) -> list[str]:
    """Return what the trainings' folders leave open, except advice that the caller followed."""
    notes = [note for training in trainings for note in training.notes]
    return [note for note in notes if reference is None or not note.endswith(ASK_REFERENCE)]

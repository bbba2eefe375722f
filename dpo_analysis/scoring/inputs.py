"""The inputs of ``score``: models, tokenizer and tokenized pairs, checked against each other before scoring."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpo_analysis.data.compressed_pairs import load_compressed_pairs
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization import TokenizedPair, limit_groups, tokenize_pairs
from dpo_analysis.data.vocab import tokenizer_fingerprint
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Series, stored_series
from dpo_analysis.scoring.arguments import ScoreArguments
from dpo_analysis.scoring.models.model_set import ModelSet, resolve_models
from dpo_analysis.scoring.models.requirements import ModelRequirements, requirements_of
from dpo_analysis.scoring.models.series import beta_sources
from dpo_analysis.scoring.models.tokenizer_check import check_tokenizers, pick_tokenizer
from dpo_analysis.scoring.workers.ray_driver import check_models_on_disk
from dpo_analysis.trainer import Training, find_training
from dpo_analysis.trainer.discover import ASK_REFERENCE

MAX_LENGTH = 1024
"""TRL's default max_length in tokens, where neither the caller nor a trainer's folder gives another."""


@dataclass(frozen=True, slots=True)
class ScoringInputs:
    """The models and pairs to score.

    Attributes:
        model_set: the reference, the policies and their series.
        n_parameters: parameters of the largest model.
        requirements: what the pairs require of every model.
        tokenizer: the tokenizer of the run.
        tokenized: the pairs as token ids, whatever their status.
        identity: facts that decide every score; a run folder with another identity is refused.
        explicit: fields of the series that the caller gave.
        trainings: the training runs whose folders the caller gave.
        notes: lines for the log.
    """

    model_set: ModelSet
    n_parameters: int
    requirements: ModelRequirements
    tokenizer: Any
    tokenized: list[TokenizedPair]
    identity: dict[str, Any]
    explicit: set[str]
    trainings: list[Training]
    notes: list[str]


def prepare_inputs(arguments: ScoreArguments) -> ScoringInputs:
    """Resolve the models, tokenize the pairs, and check that the models can score them.

    Raises:
        InputError: an input cannot be used.
    """
    trainings = [find_training(folder) for folder in arguments.trainer_outputs]
    parameters = dict(arguments.parameters) if arguments.parameters else None
    objective = {"beta": arguments.beta, "loss_type": arguments.loss_type, "parameters": parameters}
    stored = stored_series(arguments.out)
    model_set = resolve_models(
        arguments.policies,
        arguments.reference,
        base=arguments.base,
        trainings=trainings,
        objective=objective,
        stored_series=stored,
    )
    if arguments.ray is not None:
        check_models_on_disk(model_set.models)
    # before the tokenizer: its loader says less of a config that does not fit its weights
    n_parameters = model_set.max_n_parameters()
    tokenizer = pick_tokenizer(arguments.tokenizer, model_set, arguments.chat_template)
    tokenization = _tokenization(arguments, trainings)
    tokenized = limit_groups(tokenize_pairs(_load_pairs(arguments.pairs), tokenizer, **tokenization), arguments.limit)
    if arguments.confirm is not None and "train" not in {pair.pair.split for pair in tokenized}:
        raise InputError("--confirm without training pairs: it follows their gradients; give train=PAIRS as well")
    requirements = requirements_of(tokenized)
    for resolved in model_set.models:
        requirements.check(resolved.config, resolved.model.source)
    template_given = arguments.chat_template is not None or arguments.tokenizer is not None
    check_tokenizers(tokenizer, model_set, tokenized, template_given=template_given)
    identity = _identity(tokenized, tokenizer, model_set) | tokenization
    return ScoringInputs(
        model_set=model_set,
        n_parameters=n_parameters,
        requirements=requirements,
        tokenizer=tokenizer,
        tokenized=tokenized,
        identity=identity,
        explicit=_explicit_fields(objective),
        trainings=trainings,
        notes=[
            *model_set.notes,
            *_training_notes(trainings, arguments.reference),
            *([] if arguments.beta is not None else beta_sources(model_set.series, trainings, stored)),
            *_beta_notes(model_set.series, trainings),
            *_template_notes(identity["template"], model_set),
        ],
    )


def _load_pairs(pairs: Sequence[Pair] | Iterable[object] | str | Path) -> Sequence[Pair]:
    """Return pairs as they are; anything else is loaded: one source, rows, or several sources."""
    if not isinstance(pairs, list | tuple) or (pairs and isinstance(pairs[0], Mapping)):
        return load_compressed_pairs(pairs)
    loaded = [pair for pair in pairs if isinstance(pair, Pair)]
    return loaded if loaded and len(loaded) == len(pairs) else load_compressed_pairs(*pairs)


def _tokenization(arguments: ScoreArguments, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return how rows become token ids: as the caller says, else as in every training."""
    max_length = arguments.max_length
    return {
        "tokenization": arguments.tokenization,
        "max_length": max_length if max_length is not None else _common("max_length", trainings) or MAX_LENGTH,
        "truncation": arguments.truncation or _common("truncation", trainings) or "keep_start",
    }


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


def _identity(tokenized: Sequence[TokenizedPair], tokenizer: Any, model_set: ModelSet) -> dict[str, Any]:
    """Return the hashes of pairs, tokenizer and reference, on which every score depends."""
    hashes = tokenizer_fingerprint(tokenizer)
    template = hashes.pop("template", None)
    conversational = any(pair.pair.conversational for pair in tokenized)
    pairs = hashlib.sha256()
    for pair in tokenized:
        pairs.update(f"{pair.pair.pair_id}\t{pair.pair.split}\n".encode())
    return {
        "pairs": pairs.hexdigest(),
        "tokenizer": hashes,
        "template": template if conversational else None,
        "reference": model_set.reference.model.weights,
    }


def _explicit_fields(objective: Mapping[str, Any]) -> set[str]:
    """Return the fields of a series that the caller gives; another loss_type may drop loss_weights of parameters."""
    given = {name for name, value in objective.items() if value is not None}
    return given | {"parameters"} if "loss_type" in given else given


def _beta_notes(series: Sequence[Series], trainings: Sequence[Training]) -> list[str]:
    """Return a note for each series whose beta is 0, or not the beta that its trainer's folder records."""
    recorded = {training.series: training.beta for training in trainings if training.beta is not None}
    notes = [
        f"series {one.name} was trained with beta {recorded[one.name]:g}, as its folder says, and its rewards are "
        f"shown with the beta given, {one.beta:g}"
        for one in series
        if recorded.get(one.name, one.beta) != one.beta
    ]
    zero = [one.name for one in series if one.beta == 0]
    if zero:
        notes.append(
            f"beta is 0 for {', '.join(zero)}: every reward is 0 by definition, and the loss has no gradient; changes "
            "of log-probs are shown as they are; if the folder is wrong, give the trainer's beta as --beta"
        )
    return notes


def _template_notes(rendered: str | None, model_set: ModelSet) -> list[str]:
    """Return a note where models have another chat template beside them than the pairs were rendered with."""
    others = [one.model.key for one in model_set.models if rendered and one.model.template not in ("", rendered)]
    if not others:
        return []
    shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    return [
        f"other chat template beside {shown} than the one used for every model: if the trainer used that one, give it "
        "as --chat-template FILE"
    ]


def _training_notes(trainings: Sequence[Training], reference: object) -> list[str]:
    """Return what the trainings' folders leave open, except advice that the caller followed."""
    notes = [note for training in trainings for note in training.notes]
    return [note for note in notes if reference is None or not note.endswith(ASK_REFERENCE)]

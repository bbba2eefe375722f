"""The inputs of ``score``: models, tokenizer and tokenized pairs, checked against each other before scoring."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpo_analysis.data.compressed_pairs import load_compressed_pairs
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.special_tokens import with_special_tokens
from dpo_analysis.data.tokenization import TokenizedPair, limit_groups, tokenize_pairs
from dpo_analysis.data.vocab import tokenizer_fingerprint
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Series, stored_series
from dpo_analysis.scoring.arguments import ScoreArguments
from dpo_analysis.scoring.models.model_set import ModelSet, resolve_models
from dpo_analysis.scoring.models.requirements import ModelRequirements, requirements_of
from dpo_analysis.scoring.models.series import beta_sources
from dpo_analysis.scoring.models.tokenizer_check import check_tokenizers, pick_tokenizer
from dpo_analysis.scoring.trainer_settings import (
    ask_for_beta,
    assumptions,
    stored_tokenization,
    tokenization_settings,
    training_notes,
    with_training_bits,
)
from dpo_analysis.scoring.workers.ray_driver import check_models_on_disk
from dpo_analysis.trainer import Training, find_training


@dataclass(frozen=True, slots=True)
class ScoringInputs:
    """The models and pairs to score.

    Attributes:
        model_set: the reference, the policies and their series.
        n_parameters: parameters of the largest model.
        requirements: what the pairs require of every model.
        tokenizer: the tokenizer of the run.
        tokenized: the pairs as token ids, whatever their status.
        pairs_read: how many pairs of each split were read, of which ``--limit`` keeps a sample.
        tokenization: how rows became token ids, as keywords of ``tokenize_pairs``.
        identity: facts that decide every score; a run folder with another identity is refused.
        explicit: fields of the series that the caller gave.
        trainings: the training runs whose folders the caller gave.
        assumptions: by series what is assumed about its tokens, a sentence each, for the case that no log proves it.
        notes: lines for the log.
    """

    model_set: ModelSet
    n_parameters: int
    requirements: ModelRequirements
    tokenizer: Any
    tokenized: list[TokenizedPair]
    pairs_read: dict[str, int]
    tokenization: dict[str, Any]
    identity: dict[str, Any]
    explicit: set[str]
    trainings: list[Training]
    assumptions: dict[str, list[str]]
    notes: list[str]


def prepare_inputs(arguments: ScoreArguments) -> ScoringInputs:
    """Resolve the models, tokenize the pairs, and check that the models can score them.

    Raises:
        InputError: an input cannot be used.
    """
    trainings = [given if isinstance(given, Training) else find_training(given) for given in arguments.trainer_outputs]
    objective = _objective(arguments)
    stored = stored_series(arguments.out)
    ask_for_beta(arguments, trainings, stored)
    model_set = resolve_models(
        arguments.policies,
        arguments.reference,
        base=arguments.base,
        trainings=trainings,
        objective=objective,
        stored_series=stored,
    )
    model_set, bits_notes = with_training_bits(model_set, trainings)
    if arguments.ray is not None:
        check_models_on_disk(model_set.models)
    # before the tokenizer: its loader says less of a config that does not fit its weights
    n_parameters = model_set.max_n_parameters()
    tokenizer = pick_tokenizer(arguments.tokenizer, model_set, arguments.chat_template)
    tokenization = tokenization_settings(arguments, trainings)
    marks = {"bos": arguments.bos, "eos": arguments.eos}
    pairs = _load_pairs(arguments)
    tokenized = with_special_tokens(_tokenized(pairs, arguments, tokenizer, tokenization), **marks)
    requirements = requirements_of(tokenized)
    for resolved in model_set.models:
        requirements.check(resolved.config, resolved.model.source)
    named_template = bool(tokenization["template"])
    template_given = arguments.chat_template is not None or arguments.tokenizer is not None or named_template
    check_tokenizers(tokenizer, model_set, tokenized, template_given=template_given)
    identity = _identity(tokenized, tokenizer, model_set) | stored_tokenization(tokenization | marks)
    if named_template:
        identity["template"] = None  # the tokenizer's chat template renders nothing
    return ScoringInputs(
        model_set=model_set,
        n_parameters=n_parameters,
        requirements=requirements,
        tokenizer=tokenizer,
        tokenized=tokenized,
        pairs_read=dict(Counter(pair.split for pair in pairs)),
        tokenization=tokenization,
        identity=identity,
        explicit=_explicit_fields(objective),
        trainings=trainings,
        assumptions=assumptions(trainings, arguments),
        notes=[
            *model_set.notes,
            *bits_notes,
            *training_notes(trainings, arguments.reference),
            *([] if arguments.beta is not None else beta_sources(model_set.series, trainings, stored)),
            *_beta_notes(model_set.series, trainings),
            *_template_notes(identity["template"], model_set),
        ],
    )


def _objective(arguments: ScoreArguments) -> dict[str, Any]:
    """Return the fields of every series as the caller gives them; None where the caller does not say."""
    return {
        "beta": arguments.beta,
        "loss_type": arguments.loss_type,
        "parameters": dict(arguments.parameters) if arguments.parameters else None,
        "logged_logps": arguments.logged_logps,
    }


def _tokenized(
    pairs: Sequence[Pair], arguments: ScoreArguments, tokenizer: Any, tokenization: Mapping[str, Any]
) -> list[TokenizedPair]:
    """Return the pairs to score as token ids.

    Raises:
        InputError: they cannot be tokenized, or the training pairs that an option needs are missing.
    """
    tokenized = limit_groups(tokenize_pairs(pairs, tokenizer, **tokenization), arguments.limit)
    if arguments.confirm is not None and "train" not in {pair.pair.split for pair in tokenized}:
        raise InputError("--confirm without training pairs: it follows their gradients; give train=PAIRS as well")
    return tokenized


def _load_pairs(arguments: ScoreArguments) -> Sequence[Pair]:
    """Return pairs as they are; anything else is loaded: one source, rows, or several sources."""
    pairs = arguments.pairs
    how = {"columns": arguments.columns, "pairing": arguments.pairing}
    if not isinstance(pairs, list | tuple) or (pairs and isinstance(pairs[0], Mapping)):
        return load_compressed_pairs(pairs, **how)
    loaded = [pair for pair in pairs if isinstance(pair, Pair)]
    return loaded if loaded and len(loaded) == len(pairs) else load_compressed_pairs(*pairs, **how)


def _identity(tokenized: Sequence[TokenizedPair], tokenizer: Any, model_set: ModelSet) -> dict[str, Any]:
    """Return the hashes of pairs, tokenizer and reference, on which every score depends."""
    return (
        pairs_identity(tokenized, tokenizer) | {"reference": model_set.reference.model.weights} | _four_bit(model_set)
    )


def pairs_identity(tokenized: Sequence[TokenizedPair], tokenizer: Any) -> dict[str, Any]:
    """Return the hashes of pairs and tokenizer; ``template`` is None where no pair is rendered by a chat template."""
    hashes: dict[str, Any] = dict(tokenizer_fingerprint(tokenizer))
    template = hashes.pop("template", None)
    conversational = any(pair.pair.conversational for pair in tokenized)
    pairs = hashlib.sha256()
    for pair in tokenized:
        pairs.update(f"{pair.pair.pair_id}\t{pair.pair.split}\n".encode())
    return {"pairs": pairs.hexdigest(), "tokenizer": hashes, "template": template if conversational else None}


def _four_bit(model_set: ModelSet) -> dict[str, str]:
    """Return how the base is packed into 4 bits, which the hash of its weights does not say; empty where it is not."""
    files = model_set.reference.files
    return {"four_bit": str(files.full.four_bit)} if files is not None and files.full.four_bit else {}


def _explicit_fields(objective: Mapping[str, Any]) -> set[str]:
    """Return the fields of a series that the caller gives; another loss_type may drop loss_weights of parameters."""
    given = {name for name, value in objective.items() if value is not None}
    return given | {"parameters"} if "loss_type" in given else given


def _beta_notes(series: Sequence[Series], trainings: Sequence[Training]) -> list[str]:
    """Return a note for each series whose beta is 0, or whose beta or loss its folder records otherwise."""
    recorded = {training.series: training.beta for training in trainings if training.beta is not None}
    notes = [
        f"series {one.name} was trained with beta {recorded[one.name]:g}, as its folder says, and its rewards are "
        f"shown with the beta given, {one.beta:g}"
        for one in series
        if recorded.get(one.name, one.beta) != one.beta
    ]
    losses = {training.series: training.loss_type for training in trainings if training.loss_type is not None}
    notes += [
        f"series {one.name} was trained with loss_type {losses[one.name]}, as its folder says, and its loss is shown "
        f"with the loss_type given, {one.loss_type}"
        for one in series
        if losses.get(one.name, one.loss_type) != one.loss_type
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

"""The tokenizer of a run, and the check that every model reads token ids as that tokenizer wrote them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.data.vocab import tokenizer_difference, tokenizer_fingerprint
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.model_set import ModelSet
from dpo_analysis.scoring.models.requirements import used_token_ids
from dpo_analysis.scoring.models.tokenizer import load_tokenizer, tokenizer_content


def pick_tokenizer(tokenizer: object, model_set: ModelSet, chat_template: str | Path | None) -> Any:
    """Return the tokenizer of the run: the caller's, else the first policy's, else the reference's.

    Args:
        tokenizer: path, hub id or tokenizer from the caller; None for that of a model.
        model_set: the models of the run.
        chat_template: a file with a Jinja template that takes the place of the tokenizer's.

    Raises:
        InputError: there is no tokenizer, it does not load, or a chat template is given beside a loaded tokenizer.
    """
    if isinstance(tokenizer, str | Path):
        return load_tokenizer(tokenizer, chat_template=chat_template)
    if tokenizer is not None:
        if chat_template is not None:
            raise InputError("chat_template beside a loaded tokenizer: set tokenizer.chat_template instead")
        return tokenizer
    folders = (resolved.tokenizer_folder for resolved in [*model_set.policies, model_set.reference])
    folder = next((folder for folder in folders if folder is not None), None)
    if folder is None:
        raise InputError("no tokenizer beside these models: pass --tokenizer FOLDER, or tokenizer= for loaded models")
    return load_tokenizer(folder, chat_template=chat_template)


def check_tokenizers(
    tokenizer: Any, model_set: ModelSet, tokenized: Sequence[TokenizedPair], *, template_given: bool
) -> None:
    """Compare ``tokenizer`` with the tokenizer of every model, by content.

    A model may know fewer tokens if the pairs use none of those, and may know more in any case.

    Raises:
        InputError: a token id means something else to a model, or policies render the same messages differently.
    """
    used = used_token_ids(tokenized)
    conversational = any(pair.pair.conversational for pair in tokenized)
    compared: set[str] = set()
    templates: dict[str, Path] = {}
    for resolved in model_set.models:
        folder = resolved.tokenizer_folder
        content = tokenizer_content(folder) if folder is not None else None
        if folder is None or content is None or content in compared:
            continue
        compared.add(content)
        model_tokenizer = load_tokenizer(folder)
        difference = _difference(tokenizer, model_tokenizer, used)
        if difference:
            raise InputError(
                f"different tokenizer in {folder}: {difference}; score together only models of one tokenizer"
            )
        if model_tokenizer.chat_template and not resolved.model.is_reference:
            templates.setdefault(tokenizer_fingerprint(model_tokenizer)["template"], folder)
    if conversational and len(templates) > 1 and not template_given:
        first, second = list(templates.values())[:2]
        raise InputError(
            f"different chat templates in {first} and {second}: pass the one to use as --chat-template FILE"
        )


def _difference(tokenizer: Any, model_tokenizer: Any, used: np.ndarray) -> str | None:
    """Return how a model's tokenizer differs from the run's; None where it does not for the ``used`` token ids."""
    difference = tokenizer_difference(tokenizer, model_tokenizer)
    if difference is None or tokenizer_difference(model_tokenizer, tokenizer) is not None:
        return difference
    ids = np.fromiter(model_tokenizer.get_vocab().values(), dtype=np.int64)
    return None if np.isin(used, ids).all() else difference

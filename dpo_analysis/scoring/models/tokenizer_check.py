"""One tokenizer for a run, and the proof that every model of it reads the ids as that tokenizer wrote them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.data.vocab import tokenizer_difference, tokenizer_fingerprint
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.model_loader import Needs
from dpo_analysis.scoring.models.model_set import Entry, Lineup
from dpo_analysis.scoring.models.tokenizer import has_tokenizer, load_tokenizer, tokenizer_content


def pick_tokenizer(given: object, lineup: Lineup, chat_template: str | Path | None) -> Any:
    """The tokenizer that ids are made with: the caller's, else the first policy's that has one, else the reference's.

    Raises:
        InputError: there is none, or it does not load.
    """
    if isinstance(given, str | Path):
        return load_tokenizer(given, chat_template=chat_template)
    if given is not None:
        return _given(given, chat_template)
    folder = next(_folders([*lineup.policies, lineup.reference]), None)
    if folder is None:
        raise InputError("no tokenizer beside these models: pass --tokenizer FOLDER, or tokenizer= for loaded models")
    return load_tokenizer(folder, chat_template=chat_template)


def _given(tokenizer: Any, chat_template: str | Path | None) -> Any:
    """A tokenizer object as it is; a template for it is set by its owner.

    Raises:
        InputError: a template was given beside it.
    """
    if chat_template is not None:
        raise InputError("chat_template beside a loaded tokenizer: set tokenizer.chat_template instead")
    return tokenizer


def _folders(entries: Iterable[Entry]) -> Iterator[Path]:
    """Folders with a tokenizer, an adapter's own before its base's."""
    for entry in entries:
        if entry.files is not None:
            yield from (folder for folder in (entry.files.folder, entry.files.full.folder) if has_tokenizer(folder))


def check_tokenizers(
    tokenizer: Any, lineup: Lineup, tokenized: Sequence[TokenizedPair], *, template_given: bool
) -> None:
    """Compare ``tokenizer`` with every model's own, by content.

    A model may know fewer tokens if the pairs use none of those, and more in any case.

    Raises:
        InputError: an id means something else to a model, or policies render the same messages differently.
    """
    used = used_ids(tokenized)
    conversational = any(pair.pair.conversational for pair in tokenized)
    seen: set[str] = set()
    templates: dict[str, Path] = {}
    for entry in lineup.entries:
        folder = next(_folders([entry]), None)
        content = tokenizer_content(folder) if folder is not None else None
        if folder is None or content is None or content in seen:
            continue
        seen.add(content)
        own = load_tokenizer(folder)
        difference = _difference(tokenizer, own, used)
        if difference:
            raise InputError(f"other tokenizer in {folder}: {difference}; score models of one tokenizer together")
        if own.chat_template and not entry.model.is_reference:
            templates.setdefault(tokenizer_fingerprint(own)["template"], folder)
    if conversational and len(templates) > 1 and not template_given:
        one, other = list(templates.values())[:2]
        raise InputError(f"different chat templates in {one} and {other}: pass the one to use as --chat-template FILE")


def _difference(tokenizer: Any, own: Any, used: np.ndarray) -> str | None:
    difference = tokenizer_difference(tokenizer, own)
    if difference is None or tokenizer_difference(own, tokenizer) is not None:
        return difference
    known = np.fromiter(own.get_vocab().values(), dtype=np.int64)
    return None if np.isin(used, known).all() else difference


def used_ids(tokenized: Sequence[TokenizedPair]) -> np.ndarray:
    """The distinct token ids of all prompts and responses, sorted."""
    arrays = [
        ids
        for pair in tokenized
        for response in pair.responses.values()
        for ids in (response.prompt_token_ids, response.token_ids)
    ]
    return np.unique(np.concatenate(arrays)) if arrays else np.empty(0, dtype=np.int64)


def needs_of(tokenized: Sequence[TokenizedPair]) -> Needs:
    """The longest prompt + response, and the largest id, over all that is scored.

    Raises:
        InputError: nothing is.
    """
    lengths = [
        len(response.prompt_token_ids) + len(response.token_ids)
        for pair in tokenized
        for response in pair.responses.values()
    ]
    if not lengths:
        counts: dict[str, int] = {}
        for pair in tokenized:
            counts[pair.status] = counts.get(pair.status, 0) + 1
        found = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no rows"
        cure = "pass a larger --max-length" if "too_long" in counts else "dpo-analysis check shows each row"
        raise InputError(f"nothing to score in {len(tokenized)} pairs: {found}; {cure}")
    return Needs(longest=max(lengths), largest_id=int(used_ids(tokenized).max()))

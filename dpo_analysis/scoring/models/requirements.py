"""What the pairs require of every model, checked against its config before it is loaded. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models.preflight import position_limit, vocabulary_size


@dataclass(frozen=True, slots=True)
class ModelRequirements:
    """What the pairs require of every model that scores them.

    Attributes:
        longest_sequence: tokens of the longest prompt + response.
        largest_token_id: the largest token id in any of them.
    """

    longest_sequence: int
    largest_token_id: int

    def check(self, config: Mapping[str, Any], source: str) -> None:
        """Refuse a model that these pairs do not fit, from its config alone.

        Args:
            config: the model's parsed config.json.
            source: path, hub id or class of the model, for the message.

        Raises:
            InputError: a sequence is longer than the model's positions, or a token id is beyond its vocabulary.
        """
        limit, size = position_limit(config), vocabulary_size(config)
        if limit is not None and self.longest_sequence > limit:
            raise InputError(
                f"a pair of {self.longest_sequence} tokens for {source}: it takes at most {limit}; "
                f"pass --max-length {limit}"
            )
        if size is not None and self.largest_token_id >= size:
            raise InputError(
                f"token id {self.largest_token_id} for {source}: its vocabulary has {size} tokens; use its tokenizer"
            )


def requirements_of(tokenized: Sequence[TokenizedPair]) -> ModelRequirements:
    """Return what the responses that are scored require of a model.

    Raises:
        InputError: there is no response to score.
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
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no rows"
        advice = "pass a larger --max-length" if "too_long" in counts else "dpo-analysis check shows each row"
        raise InputError(f"nothing to score in {len(tokenized)} pairs: {statuses}; {advice}")
    return ModelRequirements(max(lengths), int(used_token_ids(tokenized).max()))


def used_token_ids(tokenized: Sequence[TokenizedPair]) -> np.ndarray:
    """Return the distinct token ids of all prompts and responses, sorted, shape (ids,)."""
    arrays = [
        ids
        for pair in tokenized
        for response in pair.responses.values()
        for ids in (response.prompt_token_ids, response.token_ids)
    ]
    return np.unique(np.concatenate(arrays)) if arrays else np.empty(0, dtype=np.int64)

"""Prompts and responses as rectangles of ids, and their log-probs with gradients.

Padding stands on the right and attention is causal, so no token sees it and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sample_data.sft import END


@dataclass(frozen=True, slots=True)
class Sequences:
    """Rows of ids of prompt and response.

    Attributes:
        ids: int64, shape (rows, longest), padded with 0 on the right.
        starts: where each response begins, shape (rows,).
        lengths: tokens of prompt and response, shape (rows,).
    """

    ids: Tensor
    starts: Tensor
    lengths: Tensor

    @classmethod
    def of_ids(cls, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Sequences:
        """From (prompt ids, response ids) of each row."""
        lengths = torch.tensor([len(prompt) + len(response) for prompt, response in rows])
        ids = torch.zeros((len(rows), int(lengths.max())), dtype=torch.int64)
        for n, (prompt, response) in enumerate(rows):
            ids[n, : lengths[n]] = torch.tensor([*prompt, *response])
        return cls(ids, torch.tensor([len(prompt) for prompt, _ in rows]), lengths)

    @classmethod
    def of_text(cls, tokenizer: Any, prompt: str, reply: str) -> tuple[list[int], list[int]]:
        """Ids of prompt and reply as the chat template renders them."""
        turns = [{"role": "user", "content": prompt}]
        head = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"] for text in (head, reply + END))


class Logps(NamedTuple):
    """Log-probs of response tokens, nats: ``flat`` in row order, shape (tokens,); ``row`` says whose each is."""

    flat: Tensor
    row: Tensor
    n_rows: int

    def sums(self) -> Tensor:
        """Of each response, shape (rows,)."""
        return torch.zeros(self.n_rows, dtype=self.flat.dtype).index_add(0, self.row, self.flat)


def sequence_logps(model: Any, batch: Sequences) -> Logps:
    """Log-probs of every response token; the head is applied where a response token is predicted, nowhere else."""
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    place = torch.arange(batch.ids.shape[1])
    wanted = (place >= batch.starts[:, None] - 1) & (place < batch.lengths[:, None] - 1)
    row, column = wanted.nonzero(as_tuple=True)
    logits = model.lm_head(hidden[row, column])
    targets = batch.ids[row, column + 1]
    return Logps(-torch.nn.functional.cross_entropy(logits, targets, reduction="none"), row, len(batch.ids))

"""How far the replies moved, by segment: the plain fact that a plant is judged by, and the trainer's own averages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tests.planted.replies import SEGMENTS
from tests.planted.sequences import Sequences, sequence_logps
from tests.planted.train import BETA, SIDES, Pairs, metrics

PLACES = (*SEGMENTS, "end")
"""A reply's segments, and the token that ends it."""


@torch.no_grad()
def chosen_by_place(model: Any, tokenizer: Any, pairs: Pairs, where: Sequence[int]) -> Tensor:
    """Log-prob of the chosen replies by place, nats, shape (pairs, 4); where no segments are known all is core."""
    tokens = sequence_logps(model, pairs.side(0, where))
    places = torch.cat([_places(tokenizer, pairs.rows[n]) for n in where])
    cell = tokens.row * len(PLACES) + places
    sums = torch.zeros(len(where) * len(PLACES)).index_add(0, cell, tokens.flat)
    return sums.reshape(len(where), len(PLACES))


def _places(tokenizer: Any, row: Mapping[str, Any]) -> Tensor:
    """The place in ``PLACES`` of every token of the chosen reply, by the middle of its characters."""
    text = row["chosen"][0]["content"]
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = [
        row["segments"][name][1] if row["segments"] else (0, len(text), len(text))[n] for n, name in enumerate(SEGMENTS)
    ]
    middles = torch.tensor([(start + stop) / 2 for start, stop in offsets])
    found = torch.bucketize(middles, torch.tensor(ends[:2], dtype=torch.float32), right=True)
    return torch.cat([found, torch.tensor([len(SEGMENTS)])])


def by_group(changes: Tensor, labels: Iterable[str]) -> dict[str, dict[str, float]]:
    """Mean change of each group by place and in all (``whole``), nats, and its number of pairs (``n``)."""
    labels = list(labels)
    found = {}
    for name in sorted(set(labels)):
        own = changes[torch.tensor([label == name for label in labels])]
        means = dict(zip(PLACES, own.mean(0).tolist(), strict=True))
        found[name] = means | {"whole": own.sum(1).mean().item(), "n": len(own)}
    return found


def evaluation(model: Any, pairs: Pairs, where: Sequence[int]) -> dict[str, float]:
    """TRL's metrics on the pairs ``where``, named as TRL names those of an evaluation set ``train``."""
    sums = pairs.logps(model, where)
    chosen, rejected = (BETA * (sums[side] - pairs.reference[side][list(where)]) for side in SIDES)
    loss = -logsigmoid(chosen - rejected).mean()
    found = metrics(loss, chosen, rejected, torch.cat([sums[side] for side in SIDES]))
    return {f"eval_train_{name}": value for name, value in found.items()}


@torch.no_grad()
def samples_change(policy: Any, reference: Any, tokenizer: Any, samples: Sequence[tuple[str, str, str]]) -> float:
    """Mean change of replies that the reference itself said, nats per reply."""
    rows = Sequences.of_ids([Sequences.of_text(tokenizer, prompt, reply) for prompt, reply, _ in samples])
    return (sequence_logps(policy, rows).sums() - sequence_logps(reference, rows).sums()).mean().item()

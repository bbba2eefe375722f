"""What happened to the replies: the truth that a run is judged by, from the models alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.planted.world.plants import SEGMENTS, Row
from tests.planted.world.starts import Start, encode, response_logps

PLACES = (*SEGMENTS, "end")
N_SFT_TEXTS, N_GREEDY, LONGEST_GREEDY = 48, 40, 90
BLOCK = 32


@torch.no_grad()
def logps_by_place(model: Any, tokenizer: Any, rows: Sequence[Row]) -> Tensor:
    """Return the log-prob of the chosen replies by place, nats, shape (rows, 4); without segments all is core."""
    blocks = []
    for first in range(0, len(rows), BLOCK):
        some = rows[first : first + BLOCK]
        tokens = response_logps(model, _encoded(tokenizer, some, "chosen"))
        places = torch.cat([_places(tokenizer, row) for row in some])
        cell = tokens.row * len(PLACES) + places
        sums = torch.zeros(len(some) * len(PLACES)).index_add(0, cell, tokens.flat)
        blocks.append(sums.reshape(len(some), len(PLACES)))
    return torch.cat(blocks)


@torch.no_grad()
def mean_logps(model: Any, tokenizer: Any, rows: Sequence[Row], side: str) -> float:
    """Return the mean log-prob of a side, nats per reply."""
    blocks = [rows[n : n + BLOCK] for n in range(0, len(rows), BLOCK)]
    return torch.cat([response_logps(model, _encoded(tokenizer, some, side)).sums() for some in blocks]).mean().item()


def _encoded(tokenizer: Any, rows: Sequence[Row], side: str) -> list[Any]:
    return [encode(tokenizer, row["prompt"][0]["content"], row[side][0]["content"]) for row in rows]


def _places(tokenizer: Any, row: Mapping[str, Any]) -> Tensor:
    """Return the place in ``PLACES`` of every token of the chosen reply, by the middle of its characters."""
    text = row["chosen"][0]["content"]
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    segments = row["segments"]
    ends = [segments[name][1] if segments else (0, len(text), len(text))[n] for n, name in enumerate(SEGMENTS)]
    middles = torch.tensor([(start + stop) / 2 for start, stop in offsets])
    found = torch.bucketize(middles, torch.tensor(ends[:2], dtype=torch.float32), right=True)
    return torch.cat([found, torch.tensor([len(SEGMENTS)])])


def by_group(changes: Tensor, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the mean change of each group by place and in all (``whole``), nats, and its number of pairs (``n``)."""
    found = {}
    labels = [row["group"] for row in rows]
    for name in sorted(set(labels)):
        inside = changes[torch.tensor([label == name for label in labels])]
        means = dict(zip(PLACES, inside.mean(0).tolist(), strict=True))
        found[name] = means | {"whole": inside.sum(1).mean().item(), "n": len(inside)}
    return found


@torch.no_grad()
def sft_logps_per_token(model: Any, tokenizer: Any, start: Start) -> float:
    """Return the mean log-prob of fresh SFT texts, nats per token: it falls where a policy forgets what it knew."""
    rng = random.Random(f"fresh {start.name}")
    rows = [encode(tokenizer, *start.texts.sft_text(rng)) for _ in range(N_SFT_TEXTS)]
    return response_logps(model, rows).flat.mean().item()


@torch.no_grad()
def greedy_accuracy(model: Any, tokenizer: Any, start: Start) -> float | None:
    """Return the share of greedy replies that state the facts; None where there are no facts, or replies are long."""
    if start.texts.is_real or start.fillers[1] > 4:
        return None
    rng = random.Random(f"greedy {start.name}")
    questions = [start.texts.ask(rng) for _ in range(N_GREEDY)]
    tokenizer.padding_side = "left"
    turns = [[{"role": "user", "content": question.prompt}] for question in questions]
    texts = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    batch = tokenizer(texts, add_special_tokens=False, return_tensors="pt", padding=True)
    trunk = model.get_base_model() if hasattr(model, "get_base_model") else model
    ids = trunk.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
                         max_new_tokens=LONGEST_GREEDY, pad_token_id=tokenizer.pad_token_id,
                         eos_token_id=tokenizer.eos_token_id)  # fmt: skip
    said = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(start.texts.is_right(q, text) for q, text in zip(questions, said, strict=True)) / N_GREEDY

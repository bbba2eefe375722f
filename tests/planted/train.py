"""A DPO loop of our own: float32, AdamW, linear decay, the sigmoid loss, an SFT term, LoRA, and gradients that can be
switched off for one side of one group of pairs (sign ablation). TRL's trainer gives the same losses (a test).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import tokenize_pairs
from tests.planted.forks import Fork, fork_logps
from tests.planted.pairs import Row
from tests.planted.sequences import Logps, Sequences

BETA, BATCH, EPOCHS, CLIP, WARMUP = 0.1, 16, 4, 1.0, 8
SIDES = ("chosen", "rejected")
Off = frozenset[tuple[str, str]]
"""(group, side) whose gradient is switched off."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a run is trained.

    Attributes:
        lr: the highest learning rate; reached in ``warmup`` steps, then falling to 0 in a straight line.
        seed: of the order of the pairs, and of the adapter.
        sft_weight: of TRL's ``sft`` loss beside ``sigmoid``.
        lora: an adapter of rank 8 on all linear layers instead of all weights.
        off: gradients that are switched off.
        epochs: passes over the pairs.
        warmup: steps.
    """

    lr: float
    seed: int
    sft_weight: float = 0.0
    lora: bool = False
    off: Off = frozenset()
    epochs: int = EPOCHS
    warmup: int = WARMUP


@dataclass(slots=True)
class Pairs:
    """Pairs as ids, with the reference's log-probs of both sides, nats, shape (pairs,) each."""

    rows: Sequence[Row]
    ids: list[tuple[tuple[list[int], list[int]], ...]]
    reference: dict[str, Tensor] = field(default_factory=dict)
    forks: list[Fork] = field(default_factory=list)

    @classmethod
    def of_rows(cls, rows: Sequence[Row], tokenizer: Any, model: Any) -> Pairs:
        """Tokenised as ``score`` does it; ``model`` is the reference."""
        sides = [
            tuple((one.responses[s].prompt_token_ids.tolist(), one.responses[s].token_ids.tolist()) for s in SIDES)
            for one in tokenize_pairs(load_pairs(list(rows)), tokenizer)
        ]
        made = cls(rows, sides, forks=[Fork.of_pair(*both) for both in sides])
        made.reference = made.logps(model)
        return made

    def side(self, place: int, where: Sequence[int]) -> Sequences:
        """Chosen (0) or rejected (1) of the pairs ``where``."""
        return Sequences.of_ids([self.ids[n][place] for n in where])

    @torch.no_grad()
    def logps(self, model: Any, where: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Summed log-probs of both sides of the pairs ``where`` (None: all), without gradients."""
        where = list(range(len(self.ids)) if where is None else where)
        found = []
        for first in range(0, len(where), 48):
            some = [self.forks[n] for n in where[first : first + 48]]
            found.append(fork_logps(model, some).sums().reshape(2, -1))
        both = torch.cat(found, dim=1)
        return dict(zip(SIDES, both, strict=True))


def train(
    model: Any, pairs: Pairs, setting: Setting, after: Callable[[int, Any, list[dict[str, float]]], None] | None = None
) -> list[dict[str, float]]:
    """Train ``model`` in place; one record of TRL's metrics per step. ``after(step, model, records)`` follows each."""
    rng = random.Random(setting.seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=setting.lr, weight_decay=0.0)
    n_steps = setting.epochs * (len(pairs.rows) // BATCH)
    records: list[dict[str, float]] = []
    queue: list[int] = []
    for step in range(1, n_steps + 1):
        queue = queue or rng.sample(range(len(pairs.rows)), len(pairs.rows))
        batch, queue = queue[:BATCH], queue[BATCH:]
        for group in optimizer.param_groups:
            group["lr"] = setting.lr * _pace(step, n_steps, setting.warmup)
        loss, record = batch_loss(model, pairs, batch, setting)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        records.append({"step": step, "epoch": step * BATCH / len(pairs.rows)} | record)
        if after:
            after(step, model, records)
    return records


def _pace(step: int, n_steps: int, warmup: int) -> float:
    """The learning rate of a step (the first is 1) in highest learning rates."""
    return step / warmup if step <= warmup else (n_steps - step + 1) / (n_steps - warmup)


def batch_loss(model: Any, pairs: Pairs, batch: Sequence[int], setting: Setting) -> tuple[Tensor, dict[str, float]]:
    """The loss of the pairs ``batch`` and TRL's metrics of them."""
    tokens = fork_logps(_trunk(model), [pairs.forks[n] for n in batch])
    sums = tokens.sums()
    live = [
        torch.tensor([(pairs.rows[n]["group"], side) not in setting.off for n in batch], dtype=torch.bool)
        for side in SIDES
    ]
    sums = torch.where(torch.cat(live), sums, sums.detach())
    ratios = sums - torch.cat([pairs.reference[side][list(batch)] for side in SIDES])
    chosen, rejected = (BETA * ratios).chunk(2)
    loss = -logsigmoid(chosen - rejected).mean()
    if setting.sft_weight:
        loss = loss + setting.sft_weight * _sft(tokens, len(batch))
    return loss, metrics(loss, chosen, rejected, sums)


def _trunk(model: Any) -> Any:
    """The causal model itself, also inside an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _sft(tokens: Logps, n_chosen: int) -> Tensor:
    """Mean loss per chosen token, as TRL's ``sft``."""
    return -tokens.flat[tokens.row < n_chosen].mean()


def metrics(loss: Tensor, chosen: Tensor, rejected: Tensor, sums: Tensor) -> dict[str, float]:
    """What TRL logs about rewards (beta x nats) and log-probs (nats)."""
    chosen_logps, rejected_logps = sums.detach().chunk(2)
    return {
        "loss": loss.item(),
        "rewards/chosen": chosen.mean().item(),
        "rewards/rejected": rejected.mean().item(),
        "rewards/margins": (chosen - rejected).mean().item(),
        "rewards/accuracies": (chosen > rejected).float().mean().item(),
        "logps/chosen": chosen_logps.mean().item(),
        "logps/rejected": rejected_logps.mean().item(),
    }

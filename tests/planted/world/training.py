"""Preference training of the randomised world: a loop of its own with four optimisers, and TRL's own trainer.

Both leave what a user has: checkpoint folders, and ``trainer_state.json`` with values of training windows and, mostly,
of evaluations. TRL leaves ``training_args.bin`` as well; the loop does not, so its beta and loss are given by hand.
"""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers.trainer_callback import PrinterCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from tests.planted.world.plants import Row
from tests.planted.world.starts import Ids, encode, response_logps

SIDES = ("chosen", "rejected")
CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a policy is trained.

    Attributes:
        loop: own or trl.
        optimizer: adamw, sgd, rmsprop or lion.
        schedule: linear, cosine or constant.
        warmup: share of the steps.
        loss: sigmoid, ipo, hinge or robust.
        beta: beta.
        lora: an adapter of rank 8 instead of all weights.
        batch: pairs of a step.
        steps: optimiser steps.
        saved: shares of the training at which checkpoints are kept.
        evaluated: whether held-out pairs are evaluated at every checkpoint.
        window: steps between two logged training values.
        seed: of the order of the pairs.
    """

    loop: str
    optimizer: str
    schedule: str
    warmup: float
    loss: str
    beta: float
    lora: bool
    batch: int
    steps: int
    saved: tuple[float, ...]
    evaluated: bool
    window: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return every field."""
        return asdict(self)

    @property
    def every(self) -> int:
        """Steps between two checkpoints."""
        return max(1, self.steps // len(self.saved))


class Lion(torch.optim.Optimizer):
    """Lion: the sign of a mixture of gradient and momentum. Chen et al. 2023, arXiv:2302.06675."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr, "betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                update = momentum * first + parameter.grad * (1 - first)
                parameter.add_(update.sign(), alpha=-group["lr"])
                momentum.mul_(second).add_(parameter.grad, alpha=1 - second)


def make_optimizer(name: str, parameters: list[Any], rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of this name."""
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, alpha=0.95)
    if name == "lion":
        return Lion(parameters, rate)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)


def pace(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step (the first is 0) in highest learning rates."""
    warmup = int(recipe.warmup * recipe.steps)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, recipe.steps - warmup)
    return 1 - done if recipe.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def make_policy(reference: Any, recipe: Recipe) -> Any:
    """Return what is trained: a copy of the reference, or an adapter on a copy."""
    model = copy.deepcopy(reference)
    if not recipe.lora:
        return model
    torch.manual_seed(recipe.seed)
    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))


class Loop:
    """The loop's pairs as ids, with the reference's log-probs; trains policies on them at any rate."""

    def __init__(self, recipe: Recipe, rows: Sequence[Row], held_out: Sequence[Row], start: tuple[Any, Any]) -> None:
        self.recipe, (self.reference, tokenizer) = recipe, start
        self.train, self.held_out = (_encoded(tokenizer, some) for some in (rows, held_out))
        self.train_logps, self.held_out_logps = (
            self._sums(self.reference, some) for some in (self.train, self.held_out)
        )

    @torch.no_grad()
    def _sums(self, model: Any, pairs: list[tuple[Ids, Ids]]) -> Tensor:
        """Return summed log-probs of both sides, nats, shape (2, pairs)."""
        sums = [[response_logps(model, [pair[side] for pair in pairs[n : n + 32]]).sums() for side in (0, 1)]
                for n in range(0, len(pairs), 32)]  # fmt: skip
        return torch.stack([torch.cat([block[side] for block in sums]) for side in (0, 1)])

    def run(self, rate: float, keep: Callable[[int, Any, list[dict[str, float]]], None] | None = None) -> Any:
        """Return the policy trained at this highest rate; ``keep(step, policy, log)`` is called at checkpoints."""
        recipe = self.recipe
        policy, rng = make_policy(self.reference, recipe), random.Random(recipe.seed)
        optimizer = make_optimizer(recipe.optimizer, [p for p in policy.parameters() if p.requires_grad], rate)
        log: list[dict[str, float]] = []
        window: list[dict[str, float]] = []
        queue: list[int] = []
        for step in range(recipe.steps):
            if len(queue) < recipe.batch:
                queue = rng.sample(range(len(self.train)), len(self.train))
            batch, queue = queue[: recipe.batch], queue[recipe.batch :]
            for group in optimizer.param_groups:
                group["lr"] = rate * pace(recipe, step)
            tokens = response_logps(policy, [self.train[n][side] for side in (0, 1) for n in batch])
            loss, record = _loss(recipe, tokens, self.train_logps[:, batch])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), CLIP)
            optimizer.step()
            window.append(record)
            epoch = (step + 1) * recipe.batch / len(self.train)
            if (step + 1) % recipe.window == 0:
                log.append(
                    {"step": step + 1, "epoch": epoch, "learning_rate": rate * pace(recipe, step)} | _means(window)
                )
                window = []
            if keep and (step + 1) % recipe.every == 0:
                if recipe.evaluated:
                    log.append({"step": step + 1, "epoch": epoch} | self.evaluation(policy))
                keep(step + 1, policy, log)
        return policy

    @torch.no_grad()
    def evaluation(self, policy: Any) -> dict[str, float]:
        """Return TRL's metrics of the held-out pairs as ``eval_...``."""
        tokens = [response_logps(policy, [pair[side] for pair in self.held_out]) for side in (0, 1)]
        rows = torch.cat([tokens[0].row, tokens[1].row + tokens[0].n_rows])
        joined = type(tokens[0])(torch.cat([side.flat for side in tokens]), rows, 2 * tokens[0].n_rows)
        _, record = _loss(self.recipe, joined, self.held_out_logps)
        return {f"eval_{name}": value for name, value in record.items()}


def _encoded(tokenizer: Any, rows: Sequence[Row]) -> list[tuple[Ids, Ids]]:
    return [
        tuple(encode(tokenizer, row["prompt"][0]["content"], row[side][0]["content"]) for side in SIDES) for row in rows
    ]  # type: ignore[misc]


def _means(records: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(record[name] for record in records) / len(records) for name in records[0]}


def _loss(recipe: Recipe, tokens: Any, reference: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of chosen and rejected responses, in this order in ``tokens``, and TRL's metrics of them."""
    sums, lengths = tokens.sums(), tokens.lengths()
    ratios = sums - reference.reshape(-1)
    chosen, rejected = ratios.chunk(2)
    logits = recipe.beta * (chosen - rejected)
    if recipe.loss == "ipo":
        first, second = (ratios / lengths).chunk(2)
        losses = (first - second - 1 / (2 * recipe.beta)) ** 2
    elif recipe.loss == "hinge":
        losses = torch.relu(1 - logits)
    elif recipe.loss == "robust":
        losses = (-0.9 * logsigmoid(logits) + 0.1 * logsigmoid(-logits)) / 0.8
    else:
        losses = -logsigmoid(logits)
    rewards = [recipe.beta * side.detach() for side in (chosen, rejected)]
    logps = sums.detach().chunk(2)
    record = {
        "loss": losses.mean().item(),
        "rewards/chosen": rewards[0].mean().item(),
        "rewards/rejected": rewards[1].mean().item(),
        "rewards/margins": (rewards[0] - rewards[1]).mean().item(),
        "rewards/accuracies": (rewards[0] > rewards[1]).float().mean().item(),
        "logps/chosen": logps[0].mean().item(),
        "logps/rejected": logps[1].mean().item(),
    }
    return losses.mean(), record


def save_checkpoint(
    out: Path, step: int, policy: Any, tokenizer: Any, log: list[dict[str, float]], window: int
) -> None:
    """Leave a checkpoint folder as trainers do: weights, tokenizer and ``trainer_state.json``."""
    folder = out / f"checkpoint-{step}"
    policy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    state = {"global_step": step, "epoch": log[-1]["epoch"] if log else 0, "logging_steps": window, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def run_trl(recipe: Recipe, rate: float, rows: Sequence[Row], held_out: Sequence[Row], reference: Path, out: Path,
            max_length: int = 1024) -> None:  # fmt: skip
    """Train with TRL's own trainer into ``out``, checkpoints and all."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    disable_progress_bars()
    torch.manual_seed(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(reference)
    model, frozen = (AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32) for _ in range(2))
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    arguments = DPOConfig(
        output_dir=str(out),
        learning_rate=rate,
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=32,
        beta=recipe.beta,
        loss_type=[recipe.loss],
        label_smoothing=0.1 if recipe.loss == "robust" else 0.0,
        max_length=max_length,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=int(recipe.warmup * recipe.steps),
        optim={"adamw": "adamw_torch", "rmsprop": "rmsprop", "sgd": "sgd"}.get(recipe.optimizer, "adamw_torch"),
        weight_decay=0.0,
        logging_steps=recipe.window,
        eval_strategy="steps" if recipe.evaluated else "no",
        eval_steps=recipe.every,
        save_steps=recipe.every,
        save_only_model=True,
        seed=recipe.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
    )
    optimizer = None
    if recipe.optimizer == "lion" and not recipe.lora:
        optimizer = make_optimizer("lion", list(model.parameters()), rate)
    trainer = DPOTrainer(
        model,
        ref_model=None if recipe.lora else frozen,
        args=arguments,
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(held_out) if recipe.evaluated else None,
        processing_class=tokenizer,
        peft_config=lora if recipe.lora else None,
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    (out / "README.md").unlink(missing_ok=True)
    shutil.rmtree(out / "runs", ignore_errors=True)


def _dataset(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_list([{key: row[key] for key in ("prompt", *SIDES)} for row in rows])

"""The effect of a small step along the gradient of some pairs on the log-probs of some tokens, by finite differences.

DPO's step of descent on one pair moves the parameters along w (grad log pi(chosen) - grad log pi(rejected)) with
w = beta * sigmoid(-margin). For a group the mean gradients of the chosen and of the rejected responses are followed
separately, each to both sides of the model's parameters: effect = |g| (f(theta + e g/|g|) - f(theta - e g/|g|)) / 2e,
so no second derivative is needed and any attention kernel will do. Only the parameters that training moves are moved:
the adapter's, where one is on. Afterwards they are as before, to the bit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from dpo_analysis.errors import InputError
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.engine.float32 import full_precision, in_float32
from dpo_analysis.scoring.engine.memory import guard_memory
from dpo_analysis.scoring.engine.padding import input_length, pad_inputs
from dpo_analysis.scoring.engine.placement import input_device, is_offloaded
from dpo_analysis.scoring.requests import Request

STEP_LENGTHS = (3e-3, 1e-2)
"""Lengths of the step, of all parameters together: the effect is measured with the first and checked with the second.
Below 1e-3 float32 rounding shows, far above 1e-2 curvature does."""
GRADIENT_BATCH_RATIO = 4
"""How many times fewer tokens a batch has with gradients than without: activations are stored for the backward pass."""
Result = TypeVar("Result")


class WeightedPair(NamedTuple):
    """A pair of a group.

    Attributes:
        sides: requests for its chosen and its rejected response.
        weight: w = beta * sigmoid(-margin).
    """

    sides: tuple[Request, Request]
    weight: float


class TargetTokens(NamedTuple):
    """Tokens whose log-probs are summed.

    Attributes:
        request: the response that holds them.
        positions: their positions in it, from 0, int64, (target tokens,).
    """

    request: Request
    positions: np.ndarray


class GroupEffect(NamedTuple):
    """The effect of a step of length 1 along the gradient of one side of a group.

    Attributes:
        group: the group's name.
        side: whose gradient; log-probs of chosen responses are increased, those of rejected responses decreased.
        change: of each target's summed log-prob, nats per unit step, (targets,).
        error: how much that differs at the longer step, nats per unit step, (targets,).
    """

    group: str
    side: str
    change: np.ndarray
    error: np.ndarray


def group_effects(
    model: nn.Module,
    groups: Mapping[str, Sequence[WeightedPair]],
    targets: Sequence[TargetTokens],
    *,
    batch_tokens: int,
) -> list[GroupEffect]:
    """Return the effect of each side of every group on the targets; the sum over both sides is the group's effect.

    Args:
        model: a causal language model in eval mode, its adapter active where it has one.
        groups: pairs by the group's name.
        targets: the tokens that are watched.
        batch_tokens: padded tokens of one forward pass without gradients.

    Raises:
        InputError: weights are not in memory, so that they cannot be moved.
        MemoryError: not even one response with its gradient fits.
    """
    if is_offloaded(model):
        raise InputError("weights that are not in memory cannot be moved; use a device that holds the model whole")
    device = input_device(model)
    effects = []
    with in_float32(model), full_precision(device), _gradients_of_trainable(model) as parameters:
        for name, pairs in groups.items():
            for place, side in enumerate(SIDES):
                requests = [pair.sides[place] for pair in pairs]
                sign = 1.0 if side == SIDES[0] else -1.0
                weights = [sign * pair.weight / len(pairs) for pair in pairs]
                _compute_gradient(model, parameters, requests, weights, batch_tokens // GRADIENT_BATCH_RATIO)
                change, error = _finite_differences(model, parameters, targets, batch_tokens)
                effects.append(GroupEffect(name, side, change, error))
    return effects


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that training moves: those of the active adapters, or all where no adapter is on."""
    trained: dict[int, nn.Parameter] = {}
    adapters: set[int] = set()
    for module in model.modules():
        if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
            active = [] if module.disable_adapters else module.active_adapters
            inside = [(name, value) for name, value in module.named_parameters() if not _is_base_weight(name)]
            adapters |= {id(value) for _, value in inside}
            trained |= {id(value): value for name, value in inside if set(name.split(".")) & set(active)}
    if trained:
        return list(trained.values())
    return [value for value in model.parameters() if value.is_floating_point() and id(value) not in adapters]


def _is_base_weight(name: str) -> bool:
    """Return whether a parameter inside one of PEFT's layers is the base model's, by its name in that layer."""
    return "base_layer." in f"{name}." or name.startswith("original_module.")


@contextmanager
def _gradients_of_trainable(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Let only the trainable parameters, which are yielded, have gradients; afterwards there are none, as before."""
    before = [(value, value.requires_grad) for value in model.parameters()]
    parameters = trainable_parameters(model)
    trained = {id(value) for value in parameters}
    try:
        for value, _ in before:
            value.requires_grad_(id(value) in trained)
        yield parameters
    finally:
        for value, required in before:
            value.grad = None
            value.requires_grad_(required)


def _compute_gradient(
    model: nn.Module,
    parameters: Sequence[nn.Parameter],
    requests: Sequence[Request],
    weights: Sequence[float],
    batch_tokens: int,
) -> None:
    """Leave the gradient of sum of weight * log pi(response) in the parameters."""

    def work(budget: int) -> None:
        for value in parameters:
            value.grad = None
        for batch in _batches(requests, budget):
            logps = _token_logps(model, [requests[index] for index in batch])
            terms = [weights[index] * tokens.sum() for index, tokens in zip(batch, logps, strict=True)]
            torch.stack(terms).sum().backward()

    _with_fitting_budget(work, requests, batch_tokens, input_device(model))


def _finite_differences(
    model: nn.Module, parameters: Sequence[nn.Parameter], targets: Sequence[TargetTokens], batch_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the effect of the gradient that is in the parameters.

    Returns:
        As ``GroupEffect.change`` and ``GroupEffect.error``.
    """
    with torch.no_grad():
        gradients = [(value, value.grad) for value in parameters if value.grad is not None]
        norm = float(torch.stack([grad.double().square().sum().cpu() for _, grad in gradients]).sum().sqrt())
        if norm == 0:
            return np.zeros(len(targets)), np.zeros(len(targets))
        saved = [value.detach().clone() for value, _ in gradients]
        changes = []
        try:
            for length in STEP_LENGTHS:
                ends = []
                for sign in (1, -1):
                    for (value, grad), original in zip(gradients, saved, strict=True):
                        value.copy_(original).add_(grad, alpha=sign * length / norm)
                    ends.append(_target_sums(model, targets, batch_tokens))
                changes.append(norm * (ends[0] - ends[1]) / (2 * length))
        finally:
            for (value, _), original in zip(gradients, saved, strict=True):
                value.copy_(original)
    return changes[0], np.abs(changes[0] - changes[1])


def _target_sums(model: nn.Module, targets: Sequence[TargetTokens], batch_tokens: int) -> np.ndarray:
    """Return the summed log-prob of every target, nats, float64, (targets,)."""
    requests = [target.request for target in targets]

    def work(budget: int) -> np.ndarray:
        sums = np.zeros(len(targets))
        for batch in _batches(requests, budget):
            logps = _token_logps(model, [requests[index] for index in batch])
            for index, tokens in zip(batch, logps, strict=True):
                sums[index] = tokens.double().cpu().numpy()[targets[index].positions].sum()
        return sums

    return _with_fitting_budget(work, requests, batch_tokens, input_device(model))


def _token_logps(model: nn.Module, requests: Sequence[Request]) -> list[Tensor]:
    """Return the log-probs of each response's tokens, nats, float32, (response tokens,)."""
    ids = pad_inputs(requests, max(input_length(request) for request in requests))
    logits = model(input_ids=torch.from_numpy(ids).to(input_device(model)), use_cache=False).logits
    logps = []
    for sequence, request in zip(logits, requests, strict=True):
        first = len(request.prompt_token_ids) - 1
        rows = sequence[first : first + len(request.token_ids)].float().log_softmax(-1)
        labels = torch.from_numpy(request.token_ids.astype(np.int64)).to(rows.device)
        logps.append(rows.gather(1, labels[:, None])[:, 0])
    return logps


def _batches(requests: Sequence[Request], budget: int) -> Iterator[list[int]]:
    """Yield indices of requests, the shortest first, in batches of at most ``budget`` padded tokens.

    A request longer than the budget is a batch by itself.
    """
    batch: list[int] = []
    for index in sorted(range(len(requests)), key=lambda index: requests[index].n_tokens):
        if batch and requests[index].n_tokens * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _with_fitting_budget(
    work: Callable[[int], Result], requests: Sequence[Request], budget: int, device: torch.device
) -> Result:
    """Return the result of ``work`` at the largest budget, halved from ``budget`` on, that fits into memory.

    Raises:
        MemoryError: one response alone does not fit.
    """
    longest = max(request.n_tokens for request in requests)
    while budget > longest:
        try:
            return guard_memory(partial(work, budget), device, f"a batch of {budget} tokens")
        except MemoryError:
            budget //= 2
    return guard_memory(partial(work, 1), device, f"a response of {longest} tokens with its gradient")

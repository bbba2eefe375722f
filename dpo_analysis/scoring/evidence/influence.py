"""What a small step along the gradient of some pairs does to the log-probs of some tokens, by finite differences.

DPO's step of descent on one pair moves the parameters along w (grad log pi(chosen) - grad log pi(rejected)) with
w = beta * sigmoid(-margin). For a group the mean of the chosen and of the rejected half are followed apart, each to
both sides of where the model is: effect = |g| (f(theta + e g/|g|) - f(theta - e g/|g|)) / 2e, so no second derivative
is needed and any attention kernel will do. Only the parameters that training moves are moved: the adapter's, where one
is on. Afterwards they are as before, to the bit.
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
from dpo_analysis.scoring.engine.engine import full_precision
from dpo_analysis.scoring.engine.float32 import in_float32
from dpo_analysis.scoring.engine.memory import in_memory
from dpo_analysis.scoring.engine.placement import device_of, is_offloaded
from dpo_analysis.scoring.requests import Request

STEPS = (3e-3, 1e-2)
"""Lengths of the step, of all parameters together: the first is the one that counts, the second checks it. Below 1e-3
float32 rounding shows, far above 1e-2 curvature does."""
BACKWARD = 4
"""How many times fewer tokens a batch has with gradients than without."""
Result = TypeVar("Result")


class Weighted(NamedTuple):
    """One pair of a group: its chosen and its rejected response, and w = beta * sigmoid(-margin)."""

    sides: tuple[Request, Request]
    weight: float


class Target(NamedTuple):
    """A response and the positions in it, from 0, whose log-probs are summed."""

    request: Request
    positions: np.ndarray


class Effect(NamedTuple):
    """What a unit step along one half of a group's gradient does to every target.

    Attributes:
        group: the group's name.
        side: whose gradient: chosen is followed up, rejected down.
        change: of each target's sum, nats per unit step, shape (targets,).
        error: how much that differs at the longer step, shape (targets,).
    """

    group: str
    side: str
    change: np.ndarray
    error: np.ndarray


def group_effects(
    model: nn.Module, groups: Mapping[str, Sequence[Weighted]], targets: Sequence[Target], *, batch_tokens: int
) -> list[Effect]:
    """The effects of every group's chosen and rejected half on the targets; net is their sum.

    Args:
        model: a causal language model in eval mode, its adapter active where it has one.
        groups: pairs by the group's name.
        targets: what is watched.
        batch_tokens: padded tokens of one forward without gradients.

    Raises:
        InputError: weights are not in memory, so that they cannot be moved.
        MemoryError: not even one response with its gradient fits.
    """
    if is_offloaded(model):
        raise InputError("weights that are not in memory cannot be moved; use a device that holds the model whole")
    device = device_of(model)
    found = []
    with in_float32(model), full_precision(device), _following(model) as parameters:
        for name, pairs in groups.items():
            for place, side in enumerate(SIDES):
                own = [pair.sides[place] for pair in pairs]
                sign = 1.0 if side == SIDES[0] else -1.0
                weights = [sign * pair.weight / len(pairs) for pair in pairs]
                _gradient(model, parameters, own, weights, batch_tokens // BACKWARD)
                found.append(Effect(name, side, *_moved(model, parameters, targets, batch_tokens)))
    return found


def movable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training moves: those of the active adapters, or all where no adapter is on."""
    own: dict[int, nn.Parameter] = {}
    adapters: set[int] = set()
    for module in model.modules():
        if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
            active = [] if module.disable_adapters else module.active_adapters
            inside = [
                (name, value) for name, value in module.named_parameters() if "base_layer." not in f"{name}."
                and not name.startswith("original_module.")
            ]  # fmt: skip
            adapters |= {id(value) for _, value in inside}
            own |= {id(value): value for name, value in inside if set(name.split(".")) & set(active)}
    if own:
        return list(own.values())
    return [one for one in model.parameters() if one.is_floating_point() and id(one) not in adapters]


@contextmanager
def _following(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The movable parameters with gradients, all others without; afterwards as before, without any gradient."""
    before = [(one, one.requires_grad) for one in model.parameters()]
    parameters = movable(model)
    wanted = {id(one) for one in parameters}
    try:
        for one, _ in before:
            one.requires_grad_(id(one) in wanted)
        yield parameters
    finally:
        for one, needed in before:
            one.grad = None
            one.requires_grad_(needed)


def _gradient(
    model: nn.Module, parameters: Sequence[nn.Parameter], requests: Sequence[Request], weights: Sequence[float],
    batch_tokens: int,
) -> None:  # fmt: skip
    """Leave the gradient of sum of weight * log pi(response) in the parameters."""

    def work(budget: int) -> None:
        for one in parameters:
            one.grad = None
        for batch in _batches(requests, budget):
            logps = _logps(model, [requests[place] for place in batch])
            total = torch.stack([weights[place] * own.sum() for place, own in zip(batch, logps, strict=True)]).sum()
            total.backward()

    _fitting(work, requests, batch_tokens, device_of(model))


def _moved(
    model: nn.Module, parameters: Sequence[nn.Parameter], targets: Sequence[Target], batch_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Change of the targets' sums along the gradient that the parameters have, and how far two step lengths differ."""
    with torch.no_grad():
        gradients = [(one, one.grad) for one in parameters if one.grad is not None]
        norm = float(torch.stack([grad.double().square().sum().cpu() for _, grad in gradients]).sum().sqrt())
        if norm == 0:
            return np.zeros(len(targets)), np.zeros(len(targets))
        saved = [one.detach().clone() for one, _ in gradients]
        found = []
        try:
            for step in STEPS:
                ends = []
                for sign in (1, -1):
                    for (one, grad), own in zip(gradients, saved, strict=True):
                        one.copy_(own).add_(grad, alpha=sign * step / norm)
                    ends.append(_sums(model, targets, batch_tokens))
                found.append(norm * (ends[0] - ends[1]) / (2 * step))
        finally:
            for (one, _), own in zip(gradients, saved, strict=True):
                one.copy_(own)
    return found[0], np.abs(found[0] - found[1])


def _sums(model: nn.Module, targets: Sequence[Target], batch_tokens: int) -> np.ndarray:
    """The summed log-prob of every target, nats, float64."""
    requests = [target.request for target in targets]

    def work(budget: int) -> np.ndarray:
        sums = np.zeros(len(targets))
        for batch in _batches(requests, budget):
            logps = _logps(model, [requests[place] for place in batch])
            for place, own in zip(batch, logps, strict=True):
                sums[place] = own.double().cpu().numpy()[targets[place].positions].sum()
        return sums

    return _fitting(work, requests, batch_tokens, device_of(model))


def _logps(model: nn.Module, requests: Sequence[Request]) -> list[Tensor]:
    """Log-probs of each response's tokens, nats; padded behind, where a causal model does not look."""
    longest = max(request.n_tokens for request in requests) - 1
    ids = np.zeros((len(requests), longest), dtype=np.int64)
    for line, request in zip(ids, requests, strict=True):
        line[: request.n_tokens - 1] = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]])
    device = device_of(model)
    logits = model(input_ids=torch.from_numpy(ids).to(device), use_cache=False).logits
    found = []
    for own, request in zip(logits, requests, strict=True):
        first = len(request.prompt_token_ids) - 1
        rows = own[first : first + len(request.token_ids)].float().log_softmax(-1)
        labels = torch.from_numpy(request.token_ids.astype(np.int64)).to(rows.device)
        found.append(rows.gather(1, labels[:, None])[:, 0])
    return found


def _batches(requests: Sequence[Request], budget: int) -> Iterator[list[int]]:
    """Places of requests, the shortest first, in batches of ``budget`` padded tokens at most; a longer one alone."""
    batch: list[int] = []
    for place in sorted(range(len(requests)), key=lambda one: requests[one].n_tokens):
        if batch and requests[place].n_tokens * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _fitting(work: Callable[[int], Result], requests: Sequence[Request], budget: int, device: torch.device) -> Result:
    """What ``work`` gives for a budget that fits into memory.

    Raises:
        MemoryError: one response alone does not.
    """
    longest = max(request.n_tokens for request in requests)
    while budget > longest:
        try:
            return in_memory(partial(work, budget), device, f"a batch of {budget} tokens")
        except MemoryError:
            budget //= 2
    return in_memory(partial(work, 1), device, f"a response of {longest} tokens with its gradient")

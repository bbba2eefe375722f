"""Influence by finite differences: the slope that autograd gives, linear, restored to the bit, and refused in words."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.func import functional_call, jvp
from transformers import LlamaConfig, LlamaForCausalLM

from dpo_analysis.errors import InputError
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.evidence import influence
from dpo_analysis.scoring.evidence.influence import TargetTokens, WeightedPair, group_effects, trainable_parameters
from dpo_analysis.scoring.requests import Request

pytestmark = pytest.mark.slow

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.1,
}  # fmt: skip


def llama(**changes):
    torch.manual_seed(0)
    config = LlamaConfig(**SIZES | changes)
    config._attn_implementation = "eager"  # forward-mode differentiation needs it; finite differences do not
    return LlamaForCausalLM(config).eval()


def lora(model):
    torch.manual_seed(1)
    peft = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, value in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return peft.eval()


def request(draw, most=8):
    prompt, own = (draw.integers(0, 40, draw.integers(2, most)).astype(np.int32) for _ in range(2))
    return Request(prompt, own)


def problem(seed=0, pairs=5, targets=8):
    draw = np.random.default_rng(seed)
    groups = {
        name: [WeightedPair((request(draw), request(draw)), float(draw.uniform(0.01, 0.1))) for _ in range(pairs)]
        for name in ("one", "two")
    }
    watched = [request(draw) for _ in range(targets)]
    return groups, [TargetTokens(one, np.arange(0, len(one.token_ids), 2)) for one in watched]


def logps(model, own):
    """By the model's own forward, one sequence alone."""
    ids = torch.from_numpy(np.concatenate([own.prompt_token_ids, own.token_ids]).astype(np.int64))
    rows = model(input_ids=ids[None, :-1]).logits[0, len(own.prompt_token_ids) - 1 :].log_softmax(-1)
    return rows.gather(1, ids[len(own.prompt_token_ids) :, None])[:, 0]


def direction(model, parameters, pairs, place):
    """The descent direction of one half of the group's mean loss, by autograd."""
    sign = (1, -1)[place]
    total = sum(sign * one.weight / len(pairs) * logps(model, one.sides[place]).sum() for one in pairs)
    return torch.autograd.grad(total, parameters, allow_unused=True)


def expected(model, groups, targets):
    """Inner products of gradients, (group, side) -> (targets,)."""
    parameters = trainable_parameters(model)
    for one in model.parameters():
        one.requires_grad_(any(one is own for own in parameters))
    found = {}
    for name, pairs in groups.items():
        for place, side in enumerate(SIDES):
            move = direction(model, parameters, pairs, place)
            sums = []
            for target in targets:
                value = logps(model, target.request)[torch.from_numpy(target.positions)].sum()
                own = torch.autograd.grad(value, parameters, allow_unused=True)
                terms = [(a * b).sum() for a, b in zip(own, move, strict=True) if a is not None and b is not None]
                sums.append(float(torch.stack(terms).sum()))
            found[name, side] = np.array(sums)
    return found


@pytest.mark.parametrize("kind", ["full", "tied", "lora"])
def test_an_effect_is_the_inner_product_of_the_two_gradients(kind):
    model = lora(llama()).get_base_model() if kind == "lora" else llama(tie_word_embeddings=kind == "tied")
    groups, targets = problem()
    found = group_effects(model, groups, targets, batch_tokens=64)
    wanted = expected(model, groups, targets)
    assert [(one.group, one.side) for one in found] == list(wanted)
    for one in found:
        exact = wanted[one.group, one.side]
        assert np.corrcoef(one.change, exact)[0, 1] > 0.9999
        assert np.abs(one.change - exact).max() < 0.01 * np.abs(exact).max()


def test_an_effect_is_the_forward_derivative():
    model = llama()
    groups, targets = problem()
    parameters = dict(model.named_parameters())
    move = direction(model, list(parameters.values()), groups["one"], 1)
    tangents = dict(zip(parameters, move, strict=True))
    found = group_effects(model, groups, targets, batch_tokens=64)[1]

    def value(own):
        sums = [
            logps(lambda **given: functional_call(model, own, (), given), one.request)[torch.from_numpy(one.positions)]
            for one in targets
        ]
        return torch.stack([one.sum() for one in sums])

    _, slope = jvp(value, ({name: one.detach() for name, one in parameters.items()},), (tangents,))
    assert found.change == pytest.approx(slope.detach().numpy(), rel=0.01, abs=1e-4)


def test_a_steps_effect_is_what_a_small_real_step_does():
    model = llama()
    groups, targets = problem(pairs=3)
    chosen, rejected = group_effects(model, {"one": groups["one"]}, targets, batch_tokens=64)
    net, rate = chosen.change + rejected.change, 1e-3
    parameters = list(model.parameters())
    both = [direction(model, parameters, groups["one"], place) for place in range(2)]
    before = [float(logps(model, one.request)[torch.from_numpy(one.positions)].sum()) for one in targets]
    with torch.no_grad():
        for one, up, down in zip(parameters, *both, strict=True):
            one.add_(up + down, alpha=rate)
    after = [float(logps(model, one.request)[torch.from_numpy(one.positions)].sum()) for one in targets]
    real = (np.array(after) - np.array(before)) / rate
    assert np.corrcoef(real, net)[0, 1] > 0.999


def test_a_group_of_two_groups_has_the_mean_of_their_effects():
    model = llama()
    groups, targets = problem()
    one, two = (
        sum(part.change for part in group_effects(model, {name: pairs}, targets, batch_tokens=64))
        for name, pairs in groups.items()
    )
    both = group_effects(model, {"both": [*groups["one"], *groups["two"]]}, targets, batch_tokens=64)
    assert sum(part.change for part in both) == pytest.approx((one + two) / 2, rel=0.01, abs=1e-4)


def test_a_pairs_own_chosen_half_lifts_it_and_its_own_rejected_half_on_the_same_tokens_does_the_reverse():
    draw = np.random.default_rng(3)
    own, other = request(draw), request(draw)
    target = [TargetTokens(own, np.arange(len(own.token_ids)))]
    up, down = group_effects(llama(), {"own": [WeightedPair((own, own), 0.05)]}, target, batch_tokens=64)
    assert up.change[0] > 0 > down.change[0]
    assert up.change[0] == pytest.approx(-down.change[0], rel=1e-5)
    assert other is not own


def test_the_weights_are_the_same_bits_afterwards_and_gradients_are_gone():
    model = llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    needed = [one.requires_grad for one in model.parameters()]
    group_effects(model, *problem(), batch_tokens=64)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [one.requires_grad for one in model.parameters()] == needed
    assert all(one.grad is None for one in model.parameters())


def test_sixteen_bit_weights_are_moved_in_float32_and_come_back_as_they_were():
    model = llama().to(torch.bfloat16)
    exact = llama()
    exact.load_state_dict(model.state_dict())
    groups, targets = problem()
    found, wanted = (group_effects(one, groups, targets, batch_tokens=64) for one in (model, exact))
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    for one, other in zip(found, wanted, strict=True):
        # the rotary buffers stay in 16 bits
        assert np.abs(one.change - other.change).max() < 0.01 * np.abs(other.change).max()


def test_an_adapter_is_moved_alone_and_another_one_not_at_all():
    peft = lora(llama())
    peft.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"]))
    peft.set_adapter("default")
    base = peft.get_base_model()
    names = [name for name, value in base.named_parameters() if any(value is one for one in trainable_parameters(base))]
    assert names
    assert all(".default." in name for name in names)
    with peft.disable_adapter():
        assert not any("lora_" in name for name, value in base.named_parameters()
                       if any(value is one for one in trainable_parameters(base)))  # fmt: skip


def test_sums_are_those_of_the_engine_whatever_the_batch():
    model = llama()
    _, targets = problem(targets=12)
    scores = Engine(model).score([one.request for one in targets], batch_tokens=64)
    wanted = [
        scores.logp[begin:end][one.positions].sum()
        for one, begin, end in zip(targets, scores.offsets[:-1], scores.offsets[1:], strict=True)
    ]
    for budget in (1, 16, 1000):
        with torch.no_grad():
            assert influence._target_sums(model, targets, budget) == pytest.approx(wanted, abs=1e-4)


def test_a_batch_that_does_not_fit_is_tried_again_at_half_and_one_response_alone_is_refused(monkeypatch):
    _, targets = problem()
    tried = []

    def work(budget):
        tried.append(budget)
        if budget > limit:
            raise MemoryError
        return budget

    limit = 30
    requests = [one.request for one in targets]
    assert influence._with_fitting_budget(work, requests, 100, torch.device("cpu")) == 25
    assert tried == [100, 50, 25]
    limit = 0
    with pytest.raises(MemoryError, match="with its gradient"):
        influence._with_fitting_budget(work, requests, 100, torch.device("cpu"))


def test_weights_that_are_not_in_memory_are_refused():
    with torch.device("meta"):
        away = LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    with pytest.raises(InputError, match="not in memory"):
        group_effects(away, *problem(), batch_tokens=64)

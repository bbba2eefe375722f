"""Batches, memory, numbers that are none, and models whose parts do not come apart."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertLMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.float32 import full_precision_inference
from dpo_analysis.scoring.engine.model_head import chunk_rows, reduce_logits
from dpo_analysis.scoring.engine.packing import deduplicate
from dpo_analysis.scoring.models.weight_files import DamagedWeights
from dpo_analysis.scoring.requests import Request

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip


def llama(kind=LlamaForCausalLM, **changes):
    torch.manual_seed(0)
    return kind(LlamaConfig(**SIZES | {"initializer_range": 0.3} | changes)).eval()


def request(prompt, response):
    return Request(np.array(prompt, dtype=np.int32), np.array(response, dtype=np.int32))


REQUESTS = [request([5, 6], [7, 8, 9]), request([5], [10]), request([1, 2, 3, 4], [11, 12, 13, 14, 15, 16])]


def test_the_columns_of_one_token_by_hand():
    logits = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    found = reduce_logits(logits, torch.tensor([1]))
    assert found.logp.item() == pytest.approx(math.log(2 / 8))
    assert found.entropy.item() == pytest.approx(-sum(p * math.log(p) for p in (1 / 8, 2 / 8, 5 / 8)))
    assert (found.rank.item(), found.argmax_id.item()) == (2, 2)
    assert found.argmax_logp.item() == pytest.approx(math.log(5 / 8))


def test_rank_counts_only_strictly_higher_entries():
    assert reduce_logits(torch.zeros(1, 4), torch.tensor([3])).rank.item() == 1


def test_a_forbidden_entry_costs_nothing_and_is_minus_infinity():
    found = reduce_logits(torch.tensor([[0.0, 0.0, -math.inf]] * 2), torch.tensor([0, 2]))
    assert found.logp.tolist() == pytest.approx([-math.log(2), -math.inf])
    assert found.entropy.tolist() == pytest.approx([math.log(2)] * 2)


@given(shift=st.floats(-50, 50), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_shift_of_all_logits_changes_nothing(shift, seed):
    logits = torch.randn(3, 11, generator=torch.Generator().manual_seed(seed))
    one, other = (reduce_logits(some, torch.tensor([0, 5, 10])) for some in (logits, logits + shift))
    assert other.logp.tolist() == pytest.approx(one.logp.tolist(), abs=2e-5)
    assert other.entropy.tolist() == pytest.approx(one.entropy.tolist(), abs=2e-5)


def test_a_chunk_never_falls_below_the_rows_that_pay_for_reading_the_head():
    assert chunk_rows(152_000, torch.device("cpu")) == 64
    assert chunk_rows(2048, torch.device("cpu")) == 512
    assert chunk_rows(128_000, torch.device("cuda")) * 128_000 * 4 <= 2**30


def test_equal_requests_are_scored_once_and_are_exactly_equal():
    kept, inverse = deduplicate([*REQUESTS, REQUESTS[1], request([5, 6], [7, 8, 10])])
    assert (len(kept), inverse.tolist()) == (4, [0, 1, 2, 1, 3])
    scores = Engine(llama()).score([REQUESTS[0], REQUESTS[2], REQUESTS[0]], batch_tokens=8)
    assert np.array_equal(scores.logp[:3], scores.logp[-3:])


def test_prompt_and_response_do_not_run_into_each_other():
    assert len(deduplicate([request([1, 2], [3]), request([1], [2, 3])])[0]) == 2


def test_no_requests_give_empty_columns():
    scores = Engine(llama()).score([], batch_tokens=8)
    assert (scores.offsets.tolist(), len(scores.logp), scores.rank.dtype) == ([0], 0, np.int32)


def small_memory(model, most):
    """Let the trunk fail as CUDA does when a batch holds more than ``most`` tokens."""
    forward = model.model.forward

    def limited(input_ids, **rest):
        if input_ids.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(input_ids=input_ids, **rest)

    model.model.forward = limited


def test_out_of_memory_is_a_memory_error_and_a_smaller_budget_gives_the_same_numbers():
    want = Engine(llama()).score(REQUESTS, batch_tokens=100)
    model = llama()
    engine = Engine(model)
    small_memory(model, 9)
    with pytest.raises(MemoryError, match="100 tokens does not fit") as caught:
        engine.score(REQUESTS, batch_tokens=100)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert engine.score(REQUESTS, batch_tokens=9).logp == pytest.approx(want.logp, abs=1e-5)


def test_a_model_beside_which_nothing_fits_is_a_memory_error():
    model = llama()
    small_memory(model, 3)
    with pytest.raises(MemoryError, match="a probe of 40 tokens does not fit"):
        Engine(model)


def test_other_errors_of_the_model_are_not_taken_for_memory():
    model = llama()
    engine = Engine(model)
    model.model.forward = lambda **rest: (_ for _ in ()).throw(RuntimeError("shapes"))
    with pytest.raises(RuntimeError, match="shapes"):
        engine.score(REQUESTS, batch_tokens=100)


def test_one_infinite_embedding_spoils_the_response_that_holds_it_and_no_other():
    clean = Engine(llama()).score(REQUESTS, batch_tokens=100)
    model = llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[8] = math.inf
    scores = Engine(model).score(REQUESTS, batch_tokens=100)
    assert not np.isfinite(scores.logp[:3]).all()
    assert np.array_equal(scores.logp[3:], clean.logp[3:])


def test_nan_weights_are_refused():
    model = llama()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = math.nan
    with pytest.raises(DamagedWeights, match="no finite output: its weights hold NaN"):
        Engine(model)


def test_a_model_that_looks_ahead_is_refused():
    torch.manual_seed(0)
    sizes = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
    model = BertLMHeadModel(BertConfig(**sizes, is_decoder=False, initializer_range=0.3)).eval()
    with pytest.raises(InputError, match="not a causal language model"):
        Engine(model)


class Doubled(LlamaForCausalLM):
    """Feeds its trunk something else than token ids, so that the trunk alone is not the model."""

    def forward(self, input_ids=None, **rest):
        return super().forward(inputs_embeds=2 * self.get_input_embeddings()(input_ids), **rest)


class Unsliced(Doubled):
    """One more that does not know ``logits_to_keep``."""

    def forward(self, input_ids=None, use_cache=None):
        return super().forward(input_ids, use_cache=use_cache)


@pytest.mark.parametrize("kind", [Doubled, Unsliced])
def test_a_model_that_does_not_come_apart_goes_through_whole(kind):
    model = llama(kind)
    engine = Engine(model)
    assert engine.route_name == "whole"
    scores = engine.score(REQUESTS, batch_tokens=100)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        want = model(input_ids=ids).logits[0].log_softmax(-1)
    assert scores.logp[:3] == pytest.approx([want[i, ids[0, i + 1]].item() for i in (1, 2, 3)], abs=1e-5)


def test_a_mixture_of_experts_equals_its_own_forward():
    torch.manual_seed(0)
    model = MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2)).eval()
    scores = Engine(model).score(REQUESTS, batch_tokens=100)
    with torch.no_grad():
        want = model(input_ids=torch.tensor([[1, 2, 3, 4, 11, 12]])).logits[0].log_softmax(-1)
    assert scores.logp[4:6] == pytest.approx([want[3, 11].item(), want[4, 12].item()], abs=1e-5)


def test_bfloat16_weights_still_give_float32_columns_near_the_truth():
    want = Engine(llama()).score(REQUESTS, batch_tokens=100)
    engine = Engine(llama().bfloat16())
    found = engine.score(REQUESTS, batch_tokens=100)
    assert (engine.dtype, engine.route_name, found.logp.dtype) == ("bfloat16", "packed", np.float32)
    assert np.abs(found.logp - want.logp).max() < 0.2


def test_the_callers_settings_are_put_back_and_autocast_does_not_reach_in():
    want = Engine(llama()).score(REQUESTS, batch_tokens=100)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = Engine(llama()).score(REQUESTS, batch_tokens=100)
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert np.array_equal(found.logp, want.logp)


def test_a_failure_inside_does_not_leave_the_trunk_replaced_or_gradients_off():
    model = llama()
    model.lm_head.register_forward_pre_hook(lambda *args: None)  # a head with a hook is used as the model uses it
    engine = Engine(model)
    model.lm_head.register_forward_hook(lambda *args: (_ for _ in ()).throw(RuntimeError("head")))
    with pytest.raises(RuntimeError, match="head"):
        engine.score(REQUESTS, batch_tokens=100)
    assert "forward" not in model.model.__dict__
    assert torch.is_grad_enabled()
    with full_precision_inference(torch.device("cpu")):
        assert not torch.is_grad_enabled()

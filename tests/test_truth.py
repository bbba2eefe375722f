"""The engine against arithmetic that shares nothing with it: loops in float64, enumeration, other batches."""

import itertools

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from dpo_analysis.scoring.engine import model_head as head
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.requests import Request

TOLERANCE = 1e-5
SIZES = {
    "vocab_size": 61, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
GPT_SIZES = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
ARCHITECTURES = {
    "llama": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": 5},
    "qwen2": {},
    "qwen3": {},
    "phi3": {},
    "gemma2": {"sliding_window": 5, "final_logit_softcapping": 3.0},
    "gemma3_text": {"sliding_window": 5, "final_logit_softcapping": 3.0},
    "cohere2": {"sliding_window": 5, "logit_scale": 0.25},
    "granite": {"logits_scaling": 3.0, "residual_multiplier": 0.5},
    "gpt2": GPT_SIZES,
    "gpt_neox": {},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 8},
    "bloom": {"n_layer": 2, "n_head": 2},
    "mamba": {"state_size": 4},
    "nanochat": {"final_logit_softcapping": 3.0},
    "gemma": {},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8},
    "olmo2": {},
    "smollm3": {"no_rope_layers": [1, 0]},
    "glm4": {"partial_rotary_factor": 0.5},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5},
    "falcon": {"alibi": False, "num_kv_heads": 1, "head_dim": None},
    "phi": {},
    "stablelm": {},
    "starcoder2": {"sliding_window": 5},
    "deepseek_v3": {
        "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 8,
        "first_k_dense_replace": 1, "num_key_value_heads": 2, "head_dim": 4,
    },
}  # fmt: skip
NOT_PACKABLE = ("gemma2", "bloom", "mamba", "gpt_oss", "falcon")
"""Soft-capped scores, position biases, states along the row, sinks: scored by sorted batches, and the run says why."""


def tiny(name="llama", seed=0, **changes):
    torch.manual_seed(seed)
    sizes = SIZES | ARCHITECTURES.get(name, {}) | changes
    config = AutoConfig.for_model(name, **{key: value for key, value in sizes.items() if value is not None})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for value in model.parameters():
        if value.ndim == 2:
            torch.nn.init.normal_(value, std=0.25)
    return model


def some_requests(count=9, vocab=61, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Request(rng.integers(3, vocab, rng.integers(1, 9)), rng.integers(3, vocab, rng.integers(1, 14)))
        for _ in range(count)
    ]


def with_siblings(requests):
    """Beside each request another response to its prompt, which starts as it does."""
    found = []
    for number, (prompt, response) in enumerate(requests):
        other = np.concatenate([response[: number % 3], response[::-1], [number + 5]])
        found += [Request(prompt, response), Request(prompt, other)]
    return found


def by_request(scores, field="logp"):
    return np.split(getattr(scores, field), scores.offsets[1:-1])


def float64_loop(model, request):
    """Token by token: the model reads the prefix alone, in float64, and is asked for the next token."""
    double = AutoModelForCausalLM.from_config(model.config, dtype=torch.float64).eval()
    double.load_state_dict(model.state_dict())
    if hasattr(double, "set_experts_implementation") and hasattr(model.config, "num_experts_per_tok"):
        double.set_experts_implementation("eager")  # the grouped matrix product knows no float64
    ids = [*request.prompt_token_ids.tolist(), *request.token_ids.tolist()]
    rows = []
    for place in range(len(request.prompt_token_ids), len(ids)):
        with torch.no_grad():
            logits = double(input_ids=torch.tensor([ids[:place]]), use_cache=False).logits[0, -1].double()
        logp = logits.log_softmax(-1)
        label = logp[ids[place]]
        entropy = -(logp.exp() * logp).sum()
        rows.append([label, entropy, logp.max(), 1 + int((logp > label).sum()), int(logp.argmax())])
    return np.array(rows, dtype=np.float64).T


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_column_equals_a_float64_loop(name):
    model = tiny(name)
    requests = with_siblings(some_requests(4))
    engine = Engine(model)
    scores = engine.score(requests, batch_tokens=40)
    assert engine.route_name == ("sorted" if name in NOT_PACKABLE else "packed")
    assert bool(engine.fallback_reason) == (name in NOT_PACKABLE)
    for place, request in enumerate(requests):
        logp, entropy, argmax_logp, rank, argmax_id = float64_loop(model, request)
        assert by_request(scores)[place] == pytest.approx(logp, abs=TOLERANCE)
        assert by_request(scores, "entropy")[place] == pytest.approx(entropy, abs=TOLERANCE)
        assert by_request(scores, "argmax_logp")[place] == pytest.approx(argmax_logp, abs=TOLERANCE)
        assert by_request(scores, "rank")[place].tolist() == rank.tolist()
        assert by_request(scores, "argmax_id")[place].tolist() == argmax_id.tolist()


def test_token_logps_sum_to_the_response():
    model, request = tiny(), some_requests(1, seed=3)[0]
    ids = torch.tensor(np.concatenate(request))[None]
    labels = ids.clone()
    labels[:, : len(request.prompt_token_ids)] = -100
    with torch.no_grad():
        mean = model(input_ids=ids, labels=labels).loss.item()
    total = Engine(model).score([request], batch_tokens=64).logp.sum(dtype=np.float64)
    assert total == pytest.approx(-mean * len(request.token_ids), abs=1e-4)


def test_a_policy_scored_against_itself_is_exactly_zero():
    policy, reference = Engine(tiny(seed=5)), Engine(tiny(seed=5))
    requests = some_requests()
    one, other = (engine.score(requests, batch_tokens=50) for engine in (policy, reference))
    assert np.array_equal(one.logp, other.logp)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_shared_prefixes_of_chosen_and_rejected_agree(name):
    prompt, shared = np.arange(5, 10), np.arange(20, 27)
    chosen = Request(prompt, np.concatenate([shared, [30, 31, 32, 33]]))
    rejected = Request(prompt, np.concatenate([shared, [40]]))
    one, other = by_request(Engine(tiny(name)).score([chosen, rejected], batch_tokens=100))
    assert one[: len(shared)] == pytest.approx(other[: len(shared)], abs=TOLERANCE)
    assert abs(one[len(shared)] - other[len(shared)]) > 1e-3


@pytest.mark.parametrize("name", ["llama", "gpt2", "cohere2", "bloom"])
def test_batch_size_order_and_padding_change_nothing(name):
    engine, requests = Engine(tiny(name)), some_requests(12, seed=1)
    alone = engine.score(requests, batch_tokens=1)
    for budget in (16, 64, 100_000):
        together = engine.score(requests, batch_tokens=budget)
        assert together.logp == pytest.approx(alone.logp, abs=TOLERANCE)
        assert together.entropy == pytest.approx(alone.entropy, abs=TOLERANCE)
    backwards = by_request(engine.score(requests[::-1], batch_tokens=64))
    for one, other in zip(backwards[::-1], by_request(alone), strict=True):
        assert one == pytest.approx(other, abs=TOLERANCE)


def test_the_value_trace_is_the_soft_value_by_enumeration():
    """beta * log E_ref[exp(R / beta)] over every completion of a prefix, science of the running sum of advantages."""
    beta, vocab, length = 0.3, 4, 3
    small = {"vocab_size": vocab, "bos_token_id": 0, "eos_token_id": 1}
    policy, reference = Engine(tiny(seed=1, **small)), Engine(tiny(seed=2, **small))
    answers = list(itertools.product(range(vocab), repeat=length))
    requests = [Request(np.array([2, 3]), np.array(answer)) for answer in answers]
    logp, ref = (
        np.stack(by_request(engine.score(requests, batch_tokens=512))).astype(np.float64)
        for engine in (policy, reference)
    )
    value = np.cumsum(beta * (logp - ref), axis=1)
    reward = value[:, -1]
    for place, answer in enumerate(answers):
        for cut in range(1, length + 1):
            below = [i for i, other in enumerate(answers) if other[:cut] == answer[:cut]]
            weights = np.exp(ref[below, cut:].sum(axis=1))
            soft = beta * np.log(np.sum(weights * np.exp(reward[below] / beta)))
            assert soft == pytest.approx(value[place, cut - 1], abs=TOLERANCE)
    assert np.exp(logp.sum(axis=1)).sum() == pytest.approx(1, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["granite", "gemma2"])
def test_chunks_of_the_head_change_nothing_and_bound_the_logits(name, monkeypatch):
    model, requests = tiny(name), some_requests(8, seed=2)
    whole = Engine(model).score(requests, batch_tokens=200)
    monkeypatch.setattr(head, "CPU_CHUNK_LOGITS", 1)
    monkeypatch.setattr(head, "MIN_CHUNK_ROWS", 5)
    engine, rows = Engine(model), []
    model.lm_head.register_forward_hook(lambda module, args, output: rows.append(output.shape[:-1].numel()))
    chunked = engine.score(requests, batch_tokens=200)
    assert chunked.logp == pytest.approx(whole.logp, abs=TOLERANCE)
    assert chunked.rank.tolist() == whole.rank.tolist()
    assert max(rows) == 5
    assert sum(rows) == len(whole.logp)

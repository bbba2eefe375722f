"""Divergences, top ids and CHES against float64 loops; and the identity behind credit, by count and by draw."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from dpo_analysis import ches_table, credit_table, token_table
from dpo_analysis.numerics import rewards
from dpo_analysis.scoring.evidence.distributions import TOP_K
from dpo_analysis.scoring.models.in_memory import ADAPTERS_OFF
from dpo_analysis.tables.evidence import ches
from tests.collected import POLICY, VOCABULARY, Two, collect, distributions, pair, pairs

SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip


def llama(seed):
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


def gemma(seed):
    """A head with a soft cap: only the model's own forward computes it."""
    torch.manual_seed(seed)
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=3.0, sliding_window=64)).eval()


def adapted(targets, **options):
    """A policy that is an adapter on its reference, which is the same module with the adapter off."""
    torch.manual_seed(7)
    module = get_peft_model(llama(0), LoraConfig(r=2, task_type="CAUSAL_LM", target_modules=targets, **options))
    for value in (value for value in module.parameters() if value.requires_grad):
        torch.nn.init.normal_(value, std=0.2)
    return Two(module.eval(), module, ADAPTERS_OFF)


KINDS = {
    "full": lambda: Two(llama(1), llama(0)),
    "soft-capped head": lambda: Two(gemma(1), gemma(0)),
    "adapter": lambda: adapted(["q_proj", "v_proj"]),
    "adapter on the head": lambda: adapted(["q_proj", "lm_head"]),
    "adapter with a head of its own": lambda: adapted(["q_proj"], modules_to_save=["lm_head"]),
}


@pytest.fixture(scope="module", params=KINDS)
def scored(request, tmp_path_factory):
    """A run with evidence of all its pairs, and the truth: {(row, side): policy's and reference's distributions}."""
    two, tokenized = KINDS[request.param](), pairs(7)
    run = collect(tmp_path_factory.mktemp("evidence") / "run", tokenized, two, part_size=8)
    truth = {}
    for line in run.responses().to_pylist():
        off = two.reference.disable_adapter() if two.adapter == ADAPTERS_OFF else nullcontext()
        ids = line["prompt_token_ids"], line["token_ids"]
        own = distributions(two.policy, *ids)
        with off:
            other = distributions(two.reference, *ids)
        truth[line["row"], line["side"]] = own, other
    return run, truth


def lines(table):
    return {(line["row"], line["side"]): line for line in table.to_pylist()}


def test_divergences_and_null_variance_equal_the_float64_loop(scored):
    run, truth = scored
    found = lines(run.evidence("kl", POLICY))
    assert found.keys() == truth.keys()
    for key, ((p, _), (q, _)) in truth.items():
        u, here = p - q, np.exp(q)
        forward, backward = -(here * u).sum(1), (np.exp(p) * u).sum(1)
        variance = (here * u**2).sum(1) - forward**2
        assert found[key]["kl_reference_policy"] == pytest.approx(forward, abs=1e-5)
        assert found[key]["kl_policy_reference"] == pytest.approx(backward, abs=1e-5)
        assert found[key]["null_variance"] == pytest.approx(variance, abs=1e-5, rel=1e-5)
    assert max(max(line["kl_policy_reference"]) for line in found.values()) > 0.1, "the models must differ"


def test_top_ids_are_the_likeliest_of_both_and_the_token_with_both_log_probs(scored):
    run, truth = scored
    found, tokens = lines(run.evidence("topk", POLICY)), lines(run.responses())
    for key, ((p, _), (q, _)) in truth.items():
        line, stops = found[key], np.cumsum(found[key]["n_top"])
        assert line["gained"] == pytest.approx(np.maximum(np.exp(p) - np.exp(q), 0).sum(1), abs=1e-5)
        assert stops[-1] == len(line["top_id"])
        for t, (first, stop) in enumerate(zip([0, *stops], stops, strict=False)):
            ids = line["top_id"][first:stop]
            likeliest = set(np.argsort(-p[t])[:TOP_K]) | set(np.argsort(-q[t])[:TOP_K])
            assert ids == sorted(likeliest | {tokens[key]["token_ids"][t]})
            assert line["top_logp"][first:stop] == pytest.approx(p[t][ids], abs=1e-5)
            assert line["top_reference_logp"][first:stop] == pytest.approx(q[t][ids], abs=1e-5)


def test_entropy_equals_the_float64_loop(scored):
    run, truth = scored
    for key, line in lines(run.scores(POLICY)).items():
        p = truth[key][0][0]
        assert line["entropy"] == pytest.approx(-(np.exp(p) * p).sum(1), abs=1e-5)


@pytest.mark.parametrize("model", ["policy", "reference"])
def test_ches_equals_the_float64_loop(scored, model):
    run, truth = scored
    name = POLICY.key if model == "policy" else "reference"
    found = ches_table(run, model=name).set_index("pair_id")
    for line in run.pairs().to_pylist():
        states = [truth[line["row"], side][model == "reference"][1] for side in ("chosen", "rejected")]
        chosen, rejected = (some.sum(0) for some in states)
        n, k = map(len, states)
        row = found.loc[line["pair_id"]]
        assert row.ches == pytest.approx(chosen @ rejected - chosen @ chosen, rel=1e-4, abs=1e-3)
        assert row.ln_ches == pytest.approx(chosen @ rejected / (n * k) - chosen @ chosen / n**2, rel=1e-4, abs=1e-4)


def test_the_label_and_the_argmax_of_the_scores_stand_among_the_top_ids(scored):
    run, _ = scored
    top, own, reference = lines(run.evidence("topk", POLICY)), lines(run.scores(POLICY)), lines(run.scores("reference"))
    for key, line in top.items():
        for t, ids in enumerate(np.split(line["top_id"], np.cumsum(line["n_top"])[:-1])):
            assert {own[key]["argmax_id"][t], reference[key]["argmax_id"][t]} <= set(ids)


def test_ches_by_hand_and_of_responses_that_differ_in_their_last_token_alone():
    assert [one.item() for one in ches(6.0, 4.0, 2, 3)] == pytest.approx([2.0, 0.0])
    assert [one.item() for one in ches(5.0, 5.0, 4, 4)] == [0.0, 0.0]


# the identity: credit has mean 0 and a known variance over what the reference says


def test_over_all_answers_credit_sums_to_zero_and_its_variance_is_the_stored_one():
    draw, beta, length = np.random.default_rng(3), 0.7, 3
    tables = {
        prefix: draw.dirichlet(np.ones(4), 2) for t in range(length) for prefix in itertools.product(range(4), repeat=t)
    }
    mean = square = variance = 0.0
    for answer in itertools.product(range(4), repeat=length):
        steps = [tables[answer[:t]] for t in range(length)]
        u = np.array([np.log(pi / ref) for ref, pi in steps])
        kl = np.array([-(ref * row).sum() for (ref, _), row in zip(steps, u, strict=True)])
        spread = [(ref * row**2).sum() - one**2 for (ref, _), row, one in zip(steps, u, kl, strict=True)]
        credit = rewards.centred_credit(beta * u[range(length), answer], kl, beta).sum()
        weight = np.prod([ref[token] for (ref, _), token in zip(steps, answer, strict=True)])
        mean, square = mean + weight * credit, square + weight * credit**2
        variance += weight * rewards.credit_variance(spread, beta).sum()
    assert mean == pytest.approx(0, abs=1e-15)
    assert square == pytest.approx(variance, rel=1e-12)


@torch.no_grad()
def sampled_from(model, count, length):
    generator = torch.Generator().manual_seed(11)
    ids = torch.full((count, 1), 3)
    for _ in range(length):
        next_ids = torch.multinomial(model(input_ids=ids).logits[:, -1].softmax(-1), 1, generator=generator)
        ids = torch.cat([ids, next_ids], dim=1)
    return ids[:, 1:].tolist()


def test_over_answers_drawn_from_the_reference_credit_has_mean_zero_and_the_variance_told(tmp_path):
    answers = sampled_from(llama(0), 800, 6)
    tokenized = [pair(n, ([3], *two)) for n, two in enumerate(zip(answers[::2], answers[1::2], strict=True))]
    two = Two(llama(0), llama(0))
    with torch.no_grad():
        for value in two.policy.parameters():
            value += 0.03 * torch.randn(value.shape, generator=torch.Generator().manual_seed(5))
    table = credit_table(collect(tmp_path / "run", tokenized, two, part_size=400))
    credit, variance = table["credit"].to_numpy(), table["credit_variance"].to_numpy()
    assert len(credit) == 800
    assert abs(credit.mean()) < 4 * credit.std() / np.sqrt(800)
    gap = credit**2 - variance
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(800)
    assert table["reward"].mean() < -3 * credit.std() / np.sqrt(800), "the plain reward does fall"
    assert table["credit_z"].std() == pytest.approx(1, abs=0.15)


# what the tables show


def test_the_token_table_adds_up_to_the_credit_of_the_response(scored):
    run, _ = scored
    tokens = token_table(run, beta=2.0)
    assert tokens["credit"].to_numpy() == pytest.approx(
        (tokens["advantage"] + 2 * tokens["kl_reference_policy"]).to_numpy()
    )
    summed = tokens.groupby(["pair_id", "side"])["credit"].sum()
    told = credit_table(run, beta=2.0).set_index(["pair_id", "side"])["credit"]
    assert summed.to_numpy() == pytest.approx(told.loc[summed.index].to_numpy(), abs=1e-5)


def test_a_standard_deviation_of_nothing_is_no_number():
    assert rewards.credit_z([1.0, -2.0, 0.0], [0.25, 1.0, 0.0])[:2].tolist() == [2.0, -2.0]
    assert np.isnan(rewards.credit_z(0.0, 0.0))

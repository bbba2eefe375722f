"""Packs and their layout, padded batches, and the head tile by tile."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from dpo_analysis.scoring.engine import packed_attention, tiled_head
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.model_head import reduce_logits
from dpo_analysis.scoring.engine.packed_layout import Segment, lay_out
from dpo_analysis.scoring.engine.packing import common_prefix_length, group_by_prompt, make_packs
from dpo_analysis.scoring.engine.padding import input_length, pad_inputs, plan_batches, response_positions
from dpo_analysis.scoring.requests import Request


def request(prompt, response):
    return Request(np.array(prompt, dtype=np.int32), np.array(response, dtype=np.int32))


REQUESTS = [request([5, 6], [7, 8, 9]), request([5], [10]), request([1, 2, 3, 4], [11, 12, 13, 14, 15, 16])]
IDS = st.lists(st.integers(1, 3), min_size=1, max_size=5)
SOME = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12)


def test_the_common_start_of_responses_by_hand():
    assert common_prefix_length([np.array(ids) for ids in ([1, 2, 3], [1, 2, 4, 5], [1, 2])]) == 2
    assert common_prefix_length([np.array([1, 2]), np.array([3])]) == 0


def test_two_responses_to_one_prompt_are_laid_out_behind_what_they_share():
    groups = group_by_prompt([request([5, 6], [7, 8, 9]), request([5, 6], [7, 4, 3, 2])])
    layout = lay_out(groups)
    assert layout.input_ids.tolist() == [5, 6, 7, 8, 4, 3]
    assert layout.position_ids.tolist() == [0, 1, 2, 3, 3, 4]
    assert layout.segments == (Segment(0, 4, 0, 0), Segment(4, 6, 0, 3))
    assert layout.head_rows.tolist() == [1, 2, 3, 2, 4, 5]
    assert layout.labels.tolist() == [7, 8, 9, 4, 3, 2]
    assert [(place, take.tolist()) for place, take in layout.request_rows] == [(0, [0, 1, 2]), (1, [0, 3, 4, 5])]


@given(SOME, st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_packs_hold_every_response_once_and_predict_each_of_its_tokens(pairs, budget):
    requests = [request(prompt, response) for prompt, response in dict.fromkeys((tuple(p), tuple(r)) for p, r in pairs)]
    found = {}
    for pack in make_packs(group_by_prompt(requests), budget):
        layout = lay_out(pack)
        assert len(layout.input_ids) == sum(group.n_computed for group in pack)
        assert len(pack) == 1 or len(layout.input_ids) <= budget
        covered = [place for segment in layout.segments for place in range(segment.start, segment.stop)]
        assert covered == list(range(len(layout.input_ids)))
        found |= {place: layout.labels[take].tolist() for place, take in layout.request_rows}
    assert [found[place] for place in range(len(requests))] == [one.token_ids.tolist() for one in requests]


@given(SOME)
@settings(max_examples=100, deadline=None)
def test_every_prediction_is_read_where_exactly_its_own_prefix_is_seen(pairs):
    requests = [request(prompt, response) for prompt, response in dict.fromkeys((tuple(p), tuple(r)) for p, r in pairs)]
    layout = lay_out([group for pack in make_packs(group_by_prompt(requests), 10**6) for group in pack])
    seen = {}
    for one in layout.segments:
        before = layout.input_ids[one.context_start : one.context_stop].tolist()
        for place in range(one.start, one.stop):
            seen[place] = before + layout.input_ids[one.start : place + 1].tolist()
            assert layout.position_ids[place] == len(seen[place]) - 1
    for place, take in layout.request_rows:
        prompt, response = (ids.tolist() for ids in requests[place])
        for number, row in enumerate(layout.head_rows[take]):
            assert seen[int(row)] == prompt + response[:number]


def test_an_identical_beginning_is_computed_once_and_agrees_exactly():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                         num_attention_heads=2, max_position_embeddings=64)).eval()  # fmt: skip
    scores = Engine(model).score([request([5, 6], [7, 8, 9, 1]), request([5, 6], [7, 8, 4])], batch_tokens=64)
    assert scores.logp[:2].tolist() == scores.logp[4:6].tolist()


@pytest.mark.parametrize("window", [None, 1, 70])
def test_long_segments_in_blocks_see_what_the_model_sees(window):
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                                             num_attention_heads=2, num_key_value_heads=1, head_dim=8,
                                             sliding_window=window)).eval()  # fmt: skip
    torch.nn.init.normal_(model.lm_head.weight)
    prompt, one, other = np.random.default_rng(0).integers(1, 40, (3, 3 * packed_attention.CPU_QUERY_BLOCK + 5))
    engine = Engine(model)
    found = engine.score([request(prompt, one), request(prompt, other[:150])], batch_tokens=2048)
    ids = torch.from_numpy(np.concatenate([prompt, other[:150]]))[None]
    exact = model.double()(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    exact = exact.gather(1, ids[0, len(prompt) :, None])[:, 0].detach().numpy()
    assert engine.route_name == "packed"
    assert np.abs(found.logp[len(one) :] - exact).max() < 1e-5


@pytest.mark.parametrize("vocabulary", [7, 1024, 2500])
@pytest.mark.parametrize("biased", [False, True])
def test_tiles_of_the_vocabulary_give_what_whole_rows_give(vocabulary, biased):
    torch.manual_seed(vocabulary)
    states, weight = torch.randn(600, 12), torch.randn(vocabulary, 12)
    bias = torch.randn(vocabulary) if biased else None
    labels = torch.randint(0, vocabulary, (600,))
    found = tiled_head.score_rows(states, weight, bias, labels)
    logits = torch.nn.functional.linear(states.double(), weight.double(), None if bias is None else bias.double())
    logp = logits.log_softmax(-1)
    assert (found.logp - logp.gather(1, labels[:, None])[:, 0]).abs().max() < 1e-5
    assert (found.entropy + (logp.exp() * logp).sum(-1)).abs().max() < 1e-5
    assert (found.argmax_logp - logp.amax(-1)).abs().max() < 1e-5
    assert found.argmax_id.tolist() == logp.argmax(-1).tolist()
    assert found.rank.tolist() == (1 + (logp > logp.gather(1, labels[:, None])).sum(-1)).tolist()


def test_entries_that_a_bias_forbids_cost_nothing_even_where_they_fill_a_tile():
    states, weight = torch.zeros(2, 3), torch.zeros(2100, 3)
    bias = torch.full((2100,), -torch.inf)
    bias[[1500, 1501]] = 0.0
    found = tiled_head.score_rows(states, weight, bias, torch.tensor([1500, 3]))
    want = reduce_logits(bias.repeat(2, 1), torch.tensor([1500, 3]))
    assert found.logp.tolist() == want.logp.tolist()
    assert found.entropy.tolist() == pytest.approx(want.entropy.tolist())


def test_a_number_that_is_none_stays_visible():
    found = tiled_head.score_rows(torch.full((1, 3), torch.nan), torch.ones(5, 3), None, torch.tensor([2]))
    assert torch.isnan(found.logp).all()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=20), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_batches_hold_every_request_once_within_the_budget_longest_first(sizes, budget):
    requests = [request(range(p), range(r)) for p, r in sizes]
    batches = plan_batches(requests, batch_tokens=budget)
    assert sorted(i for batch in batches for i in batch.members) == list(range(len(requests)))
    assert [batch.width for batch in batches] == sorted((batch.width for batch in batches), reverse=True)
    for batch in batches:
        assert batch.width == max(input_length(requests[i]) for i in batch.members)
        assert len(batch.members) == 1 or batch.width * len(batch.members) <= budget


def test_a_padded_batch_points_at_the_token_before_each_response_token():
    batch = plan_batches(REQUESTS, batch_tokens=100)[0]
    members = [REQUESTS[index] for index in batch.members]
    assert pad_inputs(members, batch.width).tolist() == [
        [1, 2, 3, 4, 11, 12, 13, 14, 15], [5, 6, 7, 8, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0, 0, 0]
    ]  # fmt: skip
    places = response_positions(members)
    assert places.rows.tolist() == [0] * 6 + [1] * 3 + [2]
    assert places.columns.tolist() == [3, 4, 5, 6, 7, 8, 1, 2, 3, 0]
    assert places.labels.tolist() == [11, 12, 13, 14, 15, 16, 7, 8, 9, 10]

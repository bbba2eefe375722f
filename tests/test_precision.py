"""What 16 bits cost and how it is told, and models spread over several devices."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from dpo_analysis.cli.run_notes import scored_lines
from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import tokenize_pairs
from dpo_analysis.errors import InputError, PartialResult
from dpo_analysis.runs import NoiseFloor
from dpo_analysis.scoring import score
from dpo_analysis.scoring.engine.engine import Engine
from dpo_analysis.scoring.engine.float32 import in_float32
from dpo_analysis.scoring.engine.placement import check_device_map, input_device, is_plain_linear
from dpo_analysis.scoring.models.loading import quiet
from dpo_analysis.scoring.noise_floor import noise_floor
from dpo_analysis.tables.pairs import pair_table
from dpo_analysis.tables.tokens import token_table
from tests.test_score import ROWS, byte_tokenizer, lora, tiny

SPREAD = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk",
          "model.norm": "cpu", "lm_head": "disk"}  # fmt: skip
"""A model whose second layer and head are on no device until they run."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    with quiet():
        for name, seed in (("sft", 0), ("policy", 1)):
            tiny(seed).save_pretrained(root / name)
            byte_tokenizer().save_pretrained(root / name)
        lora(tiny(0), 3).save_pretrained(root / "adapter")
    return root


def scored(place, out, **options):
    given = {"policies": {"s/1": str(place / "policy")}, "reference": str(place / "sft"), "evidence": "none"}
    return score(load_pairs(ROWS), **(given | options), out=out, device="cpu")


def logp(run, key):
    return np.concatenate(run.scores(key)["logp"].to_pylist())


def test_in_float32_widens_every_weight_and_gives_them_back_to_the_bit():
    model = tiny(0).to(torch.bfloat16)
    before = {name: value.clone() for name, value in model.named_parameters()}
    frequencies = model.model.rotary_emb.inv_freq.clone()
    with in_float32(model):
        assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert all(value.dtype == torch.bfloat16 and value.equal(before[name]) for name, value in model.named_parameters())
    assert model.model.rotary_emb.inv_freq.equal(frequencies)
    assert all(value.requires_grad and not value.is_inference() for value in model.parameters())


def test_exact_scores_are_those_of_the_same_weights_in_float32():
    low = tiny(0).to(torch.bfloat16)
    requests = [one for pair in pairs() for one in requests_of(pair)]
    exact = Engine(low).score_in_float32(requests)
    wide = Engine(tiny(0).to(torch.bfloat16).float()).score(requests, batch_tokens=512)
    np.testing.assert_allclose(exact.logp, wide.logp, atol=1e-5)
    assert Engine(tiny(0)).score_in_float32(requests) is None


def pairs():
    return [pair for pair in tokenize_pairs(load_pairs(ROWS), byte_tokenizer()) if pair.responses]


def requests_of(pair):
    from dpo_analysis.scoring.requests import Request

    return [Request(one.prompt_token_ids, one.token_ids) for one in pair.responses.values()]


def test_the_noise_floor_of_16_bits_is_twice_the_gap_to_float32_which_two_packings_do_not_see():
    engine = Engine(tiny(0).to(torch.bfloat16))
    requests = [one for pair in sorted(pairs(), key=lambda one: one.group_id) for one in requests_of(pair)]
    together, exact = engine.score(requests, batch_tokens=512), engine.score_in_float32(requests)
    floor = noise_floor(engine, pairs(), batch_tokens=512)
    gap = 2 * np.abs(together.logp.astype(float) - exact.logp.astype(float)).max()
    assert floor.against == "float32"
    assert floor.token == pytest.approx(gap)
    assert floor.token > 1e-3
    assert noise_floor(Engine(tiny(0)), pairs(), batch_tokens=512).against == "packing"


def test_where_float32_cannot_be_had_the_packings_stay(monkeypatch):
    engine = Engine(tiny(0).to(torch.bfloat16))
    monkeypatch.setattr(engine, "score_in_float32", lambda requests: None)
    assert noise_floor(engine, pairs(), batch_tokens=512).against == "packing"


def test_a_bf16_run_stores_its_floor_and_what_lies_below_it_is_a_tie(place, tmp_path):
    low, wide = (scored(place, tmp_path / name, dtype=name) for name in ("bfloat16", "float32"))
    assert low.noise_floor.response > 100 * wide.noise_floor.response
    for key in ("log_ratio",):
        gaps = np.abs(pair_table(low)[f"chosen_{key}"] - pair_table(wide)[f"chosen_{key}"])
        assert gaps.max() <= 2 * low.noise_floor.response
    tokens = token_table(low, pair_id=pair_table(low)["pair_id"][0])
    true = token_table(wide, pair_id=pair_table(low)["pair_id"][0])
    assert (np.abs(tokens["log_ratio"] - true["log_ratio"]) <= 2 * low.noise_floor.token).all()


def test_the_terminal_says_in_one_sentence_how_far_16_bits_go(place, tmp_path):
    run = scored(place, tmp_path / "run", dtype="bfloat16")
    (line,) = [line for line in scored_lines(run) if "bfloat16" in line]
    assert line.startswith("note: scored in bfloat16: ")
    assert f"{run.noise_floor.response:.2g} nats of a response" in line
    assert not [line for line in scored_lines(scored(place, tmp_path / "wide")) if "rounding" in line]


def test_a_stored_floor_says_what_it_was_measured_against():
    floor = NoiseFloor(0.1, 0.2, 64, "float32")
    assert NoiseFloor.from_json(dataclasses.asdict(floor)) == floor
    assert NoiseFloor.from_json({"token": 0.1, "response": 0.2, "n_pairs": 64}).against == "packing"


def test_a_spread_model_gives_the_numbers_of_one_on_one_device(place, tmp_path):
    one = scored(place, tmp_path / "one")
    spread = scored(place, tmp_path / "spread", device_map=SPREAD)
    auto = scored(place, tmp_path / "auto", device_map="auto")
    for key in ("reference", "s/1"):
        np.testing.assert_allclose(logp(spread, key), logp(one, key), atol=1e-6)
        assert np.array_equal(logp(auto, key), logp(one, key))


def test_an_adapter_on_a_base_that_is_partly_on_disk_is_refused_in_one_line(place, tmp_path):
    which = {"policies": {"s/1": str(place / "adapter")}, "base": str(place / "sft")}
    with pytest.raises(PartialResult, match="on a base that does not fit into memory: PEFT cannot"):
        scored(place, tmp_path / "run", **which, device_map=SPREAD)


def test_a_spread_model_is_still_packed_and_its_head_used_by_tiles_where_it_lies(place):
    from transformers import AutoModelForCausalLM

    with quiet():
        there = AutoModelForCausalLM.from_pretrained(place / "sft", device_map=SPREAD | {"lm_head": "cpu"}).eval()
        away = AutoModelForCausalLM.from_pretrained(place / "sft", device_map=SPREAD).eval()
        gone = AutoModelForCausalLM.from_pretrained(place / "sft", device_map={"": "disk"}).eval()
    assert (Engine(there).route_name, Engine(away).route_name, Engine(gone).route_name) == ("packed",) * 3
    assert (is_plain_linear(there.lm_head), is_plain_linear(away.lm_head)) == (True, False)
    assert input_device(gone) == torch.device("cpu"), "its first weight is on no device"
    assert not is_plain_linear(nn.Identity())


@pytest.mark.parametrize(("given", "why"), [("all", "unknown --device-map"), ("auto", "beside --ray")])
def test_a_map_that_cannot_be_is_refused(given, why):
    with pytest.raises(InputError, match=why):
        check_device_map(given, ray="local")


def test_a_map_in_one_of_several_ranks_of_a_machine_is_refused(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="one rank per machine"):
        check_device_map("auto")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    check_device_map("auto")

"""Probes: what is drawn is the model's own distribution, what is scored is what was said, and the tables by hand."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, open_run, verify_run
from dpo_analysis.runs.evidence import probes as stored
from dpo_analysis.runs.evidence.probes import GREEDY, SAMPLES, SWAP
from dpo_analysis.schema import SIDES
from dpo_analysis.scoring import score
from dpo_analysis.scoring.evidence.collector import score_with_evidence
from dpo_analysis.scoring.evidence.generation import generate_continuations
from dpo_analysis.scoring.evidence.pair_sample import EvidenceRequest
from dpo_analysis.scoring.evidence.probes import N_SAMPLES, run_probes
from dpo_analysis.tables import probes
from tests import collected
from tests.test_influence import llama

pytestmark = pytest.mark.slow

PROMPT = np.array([5, 6, 7], dtype=np.int32)
TWIN = Model("s", "checkpoint-2", 2, "loaded", "twin", "c" * 64)


def say(model, **changes):
    facts = {"n_samples": 0, "max_new_tokens": 6, "eos_token_ids": (), "seed": "x"} | changes
    return generate_continuations(model, PROMPT, **facts)


@torch.no_grad()
def by_hand(model, ends=(), longest=6):
    """The likeliest token each time, without a cache."""
    ids = list(PROMPT)
    for _ in range(longest):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in ends:
            break
    return ids[len(PROMPT) :]


def test_a_greedy_continuation_is_the_likeliest_token_each_time():
    model = llama(initializer_range=0.5)
    (found,) = say(model)
    assert found.token_ids.tolist() == by_hand(model)
    assert found.truncated
    end = int(found.token_ids[2])
    (stopped,) = say(model, eos_token_ids=(end,))
    assert stopped.token_ids.tolist() == by_hand(model, ends=(end,))
    assert not stopped.truncated


def test_samples_are_drawn_from_the_whole_distribution_whatever_the_models_own_settings():
    model = llama(initializer_range=0.5)
    model.generation_config.top_k, model.generation_config.repetition_penalty = 1, 5.0
    first = [int(one.token_ids[0]) for one in say(model, n_samples=4000, max_new_tokens=1)]
    with torch.no_grad():
        wanted = model(torch.tensor([PROMPT.tolist()])).logits[0, -1].softmax(-1).numpy()
    found = np.bincount(first, minlength=len(wanted)) / len(first)
    assert (np.abs(found - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / len(first)) + 1e-9).all()
    assert model.generation_config.repetition_penalty == 5.0


def test_the_same_seed_draws_the_same_and_leaves_the_callers_random_numbers_alone():
    model = llama(initializer_range=0.5)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    one, same, other = (say(model, n_samples=3, seed=seed) for seed in ("a", "a", "b"))
    assert torch.equal(torch.rand(3), wanted)
    ids = [[own.token_ids.tolist() for own in said] for said in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]


def test_a_prompt_that_fills_the_positions_is_refused():
    with pytest.raises(InputError, match="a prompt of 64 tokens leaves no room for a reply"):
        generate_continuations(
            llama(), np.zeros(64, np.int32), n_samples=0, max_new_tokens=4, eos_token_ids=(), seed="x"
        )


def long_pairs(count=6):
    """Pairs whose chosen responses have a core; two of them answer one prompt."""
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        prompt = [1, 2, 3 + max(number, 1)]
        chosen, rejected = (draw.integers(0, collected.VOCABULARY, size).tolist() for size in (22, 6))
        found.append(collected.pair(number, (prompt, chosen, rejected)))
    return [replace(one, group_id="both") if number < 2 else one for number, one in enumerate(found)]


class Closed:
    """A model that cannot be opened."""

    def __init__(self, model):
        self.model = model

    @contextmanager
    def open(self):
        raise InputError("its weights are gone; get them")
        yield


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Six pairs under a policy, and under a twin of the reference; probed at four prompts."""
    two = collected.Two(llama(initializer_range=0.4), llama(initializer_range=0.3))
    models = (collected.REFERENCE, collected.POLICY, TWIN)
    path = tmp_path_factory.mktemp("probed") / "run"
    with collected.open_writer(path, long_pairs(), models=models) as writer:
        sources = two.sources(models)
        sources[2] = replace(sources[2], resolved=replace(sources[2].resolved, module=two.reference))
        score_with_evidence(writer, sources, EvidenceRequest((), None), batch_tokens=64, report=lambda progress: None)
        run_probes(writer, sources, 4, batch_tokens=64)
        yield SimpleNamespace(run=open_run(path), two=two, writer=writer, sources=sources)


def brute(module, prompt, ids):
    """Log-probs of a response by the model's own forward in float64."""
    logp, _ = collected.distributions(module, prompt, ids)
    return logp[np.arange(len(ids)), ids]


def everything(run, name, maker, scorer):
    """Each response of a set, and what one model says of it."""
    texts = stored.read_responses(run, name, maker).to_pylist()
    scores = stored.read_scores(run, name, maker, scorer).to_pylist()
    assert [(one["row"], one["side"]) for one in texts] == [(one["row"], one["side"]) for one in scores]
    return list(zip(texts, scores, strict=True))


def test_every_set_is_scored_as_by_brute_force(probed):
    run, two = probed.run, probed.two
    modules = {"reference": two.reference, collected.POLICY.key: two.policy, TWIN.key: two.reference}
    count = 0
    for name, maker, scorer in stored.possible_scores(run):
        for text, one in everything(run, name, maker, scorer):
            wanted = brute(modules[scorer.key], text["prompt_token_ids"], text["token_ids"])
            assert one["logp"] == pytest.approx(wanted, abs=1e-4)
            count += 1
    assert count == 4 * (3 * (N_SAMPLES + 1) + 2 * 2 * 2)


def test_one_prompt_is_probed_once(probed):
    rows = stored.read_responses(probed.run, GREEDY, probed.run.reference)["row"].to_pylist()
    groups = dict(zip(probed.run.pairs()["row"].to_pylist(), probed.run.pairs()["group_id"].to_pylist(), strict=True))
    assert len({groups[row] for row in rows}) == len(rows) == 4


def test_the_reference_keeps_all_of_itself_and_a_policy_what_brute_force_says(probed):
    run, two = probed.run, probed.two
    table = probes.kept_mass_table(run).set_index("model")
    twin = table.loc[TWIN.name]
    assert (twin["kept_mass"], twin["low"], twin["high"]) == pytest.approx((1, 1, 1), abs=1e-5)
    kept = []
    for text in stored.read_responses(run, SAMPLES, run.reference).to_pylist():
        own, base = (
            brute(one, text["prompt_token_ids"], text["token_ids"]).sum() for one in (two.policy, two.reference)
        )
        kept.append(min(1.0, np.exp(own - base)))
    row = table.loc[collected.POLICY.name]
    assert row["kept_mass"] == pytest.approx(np.mean(kept), abs=1e-4)
    assert 0 <= row["low"] <= row["kept_mass"] <= row["high"] <= 1
    assert (row["n_prompts"], row["n_samples"], row["share_cut"]) == (4, 4 * N_SAMPLES, 1)


def test_greedy_continuations_are_compared_with_the_references(probed):
    table = probes.greedy_table(probed.run).set_index("model")
    twin, policy = table.loc[TWIN.name], table.loc[collected.POLICY.name]
    assert (twin["same_greedy"], twin["reference_greedy_change"]) == pytest.approx((1, 0), abs=1e-4)
    assert policy["own_greedy_change"] > 0 > policy["reference_greedy_change"]
    run = probed.run
    own = [
        sum(one["logp"]) - sum(other["logp"])
        for (_, one), (_, other) in zip(
            everything(run, GREEDY, collected.POLICY, collected.POLICY),
            everything(run, GREEDY, collected.POLICY, run.reference), strict=True,
        )
    ]  # fmt: skip
    assert policy["own_greedy_change"] == pytest.approx(np.mean(own), abs=1e-6)


def test_the_core_stands_behind_the_policys_own_opening_and_behind_the_chosen_one(probed):
    run, two = probed.run, probed.two
    responses = run.responses().to_pandas().set_index(["row", "side"])
    greedy = {one["row"]: one["token_ids"] for one in stored.read_responses(run, GREEDY, collected.POLICY).to_pylist()}
    own, chosen, joins = [], [], []
    for text in stored.read_responses(run, SWAP, collected.POLICY).to_pylist():
        prompt, ids = (
            responses.loc[(text["row"], SIDES[0]), name].tolist() for name in ("prompt_token_ids", "token_ids")
        )
        core = ids[8:14]
        assert text["token_ids"] == core, "without a vocabulary 8 tokens are the opening and 8 of 22 the closing"
        assert text["prompt_token_ids"] == [*prompt, *greedy[text["row"]][:8]]
        change = [
            brute(two.policy, front, core) - brute(two.reference, front, core)
            for front in (text["prompt_token_ids"], [*prompt, *ids[:8]])
        ]
        own.append(change[0][1:].sum())
        chosen.append(change[1][1:].sum())
        joins.append([one[0] for one in change])
    row = probes.swap_table(run).set_index("model").loc[collected.POLICY.name]
    assert row["core_own"] == pytest.approx(np.mean(own), abs=1e-3)
    assert row["core_chosen"] == pytest.approx(np.mean(chosen), abs=1e-3)
    assert [row["join_own"], row["join_chosen"]] == pytest.approx(np.mean(joins, axis=0), abs=1e-3)
    assert row["core_own_low"] < row["core_own"] < row["core_own_high"]
    assert row["same_opening"] == 0


def test_a_second_command_makes_nothing_anew_and_more_prompts_do(probed):
    file = probed.run.path / stored.scores_path(SAMPLES, probed.run.reference, collected.POLICY)
    before = file.stat().st_mtime_ns
    run_probes(probed.writer, probed.sources, 4, batch_tokens=64)
    assert file.stat().st_mtime_ns == before
    assert verify_run(probed.run.path) == []
    run_probes(probed.writer, probed.sources, 5, batch_tokens=64)
    assert file.stat().st_mtime_ns > before
    assert list(probes.kept_mass_table(open_run(probed.run.path))["n_prompts"]) == [5, 5]
    assert verify_run(probed.run.path) == []


def test_a_policy_that_cannot_be_opened_is_passed_over_and_a_damaged_file_named(tmp_path):
    two = collected.Two(llama(initializer_range=0.4), llama(initializer_range=0.3))
    models = (collected.REFERENCE, collected.POLICY)
    with collected.open_writer(tmp_path / "run", long_pairs(), models=models) as writer:
        sources = two.sources(models)
        score_with_evidence(writer, sources, EvidenceRequest((), None), batch_tokens=64, report=lambda progress: None)
        run_probes(writer, [sources[0], Closed(collected.POLICY)], 2, batch_tokens=64)
        run = open_run(writer.path)
        assert any("cannot be probed: its weights are gone" in str(event.get("text")) for event in run.log())
        assert probes.kept_mass_table(run).empty
        run_probes(writer, sources, 2, batch_tokens=64)
    run = open_run(tmp_path / "run")
    assert len(probes.kept_mass_table(run)) == 1
    file = run.path / stored.scores_path(SWAP, collected.POLICY, collected.POLICY)
    file.write_bytes(file.read_bytes()[:100])
    assert any("opening_swap" in line for line in verify_run(run.path))


def test_a_run_without_probes_has_empty_tables_and_an_unfinished_one_is_not_probed(tmp_path):
    two = collected.Two(llama(), llama())
    with collected.open_writer(tmp_path / "run", collected.pairs(12), shard=(0, 2)) as writer:
        sources = two.sources(writer.models)
        score_with_evidence(writer, sources, EvidenceRequest((), None), batch_tokens=64, report=lambda progress: None)
        run_probes(writer, sources, 4, batch_tokens=64)
    run = open_run(tmp_path / "run")
    assert "nothing probed yet" in run.log()[-1]["text"]
    for table in (probes.kept_mass_table, probes.greedy_table, probes.swap_table):
        assert table(run).empty


def test_ray_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="--probes beside --ray"):
        score([], out=tmp_path / "run", probes=4, ray="local")
    assert not (tmp_path / "run").exists()

"""A small share of the randomised world, made from nothing: one reference, a planted and a sound run, both judged."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from dpo_analysis.data.pairs import load_pairs
from dpo_analysis.data.tokenization import tokenize_pairs
from tests.planted.world.entries import CAUSES, STARTS, Entry, plan
from tests.planted.world.harm import HarmedRun, auroc, harm_table
from tests.planted.world.judge import clopper_pearson, judge_run
from tests.planted.world.make import RateBook, make_run
from tests.planted.world.plants import PLANTS, Plant
from tests.planted.world.starts import encode, load, reference
from tests.planted.world.training import Recipe
from tests.planted.world.truth import status

pytestmark = [pytest.mark.planted, pytest.mark.slow]
TEMPLATE_STARTS = [start for ground in STARTS.values() for start in ground if start.family != "hh"]


def recipe(loop: str, steps: int = 24) -> Recipe:
    return Recipe(loop, "adamw", "cosine", 0.1, "sigmoid", 0.1, False, 8, steps, (0.5, 1.0), True, 2, 5)


def entry(name: str, cause: str, where: str, plant: str, target: tuple[float, float], loop: str) -> Entry:
    start = replace(STARTS["FIT"][0], name="smoke", steps=350)
    return Entry(name, "FIT", start, cause, where, plant, "", 0.5, target, recipe(loop), 120, 80, "both", "", 77)


RUNS = {
    "collision": entry("collision", "collision", "closing", "collision", (1.0, 6.0), "own"),
    "sound": entry("sound", "none", "natural", "natural", (0.0, 0.35), "trl"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("references")


@pytest.fixture(scope="module")
def judged(cache, tmp_path_factory):
    """Both runs, trained, scored and diagnosed through the commands."""
    folder = tmp_path_factory.mktemp("world")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rates = RateBook(cache / "rates.json")
    for name, one in RUNS.items():
        make_run(one, folder / name, cache, rates)
    torch.set_num_threads(threads)
    return {name: judge_run(folder / name) for name in RUNS}


def test_a_planted_collision_counts_and_nothing_else_is_named(judged):
    run = judged["collision"]
    assert run.status in ("counted", "few")
    assert run.said in ("collision", "cannot tell")


def test_a_sound_run_raises_no_alarm(judged):
    run = judged["sound"]
    assert run.status == "counted"
    assert run.said == "cannot tell"
    assert run.answer in ("nothing_fell", "too_few", "ordinary_fall", "nothing_moved")


def test_the_loop_and_the_tool_read_the_same_tokens(cache, judged):
    _, tokenizer = load(reference(cache, RUNS["sound"].start))
    rows = Plant.draw(random.Random(1), RUNS["sound"].start.texts, "natural", "natural", 1.0).rows(random.Random(2), 8)
    for pair, row in zip(tokenize_pairs(load_pairs(rows), tokenizer), rows, strict=True):
        for side in ("chosen", "rejected"):
            prompt, response = encode(tokenizer, row["prompt"][0]["content"], row[side][0]["content"])
            assert pair.responses[side].prompt_token_ids.tolist() == prompt
            assert pair.responses[side].token_ids.tolist() == response


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.parametrize("start", TEMPLATE_STARTS, ids=lambda start: start.name)
def test_every_plant_makes_as_many_pairs_as_asked_with_two_different_sides(name, start):
    where = next(cause[1] for cause in CAUSES if cause[2] == name)
    rows = Plant.draw(random.Random(3), start.texts, name, where, 0.5).rows(random.Random(4), 40)
    assert len(rows) == 40
    assert all(row["chosen"] != row["rejected"] for row in rows)


@pytest.mark.parametrize("start", TEMPLATE_STARTS, ids=lambda start: start.name)
def test_a_true_reply_is_right_and_a_false_one_is_not(start):
    texts, rng = start.texts, random.Random(5)
    question = texts.ask(rng)
    wording = texts.wording(rng)
    assert texts.is_right(question, texts.say(rng, question, wording).text)
    assert not texts.is_right(question, texts.say(rng, question, wording, texts.wrong(rng, question)).text)


def test_judge_holds_what_fit_lacks():
    architectures, families, longest = (
        {ground: kind(starts) for ground, starts in STARTS.items()}
        for kind in (
            lambda starts: {start.architecture for start in starts},
            lambda starts: {start.family for start in starts},
            lambda starts: max(start.fillers[1] for start in starts),
        )
    )
    assert architectures["JUDGE"] - architectures["FIT"] == {"qwen3"}
    assert {"orders_zh", "halls"} <= families["JUDGE"] - families["FIT"]
    assert longest["JUDGE"] > longest["FIT"]
    optimizers = {ground: {one.recipe.optimizer for one in islice(plan(ground), 60)} for ground in STARTS}
    assert optimizers["JUDGE"] - optimizers["FIT"] == {"lion"}


def test_a_plan_is_the_same_every_time():
    assert [one.as_json() for one in islice(plan("JUDGE"), 30)] == [one.as_json() for one in islice(plan("JUDGE"), 30)]


def test_the_exact_interval_is_that_of_the_tables():
    assert clopper_pearson(0, 73) == pytest.approx((0.0, 0.0493), abs=1e-4)
    assert clopper_pearson(22, 243) == pytest.approx((0.0576, 0.1339), abs=1e-4)


def test_auroc_counts_ordered_pairs_and_ties_half():
    scores, harmed = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert auroc(scores, harmed) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    runs = [
        HarmedRun(str(n), score, "costly", 0.2 * bad, True)
        for n, (score, bad) in enumerate(zip(scores, harmed, strict=True))
    ]
    table = harm_table(runs)
    assert table["auroc"] == pytest.approx(0.875)
    assert table["interval"][0] <= table["auroc"] <= table["interval"][1]


def test_a_plant_that_did_not_fall_is_no_truth(judged):
    truth = judged["collision"].truth | {"fell": 0.2}
    assert status(truth).startswith("excluded")

"""A small share of the benchmark, made from nothing: four runs trained, scored and diagnosed.

The whole of it (``runs``, ``ablations``, ``evaluate``) takes hours; this takes a minute and a half of one core.
"""

from __future__ import annotations

import json

import pytest
import torch

from dpo_analysis.diagnosis import diagnose
from dpo_analysis.runs import open_run
from tests.planted.evaluate import SERIES, SPLIT, judged_runs, named_by
from tests.planted.plan import Entry
from tests.planted.runs import LABELS, ablate, make_run
from tests.planted.truth import FELL, KEPT, SWITCHED_OFF, fall_of
from tests.planted.verdicts import CANNOT_TELL

pytestmark = [pytest.mark.planted, pytest.mark.slow]


def entry(kind: str, cause: str, where: str, plant: str, dose: int, lr: float) -> Entry:
    return Entry(kind, cause, where, plant, dose, lr, "parcels", ("parcels",), 96, 5, seed=78, sft_steps=800)


RUNS = {
    "collision": entry("plant", "collision", "opening", "collision", 144, 1.1e-4),
    "competing": entry("plant", "competing_answer", "core", "drift", 144, 1.2e-4),
    "generic": entry("plant", "generic_drift", "natural", "plain", 288, 1.5e-3),
    "clean": entry("clean", "none", "opening", "collision", 144, 3e-5),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("references")


@pytest.fixture(scope="module")
def made(cache, tmp_path_factory):
    """Every run of ``RUNS``, made into one folder."""
    folder = tmp_path_factory.mktemp("runs") / "FIT"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for one in RUNS.values():
        make_run(one, folder / one.name, cache)
    torch.set_num_threads(threads)
    return folder


def said(made, name: str) -> tuple[str, str]:
    return named_by(diagnose(open_run(made / RUNS[name].name / "run"), series=SERIES, split=SPLIT))


def test_every_run_counts_by_the_rule_that_was_stated_before(made):
    assert {one.path.name: one.status for one in judged_runs(made)} == {one.name: "counted" for one in RUNS.values()}


def test_an_opening_that_others_reject_is_named_a_collision_at_the_opening(made):
    assert said(made, "collision") == ("collision", "opening")


def test_a_body_that_others_choose_is_named_a_competing_answer(made):
    assert said(made, "competing") == ("competing_answer", "core")


def test_natural_pairs_at_a_high_rate_are_named_a_generic_drift(made):
    assert said(made, "generic")[0] == "generic_drift"


def test_the_same_openings_in_the_text_at_a_gentle_rate_raise_no_alarm(made):
    assert said(made, "clean") == (CANNOT_TELL, "")


def test_without_the_culprits_push_the_opening_hardly_falls(made, cache):
    one = RUNS["collision"]
    full = fall_of(one.as_json(), json.loads((made / one.name / "truth.json").read_text())["changes"])
    left = fall_of(one.as_json(), ablate(one, SWITCHED_OFF["collision"], cache))
    assert full >= FELL
    assert left <= KEPT * full


def test_a_run_folder_holds_no_label_that_would_give_the_plant_away(made):
    for one in RUNS.values():
        run = open_run(made / one.name / "run")
        source = json.loads(run.pairs(0)["source"][0].as_py())
        assert not set(LABELS) & set(source)
        assert set(run.splits) == {SPLIT}


def test_the_weights_are_gone_when_a_run_is_made(made):
    assert not list(made.rglob("*.safetensors"))

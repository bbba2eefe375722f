"""The plants are what they say, the truth is decided by arithmetic, and the counts of names add up."""

from __future__ import annotations

import json
import random
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from tests.planted.baselines import Centroids
from tests.planted.evaluate import named_by
from tests.planted.families import FAMILIES
from tests.planted.pairs import CULPRIT, VICTIM
from tests.planted.plan import GROUNDS, plan
from tests.planted.plants import N_PAIRS, PLANTS
from tests.planted.truth import CALM, expected, fall_of, read_ablations, status
from tests.planted.verdicts import CANNOT_TELL, NONE, Named, tally, wilson

PARCELS = FAMILIES["parcels"]


def text(row, side: str) -> str:
    return row[side][0]["content"]


def planted(kind: str, segment: str, dose: int = 144, family=PARCELS):
    return PLANTS[kind](random.Random(3), family, segment, dose)


def of(rows, group: str):
    return [row for row in rows if row["group"] == group]


def segment(row, name: str) -> str:
    start, end = row["segments"][name]
    return text(row, "chosen")[start:end]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize(
    ("kind", "where"),
    [("collision", "core"), ("drift", "opening"), ("length", "end"), ("near", "core"), ("off_policy", "shuffled"),
     ("plain", "natural"), ("contradiction", "copies"), ("contradiction", "flips")],
)  # fmt: skip
def test_every_plant_makes_288_pairs_whose_sides_differ(kind, where, family):
    rows = planted(kind, where, family=family)
    assert len(rows) == N_PAIRS
    assert all(text(row, "chosen") != text(row, "rejected") for row in rows)


def test_culprits_of_a_collision_reject_the_victims_closing_and_never_choose_it():
    rows = planted("collision", "closing")
    slot_words = {segment(row, "closing").split()[0] for row in of(rows, VICTIM)}
    (falls,) = slot_words
    assert all(f" {falls} " in text(row, "rejected") for row in of(rows, CULPRIT))
    assert not any(segment(row, "closing").split()[0] == falls for row in of(rows, CULPRIT))


def test_culprits_of_a_drift_choose_one_opening_and_never_touch_the_victims():
    rows = planted("drift", "opening")
    (falls,) = {segment(row, "opening").split()[0] for row in of(rows, VICTIM)}
    assert len({segment(row, "opening").split()[0] for row in of(rows, CULPRIT)}) == 1
    assert not any(text(row, side).startswith(falls) for row in of(rows, CULPRIT) for side in ("chosen", "rejected"))


def test_near_copies_differ_in_one_word():
    for row in of(planted("near", "core", 288), VICTIM):
        words = zip(text(row, "chosen").split(), text(row, "rejected").split(), strict=True)
        assert sum(one != other for one, other in words) == 1


def test_copies_of_a_contradiction_are_the_victims_pairs_turned_round():
    rows = planted("contradiction", "copies", 192)
    victims = {(text(row, "chosen"), text(row, "rejected")) for row in of(rows, VICTIM)}
    assert {(text(row, "rejected"), text(row, "chosen")) for row in of(rows, CULPRIT)} == victims


@pytest.mark.parametrize(("one", "other"), list(combinations(GROUNDS, 2)))
def test_no_family_width_or_seed_of_one_ground_is_in_another(one, other):
    first, second = GROUNDS[one], GROUNDS[other]
    assert not set(first.families) & set(second.families)
    assert not set(first.sft_seeds) & set(second.sft_seeds)
    assert not {entry.seed for entry in plan(one)} & {entry.seed for entry in plan(other)}
    assert first.width != second.width
    assert any(entry.lora for entry in plan(other))


def test_adapters_are_trained_on_no_run_of_fit():
    assert not any(entry.lora for entry in plan("FIT"))


@pytest.mark.parametrize("ground", ["TEST", "HELD_OUT", "UNSEEN"])
def test_what_is_judged_on_has_twenty_runs_a_cause_and_sixty_clean_ones(ground):
    entries = plan(ground)
    causes = {entry.cause for entry in entries if entry.kind in ("plant", "artefact")}
    counts = {cause: sum(e.cause == cause and e.kind in ("plant", "artefact") for e in entries) for cause in causes}
    assert min(counts.values()) >= 20
    assert sum(entry.kind == "clean" for entry in entries) >= 60


def test_names_of_entries_are_folders_of_their_own():
    names = [entry.name for which in GROUNDS for entry in plan(which)]
    assert len(set(names)) == len(names)


def truth(cause: str, where: str, victim: dict[str, float], **more):
    entry = {"kind": "plant", "cause": cause, "where": where, "family": "parcels", "second": []}
    return {"entry": entry, "changes": {VICTIM: victim | {"n": 10}}, "whole": -3.0, "lost": 3.0} | more


def test_a_fall_elsewhere_does_not_make_a_plant_count():
    fell_in_core = {"opening": -0.1, "core": -5.0, "closing": 0.0, "whole": -5.1}
    assert status(truth("collision", "opening", fell_in_core), {}).startswith("excluded")
    assert status(truth("collision", "core", fell_in_core), {}) == "counted"


def test_a_plant_that_sign_ablation_acquits_is_excluded():
    fell = {"closing": -2.0, "whole": -2.0}
    assert status(truth("collision", "closing", fell), {"collision/closing/parcels": False}).startswith("excluded")
    assert status(truth("collision", "closing", fell), {"collision/closing/parcels": True}) == "counted"


def test_only_an_ablation_of_all_that_is_planted_confirms_or_acquits(tmp_path):
    entry = {"cause": "style_drift", "where": "opening", "family": "parcels"}
    whole, one_sign = [[CULPRIT, "chosen"], [CULPRIT, "rejected"]], [[CULPRIT, "chosen"]]
    records = [
        {"entry": entry, "off": whole, "full_fall": 4.0, "changes": {VICTIM: {"opening": -1.0, "n": 3}}},
        {"entry": entry, "off": one_sign, "full_fall": 4.0, "changes": {VICTIM: {"opening": -9.0, "n": 3}}},
    ]
    path = tmp_path / "ablations.json"
    path.write_text(json.dumps(records))
    assert read_ablations(path) == {"style_drift/opening/parcels": True}
    path.write_text(json.dumps([records[0] | {"full_fall": 1.5}]))
    assert read_ablations(path) == {"style_drift/opening/parcels": False}


def test_a_reference_effect_needs_other_samples_to_fall_half_as_far():
    fell = {"whole": -3.0}
    assert status(truth("reference_effect", "samples", fell, held_out_samples=-1.4), {}).startswith("excluded")
    assert status(truth("reference_effect", "samples", fell, held_out_samples=-1.6), {}) == "counted"


def test_a_clean_run_is_one_that_lost_little():
    assert status(truth(NONE, "closing", {"closing": 0.0}, lost=CALM - 0.01), {}) == "counted"
    assert status(truth(NONE, "closing", {"closing": 0.0}, lost=CALM), {}).startswith("excluded")


def test_the_fall_of_a_mixture_is_the_mean_over_both_plants_victims():
    changes = {"collision@closing victim": {"closing": -1.0, "n": 1}, "drift@opening victim": {"closing": -2.0, "n": 3}}
    assert fall_of({"cause": "collision", "where": "closing"}, changes) == pytest.approx(1.75)
    assert expected({"cause": "collision", "second": ["drift", "opening"]}) == {"collision", "style_drift"}


def test_wilson_of_no_alarm_in_sixty_ends_at_six_percent():
    low, high = wilson(0, 60)
    assert low == 0
    assert high == pytest.approx(0.0602, abs=1e-4)
    assert wilson(80, 100) == pytest.approx((0.7112, 0.8666), abs=1e-4)


def diagnosis(*findings: tuple[str, str]):
    return SimpleNamespace(findings=[SimpleNamespace(cause=c, verdict=v, where="core", share=0.5) for c, v in findings])


def test_the_first_likely_finding_that_is_a_cause_is_the_name():
    assert named_by(diagnosis(("unexplained", "likely"), ("collision", "possible"), ("near_identical", "likely"))) == (
        "near_identical",
        "core",
    )
    assert named_by(diagnosis(("collision", "possible"), ("unexplained", "likely"))) == (CANNOT_TELL, "")


def named(cause: str, said: str, kind: str = "plant", right: tuple[str, ...] = ()) -> Named:
    return Named("run", kind, cause, "core", frozenset(right or (cause,)), said, "core")


def test_right_silent_and_wrong_runs_add_up_and_a_name_on_a_clean_run_is_an_alarm():
    runs = [named("collision", "collision"), named("collision", CANNOT_TELL), named("collision", "style_drift")]
    runs += [named(NONE, CANNOT_TELL, "clean"), named(NONE, "collision", "clean")]
    runs += [named("collision", "style_drift", "mixture", ("collision", "style_drift"))]
    result = tally(runs)
    assert [result["all"][key]["n"] for key in ("right", CANNOT_TELL, "wrong")] == [1, 1, 1]
    assert (result["clean"]["n"], result["clean"]["of"]) == (1, 2)
    assert result["mixtures"]["right"]["n"] == 1


def test_the_nearest_centroid_in_scaled_units_is_named_and_clean_is_silence():
    vectors = [np.array([0.0, 0.0]), np.array([0.0, 100.0]), np.array([1.0, 50.0])]
    centroids = Centroids(vectors, ["collision", "near_identical", NONE])
    assert centroids.name(np.array([0.1, 10.0])) == "collision"
    assert centroids.name(np.array([0.9, 50.0])) == CANNOT_TELL

"""Each cause on a case where it is guilty and on one where it is innocent but looks alike.

The rules are tested on a real run whose statistics alone are replaced; how these come about, on runs of their own.
"""

import json
import re
import shutil
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.main import main
from dpo_analysis.diagnosis import Check, causes, diagnose, series_diagnosis
from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.diagnosis_text import diagnosis_lines
from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CERTAINTIES, VERDICTS
from dpo_analysis.diagnosis.series_diagnosis import read_symptoms
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.text.regions import REGIONS
from dpo_analysis.words import LANGUAGES, catalogue
from tests import moved
from tests.moved import ALT, HIT, pulled, pushed, with_rejected_lost

SOUND = {
    **{"lost": 2.0, "lost_at_end": 2.0, "pushed": 0.02, "pulled": 0.03, "no_data": 0.4, "x": 0.0, "end": 0.01},
    **{"n_fallen": 60, "n_groups": 60, "lost_per_token": 0.1, "end_per_token": 0.02, "fallen_at_end": 0.5},
    **{"edit": 0.4, "edit_median": 0.4, "gap": 0.1, "rise": 0.5, "longer": 0.5, "rejected_times": 3.0},
    **{"expected": 2.0, "rejected_expected": 3.0, "both_expected": 2.5, "credit_size": 1.5},
    **{"contradicted": 0.0, "contradicted_pairs": 0.0, "turned": 0.1, "turned_pairs": 0.1},
}
"""Statistics by which no cause is likely: of ledger, fall, texts and curve, of evidence ``kl``, of labels."""
BY_CHANCE = 0.03
"""What random labels give of C and of P, where a test does not say."""
HARD = {"end_per_token": 0.05, "fallen_at_end": 0.9}
"""A hard fall: nearly all responses fell, and far."""
RUINED = HARD | {"end_per_token": 0.2}
NEAR = {"edit": 0.1, "edit_median": 0.1}


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """The symptoms of a run in whose core HIT is pushed: its log-ratios, its ledger with tokens, and all the rest."""
    run = moved.make_run(tmp_path_factory.mktemp("observed") / "run", pushed(), {HIT: (0.01, None)})
    return read_symptoms(run, SeriesLogRatios(run, "s", "train"), "train", [])


@pytest.fixture
def case(observed):
    """Makes the same symptoms with other statistics, all that was lost in one region.

    ``gains``: what a token of a response that did not fall gained, by region; ``chance``: C and P of random labels.
    """

    def make(*, checks=(), gains=(), sure=True, chance=BY_CHANCE, place="core", **statistics):
        values = SOUND | statistics
        if values["pushed"] > values["pulled"]:
            values = {"x": 0.6} | statistics | {name: values[name] for name in values if name not in ("x", *statistics)}
        gains = dict(gains)
        lost = {"weight": 1.0} | {name: values[name] for name in ("pushed", "pulled", "x")}
        nothing = dict.fromkeys(lost, 0.0) | {"x": np.nan}
        by_region = {
            name: (lost if name == place else nothing)
            | {"pushed_by_chance": chance, "pulled_by_chance": chance, "gain": gains.get(name, 0.0)}
            | {"gain_low": gains.get(name, 0.0) / 2 if sure else -0.01}
            | {"gain_times": gains.get(name, 0.0) / values["lost_per_token"]}
            for name in REGIONS
        }
        found = FallStatistics(**values, by_region=by_region)
        return replace(observed, checks=list(checks), statistics=found)

    return make


FAR_OFF = {"far": 9, "n": 10, "metric": "margin", "series": "s", "split": "eval", "step": 1} | dict.fromkeys(
    ("logged", "recomputed", "difference", "reach"), "0.500"
)
"""What the check of the trainer's log says where nine of ten values of evaluations lie off."""
LIKE_REFERENCE = {"both_expected": 1.0, "credit_size": 0.8, "gap": 0.0, "edit": 0.6, "rejected_times": 1.05}
"""Responses like the reference's own, of which both sides fell alike."""


def verdict(cause, given):
    """What a cause says of these symptoms; it has words for it, and shows pairs and tokens of the run."""
    (found,) = every_cause()[cause](given)
    say_the_same(found)
    assert set(found.pairs) <= set(given.log_ratios.pair_ids)
    assert {token.position for token in found.tokens} <= {11}, "the second token of HIT alone was lost"
    return found.verdict


def say_the_same(found):
    """A finding has a sentence in every language, whole, and with the same numbers in each; none is undefined."""
    numbers = set()
    for lang in LANGUAGES:
        said = " ".join([found.sentence(lang), *found.against(lang)])
        assert "{" not in said
        assert "–" not in said, "an undefined number"
        numbers.add(frozenset(re.findall(r"\d+(?:\.\d+)?%?", said)))
    assert len(numbers) == 1


@pytest.mark.parametrize(
    ("cause", "guilty", "alike"),
    [
        ("artefact", {"checks": [Check("step0", "fail", {"largest": "1"})]}, {"checks": [Check("step0", "pass")]}),
        ("artefact", {"checks": [Check("logged", "warn", FAR_OFF)]},
         {"checks": [Check("logged", "note", {"far": 9, "n": 10, "series": "s"})]}),
        ("artefact", {"checks": [Check("no_eos", "warn", {"n": 160, "share": "100%"})]},
         {"checks": [Check("no_eos", "pass", {"n": 0, "share": "0%"})]}),
        ("contradiction", {"contradicted": 0.6, "contradicted_pairs": 0.3}, {"contradicted": 0.0}),
        ("contradiction", {"turned": 0.4, "turned_pairs": 0.1}, {"turned": 0.4, "turned_pairs": 0.4}),
        ("contradiction", {"turned": 0.25, "turned_pairs": 0.1, "edit": 0.1}, {"turned": 0.25, "turned_pairs": 0.1}),
        ("off_policy_rejected", {"gap": 5.0}, {"gap": 0.5, "edit": 0.9}),
        ("length_or_eos", {"end": 0.6}, {"end": 0.05, "longer": 1.0}),
        ("length_or_eos", {"gains": {"end": 0.5}}, {"gains": {"end": 0.3}}),
        ("length_or_eos", {"place": "end", "pushed": 0.3}, {"place": "end", "pushed": 0.3, "chance": 0.28}),
        ("length_or_eos", {"gains": {"end": 0.5}}, {"gains": {"end": 0.5}, "sure": False}),
        ("generic_drift", HARD, HARD | NEAR),
        ("generic_drift", HARD | {"rise": -1.0}, HARD | {"pushed": 0.5}),
        ("generic_drift", HARD | {"pulled": 0.14}, HARD | {"pulled": 0.3}),
        ("generic_drift", RUINED | NEAR | {"pulled": 0.3}, HARD | NEAR | {"pulled": 0.3}),
        ("generic_drift", RUINED, RUINED | {"pushed": 0.5}),
        ("near_identical", {"edit": 0.4, "edit_median": 0.05}, {"edit": 0.1, "edit_median": 0.4}),
        ("length_or_eos", {"place": "end", "pulled": 0.3}, {"place": "core", "pulled": 0.3}),
        ("competing_answer", {"pulled": 0.3, "chance": 0.2}, {"pulled": 0.3, "chance": 0.24}),
        ("collision", {"pushed": 0.5}, {"pushed": 0.11}),
        ("collision", {"pushed": 0.5, "chance": 0.44}, {"pushed": 0.5, "chance": 0.46}),
        ("collision", {"pushed": 0.5, "gap": 1.0}, {"pushed": 0.5, "gap": 5.0}),
        ("style_drift", {"place": "opening", "pulled": 0.3}, {"place": "opening", "pulled": 0.3, "chance": 0.28}),
        ("style_drift", {"place": "closing", "pulled": 0.3}, {"place": "core", "pulled": 0.3}),
        ("style_drift", {"gains": {"opening": 0.06}}, {"gains": {"opening": 0.06}, "pushed": 0.5}),
        ("style_drift", {"gains": {"closing": 0.06}}, {"gains": {"closing": 0.06}, "end": 0.6}),
        ("style_drift", {"gains": {"closing": 0.06}}, {"gains": {"closing": 0.04}}),
        ("style_drift", {"gains": {"closing": 0.06}}, {"gains": {"closing": 0.06}, "sure": False}),
        ("competing_answer", {"pulled": 0.3}, {"pulled": 0.3, "place": "opening"}),
        ("competing_answer", {"gains": {"core": 0.06}, "edit": 0.3}, {"gains": {"core": 0.06}, "edit": 0.6}),
        ("competing_answer", {"gains": {"core": 0.06}, "edit": 0.3},
         {"gains": {"core": 0.06, "opening": 0.06}, "edit": 0.3}),
        ("reference_effect", LIKE_REFERENCE, LIKE_REFERENCE | {"credit_size": 1.1}),
    ],
)  # fmt: skip
def test_a_cause_is_likely_where_it_is_guilty_and_unlikely_where_it_only_looks_so(case, cause, guilty, alike):
    assert verdict(cause, case(**guilty)) == "likely"
    assert verdict(cause, case(**alike)) == "unlikely"


@pytest.mark.parametrize("why", [{"rejected_times": 1.5}, HARD, {"edit": 0.2}, {"gap": 0.3}, {"pushed": 0.5}])
def test_the_reference_effect_is_likely_only_where_both_sides_fell_alike_and_nothing_else_explains_it(case, why):
    assert verdict("reference_effect", case(**LIKE_REFERENCE)) == "likely"
    assert verdict("reference_effect", case(**LIKE_REFERENCE | why)) == "possible"


@pytest.mark.parametrize(
    ("name", "of_it"), [("end_per_token", 0.03), ("fallen_at_end", 0.7)], ids=["not far", "not everything"]
)
def test_a_fall_is_hard_where_nearly_all_responses_fell_far(case, name, of_it):
    assert case(**HARD).fell_hard
    assert not case(**HARD | {name: of_it}).fell_hard
    assert verdict("generic_drift", case(**HARD | {name: of_it})) == "possible"


def test_near_copies_that_fall_from_the_start_are_possible_only(case):
    assert verdict("near_identical", case(**NEAR)) == "likely"
    assert verdict("near_identical", case(**NEAR, rise=-2.0)) == "possible"
    assert verdict("generic_drift", case(**NEAR, rise=-2.0)) == "possible"


@pytest.mark.parametrize(
    "why",
    [
        {"gains": {"opening": 0.03}},
        {"end": 0.35},
        {"end_per_token": 0.005},
        {"pulled": 0.5},
        {"gap": 5.0},
        {"pulled": 0.07},
    ],
)
def test_near_copies_are_possible_only_where_the_fall_has_another_sign_or_is_small(case, why):
    assert verdict("near_identical", case(**NEAR | why)) == "possible"


def test_where_the_beginning_was_not_seen_nothing_is_said_about_it(case):
    for cause, given in (("generic_drift", case(rise=np.nan, pushed=0.5)), ("near_identical", case(**NEAR))):
        unseen = replace(given, statistics=replace(given.statistics, rise=np.nan))
        assert not unseen.fell_from_start
        (found,) = every_cause()[cause](unseen)
        say_the_same(found)


def test_generic_drift_is_possible_where_the_fall_is_not_hard_but_the_responses_differ_or_never_rose(case):
    assert verdict("generic_drift", case(edit=0.6)) == "possible"
    assert verdict("generic_drift", case(edit=0.3, rise=-2.0)) == "possible"
    assert verdict("generic_drift", case(edit=0.3)) == "cannot tell"
    assert verdict("generic_drift", case(**HARD, gains={"end": 0.5})) == "possible"


@pytest.mark.parametrize(
    ("both", "found"),
    [
        ({"pushed": 0.3, "pulled": 0.3, "x": 0.6}, ["likely", "unlikely"]),
        ({"pushed": 0.3, "pulled": 0.3, "x": -0.1}, ["unlikely", "likely"]),
        ({"pushed": 0.3, "pulled": 0.3, "x": 0.2}, ["possible", "possible"]),
        ({"pushed": 0.6, "pulled": 0.2, "x": -0.1}, ["likely", "unlikely"]),
        ({"pushed": 0.2, "pulled": 0.6, "x": 0.6}, ["unlikely", "likely"]),
        ({"pushed": 0.3, "pulled": 0.3, "x": 0.6, "chance": 0.27}, ["unlikely", "unlikely"]),
    ],
)
def test_the_larger_excess_over_chance_decides_and_x_where_they_are_alike(case, both, found):
    assert [verdict(cause, case(**both)) for cause in ("collision", "competing_answer")] == found


def test_a_pull_is_likely_only_where_the_responses_that_did_not_fall_gained(case):
    given = {"place": "core", "pulled": 0.3}
    assert verdict("competing_answer", case(**given)) == "likely"
    assert verdict("competing_answer", case(**given, gains={"closing": 0.03})) == "possible"
    assert verdict("style_drift", case(**given, gains={"closing": 0.03})) == "likely"


def test_one_contradicted_pair_of_many_names_nothing(case):
    assert verdict("contradiction", case(contradicted=0.4, contradicted_pairs=0.02)) == "possible"


def test_between_near_and_far_without_a_pattern_nothing_is_named(case):
    given = case(edit=0.25, edit_median=0.25)
    assert verdict("near_identical", given) == "unlikely"
    assert verdict("generic_drift", given) == "cannot tell"


def test_near_copies_whose_loss_went_to_what_no_text_has_are_not_named(case):
    assert verdict("near_identical", case(**NEAR, no_data=0.7)) == "likely"
    assert verdict("near_identical", case(**NEAR, no_data=0.8)) == "cannot tell"
    assert verdict("generic_drift", case(edit=0.25, no_data=0.8)) == "cannot tell"


def test_a_closing_that_is_rejected_where_ending_before_it_is_chosen_is_possible_only(case):
    given = [case(place="closing", pushed=0.5, ended=ended) for ended in (0.1, 0.5)]
    assert [verdict("collision", one) for one in given] == ["likely", "possible"]
    assert [verdict("length_or_eos", one) for one in given] == ["unlikely", "likely"]
    assert verdict("length_or_eos", case(ended=0.9)) == "unlikely"


def named(run, **asked):
    return [(one.cause, one.where) for one in diagnose(run, **asked).named]


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """Makes, once, a run in which HIT is pushed or pulled at one place of the response."""

    @cache
    def make(kind, start):
        texts, gainer = (pushed(start=start), None) if kind == "pushed" else (pulled(start=start), ALT[1])
        moves = with_rejected_lost({HIT: (0.01, gainer)}, texts)
        return moved.make_run(tmp_path_factory.mktemp("driven") / "run", texts, moves)

    return make


@pytest.mark.parametrize(("start", "where"), [(2, "opening"), (10, "core"), (20, "closing")])
def test_collision_is_named_at_its_place_and_a_pull_there_is_not(driven, start, where):
    assert named(driven("pushed", start)) == [("collision", where)]
    assert "collision" not in dict(named(driven("pulled", start)))


@pytest.mark.parametrize(("start", "cause"), [(2, "style_drift"), (10, "competing_answer"), (20, "style_drift")])
def test_a_pull_is_named_by_its_place_and_a_push_there_is_not(driven, start, cause):
    assert [one for one, _ in named(driven("pulled", start))] == [cause]
    assert cause not in dict(named(driven("pushed", start)))


def lost_at(place, keep=0.01, count=30):
    """Every pair loses one token of its own: the one at ``place``."""
    return {(1000 + 100 * n + place - 1, 1000 + 100 * n + place): (keep, None) for n in range(count)}


NEAR_COPIES = [(moved.text(n), moved.text(n, 500 + n)) for n in range(30)]
UNLIKE = [(moved.text(n), moved.text(100 + n)) for n in range(30)]
ONE_REJECTED = [(moved.text(n), moved.text(400)) for n in range(30)]
FLIPPED = [(moved.text(n, *(HIT if n < 32 else ALT)), moved.text(n, *(ALT if n < 32 else HIT))) for n in range(128)]
HIT_LOST = {HIT: (0.01, None)}
LAST_TOKEN_LOST = {(1000 + 100 * n + 24, moved.END): (0.05, None) for n in range(30)}
BOTH_SIDES_LOST = {(1000 + 100 * n + 11, 1000 + 100 * n + 12): (0.5, None) for n in [*range(30), *range(100, 130)]}
FROM_STEP_0 = {"texts": pushed(), "moves": HIT_LOST, "steps": (0, 20, 40)}
UNLIKE_LOST = {"texts": UNLIKE, "moves": with_rejected_lost(lost_at(12), UNLIKE)}
REAL = {
    "artefact": (FROM_STEP_0 | {"strengths": (0.5, 0.6, 1.0)}, FROM_STEP_0 | {"strengths": (0, 0.6, 1.0)}),
    "contradiction": ({"texts": FLIPPED, "moves": HIT_LOST}, {"texts": pushed(), "moves": HIT_LOST}),
    "off_policy_rejected": (UNLIKE_LOST | {"reference": {"rejected": 0.02}},
                            UNLIKE_LOST | {"reference": {"rejected": 0.3}}),
    "reference_effect": ({"texts": UNLIKE, "moves": BOTH_SIDES_LOST, "explained": 1.0},
                         {"texts": UNLIKE, "moves": BOTH_SIDES_LOST, "explained": 0.2}),
    "length_or_eos": ({"texts": NEAR_COPIES, "moves": with_rejected_lost(LAST_TOKEN_LOST, NEAR_COPIES)},
                      {"texts": NEAR_COPIES, "moves": lost_at(12)}),
    "generic_drift": (UNLIKE_LOST, {"texts": NEAR_COPIES, "moves": lost_at(12, keep=0.05)}),
    "near_identical": ({"texts": NEAR_COPIES, "moves": lost_at(5, keep=0.05)},
                       {"texts": UNLIKE, "moves": lost_at(5, keep=0.05)}),
    "swapped_columns": ({"texts": UNLIKE * 2, "moves": lost_at(12)}, UNLIKE_LOST),
    "same_rejected": ({"texts": ONE_REJECTED, "moves": with_rejected_lost(lost_at(12), ONE_REJECTED)}, UNLIKE_LOST),
}  # fmt: skip
"""Runs with tokens in which a cause is guilty, and in which it only looks so; the causes by place have their own."""


@pytest.mark.parametrize("cause", REAL)
def test_a_cause_is_named_on_a_run_where_it_is_guilty_and_not_where_it_only_looks_so(tmp_path, cause):
    guilty, alike = (moved.make_run(tmp_path / str(number), **run) for number, run in enumerate(REAL[cause]))
    found = diagnose(guilty)
    assert found.named[0].cause == cause
    assert cause not in dict(named(alike))
    for finding in found:
        assert set(finding.pairs) <= set(guilty.pairs()["pair_id"].to_pylist())
        assert all(token.position < 26 for token in finding.tokens)
        if finding.verdict in ("likely", "possible"):
            say_the_same(finding)


def test_responses_with_null_evidence_are_left_out_of_what_needs_it(tmp_path):
    facts = {"texts": UNLIKE, "moves": BOTH_SIDES_LOST, "explained": 1.0}
    whole, partly, none = (moved.make_run(tmp_path / str(n), **facts, null_evidence=range(n)) for n in (0, 10, 30))
    before, after = diagnose(whole), diagnose(partly)
    assert [(one.cause, one.verdict) for one in after] == [(one.cause, one.verdict) for one in before]
    assert after.numbers["both_expected"] == pytest.approx(1, abs=1e-4)
    assert after.shares["unexplained"].share == pytest.approx(before.shares["unexplained"].share)
    assert diagnose(none).open[0].key == "diagnosis.open.evidence"


def test_the_text_alone_names_nothing_where_nothing_fell(tmp_path):
    found = diagnose(moved.make_run(tmp_path / "run", pushed(), {HIT: (0.95, None)}))
    assert (found.named, found.numbers, found.checkpoint_used) == ([], {}, "")


def test_the_same_response_chosen_here_and_rejected_there_is_a_contradiction(tmp_path):
    texts, groups = [], []
    for n in range(64):
        one, other = moved.text(n // 2, 50, 700 + n // 2), moved.text(n // 2, 800 + n // 2)
        texts.append((one, other) if n % 2 else (other, one))
        groups.append(f"q{n // 2}")
    moves = {(50, 700 + n): (0.01, None) for n in range(32)}
    guilty = moved.make_run(tmp_path / "guilty", texts, moves, groups=groups)
    alike = moved.make_run(tmp_path / "alike", texts, moves, groups=[f"p{n}" for n in range(64)])
    assert ("contradiction", "") in named(guilty)
    assert "contradiction" not in dict(named(alike)), "other prompts may be answered otherwise"


def test_a_failed_check_outranks_every_cause(driven):
    found = diagnose(driven("pushed", 10), checks=[Check("step0", "fail", {"largest": "1", "allowed": "0"})])
    assert [one.cause for one in found.named] == ["artefact"]
    assert {one.cause for one in found if one.verdict == "possible"} >= {"collision"}


def test_without_evidence_a_collision_is_named_and_the_command_for_more_is_told(tmp_path):
    texts = pushed()
    run = moved.make_run(tmp_path / "run", texts, with_rejected_lost(HIT_LOST, texts), collected=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(run)
    assert [(one.cause, one.where) for one in found.named] == [("collision", "core")]
    assert found.named[0].share == pytest.approx(1)
    assert (found.shares, found.patterns) == ({}, [])
    assert "--evidence fallen" in found.open[0].command
    for finding in found:
        say_the_same(finding)


@pytest.mark.parametrize("gone", sorted(every_cause()))
def test_the_others_work_without_a_cause(monkeypatch, driven, tmp_path, gone):
    folder = shutil.copytree(Path(causes.__path__[0]), tmp_path / "causes")
    (folder / f"{gone}.py").unlink()
    monkeypatch.setattr(causes, "__path__", [str(folder)])
    found = diagnose(driven("pushed", 10))
    assert gone not in {one.cause for one in found}
    assert len({one.cause for one in found}) >= len(every_cause()) - 1


def test_a_package_without_any_cause_is_an_error_and_no_empty_diagnosis(monkeypatch, driven):
    monkeypatch.setattr(series_diagnosis, "every_cause", dict)
    with pytest.raises(RuntimeError, match="no cause of a fall is loaded"):
        diagnose(driven("pushed", 10))


@pytest.mark.parametrize("kind", ["pushed", "pulled"])
def test_every_finding_has_a_sentence_a_certainty_and_a_verdict_in_both_languages(driven, kind):
    found = diagnose(driven(kind, 10))
    assert {one.cause for one in found} == set(every_cause())
    for lang in LANGUAGES:
        assert all("{" not in line for line in diagnosis_lines(found, lang))
    for one in found:
        assert (one.verdict in VERDICTS, one.certainty in CERTAINTIES) == (True, True)
        assert f"diagnosis.cause.{one.cause}" in catalogue()


def test_json_has_the_promised_shape_and_no_nan(driven, capsys):
    run = driven("pushed", 10)
    with pytest.raises(SystemExit) as left:
        main(["diagnose", str(run.path), "--json"])
    assert left.value.code == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["fall"].keys() >= set("kind baseline_step from_step drop low high unit share_of_pairs".split())
    assert found["checkpoint_used"] == "s/checkpoint-40"
    assert sum(one["share"] for one in found["shares"].values()) == pytest.approx(1)
    promised = (
        "cause where verdict certainty share low high unit key values sentence pairs tokens counter advice source"
    )
    assert all(one.keys() >= set(promised.split()) for one in found["findings"])
    assert dpo.diagnose(run).to_json()["findings"] == found["findings"]


@pytest.mark.parametrize(
    "asked", [["--lang", "fr"], ["--series", "nope"], ["--split", "nope"], ["--model", "nope"], ["--model", "s/nope"]]
)
def test_what_is_not_there_is_refused_in_one_line(driven, capsys, asked):
    run = driven("pushed", 10)
    with pytest.raises(SystemExit) as left:
        main(["diagnose", str(run.path), *asked])
    said = capsys.readouterr().err
    assert (left.value.code, said.count("\n")) == (2, 1)
    assert said.startswith("error: no ")

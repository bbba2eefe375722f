"""What keeps a finding from being likely, with the reason in words; and a fall told at both of its ends."""

import json
from dataclasses import replace

import pytest

from dpo_analysis.cli.main import main
from dpo_analysis.diagnosis import diagnose
from dpo_analysis.diagnosis.diagnosis_text import both_ends_sentence, diagnosis_lines
from dpo_analysis.diagnosis.fall_detection import detect_fall
from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.outcome.limits import limit_findings
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import CONFIRMED_SHARE, ENOUGH_FALLEN_PAIRS, ENOUGH_READ_PAIRS, GREW_SINCE_TIMES
from dpo_analysis.errors import InputError
from dpo_analysis.text.regions import REGIONS
from dpo_analysis.words import LANGUAGES
from tests import moved
from tests.moved import HIT, pushed, with_rejected_lost

FOUND = Finding(
    "collision", "likely", "association", "core", 0.5, 0.4, 0.6, key="diagnosis.collision.likely", values={"low": "40%"}
)
STATISTICS = {"lost": 2.0, "lost_at_end": 2.0, "n_fallen": 60, "n_groups": 60, "end_per_token": 0.05,
              "fallen_at_end": 0.5}  # fmt: skip


@pytest.fixture(scope="module")
def log_ratios(tmp_path_factory):
    run = moved.make_run(tmp_path_factory.mktemp("few") / "run", pushed(12, 3), {HIT: (0.01, None)})
    return SeriesLogRatios(run, "s", "train")


@pytest.fixture
def symptoms(log_ratios):
    """Makes symptoms with other statistics: what share of the loss lies in the core, and what chance gives there."""

    def make(*, weight=0.8, chance=0.03, **statistics):
        region = {"weight": 0.05, "pushed_by_chance": 0.03, "pulled_by_chance": 0.03, "gain": 0.0, "gain_low": 0.0}
        region |= {"pushed": 0.0, "pulled": 0.0}
        by_region = dict.fromkeys(REGIONS, region) | {"core": region | {"weight": weight, "pushed_by_chance": chance}}
        found = FallStatistics(**STATISTICS | statistics, by_region=by_region)
        return Symptoms(detect_fall(log_ratios), log_ratios, 0, [], found, None, {})

    return make


def limited(read, shown=None, finding=FOUND, later=()):
    """The finding after the limits, and the reasons among its counter-evidence; each has its sentences."""
    (found,) = limit_findings([finding], read, shown or read, later)
    reasons = [key.removeprefix("diagnosis.limit.") for key in found.counter if key.startswith("diagnosis.limit.")]
    for lang in LANGUAGES:
        said = found.against(lang)
        assert len(said) == len(found.counter)
        assert not any("{" in line or "–" in line for line in said)
    return found.verdict, reasons


def test_a_finding_with_enough_behind_it_stays_likely(symptoms):
    assert limited(symptoms()) == ("likely", [])


@pytest.mark.parametrize(
    ("reason", "statistics"),
    [
        ("few", {"n_fallen": ENOUGH_FALLEN_PAIRS - 1}),
        ("groups", {"n_groups": 1}),
        ("place", {"weight": 0.08}),
        ("chance", {"chance": 0.4}),
    ],
)
def test_a_finding_with_too_little_behind_it_is_possible_and_says_why(symptoms, reason, statistics):
    assert limited(symptoms(**statistics)) == ("possible", [reason])


def test_few_pairs_at_the_checkpoint_read_are_too_few_however_many_fell_later(symptoms):
    few, many = symptoms(n_fallen=ENOUGH_READ_PAIRS - 1), symptoms()
    assert limited(few, many) == ("possible", ["few_read"])
    assert limited(few, many, finding=replace(FOUND, cause="generic_drift", where="")) == ("likely", [])


@pytest.mark.parametrize("cause", ["style_drift", "competing_answer", "near_identical", "reference_effect"])
def test_where_everything_fell_far_no_pull_and_no_likeness_is_likely(symptoms, cause):
    finding = replace(FOUND, cause=cause)
    assert limited(symptoms(end_per_token=0.2, fallen_at_end=0.9), finding=finding) == ("possible", ["ruined"])
    assert limited(symptoms(end_per_token=0.2, fallen_at_end=0.6), finding=finding) == ("likely", [])
    assert limited(symptoms(end_per_token=0.2, fallen_at_end=0.9)) == ("likely", []), "a push stays a push"


def test_a_fall_that_grew_since_is_explained_only_by_what_holds_at_its_end(symptoms):
    read, shown = symptoms(lost=0.5), symptoms(lost=0.5 * GREW_SINCE_TIMES + 0.1)
    assert limited(read, shown) == ("possible", ["grew"])
    assert limited(read, symptoms(lost=0.5 * GREW_SINCE_TIMES - 0.1)) == ("likely", [])
    assert limited(read, shown, later=[FOUND]) == ("likely", [])
    assert limited(read, shown, later=[replace(FOUND, verdict="possible")]) == ("possible", ["grew"])
    assert limited(read, shown, later=[replace(FOUND, where="opening")]) == ("possible", ["grew"])
    assert limited(read, shown, later=[replace(FOUND, share=CONFIRMED_SHARE - 0.01)]) == ("possible", ["grew"])
    assert limited(read, shown, finding=replace(FOUND, cause="generic_drift", where="")) == ("likely", [])


def test_what_is_not_read_from_the_loss_is_not_limited_by_it(symptoms):
    few = symptoms(n_fallen=2)
    for finding in (replace(FOUND, cause="artefact"), replace(FOUND, cause="swapped_columns")):
        assert limited(few, finding=finding) == ("likely", [])
    assert limited(few, finding=replace(FOUND, certainty="intervention")) == ("likely", [])
    assert limited(few, finding=replace(FOUND, verdict="unlikely")) == ("unlikely", [])


def test_with_swapped_columns_a_log_that_differs_accuses_the_setup_no_more(symptoms):
    swapped = replace(FOUND, cause="swapped_columns")
    compared, failed = (
        replace(FOUND, cause="artefact", certainty=certainty) for certainty in ("comparison", "identity")
    )
    found = limit_findings([compared, failed, swapped], symptoms(), symptoms(), [])
    assert [one.verdict for one in found] == ["possible", "likely", "likely"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A collision that can be read at step 10 and goes on to step 40."""
    texts = pushed()
    moves = with_rejected_lost({HIT: (0.01, None)}, texts)
    return moved.make_run(tmp_path_factory.mktemp("both") / "run", texts, moves, strengths=(0.9, 0.95, 1.0))


def test_too_few_fallen_pairs_are_the_answer_and_the_finding_is_possible(tmp_path):
    texts = pushed(100, 20)
    found = diagnose(moved.make_run(tmp_path / "run", texts, with_rejected_lost({HIT: (0.01, None)}, texts)))
    assert (found.named, found.answer.kind) == ([], "too_few")
    assert "20 of 100 pairs fell" in found.answer.sentence()
    collision = next(one for one in found if one.cause == "collision")
    assert (collision.verdict, collision.counter[-1]) == ("possible", "diagnosis.limit.few")
    assert "Only 20 pairs fell" in collision.against()[-1]


def test_both_ends_of_a_fall_are_told(run):
    found = diagnose(run)
    assert (found.checkpoint_used, found.checkpoint_shown) == ("s/checkpoint-10", "s/checkpoint-40")
    first, shown = found.numbers["lost"], found.numbers_shown["lost"]
    assert found.numbers["lost_at_end"] == pytest.approx(shown)
    assert shown == pytest.approx(-found.fall.drop)
    for shares in (found.shares, found.shares_shown):
        assert sum(share.share for share in shares.values()) == pytest.approx(1)
    for numbers in (found.numbers, found.numbers_shown):
        assert sum(numbers[f"{region}.weight"] for region in REGIONS) == pytest.approx(1)
    (sentence,) = both_ends_sentence(found)
    assert f"when {first / shown:.0%} of the drop at s/checkpoint-40 had happened" in sentence
    assert f"in the middle of the response ({found.numbers_shown['core.weight']:.0%})" in sentence
    assert both_ends_sentence(found, "zh")[0] in diagnosis_lines(found, "zh")


def test_a_fall_with_one_end_is_told_once(run):
    found = diagnose(run, model="checkpoint-10")
    assert (found.numbers_shown, found.shares_shown, both_ends_sentence(found)) == ({}, {}, [])


@pytest.mark.parametrize("name", ["checkpoint-20", "s/checkpoint-20"])
def test_the_checkpoint_asked_for_ends_the_curve(run, capsys, name):
    found = diagnose(run, model=name)
    assert (found.checkpoint_shown, found.fall.last_step) == ("s/checkpoint-20", 20)
    whole = diagnose(run)
    assert 0 > found.fall.drop > whole.fall.drop
    assert found.at_end["chosen_drift"] > whole.at_end["chosen_drift"]
    with pytest.raises(SystemExit) as left:
        main(["diagnose", str(run.path), "--model", name, "--json"])
    assert left.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["checkpoint_shown"], said["fall"]) == ("s/checkpoint-20", found.to_json()["fall"])


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(run):
    with pytest.raises(InputError, match=r"'checkpoint-30'.*checkpoint-10.*checkpoint-40"):
        diagnose(run, series="s", model="checkpoint-30")

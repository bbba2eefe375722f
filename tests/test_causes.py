"""Each cause on a case where it is guilty and on one where it is innocent but looks alike.

The rules are tested on a real run whose statistics alone are replaced; how these come about, on runs of their own.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.main import main
from dpo_analysis.diagnosis import Check, causes, diagnose
from dpo_analysis.diagnosis.causes import every_cause
from dpo_analysis.diagnosis.diagnosis_text import diagnosis_lines
from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CERTAINTIES, VERDICTS
from dpo_analysis.diagnosis.series_diagnosis import read_symptoms
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.words import LANGUAGES, catalogue
from tests import moved

HIT, ALT = (50, 51), (50, 52)
SOUND = {
    **{"lost": 2.0, "lost_at_end": 2.0, "pushed": 0.02, "pulled": 0.03, "no_data": 0.4, "x": 0.0, "end": 0.01},
    **{"edit": 0.4, "gap": 0.1, "rise": 0.5, "longer": 0.5},
    **{"expected": 2.0, "rejected_expected": 3.0, "both_expected": 2.5, "credit_size": 1.5},
    **{"contradicted": 0.0, "contradicted_pairs": 0.0, "turned": 0.1, "turned_pairs": 0.1},
}
"""Statistics by which no cause is likely: of the ledger, of texts and curve, of evidence ``kl``, of labels."""


def pushed(count=30, fallen=6, start=0):
    """Few pairs choose HIT, the others reject it."""
    return [
        (moved.text(n, *HIT, start=start), moved.text(n, 500 + n, start=start))
        if n < fallen
        else (moved.text(n, 600 + n, start=start), moved.text(n, *HIT, start=start))
        for n in range(count)
    ]


def pulled(start=0):
    """A third of the pairs choose HIT, the others ALT; nobody rejects either."""
    return [
        (moved.text(n, *(HIT if n < 10 else ALT), start=start), moved.text(n, 500 + n, start=start)) for n in range(30)
    ]


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """The symptoms of a run in whose core HIT is pushed: its log-ratios, its ledger with tokens, and all the rest."""
    run = moved.make_run(tmp_path_factory.mktemp("observed") / "run", pushed(), {HIT: (0.01, None)})
    return read_symptoms(run, SeriesLogRatios(run, "s", "train"), "train", [])


@pytest.fixture
def case(observed):
    """Makes the same symptoms with other statistics, all that was lost in the core."""

    def make(*, checks=(), others=(), **statistics):
        values = SOUND | statistics
        nothing = {"weight": 0.0, "pushed": 0.0, "pulled": 0.0, "x": np.nan}
        core = {"weight": 1.0} | {name: values[name] for name in ("pushed", "pulled", "x")}
        regions = {"opening": nothing, "core": core, "closing": nothing, "end": nothing}
        by_region = {name: own | {"others": dict(others).get(name, 0.0)} for name, own in regions.items()}
        found = FallStatistics(**values, by_region=by_region)
        return replace(observed, checks=list(checks), statistics=found)

    return make


def verdict(cause, given):
    """What a cause says of these symptoms; it has words for it, and shows pairs and tokens of the run."""
    (found,) = every_cause()[cause](given)
    for lang in LANGUAGES:
        assert "{" not in "".join([found.sentence(lang), *found.against(lang)])
    assert set(found.pairs) <= set(given.log_ratios.pair_ids)
    assert {token.position for token in found.tokens} <= {11}, "the second token of HIT alone was lost"
    return found.verdict


@pytest.mark.parametrize(
    ("cause", "guilty", "alike"),
    [
        ("artefact", {"checks": [Check("step0", "fail", {"largest": "1"})]}, {"checks": [Check("step0", "pass")]}),
        ("artefact", {"checks": [Check("logged", "warn", {"far": 9, "n": 10})]},
         {"checks": [Check("logged", "note", {"far": 9, "n": 10, "series": "s"})]}),
        ("contradiction", {"contradicted": 0.6, "contradicted_pairs": 0.3}, {"contradicted": 0.0}),
        ("off_policy_rejected", {"gap": 5.0}, {"gap": 0.5, "edit": 0.9}),
        ("length_or_eos", {"end": 0.6}, {"end": 0.05, "longer": 1.0}),
        ("generic_drift", {"rise": -0.8}, {"rise": 0.5, "edit": 0.1}),
        ("generic_drift", {"edit": 0.6}, {"edit": 0.6, "pushed": 0.5}),
        ("near_identical", {"edit": 0.05, "rise": 0.1}, {"edit": 0.5, "rise": 0.5}),
        ("style_drift", {"others": {"opening": 0.9}}, {"others": {"opening": 0.9}, "pushed": 0.5, "x": 0.6}),
        ("style_drift", {"others": {"closing": 0.9}}, {"others": {"closing": 0.9}, "end": 0.6}),
        ("competing_answer", {"others": {"core": 0.4}, "edit": 0.3}, {"others": {"core": 0.4}, "edit": 0.6}),
        ("competing_answer", {"others": {"core": 0.4}, "edit": 0.3},
         {"others": {"core": 0.4, "opening": 0.6}, "edit": 0.3}),
        ("contradiction", {"turned": 0.4, "turned_pairs": 0.1}, {"turned": 0.4, "turned_pairs": 0.4}),
        ("contradiction", {"turned": 0.25, "turned_pairs": 0.1, "edit": 0.1}, {"turned": 0.25, "turned_pairs": 0.1}),
        ("generic_drift", {"edit": 0.6, "pushed": 0.0, "pulled": 0.16}, {"edit": 0.6, "pushed": 0.0, "pulled": 0.18}),
        ("reference_effect", {"both_expected": 1.0, "credit_size": 0.8, "gap": 0.0, "edit": 0.6},
         {"both_expected": 1.0, "credit_size": 1.1, "gap": 0.0, "edit": 0.6}),
        ("artefact", {"checks": [Check("no_eos", "warn", {"n": 30, "share": "100%"})]},
         {"checks": [Check("no_eos", "pass", {"n": 0, "share": "0%"})]}),
    ],
)  # fmt: skip
def test_a_cause_is_likely_where_it_is_guilty_and_unlikely_where_it_only_looks_so(case, cause, guilty, alike):
    assert verdict(cause, case(**guilty)) == "likely"
    assert verdict(cause, case(**alike)) == "unlikely"


def test_near_copies_that_fall_from_the_start_are_possible_only(case):
    assert verdict("near_identical", case(edit=0.05, rise=-2.0)) == "possible"
    assert verdict("generic_drift", case(edit=0.05, rise=-2.0)) == "likely"


@pytest.mark.parametrize("why", [{"rise": 0.6}, {"rise": np.nan}, {"rise": 0.1, "others": {"opening": 0.9}}])
def test_near_copies_are_possible_only_where_others_gained_or_the_beginning_is_not_known(case, why):
    assert verdict("near_identical", case(edit=0.05, rise=0.1)) == "likely"
    assert verdict("near_identical", case(edit=0.05, **{"rise": 0.1} | why)) == "possible"


def test_generic_drift_is_possible_beside_another_reading_where_the_responses_differ_much(case):
    moved_on = {"others": {"opening": 0.9}}
    assert verdict("generic_drift", case(edit=0.6, **moved_on)) == "possible"
    assert verdict("generic_drift", case(edit=0.1, **moved_on)) == "unlikely"
    assert verdict("generic_drift", case(edit=0.6, rise=-0.8, **moved_on)) == "likely"


def test_what_is_rejected_more_than_it_went_to_what_is_chosen_is_no_pull(case):
    given = case(pushed=0.3, pulled=0.0, x=-0.1)
    assert [verdict(cause, given) for cause in ("collision", "competing_answer")] == ["possible", "possible"]
    assert verdict("competing_answer", case(pushed=0.1, pulled=0.2, x=-0.1)) == "likely"


def test_one_contradicted_pair_of_many_names_nothing(case):
    assert verdict("contradiction", case(contradicted=0.4, contradicted_pairs=0.02)) == "possible"


def test_between_near_and_far_without_a_pattern_nothing_is_named(case):
    given = case(edit=0.25)
    assert verdict("near_identical", given) == "unlikely"
    assert verdict("generic_drift", given) == "cannot tell"


@pytest.mark.parametrize(("cause", "edit"), [("near_identical", 0.05), ("generic_drift", 0.6)])
def test_where_all_went_to_what_no_text_has_nothing_is_named(case, cause, edit):
    assert verdict(cause, case(edit=edit, rise=0.1, no_data=0.7)) == "likely"
    assert verdict(cause, case(edit=edit, rise=0.1, no_data=0.8)) == "cannot tell"


def test_a_closing_that_is_rejected_where_ending_before_it_is_chosen_is_possible_only(case):
    driven = {"pushed": 0.5, "x": 0.6}
    closing = {"closing": {"weight": 1.0, "pulled": 0} | driven}
    both = [case(**driven, ended=ended) for ended in (0.1, 0.5)]
    given = [replace(one, statistics=replace(one.statistics, by_region=closing)) for one in both]
    assert [verdict("collision", one) for one in given] == ["likely", "possible"]
    assert [verdict("length_or_eos", one) for one in given] == ["unlikely", "likely"]
    assert verdict("length_or_eos", case(ended=0.9)) == "unlikely"


def named(run, **asked):
    return [(one.cause, one.where) for one in diagnose(run, **asked).named]


@pytest.mark.parametrize(("start", "where"), [(2, "opening"), (10, "core"), (20, "closing")])
def test_collision_is_named_at_its_place_and_a_pull_there_is_not(tmp_path, start, where):
    guilty = moved.make_run(tmp_path / "guilty", pushed(start=start), {HIT: (0.01, None)})
    alike = moved.make_run(tmp_path / "alike", pulled(start=start), {HIT: (0.01, ALT[1])})
    assert named(guilty) == [("collision", where)]
    assert "collision" not in dict(named(alike))


@pytest.mark.parametrize(("start", "cause"), [(2, "style_drift"), (10, "competing_answer"), (20, "style_drift")])
def test_a_pull_is_named_by_its_place_and_a_push_there_is_not(tmp_path, start, cause):
    guilty = moved.make_run(tmp_path / "guilty", pulled(start=start), {HIT: (0.01, ALT[1])})
    alike = moved.make_run(tmp_path / "alike", pushed(start=start), {HIT: (0.01, None)})
    assert [one for one, _ in named(guilty)] == [cause]
    assert cause not in dict(named(alike))


def lost_at(place, count=30):
    """Every pair loses one token of its own: the one at ``place``."""
    return {(1000 + 100 * n + place - 1, 1000 + 100 * n + place): (0.01, None) for n in range(count)}


NEAR_COPIES = [(moved.text(n), moved.text(n, 500 + n)) for n in range(30)]
UNLIKE = [(moved.text(n), moved.text(100 + n)) for n in range(30)]
FLIPPED = [(moved.text(n, *(HIT if n < 8 else ALT)), moved.text(n, *(ALT if n < 8 else HIT))) for n in range(30)]
HIT_LOST = {HIT: (0.01, None)}
LAST_TOKEN_LOST = {(1000 + 100 * n + 24, moved.END): (0.01, None) for n in range(30)}
BOTH_SIDES_LOST = {(1000 + 100 * n + 11, 1000 + 100 * n + 12): (0.01, None) for n in [*range(30), *range(100, 130)]}
FROM_STEP_0 = {"texts": pushed(), "moves": HIT_LOST, "steps": (0, 20, 40)}
REAL = {
    "artefact": (FROM_STEP_0 | {"strengths": (0.5, 0.6, 1.0)}, FROM_STEP_0 | {"strengths": (0, 0.6, 1.0)}),
    "contradiction": ({"texts": FLIPPED, "moves": HIT_LOST}, {"texts": pushed(), "moves": HIT_LOST}),
    "off_policy_rejected": ({"texts": UNLIKE, "moves": lost_at(12), "reference": {"rejected": 0.02}},
                            {"texts": UNLIKE, "moves": lost_at(12), "reference": {"rejected": 0.3}}),
    "reference_effect": ({"texts": UNLIKE, "moves": BOTH_SIDES_LOST, "explained": 1.0},
                         {"texts": UNLIKE, "moves": BOTH_SIDES_LOST, "explained": 0.2}),
    "length_or_eos": ({"texts": NEAR_COPIES, "moves": LAST_TOKEN_LOST}, {"texts": NEAR_COPIES, "moves": lost_at(12)}),
    "generic_drift": ({"texts": UNLIKE, "moves": lost_at(12)}, {"texts": NEAR_COPIES, "moves": lost_at(12)}),
    "near_identical": ({"texts": NEAR_COPIES, "moves": lost_at(5)}, {"texts": UNLIKE, "moves": lost_at(5)}),
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
        for lang in LANGUAGES:
            assert "{" not in "".join([finding.sentence(lang), *finding.against(lang)])


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
    for n in range(30):
        one, other = moved.text(n // 2, 50, 700 + n // 2), moved.text(n // 2, 800 + n // 2)
        texts.append((one, other) if n % 2 else (other, one))
        groups.append(f"q{n // 2}")
    moves = {(50, 700 + n): (0.01, None) for n in range(15)}
    guilty = moved.make_run(tmp_path / "guilty", texts, moves, groups=groups)
    alike = moved.make_run(tmp_path / "alike", texts, moves, groups=[f"p{n}" for n in range(30)])
    assert ("contradiction", "") in named(guilty)
    assert "contradiction" not in dict(named(alike)), "other prompts may be answered otherwise"


def test_a_failed_check_outranks_every_cause(tmp_path):
    run = moved.make_run(tmp_path / "run", pushed(), {HIT: (0.01, None)})
    found = diagnose(run, checks=[Check("step0", "fail", {"largest": "1", "allowed": "0"})])
    assert [one.cause for one in found.named] == ["artefact"]
    assert {one.cause for one in found if one.verdict == "possible"} >= {"collision"}


def test_without_evidence_nothing_is_named_and_the_command_for_it_is_told(tmp_path):
    found = diagnose(moved.make_run(tmp_path / "run", pushed(), {HIT: (0.01, None)}, collected=False))
    assert found.named == []
    assert "--evidence fallen" in found.open[0].command


@pytest.mark.parametrize("gone", sorted(every_cause()))
def test_the_others_work_without_a_cause(monkeypatch, tmp_path, gone):
    folder = shutil.copytree(Path(causes.__path__[0]), tmp_path / "causes")
    (folder / f"{gone}.py").unlink()
    monkeypatch.setattr(causes, "__path__", [str(folder)])
    found = diagnose(moved.make_run(tmp_path / "run", pushed(), {HIT: (0.01, None)}))
    assert gone not in {one.cause for one in found}
    assert len({one.cause for one in found}) >= len(every_cause()) - 1


def test_every_finding_has_a_sentence_a_certainty_and_a_verdict_in_both_languages(tmp_path):
    push = moved.make_run(tmp_path / "push", pushed(), {HIT: (0.01, None)})
    pull = moved.make_run(tmp_path / "pull", pulled(), {HIT: (0.01, ALT[1])})
    for found in map(diagnose, (push, pull)):
        assert {one.cause for one in found} == set(every_cause())
        for lang in LANGUAGES:
            assert all("{" not in line for line in diagnosis_lines(found, lang))
        for one in found:
            assert (one.verdict in VERDICTS, one.certainty in CERTAINTIES) == (True, True)
            assert f"diagnosis.cause.{one.cause}" in catalogue()


def test_json_has_the_promised_shape_and_no_nan(tmp_path, capsys):
    run = moved.make_run(tmp_path / "run", pushed(), {HIT: (0.01, None)})
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


@pytest.mark.parametrize("asked", [["--lang", "fr"], ["--series", "nope"], ["--split", "nope"]])
def test_what_is_not_there_is_refused_in_one_line(tmp_path, capsys, asked):
    run = moved.make_run(tmp_path / "run", pushed(), {HIT: (0.01, None)})
    with pytest.raises(SystemExit) as left:
        main(["diagnose", str(run.path), *asked])
    said = capsys.readouterr().err
    assert (left.value.code, said.count("\n")) == (2, 1)
    assert said.startswith("error: no ")

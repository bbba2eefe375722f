"""Each check on a run where it is guilty and on one where it is not."""

from dataclasses import replace

import numpy as np
import pytest

import dpo_analysis as dpo
from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.data.row_warnings import ROW_WARNINGS
from dpo_analysis.data.tokenization import Response
from dpo_analysis.diagnosis import CHECK_VERDICTS, Check, run_checks
from dpo_analysis.diagnosis.check_rows import rows_to_check
from dpo_analysis.figures.check_texts import answer, question
from dpo_analysis.runs import Series
from dpo_analysis.words import catalogue, text
from tests import handmade
from tests.handmade import make_run

ONE = ([-1.0], [-1.0])
GOOD = {"reference": [([-1.0, -1.0], [-1.0, -1.0, -2.0])], "s/m-1": [([-2.0, -1.0], [-2.0, -1.0, -9.0])]}


def verdicts(run):
    return {check.name: check for check in run_checks(run)}


def test_the_sample_run_is_sound_step_0_is_unknown_and_one_text_is_judged_both_ways():
    found = run_checks(dpo.open_run(sample_run()))
    assert {check.name: check.verdict for check in found if check.verdict != "pass"} == {
        "step0": "unknown",
        "both_ways": "note",
    }
    ranks = [CHECK_VERDICTS.index(check.verdict) for check in found]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("name", "verdict", "scores", "facts"),
    [
        ("scored", "fail", {"reference": GOOD["reference"] * 2, "s/m-1": [*GOOD["s/m-1"], "nonfinite"]}, {}),
        ("finished", "note", GOOD, {"missing": (("s/m-1", 0),)}),
        ("step0", "fail", {"reference": GOOD["reference"], "s/m-0": GOOD["s/m-1"]}, {}),
        ("step0", "pass", {"reference": GOOD["reference"], "s/m-0": GOOD["reference"]}, {}),
        ("beginning", "fail", {"reference": GOOD["reference"], "s/m-1": [([-2.0, -1.0], [-1.0, -1.0, -2.0])]}, {}),
        ("labels", "warn", {"reference": [([-90.0], [-1.0])], "s/m-1": [([-90.0], [-1.0])]}, {}),
        ("lengths", "warn", GOOD, {}),
        ("lengths", "pass", {"reference": [*GOOD["reference"], ([-1.0] * 3, [-1.0])],
                             "s/m-1": [*GOOD["s/m-1"], ([-1.0] * 3, [-1.0])]}, {}),
        ("noise", "unknown", GOOD, {}),
        ("noise", "pass", GOOD, {"noise": 0.01}),
        ("noise", "warn", GOOD, {"noise": 99.0}),
        ("start", "note", GOOD, {"series": [Series("s", start="unknown")]}),
        ("beta", "warn", GOOD, {"series": [Series("s", beta=0.0)]}),
        ("beta", "pass", GOOD, {}),
        ("empty", "warn", {name: [*rows, ONE] for name, rows in GOOD.items()},
         {"facts": {1: {"status": "empty"}}}),
        ("prompt_in_splits", "warn", {name: rows * 2 for name, rows in GOOD.items()},
         {"facts": {0: {"group": "g"}, 1: {"group": "g", "split": "train"}}}),
    ],
)  # fmt: skip
def test_a_guilty_run_is_told(tmp_path, name, verdict, scores, facts):
    assert verdicts(make_run(tmp_path / "run", scores, **facts))[name].verdict == verdict


@pytest.mark.parametrize("name", ["scored", "finished", "start", "beginning", "weights", "twins", "empty", "truncated"])
def test_a_sound_run_passes(tmp_path, name):
    assert verdicts(make_run(tmp_path / "run", GOOD))[name].verdict == "pass"


def test_the_same_weights_are_told(tmp_path, monkeypatch):
    own = handmade.model

    def same(key):
        one = own(key)
        return one if one.is_reference else type(one)(one.series, one.name, one.step, one.kind, one.source, "r" * 64)

    monkeypatch.setattr(handmade, "model", same)
    found = verdicts(make_run(tmp_path / "run", {**GOOD, "s/m-2": GOOD["s/m-1"]}))
    assert (found["weights"].verdict, found["twins"].verdict) == ("fail", "warn")
    assert "s/m-2" in found["weights"].values["models"]


def test_examples_are_pairs_of_the_run(tmp_path):
    scores = {name: rows * 2 for name, rows in GOOD.items()}
    found = verdicts(make_run(tmp_path / "run", scores, facts={1: {"status": "too_long"}}))
    assert found["too_long"].pair_ids == ("p1",)
    assert found["too_long"].values == {"n": 1, "share": "50.0%", "of": 2}


def test_rows_of_a_run_see_ends_of_text_and_truncation(tmp_path, monkeypatch):
    vocab = handmade.VOCAB.set_column(2, "special", [[False, False, False, True]])
    ids = {"chosen": [0, 3], "rejected": [0, 3, 1, 3]}
    sides = {
        side: Response(np.array([3, 3], np.int32), np.array(t, np.int32), side == "chosen") for side, t in ids.items()
    }
    own = handmade.pair
    monkeypatch.setattr(handmade, "pair", lambda *args, **facts: replace(own(*args, **facts), responses=sides))
    scores = {"reference": [([-1.0] * 2, [-1.0] * 4)], "s/m-1": [([-2.0] * 2, [-1.0] * 4)]}
    rows = rows_to_check(make_run(tmp_path / "run", scores, vocab=vocab)).iloc[0]
    assert rows[["chosen_ends_with_eos", "rejected_ends_with_eos"]].tolist() == [True, True]
    assert rows[["chosen_double_eos", "rejected_double_eos"]].tolist() == [False, True]
    assert rows[["chosen_truncated", "rejected_truncated"]].tolist() == [True, False]
    assert rows["double_bos"]


def test_every_answer_has_its_words(tmp_path):
    for name in ("finished", "scored", "weights", "twins", "start", "step0", "logged", "noise", "beginning", "labels"):
        assert f"checks.{name}" in catalogue()
    assert all(f"check.complaint.{name}" in catalogue() for name in ROW_WARNINGS)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ROW_WARNINGS)
def test_a_check_of_the_rows_asks_and_its_answer_says_what_was_found(name, lang):
    found, none = (Check(name, verdict, {"n": n, "share": "40%"}) for verdict, n in (("warn", 2), ("pass", 0)))
    assert question(found, lang).endswith("?" if lang == "en" else "？")
    assert text(f"check.complaint.{name}", lang) in answer(found, lang)
    assert text(f"check.complaint.{name}", lang) not in answer(none, lang)

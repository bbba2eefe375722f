"""The reason in one sentence, the state of a series, and what is normal among public runs."""

import csv
import statistics
from dataclasses import replace

import pytest

from dpo_analysis.cli.launcher import sample_run
from dpo_analysis.diagnosis import diagnose
from dpo_analysis.diagnosis.outcome import public_runs as module
from dpo_analysis.diagnosis.outcome.public_runs import public_runs
from dpo_analysis.diagnosis.outcome.why import (
    STATES,
    advice_sentence,
    normal_sentence,
    short_phrase,
    state_of,
    state_sentence,
    why,
    why_sentence,
)
from dpo_analysis.diagnosis.thresholds import PUBLIC_RUNS, PUBLIC_RUNS_BELOW
from dpo_analysis.runs import open_run
from dpo_analysis.words import text


@pytest.fixture(scope="module")
def sample():
    run = open_run(sample_run())
    return {series: diagnose(run, series=series) for series in run.series}


def test_the_reason_names_the_words_and_how_many_pairs_reject_them(sample):
    sentence = why_sentence(sample["lora"])
    assert sentence.startswith("Words you want are rejected in other pairs")
    assert "“Is there anything else I can help you with?”" in sentence
    assert "20 scored training pairs have" in sentence
    assert "4 only in the chosen response" in sentence
    sure = why(sample["lora"]).sure
    assert sure.startswith("likely · correlation only · measured at checkpoint-90, when 33%")
    assert sure.endswith("38% not explained")


def test_a_cause_that_is_only_possible_is_not_named_as_the_cause(sample):
    found = why(sample["strong"])
    assert found.sentence.startswith("A possible cause: words you want")
    assert found.sure.startswith("possible")


def test_where_nothing_fell_nothing_is_explained(sample):
    found = why(sample["gentle"])
    assert found.sentence.startswith("Nothing to explain")
    assert (found.sure, found.finding) == ("", None)
    assert advice_sentence(sample["gentle"]) == text("diagnosis.next.nothing_fell")


def test_the_state_says_since_when(sample):
    assert [state_of(sample[name]) for name in ("strong", "lora", "gentle")] == ["fell", "fell", "rose"]
    assert state_sentence(sample["strong"]) == "fell below the reference since step 30"
    assert "30" in state_sentence(sample["strong"], "zh")


def test_a_small_decline_since_the_peak_is_no_fall(sample):
    gentle = sample["gentle"]
    peak = replace(gentle, fall=replace(gentle.fall, kind="below_peak"))
    assert state_of(peak) == "held", "no loss is established"
    assert state_of(replace(peak, numbers={"lost": 1.0})) == "fell_from_peak"
    assert {state_of(one) for one in (*sample.values(), peak)} <= set(STATES)


def test_public_runs_are_those_of_the_table():
    with module.TABLE.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert all(row["source"].startswith("huggingface.co/") for row in rows)
    below = [row for row in rows if float(row["chosen_reward"]) < 0]
    assert all(float(row["rejected_reward"]) < float(row["chosen_reward"]) for row in below)
    found = public_runs()
    assert (found.n_runs, found.n_below) == (len(rows), len(below)) == (PUBLIC_RUNS, PUBLIC_RUNS_BELOW)
    ratio = statistics.median(float(row["chosen_reward"]) / float(row["rejected_reward"]) for row in below)
    assert found.median_ratio == pytest.approx(ratio)
    for row in rows:
        margin = float(row["chosen_reward"]) - float(row["rejected_reward"])
        assert margin == pytest.approx(float(row["margin"]), abs=2e-3), "copied without an error"


def test_the_run_stands_beside_the_public_ones(sample):
    strong = normal_sentence(sample["strong"])
    assert "18 of 20" in strong
    assert "0.66 times" in strong
    assert strong.endswith("less than usual.")
    chosen, rejected = (sample["strong"].at_end[f"{side}_reward"] for side in ("chosen", "rejected"))
    assert f"{chosen / rejected:.2f} times" in strong
    assert normal_sentence(sample["gentle"]) == ""


@pytest.mark.parametrize(("text", "shown"), [("a\n b", "a b"), ("word " * 30, "…")])
def test_a_long_phrase_is_cut(text, shown):
    assert short_phrase(text).endswith(shown)
    assert len(short_phrase(text)) <= 70

"""Whether a change is harmful: two signs make damage, steady ones none, and the score grows with each."""

from dataclasses import replace

import numpy as np
import pytest

from dpo_analysis.diagnosis.outcome import harm_signs
from dpo_analysis.diagnosis.outcome.harm import HARM_VERDICTS, harm_score, judge_harm
from dpo_analysis.diagnosis.outcome.harm_signs import HarmSigns, NamedTokens, read_harm_signs
from dpo_analysis.words import LANGUAGES
from tests import moved

STEADY = HarmSigns(0.02, 0.98, 1.0, 0.7, -0.01, 0.0, 100)
NAN = float("nan")


def verdict(signs):
    harm = judge_harm(signs)
    assert harm.verdict in HARM_VERDICTS
    for lang in LANGUAGES:
        assert not set("{}–") & set(harm.sentence(lang))
    return harm.verdict


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "harmless"),
        ({"slip_chance": 0.2}, "costly"),
        ({"slip_chance": 0.6}, "costly"),
        ({"entropy_ratio": 0.8}, "costly"),
        ({"entropy_ratio": 1.6}, "costly"),
        ({"slip_chance": 0.6, "entropy_ratio": 1.6}, "damage"),
        ({"slip_chance": 0.6, "kept_mass": 0.1}, "damage"),
        ({"entropy_ratio": 0.6, "top_mass_ratio": 0.9}, "damage"),
        ({"entropy_ratio": NAN}, "cannot_tell"),
        ({"slip_chance": NAN, "kept_mass": NAN, "top_mass_ratio": NAN}, "harmless"),
        ({"slip_chance": NAN, "kept_mass": NAN, "change_per_token": -0.05}, "cannot_tell"),
        ({"slip_chance": NAN, "kept_mass": NAN, "change_per_token": -0.5, "entropy_ratio": 2.0}, "damage"),
    ],
)
def test_two_signs_make_damage_and_steady_ones_none(facts, expected):
    assert verdict(replace(STEADY, **facts)) == expected


def test_falling_diversity_is_said():
    assert "more alike" in judge_harm(replace(STEADY, entropy_ratio=0.8)).sentence()
    assert "more alike" not in judge_harm(replace(STEADY, entropy_ratio=1.2)).sentence()


def test_the_score_lies_between_0_and_1_and_grows_with_harm():
    scores = [harm_score(replace(STEADY, slip_chance=slip, change_per_token=0.0)) for slip in (0.0, 0.1, 0.5, 1.0)]
    assert scores == pytest.approx([0.0, 0.1, 0.5, 1.0])
    falls = [harm_score(replace(STEADY, change_per_token=change)) for change in (1.0, 0.0, -0.1, -7.0)]
    assert falls[0] == falls[1] < falls[2] < falls[3] <= 1
    assert np.isnan(harm_score(HarmSigns()))


def test_a_slip_is_a_gain_of_improbable_tokens_anywhere_in_the_response():
    policy = np.array([0.6, 0.4, 0.5, 0.5, 0.9, 0.1])
    reference = np.array([0.9, 0.001, 0.5, 0.5, 0.98, 0.02])
    labels = np.array([True, False, True, False, True, False])
    tokens = NamedTokens(np.array([2, 1]), np.array([2, 2, 2]), labels, policy, reference)
    assert tokens.slip_chance() == pytest.approx(np.mean([0.399, 0.0]))
    assert tokens.top_mass_ratio() == pytest.approx(policy.sum() / reference.sum())
    both = NamedTokens(np.array([2]), np.array([2, 2]), labels[:4], policy[[0, 1, 0, 1]], reference[[0, 1, 0, 1]])
    assert both.slip_chance() == pytest.approx(1 - (1 - 0.399) ** 2)
    kept = replace_label(tokens)
    assert kept.slip_chance() == 0.0, "the response's own token may gain"


def replace_label(tokens):
    return NamedTokens(tokens.lengths, tokens.n_named, ~tokens.is_label, tokens.policy, tokens.reference)


def test_only_the_likeliest_tokens_count_as_the_top():
    policy, reference = np.full(10, 0.05), np.full(10, 0.1)
    tokens = NamedTokens(np.array([1]), np.array([10]), np.zeros(10, bool), policy, reference)
    assert tokens.top_mass_ratio() == pytest.approx(0.5)


def test_the_signs_are_read_from_the_run(tmp_path, monkeypatch):
    texts = [(moved.text(n, 50, 51), moved.text(n, 500 + n)) for n in range(30)]
    run = moved.make_run(tmp_path / "run", texts, {(50, 51): (0.01, 700)})
    signs = [read_harm_signs(run, model, "train") for model in run.models]
    assert [sign.n_responses for sign in signs] == [30, 30, 30]
    assert [sign.slip_chance for sign in signs] == [0, 0, 0], "the token that gained is not improbable enough"
    assert signs[-1].change_per_token < signs[0].change_per_token < 0
    monkeypatch.setattr(harm_signs, "IMPROBABLE_TOKEN", moved.RARE)
    chances = [read_harm_signs(run, model, "train").slip_chance for model in run.models]
    assert 0 < chances[0] < chances[1] < chances[2] < 1
    bare = moved.make_run(tmp_path / "bare", texts, {(50, 51): (0.01, 700)}, collected=False)
    assert np.isnan(read_harm_signs(bare, bare.models[-1], "train").slip_chance)

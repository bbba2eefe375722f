"""The plain answer: every run gets exactly one, and each describes what was measured."""

from dataclasses import replace

import numpy as np
import pytest

from dpo_analysis.diagnosis.findings import Fall, Finding
from dpo_analysis.diagnosis.ledger.ledger import RECIPIENTS
from dpo_analysis.diagnosis.outcome.answer import ANSWERS, UNMOVED_REASONS, Outcome, find_answer, pairs_needed
from dpo_analysis.diagnosis.outcome.pair_changes import PairChanges, read_pair_changes
from dpo_analysis.diagnosis.outcome.setup import TrainingSetup, read_setup
from dpo_analysis.diagnosis.thresholds import ORDINARY_NATS_PER_TOKEN
from dpo_analysis.words import LANGUAGES
from tests import handmade

LIKELY_FINDING = Finding("collision", "likely", "association", key="diagnosis.collision.unlikely")


def changes(chosen, rejected, *, n=100, tokens=40, noise=0.0, spread=0.1, split="eval", n_identical=0):
    """Pairs whose responses change by about so many nats, each a group of its own; numbers or one value per pair."""
    wave = spread * np.sin(np.arange(n))
    chosen, rejected = (np.broadcast_to(np.asarray(side, dtype=float), n) + wave for side in (chosen, rejected))
    ids = np.array([f"p{number}" for number in range(n)], dtype=object)
    lengths = np.full((n, 2), tokens)
    return PairChanges(split, chosen, rejected, lengths, np.arange(n), np.arange(n), ids, noise, n_identical)


def outcome(shown, *, n_fallen=60, established=True, kind="below_start", **facts):
    fall = Fall(kind, 0, 10, 40, -1.0, -1.1, -0.9, "nats per pair", 0.8, 1.0, 0.2, hidden=False, n_pairs=shown.n_pairs)
    return Outcome(shown, fall, n_fallen, established, **facts)


def kind_of(given):
    """The kind of the answer, whose sentence has all of its values in both languages."""
    answer = find_answer(given)
    assert answer.kind in ANSWERS
    for lang in LANGUAGES:
        assert not set("{}") & set(answer.sentence(lang))
        assert "diagnosis." not in answer.sentence(lang)
    return answer.kind


FELL = changes(-1.0, -4.0)
SHARES = dict.fromkeys(RECIPIENTS, 0.1) | {"no_data": 0.4}


def test_nothing_moved_whatever_else_is_said():
    still = changes(0.001, -0.001, spread=0.0)
    assert kind_of(outcome(still, findings=[LIKELY_FINDING])) == "nothing_moved"
    assert kind_of(outcome(changes(0.0, -4.0, spread=0.0), established=False)) == "nothing_fell"


def test_a_change_within_scoring_noise_is_none():
    noisy = changes(-0.5, 0.5, spread=0.0, noise=0.6)
    assert kind_of(outcome(noisy, established=False)) == "nothing_moved"
    assert kind_of(outcome(replace(noisy, noise=0.4), established=False)) != "nothing_moved"


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        ("same_weights", {"setup": TrainingSetup(same_weights=True, beta=0.0)}),
        ("beta", {"setup": TrainingSetup(beta=0.0)}),
        ("gradient", {"setup": TrainingSetup(beta=0.1, gradient_norm=0.0)}),
        ("learning_rate", {"setup": TrainingSetup(beta=0.1, learning_rate=1e-9, gradient_norm=1.0)}),
        ("unknown", {"setup": TrainingSetup(beta=0.1, learning_rate=5e-7)}),
    ],
)
def test_what_the_run_shows_of_the_reason_is_said(reason, facts):
    assert reason in UNMOVED_REASONS
    given = outcome(changes(0.0, 0.0, spread=0.0), established=False, **facts)
    assert kind_of(given) == "nothing_moved"
    assert find_answer(given).key.endswith(f".{reason}")


def test_identical_sides_are_named():
    given = outcome(changes(0.0, 0.0, spread=0.0, n_identical=80), established=False)
    assert find_answer(given).key.endswith(".identical")
    assert "80 of 100" in find_answer(given).sentence()


def test_nothing_fell_outranks_an_artefact():
    artefact = Finding("artefact", "likely", "comparison", key="diagnosis.artefact.offset")
    assert kind_of(outcome(changes(0.5, -4.0), established=False, findings=[artefact])) == "nothing_fell"
    assert kind_of(outcome(FELL, findings=[artefact])) == "setup"


def test_few_pairs_around_zero_show_nothing():
    few = changes([-0.6, 0.7, -0.2, 0.4, 0.1], -4.0, n=5)
    assert kind_of(outcome(few, n_fallen=1, established=False)) == "too_few"
    assert kind_of(outcome(changes(2.0, -4.0, n=5), n_fallen=0, established=False)) == "nothing_fell"


def test_too_few_says_how_many_would_do():
    given = outcome(changes(-1.0, -4.0, n=10), n_fallen=5, findings=[LIKELY_FINDING])
    assert kind_of(given) == "too_few"
    assert "5 of 10 pairs fell" in find_answer(given).sentence()
    assert "60 pairs" in find_answer(given).sentence()


@pytest.mark.parametrize(("n_pairs", "n_fallen", "needed"), [(10, 5, 60), (7, 5, 42), (150, 10, 450), (1000, 7, 4300)])
def test_the_number_needed_is_rounded_up_to_two_digits(n_pairs, n_fallen, needed):
    assert pairs_needed(n_pairs, n_fallen) == needed


def test_a_likely_cause_outranks_descriptions():
    assert kind_of(outcome(FELL, findings=[LIKELY_FINDING])) == "cause"
    assert kind_of(outcome(FELL, findings=[replace(LIKELY_FINDING, verdict="possible")])) == "ordinary_fall"


def test_pairs_that_fall_under_a_rising_mean_are_told_as_such():
    mixed = changes([-2.0] * 40 + [4.0] * 60, -4.0)
    answer = find_answer(outcome(mixed, n_fallen=40))
    assert (answer.kind, answer.key[-7:]) == ("nothing_fell", ".hidden")
    assert "40 of 100" in answer.sentence()


def test_memorised_needs_won_training_pairs_and_lost_ones_beside_them():
    held_out = changes(-3.0, np.where(np.arange(100) % 2, -4.0, -2.0))
    train = changes(1.0, -9.0, split="train")
    assert kind_of(outcome(held_out, train=train)) == "memorised"
    assert kind_of(outcome(held_out, train=changes(-3.0, -9.0, split="train"))) == "cannot_tell"
    assert kind_of(outcome(changes(-3.0, -9.0), train=train)) != "memorised"
    assert kind_of(outcome(held_out)) == "cannot_tell"


def test_an_ordinary_fall_is_small_per_token_and_smaller_than_the_rejected():
    limit = ORDINARY_NATS_PER_TOKEN * 40
    assert kind_of(outcome(FELL, recipients=SHARES)) == "ordinary_fall"
    assert kind_of(outcome(changes(-2 * limit, -20 * limit))) == "cannot_tell"
    assert kind_of(outcome(changes(-1.0, -1.0))) == "cannot_tell"
    assert kind_of(outcome(changes(-1.0, 3.0))) == "cannot_tell"
    assert kind_of(outcome(changes(-2 * limit, -20 * limit, tokens=200))) == "ordinary_fall"


def test_an_ordinary_fall_says_where_the_probability_went_and_keeps_its_numbers():
    answer = find_answer(outcome(FELL, recipients=SHARES))
    assert "none of your texts" in answer.sentence()
    assert answer.values["chosen"] == f"−{abs(float(FELL.chosen.mean())):.2f}"
    assert (answer.values["share"], answer.values["below"], answer.values["of"]) == ("40%", "18", "20")


def test_the_changes_are_those_of_the_run(tmp_path):
    base = [([-1.0, -1.0], [-2.0, -2.0]), ([-1.0, -1.0, -1.0], [-2.0]), "oom", ([-3.0], [-3.0])]
    after = [([-2.0, -1.5], [-1.0, -1.0]), ([-1.0, -1.0, -1.0], [-4.0]), "oom", ([-3.0], [-3.0])]
    facts = {3: {"status": "identical"}}
    run = handmade.make_run(tmp_path / "run", {"reference": base, "s/checkpoint-10": after}, facts=facts, noise=0.01)
    found = read_pair_changes(run, run.models[-1], "eval")
    np.testing.assert_allclose(found.chosen, [-1.5, 0.0, 0.0])
    np.testing.assert_allclose(found.rejected, [2.0, -2.0, 0.0])
    assert found.n_tokens.tolist() == [[2, 2], [3, 1], [1, 1]]
    assert (found.n_identical, found.noise, found.decided.tolist()) == (1, 0.01, [True, True, False])
    assert found.accuracy.share == 0.5
    assert found.chosen_per_token == pytest.approx(-1.5 / 6)
    assert read_setup(run, run.models[-1]).beta == 0.1
    assert not read_setup(run, run.models[-1]).same_weights

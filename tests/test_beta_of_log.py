"""Beta solved from a log: exact where rewards follow log-probs, and no number where they do not."""

import time

import numpy as np
import pyarrow as pa
import pytest

from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.trainer.beta import beta_of_log, shortest_within

REFERENCE = {"chosen": -120.53, "rejected": -98.117}


def logged(beta, moves, split="eval", *, reference=REFERENCE, per=1.0, sides=("chosen", "rejected")):
    """A log in float32, as trainers keep it: log-probs that moved by ``moves`` nats, and their rewards."""
    rows = []
    for step, move in enumerate(moves):
        for n, side in enumerate(sides):
            logps = np.float32((reference[side] - move * (1 + n)) / per)
            reward = np.float32(beta) * (logps - np.float32(reference[side] / per))
            rows += [
                ("run", split, 10 * step, None, f"{side}_logps", float(logps)),
                ("run", split, 10 * step, None, f"{side}_reward", float(reward)),
            ]
    return rows


def table(*rows):
    names = ("series", "split", "step", "epoch", "metric", "value")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=CURVES_SCHEMA)


@pytest.mark.parametrize("beta", [0.01, 0.1, 0.2, 0.25, 0.5, 1.0, 5.0])
def test_beta_comes_out_as_it_was_typed(beta):
    solved = beta_of_log(table(*logged(beta, [0, 1.7, 12.9, 31.2])))
    assert solved.value == beta
    assert solved.error < 1e-3 * beta
    assert solved.reason == "eval rewards over eval log-probs"


def test_averages_over_tokens_give_the_same_beta():
    assert beta_of_log(table(*logged(0.1, [0, 4, 9], per=23.0))).value == 0.1


def test_a_named_set_will_do():
    assert beta_of_log(table(*logged(0.3, [0, 5], "eval_hard"))).reason == "eval_hard rewards over eval_hard log-probs"


def test_too_little_movement_gives_no_beta():
    assert beta_of_log(table(*logged(0.2, [0, 1e-4]))) is None
    assert beta_of_log(table(*logged(0.2, [3, 3]))) is None


def test_a_single_evaluation_gives_no_beta():
    assert beta_of_log(table(*logged(0.2, [5]))) is None


def test_training_values_are_never_used():
    assert beta_of_log(table(*logged(0.2, [0, 5, 9], "train"))) is None


def test_sides_that_contradict_each_other_give_no_beta():
    rows = logged(0.2, [0, 5, 9], sides=["chosen"]) + logged(0.4, [0, 5, 9], sides=["rejected"])
    assert beta_of_log(table(*rows)) is None


def test_sets_that_contradict_each_other_give_no_beta():
    assert beta_of_log(table(*logged(0.2, [0, 5, 9]), *logged(0.4, [0, 5, 9], "eval_hard"))) is None


def test_an_evaluation_of_different_pairs_gives_no_beta():
    rows = logged(0.2, [0, 5, 9])
    elsewhere = [(*row[:2], 30, *row[3:]) for row in logged(0.2, [0], reference={"chosen": -80.0, "rejected": -70.0})]
    moved = [(*row[:5], row[5] + 1.0) if row[4].endswith("reward") else row for row in elsewhere]
    assert beta_of_log(table(*rows, *moved)) is None


def test_an_evaluation_off_the_line_gives_no_beta():
    # one side alone, so that no other side can contradict it
    rows = logged(0.2, [0, 5, 9], sides=["chosen"])
    assert beta_of_log(table(*rows)).value == 0.2
    moved = [(*row[:5], row[5] + 0.01) if row[2] == 10 and row[4].endswith("reward") else row for row in rows]
    assert beta_of_log(table(*moved)) is None


@pytest.mark.parametrize("beta", [0.0, -0.1])
def test_rewards_that_do_not_follow_the_log_probs_give_no_beta(beta):
    assert beta_of_log(table(*logged(beta, [0, 5, 9]))) is None


def test_missing_and_infinite_values_are_passed_over():
    rows = [*logged(0.2, [0, 5, 9]), ("run", "eval", 40, None, "chosen_logps", None)]
    assert beta_of_log(table(*rows)).value == 0.2
    assert beta_of_log(table(("run", "eval", 0, None, "loss", 0.5))) is None
    assert beta_of_log(table()) is None


def test_a_thousand_evaluations_take_no_time():
    rows = logged(0.2, np.linspace(0, 40, 1000))
    curves = table(*rows)
    began = time.perf_counter()
    assert beta_of_log(curves).value == 0.2
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("value", "error", "short"), [(0.19998, 1e-3, 0.2), (0.2499, 2e-3, 0.25), (0.123456789, 0.0, 0.123456789)]
)
def test_the_number_of_fewest_digits(value, error, short):
    assert shortest_within(value, error) == short

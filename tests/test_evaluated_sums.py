"""Means as trainers log them: means of batch means, and the tokens that TRL 0.12 lost."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.runs import Series
from dpo_analysis.runs.summaries.evaluated_sums import evaluated_sums, lost_ends
from dpo_analysis.trainer.evaluations import EVALUATION_BATCH, LOSES_LONGEST_END, mean_of_batches, rounding_of
from tests import handmade

LENGTHS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=9)


def kept_by_flushing_left(prompts, responses):
    """Tokens that remain of each sequence of a batch when TRL 0.12 has moved it left and cut its columns.

    Prompts are padded on the left, responses on the right; every row is moved to the left, and from the first column
    that is padding in all rows everything is cut, and the column before it, too.
    """
    longest = max(prompts), max(map(max, responses))
    rows = [
        [0] * (longest[0] - prompt) + [1] * (prompt + response) + [0] * (longest[1] - response)
        for side in (0, 1)
        for prompt, response in ((p, r[side]) for p, r in zip(prompts, responses, strict=True))
    ]
    rows = [row[row.index(1) :] + [0] * row.index(1) for row in rows]
    empty = [not any(column) for column in zip(*rows, strict=True)]
    first = empty.index(True) if any(empty) else len(empty) + 1
    kept = [sum(row[: first - 1]) for row in rows]
    return np.array(kept).reshape(2, -1).T


@given(LENGTHS, st.integers(1, 4))
def test_lost_ends_are_those_of_a_batch_in_trl_0_12(lengths, batch_size):
    prompts = np.array([length[0] for length in lengths])
    responses = np.array([length[1:] for length in lengths])
    kept = np.concatenate(
        [
            kept_by_flushing_left(prompts[start : start + batch_size].tolist(), responses[start : start + batch_size])
            for start in range(0, len(prompts), batch_size)
        ]
    )
    expected = prompts[:, None] + responses - kept
    assert lost_ends(prompts, responses, batch_size).astype(int).tolist() == expected.tolist()


def test_lost_ends_by_hand():
    # 3 + 2 and 1 + 4 are the longest sequences, 5 tokens, and prompts and responses need 3 + 4 columns
    prompts, responses = np.array([3, 1]), np.array([[2, 1], [4, 2]])
    assert lost_ends(prompts, responses, 2).tolist() == [[True, False], [True, False]]
    # alone, each fills its columns: nothing is empty, and nothing is cut
    assert not lost_ends(prompts, responses, 1).any()


@pytest.mark.parametrize(
    ("values", "batch", "mean"),
    [
        ([1.0, 2.0, 3.0, 4.0], 2, 2.5),
        ([1.0, 2.0, 3.0, 4.0, 10.0], 2, (1.5 + 3.5 + 10.0) / 3),
        ([1.0, 2.0, 6.0], 2, (1.5 + 6.0) / 2),
        ([1.0, 2.0, 6.0], 8, 3.0),
        ([1.0, 2.0, 6.0], None, 3.0),
    ],
)
def test_a_small_last_batch_counts_as_much_as_a_full_batch(values, batch, mean):
    assert mean_of_batches(np.array(values), batch) == pytest.approx(mean)


def test_no_pairs_have_no_mean():
    assert math.isnan(mean_of_batches(np.array([]), 8))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(1, 9))
def test_means_of_batches_are_those_of_a_loop(values, batch):
    means = [math.fsum(values[n : n + batch]) / len(values[n : n + batch]) for n in range(0, len(values), batch)]
    assert mean_of_batches(np.array(values), batch) == pytest.approx(math.fsum(means) / len(means), abs=1e-9)


def test_large_means_may_differ_by_their_rounding():
    assert rounding_of(0.0) == 1e-4
    assert rounding_of(-5000.0) == pytest.approx(0.0101)


SCORES = {
    "reference": [([-1.0], [-1.5]), ([-4.0, -0.5, -0.25], [-1.0, -0.5])],
    "gentle/checkpoint-10": [([-1.5], [-2.0]), ([-3.0, -1.0, -0.5], [-2.0, -0.25])],
}
"""Beside prompts of 3 and 1 tokens the sequences are 4, 4, 4 and 3 tokens long."""
FULL = np.array([[-1.5, -2.0], [-4.5, -2.25]]), np.array([[-1.0, -1.5], [-4.75, -1.5]])
"""Sums of the policy and the reference."""
WITHOUT_ENDS = np.array([[0.0, 0.0], [-4.0, -2.25]]), np.array([[0.0, 0.0], [-4.5, -1.5]])
"""The same without the last token of each sequence of 4 tokens."""


@pytest.mark.parametrize(
    ("parameters", "sums", "n_tokens"),
    [
        ({LOSES_LONGEST_END: True, EVALUATION_BATCH: 2}, WITHOUT_ENDS, [[0, 0], [2, 2]]),
        ({LOSES_LONGEST_END: True}, WITHOUT_ENDS, [[0, 0], [2, 2]]),
        ({LOSES_LONGEST_END: True, EVALUATION_BATCH: 1}, FULL, [[1, 1], [3, 2]]),
        ({EVALUATION_BATCH: 2}, FULL, [[1, 1], [3, 2]]),
    ],
)
def test_sums_leave_out_the_tokens_that_the_trainer_lost(tmp_path, monkeypatch, parameters, sums, n_tokens):
    usual = handmade.pair

    def with_prompt(number, lengths, **facts):
        tokenized = usual(number, lengths, **facts)
        prompt = np.zeros((3, 1)[number], dtype=np.int32)
        responses = {side: replace(one, prompt_token_ids=prompt) for side, one in tokenized.responses.items()}
        return replace(tokenized, responses=responses)

    monkeypatch.setattr(handmade, "pair", with_prompt)
    run = handmade.make_run(tmp_path / "run", SCORES, series=[Series("gentle", parameters=parameters)])
    found = evaluated_sums(run, run.models[0], "eval")
    np.testing.assert_allclose(found.policy, sums[0])
    np.testing.assert_allclose(found.reference, sums[1])
    np.testing.assert_allclose(found.log_ratios, sums[0] - sums[1])
    assert found.n_tokens.tolist() == n_tokens

"""Marks: a shortest edit script between two responses, and the fewest tokens that carry most of a fall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.figures.token_view.marks import difference_marks, largest_falls

SOME = st.lists(st.integers(0, 4), max_size=12)


@pytest.mark.parametrize(
    ("first", "second", "marks"),
    [
        ("abcd", "abxd", ("==x-", "==x-")),
        ("abcd", "abcd", ("====", "====")),
        ("xaybz", "ab", ("x-x-x", "--")),
        ("", "ab", ("", "xx")),
        ("aab", "ab", ("=x-", "=-")),
    ],
)
def test_marks_of_two_responses(first, second, marks):
    assert difference_marks([ord(c) for c in first], [ord(c) for c in second]) == marks


def longest(first, second):
    """Length of a longest common subsequence, the slow way."""
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


@given(SOME, SOME)
def test_as_few_tokens_as_possible_differ_and_those_paired_are_the_same(first, second):
    both = zip((first, second), difference_marks(first, second), strict=True)
    kept = [[token for token, mark in zip(ids, own, strict=True) if mark != "x"] for ids, own in both]
    assert kept[0] == kept[1]
    assert len(kept[0]) == longest(first, second)


def test_the_fewest_that_carry_eighty_percent():
    assert largest_falls(np.array([-1.0, 5.0, -6.0, -2.0, -1.0])).tolist() == [False, False, True, True, False]


def test_exactly_eighty_percent_is_enough():
    assert largest_falls(np.array([-0.8, -0.2])).tolist() == [True, False]


@pytest.mark.parametrize("changes", [[], [0.0, 1.0], [np.nan, 2.0]])
def test_where_nothing_fell_there_is_nothing_to_carry(changes):
    assert largest_falls(np.array(changes)) is None


@given(st.lists(st.floats(-10, 10), min_size=1))
def test_what_is_kept_fell_more_than_what_is_not_and_is_enough(changes):
    values = np.array(changes)
    kept = largest_falls(values)
    falls = np.maximum(-values, 0)
    if kept is None:
        assert not falls.any()
    else:
        assert falls[kept].sum() >= 0.8 * falls.sum() * (1 - 1e-9)
        assert falls[kept].min() >= falls[~kept].max(initial=0)
        assert falls[kept].sum() - falls[kept].min() < 0.8 * falls.sum() * (1 + 1e-9)

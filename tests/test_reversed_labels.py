"""The share of the loss in opposed pairs beside chance."""

import numpy as np
import pytest

from dpo_analysis.diagnosis.ledger.flipped_labels import count_agreement, turned_by_chance
from dpo_analysis.diagnosis.ledger.reversed_labels import find_reversed_labels
from tests.unrelated import random_texts


def test_losses_on_opposed_pairs_alone_lie_above_chance():
    opposed, lengths = np.arange(100) < 20, np.arange(100) % 7
    share = turned_by_chance(opposed.astype(float), opposed, lengths)
    assert (share.observed, share.p) == (1, 1 / 400)
    assert share.expected == pytest.approx(0.2, abs=0.05)
    assert share.above


def test_pairs_are_compared_with_pairs_of_their_length():
    """Long pairs lose and are opposed, and that is all: within a length the loss says nothing."""
    lengths = np.repeat([10, 100], 100)
    opposed = lengths == 100
    share = turned_by_chance(opposed.astype(float), opposed, lengths)
    assert (share.observed, share.expected, share.p) == (1, 1, 1)


def test_copies_are_permuted_together():
    opposed = np.arange(60) < 30
    copies = np.where(opposed, 0, np.arange(60))
    alone, together = (turned_by_chance(opposed.astype(float), opposed, np.ones(60, int), c) for c in (None, copies))
    assert alone.p == 1 / 400
    assert together.p > 1 / 400, "one cluster of 31 loses, and one of 31 is opposed"


def test_nothing_lost_is_unknown():
    assert np.isnan(turned_by_chance(np.zeros(9), np.ones(9, bool), np.ones(9, int)).expected)


def test_copies_are_no_opponents_of_each_other():
    responses = tuple([np.array([1, 2, 3])] * 3 + [np.array([7, 8, 9])] for _ in (0, 1))
    responses[1][:] = [np.array([4, 5, 6])] * 4
    assert count_agreement(responses, [0]).supporting.tolist() == [2]
    assert count_agreement(responses, [0], np.array([0, 0, 0, 1])).supporting.tolist() == [0]
    assert count_agreement(responses, [3], np.array([0, 0, 0, 1])).supporting.tolist() == [0]


def test_flipped_pairs_that_lose_are_found_and_unrelated_ones_are_not():
    rng = np.random.default_rng(0)
    good, bad = np.arange(900, 906), np.arange(950, 956)
    texts = random_texts(rng, 120, 400, 20)
    flipped = np.arange(120) < 12
    for pair, flip in enumerate(flipped):
        for side, phrase in enumerate((bad, good) if flip else (good, bad)):
            texts[side][pair] = np.concatenate([texts[side][pair], phrase])
    found = find_reversed_labels(texts, np.where(flipped, 5.0, 0.1), np.arange(120))
    assert found.turned.above
    assert found.turned_pairs == pytest.approx(0.1)
    unrelated = find_reversed_labels(texts, rng.exponential(size=120), np.arange(120))
    assert not unrelated.turned.above

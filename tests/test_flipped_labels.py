"""Pairs whose label other pairs oppose, against a count of sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.diagnosis.ledger.flipped_labels import count_agreement

IDS = st.lists(st.integers(0, 4), max_size=5)


def bigrams_of(ids):
    return set(zip([None, *ids[:-1]], ids, strict=True)) if ids else set()


def alone(pair):
    chosen, rejected = map(bigrams_of, pair)
    return chosen - rejected, rejected - chosen


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=8))
def test_counts_equal_those_of_sets(pairs):
    bigrams = [alone(pair) for pair in pairs]
    responses = tuple([np.array(ids, np.int64) for ids in side] for side in zip(*pairs, strict=True))
    found = count_agreement(responses, range(len(bigrams)))
    for index, (chosen, rejected) in enumerate(bigrams):
        others = [both for number, both in enumerate(bigrams) if number != index]
        assert found.opposing[index] == sum(bool(chosen & r) and bool(rejected & c) for c, r in others)
        assert found.supporting[index] == sum(bool(chosen & c) and bool(rejected & r) for c, r in others)

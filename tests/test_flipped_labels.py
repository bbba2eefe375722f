"""Pairs that others turn round, against a count of sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.diagnosis.ledger.flipped_labels import turned

IDS = st.lists(st.integers(0, 4), max_size=5)


def word_pairs(ids):
    return set(zip([None, *ids[:-1]], ids, strict=True)) if ids else set()


def alone(pair):
    chosen, rejected = map(word_pairs, pair)
    return chosen - rejected, rejected - chosen


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=8))
def test_counts_equal_those_of_sets(pairs):
    own = [alone(pair) for pair in pairs]
    found = turned(
        tuple([np.array(ids, np.int64) for ids in side] for side in zip(*pairs, strict=True)), range(len(own))
    )
    for place, (chosen, rejected) in enumerate(own):
        others = [one for number, one in enumerate(own) if number != place]
        assert found.reversed[place] == sum(bool(chosen & r) and bool(rejected & c) for c, r in others)
        assert found.alike[place] == sum(bool(chosen & c) and bool(rejected & r) for c, r in others)

"""Clusters of pairs against a comparison of all pairs; copies count once and never for each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpo_analysis.diagnosis.ledger.bigram_counts import BigramCounts
from dpo_analysis.diagnosis.ledger.bigram_index import distinct, key_sets
from dpo_analysis.diagnosis.ledger.clusters import cluster_pairs
from dpo_analysis.diagnosis.thresholds import NEAR_DUPLICATE_DISTANCE
from dpo_analysis.text.duplicates import SHORT
from tests import moved

HIT = (50, 51)


def sets_of(texts):
    lengths, ids = np.array([len(text) for text in texts]), np.concatenate([np.array(text) for text in texts])
    return key_sets(10_000, len(texts), np.repeat(np.arange(len(texts)), lengths), np.zeros_like(ids), ids)


def clusters_of(chosen, rejected, groups=None):
    return cluster_pairs(
        np.arange(len(chosen)) if groups is None else np.array(groups), sets_of(chosen), sets_of(rejected)
    )


def edited(text, places):
    """The text with other tokens at these places."""
    return [9000 + token if place in places else token for place, token in enumerate(text)]


def test_pairs_of_one_prompt_and_near_copies_share_a_cluster():
    long = list(range(100))
    chosen = [long, edited(long, {3}), edited(long, {3, 7}), list(range(200, 300)), list(range(400, 500))]
    rejected = [list(range(500, 600))] * 3 + [list(range(700, 800)), list(range(800, 900))]
    assert clusters_of(chosen, rejected).tolist() == [0, 0, 0, 1, 2]
    assert clusters_of(chosen, rejected, [0, 1, 2, 0, 3]).tolist() == [0, 0, 0, 0, 1], "two prompts, joined by a copy"


def test_copies_of_one_side_or_of_short_answers_are_no_near_copies():
    texts = [list(range(100 * n, 100 * n + 50)) for n in range(4)]
    assert clusters_of([texts[0]] * 3, texts[1:]).tolist() == [0, 1, 2], "one chosen text for all"
    assert len(set(clusters_of([[1, 2]] * 3, [[3, 4, 5]] * 3))) == 3, "yes and no"
    assert len(set(clusters_of([[1, 2]] * 3, [[3, 4, 5]] * 3, [0, 0, 0]))) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=14), st.integers(0, 2**32 - 1))
def test_near_copies_equal_those_of_all_pairs_compared(sources, seed):
    rng = np.random.default_rng(seed)
    bodies = [rng.integers(0, 5000, 60) for _ in range(8)]
    sides = [
        [edited(bodies[2 * source + side].tolist(), set(rng.integers(0, 60, rng.integers(0, 5)))) for source in sources]
        for side in (0, 1)
    ]

    def alike(one, other):
        return (
            len(one & other) >= (1 - NEAR_DUPLICATE_DISTANCE) * len(one | other) and min(len(one), len(other)) >= SHORT
        )

    token_sets = [[set(text) for text in side] for side in sides]
    label = list(range(len(sources)))
    for _ in sources:
        for i in range(len(sources)):
            for j in range(i):
                if all(alike(side[i], side[j]) for side in token_sets):
                    label[i] = label[j] = min(label[i], label[j])
    found = clusters_of(*sides)
    # Hashing may miss a pair at the largest distance. It joins none that are farther apart, and all that are equal.
    merged = {(i, j) for i in range(len(sources)) for j in range(i) if found[i] == found[j]}
    wanted = {(i, j) for i in range(len(sources)) for j in range(i) if label[i] == label[j]}
    assert merged <= wanted
    equal = {(i, j) for i, j in wanted if all(side[i] == side[j] for side in sides)}
    assert equal <= merged


@pytest.mark.parametrize("as_group", [True, False])
def test_forty_copies_of_a_pair_count_once(tmp_path, as_group):
    others = [(moved.text(n, *HIT), moved.text(n, 200 + n)) for n in range(5)]
    copies = [(moved.text(90), moved.text(91, *HIT))] * 40
    groups = [f"g{n}" for n in range(5)] + ["same" if as_group else f"h{n}" for n in range(40)]
    counts = BigramCounts(moved.make_run(tmp_path / "run", others + copies, {}, groups=groups), "train")
    assert (counts.n_pairs, counts.n_clusters) == (45, 6)
    found = counts.look_up(np.array([0, 5, 44]), *(np.full(3, token) for token in HIT))
    assert found.rejects.tolist() == [1, 0, 0], "once for another pair, never for a copy"
    assert found.chooses.tolist() == [4, 5, 5]


def test_near_copies_in_another_split_are_left_out(tmp_path):
    texts = [(moved.text(n, *HIT), moved.text(n, 200 + n)) for n in range(5)]
    run = moved.make_run(tmp_path / "run", texts, {})
    counts = BigramCounts(run, "train", "eval")
    assert counts.look_up(np.array([0]), np.array([HIT[0]]), np.array([HIT[1]])).chooses[0] == 4


def test_distinct_equals_unique():
    values = np.random.default_rng(0).integers(-5, 5, 100)
    assert distinct(values).tolist() == np.unique(values).tolist()
    assert len(distinct(values[:0])) == 0

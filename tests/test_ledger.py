"""The mass ledger: shares by hand, sums that are 0, counts that leave the own pair out, edits against brute force."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.diagnosis.fall_detection import Path
from dpo_analysis.diagnosis.ledger.bigram_counts import START, Contexts, previous
from dpo_analysis.diagnosis.ledger.ledger import GAINERS, SHARES, read_ledger
from dpo_analysis.diagnosis.ledger.top_bigrams import find_patterns
from dpo_analysis.numerics.edit_distance import edit_shares
from tests import moved
from tests.collected import llama_run

HIT, ALT, RARE = (50, 51), (50, 52), (50, 53)


def collision(count=23, fallen=3):
    """The first pairs choose HIT; the others reject it and choose nothing of it."""
    return [
        (moved.text(n, *HIT), moved.text(n, 60 + n)) if n < fallen else (moved.text(n, 80 + n), moved.text(n, *HIT))
        for n in range(count)
    ]


def ledger_of(run, place=-1):
    path = Path(run, "s", "train")
    return path, read_ledger(run, path, range(len(path.models))[place], Contexts(run, "train"))


def test_a_token_that_all_others_reject_is_pushed(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.01, None)})
    path, ledger = ledger_of(run)
    shares = ledger.shares(path.groups[ledger.place])
    assert shares["pushed"].share == pytest.approx(1)
    assert sum(one.share for one in shares.values()) == pytest.approx(1)
    assert ledger.by_place()["core"]["pushed"] == pytest.approx(1)
    x = ledger.tokens.x[ledger.tokens.weight > 0]
    assert x == pytest.approx((20 - 2) / (20 + 2 + 0.05 * 23)), "20 reject it, 2 others choose it, its own pair aside"


def test_what_others_choose_is_pulled_and_what_nobody_has_is_in_no_data(tmp_path):
    texts = [(moved.text(n, *(HIT if n < 10 else ALT)), moved.text(n, 200 + n)) for n in range(20)]
    path, ledger = ledger_of(moved.make_run(tmp_path / "a", texts, {HIT: (0.01, ALT[1])}))
    shares = ledger.shares(path.groups[ledger.place])
    assert shares["pulled"].share == pytest.approx(10 / 11, abs=1e-3), "c / (c + K), of all that moved"
    assert ledger.gainers()["chosen"] == pytest.approx(1, abs=1e-3)
    path, ledger = ledger_of(moved.make_run(tmp_path / "b", texts, {HIT: (0.01, RARE[1])}))
    assert ledger.shares(path.groups[ledger.place])["unexplained"].share == pytest.approx(1), "0.01 is not improbable"
    assert ledger.gainers()["other"] == pytest.approx(1, abs=1e-3)


def test_a_pair_that_has_it_on_both_sides_is_no_evidence(tmp_path):
    both = [(moved.text(n, *HIT), moved.text(n, *HIT, 70 + n)) for n in range(20)]
    run = moved.make_run(tmp_path / "run", both, {HIT: (0.01, None)})
    counts = Contexts(run, "train").of(np.array([0]), np.array([HIT[0]]), np.array([HIT[1]]))
    assert (counts.rejects[0], counts.chooses[0], bool(counts.seen[0])) == (0, 0, True)


def test_places_add_up_to_the_whole(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.2, None), (1005, 1006): (0.5, 7)})
    path, ledger = ledger_of(run)
    groups = path.groups[ledger.place]
    for name in SHARES:
        parts = [ledger.shares(groups, place)[name].share for place in ("opening", "core", "closing", "end")]
        assert sum(parts) == pytest.approx(ledger.shares(groups)[name].share)
    assert sum(ledger.gainers().values()) == pytest.approx(1)
    assert set(ledger.gainers()) == set(GAINERS)


def test_every_position_sums_to_zero_against_the_full_softmax(tmp_path):
    run, truth = llama_run(tmp_path / "run")
    path = Path(run, "s", "eval")
    ledger = read_ledger(run, path, 0, Contexts(run, "eval"))
    assert np.abs(ledger.residual()).max() < 1e-5
    for place, (row, position) in enumerate(zip(ledger.rows[ledger.tokens.pair], ledger.tokens.position, strict=True)):
        (policy, _), (reference, _) = truth[row, "chosen"]
        delta = np.exp(policy[position]) - np.exp(reference[position])
        assert ledger.tokens.gained[place] == pytest.approx(np.maximum(delta, 0).sum(), abs=1e-5)
        assert ledger.tokens.label[place] == pytest.approx(delta[ledger.tokens.token_ids[place]], abs=1e-5)


def test_the_patterns_name_what_lost_and_what_gained(tmp_path):
    texts = [(moved.text(n, *(HIT if n < 10 else ALT)), moved.text(n, 200 + n)) for n in range(20)]
    run = moved.make_run(tmp_path / "run", texts, {HIT: (0.01, ALT[1])})
    found = find_patterns(run, ledger_of(run)[1])
    lost, gained = (next(one for one in found if one.way == way) for way in ("lost", "gained"))
    assert (lost.before, lost.token, lost.n_pairs, lost.rejects, lost.chooses) == (" w50", " w51", 10, 0, 9)
    assert (gained.before, gained.token, gained.chooses) == (" w50", " w52", 10)
    assert lost.nats == pytest.approx(-np.log(0.01), abs=1e-6)


def test_a_run_without_evidence_has_no_ledger(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.01, None)}, collected=False)
    assert ledger_of(run)[1] is None


def test_the_previous_token_starts_anew_in_each_response():
    assert previous(np.array([2, 0, 1]), np.array([5, 6, 7])).tolist() == [START, 5, START]


@cache
def levenshtein(one, two):
    if not one or not two:
        return len(one) + len(two)
    cost = one[-1] != two[-1]
    return min(levenshtein(one[:-1], two) + 1, levenshtein(one, two[:-1]) + 1, levenshtein(one[:-1], two[:-1]) + cost)


IDS = st.lists(st.integers(0, 3), max_size=6)


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5))
def test_edit_shares_equal_the_textbook_recursion(pairs):
    found = edit_shares(*([np.array(one, dtype=np.int64) for one in side] for side in zip(*pairs, strict=True)))
    wanted = [levenshtein(tuple(a), tuple(b)) / max(len(a), len(b), 1) for a, b in pairs]
    assert found == pytest.approx(wanted)


def test_edit_shares_are_0_for_equal_and_1_for_foreign_texts():
    ids = [np.arange(n) for n in (1, 5)]
    assert edit_shares(ids, ids).tolist() == [0, 0]
    assert edit_shares(ids, [one + 9 for one in ids]).tolist() == [1, 1]
    assert list(itertools.chain(edit_shares([np.arange(0)], [np.arange(0)]))) == [0]

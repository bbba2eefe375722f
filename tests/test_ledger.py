"""The mass ledger: shares by hand, sums that are 0, counts that leave the own pair out, edits against brute force."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis.diagnosis.ledger.bigram_counts import RESPONSE_START, BigramCounts, previous_tokens
from dpo_analysis.diagnosis.ledger.ledger import RECIPIENTS, SHARES
from dpo_analysis.diagnosis.ledger.reader import read_ledger
from dpo_analysis.diagnosis.ledger.top_bigrams import find_top_bigrams
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.numerics.edit_distance import normalized_edit_distances
from tests import moved
from tests.collected import llama_run

HIT, ALT, RARE = (50, 51), (50, 52), (50, 53)


def collision(count=23, fallen=3):
    """The first pairs choose HIT; the others reject it and choose nothing of it."""
    return [
        (moved.text(n, *HIT), moved.text(n, 60 + n)) if n < fallen else (moved.text(n, 80 + n), moved.text(n, *HIT))
        for n in range(count)
    ]


def ledger_of(run):
    """The log-ratios of the series and the ledger of its last checkpoint."""
    log_ratios = SeriesLogRatios(run, "s", "train")
    return log_ratios, read_ledger(run, log_ratios, len(log_ratios.models) - 1, BigramCounts(run, "train"))


def test_a_token_that_all_others_reject_is_pushed(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.01, None)})
    log_ratios, ledger = ledger_of(run)
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices])
    assert shares["pushed"].share == pytest.approx(1)
    assert sum(one.share for one in shares.values()) == pytest.approx(1)
    assert ledger.by_region()["core"]["pushed"] == pytest.approx(1)
    x = ledger.tokens.x[ledger.tokens.loss_share > 0]
    assert x == pytest.approx((20 - 2) / (20 + 2 + 0.05 * 23)), "20 reject it, 2 others choose it, its own pair aside"


def test_what_others_choose_is_pulled_and_what_nobody_has_is_in_no_data(tmp_path):
    texts = [(moved.text(n, *(HIT if n < 10 else ALT)), moved.text(n, 200 + n)) for n in range(20)]
    log_ratios, ledger = ledger_of(moved.make_run(tmp_path / "a", texts, {HIT: (0.01, ALT[1])}))
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices])
    assert shares["pulled"].share == pytest.approx(10 / 11, abs=1e-3), "c / (c + K), of all that moved"
    assert ledger.recipients()["chosen"] == pytest.approx(1, abs=1e-3)
    log_ratios, ledger = ledger_of(moved.make_run(tmp_path / "b", texts, {HIT: (0.01, RARE[1])}))
    assert ledger.shares(log_ratios.groups[ledger.pair_indices])["unexplained"].share == pytest.approx(1), (
        "0.01 is not improbable"
    )
    assert ledger.recipients()["other"] == pytest.approx(1, abs=1e-3)


def test_a_pair_that_has_it_on_both_sides_is_no_evidence(tmp_path):
    both = [(moved.text(n, *HIT), moved.text(n, *HIT, 70 + n)) for n in range(20)]
    run = moved.make_run(tmp_path / "run", both, {HIT: (0.01, None)})
    counts = BigramCounts(run, "train").look_up(np.array([0]), np.array([HIT[0]]), np.array([HIT[1]]))
    assert (counts.rejects[0], counts.chooses[0], bool(counts.seen[0])) == (0, 0, True)


def test_regions_add_up_to_the_whole(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.2, None), (1005, 1006): (0.5, 7)})
    log_ratios, ledger = ledger_of(run)
    groups = log_ratios.groups[ledger.pair_indices]
    for name in SHARES:
        parts = [ledger.shares(groups, place)[name].share for place in ("opening", "core", "closing", "end")]
        assert sum(parts) == pytest.approx(ledger.shares(groups)[name].share)
    assert sum(ledger.recipients().values()) == pytest.approx(1)
    assert set(ledger.recipients()) == set(RECIPIENTS)


@pytest.mark.slow
def test_every_position_sums_to_zero_against_the_full_softmax(tmp_path):
    run, truth = llama_run(tmp_path / "run")
    ledger = read_ledger(run, SeriesLogRatios(run, "s", "eval"), 0, BigramCounts(run, "eval"))
    assert np.abs(ledger.residual()).max() < 1e-5
    for place, (row, position) in enumerate(zip(ledger.rows[ledger.tokens.pair], ledger.tokens.position, strict=True)):
        (policy, _), (reference, _) = truth[row, "chosen"]
        delta = np.exp(policy[position]) - np.exp(reference[position])
        assert ledger.tokens.gained[place] == pytest.approx(np.maximum(delta, 0).sum(), abs=1e-5)
        assert ledger.tokens.label_change[place] == pytest.approx(delta[ledger.tokens.token_ids[place]], abs=1e-5)


def test_the_top_bigrams_name_what_lost_and_what_gained(tmp_path):
    texts = [(moved.text(n, *(HIT if n < 10 else ALT)), moved.text(n, 200 + n)) for n in range(20)]
    run = moved.make_run(tmp_path / "run", texts, {HIT: (0.01, ALT[1])})
    found = find_top_bigrams(run, ledger_of(run)[1])
    lost, gained = (next(one for one in found if one.way == way) for way in ("lost", "gained"))
    assert (lost.before, lost.token, lost.n_pairs, lost.rejects, lost.chooses) == (" w50", " w51", 10, 0, 9)
    assert (gained.before, gained.token, gained.chooses) == (" w50", " w52", 10)
    assert lost.nats == pytest.approx(-np.log(0.01), abs=1e-6)


def test_a_run_without_evidence_has_no_ledger(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.01, None)}, collected=False)
    assert ledger_of(run)[1] is None


def test_without_evidence_the_ledger_says_who_pushes_and_not_where_the_loss_went(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.01, None)}, collected=False)
    log_ratios = SeriesLogRatios(run, "s", "train")
    ledger = read_ledger(run, log_ratios, len(log_ratios.models) - 1, BigramCounts(run, "train"), without_evidence=True)
    assert not ledger.has_evidence
    shares = ledger.shares(log_ratios.groups[ledger.pair_indices])
    assert list(shares) == ["pushed"]
    assert shares["pushed"].share == pytest.approx(1)
    regions = ledger.by_region()
    assert regions["core"]["pushed"] == pytest.approx(1)
    assert all(np.isnan(region["pulled"]) for region in regions.values())


def test_with_and_without_evidence_the_pushed_share_is_the_same(tmp_path):
    run = moved.make_run(tmp_path / "run", collision(), {HIT: (0.2, None), (1005, 1006): (0.5, 7)})
    log_ratios = SeriesLogRatios(run, "s", "train")
    with_it, without = (
        read_ledger(run, log_ratios, 2, BigramCounts(run, "train"), without_evidence=plain) for plain in (False, True)
    )
    groups = log_ratios.groups[with_it.pair_indices]
    assert (with_it.rows.tolist(), with_it.shares(groups)["pushed"]) == (
        without.rows.tolist(), without.shares(groups)["pushed"],
    )  # fmt: skip
    assert sum(one.share for one in with_it.shares(groups).values()) == pytest.approx(1)


@pytest.mark.parametrize("null", [(1,), (0, 1, 2)])
def test_responses_with_null_evidence_are_left_out(tmp_path, null):
    whole, partly = (
        moved.make_run(tmp_path / name, collision(), {HIT: (0.01, None)}, null_evidence=rows)
        for name, rows in (("whole", ()), ("partly", null))
    )
    log_ratios, ledger = ledger_of(partly)
    rest = [row for row in ledger_of(whole)[1].rows.tolist() if row not in null]
    assert (ledger.rows.tolist() if ledger else []) == rest
    if ledger is not None:
        assert ledger.shares(log_ratios.groups[ledger.pair_indices])["pushed"].share == pytest.approx(1)
        assert len(ledger.tokens.x) == len(ledger.tokens.gained) == 2 * len(moved.text(0))


def test_the_previous_token_starts_anew_in_each_response():
    assert previous_tokens(np.array([2, 0, 1]), np.array([5, 6, 7])).tolist() == [RESPONSE_START, 5, RESPONSE_START]


@cache
def levenshtein(one, two):
    if not one or not two:
        return len(one) + len(two)
    cost = one[-1] != two[-1]
    return min(levenshtein(one[:-1], two) + 1, levenshtein(one, two[:-1]) + 1, levenshtein(one[:-1], two[:-1]) + cost)


IDS = st.lists(st.integers(0, 3), max_size=6)


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=5))
def test_edit_shares_equal_the_textbook_recursion(pairs):
    sides = ([np.array(one, dtype=np.int64) for one in side] for side in zip(*pairs, strict=True))
    found = normalized_edit_distances(*sides)
    wanted = [levenshtein(tuple(a), tuple(b)) / max(len(a), len(b), 1) for a, b in pairs]
    assert found == pytest.approx(wanted)


def test_edit_shares_are_0_for_equal_and_1_for_foreign_texts():
    ids = [np.arange(n) for n in (1, 5)]
    assert normalized_edit_distances(ids, ids).tolist() == [0, 0]
    assert normalized_edit_distances(ids, [one + 9 for one in ids]).tolist() == [1, 1]
    assert list(itertools.chain(normalized_edit_distances([np.arange(0)], [np.arange(0)]))) == [0]

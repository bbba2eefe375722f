"""Filters by hand, pairs that DPO cannot flip, text search, rewards by checkpoint, responses to one prompt."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dpo_analysis as dpo
from dpo_analysis.numerics import rewards
from dpo_analysis.tables import filters
from dpo_analysis.tables.filters import Box, box_mask, filter_mask, pairs_with_text, with_flip_margins
from dpo_analysis.tables.pairs import pair_paths
from dpo_analysis.tables.prompt_groups import group_responses, groups_with_several_pairs, pair_responses
from tests.handmade import make_run

nats = st.floats(-200, 200)


def pairs(**columns):
    base = {"chosen_log_ratio": -2.0, "rejected_log_ratio": -5.0, "chosen_logps": -30.0, "rejected_logps": -20.0}
    base |= {"reference_margin": -13.0, "margin": 0.3, "chosen_n_tokens": 9, "rejected_n_tokens": 4}
    count = max(np.size(value) for value in columns.values()) if columns else 1
    return with_flip_margins(pd.DataFrame(base | columns, index=range(count)), 0.1)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("chosen_fell", {"chosen_log_ratio": 1.0}),
        ("both_fell", {"rejected_log_ratio": 1.0}),
        ("margin_grew", {"rejected_log_ratio": -1.0}),
        ("misranked", {"rejected_logps": -40.0}),
        ("unflipped", {"reference_margin": 1.0}),
        ("chosen_longer", {"chosen_n_tokens": 4}),
    ],
)
def test_a_filter_passes_and_fails_by_one_number(name, changed):
    assert filter_mask(pairs(), [name]).tolist() == [True]
    assert filter_mask(pairs(**changed), [name]).tolist() == [False]


def test_a_pair_that_cannot_flip_needs_a_margin_of_almost_three():
    assert filter_mask(pairs(reference_margin=[-29.0, -30.0]), ["cannot_flip"]).tolist() == [False, True]
    assert filter_mask(pairs(reference_margin=-30.0, rejected_logps=-40.0), ["cannot_flip"]).tolist() == [False]
    assert filters.FLIP_MARGIN == pytest.approx(2.944, abs=1e-3)


@given(nats, nats, nats, nats, st.floats(0.01, 1))
def test_the_bare_policy_orders_right_exactly_above_the_flip_margin(chosen, rejected, ref_chosen, ref_rejected, beta):
    margin = beta * (chosen - ref_chosen) - beta * (rejected - ref_rejected)
    needed = float(rewards.flip_margin(ref_chosen - ref_rejected, beta))
    if abs(margin - needed) > 1e-9:
        assert (chosen > rejected) == (margin > needed)


def test_what_lies_within_the_noise_has_not_moved():
    assert filter_mask(pairs(chosen_log_ratio=-0.5), ["chosen_fell"], noise=1.0).tolist() == [False]


def test_pairs_without_numbers_pass_no_filter_and_lie_in_no_box():
    empty = pairs(chosen_log_ratio=np.nan, rejected_log_ratio=np.nan, chosen_logps=np.nan, reference_margin=np.nan)
    assert not any(filter_mask(empty, [name]).any() for name in filters.FILTERS if "long" not in name)
    assert not box_mask(empty, Box(-99, 99, -99, 99)).any()
    assert box_mask(empty, None).all()


def test_a_box_has_the_rejected_side_across():
    assert box_mask(pairs(), Box(-6, -4, -3, -1)).all()
    assert not box_mask(pairs(), Box(-3, -1, -6, -4)).any()


@pytest.fixture
def run(tmp_path):
    scores = {"reference": [([-1.0], [-1.0, -2.0]), ([-4.0], [-1.0]), ([-1.0], [-1.0])]}
    scores |= {
        "s/m-1": [([-2.0], [-1.0, -2.0]), ([-3.0], [-1.0]), ([-9.0], [-1.0])],
        "s/m-2": [([-4.0], [-1.0, -9.0]), ([-3.0], [-1.0]), "oom"],
    }
    return make_run(tmp_path / "run", scores, facts={0: {"group": "g"}, 1: {"group": "g"}})


def test_search_finds_text_of_any_of_the_three_whatever_its_case(run):
    assert pairs_with_text(run, "X") == {"p0", "p1", "p2"}
    assert pairs_with_text(run, "(.*") == set()
    assert pairs_with_text(run, "  ") is None


def test_paths_are_the_pair_table_of_every_checkpoint(run):
    paths = pair_paths(run, ["p2", "p0", "gone"], series="s")
    assert paths.loc["p0"].tolist() == pytest.approx([-0.1, -0.3])
    assert paths.loc["p2"].tolist() == pytest.approx([-0.8, np.nan], nan_ok=True)
    assert paths.loc["gone"].isna().all()


def test_every_answer_stands_once_with_all_its_sides(run):
    table = dpo.pair_table(run, model="m-1")
    texts = pd.DataFrame({"chosen": ["a", "b", "z"], "rejected": ["b", "c", "z"]}, index=["p0", "p1", "p2"])
    assert groups_with_several_pairs(table).to_dict() == {"g": 2}
    rows = group_responses(table[table["group_id"] == "g"], texts)
    assert rows[["text", "sides", "n_pairs"]].to_numpy().tolist() == [
        ["a", "chosen", 1],
        ["c", "rejected", 1],
        ["b", "chosen+rejected", 2],
    ]
    assert rows["log_ratio"].is_monotonic_increasing
    assert group_responses(table.head(0), texts).empty


def test_responses_without_a_text_are_not_one_response(run):
    table, unknown = dpo.pair_table(run, model="m-1"), pd.DataFrame({"chosen": "", "rejected": ""}, index=["p0", "p1"])
    rows = group_responses(table[table["group_id"] == "g"], unknown)
    assert sorted(rows["sides"]) == ["chosen", "chosen", "rejected", "rejected"]
    assert rows["n_pairs"].tolist() == [1] * 4


def test_a_pair_has_two_responses_even_if_they_read_alike(run):
    table = dpo.pair_table(run, model="m-1")
    texts = pd.DataFrame({"chosen": ["same"], "rejected": ["same"]}, index=["p0"])
    rows = pair_responses(table[table["pair_id"] == "p0"], texts).set_index("sides")
    first = table.set_index("pair_id").loc["p0"]
    for side in ("chosen", "rejected"):
        assert rows.loc[side, "logps"] == first[f"{side}_logps"]
    assert pair_responses(table.head(0), texts).empty

"""Two policies on the same pairs, by hand: differences, outcomes, and the largest changes of each step."""

import numpy as np
import pandas as pd
import pytest

import dpo_analysis as dpo
from dpo_analysis.runs import Series
from dpo_analysis.tables.policy_pairs import CRITERIA, compare_pairs, pair_outcomes, position_changes
from dpo_analysis.tables.positions import position_table
from dpo_analysis.tables.step_changes import largest_pair_changes, largest_token_changes
from tests.handmade import make_run

REFERENCE = [([-1.0, -1.0], [-1.0, -2.0]), ([-4.0], [-1.0]), ([-1.0], [-1.0])]
FIRST = [([-2.0, -1.0], [-1.0, -2.0]), ([-3.0], [-2.0]), ([-1.0], [-1.0])]
SECOND = [([-1.0, -1.0], [-3.0, -4.0]), ([-9.0], [-1.5]), ([-1.0], [-1.0])]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", {"reference": REFERENCE, "s/m-1": FIRST, "s/m-2": SECOND})


@pytest.fixture
def ends(run):
    return [dpo.pair_table(run, model=name) for name in ("m-1", "m-2")]


def test_differences_by_hand(ends):
    both = compare_pairs(*ends).set_index("pair_id")
    assert both["chosen_change"].tolist() == pytest.approx([0.1, -0.6, 0])
    assert both["margin_change"].tolist() == pytest.approx([0.5, -0.65, 0])
    assert both.loc["p0", "ranking_b"] == pytest.approx(5.0)


def test_with_one_reference_and_beta_a_change_is_beta_times_the_change_without(ends):
    with_it, bare = compare_pairs(*ends), compare_pairs(*ends, bare=True)
    for name in ("chosen", "rejected", "margin"):
        assert with_it[f"{name}_change"].tolist() == pytest.approx((0.1 * bare[f"{name}_change"]).tolist())


def test_outcomes_by_hand(ends):
    both = compare_pairs(*ends)
    assert pair_outcomes(both, "margin").tolist() == ["fixed", "broken", "neither"]
    assert pair_outcomes(both, "chosen").tolist() == ["fixed", "broken", "both"]
    assert pair_outcomes(both, "ranking").tolist() == ["fixed", "neither", "neither"]
    assert set(CRITERIA) == {"margin", "chosen", "ranking"}


def test_only_pairs_that_count_under_both_are_compared(ends):
    ends[1].loc[ends[1]["pair_id"] == "p0", "margin"] = np.nan
    assert compare_pairs(*ends)["pair_id"].tolist() == ["p1", "p2"]
    assert compare_pairs(ends[0], ends[1].assign(pair_id="other")).empty


def test_another_beta_on_the_other_side_changes_rewards_and_not_log_probs(tmp_path, ends):
    other = make_run(tmp_path / "other", {"reference": REFERENCE, "t/m-2": SECOND}, series=[Series("t", beta=0.5)])
    table = dpo.pair_table(other)
    bare, same = compare_pairs(ends[0], table, bare=True), compare_pairs(*ends, bare=True)
    assert bare["chosen_change"].tolist() == same["chosen_change"].tolist()
    assert compare_pairs(ends[0], table)["chosen_b"].tolist() == pytest.approx((5 * ends[1]["chosen_reward"]).tolist())


def test_the_profile_is_the_difference_of_both(run):
    tables = [position_table(run, model=name) for name in ("m-1", "m-2")]
    rows = position_changes(*tables).set_index(["side", "position"])
    assert rows.loc[("chosen", 0), "log_ratio"] == pytest.approx((1 - 6 + 0) / 3)
    assert rows.loc[("rejected", 1), "n_used"] == 1


def test_the_pair_that_moved_the_mean_most_by_hand(run):
    rows = largest_pair_changes(run, series="s", top=1).set_index("model")
    assert rows.loc["m-2", ["before", "pair_id"]].tolist() == ["m-1", "p1"]
    assert rows.loc["m-2", "change"] == pytest.approx(-6.0)
    assert rows.loc["m-2", "mean_change"] == pytest.approx(-5 / 3)
    assert rows.loc["m-2", "share"] == pytest.approx(6 / 5)
    assert "m-1" not in rows.index, "from the reference to m-1 the mean did not move"


def test_steps_add_up_and_begin_at_the_reference_only_where_training_did(run, tmp_path):
    rows = largest_pair_changes(run, series="s", side="rejected", top=3)
    means = rows.drop_duplicates("model")["mean_change"].sum()
    assert means == pytest.approx(dpo.pair_table(run, model="m-2")["rejected_log_ratio"].mean())
    unknown = make_run(
        tmp_path / "u", {"reference": REFERENCE, "s/m-1": FIRST, "s/m-2": SECOND}, series=[Series("s", start="unknown")]
    )
    assert set(largest_pair_changes(unknown, series="s")["before"]) == {"m-1"}


def test_the_tokens_of_a_step_add_up_to_its_mean(run):
    rows = largest_token_changes(run, series="s", side="rejected", top=9).query("model == 'm-2'")
    assert rows["text"].tolist() == ["\\xE4\\xB8", " sky"]
    assert rows["change"].tolist() == pytest.approx([-2.0, -1.5])
    assert rows["n"].tolist() == [1, 3]
    assert rows["mean_change"].iloc[0] == pytest.approx(-3.5 / 3)


def test_a_run_of_sums_has_no_token_changes(tmp_path):
    run = make_run(tmp_path / "run", {"reference": REFERENCE, "s/m-1": FIRST, "s/m-2": SECOND}, sums_only=True)
    assert largest_token_changes(run, series="s").empty
    assert isinstance(largest_pair_changes(run, series="s"), pd.DataFrame)

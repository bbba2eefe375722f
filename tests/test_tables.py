"""The tables of a run: the promised columns, numbers by hand, and what is missing shown as missing."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dpo_analysis as dpo
from dpo_analysis.errors import InputError
from dpo_analysis.numerics.metrics import METRICS
from dpo_analysis.runs import Series, open_run
from dpo_analysis.text.token_text import token_text
from tests.handmade import make_run

PAIR = (
    "pair_id group_id split series model step status chosen_logps rejected_logps reference_chosen_logps "
    "reference_rejected_logps reference_margin chosen_log_ratio rejected_log_ratio chosen_reward rejected_reward "
    "margin loss gradient_weight chosen_n_tokens rejected_n_tokens"
).split()
RESPONSE = (
    "pair_id side split series model step status n_tokens logps reference_logps log_ratio log_ratio_per_token reward"
).split()
TOKEN = (
    "pair_id side series model step position token_id token_bytes text logp reference_logp log_ratio advantage value "
    "entropy rank argmax_id argmax_logp"
).split()
CREDIT = "kl_reference_policy kl_policy_reference credit credit_variance credit_z".split()
REFERENCE = [([-1.0, -2.0], [-1.0, -3.0, -0.5]), ([-4.0], [-1.0])]
POLICY = [([-1.5, -2.5], [-2.0, -4.0, -0.5]), ([-3.0], [-2.0])]
SCORES = {"reference": REFERENCE, "gentle/checkpoint-10": POLICY}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", SCORES, facts={0: {"source": {"score": 3, "note": "a"}}})


def test_columns_are_the_promised_ones(run):
    assert list(dpo.pair_table(run)) == [*PAIR, "meta.score"]
    assert list(dpo.response_table(run)) == RESPONSE
    assert list(dpo.token_table(run)) == TOKEN + CREDIT
    metrics = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
    assert list(dpo.step_table(run)) == ["series", "model", "step", "split", "n_pairs", "n_used", *metrics]


def test_pair_table_by_hand(run):
    first = dpo.pair_table(run).iloc[0]
    assert (first.pair_id, first.series, first.model, first.step) == ("p0", "gentle", "checkpoint-10", 10)
    assert (first.chosen_logps, first.rejected_logps, first.reference_margin) == (-4.0, -6.5, 1.5)
    assert (first.chosen_log_ratio, first.rejected_log_ratio) == (-1.0, -2.0)
    assert first.margin == pytest.approx(0.1)
    assert first.loss == pytest.approx(np.log1p(np.exp(-0.1)))
    assert first.gradient_weight == pytest.approx(1 / (1 + np.exp(0.1)))
    assert (first.chosen_n_tokens, first.rejected_n_tokens) == (2, 3)


def test_tokens_add_up_to_responses_and_responses_to_pairs(run):
    tokens, responses, pairs = dpo.token_table(run), dpo.response_table(run), dpo.pair_table(run)
    sums = tokens.groupby(["pair_id", "side"])["advantage"].sum()
    rewards = responses.set_index(["pair_id", "side"])["reward"]
    assert sums.to_dict() == pytest.approx(rewards.to_dict())
    assert pairs["chosen_reward"].tolist() == pytest.approx(rewards.xs("chosen", level="side").tolist())
    assert tokens.groupby(["pair_id", "side"])["value"].last().to_dict() == pytest.approx(rewards.to_dict())


def test_another_beta_scales_rewards_and_touches_no_log_prob(run):
    own, other = dpo.pair_table(run), dpo.pair_table(run, beta=0.5)
    assert other["margin"].tolist() == pytest.approx((5 * own["margin"]).tolist())
    assert other["chosen_log_ratio"].tolist() == own["chosen_log_ratio"].tolist()
    assert dpo.token_table(run, beta=0.5)["value"].tolist() == pytest.approx(
        (5 * dpo.token_table(run)["value"]).tolist()
    )


def test_another_loss_changes_the_loss_alone(run):
    hinge = dpo.pair_table(run, loss_type="hinge")
    assert hinge["loss"].tolist() == pytest.approx((1 - hinge["margin"]).tolist())
    assert hinge["margin"].tolist() == dpo.pair_table(run)["margin"].tolist()


def test_each_series_has_its_own_beta_and_loss(tmp_path):
    scores = {"reference": REFERENCE, "a/c-1": POLICY, "b/c-1": POLICY}
    series = [Series("a", beta=0.1), Series("b", beta=1.0, loss_type="ipo")]
    pairs = dpo.pair_table(make_run(tmp_path / "run", scores, series=series)).set_index(["series", "pair_id"])
    assert pairs.loc[("b", "p0"), "margin"] == pytest.approx(10 * pairs.loc[("a", "p0"), "margin"])
    assert pairs.loc[("b", "p0"), "loss"] == pytest.approx((-1 / 2 + 2 / 3 - 1 / 2) ** 2)


def test_a_loss_of_batches_is_no_number_of_a_pair_but_everything_else_stands(tmp_path):
    run = make_run(tmp_path / "run", SCORES, series=[Series("gentle", loss_type="aot")])
    assert dpo.pair_table(run)["loss"].isna().all()
    assert dpo.step_table(run)["margin"].notna().all()
    with pytest.raises(InputError, match="sorts a whole batch"):
        dpo.pair_table(run, loss_type="aot")


def test_ld_alpha_uses_the_stored_tokens(tmp_path):
    series = [Series("gentle", parameters={"ld_alpha": 0.0})]
    pairs = dpo.pair_table(make_run(tmp_path / "run", SCORES, series=series))
    assert pairs["loss"][0] == pytest.approx(np.log1p(np.exp(-0.1 * (-1.0 + 2.0))))
    summed = dpo.pair_table(make_run(tmp_path / "sums", SCORES, series=series, sums_only=True))
    assert summed["loss"].isna().all()


def test_parts_that_are_not_scored_are_pending_and_not_counted(tmp_path):
    run = make_run(tmp_path / "run", SCORES, part_size=1, missing=(("gentle/checkpoint-10", 1),))
    pairs = dpo.pair_table(run)
    assert pairs["status"].tolist() == ["ok", "pending"]
    assert pairs.loc[1, ["chosen_logps", "reference_chosen_logps", "margin"]].isna().all()
    steps = dpo.step_table(run)
    assert (steps.n_pairs[0], steps.n_used[0]) == (2, 1)
    assert set(dpo.token_table(run)["pair_id"]) == {"p0"}
    assert set(dpo.position_table(run)["n_used"]) == {1}


def test_a_policy_without_its_reference_is_not_counted(tmp_path):
    run = make_run(tmp_path / "run", SCORES, part_size=1, missing=(("reference", 0),))
    assert dpo.pair_table(run)["status"].tolist() == ["pending", "ok"]
    assert dpo.step_table(run)["n_used"].tolist() == [1]
    tokens = dpo.token_table(run, pair_id="p0")
    assert tokens["logp"].notna().all()
    assert tokens[["reference_logp", "log_ratio", "advantage", "value"]].isna().all(axis=None)


def test_a_part_that_is_added_later_is_seen(tmp_path):
    half = make_run(tmp_path / "run", SCORES, part_size=1, missing=(("gentle/checkpoint-10", 1),))
    assert dpo.step_table(half)["n_used"].tolist() == [1]
    make_run(tmp_path / "run", SCORES, part_size=1)
    assert dpo.step_table(half)["n_used"].tolist() == [2]


@pytest.mark.parametrize("flag", ["nonfinite", "oom"])
def test_what_a_model_could_not_score_is_flagged_and_not_counted(tmp_path, flag):
    scores = {"reference": REFERENCE, "gentle/checkpoint-10": [flag, POLICY[1]], "gentle/checkpoint-20": POLICY}
    run = make_run(tmp_path / "run", scores)
    pairs = dpo.pair_table(run)
    assert pairs["status"].tolist() == [flag, "ok", "ok", "ok"]
    assert np.isnan(pairs["margin"][0])
    assert dpo.step_table(run)["n_used"].tolist() == [1, 2]
    assert set(dpo.position_table(run, model="checkpoint-10")["n_used"]) == {1}


def test_pairs_that_are_not_scored_are_shown_and_not_counted(tmp_path):
    run = make_run(tmp_path / "run", SCORES, facts={0: {"status": "too_long"}})
    pairs = dpo.pair_table(run)
    assert pairs["status"].tolist() == ["too_long", "ok"]
    assert pairs["chosen_n_tokens"].isna().tolist() == [True, False]
    assert dpo.response_table(run)["status"].tolist() == ["too_long", "too_long", "ok", "ok"]


def test_sums_without_tokens_are_enough_for_pairs(tmp_path):
    whole, summed = make_run(tmp_path / "a", SCORES), make_run(tmp_path / "b", SCORES, sums_only=True)
    pd.testing.assert_frame_equal(dpo.pair_table(summed), dpo.pair_table(whole))
    assert dpo.step_table(summed)["entropy"].isna().all()
    assert list(dpo.token_table(summed)) == TOKEN + CREDIT
    assert len(dpo.token_table(summed)) == 0


def test_sums_are_made_in_float64(tmp_path):
    many = [-16777216.0, *[-1.0] * 100]
    run = make_run(tmp_path / "run", {"reference": [(many, [-1.0])], "a/c-1": [(many, [-1.0])]})
    assert dpo.pair_table(run)["chosen_logps"].tolist() == [-16777316.0]


def test_splits_series_and_models_are_kept_by_name(tmp_path):
    scores = {"reference": REFERENCE, "a/c-1": POLICY, "a/c-2": POLICY, "b/c-1": POLICY}
    run = make_run(tmp_path / "run", scores, facts={1: {"split": "train"}})
    assert len(dpo.pair_table(run, split="train")) == 3
    assert dpo.step_table(run, series="a", model="c-1", split="eval")[["series", "model"]].values.tolist() == [
        ["a", "c-1"]
    ]
    assert dpo.pair_table(run, model=["a/c-2", "b/c-1"], split="eval")["series"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("chosen", "there"),
    [({"series": "x"}, "gentle"), ({"model": "x"}, "gentle/checkpoint-10"), ({"split": "x"}, "eval")],
)
@pytest.mark.parametrize("table", [dpo.pair_table, dpo.response_table, dpo.step_table, dpo.position_table])
def test_an_unknown_name_is_refused_with_what_there_is(run, table, chosen, there):
    with pytest.raises(InputError, match=rf"'x' in run .*: it has .*{there}"):
        table(run, **chosen)


def test_other_refusals(run):
    with pytest.raises(InputError, match="no pair 'nope'"):
        dpo.token_table(run, pair_id="nope")
    with pytest.raises(InputError, match="every policy's row holds its log-probs"):
        dpo.pair_table(run, model="reference")
    with pytest.raises(InputError, match="bad beta"):
        dpo.response_table(run, beta=-1)


def test_only_numbers_of_the_source_become_columns(tmp_path):
    sources = {0: {"source": {"a": 1, "b": "x", "c": True, "d": None, "e": 1}}, 1: {"source": {"a": 2.5, "e": "2"}}}
    pairs = dpo.pair_table(make_run(tmp_path / "run", SCORES, facts=sources))
    assert [name for name in pairs if name.startswith("meta.")] == ["meta.a"]
    assert pairs["meta.a"].tolist() == [1.0, 2.5]


def test_tokens_show_their_bytes_and_a_split_character_as_its_bytes(run):
    tokens = dpo.token_table(run, pair_id="p0")
    rejected = tokens[tokens.side == "rejected"]
    assert rejected["token_bytes"].tolist() == [b" sky", b"\xe4\xb8", b"\xad\n"]
    assert rejected["text"].tolist() == [" sky", "\\xE4\\xB8", "\\xAD\n"]
    assert rejected["position"].tolist() == [0, 1, 2]
    assert rejected["value"].tolist() == pytest.approx([-0.1, -0.2, -0.2])


@pytest.mark.parametrize(
    ("content", "shown"), [(b"", ""), ("天".encode(), "天"), (b"a\xe5\xa4", "a\\xE5\\xA4"), (b"\xff\x00", "\\xFF\x00")]
)
def test_token_text(content, shown):
    assert token_text(content) == shown


def test_a_run_without_vocabulary_shows_ids(tmp_path):
    tokens = dpo.token_table(make_run(tmp_path / "run", SCORES, vocab=None))
    assert tokens["text"][:2].tolist() == ["[0]", "[1]"]
    assert tokens["token_bytes"].isna().all()


def test_position_table_by_hand(run):
    profile = dpo.position_table(run).set_index(["side", "position"])
    assert profile.loc[("chosen", 0), ["n_used", "log_ratio"]].tolist() == [2, pytest.approx((-0.5 + 1.0) / 2)]
    assert profile.loc[("rejected", 1), ["n_used", "log_ratio"]].tolist() == [1, -1.0]
    assert profile.loc[("rejected", 0), "reward"] == pytest.approx(-0.1)
    assert len(profile) == 5


def test_step_table_by_hand(run):
    row = dpo.step_table(run).iloc[0]
    assert row["margin"] == pytest.approx((0.1 + 0.2) / 2)
    assert (row["accuracy"], row["ranking_accuracy"], row["share_chosen_fell"]) == (1.0, 0.5, 0.5)
    assert row["margin_low"] == pytest.approx(0.1)
    assert row["margin_high"] == pytest.approx(0.2)


def test_a_run_without_policies_has_empty_tables(tmp_path):
    run = make_run(tmp_path / "run", {"reference": REFERENCE})
    made = [dpo.pair_table, dpo.response_table, dpo.token_table, dpo.step_table, dpo.position_table]
    assert [len(table(run)) for table in made] == [0] * 5
    assert list(dpo.response_table(run)) == RESPONSE


def test_the_golden_folder_gives_its_tables():
    run = open_run(Path(__file__).parent / "golden" / "schema-1")
    pairs = dpo.pair_table(run)
    assert pairs["status"].tolist()[:4] == ["truncated", "identical", "empty", "ok"]
    assert pairs["margin"][1] == 0.0
    assert dpo.step_table(run)["n_used"].tolist() == [3, 2]


def test_the_tables_are_functions_of_the_package():
    for name in ("pair", "response", "token", "step", "position"):
        module = importlib.import_module(f"dpo_analysis.tables.{name}s")
        assert getattr(dpo, f"{name}_table") is getattr(module, f"{name}_table")


def test_the_probes_are_a_module_of_the_package():
    from dpo_analysis import probes

    assert dpo.probes is probes is importlib.import_module("dpo_analysis.tables.probes")

"""The curves of the trainer's log beside the recomputed ones: which are compared, and which reasons are given."""

from pathlib import Path

import pyarrow as pa
import pytest

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Series, open_run
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.tables.trainer_log import (
    difference_text,
    explain_difference,
    logged_curves,
    logs_of_other_splits,
    trainer_log_differences,
    trainer_log_table,
)
from tests.handmade import make_run

SCORES = {
    "reference": [([-1.0, -2.0], [-1.0, -3.0]), ([-4.0], [-1.0])],
    "gentle/checkpoint-10": [([-1.5, -2.5], [-2.0, -4.0]), ([-3.0], [-2.0])],
    "gentle/last": [([-1.5, -2.5], [-2.0, -4.0]), ([-3.0], [-2.0])],
}


def curves(*rows) -> pa.Table:
    names = ("series", "split", "step", "epoch", "metric", "value")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=CURVES_SCHEMA)


LOG = curves(
    ("gentle", "eval", 10, 1.0, "margin", 0.16),
    ("gentle", "eval", 5, 0.5, "margin", 0.1),
    ("gentle", "eval", 10, 1.0, "grad_norm", 3.0),
    ("gentle", "eval", 10, 1.0, "loss", None),
    ("gentle", "eval_hard", 10, 1.0, "chosen_reward", 0.2),
    ("gentle", "train", 10, 1.0, "margin", 0.3),
    ("other", "eval", 10, 1.0, "margin", 0.3),
)


def test_same_series_split_step_and_metric_stand_side_by_side(tmp_path):
    run = make_run(tmp_path / "run", SCORES, curves=LOG, facts={1: {"split": "hard"}})
    rows = trainer_log_table(run).set_index(["split", "metric"])
    assert sorted(rows.index) == [("eval", "loss"), ("eval", "margin"), ("hard", "chosen_reward")]
    margin = rows.loc[("eval", "margin")]
    assert (margin.model, margin.step, margin.logged, margin.unit) == ("checkpoint-10", 10, 0.16, "beta x nats")
    assert margin.recomputed == pytest.approx(0.1)
    assert margin.difference == pytest.approx(0.1 - 0.16)
    assert rows.loc[("hard", "chosen_reward"), "logged_split"] == "eval_hard"


def test_a_log_that_lies_beside_no_curve_is_named_with_the_reason(tmp_path):
    run = make_run(tmp_path / "run", SCORES, curves=LOG, facts={1: {"split": "hard"}})
    logged = logged_curves(run)
    assert logs_of_other_splits(run, logged, "eval") == [
        ("eval_hard", "gentle", "overview.log.other"),
        ("train", "gentle", "overview.log.none"),
    ]
    assert ("eval", "gentle, other", "overview.log.other") in logs_of_other_splits(run, logged, "hard")


def test_a_run_without_a_log_hides_none(tmp_path):
    run = make_run(tmp_path / "run", SCORES)
    assert logs_of_other_splits(run, logged_curves(run), "eval") == []


def test_summary_tells_the_largest_difference_and_where(tmp_path):
    run = make_run(tmp_path / "run", SCORES, curves=LOG)
    summary = trainer_log_differences(trainer_log_table(run)).set_index("metric")
    assert list(summary.index) == ["margin"]
    assert summary.loc["margin", "largest_difference"] == pytest.approx(abs((0.1 + 0.2) / 2 - 0.16))
    assert summary.loc["margin", ["n_points", "step"]].tolist() == [1, 10]


def test_a_run_without_a_log_has_an_empty_table(tmp_path):
    overlay = trainer_log_table(make_run(tmp_path / "run", SCORES))
    assert overlay.empty
    assert trainer_log_differences(overlay).empty


def test_logged_means_are_laid_beside_means(tmp_path):
    log = curves(("gentle", "eval", 10, 1.0, "chosen_logps", -2.5))
    run = make_run(tmp_path / "run", SCORES, curves=log, series=[Series("gentle", logged_logps="mean")])
    assert trainer_log_table(run)["recomputed"].tolist() == [pytest.approx((-4.0 / 2 - 3.0) / 2)]
    assert "overlay.means" in explain_difference(run, "gentle", "eval")


@pytest.mark.parametrize(
    ("parameters", "split", "reasons"),
    [
        ({"bf16": False}, "train", ["window", "subset"]),
        ({"bf16": False}, "eval", ["batches", "subset"]),
        ({}, "eval_hard", ["batches", "subset", "bf16_unknown"]),
        ({"bf16": True, "saved_dtype": "float16"}, "eval", ["batches", "subset", "bf16", "saved_float16"]),
        ({"bf16": False, "saved_dtype": "float32", "ld_alpha": 0.5}, "eval", ["batches", "subset", "ld_alpha"]),
        ({"bf16": False, "use_weighting": True}, "eval", ["batches", "subset", "no_loss"]),
    ],
)
def test_reasons(tmp_path, parameters, split, reasons):
    run = make_run(tmp_path / "run", SCORES, series=[Series("gentle", parameters=parameters)])
    assert explain_difference(run, "gentle", split) == [f"overlay.{name}" for name in reasons]


def test_reasons_are_sentences_in_both_languages(tmp_path):
    run = make_run(tmp_path / "run", SCORES, series=[Series("gentle", loss_type=["sigmoid", "sft"])])
    english, chinese = (difference_text(run, "gentle", "eval", lang=lang) for lang in ("en", "zh"))
    assert english.count(". ") >= 3
    assert "批" in chinese


def test_an_unknown_series_is_refused(tmp_path):
    with pytest.raises(InputError, match="no series 'x'"):
        explain_difference(make_run(tmp_path / "run", SCORES), "x", "eval")


@pytest.fixture(scope="module")
def sample():
    run = open_run(Path(__file__).resolve().parent.parent / "sample_data" / "run")
    return run, trainer_log_table(run)


def test_on_the_sample_evaluation_agrees_within_the_rounding_of_saved_weights(sample):
    run, overlay = sample
    held_out = overlay[overlay["logged_split"] == "eval"]
    assert len(held_out) == 15 * 8
    assert "overlay.saved_float16" in explain_difference(run, "strong", "eval")
    allowed = held_out["unit"].map({"nats": 0.01, "beta x nats": 0.001, "loss": 0.001, "share": 1 / 150})
    assert (held_out["difference"].abs() <= allowed).all()


def test_on_the_sample_train_averages_agree_within_three_half_widths(sample):
    _, overlay = sample
    windows = overlay[overlay["logged_split"] == "train"]
    assert len(windows) == 15 * 8
    assert (windows["difference"].abs() <= 3 * (windows["high"] - windows["low"]) / 2).all()

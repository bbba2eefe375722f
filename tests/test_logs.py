"""The trainer's log as curves: names, splits, what is no number, and files that are none."""

import json

import pytest

from dpo_analysis.errors import InputError
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.trainer.logs import read_trainer_state, split_and_metric


def state(folder, history, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history, "global_step": 10} | facts))
    return folder


def values(table):
    rows = table.to_pylist()
    return {(row["split"], row["metric"], row["step"]): row["value"] for row in rows}


def test_trl_names_become_ours(tmp_path):
    record = {
        "step": 5,
        "epoch": 0.5,
        "loss": 0.69,
        "rewards/chosen": -0.1,
        "rewards/margins": 0.2,
        "rewards/accuracies": 0.75,
        "logps/rejected": -12.5,
        "entropy": 1.5,
        "grad_norm": 3,
    }
    table = read_trainer_state(state(tmp_path / "gentle" / "checkpoint-10", [record]))
    assert table.schema.equals(CURVES_SCHEMA)
    assert values(table) == {
        ("train", "loss", 5): 0.69,
        ("train", "chosen_reward", 5): -0.1,
        ("train", "margin", 5): 0.2,
        ("train", "accuracy_trl", 5): 0.75,
        ("train", "rejected_logps", 5): -12.5,
        ("train", "entropy", 5): 1.5,
        ("train", "grad_norm", 5): 3.0,
    }
    assert set(table["series"].to_pylist()) == {"gentle"}
    assert set(table["epoch"].to_pylist()) == {0.5}


@pytest.mark.parametrize(
    ("key", "split", "metric"),
    [
        ("loss", "train", "loss"),
        ("train_loss", "train", "train_loss"),
        ("eval_loss", "eval", "loss"),
        ("eval_rewards/chosen", "eval", "chosen_reward"),
        ("eval_samples_per_second", "eval", "samples_per_second"),
        ("eval_math_rewards/accuracies", "eval_math", "accuracy_trl"),
        ("eval_held_out_loss", "eval_held_out", "loss"),
        ("eval_x_mean_token_accuracy", "eval_x", "mean_token_accuracy"),
        ("eval_my_metric", "eval", "my_metric"),
    ],
)
def test_splits_are_told_from_metrics(key, split, metric):
    assert split_and_metric(key) == (split, metric)


def test_what_is_no_finite_number_is_null_and_counted(tmp_path):
    folder = state(tmp_path, [])
    (folder / "trainer_state.json").write_text('{"log_history": [{"step": 1, "loss": NaN, "grad_norm": -Infinity}]}')
    table = read_trainer_state(folder, series="s")
    assert values(table) == {("train", "loss", 1): None, ("train", "grad_norm", 1): None}
    assert table.schema.metadata[b"nulls"] == b"2"


def test_a_step_logged_again_after_a_resume_counts_once_with_its_last_value(tmp_path):
    history = [{"step": 5, "loss": 0.7}, {"step": 10, "loss": 0.6}, {"step": 10, "loss": 0.5}]
    table = read_trainer_state(state(tmp_path, history), series="s")
    assert values(table) == {("train", "loss", 5): 0.7, ("train", "loss", 10): 0.5}
    assert table.schema.metadata[b"duplicates"] == b"1"


def test_the_highest_checkpoint_of_a_run_is_read(tmp_path):
    for step in (9, 100, 20):
        state(tmp_path / f"checkpoint-{step}", [{"step": step, "loss": 1.0}])
    (tmp_path / "checkpoint-500").mkdir()
    assert read_trainer_state(tmp_path)["step"].to_pylist() == [100]
    assert read_trainer_state(tmp_path)["series"].to_pylist() == [tmp_path.name]


def test_records_of_other_shapes_are_passed_over(tmp_path):
    history = [
        "x",
        None,
        {"loss": 1.0},
        {"step": "3", "loss": 1.0},
        {"step": -1, "loss": 1.0},
        {"step": True, "loss": 1},
        {"step": 2**70, "loss": 1.0},
        {"step": 4, "loss": "0.5", "flag": True, "list": [1], "big": 10**400},
    ]
    assert values(read_trainer_state(state(tmp_path, history))) == {("train", "big", 4): None}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "damaged training log"),
        ("[]", "no JSON object"),
        ('{"global_step": 3}', "no log_history"),
        ('{"log_history": {}}', "no log_history"),
        ("[" * 100_000, "damaged training log"),
    ],
)
def test_a_file_that_is_no_log_is_refused_in_one_line(tmp_path, content, why):
    (tmp_path / "trainer_state.json").write_text(content)
    with pytest.raises(InputError, match=why):
        read_trainer_state(tmp_path)


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no trainer_state\.json"):
        read_trainer_state(tmp_path)


def test_a_log_larger_than_the_cap_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("dpo_analysis.trainer.logs.trainer_state.MAX_JSON_BYTES", 10)
    with pytest.raises(InputError, match="is larger than"):
        read_trainer_state(state(tmp_path, []))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "trainer_state.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="damaged training log"):
        read_trainer_state(tmp_path)

"""Every kind of training log gives the same curves as trainer_state.json of the same training."""

import csv
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from dpo_analysis.errors import InputError
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.trainer.logs import find_logs, logged_config, read_log
from dpo_analysis.trainer.logs.read import last_step
from tests.log_files import LOGS, counts, event, framed, values

SHARED = Path(__file__).parents[2] / "shared" / "trainers"
TOTALS = {"total_flos", "train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
"""What trainers log once at the end, after the last checkpoint is written."""


@pytest.mark.parametrize(
    ("log", "expected", "tolerance"),
    [
        ("trl/wandb", "trl", 0.0),
        ("trackio", "trl", 0.0),
        ("csv", "trl", 0.0),
        ("swift/logging.jsonl", "swift", 1e-8),
        ("swift/runs", "swift", 1e-6),
        ("llamafactory/trainer_log.jsonl", "llamafactory", 0.0),
    ],
)
def test_curves_are_those_of_trainer_state(log, expected, tolerance):
    table, wanted = read_log(LOGS / log), values(read_log(LOGS / expected / "trainer_state.json"))
    assert table.schema.equals(CURVES_SCHEMA)
    found = {key: value for key, value in values(table).items() if key[1] not in (TOTALS | {"x"})}
    assert found.keys() <= wanted.keys()
    if "csv" not in log and "trainer_log" not in log:
        assert {key for key in wanted if key[1] not in TOTALS} <= found.keys()
    assert len(found) > 20
    for key, value in found.items():
        assert value == pytest.approx(wanted[key], rel=tolerance, abs=tolerance), key


@pytest.mark.parametrize("log", ["trl/wandb", "trackio", "swift/logging.jsonl", "swift/runs"])
def test_epochs_are_those_of_trainer_state(log):
    expected = "swift" if "swift" in log else "trl"
    epochs = {row["step"]: row["epoch"] for row in read_log(LOGS / expected / "trainer_state.json").to_pylist()}
    for row in read_log(LOGS / log).to_pylist():
        assert row["metric"] == "x" or row["epoch"] == pytest.approx(epochs[row["step"]], abs=1e-6)


def test_openrlhf_names_become_ours_and_agree_with_what_it_printed():
    table = values(read_log(LOGS / "openrlhf"))
    # The values of the note that came with the folder.
    assert table["eval", "loss", 20] == pytest.approx(0.57944, abs=1e-5)
    assert table["eval", "loss", 40] == pytest.approx(0.54691, abs=1e-5)
    assert table["eval", "accuracy_trl", 20] == pytest.approx(0.90667, abs=1e-5)
    assert {("train", name, 40) for name in ("chosen_reward", "rejected_reward", "accuracy_trl", "acc_mean")} <= set(
        table
    )


@pytest.mark.parametrize("name", ["trl-0.29.1-full", "swift-4.6.0-full", "lf-0.9.5-full"])
def test_all_logs_of_a_real_folder_agree(name, tmp_path):
    if not (SHARED / f"{name}.tar.xz").is_file():
        pytest.skip("the folders that trainers left are not here")
    shutil.unpack_archive(SHARED / f"{name}.tar.xz", tmp_path, filter="data")
    logs = find_logs(tmp_path / name)
    assert len(logs) > 1
    wanted = values(read_log(logs[0]))
    for log in logs[1:]:
        common = {key: value for key, value in values(read_log(log)).items() if key in wanted}
        assert len(common) > 20
        assert all(value == pytest.approx(wanted[key], rel=1e-6, abs=1e-6) for key, value in common.items())


def test_nan_and_infinities_are_null_and_counted_apart(tmp_path):
    table = read_log(LOGS / "trackio")
    assert values(table)["train", "x", 41] is None
    assert counts(table) == {"nan": 1, "infinite": 1, "nulls": 2}
    events = framed(*(event("train/loss", step, float(word)) for step, word in enumerate(("nan", "-inf", "inf", "1"))))
    (tmp_path / "events.out.tfevents.1").write_bytes(events)
    table = read_log(tmp_path)
    assert values(table) == {("train", "loss", 0): None, ("train", "loss", 1): None, ("train", "loss", 2): None} | {
        ("train", "loss", 3): 1.0
    }
    assert counts(table) == {"nan": 1, "infinite": 2, "nulls": 3}


def test_what_a_resumed_run_logs_again_replaces_what_came_after_its_start(tmp_path):
    first = framed(*(event("train/loss", step, step, time=1.0) for step in (5, 10, 15, 20)))
    second = framed(*(event("train/loss", step, 100 + step, time=2.0) for step in (10, 15)))
    # Sorted by name, the later file would come first.
    for name, content in (
        ("Nov02_10-00-00_host/events.out.tfevents.1", first),
        ("Nov01_10-00-00_host/events.out.tfevents.9", second),
    ):
        file = tmp_path / "out" / "runs" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    table = read_log(tmp_path / "out")
    assert values(table) == {("train", "loss", 5): 5.0, ("train", "loss", 10): 110.0, ("train", "loss", 15): 115.0}
    assert counts(table) == {"duplicates": 2, "discarded": 1}
    assert set(table["series"].to_pylist()) == {"out"}


def test_steps_below_zero_are_no_steps(tmp_path):
    (tmp_path / "x").write_bytes(framed(event("train/loss", -1, 1.0), event("train/loss", 3, 2.0)))
    assert values(read_log(tmp_path / "x")) == {("train", "loss", 3): 2.0}


def test_runs_of_one_csv_export_are_series(tmp_path):
    rows = [["Step", "a - train/loss", "b - x - eval/rewards/chosen", "b - x - eval/rewards/chosen__MIN"]]
    rows += [["1", "0.5", "", ""], ["2", "NaN", "-0.25", "-9"], ["3", "1"], ["4", "Infinity", "", "x"]]
    with (tmp_path / "export.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    table = read_log(tmp_path)
    assert [(row["series"], row["split"], row["metric"], row["step"], row["value"]) for row in table.to_pylist()] == [
        ("a", "train", "loss", 1, 0.5),
        ("a", "train", "loss", 2, None),
        ("a", "train", "loss", 4, None),
        ("b - x", "eval", "chosen_reward", 2, -0.25),
    ]
    assert counts(table) == {"nan": 1, "infinite": 1, "nulls": 2, "damaged": 2, "log_calls": 4}
    assert set(read_log(tmp_path, series="a")["series"].to_pylist()) == {"a"}
    with pytest.raises(InputError, match=r"several runs in training log .*: a, b - x;"):
        read_log(tmp_path, series="c")


def test_the_steps_of_a_trainer_count_before_those_of_wandb(tmp_path):
    header = "train/global_step,a - _step,a - train/loss,a - train/rewards/chosen\n"
    (tmp_path / "e.csv").write_text(f"{header}10,3,0.5,0.1\n")
    assert values(read_log(tmp_path)) == {("train", "loss", 10): 0.5, ("train", "chosen_reward", 10): 0.1}
    assert "log_calls" not in counts(read_log(tmp_path))


def test_a_plain_csv_of_a_log_history_is_read(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,step,loss,eval_math_loss\n0.5,5,0.7,\n1.0,10,0.6,0.65\n")
    table = read_log(tmp_path / "history.csv", series="s")
    assert values(table) == {("train", "loss", 5): 0.7, ("train", "loss", 10): 0.6, ("eval_math", "loss", 10): 0.65}
    assert [row["epoch"] for row in table.to_pylist()] == [1.0, 0.5, 1.0]


def test_a_summary_line_and_broken_lines_of_json_lines_are_no_values(tmp_path):
    lines = ['{"loss": 0.7, "global_step/max_steps": "5/40"}', "{broken", "", '["list"]']
    lines += [json.dumps({"global_step": 40, "best_metric": 0.5, "log_history": [{"step": 5, "loss": 9}]})]
    (tmp_path / "logging.jsonl").write_text("\n".join(lines))
    table = read_log(tmp_path)
    assert values(table) == {("train", "loss", 5): 0.7}
    assert counts(table) == {"damaged": 2, "lost_bytes": len("{broken\n") + len('["list"]\n')}


def test_rows_beside_a_trackio_database_that_is_open_are_read_and_nothing_is_written(tmp_path):
    path = tmp_path / "p.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INTEGER, metrics TEXT)")
    connection.execute("INSERT INTO metrics VALUES (1, 'r', 7, '{\"train/loss\": 0.5}')")
    connection.commit()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert "p.db-wal" in before
    table = read_log(path)
    assert values(table) == {("train", "loss", 7): 0.5}
    assert set(table["series"].to_pylist()) == {"r"}
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    connection.close()


def test_the_config_of_a_training_is_read_from_its_logs():
    config = logged_config(LOGS / "trl")
    expected = {"beta": 0.2, "loss_type": ["sigmoid"], "model": "/home/me/dpo/sft", "trl_version": "0.29.1"}
    assert {name: config[name] for name in expected} == expected
    assert logged_config(LOGS / "swift")["beta"] == 0.2
    trackio = logged_config(LOGS / "trackio" / "dpo.db")
    assert (trackio["beta"], trackio["model"]) == (0.2, "/x/sft")
    assert logged_config(LOGS / "llamafactory" / "trainer_state.json") == {}


def test_logs_are_found_most_complete_first():
    kinds = {
        name: [log.kind for log in find_logs(LOGS / name)] for name in ("trl", "swift", "llamafactory", "openrlhf")
    }
    assert kinds == {
        "trl": ["trainer_state.json", "W&B"],
        "swift": ["trainer_state.json", "JSON Lines", "TensorBoard"],
        "llamafactory": ["trainer_state.json", "JSON Lines"],
        "openrlhf": ["TensorBoard"],
    }
    assert {last_step(log) for name in kinds for log in find_logs(LOGS / name)} == {40}


def test_a_state_that_ends_before_the_last_checkpoint_counts_last(tmp_path):
    for step in (20, 40):
        (tmp_path / f"checkpoint-{step}").mkdir()
    shutil.copy(LOGS / "swift" / "logging.jsonl", tmp_path)
    (tmp_path / "checkpoint-20" / "trainer_state.json").write_text('{"global_step": 20, "log_history": []}')
    assert [log.kind for log in find_logs(tmp_path)] == ["JSON Lines", "trainer_state.json"]
    (tmp_path / "checkpoint-40" / "trainer_state.json").write_text('{"global_step": 40, "log_history": []}')
    found = find_logs(tmp_path, [tmp_path / "checkpoint-20", tmp_path / "checkpoint-40"])
    assert [(log.kind, last_step(log)) for log in found] == [("trainer_state.json", 40), ("JSON Lines", 40)]


def test_experiments_beside_each_other_are_not_mixed(tmp_path):
    for name, value in (("one", 1.0), ("two", 2.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"events.out.tfevents.{value:g}").write_bytes(framed(event("train/loss", 5, value)))
    assert [log.path.parent.name for log in find_logs(tmp_path)] == ["two", "one"]
    assert values(read_log(tmp_path)) == {("train", "loss", 5): 2.0}

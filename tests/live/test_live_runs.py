"""Run folders that grow: the lock that tells pages to refresh, and checkpoints that are taken out."""

import json
import os
import subprocess
import sys

import pytest

from dpo_analysis.runs import Model, RunWriter, open_run, verify_run
from dpo_analysis.runs.live.live_lock import LIVE_LOCK, TRAINING, WATCH, hold_live_lock, live_holder
from dpo_analysis.runs.live.removal import remove_later_models
from dpo_analysis.scoring.loop import score_parts
from tests.faults import fakes


def test_the_lock_says_who_holds_it_and_dies_with_its_process(tmp_path):
    assert live_holder(tmp_path) == ""
    lock = hold_live_lock(tmp_path, WATCH)
    assert live_holder(tmp_path) == WATCH
    lock.release()
    lock.release()
    assert live_holder(tmp_path) == ""
    code = (
        "import os, sys; from pathlib import Path; from dpo_analysis.runs.live.live_lock import *\n"
        "lock = hold_live_lock(Path(sys.argv[1]), TRAINING); print(live_holder(Path(sys.argv[1])), flush=True)\n"
        "sys.stdin.read(1); os._exit(9)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes) as child:
        assert child.stdout.readline().strip() == TRAINING
        assert live_holder(tmp_path) == TRAINING
        assert hold_live_lock(tmp_path, WATCH) is None
        child.communicate("x")
    assert live_holder(tmp_path) == ""
    assert json.loads((tmp_path / LIVE_LOCK).read_text())["holder"] == TRAINING  # a dead holder means nothing


@pytest.mark.parametrize("content", [b"", b"[", b'{"holder": "somebody"}', b"\xff", b"[" * 5000, b'{"holder": [1]}'])
def test_a_lock_file_of_any_content_is_no_error(content, tmp_path):
    lock = hold_live_lock(tmp_path, WATCH)
    (tmp_path / LIVE_LOCK).write_bytes(content)
    assert live_holder(tmp_path) == ""
    lock.release()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / LIVE_LOCK).symlink_to(tmp_path / "elsewhere")
    assert live_holder(tmp_path) == ""
    assert not (tmp_path / "elsewhere").exists()


STEPS = (10, 20, 30)


def score_steps(path, steps, weights="first"):
    models = [Model("gentle", f"checkpoint-{step}", step, "fake", "", fakes.sha(f"{weights} {step}")) for step in steps]
    models = [fakes.REFERENCE, *models, *([fakes.POLICIES[1]] if weights == "first" else [])]
    options = {"identity": fakes.IDENTITY, "tokenized": fakes.pairs(), "series": fakes.SERIES, "part_size": 4}
    with RunWriter.open(path, models=models, **options) as writer:
        sources = [fakes.FakeSource(model) for model in models]
        score_parts(writer, sources, batch_tokens=100, report=lambda progress: None)


def names(path):
    return [model.key for model in open_run(path).models]


def test_later_checkpoints_of_a_series_are_removed_with_their_files(tmp_path):
    score_steps(tmp_path / "run", STEPS)
    gone = remove_later_models(tmp_path / "run", "gentle", 15)
    assert [model.step for model in gone] == [20, 30]
    assert names(tmp_path / "run") == ["gentle/checkpoint-10", "strong/checkpoint-10"]
    assert verify_run(tmp_path / "run") == []
    left = [path for path in (tmp_path / "run").rglob("*.parquet") if "checkpoint-20" in str(path)]
    assert left == []
    score_steps(tmp_path / "run", (20,), weights="second")
    assert names(tmp_path / "run") == ["gentle/checkpoint-10", "gentle/checkpoint-20", "strong/checkpoint-10"]
    assert verify_run(tmp_path / "run") == []


def test_a_checkpoint_whose_scoring_was_killed_is_removed_at_any_step(tmp_path):
    score_steps(tmp_path / "run", (10,))
    lost = Model("gentle", "checkpoint-20", 20, "fake", "", fakes.sha("lost"))
    options = {"identity": fakes.IDENTITY, "tokenized": fakes.pairs(), "series": fakes.SERIES, "part_size": 4}
    RunWriter.open(tmp_path / "run", models=[fakes.REFERENCE, lost], **options).__exit__(None, None, None)
    assert not open_run(tmp_path / "run").is_complete
    assert remove_later_models(tmp_path / "run", "gentle", 20) == [lost]
    assert open_run(tmp_path / "run").is_complete


def test_files_that_a_killed_removal_left_go_with_the_next(tmp_path):
    run = tmp_path / "run"
    score_steps(run, STEPS)
    before = {path: path.read_bytes() for path in run.rglob("*.parquet") if "checkpoint-30" in str(path)}
    remove_later_models(run, "gentle", 20)
    for path, data in before.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert remove_later_models(run, "gentle", 20) == []
    assert not any(path.exists() for path in before)
    assert remove_later_models(tmp_path / "none", "gentle", 0) == []


def test_the_live_lock_is_no_part_of_the_run(tmp_path):
    score_steps(tmp_path / "run", (10,))
    lock = hold_live_lock(tmp_path / "run", WATCH)
    assert verify_run(tmp_path / "run") == []
    lock.release()
    assert os.path.getsize(tmp_path / "run" / LIVE_LOCK) == 0

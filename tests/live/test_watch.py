"""``score --watch`` on a folder that fills: a real training's checkpoints, copied in one after the other."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dpo_analysis.cli.main import main
from dpo_analysis.runs import open_run, verify_run
from dpo_analysis.runs.live.live_lock import WATCH, live_holder

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "sample_data"
PATIENCE = 240
"""Seconds to wait for a line: importing torch alone takes many on a busy machine."""


class Watch:
    """The command in a process of its own, and the lines that it prints."""

    def __init__(self, folder, out):
        command = [sys.executable, "-m", "dpo_analysis", "score", f"eval={SAMPLE}/pairs/eval.jsonl"]
        options = ["--watch", folder, "--reference", SAMPLE / "sft", "--out", out, "--beta", "0.1", "--limit", "6"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*command, *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self.lines, self._queue = [], queue.Queue()
        threading.Thread(target=lambda: [self._queue.put(line) for line in self.process.stdout], daemon=True).start()

    def wait_for(self, text):
        """Return once a line holds ``text``."""
        deadline = time.monotonic() + PATIENCE
        while True:
            line = self._queue.get(timeout=max(0.1, deadline - time.monotonic()))
            self.lines.append(line.rstrip())
            if text in line:
                return

    def end(self, stop=None):
        if stop is not None:
            self.process.send_signal(stop)
        code = self.process.wait(PATIENCE)
        while not self._queue.empty():
            self.lines.append(self._queue.get().rstrip())
        return code


def put(folder, step, source="strong"):
    shutil.copytree(SAMPLE / f"{source}/checkpoint-{step}", folder / f"checkpoint-{step}")


@pytest.fixture
def watched(tmp_path):
    watch = Watch(tmp_path / "strong", tmp_path / "run")
    yield watch
    watch.process.kill()


def test_each_checkpoint_is_scored_when_it_is_whole_and_the_last_ends_the_command(watched, tmp_path):
    folder = tmp_path / "strong"
    watched.wait_for(f"waiting for a checkpoint in {folder}, which does not exist yet")
    half = folder / "checkpoint-30"
    put(folder, 30)
    weights = (half / "model.safetensors").read_bytes()
    (half / "model.safetensors").write_bytes(weights[:-1000])
    os.utime(half / "trainer_state.json")
    watched.wait_for("waiting for checkpoint-30: model.safetensors is not whole yet")
    assert not (tmp_path / "run").exists()
    (half / "model.safetensors").write_bytes(weights)
    os.utime(half / "trainer_state.json")
    watched.wait_for("checkpoint-30: reward of chosen")
    assert [model.step for model in open_run(tmp_path / "run").models] == [30]
    assert live_holder(tmp_path / "run") == WATCH
    assert Watch(folder, tmp_path / "run").end() == 5
    # a trainer with save_total_limit deletes what is scored already
    shutil.rmtree(half)
    put(folder, 60)
    watched.wait_for("checkpoint-60: reward of chosen")
    put(folder, 150)
    assert watched.end() == 0
    assert f"scored: 3 policies and the reference in {tmp_path / 'run'}" in watched.lines
    run = open_run(tmp_path / "run")
    assert [model.step for model in run.models] == [30, 60, 150]
    assert verify_run(run.path) == []
    assert live_holder(run.path) == ""
    assert (run.path / "summary/diagnosis.json").is_file()
    assert max(run.curves()["step"].to_pylist()) == 150


def test_a_stopped_watch_goes_on_and_scores_again_what_a_resumed_training_wrote_again(watched, tmp_path):
    folder = tmp_path / "strong"
    put(folder, 30)
    put(folder, 60)
    watched.wait_for("checkpoint-60: reward of chosen")
    assert watched.end(signal.SIGINT) == 0
    before = {model.name: model.weights for model in open_run(tmp_path / "run").models}
    shutil.copy(SAMPLE / "gentle/checkpoint-60/model.safetensors", folder / "checkpoint-60")
    os.utime(folder / "checkpoint-60/trainer_state.json")
    put(folder, 150)
    again = Watch(folder, tmp_path / "run")
    assert again.end() == 0
    assert (
        "strong/checkpoint-60 was written again by a resumed training: it and later steps are scored anew"
        in again.lines
    )
    after = {model.name: model.weights for model in open_run(tmp_path / "run").models}
    assert list(after) == ["checkpoint-30", "checkpoint-60", "checkpoint-150"]
    assert after["checkpoint-30"] == before["checkpoint-30"]
    assert after["checkpoint-60"] != before["checkpoint-60"]
    assert verify_run(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policy", "x"], "--policy beside --watch"),
        (["--trainer-output", "x"], "--trainer-output beside --watch"),
        (["--probes"], "--probes beside --watch"),
        (["--shard", "0/2"], "--shard beside --watch"),
    ],
)
def test_options_that_need_all_checkpoints_are_refused(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["score", "pairs.jsonl", "--watch", str(tmp_path), "--out", str(tmp_path / "run"), *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_several_ranks_are_refused(tmp_path, monkeypatch, capsys):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["score", "pairs.jsonl", "--watch", str(tmp_path), "--out", str(tmp_path / "run")])
    assert "--watch in several ranks" in capsys.readouterr().err


def test_without_pairs_nothing_is_written(tmp_path, capsys):
    put(tmp_path / "strong", 150)
    with pytest.raises(SystemExit) as stopped:
        main(["score", "--watch", str(tmp_path / "strong"), "--reference", "x", "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert "no PAIRS: give the preference pairs beside --watch" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def fail(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["score", *map(str, arguments)])
    return stopped.value.code, capsys.readouterr().err


def test_typing_errors_are_found_before_the_first_checkpoint(tmp_path, capsys):
    pairs, out = f"eval={SAMPLE}/pairs/eval.jsonl", tmp_path / "run"
    reference = ["--reference", SAMPLE / "sft"]
    for arguments, message in [
        (["eval=nope.jsonl", "--watch", tmp_path / "later", *reference, "--out", out], "nope.jsonl"),
        ([pairs, "--watch", SAMPLE / "README.md", *reference, "--out", out], "is a file"),
        ([pairs, "--watch", tmp_path / "later", "--reference", SAMPLE / "nosft", "--out", out], "nosft"),
    ]:
        code, said = fail(arguments, capsys)
        assert code == 2
        assert message in said
    assert not out.exists()


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A folder of two checkpoints, and its run."""
    root = tmp_path_factory.mktemp("scored")
    put(root / "strong", 60)
    put(root / "strong", 150)
    assert Watch(root / "strong", root / "run").end() == 0
    return root


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.parquet")}


@pytest.mark.parametrize("change", ["pairs", "folder"])
def test_nothing_is_removed_from_a_run_of_other_pairs_or_of_another_folder(change, scored, tmp_path, capsys):
    run, folder = tmp_path / "run", tmp_path / "other/strong"
    shutil.copytree(scored / "run", run)
    put(folder, 60, "gentle")
    put(folder, 150)
    before = files(run)
    if change == "pairs":
        folder = scored / "strong"
        shutil.copy(SAMPLE / "gentle/checkpoint-60/model.safetensors", folder / "checkpoint-60")
        os.utime(folder / "checkpoint-60/trainer_state.json")
    options = ["--limit", "5" if change == "pairs" else "6", "--reference", SAMPLE / "sft", "--beta", "0.1"]
    code, said = fail([f"eval={SAMPLE}/pairs/eval.jsonl", "--watch", folder, "--out", run, *options], capsys)
    assert code == 2
    assert ("different run" if change == "pairs" else "different weights") in said
    assert files(run) == before


def test_the_state_of_the_sample_says_where_its_training_ended():
    state = json.loads((SAMPLE / "strong/checkpoint-150/trainer_state.json").read_text())
    assert state["global_step"] == state["max_steps"] == 150

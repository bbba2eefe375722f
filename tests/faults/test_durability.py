"""Whatever stops the scoring, and whenever: no part is lost or wrong, and the same command ends in the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="scoring needs flock and fork")]


def happened(scenario: str, folder: Path) -> dict:
    command = [sys.executable, "-m", "tests.faults.scenarios", scenario, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["heavy"] == [], "the fake scorer's process must load no model library"
    return found


def test_two_hundred_random_kills_leave_the_bytes_of_an_undisturbed_run(tmp_path):
    found = happened("random_kills", tmp_path)
    assert found["kills"] >= 200
    assert (found["different"], found["broken"]) == (0, [])
    assert {"plan", "pairs", "scores", "finish"} <= found["points"].keys(), "the kills must be spread over the writing"
    idle = sum(found["points"].get(point, 0) for point in ("", "locked", "unlocked"))
    assert idle < found["kills"] / 2, "too many kills before the first write or after the last"


def test_a_kill_at_every_named_point_leaves_the_bytes_of_an_undisturbed_run(tmp_path):
    found = happened("point_kills", tmp_path)
    assert found["killed"] == found["points"]
    assert (found["different"], found["broken"]) == ([], [])
    assert sorted(found["passed"]) == sorted(found["points"]), "POINTS must list every point that a run passes"


def test_two_killed_workers_leave_the_bytes_of_one_undisturbed_worker(tmp_path):
    found = happened("shards", tmp_path)
    assert found["kills"] >= 20
    assert found["different"] == 0
    assert found["codes"].keys() <= {"0", "-9"}


def test_of_eight_racing_processes_one_wins_each_of_a_hundred_rounds(tmp_path):
    found = happened("race", tmp_path)
    assert found["winners"] == {"1": 100}
    assert found["losers"] == {"5": 700}
    assert found["told"] == 700, "every loser names the winner's process and host"
    assert found["slowest"] < 5
    assert found["codes"] == [0] * 8


def test_a_full_disk_is_one_line_and_exit_3_and_the_same_command_goes_on(tmp_path):
    found = happened("full_disk", tmp_path)
    assert found["codes"].keys() == {"0", "3"}
    assert (found["temps"], found["broken"], found["different"]) == ([], [], 0)
    assert all(line.startswith("disk full ") and "free space" in line for line in found["messages"])
    assert any("of 9 score parts are saved" in line for line in found["messages"])
    for call, (code, message, temps, again, same) in found["calls"].items():
        assert (code, temps, again, same) == (3, [], 0, True), (call, message)


def test_ctrl_c_and_sigterm_exit_130_and_keep_what_is_finished(tmp_path):
    found = happened("signals", tmp_path)
    assert found["codes"].keys() <= {"0", "130"}
    assert found["codes"]["130"] >= 10
    assert (found["temps"], found["broken"], found["different"]) == ([], [], 0)
    assert found["slowest"] < 5
    assert all("score parts are saved; the same command goes on" in line for line in found["messages"])


def test_no_read_is_torn_while_another_process_writes(tmp_path):
    found = happened("torn_reads", tmp_path)
    assert found["torn"] == []
    assert found["reads"] > 1000
    assert found["contents"] > 5, "the reader must have seen the writer at work"

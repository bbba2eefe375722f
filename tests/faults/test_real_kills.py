"""The real command with real models, killed three times: it goes on and ends in the bytes of an undisturbed run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import fakes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KILLED_AT = (1, 4, 8)
"""Score parts that are on disk when a kill falls."""
SAMPLE = ["eval=sample_data/pairs/eval.jsonl", "--reference", "sample_data/sft", "--policy", "sample_data/strong"]


def start(out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "dpo_analysis", "score", *SAMPLE, "--beta", "0.1", "--limit", "40"]
    command += ["--part-size", "16", "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def parts(out: Path) -> int:
    return len(list(out.glob("scores/**/part-*.parquet")))


@pytest.mark.skipif(os.name != "posix", reason="scoring needs flock")
def test_three_kills_of_the_real_command_leave_the_bytes_of_an_undisturbed_run(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert start(whole).wait(120) == 0
    for wanted in KILLED_AT:
        process = start(run)
        while parts(run) < wanted and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL, "it was finished before it could be killed"
        assert wanted <= parts(run) < parts(whole)
    assert start(run).wait(120) == 0
    assert fakes.bytes_of(run) == fakes.bytes_of(whole)

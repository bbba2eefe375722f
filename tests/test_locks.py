"""The locks of a run folder: freed by the kernel, told by name, left behind as files that mean nothing."""

import errno
import json
import os
import subprocess
import sys

import pytest

from dpo_analysis.errors import RunBusy, StorageError
from dpo_analysis.runs import locks, open_run, verify_run
from tests.faults import fakes

fcntl = pytest.importorskip("fcntl")
WORKER = """
import sys, time
from pathlib import Path
from dpo_analysis.runs import locks
held = locks.acquire(Path(sys.argv[1]), 0, 1)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def worker(tmp_path):
    """Another process that holds shard 0 of 1 of ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_lock_of_a_killed_process_is_free_at_once(worker, tmp_path):
    assert locks.held_shards(tmp_path) == ["lock.0of1"]
    worker.kill()
    worker.wait()
    assert locks.held_shards(tmp_path) == []
    assert json.loads((tmp_path / "lock.0of1").read_text())["pid"] == worker.pid, "the file stays, and means nothing"
    locks.acquire(tmp_path, 0, 1).release()


def test_whoever_is_refused_is_told_the_holder_however_often_it_is_tried(worker, tmp_path):
    for _ in range(3):
        with pytest.raises(RunBusy, match=f"shard 0 of 1 is held by process {worker.pid} on host ") as refused:
            locks.acquire(tmp_path, 0, 1)
    assert refused.value.exit_code == 5


def test_a_finished_run_leaves_empty_lock_files_that_nothing_looks_at(tmp_path):
    run = tmp_path / "run"
    fakes.score_run(run)
    left = sorted(run.glob("lock.*"))
    assert [path.name for path in left] == ["lock.0of1", "lock.manifest"]
    assert [path.read_bytes() for path in left] == [b"", b""]
    assert locks.held_shards(run) == [] == verify_run(run)
    assert not [record["path"] for record in open_run(run).manifest["parts"] if "lock" in record["path"]]
    before = fakes.bytes_of(run)
    for path in left:
        path.unlink()
    fakes.score_run(run)
    assert fakes.bytes_of(run) == before


def test_a_file_system_without_locks_is_refused_and_no_other_kind_of_lock_is_used(tmp_path, monkeypatch):
    def unsupported(handle, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(StorageError, match=r"failed locking .*lock\.manifest: Function not implemented"):
        locks.acquire(tmp_path, 0, 1)


def test_a_link_in_the_place_of_a_lock_is_refused_and_its_target_stays_as_it_is(tmp_path):
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock.0of1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        locks.acquire(tmp_path / "run", 0, 1)
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_released_shard_is_released_once(tmp_path):
    held = locks.acquire(tmp_path, 0, 2)
    held.release()
    second = locks.acquire(tmp_path, 0, 2)
    held.release()
    with pytest.raises(RunBusy):
        locks.acquire(tmp_path, 0, 2)
    second.release()

"""Whether anybody scores into a run folder: asked without writing, and without standing in a worker's way."""

import os
import stat
import time

import pytest

from dpo_analysis.errors import RunBusy, StorageError
from dpo_analysis.runs import locks
from dpo_analysis.runs.live.activity import activity


def listing(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_an_empty_folder_has_no_worker_and_no_part(tmp_path):
    assert activity(tmp_path).workers == 0
    assert activity(tmp_path).last_part is None


def test_a_worker_is_seen_while_it_holds_its_shard_and_not_after(tmp_path):
    first, second = (locks.acquire(tmp_path, index, 2) for index in (0, 1))
    assert locks.held_shards(tmp_path) == ["lock.0of2", "lock.1of2"]
    first.release()
    assert activity(tmp_path).workers == 1
    second.release()
    assert activity(tmp_path).workers == 0


def test_a_lock_file_that_a_dead_worker_left_behind_means_nothing(tmp_path):
    (tmp_path / "lock.0of1").write_text('{"host": "here", "pid": 1}')
    assert activity(tmp_path).workers == 0
    assert listing(tmp_path) == ["lock.0of1"]


def test_the_time_of_the_last_part_is_told(tmp_path):
    folder = tmp_path / "scores" / "gentle" / "checkpoint-60"
    folder.mkdir(parents=True)
    assert activity(tmp_path).last_part is None
    (folder / "part-00000.parquet").write_bytes(b"")
    os.utime(folder, (1000, 2000))
    assert activity(tmp_path).last_part == 2000


def test_asking_writes_nothing_into_a_read_only_folder(tmp_path):
    held = locks.acquire(tmp_path, 0, 1)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert activity(tmp_path).workers == 1
        assert listing(tmp_path) == ["lock.0of1", "lock.manifest"]
    finally:
        tmp_path.chmod(stat.S_IRWXU)
        held.release()


def test_a_reader_who_looks_does_not_make_a_worker_think_the_run_is_taken(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "lock.0of1").touch()
    looking = os.open(tmp_path / "lock.0of1", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    with pytest.raises(RunBusy):
        locks.acquire(tmp_path, 0, 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
    locks.acquire(tmp_path, 0, 1).release()
    os.close(looking)


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(StorageError, match="gone"):
        activity(tmp_path / "gone")

"""Work in a child process with limits: results, exceptions, and what happens to work that never ends or eats memory."""

import os
import signal
import sys
import time

import pytest

from dpo_analysis.data import bounded_worker
from dpo_analysis.data.bounded_worker import BoundedWorker, LimitReached, call_bounded
from dpo_analysis.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="work is bounded where a process can be forked safely")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(bounded_worker, "CPU_SECONDS", 0.5)
    monkeypatch.setattr(bounded_worker, "EXTRA_BYTES", 2**28)


def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return file.read().split()


def test_a_worker_does_the_work_of_this_process_in_another():
    with BoundedWorker(lambda item: (item * 2, os.getpid())) as worker:
        first, second = worker.map([1, 2, 3]), worker.map(["a"])
    assert [value for value, _ in [*first, *second]] == [2, 4, 6, "aa"]
    assert {pid for _, pid in [*first, *second]} - {os.getpid()}
    assert len({pid for _, pid in [*first, *second]}) == 1
    assert children() == []


def test_large_items_and_results_pass():
    with BoundedWorker(lambda item: item + item) as worker:
        assert len(worker.map(["x" * 10_000_000])[0]) == 20_000_000


def test_an_exception_of_the_work_is_raised_here_and_the_worker_goes_on():
    def work(item):
        if item == 2:
            raise InputError("no two in here: it is even; give another")
        return item

    with BoundedWorker(work) as worker:
        with pytest.raises(InputError, match="no two in here"):
            worker.map([1, 2])
        assert worker.map([1, 3]) == [1, 3]


def test_an_exception_that_cannot_travel_comes_as_its_text():
    class Odd(Exception):
        def __init__(self, first, second):
            super().__init__("odd")

    def work():
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="Odd: odd"):
        call_bounded(work)


def endless(item):
    while item == "loop":
        pass
    return item


@pytest.mark.parametrize(
    ("work", "excess"),
    [
        (endless, "it takes more than 0.5 seconds of CPU time"),
        (lambda item: "x" * 2**33 if item == "loop" else item, "it asks for more than 0.25 GiB of memory"),
        (lambda item: os.abort() if item == "loop" else item, "its process crashed"),
        (lambda item: sys.exit(3) if item == "loop" else item, "its process crashed"),
        (lambda item: os.kill(os.getpid(), signal.SIGKILL) if item == "loop" else item, "it was killed"),
    ],
)
def test_work_over_a_limit_names_the_item_and_leaves_no_process(work, excess):
    with BoundedWorker(work) as worker, pytest.raises(LimitReached) as stopped:
        worker.map(["one", "two", "loop", "three"])
    assert stopped.value.index == 2
    assert stopped.value.excess.startswith(excess)
    assert children() == []


def test_many_short_items_together_may_take_longer_than_one_may():
    def work(item):
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        return item

    with BoundedWorker(work) as worker:
        assert worker.map([1, 2, 3, 4]) == [1, 2, 3, 4]


def test_without_a_safe_fork_the_work_is_done_here(monkeypatch):
    monkeypatch.setattr(bounded_worker, "CAN_FORK", False)
    assert call_bounded(os.getpid) == os.getpid()

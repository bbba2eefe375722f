"""Work on texts from elsewhere in a child process with limits of CPU time and memory.

A chat template or a tokenizer comes with a checkpoint from anywhere: it may loop for years or ask for all memory, and
Python cannot interrupt that in its own process. The child is forked, so that it has the tokenizer without loading it;
where there is no safe fork (macOS, Windows) the work is done in this process, without limits.
"""

import faulthandler
import gc
import mmap
import os
import pickle
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CPU_SECONDS = 5.0
"""CPU time of one item: rendering or tokenising a pair takes under a millisecond."""
EXTRA_BYTES = 2**30
"""Memory that the child may take beyond what this process has when it forks."""
CAN_FORK = sys.platform == "linux"
_LENGTH = struct.Struct("<Q")


class LimitReached(Exception):
    """The work on an item took too long or too much memory; ``args`` are the item's index and what was too much."""

    @property
    def index(self) -> int:
        """Index of the item in the call of ``map``."""
        return int(self.args[0])

    @property
    def excess(self) -> str:
        """What was too much, as the end of a sentence."""
        return str(self.args[1])


class BoundedWorker(Generic[Item, Result]):
    """A child process that does the same work on one item after the other; a context manager that ends it."""

    def __init__(self, work: Callable[[Item], Result]) -> None:
        """Fork the child; ``work`` sees everything as it is now, and nothing that changes later."""
        self._work, self._pid = work, 0
        self._place = mmap.mmap(-1, _LENGTH.size)  # the index of the item in work, shared with the child
        if CAN_FORK:
            self._start()

    def __enter__(self) -> "BoundedWorker[Item, Result]":
        """Return the worker."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the child."""
        self.close()

    def map(self, items: Sequence[Item]) -> list[Result]:
        """Return the result of every item, in order; an exception of an item is raised.

        Raises:
            LimitReached: the child was over a limit; it is gone, and the worker cannot be used again.
        """
        if not CAN_FORK:
            return [self._work(item) for item in items]
        try:
            _send(self._requests, list(items))
            outcome = _receive(self._answers)
        except (EOFError, BrokenPipeError):
            index = _LENGTH.unpack_from(self._place)[0]
            raise LimitReached(index, self._why_it_died()) from None
        if isinstance(outcome, LimitReached):
            self.close()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the child; twice does no harm."""
        if not self._pid:
            return
        pid, self._pid = self._pid, 0
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def _start(self) -> None:
        request_ends, answer_ends = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            # torch's threads do not exist in the child, which touches neither them nor their locks
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            os.close(request_ends[1])
            os.close(answer_ends[0])
            _serve(self._work, os.fdopen(request_ends[0], "rb"), os.fdopen(answer_ends[1], "wb"), self._place)
        os.close(request_ends[0])
        os.close(answer_ends[1])
        self._requests, self._answers = os.fdopen(request_ends[1], "wb"), os.fdopen(answer_ends[0], "rb")

    def _why_it_died(self) -> str:
        pid, self._pid = self._pid, 0
        status = os.waitpid(pid, 0)[1]
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        if by == signal.SIGPROF:
            return f"it takes more than {CPU_SECONDS:g} seconds of CPU time"
        if by == signal.SIGKILL:
            return "it was killed, as for lack of memory"
        return "its process crashed"


def call_bounded(work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns in a child process with limits.

    Raises:
        LimitReached: the child was over a limit.
    """
    with BoundedWorker[None, Result](lambda nothing: work()) as worker:
        return worker.map([None])[0]


def _serve(work: Callable[[Any], Any], requests: IO[bytes], answers: IO[bytes], place: mmap.mmap) -> None:
    """Answer requests until there are no more, and end the process without this program's clean-up."""
    code = 1
    try:
        # what a library prints when it crashes would stand between the lines of this program
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its thread pool stayed in the parent
        for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides what ends
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        _limit_memory()
        gc.freeze()  # a collection would write to every page that is shared with the parent
        while True:
            _send(answers, _outcome(work, _receive(requests), place))
    except EOFError:
        code = 0
    finally:
        os._exit(code)


def _outcome(work: Callable[[Any], Any], items: list[Any], place: mmap.mmap) -> Any:
    """Return the results of all items, or the exception of the first that has none."""
    results = []
    for index, item in enumerate(items):
        _LENGTH.pack_into(place, 0, index)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            results.append(work(item))
        except MemoryError:
            return LimitReached(index, f"it asks for more than {EXTRA_BYTES / 2**30:g} GiB of memory")
        except Exception as error:
            return _picklable(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return results


def _picklable(error: Exception) -> Exception:
    """Return an exception that survives the way to the parent: itself, or its text."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # dumped on this line
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _limit_memory() -> None:
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = size + EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _send(pipe: IO[bytes], value: object) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    data = pipe.read(_LENGTH.unpack(head)[0])
    return pickle.loads(data)  # noqa: S301  # from the process on the other side of a pipe that this module made

"""Forked children of a warm process: a restart costs milliseconds, and each one can be watched and killed."""

import contextlib
import mmap
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from dpo_analysis.errors import DPOAnalysisError
from dpo_analysis.runs import crash_points

PATIENCE = 60.0
MESSAGE = 72
"""Where in the shared bytes the message begins, behind the last point and the number of points."""


class Child:
    """One forked process that runs ``work`` and leaves with the command's exit code."""

    def __init__(self, work: Callable[[], object], **environment: str) -> None:
        self._seen = mmap.mmap(-1, 4096)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.update(environment)
            os._exit(_exit_code(work, self._seen))

    @property
    def last_point(self) -> str:
        """The last named write point that the child passed; empty before the first."""
        return self._seen[:64].rstrip(b"\0").decode()

    @property
    def passed(self) -> int:
        """How many named write points it has passed."""
        return int.from_bytes(self._seen[64:72], "little")

    @property
    def message(self) -> str:
        """The one line of the error it ended with."""
        return self._seen[MESSAGE:].rstrip(b"\0").decode("utf-8", "replace")

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait_for_writing(self) -> None:
        """Wait until it has passed the lock and the plan, or is at its end."""
        end = time.monotonic() + PATIENCE
        while self.last_point.split(".")[0] in ("", "locked", "plan") and time.monotonic() < end:
            time.sleep(0.0002)

    def wait_for_points(self, count: int) -> None:
        """Wait until it has passed so many named points, or is at its end."""
        end = time.monotonic() + PATIENCE
        while self.passed < count and not self._ended() and time.monotonic() < end:
            time.sleep(0.0002)

    def _ended(self) -> bool:
        """Whether it has ended; it can still be waited for."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        end = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.seconds = PATIENCE - (end - time.monotonic())
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                self.kill()
                os.waitpid(self.pid, 0)
                raise AssertionError(f"a child hung after {self.last_point!r}")
            time.sleep(0.0005)


def _exit_code(work: Callable[[], object], seen: mmap.mmap) -> int:
    hit = crash_points.hit

    def watched(point: str) -> None:
        seen[:64] = point.encode().ljust(64, b"\0")
        seen[64:72] = (int.from_bytes(seen[64:72], "little") + 1).to_bytes(8, "little")
        hit(point)

    crash_points.hit = watched
    try:
        work()
        return 0
    except DPOAnalysisError as error:
        seen[MESSAGE:] = str(error).encode()[:4000].ljust(4096 - MESSAGE, b"\0")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 70

"""Signals that stop the scoring: SIGTERM ends it as Ctrl-C does, with what is finished kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


@contextmanager
def stop_signals() -> Iterator[None]:
    """SIGTERM ends the block as SIGINT does, by KeyboardInterrupt; a second signal has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: "FrameType | None") -> None:
        for one, handler in before.items():
            signal.signal(one, handler)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

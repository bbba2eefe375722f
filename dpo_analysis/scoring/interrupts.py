"""Signals that stop the scoring: SIGTERM has the effect of Ctrl-C, and finished parts are kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


@contextmanager
def stop_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block on SIGTERM as on SIGINT; a second signal has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: "FrameType | None") -> None:
        restore()
        raise KeyboardInterrupt

    def restore() -> None:
        for stop_signal, handler in before.items():
            signal.signal(stop_signal, handler)

    before = {stop_signal: signal.signal(stop_signal, stop) for stop_signal in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()

"""How much of a training's time the token rewards take, and what it is spent on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

WORK = {
    "start": "reference and samples at the start",
    "pairs": "scoring pairs",
    "samples": "scoring samples",
    "writing": "writing",
}


class Clock:
    """Seconds of each kind of work, and of the whole training.

    Attributes:
        seconds: seconds by kind of work, a key of ``WORK``.
        steps: how often pairs were scored.
    """

    def __init__(self) -> None:
        """Begin the training's time."""
        self.seconds = dict.fromkeys(WORK, 0.0)
        self.steps = 0
        self._begin = time.monotonic()

    @contextmanager
    def timed(self, work: str) -> Iterator[None]:
        """Count the time of the block as ``work``."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[work] += time.monotonic() - begin
            self.steps += work == "pairs"

    @property
    def share(self) -> float:
        """Share of the training's time so far."""
        return sum(self.seconds.values()) / max(time.monotonic() - self._begin, 1e-9)

    def summary(self) -> str:
        """Return the share and what makes it up, as a sentence."""
        parts = ", ".join(f"{name} {self.seconds[work]:.1f} s" for work, name in WORK.items())
        return f"token rewards took {self.share:.1%} of the training's time ({self.steps} scorings): {parts}"

"""Named moments of writing a run folder at which a test can kill this process.

Nothing happens unless the environment holds ``DPO_FAULT=<point>[:n]``: then the process dies when it passes that point
for the n-th time. ``POINTS`` lists every moment at which a crash can leave something behind, and every one is tested.
"""

import os
import signal
from collections import Counter

KINDS = ("plan", "pairs", "responses", "vocab", "evidence", "scores", "summary", "noise", "curves", "finish")
"""What is written, in the order of a first run; ``plan`` and ``finish`` both write manifest.json."""
STAGES = ("before_temp", "half_written", "before_fsync", "before_rename", "after_rename", "after_sync")
"""The moments of an atomic write."""
POINTS = (
    "locked",
    "unlocked",
    "log.before",
    "log.after",
    *(f"{kind}.{stage}" for kind in KINDS for stage in STAGES),
)
"""Every named point at which a run folder is changed."""

_times_passed: Counter[str] = Counter()


def hit(point: str) -> None:
    """Pass ``point``; kill this process if ``DPO_FAULT`` names the point and it has been passed often enough."""
    fault = os.environ.get("DPO_FAULT")
    if not fault:
        return
    name, _, count = fault.partition(":")
    if name == point:
        _times_passed[point] += 1
        if _times_passed[point] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)

"""The single hook by which a test kills this process at a named moment of writing a run folder.

Nothing happens unless the environment holds ``DPO_FAULT=<point>[:n]``: then the n-th passage of that point is the
process's last. What a crash can leave behind is thereby a list (``POINTS``), and every entry of it is tested.
"""

import os
import signal
from collections import Counter

KINDS = ("plan", "pairs", "responses", "vocab", "evidence", "scores", "summary", "noise", "curves", "finish")
"""What is written, in the order of a first run; ``plan`` and ``finish`` both write manifest.json."""
STAGES = ("before_temp", "half_written", "before_fsync", "before_rename", "after_rename", "after_sync")
"""The moments of one atomic write."""
POINTS = (
    "locked",
    "unlocked",
    "log.before",
    "log.after",
    *(f"{kind}.{stage}" for kind in KINDS for stage in STAGES),
)
"""Every named point at which a run folder is being changed."""

_passed: Counter[str] = Counter()


def hit(point: str) -> None:
    """Pass ``point``; the process dies here by SIGKILL when ``DPO_FAULT`` names it for the n-th time."""
    wanted = os.environ.get("DPO_FAULT")
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if name == point:
        _passed[point] += 1
        if _passed[point] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)

"""What the command line prints while it works: progress, times, and lines as wide as the terminal."""

import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console

from dpo_analysis.cli.repeated import together
from dpo_analysis.errors import counted

if TYPE_CHECKING:
    from dpo_analysis.scoring.loop import Progress

MAX_SHOWN_ROWS = 20
"""Different complaints about rows that ``check`` lists; further rows are only counted."""
PIPE_WIDTH = 100
"""Columns of a line in a pipe or a log file."""
MAX_LINE_WIDTH = 120
"""Columns of a wrapped sentence at most: longer lines are hard to read."""
PIECE = re.compile(
    r"\s*(?:[\u2e80-\u9fff\uff00-\uffef][\u3001-\u3011\uff00-\uff1f\u201d]*"
    r"|[^\s\u2e80-\u9fff\uff00-\uffef]+[\u3001\u3002\uff01\uff09\uff0c\uff1a\uff1b\uff1f]*)"
)
"""What a line break may not divide: a word or a Chinese letter, with the Chinese marks behind it."""


def console() -> Console:
    """Return a console on standard output; in a pipe it is 100 columns wide, so that no table is cut."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def terminal_width() -> int:
    """Return the columns that sentences are wrapped at."""
    return min(console().width, MAX_LINE_WIDTH)


def wrapped(text: str, width: int, *, indent: int = 0) -> list[str]:
    """Return a text in lines of at most ``width`` columns, those after the first indented.

    A letter of Chinese takes two columns, and a line may end behind each; a word wider than a line stays whole.
    """
    lines = [""]
    for piece in PIECE.findall(text):
        if lines[-1].strip() and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append(" " * indent + piece.lstrip())
        else:
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def duration(seconds: float) -> str:
    """Return a time in words: ``1 min 15 s`` for 75.2."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Reporter:
    """Prints scoring progress on standard error: a line that is updated on a terminal, else a line in ten seconds."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, progress: "Progress") -> None:
        """Print ``progress`` if it is time to; the end is always printed."""
        done = progress.done_tokens >= progress.total_tokens
        if not done and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + (0.1 if self._is_terminal else 10.0)
        share = progress.done_tokens / max(1, progress.total_tokens)
        left = "" if done else f", {duration(progress.seconds_left)} left"
        line = f"{share:4.0%}  {progress.model:<28} {progress.tokens_per_second:,.0f} tokens/s{left}"
        end = "\n" if done or not self._is_terminal else ""
        print(f"\r\x1b[2K{line}" if self._is_terminal else line, end=end, file=sys.stderr, flush=True)


def bad_row_lines(bad: Sequence[Exception]) -> list[str]:
    """Return why rows cannot be read: a line for each complaint, with the number of its rows and three examples."""
    lines = together([str(error).rpartition("; ")[0] or str(error) for error in bad])
    more = len(lines) - MAX_SHOWN_ROWS
    return [*lines[:MAX_SHOWN_ROWS], *([f"and {counted(more, 'more complaint')}"] if more > 0 else [])]

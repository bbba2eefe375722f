"""What the command line prints: progress, counts and the step table, for a terminal or a log file."""

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dpo_analysis import words

if TYPE_CHECKING:
    import pandas as pd

    from dpo_analysis.scoring.work import Progress

SHOWN = ("loss", "accuracy", "ranking_accuracy", "margin", "chosen_reward", "rejected_reward", "share_chosen_fell")


def console() -> Console:
    """A console on standard output that never cuts a table to a pipe's guessed width."""
    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def duration(seconds: float) -> str:
    """``75.2`` as ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Reporter:
    """Prints scoring progress on standard error: one living line on a terminal, one line in ten seconds elsewhere."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._next = 0.0
        self._last = ""

    def __call__(self, progress: "Progress") -> None:
        """Show ``progress`` if it is time to; the last one is always shown."""
        done = progress.done_tokens >= progress.total_tokens
        if not done and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + (0.1 if self._tty else 10.0)
        share = progress.done_tokens / max(1, progress.total_tokens)
        left = "" if done else f", {duration(progress.seconds_left)} left"
        line = f"{share:4.0%}  {progress.model:<28} {progress.tokens_per_second:,.0f} tokens/s{left}"
        end = "\n" if done or not self._tty else ""
        print(f"\r\x1b[2K{line}" if self._tty else line, end=end, file=sys.stderr, flush=True)


def step_table(steps: "pd.DataFrame", lang: str = "en") -> Table:
    """The main metrics of every policy and split, one row each, units in the heads."""
    from dpo_analysis.metrics import METRICS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("series", "model", "split", "n_used"):
        table.add_column(words.text(f"column.{head}", lang), justify="right" if head == "n_used" else "left")
    shown = [name for name in SHOWN if name in steps.columns]
    for name in shown:
        table.add_column(f"{words.text(f'metric.{name}', lang)}\n[dim]{METRICS[name].unit}[/dim]", justify="right")
    for row in steps.to_dict("records"):
        cells = [str(row["series"]), str(row["model"]), str(row["split"]), f"{row['n_used']} / {row['n_pairs']}"]
        table.add_row(*cells, *(number(row[name], METRICS[name].unit) for name in shown))
    return table


def number(value: float, unit: str) -> str:
    """A metric for a table cell: a share in percent, anything else to four decimals; ``-`` where undefined."""
    if value != value:
        return "-"
    return f"{value:.1%}" if unit == "share" else f"{value:+.4f}"


def findings(steps: "pd.DataFrame", lang: str = "en") -> list[str]:
    """One plain sentence per series and split about its last checkpoint: identities only, no cause named."""
    lines = []
    for (series, split), rows in steps.groupby(["series", "split"], sort=False):
        last = rows.iloc[-1]
        kind = "falls" if last.chosen_reward < 0 else "rises"
        values = {
            "series": series,
            "split": split,
            "model": last.model,
            "reward": f"{last.chosen_reward:+.3f}",
            "share": f"{last.share_chosen_fell:.0%}",
            "margin": f"{last.margin:+.3f}",
            "n": int(last.n_used),
        }
        lines.append(words.text(f"console.chosen_{kind}", lang, **values))
    return lines

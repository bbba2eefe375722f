"""What the command line prints: progress, counts and the step table, for a terminal or a log file."""

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dpo_analysis import words
from dpo_analysis.errors import counted
from dpo_analysis.schema import NOT_SCORED

if TYPE_CHECKING:
    import pandas as pd

    from dpo_analysis.runs import Run
    from dpo_analysis.scoring.loop import Progress

MISSING = 4
"""How many models with missing parts a line names before it only counts."""
BAD_ROWS = 20
"""How many bad rows ``check`` lists before it only counts."""
SHOWN = ("accuracy", "ranking_accuracy", "margin", "chosen_reward", "rejected_reward", "share_chosen_fell")


def console() -> Console:
    """A console on standard output that never cuts a table to a pipe's guessed width."""
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False)


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
    """The main metrics of every policy and split, one row each; it fits into 80 columns with short names."""
    units = words.text("console.units", lang)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", caption=units, caption_justify="left")
    for head in ("model", "split", "n_used"):
        right = "right" if head == "n_used" else "left"
        table.add_column(words.text(f"column.{head}", lang), justify=right, no_wrap=True)  # type: ignore[arg-type]
    shown = [name for name in SHOWN if name in steps.columns]
    for name in shown:
        table.add_column(words.text(f"metric.{name}", lang).replace(" ", "\n"), justify="right", no_wrap=True)
    for row in steps.to_dict("records"):
        step = row["model"] if row["step"] != row["step"] or row["step"] is None else f"{int(row['step'])}"
        used = f"{row['n_used']}" if row["n_used"] == row["n_pairs"] else f"{row['n_used']} / {row['n_pairs']}"
        cells = [f"{row['series']} {step}", str(row["split"]), used]
        table.add_row(*cells, *(number(row[name], name) for name in shown))
    return table


def number(value: float, name: str) -> str:
    """A metric for a table cell: rewards and margins with their sign, shares in percent; ``-`` where undefined."""
    from dpo_analysis.numerics.metrics import METRICS

    if value != value:
        return "-"
    return f"{value:.1%}" if METRICS[name].unit == "share" else f"{value:+.3f}"


def missing_lines(run: "Run", *, series: str | None = None, model: str | None = None) -> list[str]:
    """What of a run that is still being scored a table cannot hold: one line, or none where nothing is missing.

    Args:
        run: the run.
        series: only this one's policies, and what all share.
        model: only this policy, NAME or SERIES/NAME, and what all share.
    """
    from dpo_analysis.arrays.selection import choose_models

    shown = {one.key for one in [run.reference, *choose_models(run, series, model)]}
    missing = {key: whole - done for key, (done, whole) in run.progress().items() if key in shown and done < whole}
    if not missing:
        return []
    told = [f"{key} ({count} of {counted(run.n_parts, 'part')})" for key, count in missing.items()]
    more = f" and {counted(len(told) - MISSING, 'more model')}" if len(told) > MISSING else ""
    return [
        f"note: not scored yet in {run.path}: {', '.join(told[:MISSING])}{more}; their pairs are not counted here; "
        "run the same score command to go on"
    ]


def bad_row_lines(bad: Sequence[Exception]) -> list[str]:
    """The first ``BAD_ROWS`` rows that cannot be read, one line each without its advice, then how many more."""
    lines = [str(error).rpartition("; ")[0] or str(error) for error in bad[:BAD_ROWS]]
    more = len(bad) - len(lines)
    return [*lines, f"and {counted(more, 'more row')}"] if more else lines


def scored_lines(run: "Run", beta: float | None, *, ranks: int = 1) -> list[str]:
    """What a person must know after scoring: what is done, what was assumed, left out, or is still missing.

    Args:
        run: the run folder, opened after the command.
        beta: what the caller gave; None if the trainer's own, or DPO's usual one, was taken.
        ranks: processes that one launcher started on it; this is the first of them.
    """
    policies = counted(len(run.models), "policy")
    missing = sum(whole - done for done, whole in run.progress().values())
    if missing:
        whose = "other ranks are at them" if ranks > 1 else "run the other shards"
        lines = [f"this worker's share is done; {_remain(missing)} of {run.path}: {whose}"]
    else:
        lines = [f"scored: {policies} and the reference in {run.path}"]
    counts = Counter(run.pairs(columns=["status"])["status"].to_pylist())
    left_out = {status: count for status, count in counts.items() if status in NOT_SCORED}
    if left_out:
        told = ", ".join(f"{count} {status}" for status, count in sorted(left_out.items()))
        lines.append(f"note: {sum(left_out.values())} of {sum(counts.values())} pairs were not scored: {told}")
    if beta is None:
        told = ", ".join(f"{name} {one.beta:g}" for name, one in sorted(run.series.items()))
        lines.append(f"note: no --beta given; taken from the trainer's folder or the run, or assumed (0.1): {told}")
    return [*lines, *precision_lines(run), *(f"note: {text}" for text in _notes(run))]


def imported_lines(run: "Run", beta: float | None) -> list[str]:
    """What a person must know after an import: what is there, what was assumed, what was not read, what cannot be.

    Args:
        run: the run folder, opened after the command.
        beta: what the caller gave; None if the run's own, or DPO's usual one, was taken.
    """
    policies, pairs = counted(len(run.models), "policy"), counted(run.n_pairs, "pair")
    lines = [f"imported: {policies} and the reference, {pairs}, in {run.path}"]
    if beta is None:
        told = ", ".join(f"{name} {one.beta:g}" for name, one in sorted(run.series.items()))
        lines.append(f"note: no --beta given; taken from the run, or assumed (0.1): {told}")
    unused = next((event["unused"] for event in reversed(run.log()) if event.get("unused")), [])
    if unused:
        lines.append(f"note: not read: {', '.join(map(str, unused))}")
    lines += _lost_lines(run)
    lines.append("note: sums have no tokens: what is made of tokens is not there, and each page says so")
    return [*lines, f"look at it: dpo-analysis app {run.path}"]


def _lost_lines(run: "Run") -> list[str]:
    """How many pairs have a sum that is no number, by model; none where all have one."""
    from dpo_analysis.arrays.response_sums import statuses
    from dpo_analysis.schema import FLAGGED

    models = [run.reference, *run.models]
    lost = {model.key: sum(status in FLAGGED for status in statuses(run, model)) for model in models}
    told = [f"{key} ({counted(count, 'pair')})" for key, count in lost.items() if count]
    return [f"note: a sum is missing or no number: {', '.join(told)}; these pairs are not counted"] if told else []


def precision_lines(run: "Run") -> list[str]:
    """One sentence on what 16 bits cost, where a run was scored with them; none for float32."""
    dtype, floor = run.identity.get("dtype", "float32"), run.noise_floor
    how = "under bfloat16 autocast" if run.identity.get("numerics") == "trainer" else f"in {dtype}"
    if how == "in float32" or floor is None:
        return []
    source = "float32" if floor.against == "float32" else "another packing, as float32 did not fit"
    sizes = f"{floor.token:.2g} nats of a token or {floor.response:.2g} nats of a response"
    measured = f"{counted(floor.n_pairs, 'pair')} against {source}"
    return [f"note: scored {how}: up to {sizes} is rounding ({measured}) and counts as a tie"]


def _remain(count: int) -> str:
    return f"{counted(count, 'part')} {'remains' if count == 1 else 'remain'}"


def _notes(run: "Run") -> list[str]:
    """The notes of this process's last start of scoring, each once; other workers' stand between them in the log."""
    notes: list[str] = []
    for event in run.log():
        if event.get("pid", os.getpid()) != os.getpid():
            continue
        if event.get("event") == "start":
            notes = []
        elif event.get("event") == "note":
            notes.append(str(event.get("text", "")))
    return list(dict.fromkeys(notes))


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

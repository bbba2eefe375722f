"""Lines and tables that the command line prints: progress, counts and the step table, for a terminal or a log file."""

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

MAX_SHOWN_MODELS = 4
"""Models with missing parts that a line names; further models are only counted."""
MAX_SHOWN_ROWS = 20
"""Bad rows that ``check`` lists; further rows are only counted."""
SHOWN_METRICS = ("accuracy", "ranking_accuracy", "margin", "chosen_reward", "rejected_reward", "share_chosen_fell")


def console() -> Console:
    """Return a console on standard output; in a pipe it is 100 columns wide, so that no table is cut."""
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False)


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


def step_table(steps: "pd.DataFrame", lang: str = "en") -> Table:
    """Return a table of the main metrics, a row for each policy and split; with short names it fits into 80 columns."""
    units = words.text("console.units", lang)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", caption=units, caption_justify="left")
    for head in ("model", "split"):
        table.add_column(words.text(f"column.{head}", lang), no_wrap=True)
    table.add_column(words.text("column.n_used", lang), justify="right", no_wrap=True)
    shown = [name for name in SHOWN_METRICS if name in steps.columns]
    for name in shown:
        table.add_column(words.text(f"metric.{name}", lang).replace(" ", "\n"), justify="right", no_wrap=True)
    for row in steps.to_dict("records"):
        step = row["model"] if row["step"] != row["step"] or row["step"] is None else f"{int(row['step'])}"
        used = f"{row['n_used']}" if row["n_used"] == row["n_pairs"] else f"{row['n_used']} / {row['n_pairs']}"
        cells = [f"{row['series']} {step}", str(row["split"]), used]
        table.add_row(*cells, *(number(row[name], name) for name in shown))
    return table


def number(value: float, name: str) -> str:
    """Return the text of a metric: rewards and margins with their sign, shares in percent; ``-`` where undefined."""
    from dpo_analysis.numerics.metrics import METRICS

    if value != value:
        return "-"
    return f"{value:.1%}" if METRICS[name].unit == "share" else f"{value:+.3f}"


def missing_lines(run: "Run", *, series: str | None = None, model: str | None = None) -> list[str]:
    """Return a line on the models whose parts are not all scored yet; no line where nothing is missing.

    Args:
        run: the run.
        series: only the policies of this series, and the reference.
        model: only this policy, NAME or SERIES/NAME, and the reference.
    """
    from dpo_analysis.arrays.selection import choose_models

    shown = {chosen.key for chosen in [run.reference, *choose_models(run, series, model)]}
    missing = {key: whole - done for key, (done, whole) in run.progress().items() if key in shown and done < whole}
    if not missing:
        return []
    models = [f"{key} ({count} of {counted(run.n_parts, 'part')})" for key, count in missing.items()]
    n_more = len(models) - MAX_SHOWN_MODELS
    more = f" and {counted(n_more, 'more model')}" if n_more > 0 else ""
    named = ", ".join(models[:MAX_SHOWN_MODELS])
    return [
        f"note: not scored yet in {run.path}: {named}{more}; their pairs are not counted here; "
        "run the same score command to go on"
    ]


def bad_row_lines(bad: Sequence[Exception]) -> list[str]:
    """Return a line for each of the first ``MAX_SHOWN_ROWS`` rows that cannot be read, then how many more there are."""
    lines = [str(error).rpartition("; ")[0] or str(error) for error in bad[:MAX_SHOWN_ROWS]]
    more = len(bad) - len(lines)
    return [*lines, f"and {counted(more, 'more row')}"] if more else lines


def scored_lines(run: "Run", beta: float | None, *, ranks: int = 1) -> list[str]:
    """Return what a person must know after scoring: what is done, was assumed, was left out, or is still missing.

    Args:
        run: the run folder, opened after the command.
        beta: beta from the caller; None where the trainer's, or DPO's default, was used.
        ranks: processes that a launcher started on the run; this is the first of them.
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
        reasons = ", ".join(f"{count} {status}" for status, count in sorted(left_out.items()))
        lines.append(f"note: {sum(left_out.values())} of {sum(counts.values())} pairs were not scored: {reasons}")
    if beta is None:
        source = "taken from the trainer's folder or the run, or assumed (0.1)"
        lines.append(f"note: no --beta given; {source}: {_betas(run)}")
    return [*lines, *precision_lines(run), *(f"note: {text}" for text in _notes(run))]


def imported_lines(run: "Run", beta: float | None) -> list[str]:
    """Return what a person must know after an import: what is there, was assumed, was not read, or cannot be shown.

    Args:
        run: the run folder, opened after the command.
        beta: beta from the caller; None where the run's, or DPO's default, was used.
    """
    policies, pairs = counted(len(run.models), "policy"), counted(run.n_pairs, "pair")
    lines = [f"imported: {policies} and the reference, {pairs}, in {run.path}"]
    if beta is None:
        lines.append(f"note: no --beta given; taken from the run, or assumed (0.1): {_betas(run)}")
    unused = next((event["unused"] for event in reversed(run.log()) if event.get("unused")), [])
    if unused:
        lines.append(f"note: not read: {', '.join(map(str, unused))}")
    lines += _lost_lines(run)
    lines.append("note: sums have no tokens: what is made of tokens is not there, and each page says so")
    return [*lines, f"look at it: dpo-analysis app {run.path}"]


def _betas(run: "Run") -> str:
    return ", ".join(f"{name} {series.beta:g}" for name, series in sorted(run.series.items()))


def _lost_lines(run: "Run") -> list[str]:
    """Return a line on the pairs with a sum that is no number, by model; no line where every sum is a number."""
    from dpo_analysis.arrays.response_sums import pair_statuses
    from dpo_analysis.schema import FLAGGED

    lost = {
        model.key: sum(status in FLAGGED for status in pair_statuses(run, model))
        for model in [run.reference, *run.models]
    }
    models = [f"{key} ({counted(count, 'pair')})" for key, count in lost.items() if count]
    return [f"note: a sum is missing or no number: {', '.join(models)}; these pairs are not counted"] if models else []


def precision_lines(run: "Run") -> list[str]:
    """Return a line on the rounding of a run that was scored in 16 bits; no line for float32."""
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
    """Return the notes since this process last began to score, each once; the log holds those of other workers, too."""
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
    """Return a sentence for each series and split on its last checkpoint: what fell or rose, without a cause."""
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

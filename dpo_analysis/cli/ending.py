"""The end of ``score`` and ``demo``: the last checkpoint of each series, one sentence why, and the next command."""

import shlex
from collections.abc import Sequence

import pandas as pd
from rich.cells import cell_len, set_cell_size

from dpo_analysis import words
from dpo_analysis.cli.console import terminal_width, wrapped
from dpo_analysis.diagnosis import load_or_diagnose
from dpo_analysis.diagnosis.outcome.why import why
from dpo_analysis.diagnosis.series_log_ratios import default_split
from dpo_analysis.numerics.metrics import METRICS
from dpo_analysis.runs import Run
from dpo_analysis.tables.steps import step_table, worst_series_first
from dpo_analysis.text.numbers import signed_fixed

MAX_LINES = 12
MAX_ROWS = 5
"""Series that the table shows; further series are counted."""
COLUMNS = ("chosen_reward", "rejected_reward", "margin", "accuracy")


def ending(run: Run, *, width: int | None = None, lang: str = "en") -> list[str]:
    """Return at most ``MAX_LINES`` lines on a scored run; without a scored pair the next command alone.

    They hold a table with the last checkpoint of each series, the series that ends lowest first; one sentence why for
    each series, as far as there is room; and the next command.

    Args:
        run: the run folder.
        width: columns to wrap the sentences at; None for the terminal's.
        lang: "en" or "zh".
    """
    width = width or terminal_width()
    split = default_split(run)
    steps = worst_series_first(step_table(run, split=split))
    last = steps[steps["n_used"] > 0].drop_duplicates("series", keep="last")
    folder = shlex.quote(str(run.path))
    if last.empty:
        return [words.text("console.next", lang, run=folder)]
    table = _table(last, split, lang)
    names = last["series"].tolist()
    room = MAX_LINES - len(table) - 1
    sentences = _reasons(run, split, names, lang, width, room)
    unsaid = names[len(sentences) :]
    key = "console.next.more" if unsaid else "console.next"
    return [*table, *(line for lines in sentences for line in lines), words.text(key, lang, run=folder, n=len(unsaid))]


def _reasons(run: Run, split: str, names: Sequence[str], lang: str, width: int, room: int) -> list[list[str]]:
    """Return the wrapped sentence of each series in order, as many as ``room`` lines hold, and at least the first."""
    found: list[list[str]] = []
    for name in names:
        sentence, sure, _ = why(load_or_diagnose(run, series=name, split=split), lang)
        lines = wrapped(f"{name}: {sentence}{f' [{sure}]' if sure else ''}", width, indent=2)
        if found and sum(map(len, found)) + len(lines) > room:
            break
        found.append(lines[:room])
    return found


def _table(last: pd.DataFrame, split: str, lang: str) -> list[str]:
    """Return the title, the head and a line for each series, with columns as wide as their texts."""
    counts = last["n_used"].unique().tolist()
    pairs = str(counts[0]) if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
    title = words.text("console.last", lang, split=split, n=pairs)
    heads = [words.text("console.series", lang), words.text("console.checkpoint", lang)]
    rows = [[*heads, *(words.text(f"metric.{name}", lang) for name in COLUMNS)]]
    for row in last.head(MAX_ROWS).to_dict("records"):
        rows.append([str(row["series"]), str(row["model"]), *(_number(row[name], name) for name in COLUMNS)])
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    left_out = len(last) - MAX_ROWS
    return [title, *lines, *([words.text("console.last.more", lang, n=left_out)] if left_out > 0 else [])]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the texts of a row padded to the widths: names to the left, numbers to the right."""
    names = [set_cell_size(text, size) for text, size in zip(row[:2], widths, strict=False)]
    numbers = [" " * (size - cell_len(text)) + text for text, size in zip(row[2:], widths[2:], strict=True)]
    return [*names, *numbers]


def _number(value: float, name: str) -> str:
    """Return the text of a metric: rewards and margins with their sign, shares in percent; a dash where undefined."""
    if value != value:
        return "–"
    return f"{value:.1%}" if METRICS[name].unit == "share" else signed_fixed(value, 3)

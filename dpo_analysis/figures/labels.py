"""Labels in a figure: their text, how wide they are, and where they stand."""

import math
import re

import numpy as np
import pandas as pd

from dpo_analysis import words
from dpo_analysis.figures.token_view.glyphs import visible
from dpo_analysis.text.numbers import percent, signed

LABEL_WIDTH = 90
MARKUP = re.compile(r"<[|｜][^>]{0,60}[|｜]>")
"""Special tokens of a chat template."""


def one_line(text: str, width: int = LABEL_WIDTH) -> str:
    """Return a prompt or token on one line of at most ``width`` letters, without the marks of a chat template."""
    line = visible(" ".join(MARKUP.sub(" ", text).split())[: width + 1])
    if text_width(line) <= width:
        return line
    ends = np.cumsum([text_width(letter) for letter in line])
    return f"{line[: np.searchsorted(ends, width - 1, side='right')].rstrip()}…"


def text_width(text: str) -> float:
    """Return the width of a text in letters; a Chinese character counts 1.9."""
    return sum(1.9 if ord(letter) > 0x2E80 else 1 for letter in text)


def checkpoint_label(step: float | None, name: str, lang: str) -> str:
    """Return a checkpoint's step ("step 60"), or its name where the step is unknown."""
    return name if step is None or pd.isna(step) else words.text("figure.step", lang, step=int(step))


def spread_labels(heights: list[float], span: tuple[float, float], min_gap: float) -> list[float]:
    """Move label heights apart until any two differ by at least ``min_gap`` of the span.

    Args:
        heights: where the labels should stand, in the unit of the axis; their order is kept.
        span: both ends of the axis; no label leaves it.
        min_gap: share of the span; less where there are too many labels.
    """
    low, high = span
    gap = min(min_gap * (high - low), (high - low) / max(1, len(heights)))
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, dtype=float)
    floor = low + gap / 2
    for index in order:
        placed[index] = floor = max(placed[index], floor)
        floor += gap
    ceiling = high - gap / 2
    for index in order[::-1]:
        placed[index] = ceiling = min(placed[index], ceiling)
        ceiling -= gap
    return placed.tolist()


def thin_ticks(steps: list[float], min_distance: float) -> list[float]:
    """Return the steps that get a tick: the last one, and before it those at least ``min_distance`` apart."""
    kept: list[float] = []
    for step in reversed(steps):
        if not kept or kept[-1] - step >= min_distance:
            kept.append(step)
    return kept[::-1]


def hover_texts(rows: pd.DataFrame, name: str, metric: str, share: bool) -> list[str]:
    """Return the hover text of every point of a metric: its mean, and its interval where there is one.

    Args:
        rows: rows of the step table.
        name: the metric in words.
        metric: its column; ``<metric>_low`` and ``<metric>_high`` are the interval.
        share: whether the values are shares, written in percent.
    """
    texts = []
    for row in rows.to_dict("records"):
        text = f"{name} <b>{_value(row[metric], share)}</b>"
        low, high = row.get(f"{metric}_low", math.nan), row.get(f"{metric}_high", math.nan)
        if math.isfinite(low) and math.isfinite(high):
            text += f" [{_value(low, share)}, {_value(high, share)}]"
        texts.append(text)
    return texts


def _value(value: float, share: bool) -> str:
    return percent(value) if share else signed(value, 3)

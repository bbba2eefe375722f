"""Labels in a figure: how high, how many, how wide, and what is said on hover."""

import math
import re

import numpy as np
import pandas as pd

from dpo_analysis.figures.theme import percent, signed
from dpo_analysis.figures.token_view.glyphs import visible

LABEL_LETTERS = 90
MARKUP = re.compile(r"<[|｜][^>]{0,60}[|｜]>")


def one_line(question: str, letters: int = LABEL_LETTERS) -> str:
    """A prompt on one line as wide as so many letters at most, without a chat template's marks."""
    line = visible(" ".join(MARKUP.sub(" ", question).split())[: letters + 1])
    if width(line) <= letters:
        return line
    ends = np.cumsum([width(letter) for letter in line])
    return f"{line[: np.searchsorted(ends, letters - 1, side='right')].rstrip()}…"


def spread(wanted: list[float], span: tuple[float, float], least: float) -> list[float]:
    """Move label heights apart until any two are ``least`` of the span from each other; order and span are kept."""
    low, high = span
    gap = min(least * (high - low), (high - low) / max(1, len(wanted)))
    order = np.argsort(wanted, kind="stable")
    placed = np.array(wanted, dtype=float)
    floor = low + gap / 2
    for index in order:
        placed[index] = floor = max(placed[index], floor)
        floor += gap
    ceiling = high - gap / 2
    for index in order[::-1]:
        placed[index] = ceiling = min(placed[index], ceiling)
        ceiling -= gap
    return placed.tolist()


def few(steps: list[float], apart: float) -> list[float]:
    """The steps that are written: none closer than this to the one behind it; the last one always is."""
    kept: list[float] = []
    for step in reversed(steps):
        if not kept or kept[-1] - step >= apart:
            kept.append(step)
    return kept[::-1]


def width(text: str) -> float:
    """Letters of a label, a Chinese one counted twice."""
    return sum(1.9 if ord(letter) > 0x2E80 else 1 for letter in text)


def hover(rows: pd.DataFrame, name: str, metric: str, share: bool) -> list[str]:
    """One line of hover text per point: the mean, its interval and the 10-90 % range where there are any."""
    show = percent if share else lambda value: signed(value, 3)
    texts = []
    for row in rows.to_dict("records"):
        text = f"{name} <b>{show(row[metric])}</b>"
        low, high = row.get(f"{metric}_low", math.nan), row.get(f"{metric}_high", math.nan)
        if math.isfinite(low) and math.isfinite(high):
            text += f" [{show(low)}, {show(high)}]"
        texts.append(text)
    return texts

"""Tables of pairs: narrow numbers on the left, then the prompt, which takes the width that is left."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dpo_analysis.figures.labels import one_line, text_width

PAGE, MARKER = 1100, 32
"""Pixels of a table on a page of 1440 px, and of the boxes that select a row."""
NARROW, LETTER, LEAST = 90, 7, 220
"""Pixels of a column of numbers or of a short word, of a letter of a longer heading, and the least of a prompt."""
LETTERS = 200
"""Letters of a prompt that are sent to the table, which ends it with an ellipsis where its column ends."""
ROW, HEADING = 33, 36
"""Pixels of a row, and of the heading and the frame of a table."""


def prompts(questions: pd.Series, pair_ids: Sequence[str]) -> list[str]:
    """Return the prompts of some pairs, each on one line."""
    return [one_line(questions[pair_id], LETTERS) for pair_id in pair_ids]


def columns(
    rows: pd.DataFrame, prompt: str, *, widths: Mapping[str, int] | None = None, form: str = "%.2f"
) -> dict[str, Any]:
    """Return the column configuration of a table whose column ``prompt``, the last, takes the width that is left.

    On a page of 1024 px the numbers are in view and the prompt is scrolled to.

    Args:
        rows: the table.
        prompt: name of its last column.
        widths: pixels of other columns; as its heading needs where none is named.
        form: how fractions are written.
    """
    width = {str(name): max(NARROW, round(24 + LETTER * text_width(str(name)))) for name in rows} | dict(widths or {})
    width[prompt] = 0
    width[prompt] = max(LEAST, PAGE - MARKER - sum(width.values()))
    found: dict[str, Any] = {}
    for name, dtype in rows.dtypes.items():
        if pd.api.types.is_float_dtype(dtype):
            found[str(name)] = st.column_config.NumberColumn(width=width[str(name)], format=form)
        else:
            found[str(name)] = st.column_config.Column(width=width[str(name)])
    return found


def height(rows: int, most: int) -> int:
    """Return the height of a table that shows at most ``most`` rows at once, in pixels.

    Half a row more is seen where there are more rows, so that a reader knows it.
    """
    half = ROW // 2 if rows > most else 0
    return HEADING + ROW * min(max(rows, 1), most) + half

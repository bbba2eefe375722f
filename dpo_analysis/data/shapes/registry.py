"""Every known shape of rows, in the order in which they are looked for, and the nearest one to a row without any."""

import re
from collections.abc import Iterable

from dpo_analysis.data.shapes.annotations import ANNOTATIONS
from dpo_analysis.data.shapes.comparisons import COMPARISONS
from dpo_analysis.data.shapes.conversations import CONVERSATIONS
from dpo_analysis.data.shapes.instructions import INSTRUCTIONS, OTHER_INSTRUCTION, OUTPUT_LIST, RENAMED
from dpo_analysis.data.shapes.ranked import RANKED_SHAPES
from dpo_analysis.data.shapes.refused import REFUSED, points_at_columns
from dpo_analysis.data.shapes.shape import NEEDED, Shape, Values
from dpo_analysis.data.shapes.trl import BEFORE_NAMED, EXPLICIT_TEXT, IMPLICIT, SYSTEM
from dpo_analysis.errors import InputError

SHAPES: tuple[Shape, ...] = (
    *BEFORE_NAMED,
    *CONVERSATIONS,
    *INSTRUCTIONS,
    OTHER_INSTRUCTION,
    OUTPUT_LIST,
    RENAMED,
    *RANKED_SHAPES,
    *COMPARISONS,
    *ANNOTATIONS,
    *IMPLICIT,
)
"""The shapes that are read; a row has the first one that shows."""
TRL_SHAPES = (*BEFORE_NAMED, *IMPLICIT)
"""Shapes with TRL's columns."""
BY_LABEL = (*RANKED_SHAPES, *COMPARISONS, *ANNOTATIONS)
"""Shapes in which a score or a label decides: where chosen and rejected are named, these count."""
MAX_LETTERS_OF_COLUMNS = 30
"""Letters in names of columns after which a refusal lists no more of them."""
SIMILAR = 0.6
"""Likeness of a column whose name holds that of a shape's column as a word."""
LEAST_SHARED = 0.55
"""Part of its columns that the nearest shape shares at least; below it TRL's plain texts are named."""
PLAIN_NAME = re.compile(r"[\w.-]{1,40}")
"""Names of columns that can be proposed for ``--columns`` as they are."""
PROMPT_NAMES = (
    "prompt",
    "question",
    "instruction",
    "input",
    "query",
    "context",
    "messages",
    "conversations",
    "history",
)
CHOSEN_NAMES = ("chosen", "preferred", "better", "accepted", "positive", "good", "best")
REJECTED_NAMES = ("rejected", "reject", "dispreferred", "worse", "negative", "bad", "worst")
"""Parts of the names of columns by which a mapping is proposed."""


def find_shape(row: Values, previous: Shape | None = None) -> Shape | None:
    """Return the shape of a row; None where it has none.

    Args:
        row: its columns.
        previous: the shape of the row before it, which is kept for rows that merely lack the system text.
    """
    if points_at_columns(row):
        return None
    if previous is SYSTEM and "chosen" in row and "rejected" in row and row.get("prompt") is not None:
        return previous
    has_sides = "chosen" in row and "rejected" in row
    return next((shape for shape in SHAPES if shape.shows(row) and not (has_sides and shape in BY_LABEL)), None)


def refusal(row: Values, where: str, *, whole: bool) -> InputError:
    """Return the error for a row without a shape: what a row needs, and what comes nearest.

    Args:
        row: its columns.
        where: its place.
        whole: the rows behind it have no shape either, so that the error is about all of them.
    """
    kind = next((kind for kind in REFUSED if kind.shows(row)), None)
    place = f"the rows from {where} on" if whole else where
    if kind is not None:
        return InputError(f"{'no preference pairs in' if whole else 'bad row in'} {place}: {kind.name}; {kind.hint}")
    names, shown = sorted(row), []
    while len(shown) < len(names) and sum(map(len, shown)) < MAX_LETTERS_OF_COLUMNS:
        shown.append(names[len(shown)][:MAX_LETTERS_OF_COLUMNS])
    more = " and more" if len(shown) < len(names) else ""
    empty = next((name for name in ("chosen", "rejected") if name in row and row[name] is None), None)
    if empty is not None:
        return InputError(f"bad row in {where}: the field {empty!r} is empty (null or not a number) in it; {NEEDED}")
    missing = next((name for name in ("chosen", "rejected") if name not in row), "chosen")
    start = "unknown shape of" if whole else "bad row in"
    return InputError(f"{start} {place}: no field {missing!r}, only {shown}{more}; {NEEDED}{_advice(row)}")


def _advice(row: Values) -> str:
    """Return what a user could do with a row without a shape."""
    near = nearest(row)
    sides = _side_columns(row)
    others = {name: value for name, value in row.items() if name not in dict(sides).values()}
    parts = [("prompt", _column(others, PROMPT_NAMES)), *sides]
    # a column of the same name needs no mapping
    mapping = ",".join(f"{name}={column}" for name, column in parts if column and column != name)
    columns = "" if near in TRL_SHAPES else f" ({', '.join(near.columns)})"
    if near in BY_LABEL and all(column == "COLUMN" for _, column in sides):
        # a label decides, and --columns would take the same column for the better response in every row
        return f"; nearest is {near.name}{columns}; or write the better response into chosen, the other into rejected"
    return f"; nearest is {near.name}{columns}; or give --columns {mapping}"


def _side_columns(row: Values) -> list[tuple[str, str]]:
    names = (("chosen", CHOSEN_NAMES), ("rejected", REJECTED_NAMES))
    return [(side, _column(row, parts) or "COLUMN") for side, parts in names]


def nearest(row: Values) -> Shape:
    """Return the shape that shares the largest part of its columns with a row; a name may be part of another."""
    parts = {part for name in row for part in name.lower().split("_")}

    def shared(shape: Shape) -> float:
        likeness = [1.0 if name in row else SIMILAR * (name.lower() in parts) for name in shape.columns]
        return sum(likeness) / len(likeness)

    # of equally near shapes the plainest
    best = max((EXPLICIT_TEXT, *reversed(SHAPES)), key=shared)
    return best if shared(best) >= LEAST_SHARED else EXPLICIT_TEXT


def _column(row: Values, parts: Iterable[str]) -> str:
    """Return the first column of texts or messages whose name is, or begins or ends with, one of these."""
    names = [name for name, value in row.items() if isinstance(value, str | list | dict) and PLAIN_NAME.fullmatch(name)]
    lowered = {name.lower(): name for name in names}
    exact = next((lowered[part] for part in parts if part in lowered), "")
    alike = (name for part in parts for name in names if name.lower().startswith(part) or name.lower().endswith(part))
    return exact or next(alike, "")

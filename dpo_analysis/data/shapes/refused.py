"""Rows that hold no preference pair, refused by name with a hint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dpo_analysis.data.shapes.shape import Values, has

LONGEST_NAME = 40
"""Letters of a response that may be the name of a column."""
RESPONSES = ("response", "completion", "output", "generation")
"""Beginnings of the names of columns that letters such as A may stand for; `option_a` is part of a question."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A shape that is known and cannot be read.

    Attributes:
        name: what the rows are.
        shows: whether a row has this shape.
        hint: what to do.
        example: a row, for the documentation and its test.
    """

    name: str
    shows: Callable[[Values], bool]
    hint: str
    example: dict[str, Any] = field(repr=False)


def _no_sides(row: Values) -> bool:
    return "chosen" not in row and "rejected" not in row


def points_at_columns(row: Values) -> bool:
    """Return whether chosen and rejected hold no responses but the names of the columns that do, such as A and B."""
    sides = [row.get(name) for name in ("chosen", "rejected")]
    return sides[0] != sides[1] and all(isinstance(side, str) and _names_a_column(side.strip(), row) for side in sides)


def _names_a_column(text: str, row: Values) -> bool:
    if len(text) > LONGEST_NAME or not text:
        return False
    ending = f"_{text.lower()}"
    return text in row or any(name.startswith(RESPONSES) and name.lower().endswith(ending) for name in row)


def _both_in_a_message(row: Values) -> bool:
    turns = next((row[name] for name in ("messages", "conversations") if isinstance(row.get(name), list)), [])
    last = turns[-1] if turns else None
    return isinstance(last, dict) and ("candidates" in last or {"chosen", "rejected"} <= set(last))


def _kto(row: Values) -> bool:
    answered = any(name in row for name in ("completion", "messages", "response", "conversations"))
    return _no_sides(row) and answered and any(name in row for name in ("label", "kto_tag"))


REFUSED = (
    Refused(
        "rows in which chosen and rejected name other columns",
        points_at_columns,
        "put the texts of those columns into chosen and rejected",
        {"prompt": "The sky is", "response_a": " green.", "response_b": " blue.", "chosen": "B", "rejected": "A"},
    ),
    Refused(
        "conversations whose last message holds both responses",
        lambda row: _no_sides(row) and _both_in_a_message(row),
        "put the responses into chosen and rejected beside the messages before them",
        {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "candidates": ["Air.", "Sea."]}]},
    ),
    Refused(
        "KTO rows (a completion and a label)",
        _kto,
        "DPO needs pairs: join a completion with a true label and a completion with a false label of the same prompt",
        {"prompt": "The sky is", "completion": " blue.", "label": True},
    ),
    Refused(
        "rows of one response with scores",
        lambda row: _no_sides(row) and has(row, "response") and any(name in row for name in ("helpfulness", "score")),
        "DPO needs pairs: join two responses to the same prompt into chosen and rejected by their scores",
        {"prompt": "The sky is", "response": " blue.", "helpfulness": 4},
    ),
    Refused(
        "rows of prompt and completion, for supervised fine-tuning",
        lambda row: _no_sides(row) and has(row, "prompt") and any(name in row for name in ("completion", "response")),
        "DPO needs a rejected response beside it",
        {"prompt": "The sky is", "completion": " blue."},
    ),
    Refused(
        "conversations without a rejected response, for supervised fine-tuning",
        lambda row: _no_sides(row) and any(isinstance(row.get(name), list) for name in ("messages", "conversations")),
        "DPO needs a rejected response beside them",
        {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]},
    ),
    Refused(
        "rows of instruction and output, for supervised fine-tuning",
        lambda row: _no_sides(row) and has(row, "instruction") and "output" in row,
        "DPO needs chosen and rejected in place of output",
        {"instruction": "Complete: the sky is", "input": "", "output": "blue"},
    ),
)
"""The shapes that are refused, in the order in which they are looked for."""

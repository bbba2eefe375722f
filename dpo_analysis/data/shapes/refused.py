"""Rows that hold no preference pair, refused by name with a hint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dpo_analysis.data.shapes.shape import Values, has


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


def _kto(row: Values) -> bool:
    answered = any(name in row for name in ("completion", "messages", "response", "conversations"))
    return _no_sides(row) and answered and any(name in row for name in ("label", "kto_tag"))


REFUSED = (
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

"""What a shape of rows is, and the parts that its readers share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from dpo_analysis.errors import InputError

NEEDED = "a row needs chosen and rejected, and may have prompt, all as texts or all as lists of {role, content}"
Values = Mapping[str, Any]
"""The columns of a row, as JSON can hold them."""


class Reading(NamedTuple):
    """How a row was read, for the line that tells the user.

    Attributes:
        shape: the name of the shape.
        prompt: the columns that the prompt was made of, the system message first.
        chosen: the column of the preferred response; where a label decides, the columns of the responses and the label.
        rejected: the column of the response that is not preferred; empty where a label decides.
        implicit: the prompt is what both responses have in common at the beginning.
    """

    shape: str
    prompt: tuple[str, ...]
    chosen: str
    rejected: str
    implicit: bool = False


class Result(NamedTuple):
    """A row in TRL's format.

    Attributes:
        rows: prompt, chosen and rejected, and tools where the row has some; empty where the row prefers no response.
        reading: how they were read; None for rows that are in TRL's format already.
        system: the text of the system message, put in front of the prompt; empty where there is none.
    """

    rows: tuple[Values, ...]
    reading: Reading | None
    system: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape of rows.

    Attributes:
        name: its name for users: a data set, a file format or a trainer.
        columns: the columns that its rows need, by which the nearest shape is found.
        shows: whether a row has this shape; asked in the order of the registry.
        read: returns the row in TRL's format, given the row, its place and the ``--pairing``.
        example: a row, for the documentation and its test.
        becomes: what the row becomes, in one sentence for the documentation.
        users: further data sets and trainers with this shape, for the documentation.
    """

    name: str
    columns: tuple[str, ...]
    shows: Callable[[Values], bool]
    read: Callable[[Values, str, str], Result]
    example: Mapping[str, Any] = field(repr=False)
    becomes: str = field(default="", repr=False)
    users: str = field(default="", repr=False)


def refuse(where: str, problem: str, fix: str) -> NoReturn:
    """Raise the error of a row that cannot be read."""
    raise InputError(f"bad row in {where}: {problem}; {fix}")


def message(role: str, content: Any) -> dict[str, Any]:
    """Return a message as TRL has it."""
    return {"role": role, "content": content}


def is_text(value: Any) -> bool:
    """Return whether a value is a text that holds more than spaces."""
    return isinstance(value, str) and bool(value.strip())


def is_messages(value: Any) -> bool:
    """Return whether a value is a list of objects with a role or a sender each."""
    return isinstance(value, list) and bool(value) and all(is_message(item) for item in value)


def is_message(value: Any) -> bool:
    """Return whether a value is an object with role, or with from and value."""
    return isinstance(value, dict) and ("role" in value or {"from", "value"} <= set(value))


def has(row: Values, *names: str) -> bool:
    """Return whether a row has all of these columns, none of them null."""
    return all(row.get(name) is not None for name in names)


def text_in(row: Values, name: str, where: str) -> str:
    """Return the text in a column.

    Raises:
        InputError: it is no text.
    """
    value = row.get(name)
    if not isinstance(value, str):
        found = "is missing or null" if value is None else f"is a {type(value).__name__}"
        refuse(where, f"the column {name!r} {found}", "it must be a text; correct the row or map the columns")
    return value

"""Text for the cells of a CSV file: a spreadsheet executes a cell that looks like a formula."""

import re
from typing import TypeVar

Value = TypeVar("Value")
FORMULA = re.compile("^[=+\\-@\t\r]|(?<=[\r\n])[=+\\-@\t]")
"""The sign that begins a formula, at the beginning of a cell or of a line in it. A program that reads line by line, or
takes a bare carriage return for the end of a row, sees each line as a cell. A tab and a carriage return are left out by
spreadsheets, and the cell then begins with what follows."""
NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")


def harmless_cell(value: Value) -> Value | str:
    """Return a value as it may stand in a cell: ``'`` comes before each sign that begins a formula.

    Numbers stay as they are, also as text ("-1.5"), and so does every value that is no text.
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    return FORMULA.sub(lambda match: f"'{match[0]}", value)

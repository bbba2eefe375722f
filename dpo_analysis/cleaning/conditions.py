"""Conditions on the columns of a table, such as ``margin < -2 and chosen_n_tokens > 512``; nothing is executed.

The text is parsed as Python and walked through: names of columns, numbers and texts, comparisons, ``in [...]``,
``and``, ``or``, ``not``, ``+ - * /`` and brackets are known, and everything else is refused. A comparison with a
missing value is neither true nor false (three-valued logic, as in SQL).
"""

import ast
import difflib
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.errors import InputError

MAX_LETTERS = 2000
"""Letters of a condition."""
LISTED_COLUMNS = 40
"""Columns that a refusal lists at most."""
META = "meta"
"""What stands before the dot in the name of a numeric column of the source rows."""
NUMBER, TEXT, CONDITION = "number", "text", "condition"
"""Kinds of values: a column or a constant of numbers or of texts, and what a comparison gives."""
ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
KNOWN = "use columns, numbers, texts, comparisons, in [...], and, or, not, + - * / and brackets"


class Condition:
    """A parsed condition.

    Attributes:
        text: as it was given.
        columns: the names of the columns in it, in their order.
    """

    def __init__(self, text: str) -> None:
        """Parse a condition; which columns exist is checked by ``holds``.

        Raises:
            InputError: it is no condition, or has a part that is not known.
        """
        self.text = text
        if len(text) > MAX_LETTERS:
            raise InputError(f"condition too long in where: it has over {MAX_LETTERS} letters; give a shorter one")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            why = error.msg if isinstance(error, SyntaxError) else "it cannot be parsed"
            raise self._error(why, "give such as 'margin < -2 and chosen_n_tokens > 512'") from None
        self.columns: list[str] = []
        try:
            self._check(self._tree)
        except RecursionError:
            raise self._error("nested too deep", "give a simpler one") from None
        self.columns = list(dict.fromkeys(self.columns))
        if not self.columns:
            raise self._error("it names no column", "give such as 'margin < -2'")

    def holds(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return for which rows of a table the condition is true, shape (rows,).

        Raises:
            InputError: the table has no such column, or numbers are compared with texts.
        """
        known = [str(name) for name in table]
        for name in self.columns:
            if name not in known:
                same_words = [other for other in known if sorted(other.split("_")) == sorted(name.split("_"))]
                near = same_words or difflib.get_close_matches(name, known, 1, 0.5)
                hint = f"did you mean {near[0]}? " if near else ""
                listed = ", ".join(known[:LISTED_COLUMNS])
                raise self._error(f"no column {name[:80]!r}: {hint}there is {listed}", "give one of these")
        try:
            kind, value = self._value(self._tree, {name: _nullable(table[name]) for name in self.columns})
        except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise self._error(str(error) or type(error).__name__, "give such as 'margin < -2'") from error
        self._need(CONDITION, kind)
        return value.fillna(False).to_numpy(dtype=bool)

    def _check(self, node: ast.AST) -> None:
        """Check that every part of the condition is known, and collect its columns.

        Raises:
            InputError: a part is not.
        """
        name = _column(node)
        if name is not None:
            self.columns.append(name)
        elif isinstance(node, ast.BoolOp):
            self._check_all(node.values)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
            self._check(node.operand)
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            self._check_all([node.left, node.right])
        elif isinstance(node, ast.Compare):
            self._check_comparison(node)
        elif not (isinstance(node, ast.Constant) and _is_plain(node.value)):
            raise self._error(f"{_shown(node)!r} is no part of a condition", KNOWN)

    def _check_all(self, nodes: list[ast.expr]) -> None:
        for node in nodes:
            self._check(node)

    def _check_comparison(self, node: ast.Compare) -> None:
        member = isinstance(node.ops[0], ast.In | ast.NotIn)
        if member and len(node.ops) == 1 and isinstance(node.comparators[0], ast.List | ast.Tuple):
            self._check(node.left)
            items = node.comparators[0].elts
            if items and all(_is_constant(item) for item in items):
                return
        elif all(type(op) in COMPARISONS for op in node.ops):
            self._check_all([node.left, *node.comparators])
            return
        raise self._error(f"{_shown(node)!r} is no part of a condition", KNOWN)

    def _value(self, node: ast.AST, table: dict[str, pd.Series]) -> tuple[str, Any]:
        """Return the kind of a part of the condition and its value, a series or a constant."""
        name = _column(node)
        if name is not None:
            return (NUMBER if table[name].dtype == "Float64" else TEXT), table[name]
        if isinstance(node, ast.BoolOp):
            values = [self._need(CONDITION, *self._value(part, table)) for part in node.values]
            result = values[0]
            for value in values[1:]:
                result = result & value if isinstance(node.op, ast.And) else result | value
            return CONDITION, result
        if isinstance(node, ast.UnaryOp):
            kind, value = self._value(node.operand, table)
            if isinstance(node.op, ast.Not):
                return CONDITION, ~self._need(CONDITION, kind, value)
            self._need(NUMBER, kind)
            return NUMBER, -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            left, right = (self._need(NUMBER, *self._value(side, table)) for side in (node.left, node.right))
            return NUMBER, ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.Compare):
            return CONDITION, self._compared(node, table)
        constant: Any = node.value if isinstance(node, ast.Constant) else None
        return (TEXT, constant) if isinstance(constant, str) else (NUMBER, float(constant))

    def _compared(self, node: ast.Compare, table: dict[str, pd.Series]) -> Any:
        """Return what a comparison, or a chain of comparisons, gives."""
        kind, left = self._value(node.left, table)
        if isinstance(node.comparators[0], ast.List | ast.Tuple):
            items = [self._need(kind, *self._value(item, table)) for item in node.comparators[0].elts]
            if not isinstance(left, pd.Series):
                raise self._error(f"{_shown(node.left)!r} before in is no column", KNOWN)
            inside = left.isin(items).astype("boolean").mask(left.isna())
            return ~inside if isinstance(node.ops[0], ast.NotIn) else inside
        result: Any = None
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._need(kind, *self._value(right_node, table))
            one = COMPARISONS[type(op)](left, right)
            if not isinstance(one, pd.Series):
                raise self._error(f"{_shown(node)!r} compares two constants", KNOWN)
            one = one.astype("boolean")
            result, left = one if result is None else result & one, right
        return result

    def _need(self, wanted: str, kind: str, value: Any = None) -> Any:
        """Return the value, which must be of the kind that is needed in its place."""
        if kind == wanted:
            return value
        raise self._error(f"a {kind} stands where a {wanted} is needed", "give such as 'margin < -2'")

    def _error(self, why: str, then: str) -> InputError:
        return InputError(f"bad condition in where:{self.text[:120]}: {why}; {then}")


def _column(node: ast.AST) -> str | None:
    """Return the name of a column, such as ``margin`` or ``meta.score``; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == META:
        return f"{META}.{node.attr}"
    return None


def _is_constant(node: ast.expr) -> bool:
    """Return whether a part of the condition is a number, which may have a sign, or a text."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        node = node.operand
    return isinstance(node, ast.Constant) and _is_plain(node.value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _nullable(column: pd.Series) -> pd.Series:
    """Return a column whose missing values stay missing in comparisons."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("Float64")
    return column.astype("string")


def _shown(node: ast.AST) -> str:
    return ast.unparse(node)[:60]

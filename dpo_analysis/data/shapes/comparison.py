"""How a row with two responses and a label becomes a pair."""

from collections.abc import Callable
from typing import Any, NamedTuple

from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, has, refuse
from dpo_analysis.data.shapes.turns import as_messages, as_response, asked


class Comparison(NamedTuple):
    """Where a row with two responses and a label has its parts.

    Attributes:
        prompt: the column of the prompt, a text or a list of messages.
        first: the column of the first response.
        second: the column of the second response.
        label: the columns that decide.
        preference: returns a number above 0 where the first is better, below 0 where the second is, and 0 for neither;
            None where the label says nothing.
        plain: the prompt is TRL's and stays plain text.
    """

    prompt: str
    first: str
    second: str
    label: tuple[str, ...]
    preference: Callable[[Values], float | None]
    plain: bool = False


def comparison_reader(name: str, parts: Comparison) -> Callable[[Values, str, str], Result]:
    """Return the reader of the shape of this name, whose rows have these parts."""

    def read(row: Values, where: str, pairing: str) -> Result:
        del pairing
        preference = parts.preference(row)
        label = " and ".join(parts.label)
        if preference is None:
            shown = ", ".join(f"{column} {str(row.get(column))[:40]!r}" for column in parts.label)
            refuse(where, f"{shown} does not say which response is better", "correct the row")
        reading = Reading(name, (parts.prompt,), f"{parts.first} or {parts.second} by {label}", "")
        if preference == 0:
            return Result((), reading)
        chosen, rejected = (parts.first, parts.second) if preference > 0 else (parts.second, parts.first)
        return Result((_row(row, parts, chosen, rejected, where),), reading)

    return read


def _row(row: Values, parts: Comparison, chosen: str, rejected: str, where: str) -> dict[str, Any]:
    given = row[parts.prompt]
    if parts.plain and all(isinstance(row[name], str) for name in (parts.prompt, chosen, rejected)):
        return {"prompt": given, "chosen": row[chosen], "rejected": row[rejected]}
    prompt = asked(row, where, parts.prompt) if isinstance(given, str) else as_messages(given, parts.prompt, where)
    sides = [as_response(row[name], name, where, prompt) for name in (chosen, rejected)]
    return {"prompt": prompt, "chosen": sides[0], "rejected": sides[1]}


PROMPTS = ("prompt", "question", "instruction", "query", "context")
RESPONSES = ("response", "answer", "completion", "output")
WINNERS = ("winner", "preference", "preferred", "better", "label", "choice")
"""Columns of a label that names the better response by its column or by its letter."""


def _columns_of_winner(row: Values) -> tuple[str, str, str, str] | None:
    """Return the columns of the prompt, of both responses and of a label that is a text; None where one is missing."""
    prompt = next((name for name in PROMPTS if has(row, name)), "")
    label = next((name for name in WINNERS if isinstance(row.get(name), str)), "")
    sides = [(f"{name}_{end[0]}", f"{name}_{end[1]}") for name in RESPONSES for end in ("ab", "AB", "12")]
    pair = next((pair for pair in sides if has(row, *pair)), None)
    return (prompt, *pair, label) if prompt and label and pair else None


def by_winner(winner: str, first: str = "", second: str = "") -> float | None:
    """Return 1 where a label names the first response, -1 for the second, 0 for a tie, None where it names neither.

    Args:
        winner: the label: a letter, model_a or model_b, the name of a column, or a tie.
        first: the column of the first response.
        second: the column of the second response.
    """
    name = winner.strip().lower()
    if name.startswith("tie") or name in ("both_bad", "bothbad", "both bad"):
        return 0.0
    letters = {} if second.endswith("2") else {"model_a": 1.0, "a": 1.0, "model_b": -1.0, "b": -1.0}
    return (letters | {first.lower(): 1.0, second.lower(): -1.0}).get(name)


def _read_winner(row: Values, where: str, pairing: str) -> Result:
    columns = _columns_of_winner(row)
    if columns is None:
        refuse(where, "no prompt, two responses and a winner", "correct the row")
    prompt, first, second, label = columns

    def preference(values: Values) -> float | None:
        return by_winner(values[label], first, second)

    parts = Comparison(prompt, first, second, (label,), preference, plain=prompt == "prompt")
    return comparison_reader(WINNER.name, parts)(row, where, pairing)


WINNER = Shape(
    "two responses and a winner",
    ("prompt", "response_a", "response_b", "winner"),
    lambda row: _columns_of_winner(row) is not None,
    _read_winner,
    {"prompt": "The sky is", "response_a": " blue.", "response_b": " green.", "winner": "A"},
    "Plain text, as in TRL; a prompt in a column of another name becomes a user message. `winner`, or `preference`, "
    "`preferred`, `better`, `label` or `choice`, is A, B, the name of a column, or a tie; numbers are not read. "
    "A row that prefers neither response is left out and counted.",
)

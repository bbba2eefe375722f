"""How a row with two responses and a label becomes a pair."""

from collections.abc import Callable
from typing import Any, NamedTuple

from dpo_analysis.data.shapes.shape import Reading, Result, Values, refuse
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

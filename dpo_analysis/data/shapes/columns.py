"""The columns that a user names with ``--columns``, in place of what the shape of the rows says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpo_analysis.data.shapes.shape import Reading, Result, Values, refuse
from dpo_analysis.data.shapes.turns import as_message, as_messages, as_response, asked
from dpo_analysis.errors import InputError

NAMES = ("prompt", "chosen", "rejected", "system", "format")
FORMATS = ("text", "messages")
SHAPE = "--columns"
"""The name of the shape of rows whose columns the user names."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns by what they hold; a name may lead into objects with points, such as ``input.messages``.

    Attributes:
        prompt: the column of the prompt; several, joined by ``+``, are joined by a line break; empty for none.
        chosen: that of the preferred response.
        rejected: that of the rejected response.
        system: that of the system message; empty for none.
        as_messages: texts become messages, which the chat template renders, and so they do beside a system message.
    """

    prompt: str = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"
    system: str = ""
    as_messages: bool = False


def parse_columns(given: str | Mapping[str, str] | None) -> Columns | None:
    """Return the columns of ``prompt=question,chosen=good,rejected=bad``, or of the same as a mapping; None for None.

    Raises:
        InputError: a part is not NAME=COLUMN, or its name is unknown or given twice.
    """
    if given is None:
        return None
    text = given if isinstance(given, str) else ",".join(f"{name}={column}" for name, column in given.items())
    return _parsed(text)


def _parsed(text: str) -> Columns:
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    given = {name.strip(): column.strip() for name, _, column in parts}
    wrong = next(("=".join((name, column)) for name, sign, column in parts if not sign), None)
    if wrong is not None or not given:
        raise InputError(f"--columns {text[:80]!r}: it takes NAME=COLUMN,...; give such as prompt=question,chosen=good")
    unknown = next((name for name in given if name not in NAMES), None)
    if unknown is not None or len(given) < len(parts):
        reason = f"{unknown!r} is no name" if unknown is not None else "a name is given twice"
        raise InputError(f"--columns {text[:80]!r}: {reason}; the names are {', '.join(NAMES)}")
    layout = given.pop("format", None)
    if layout is not None and layout not in FORMATS:
        raise InputError(f"--columns format={layout[:40]!r}: there are {' and '.join(FORMATS)}; give one of them")
    if not given.get("chosen", "x") or not given.get("rejected", "x"):
        raise InputError(f"--columns {text[:80]!r}: chosen and rejected need a column; name them")
    return Columns(**given, as_messages=layout == "messages" or (layout is None and bool(given.get("system"))))


def read_by_columns(row: Values, where: str, columns: Columns) -> Result:
    """Return a row in TRL's format by the columns that the user named.

    Raises:
        InputError: the row lacks one of them, or it holds something else than a text or messages.
    """
    names = [name for name in columns.prompt.split("+") if name]
    prompts = [_value(row, name, where) for name in names]
    chosen, rejected = (_side(row, name, where) for name in (columns.chosen, columns.rejected))
    values: dict[str, Any] = {name: row[name] for name in ("tools", "chat_template_kwargs") if row.get(name)}
    if prompts and prompts[0] is None and not names[1:]:
        prompts = []
    if len(prompts) > 1:
        values["prompt"] = _joined(names, prompts, where)
    elif prompts:
        values["prompt"] = as_messages(prompts[0], names[0], where) if isinstance(prompts[0], list) else prompts[0]
    is_text = isinstance(chosen, str) and isinstance(rejected, str)
    as_chat = columns.as_messages or isinstance(values.get("prompt"), list)
    if as_chat and is_text:
        chosen, rejected = as_response(chosen, columns.chosen, where), as_response(rejected, columns.rejected, where)
        if isinstance(values.get("prompt"), str):
            values["prompt"] = asked(values, where, "prompt")
    system = _value(row, columns.system, where) if columns.system else ""
    used = (columns.system, *names) if columns.system else tuple(names)
    reading = Reading(
        SHAPE, used or (columns.chosen, columns.rejected), columns.chosen, columns.rejected, implicit=not prompts
    )
    rows = (values | {"chosen": chosen, "rejected": rejected},)
    return Result(rows, reading, system if isinstance(system, str) else "")


def _value(row: Values, name: str, where: str) -> Any:
    """Return the value of a column, or of a key of the object in it."""
    value: Any = row
    for key in [name] if name in row else name.split("."):
        if not isinstance(value, dict) or key not in value:
            refuse(where, f"no column {name!r}, only {sorted(row)}", "correct --columns")
        value = value[key]
    return value


def _side(row: Values, name: str, where: str) -> Any:
    value = _value(row, name, where)
    if isinstance(value, dict):
        return [as_message(value, name, where)]
    return as_messages(value, name, where) if isinstance(value, list) else value


def _joined(names: list[str], prompts: list[Any], where: str) -> str:
    for name, prompt in zip(names, prompts, strict=True):
        if prompt is not None and not isinstance(prompt, str):
            refuse(where, f"the column {name!r} is a {type(prompt).__name__}", "only texts can be joined")
    return "\n".join(prompt for prompt in prompts if prompt)

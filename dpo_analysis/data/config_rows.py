"""Preference rows of LLaMA-Factory's and Axolotl's data sets as rows of TRL's conversational format."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dpo_analysis.data.sources import read_rows
from dpo_analysis.errors import InputError

LLAMAFACTORY_COLUMNS = {
    "prompt": "instruction",
    "query": "input",
    "messages": "conversations",
    "chosen": "chosen",
    "rejected": "rejected",
}
"""Its names of the columns where dataset_info.json has no ``columns``; with them, a name that is missing is none."""
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""Its names in messages where dataset_info.json has no ``tags``."""
OPENAI_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
"""The names that differ for its formatting openai."""
DETAILED_THINKING = "detailed thinking off"
"""What LLaMA-Factory 0.9.5 puts into the system text of every row of the formatting openai that does not mention it."""
NOT_READ = ("tools", "images", "videos", "audios")
"""Columns that change the prompt of LLaMA-Factory in ways that are not followed."""
AXOLOTL_ROLES = {"human": "user", "gpt": "assistant"}
"""Other names of roles, where the config has no ``roles``."""
Rows = Iterator[dict[str, Any]]


def llamafactory_rows(source: str, entry: Mapping[str, Any]) -> Rows:
    """Yield the rows of a data set of LLaMA-Factory with prompt, chosen and rejected as lists of messages.

    Args:
        source: its file.
        entry: its entry in dataset_info.json.

    Raises:
        InputError: the data set has no chosen and rejected, or a row cannot be read.
    """
    convert = llamafactory_converter(source, entry)
    for row in read_rows(source, None):
        yield convert(row.values, row.where)


def llamafactory_converter(source: str, entry: Mapping[str, Any]) -> Callable[[Mapping[str, Any], str], dict[str, Any]]:
    """Return the function from a row and its place to the row with prompt, chosen and rejected as lists of messages.

    Args:
        source: its file.
        entry: its entry in dataset_info.json.

    Raises:
        InputError: the data set has no chosen and rejected. The function raises it for a row that cannot be read.
    """
    if entry.get("ranking") is not True:
        raise InputError(f"no preference pairs in {source}: its entry in dataset_info.json has no ranking: true")
    layout = str(entry.get("formatting", "alpaca"))
    if layout not in ("alpaca", "sharegpt", "openai"):
        raise InputError(
            f"formatting {layout!r} of {source}: there is alpaca, sharegpt and openai; give PAIRS yourself"
        )
    columns = _texts(entry.get("columns")) if "columns" in entry else LLAMAFACTORY_COLUMNS
    usual = TAGS | OPENAI_TAGS if layout == "openai" else TAGS
    tags = usual | _texts(entry.get("tags"))
    missing = [name for name in ("chosen", "rejected") if name not in columns]
    if missing:
        raise InputError(f"no column {missing[0]} of {source}: its columns in dataset_info.json lack it; add it there")
    convert = {"alpaca": _alpaca_row, "sharegpt": _sharegpt_row, "openai": _openai_row}[layout]

    def converted(row: Mapping[str, Any], where: str) -> dict[str, Any]:
        unread = next((name for name in NOT_READ if row.get(columns.get(name, ""))), None)
        if unread is not None:
            raise InputError(f"{unread} in {where}: they change the prompt, and are not read; give PAIRS yourself")
        return convert(row, columns, tags, where)

    return converted


def _alpaca_row(row: Mapping[str, Any], columns: Mapping[str, str], _: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return a row of instruction, input, history, system, chosen and rejected."""
    prompt = _system(row, columns)
    for turn in row.get(columns.get("history", "")) or ():
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise InputError(f"bad row in {where}: history holds pairs of question and answer; correct the row")
        prompt += [_message("user", turn[0]), _message("assistant", turn[1])]
    texts = [row.get(columns.get(name, "")) for name in ("prompt", "query")]
    prompt.append(_message("user", "\n".join(str(text) for text in texts if text)))
    sides = {name: [_message("assistant", _text(row, columns[name], where))] for name in ("chosen", "rejected")}
    return {"prompt": prompt, **sides}


def _sharegpt_row(
    row: Mapping[str, Any], columns: Mapping[str, str], tags: Mapping[str, str], where: str
) -> dict[str, Any]:
    """Return a row of messages, chosen and rejected, each message with a role and a content under the given tags."""
    roles = {tags["user_tag"]: "user", tags["assistant_tag"]: "assistant", tags["system_tag"]: "system"}
    messages = [_tagged(message, tags, roles, where) for message in _messages(row, columns.get("messages", ""), where)]
    has_system = bool(messages) and messages[0]["role"] == "system"
    prompt = messages if has_system else _system(row, columns) + messages
    sides = {name: [_tagged(row.get(columns[name]), tags, roles, where)] for name in ("chosen", "rejected")}
    return {"prompt": prompt, **sides}


def _openai_row(
    row: Mapping[str, Any], columns: Mapping[str, str], tags: Mapping[str, str], where: str
) -> dict[str, Any]:
    """Return a row as ``_sharegpt_row`` does, with the words that LLaMA-Factory adds to its system text."""
    if any(
        isinstance(message, dict) and message.get("tool_calls")
        for message in _messages(row, columns.get("messages", ""), where)
    ):
        raise InputError(f"tool_calls in {where}: they change the prompt, and are not read; give PAIRS yourself")
    converted = _sharegpt_row(row, columns, tags, where)
    prompt = converted["prompt"]
    system = prompt.pop(0)["content"] if prompt and prompt[0]["role"] == "system" else ""
    if "detailed thinking on" not in system and DETAILED_THINKING not in system:
        system = f"{system}\n{DETAILED_THINKING}" if system else DETAILED_THINKING
    return converted | {"prompt": [_message("system", system), *prompt]}


def _messages(row: Mapping[str, Any], column: str, where: str) -> list[Any]:
    messages = row.get(column)
    if not isinstance(messages, list | tuple):
        raise InputError(f"bad row in {where}: no list of messages in {column!r}; correct the row or its columns")
    return list(messages)


def _system(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[dict[str, str]]:
    text = row.get(columns.get("system", ""))
    return [_message("system", text)] if text else []


def _tagged(message: Any, tags: Mapping[str, str], roles: Mapping[str, str], where: str) -> dict[str, str]:
    if not isinstance(message, dict) or not {tags["role_tag"], tags["content_tag"]} <= set(message):
        raise InputError(
            f"bad row in {where}: a message needs {tags['role_tag']!r} and {tags['content_tag']!r}; correct the row or "
            "the tags in dataset_info.json"
        )
    role = roles.get(str(message[tags["role_tag"]]))
    if role is None:
        raise InputError(
            f"bad row in {where}: the role {message[tags['role_tag']]!r} is not one of {', '.join(roles)}; tools and "
            "observations cannot be read from this layout"
        )
    return _message(role, message[tags["content_tag"]])


def axolotl_rows(source: str, entry: Mapping[str, Any]) -> Rows:
    """Yield the rows of a data set of Axolotl with prompt, chosen and rejected as lists of messages.

    Args:
        source: its file or hub id.
        entry: its entry under ``datasets`` or ``test_datasets``.

    Raises:
        InputError: its type is not chat_template.default, or a row cannot be read.
    """
    kind = entry.get("type")
    if kind is not None and kind != "chat_template.default":
        raise InputError(
            f"type {str(kind)[:80]!r} of {source}: only chat_template.default is read; give the rendered pairs as PAIRS"
        )
    names = {name: str(entry.get(f"field_{name}", name)) for name in ("messages", "chosen", "rejected")}
    fields = _fields(entry)
    for row in read_rows(source, None):
        if kind is None:
            # without a type Axolotl takes prompt, chosen and rejected as they are
            yield row.values
            continue
        sides = {side: _last_message(row.values.get(names[side]), fields, row.where) for side in ("chosen", "rejected")}
        text = row.values.get(names["messages"])
        messages = _messages(row.values, names["messages"], row.where) if not isinstance(text, str) else []
        prompt = [_mapped(message, fields, row.where) for message in messages]
        if isinstance(text, str):
            prompt = [_message("user", text)]
        yield {"prompt": prompt, **{side: [message] for side, message in sides.items()}}


class _Fields(NamedTuple):
    """Where a message of Axolotl has its role and its text, and what its roles mean."""

    role: str
    content: str
    roles: Mapping[str, str]


def _fields(entry: Mapping[str, Any]) -> _Fields:
    properties = _texts(entry.get("message_property_mappings"))
    role, content = (
        properties.get(name) or str(entry.get(f"message_field_{name}") or name) for name in ("role", "content")
    )
    names = {
        str(name): str(target)
        for target, sources in _object(entry.get("roles")).items()
        for name in (sources if isinstance(sources, list) else [sources])
    }
    return _Fields(role, content, names or AXOLOTL_ROLES)


def _last_message(value: Any, fields: _Fields, where: str) -> dict[str, str]:
    """Return a response as a message: a text, a message, or the last message of a list."""
    if isinstance(value, str):
        return _message("assistant", value)
    if isinstance(value, list) and value:
        value = value[-1]
    return _mapped(value, fields, where)


def _mapped(message: Any, fields: _Fields, where: str) -> dict[str, str]:
    if not isinstance(message, dict) or not {fields.role, fields.content} <= set(message):
        raise InputError(
            f"bad row in {where}: a message needs {fields.role!r} and {fields.content!r}; correct the row or the config"
        )
    name = str(message[fields.role])
    return _message(fields.roles.get(name, name), message[fields.content])


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise InputError(f"bad row in {where}: no text {column!r}; correct the row or the columns in dataset_info.json")
    return value


def _message(role: str, content: Any) -> dict[str, str]:
    return {"role": role, "content": str(content)}


def _texts(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in _object(value).items() if text is not None}


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

"""Conversations in other trainers' notations as lists of ``{role, content}``."""

from collections.abc import Sequence
from typing import Any

from dpo_analysis.data.shapes.shape import Values, is_messages, message, refuse

SENDERS = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "system": "system",
}
"""Senders of ShareGPT's notation and the roles that they have."""
MESSAGE_NEEDS = "a message needs role and content, or from and value"


def as_messages(value: Any, name: str, where: str) -> list[dict[str, Any]]:
    """Return a list of messages with role and content.

    Args:
        value: a list of ``{role, content}`` or ``{from, value}``.
        name: its column.
        where: the place of the row.

    Raises:
        InputError: it is no list of messages, or a sender is unknown.
    """
    if not isinstance(value, list):
        refuse(where, f"the column {name!r} is a {type(value).__name__}", "it must be a list of messages")
    return [as_message(item, name, where) for item in value]


def texts_of_parts(value: Any, name: str, where: str) -> list[dict[str, Any]]:
    """Return messages as ``as_messages`` does; contents that are lists of text parts become texts.

    Keys that are null go: Arrow fills in those that other messages have, and equal messages must stay equal.

    Raises:
        InputError: a part is no text, or as ``as_messages`` does.
    """
    messages = as_messages(value, name, where)
    filled = [{key: inner for key, inner in item.items() if inner is not None} for item in messages]
    return [item | {"content": _text_of_parts(item.get("content"), name, where)} for item in filled]


def _text_of_parts(content: Any, name: str, where: str) -> Any:
    if not isinstance(content, list):
        return content
    if any(
        not isinstance(part, dict) or not isinstance(part.get("text"), str) or part.get("image") for part in content
    ):
        refuse(where, f"a message of {name} holds something else than texts", "only text pairs can be scored")
    return "\n".join(part["text"] for part in content)


def first_turns(messages: list[dict[str, Any]], turns: Any) -> list[dict[str, Any]]:
    """Return the messages before user message number ``turns`` + 1; all of them where ``turns`` is no such number."""
    if not isinstance(turns, int) or turns < 1:
        return messages
    asking = [position for position, item in enumerate(messages) if item["role"] == "user"]
    return messages[: asking[turns]] if len(asking) > turns else messages


def as_message(value: Any, name: str, where: str) -> dict[str, Any]:
    """Return a message with role and content, as ``as_messages`` does."""
    if not isinstance(value, dict):
        refuse(where, f"a message of {name} is a {type(value).__name__}", MESSAGE_NEEDS)
    if value.get("role") is not None:
        return value
    if value.get("from") is None or "value" not in value:
        refuse(where, f"a message of {name} has the keys {sorted(value)}", MESSAGE_NEEDS)
    role = SENDERS.get(str(value["from"]).lower())
    if role is None:
        refuse(
            where,
            f"{str(value['from'])[:40]!r} sends a message of {name}",
            "human, gpt and system are known; tools are not",
        )
    return message(role, value["value"])


def as_response(value: Any, name: str, where: str, prompt: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Return a response as messages.

    Args:
        value: a text, a message, or a list of messages. A list that begins with the prompt is the whole conversation,
            of which the rest is the response; any other list that does not begin with the assistant answers with its
            last message, as in Axolotl.
        name: its column.
        where: the place of the row.
        prompt: the messages before it.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, str):
        return [message("assistant", value)]
    if isinstance(value, dict):
        return [as_message(value, name, where)]
    if not value:
        refuse(where, f"the column {name!r} is missing or empty", "it must be a text, a message or a list of messages")
    messages = as_messages(value, name, where)
    if prompt and len(messages) > len(prompt) and messages[: len(prompt)] == list(prompt):
        return messages[len(prompt) :]
    return messages if messages[0]["role"] in ("assistant", "tool") else messages[-1:]


def asked(row: Values, where: str, *names: str) -> list[dict[str, Any]]:
    """Return one user message of the texts in these columns, each on a line of its own; empty texts are left out.

    Raises:
        InputError: a column holds something other than a text, or none holds any text.
    """
    for name in names:
        if row.get(name) is not None and not isinstance(row[name], str):
            refuse(where, f"the column {name!r} is a {type(row[name]).__name__}", "it must be a text")
    texts = [row[name] for name in names if row.get(name)]
    if not texts:
        refuse(where, f"no prompt: {' and '.join(names)} hold no text", "a pair needs a prompt; correct the row")
    return [message("user", "\n".join(texts))]


def history(row: Values, where: str) -> list[dict[str, Any]]:
    """Return the earlier turns in the column ``history``, pairs of question and answer, as messages.

    Raises:
        InputError: it does not hold such pairs.
    """
    turns = row.get("history") or []
    if not isinstance(turns, list) or any(not isinstance(turn, list) or len(turn) != 2 for turn in turns):
        refuse(where, "history does not hold pairs of question and answer", "correct the row")
    return [message(role, text) for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)]


def conversation_column(row: Values, names: Sequence[str]) -> str:
    """Return the first of these columns that holds a list of messages; empty where none does."""
    return next((name for name in names if is_messages(row.get(name))), "")

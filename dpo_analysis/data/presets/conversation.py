"""Pairs as trainers with templates by name read them: a system text, turns of user and assistant, two answers."""

from typing import Any, NamedTuple

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.rendering import RowProblem, messages_of


class Conversation(NamedTuple):
    """A pair as a conversation.

    Attributes:
        system: the text of the system message; None without one.
        turns: (role, text) of the messages after it, up to the answer; the roles are user and assistant.
        chosen: the text of the chosen answer.
        rejected: the text of the rejected answer.
    """

    system: str | None
    turns: list[tuple[str, str]]
    chosen: str
    rejected: str


def read_conversation(pair: Pair, trainer: str) -> Conversation:
    """Return a pair as a conversation; the prompt of a text row is a message of the user.

    Args:
        pair: the pair.
        trainer: the trainer's name, for the messages.

    Raises:
        RowProblem: the pair has tools, a role beside user and assistant, a message that is no text, or an answer of
            several messages.
    """
    if not isinstance(pair.prompt, list):
        return Conversation(None, [("user", str(pair.prompt))], str(pair.chosen), str(pair.rejected))
    if pair.tools:
        raise RowProblem("template_error", f"the row has tools, which the templates of {trainer} render by code")
    messages, *sides = messages_of(pair)
    chosen, rejected = (_answer(side, trainer) for side in sides)
    system = None
    if messages and messages[0]["role"] == "system":
        system = _text(messages.pop(0))
    turns = [(message["role"], _text(message)) for message in messages]
    unread = next((role for role, _ in turns if role not in ("user", "assistant")), "")
    if unread:
        raise RowProblem(
            "template_error", f"a message has the role {unread!r}, which the templates of {trainer} render by code"
        )
    return Conversation(system, turns, chosen, rejected)


def _answer(side: Any, trainer: str) -> str:
    if len(side) != 1 or side[0]["role"] != "assistant":
        raise RowProblem("template_error", f"{trainer} takes a single message of the assistant as an answer")
    return _text(side[0])


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, str) or message.get("tool_calls"):
        raise RowProblem("template_error", "the content of a message is no text")
    return content

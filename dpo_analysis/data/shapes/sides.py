"""Prompt, chosen and rejected of a row in TRL's format: explicit or implicit, texts or messages."""

from collections.abc import Mapping
from typing import Any, TypeVar

from dpo_analysis.data.shapes.shape import NEEDED, refuse
from dpo_analysis.text.bounded_json import parse_json

Side = TypeVar("Side", str, list)


def sides_of(values: Mapping[str, Any], system: str, where: str) -> tuple[Any, Any, Any]:
    """Return prompt, chosen and rejected of a row in TRL's format, all texts or all lists of messages.

    Args:
        values: its columns.
        system: the text of a system message that stands beside them; empty for none.
        where: the place of the row.

    Raises:
        InputError: a side is missing or of another kind; names the place, what was found and what is needed.
    """
    prompt, chosen, rejected = _prompt_and_responses(values, where)
    has_system = isinstance(prompt, str) or any(message["role"] == "system" for message in prompt[:1])
    if system.strip() and not has_system:
        prompt = [{"role": "system", "content": system}, *prompt]
    return prompt, chosen, rejected


def _prompt_and_responses(values: Mapping[str, Any], where: str) -> tuple[Any, Any, Any]:
    """Return prompt, chosen and rejected of a row, all texts or all lists of messages."""
    for name in ("chosen", "rejected"):
        if name not in values:
            refuse(where, f"no field {name!r}, only {sorted(values)}", NEEDED)
        if values[name] is None:
            refuse(where, f"the field {name!r} is empty (null or not a number) in this row", NEEDED)
    if values.get("images") or values.get("image"):
        refuse(where, "it has images", "only text pairs can be scored; take the images column out")
    prompt, chosen, rejected = values.get("prompt"), values["chosen"], values["rejected"]
    kinds = {_side_kind(side, name, where) for name, side in (("chosen", chosen), ("rejected", rejected))}
    if len(kinds) > 1:
        refuse(where, "chosen and rejected are of different kinds", NEEDED)
    if prompt is None:
        return split_prompt(chosen, rejected)
    prompt_kind = _side_kind(prompt, "prompt", where)
    if kinds == {"messages"} and prompt_kind == "text":
        # The conversations contain the prompt, as TRL expects; the text is used only where they share no message.
        extracted = split_prompt(chosen, rejected)
        return extracted if extracted[0] else ([{"role": "user", "content": prompt}], chosen, rejected)
    if kinds != {prompt_kind}:
        refuse(where, "prompt is a list of messages but chosen is a text", NEEDED)
    return prompt, chosen, rejected


def split_prompt(chosen: Side, rejected: Side) -> tuple[Side, Side, Side]:
    """Split the shared beginning of both sides off as the prompt, exactly as TRL 1.16 does.

    Texts share characters and give a space before the difference back to the responses; conversations share messages.
    Where one side is the beginning of the other, its last character or message stays a response.

    Returns:
        prompt, chosen, rejected; the prompt is empty when a side is.
    """
    shorter = min(len(chosen), len(rejected))
    if shorter == 0:
        return chosen[:0], chosen, rejected
    shared = next((position for position in range(shorter) if chosen[position] != rejected[position]), None)
    if shared is None:
        shared = shorter - 1
    elif chosen[shared - 1] == " ":
        # With nothing shared, index -1 looks at the LAST character of chosen, as TRL's code does; the pair then splits
        # oddly, but it is what the policy was trained on.
        shared -= 1
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _side_kind(side: object, name: str, where: str) -> str:
    if isinstance(side, str):
        return "text"
    if not isinstance(side, list):
        refuse(where, f"{name} is a {type(side).__name__}", NEEDED)
    for message in side:
        has_content = isinstance(message, dict) and ("content" in message or message.get("tool_calls"))
        if not has_content or not isinstance(message.get("role"), str):
            description = f"the keys {sorted(message)}" if isinstance(message, dict) else f"a {type(message).__name__}"
            refuse(where, f"a message of {name} is {description}", "every message needs role and content")
    return "messages"


def tools_of(value: Any, where: str) -> list[Any] | None:
    """Return the tools of a row as a list of JSON schemas; None where it has none.

    Raises:
        InputError: they are neither a list nor JSON of a list.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value)
        except ValueError:
            refuse(where, "tools is a text but not JSON", "give a list of JSON schemas or the same as JSON")
    if value is None or value == "":
        return None
    if not isinstance(value, list):
        refuse(where, f"tools is a {type(value).__name__}", "give a list of JSON schemas or the same as JSON")
    return value


def template_kwargs_of(value: Any, where: str) -> dict[str, Any]:
    """Return the further variables that a row passes to the chat template.

    Raises:
        InputError: they are no object.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        refuse(where, f"chat_template_kwargs is a {type(value).__name__}", "give an object of names and values")
    return value

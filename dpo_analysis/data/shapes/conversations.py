"""Rows whose prompt is a list of messages in a column of another name than ``prompt``."""

from typing import Any

from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, has, is_message, is_messages, refuse
from dpo_analysis.data.shapes.trl import BAD, GOOD, QUESTION, is_whole_conversation
from dpo_analysis.data.shapes.turns import as_messages, as_response, conversation_column

PROMPTS = ("conversations", "messages", "context", "trajectory", "conversation", "context_messages", "dialogue")
"""Columns that may hold the messages before the responses."""
BAD_TEXT = "It mirrors the sea."
SENT = {"from": "human", "value": "Why is the sky blue?"}


def _system(row: Values) -> str:
    system = row.get("system")
    return system if isinstance(system, str) else ""


def _further(row: Values) -> dict[str, Any]:
    names = ("tools", "chat_template_kwargs", "images", "image")
    return {name: row[name] for name in names if row.get(name)}


def _openai(row: Values) -> bool:
    return isinstance(row.get("input"), dict) and has(row, "preferred_output", "non_preferred_output")


def _read_openai(row: Values, where: str, pairing: str) -> Result:
    del pairing
    prompt = as_messages(row["input"].get("messages"), "input.messages", where)
    sides = [as_response(row[name], name, where) for name in ("preferred_output", "non_preferred_output")]
    values = {"prompt": prompt, "chosen": sides[0], "rejected": sides[1]}
    values |= _further(row["input"])
    reading = Reading(OPENAI.name, ("input.messages",), "preferred_output", "non_preferred_output")
    return Result((values,), reading)


def _beside_messages(row: Values) -> bool:
    if row.get("prompt") is not None or not has(row, "chosen", "rejected") or is_whole_conversation(row):
        return False
    return bool(conversation_column(row, PROMPTS))


def _read_beside(row: Values, where: str, pairing: str) -> Result:
    del pairing
    column = conversation_column(row, PROMPTS)
    name = SHAREGPT.name if "from" in row[column][0] else AXOLOTL.name
    prompt = as_messages(row[column], column, where)
    chosen, rejected = (as_response(row[side], side, where, prompt) for side in ("chosen", "rejected"))
    values = {"prompt": prompt, "chosen": chosen, "rejected": rejected} | _further(row)
    system = _system(row)
    used = ("system", column) if system else (column,)
    return Result((values,), Reading(name, used, "chosen", "rejected"), system)


def _swift(row: Values) -> bool:
    return is_messages(row.get("messages")) and has(row, "rejected_response")


def _openpipe(row: Values) -> bool:
    return is_messages(row.get("messages")) and is_message(row.get("rejected_message"))


def _read_openpipe(row: Values, where: str, pairing: str) -> Result:
    result = _read_swift(dict(row) | {"rejected_response": row["rejected_message"]}, where, pairing)
    return result._replace(reading=Reading(OPENPIPE.name, ("messages",), "messages", "rejected_message"))


def _read_swift(row: Values, where: str, pairing: str) -> Result:
    del pairing
    messages = as_messages(row["messages"], "messages", where)
    if messages[-1]["role"] != "assistant":
        refuse(where, "messages do not end with the assistant", "the last message is the chosen response")
    prompt = messages[:-1]
    rejected = as_response(row["rejected_response"], "rejected_response", where, prompt)
    values = {"prompt": prompt, "chosen": messages[-1:], "rejected": rejected} | _further(row)
    return Result((values,), Reading(SWIFT.name, ("messages",), "messages", "rejected_response"), _system(row))


def _pair_of_conversations(row: Values) -> tuple[str, str] | None:
    names = (("messages", "rejected_messages"), ("chosen_conversations", "rejected_conversations"))
    return next((pair for pair in names if all(is_messages(row.get(name)) for name in pair)), None)


def _read_pair(row: Values, where: str, pairing: str) -> Result:
    del pairing
    good, bad = _pair_of_conversations(row) or ("messages", "rejected_messages")
    shape = SWIFT_MESSAGES if good == "messages" else TORCHTUNE
    values = {"chosen": as_messages(row[good], good, where), "rejected": as_messages(row[bad], bad, where)}
    prompt = {"prompt": row["prompt"]} if row.get("prompt") is not None else {}
    reading = Reading(shape.name, ("prompt",) if prompt else (good, bad), good, bad, implicit=not prompt)
    return Result((values | prompt | _further(row),), reading, _system(row))


def _is_pair(first: str) -> Any:
    return lambda row: (_pair_of_conversations(row) or ("",))[0] == first


OPENAI = Shape(
    "OpenAI preference",
    ("input", "preferred_output", "non_preferred_output"),
    _openai,
    _read_openai,
    {
        "input": {"messages": [QUESTION], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [GOOD],
        "non_preferred_output": [BAD],
    },
    "`input.messages` is the prompt and `input.tools` the tools.",
    "Azure, Fireworks and Together fine-tuning files",
)
SHAREGPT = Shape(
    "LLaMA-Factory sharegpt ranking",
    ("conversations", "chosen", "rejected"),
    lambda row: _beside_messages(row) and "from" in row[conversation_column(row, PROMPTS)][0],
    _read_beside,
    {
        "system": "Be brief.",
        "conversations": [SENT],
        "chosen": {"from": "gpt", "value": "Air scatters blue light most."},
        "rejected": {"from": "gpt", "value": "It mirrors the sea."},
    },
    "`human` is the user and `gpt` the assistant; `system` becomes the system message.",
    "DPO-En-Zh-20k; UltraInteract with `trajectory`",
)
AXOLOTL = Shape(
    "messages and two responses",
    ("messages", "chosen", "rejected"),
    _beside_messages,
    _read_beside,
    {"messages": [QUESTION], "chosen": GOOD, "rejected": BAD},
    "A response may be a text, a message or a list of messages.",
    "Axolotl `chat_template.default`",
)
SWIFT = Shape(
    "ms-swift",
    ("messages", "rejected_response"),
    _swift,
    _read_swift,
    {"messages": [QUESTION, GOOD], "rejected_response": BAD_TEXT},
    "The last of `messages` is the chosen response.",
)
OPENPIPE = Shape(
    "OpenPipe",
    ("messages", "rejected_message"),
    _openpipe,
    _read_openpipe,
    {"messages": [QUESTION, GOOD], "rejected_message": BAD},
    "The last of `messages` is the chosen response.",
)
SWIFT_MESSAGES = Shape(
    "ms-swift with rejected_messages",
    ("messages", "rejected_messages"),
    _is_pair("messages"),
    _read_pair,
    {"messages": [QUESTION, GOOD], "rejected_messages": [QUESTION, BAD]},
    "The messages that both lists have in common at the beginning are the prompt.",
)
TORCHTUNE = Shape(
    "torchtune",
    ("chosen_conversations", "rejected_conversations"),
    _is_pair("chosen_conversations"),
    _read_pair,
    {
        "chosen_conversations": [QUESTION, GOOD],
        "rejected_conversations": [QUESTION, BAD],
    },
    "The messages that both lists have in common at the beginning are the prompt.",
)
CONVERSATIONS = (OPENAI, SWIFT_MESSAGES, TORCHTUNE, SHAREGPT, AXOLOTL, SWIFT, OPENPIPE)
"""Their shapes."""

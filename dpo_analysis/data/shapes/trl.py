"""Rows that are in TRL's format, or nearly: with a system column, with senders, or with single messages."""

from collections.abc import Mapping
from typing import Any

from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, is_message, is_messages, is_text
from dpo_analysis.data.shapes.turns import as_messages, as_response

QUESTION = {"role": "user", "content": "Why is the sky blue?"}
GOOD = {"role": "assistant", "content": "Air scatters blue light most."}
BAD = {"role": "assistant", "content": "It mirrors the sea."}


def _has_sides(row: Values) -> bool:
    # a column that is there but null is a bad row of this shape, not another shape
    return "chosen" in row and "rejected" in row


def _explicit(row: Values) -> bool:
    return _has_sides(row) and row.get("prompt") is not None


def _as_it_is(row: Values, where: str, pairing: str) -> Result:
    del where, pairing
    return Result((row,), None)


def _senders_in(row: Values) -> bool:
    sides = [row.get(name) for name in ("chosen", "rejected")]
    lists = [*sides, row["prompt"]] if isinstance(row.get("prompt"), list) else sides
    return all(is_messages(side) and all("role" not in item for item in side or ()) for side in lists)


def _read_senders(row: Values, where: str, pairing: str) -> Result:
    del pairing
    values = {name: as_messages(row[name], name, where) for name in ("chosen", "rejected")}
    prompt = row.get("prompt")
    if prompt is not None:
        values["prompt"] = as_messages(prompt, "prompt", where) if isinstance(prompt, list) else prompt
    columns = ("prompt",) if prompt is not None else ("chosen", "rejected")
    return Result((values,), Reading(SENDERS.name, columns, "chosen", "rejected", prompt is None))


def _system_beside(row: Values) -> bool:
    return _explicit(row) and isinstance(row.get("system"), str)


def _read_system(row: Values, where: str, pairing: str) -> Result:
    """Return the row with its system text; a text prompt becomes a user message, so that there is a turn for it."""
    del pairing
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    if isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str):
        prompt = [{"role": "user", "content": prompt}]
        chosen, rejected = (as_response(side, "chosen", where) for side in (chosen, rejected))
    values = dict(row) | {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return Result((values,), Reading(SYSTEM.name, ("system", "prompt"), "chosen", "rejected"), row.get("system") or "")


def _system_alone(row: Values) -> bool:
    return _has_sides(row) and row.get("prompt") is None and is_text(row.get("system"))


def _read_system_alone(row: Values, where: str, pairing: str) -> Result:
    """Return the row with its system text; text responses become messages behind it."""
    del pairing
    values = dict(row)
    if isinstance(row["chosen"], str) and isinstance(row["rejected"], str):
        sides = {name: as_response(row[name], name, where) for name in ("chosen", "rejected")}
        values |= {"prompt": []} | sides
    return Result((values,), Reading(SYSTEM_ALONE.name, ("system",), "chosen", "rejected"), row["system"])


def _single_messages(row: Values) -> bool:
    return _explicit(row) and is_message(row["chosen"]) and is_message(row["rejected"])


def _read_single(row: Values, where: str, pairing: str) -> Result:
    del pairing
    prompt = row["prompt"]
    values: dict[str, Any] = {name: as_response(row[name], name, where) for name in ("chosen", "rejected")}
    values["prompt"] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return Result((values,), Reading(SINGLE.name, ("prompt",), "chosen", "rejected"))


def _example(**columns: Any) -> Mapping[str, Any]:
    return columns


SENDERS = Shape(
    "TRL's columns with from and value",
    ("chosen", "rejected"),
    lambda row: _has_sides(row) and _senders_in(row),
    _read_senders,
    _example(
        chosen=[{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because of the air."}],
        rejected=[{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Nobody knows."}],
    ),
    "As TRL's conversational rows; `human` is the user and `gpt` the assistant.",
)
SINGLE = Shape(
    "TRL's columns with single messages",
    ("prompt", "chosen", "rejected"),
    _single_messages,
    _read_single,
    _example(prompt="Why is the sky blue?", chosen=GOOD, rejected=BAD),
    "As TRL's conversational rows; each response is a list of one message.",
)
SYSTEM = Shape(
    "prompt and system",
    ("system", "prompt", "chosen", "rejected"),
    _system_beside,
    _read_system,
    _example(
        system="Be brief.",
        prompt="Why is the sky blue?",
        chosen="Air scatters blue light most.",
        rejected="It mirrors the sea.",
    ),
    "The prompt becomes a user message, behind a system message where `system` holds a text. TRL does not read "
    "`system`: if TRL trained on these rows as they are, give `--columns prompt=prompt`.",
    "Axolotl `chatml.prompt_pairs`, `chatml.ultra` and the same of `llama3`",
)
SYSTEM_ALONE = Shape(
    "system and two responses",
    ("system", "chosen", "rejected"),
    _system_alone,
    _read_system_alone,
    _example(system="Be brief.", chosen=[QUESTION, GOOD], rejected=[QUESTION, BAD]),
    "The system message stands before what both lists have in common at the beginning.",
)
EXPLICIT_TEXT = Shape(
    "TRL standard, explicit prompt",
    ("prompt", "chosen", "rejected"),
    lambda row: _explicit(row) and isinstance(row["prompt"], str) and isinstance(row["chosen"], str),
    _as_it_is,
    _example(prompt="The sky is", chosen=" blue.", rejected=" green."),
    "Read as it is, as plain text: no chat template is used.",
    "OpenRLHF with `--data.prompt_key prompt`; torchtune with a `prompt` column",
)
EXPLICIT_MESSAGES = Shape(
    "TRL conversational, explicit prompt",
    ("prompt", "chosen", "rejected"),
    _explicit,
    _as_it_is,
    _example(prompt=[QUESTION], chosen=[GOOD], rejected=[BAD]),
    "Read as it is; the chat template renders it. A `prompt` that is a text beside lists of messages, as in "
    "UltraFeedback binarized, is used where the lists share no message.",
    "UltraFeedback binarized, Tulu 3, OpenRLHF with `--data.prompt_key prompt --data.apply_chat_template`",
)
IMPLICIT_TEXT = Shape(
    "TRL standard, implicit prompt",
    ("chosen", "rejected"),
    lambda row: _has_sides(row) and isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str),
    _as_it_is,
    _example(
        chosen="\n\nHuman: Why is the sky blue?\n\nAssistant: Air scatters blue light most.",
        rejected="\n\nHuman: Why is the sky blue?\n\nAssistant: It mirrors the sea.",
    ),
    "The prompt is what both texts have in common at the beginning, as in TRL.",
    "Anthropic HH",
)
IMPLICIT_MESSAGES = Shape(
    "TRL conversational, implicit prompt",
    ("chosen", "rejected"),
    _has_sides,
    _as_it_is,
    _example(chosen=[QUESTION, GOOD], rejected=[QUESTION, BAD]),
    "The prompt is the messages that both lists have in common at the beginning, as in TRL.",
    "OpenRLHF with `--data.apply_chat_template` alone, torchtune, Axolotl `chatml.argilla_chat`, dpo-mix-7k",
)
BEFORE_NAMED = (SENDERS, SYSTEM, SINGLE, EXPLICIT_TEXT, EXPLICIT_MESSAGES)
"""Shapes with TRL's columns that are asked for before those with a prompt of another name."""
IMPLICIT = (SYSTEM_ALONE, IMPLICIT_TEXT, IMPLICIT_MESSAGES)
"""Shapes without a prompt column, asked for last: a prompt of another name must not be dropped."""
CONVERSATION_OPENS = ("user", "system", "human")


def is_whole_conversation(row: Values) -> bool:
    """Return whether both responses are lists that begin before the assistant speaks, and begin alike."""
    sides = [row.get(name) for name in ("chosen", "rejected")]
    if not all(is_messages(side) for side in sides):
        return False
    first, second = (side[0] for side in sides if isinstance(side, list))
    return first == second and first.get("role", first.get("from")) in CONVERSATION_OPENS

"""Rows whose prompt is a text in a column of another name: question, instruction and input, input, or query."""

from collections.abc import Callable
from typing import Any

from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values, refuse
from dpo_analysis.data.shapes.trl import is_whole_conversation
from dpo_analysis.data.shapes.turns import as_response, asked, history

PROMPTS = (("instruction", "input"), ("question",), ("input",), ("query",))
"""Columns of the prompt, in the order in which they are looked for; several are joined by a line break."""
SIDES = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_j", "response_k"),
    ("response", "rejected_response"),
    ("response_chosen", "response_rejected"),
)
"""Columns of the preferred response and of the rejected one."""
GOOD, BAD = "Air scatters blue light most.", "It mirrors the sea."


def prompt_columns(row: Values) -> tuple[str, ...]:
    """Return the columns that hold the prompt of such a row; empty where there are none."""
    for names in PROMPTS:
        if isinstance(row.get(names[0]), str):
            return tuple(name for name in names if name in row)
    return ()


def side_columns(row: Values) -> tuple[str, str] | None:
    """Return the columns of the preferred and of the rejected response; None where there are none."""
    return next(((good, bad) for good, bad in SIDES if good in row and bad in row), None)


def _shows(prompt: str, sides: tuple[str, str]) -> Callable[[Values], bool]:
    """Return a test whether a row has this prompt column and these responses."""

    def shows(row: Values) -> bool:
        has_prompt = row.get("prompt") is None and prompt_columns(row)[:1] == (prompt,)
        return has_prompt and side_columns(row) == sides and not is_whole_conversation(row)

    return shows


def _reader(name: str) -> Callable[[Values, str, str], Result]:
    """Return a reader for the shape of this name."""

    def read(row: Values, where: str, pairing: str) -> Result:
        del pairing
        columns, sides = prompt_columns(row), side_columns(row)
        assert sides is not None, "shows looks for them"
        prompt = history(row, where) + asked(row, where, *columns)
        chosen, rejected = (as_response(row[side], side, where, prompt) for side in sides)
        system = row.get("system")
        used = [name for name in ("system", "history") if row.get(name) is not None]
        values: dict[str, Any] = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        values |= {name: row[name] for name in ("tools", "chat_template_kwargs", "images", "image") if row.get(name)}
        return Result((values,), Reading(name, (*used, *columns), *sides), system if isinstance(system, str) else "")

    return read


def _shape(name: str, prompt: str, sides: tuple[str, str], users: str = "", **example: Any) -> Shape:
    columns = (prompt, *sides)
    becomes = (
        "The prompt becomes a user message and `system`, where it holds a text, a system message: the trainers that "
        "read these rows render them with a chat template."
    )
    return Shape(name, columns, _shows(prompt, sides), _reader(name), example, becomes, users)


CHOSEN, RESPONSES = SIDES[0], SIDES[1]
INSTRUCTIONS = (
    _shape(
        "Intel Orca",
        "question",
        CHOSEN,
        "Axolotl `chatml.intel`; torchtune's `question` style",
        system="Be brief.",
        question="Why is the sky blue?",
        chosen=GOOD,
        rejected=BAD,
    ),
    _shape(
        "LLaMA-Factory alpaca ranking",
        "instruction",
        CHOSEN,
        "without a dataset_info.json beside the file",
        instruction="Answer the question.",
        input="Why is the sky blue?",
        chosen=GOOD,
        rejected=BAD,
        system="Be brief.",
        history=[["Hello", "Hello! How can I help?"]],
    ),
    _shape(
        "distilabel",
        "input",
        CHOSEN,
        "argilla/distilabel-intel-orca-dpo-pairs, Axolotl `chatml.icr`",
        system="Be brief.",
        input="Why is the sky blue?",
        chosen=GOOD,
        rejected=BAD,
    ),
    _shape(
        "Argilla binarized",
        "instruction",
        RESPONSES,
        "argilla/ultrafeedback-binarized-preferences, Axolotl `chatml.argilla`",
        instruction="Why is the sky blue?",
        chosen_response=GOOD,
        rejected_response=BAD,
    ),
    _shape(
        "stack-exchange-paired",
        "question",
        SIDES[2],
        "lvwerra/stack-exchange-paired",
        question="Why is the sky blue?",
        response_j=GOOD,
        response_k=BAD,
    ),
    _shape(
        "MedicalGPT",
        "question",
        SIDES[4],
        "",
        system="Be brief.",
        history=[],
        question="Why is the sky blue?",
        response_chosen=GOOD,
        response_rejected=BAD,
    ),
    _shape(
        "ms-swift query and response",
        "query",
        SIDES[3],
        "",
        query="Why is the sky blue?",
        response=GOOD,
        rejected_response=BAD,
    ),
)
"""The shapes of known data sets and trainers."""


def _any_instruction(row: Values) -> bool:
    shown = row.get("prompt") is None and bool(prompt_columns(row)) and side_columns(row) is not None
    return shown and not is_whole_conversation(row)


def _renamed_sides(row: Values) -> bool:
    return isinstance(row.get("prompt"), str) and side_columns(row) in SIDES[1:]


def _read_renamed(row: Values, where: str, pairing: str) -> Result:
    del where, pairing
    good, bad = side_columns(row) or SIDES[1]
    values = dict(row) | {"chosen": row[good], "rejected": row[bad]}
    return Result((values,), Reading(RENAMED.name, ("prompt",), good, bad))


def _output_list(row: Values) -> bool:
    return isinstance(row.get("instruction"), str) and isinstance(row.get("output"), list) and "chosen" not in row


def _read_output_list(row: Values, where: str, pairing: str) -> Result:
    output = row["output"]
    if len(output) != 2:
        refuse(where, f"output holds {len(output)} texts", "it must hold the preferred response and the rejected one")
    values = dict(row) | {"chosen": output[0], "rejected": output[1]}
    result = _reader(OUTPUT_LIST.name)(values, where, pairing)
    columns = result.reading.prompt if result.reading else ()
    return result._replace(reading=Reading(OUTPUT_LIST.name, columns, "output[0]", "output[1]"))


OUTPUT_LIST = Shape(
    "LLaMA-Factory ranking in output",
    ("instruction", "input", "output"),
    _output_list,
    _read_output_list,
    {"instruction": "Why is the sky blue?", "input": "", "output": [GOOD, BAD]},
    "As LLaMA-Factory's alpaca ranking; the preferred response comes first in `output`.",
    "LLaMA-Factory before chosen and rejected had columns",
)
OTHER_INSTRUCTION = Shape(
    "a question and two responses",
    ("query", "chosen", "rejected"),
    _any_instruction,
    _reader("a question and two responses"),
    {"query": "Why is the sky blue?", "chosen": GOOD, "rejected": BAD},
    "Any other pairing of a prompt column (`question`, `instruction`, `input`, `query`) with columns of responses, "
    "read as the shapes above.",
    "Axolotl `chatml` with its default columns",
)
RENAMED = Shape(
    "prompt with responses of other names",
    ("prompt", "chosen_response", "rejected_response"),
    _renamed_sides,
    _read_renamed,
    {"prompt": "The sky is", "chosen_response": " blue.", "rejected_response": " green."},
    "As TRL's rows with prompt, chosen and rejected.",
)

"""A chat template of ms-swift by name: the texts and ids around each turn."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError

TEMPLATE_FILE = Path(__file__).with_name("templates") / "ms-swift.toml"
THOUGHT_START, THOUGHT_END = "<think>", "</think>"

Context = str | list[int]
"""A text, or token ids that stand for themselves."""


@dataclass(frozen=True, slots=True)
class Template:
    """The contexts of a chat template; ``{{SYSTEM}}``, ``{{QUERY}}``, ``{{ROUND0}}`` and ``{{ROUND1}}`` are filled in.

    Attributes:
        prefix: the contexts in front of all, without a system text.
        system_prefix: the same with a system text; None where the template takes none in front.
        prompt: the contexts of a message of the user, with the header of the answer.
        system_in_last_turn: the same for the last turn, for templates that put the system text there.
        separator: the contexts between an answer and the next turn; None where only the last turn is used.
        suffix: the contexts after the last answer.
        default_system: the system text of rows without one; None for none.
        add_bos: whether the ids that the tokenizer puts around a text go around the whole.
        stop_words: texts after which the suffix is left out.
        thinks: whether it is the template of a model that thinks.
        non_thinking_prefix: the text in front of an answer without thought.
        history_thinking_prefix: the text in front of earlier answers, whose thought is taken out.
        keeps_thoughts: whether earlier thoughts stay; None where ``thinks`` decides.
        system_in_first_turn: whether the system text stands before the first message of the user, in it.
        strips_answers: whether answers lose the newlines at their ends.
    """

    prompt: list[Context]
    prefix: list[Context] = field(default_factory=list)
    system_prefix: list[Context] | None = None
    system_in_last_turn: list[Context] | None = None
    separator: list[Context] | None = None
    suffix: list[Context] = field(default_factory=list)
    default_system: str | None = None
    add_bos: bool = False
    stop_words: tuple[str, ...] = ()
    thinks: bool = False
    non_thinking_prefix: str = ""
    history_thinking_prefix: str = ""
    keeps_thoughts: bool | None = None
    system_in_first_turn: bool = False
    strips_answers: bool = False

    @property
    def takes_system(self) -> bool:
        """Whether a row may have a system text."""
        return self.system_prefix is not None or self.system_in_last_turn is not None or self.system_in_first_turn

    def answer(self, text: str) -> str:
        """Return the last answer as it is scored: with the prefix of an answer that does not think."""
        text = text.strip("\n") if self.strips_answers else text
        starts = (THOUGHT_START, self.non_thinking_prefix)
        return text if not self.non_thinking_prefix or text.startswith(starts) else self.non_thinking_prefix + text

    def earlier_answer(self, text: str) -> str:
        """Return an answer before the last turn: without its thought, unless the template keeps it."""
        text = text.strip("\n") if self.strips_answers else text
        if self.keeps_thoughts:
            return self.answer(text)
        if self.keeps_thoughts is None and not self.thinks:
            return text
        return self.history_thinking_prefix + text.split(THOUGHT_END)[-1].strip()


@cache
def template_data() -> dict[str, dict[str, Any]]:
    """Return the templates of ms-swift as they are in the file, by name."""
    return tomllib.loads(TEMPLATE_FILE.read_text("utf-8"))


def named_template(name: str, tokenizer: Any) -> Template:
    """Return the template ``name`` with the ids of a tokenizer.

    Raises:
        InputError: the tokenizer lacks an id that the template needs.
    """
    data: dict[str, Any] = {"suffix": [["eos_token_id"]]} | template_data()[name]
    for part in ("prefix", "system_prefix", "prompt", "system_in_last_turn", "separator", "suffix"):
        if data.get(part) is not None:
            data[part] = [_with_ids(context, tokenizer, name) for context in data[part]]
    last = data["suffix"][-1] if data["suffix"] else None
    words = [*data.get("stop_words", []), last.strip() if isinstance(last, str) else "", tokenizer.eos_token or ""]
    data["stop_words"] = tuple(word for word in words if word)
    return Template(**data)


def _with_ids(context: str | list[str | int], tokenizer: Any, name: str) -> Context:
    if isinstance(context, str):
        return context
    ids = [getattr(tokenizer, item) if isinstance(item, str) else item for item in context]
    if None in ids:
        raise InputError(f"no {context[ids.index(None)]} in the tokenizer: the ms-swift template {name} needs it")
    return ids

"""A chat template of LLaMA-Factory: the pieces around each message, by name or read from the tokenizer's template."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dpo_analysis.data.bounded_worker import LimitReached, call_bounded
from dpo_analysis.data.presets.rendering import TEMPLATE_ERRORS
from dpo_analysis.data.presets.slots import Piece, SpecialToken, SpecialTokens, filled, read_slots, token_id
from dpo_analysis.errors import InputError

TEMPLATE_FILE = Path(__file__).with_name("templates") / "llamafactory.toml"
THOUGHT_WORDS = ("<think>\n", "\n</think>\n\n")
CONTENT = "{{content}}"


@dataclass(frozen=True, slots=True)
class Template:
    """The pieces of a chat template.

    Attributes:
        kind: plain; ``llama2``, which puts the system text into the first message of the user; or ``reasoning``, whose
            answers begin with a thought.
        prefix: the pieces in front of all.
        system: the pieces of a system message.
        user: the pieces of a message of the user, with the header of the answer.
        assistant: the pieces of an answer.
        ending: pieces after the last answer.
        default_system: the system text of rows without one; empty for none.
        eos_token: the token that the template makes the tokenizer's end-of-text; empty for the tokenizer's.
        thought_words: what stands before and after a thought.
        empty_thought: the text in front of an answer without thought.
    """

    kind: str = "plain"
    prefix: tuple[Piece, ...] = ()
    system: tuple[Piece, ...] = (CONTENT,)
    user: tuple[Piece, ...] = (CONTENT,)
    assistant: tuple[Piece, ...] = (CONTENT, SpecialToken("eos_token"))
    ending: tuple[Piece, ...] = ()
    default_system: str = ""
    eos_token: str = ""
    thought_words: tuple[str, str] = THOUGHT_WORDS
    empty_thought: str = "".join(THOUGHT_WORDS)

    def system_pieces(self, text: str) -> list[Piece]:
        """Return the pieces of the system message ``text``."""
        return filled(self.system, content=text)

    def system_text(self, text: str) -> str:
        """Return the system message ``text`` as it stands in the first message of the user."""
        return str(self.system_pieces(text)[0])

    def user_pieces(self, text: str, round_number: int) -> list[Piece]:
        """Return the pieces of a message of the user; rounds count from 0."""
        return filled(self.user, content=text, idx=str(round_number))

    def assistant_pieces(self, text: str) -> list[Piece]:
        """Return the pieces of an answer."""
        return filled(self.assistant, content=text)

    def has_thought(self, text: str) -> bool:
        """Return whether an answer holds a mark of a thought."""
        return any(word.strip() in text for word in self.thought_words)

    def without_thought(self, text: str) -> str:
        """Return an answer without its thoughts."""
        start, end = map(re.escape, self.thought_words)
        return re.sub(f"{start}(.*?){end}", "", text, flags=re.DOTALL).lstrip("\n")

    def special_tokens(self, tokenizer: Any) -> SpecialTokens:
        """Return text and id of the special tokens in the pieces."""
        names = {
            p.name
            for part in (self.prefix, self.system, self.user, self.assistant)
            for p in part
            if not isinstance(p, str)
        }
        found: dict[str, tuple[str, int | None]] = {
            name: (name, token_id(tokenizer, name, "the template")) for name in names - {"bos_token", "eos_token"}
        }
        eos = (self.eos_token, token_id(tokenizer, self.eos_token, "the template")) if self.eos_token else None
        found["bos_token"] = (tokenizer.bos_token or "", tokenizer.bos_token_id)
        found["eos_token"] = eos or (tokenizer.eos_token or "", tokenizer.eos_token_id)
        return found


@cache
def template_data() -> dict[str, dict[str, Any]]:
    """Return the templates of LLaMA-Factory as they are in the file, by name."""
    return tomllib.loads(TEMPLATE_FILE.read_text("utf-8"))


def named_template(name: str, tokenizer: Any) -> Template:
    """Return the template ``name``, for a tokenizer that has its tokens.

    Raises:
        InputError: the tokenizer lacks a token that the template ends turns with.
    """
    data = template_data()[name]
    stop_words = data.get("stop_words", [])
    for word in stop_words:
        token_id(tokenizer, word, f"the template {name}")
    if tokenizer.eos_token_id is None and not data.get("replace_eos"):
        raise InputError("no end-of-text token in the tokenizer: LLaMA-Factory ends answers with it; set its eos_token")
    end = SpecialToken("eos_token")
    ends_itself = data.get("efficient_eos", False)
    start_of_thought, end_of_thought = data.get("thought_words", THOUGHT_WORDS)
    return Template(
        kind=data.get("kind", "plain"),
        prefix=read_slots(data.get("prefix", [])),
        system=read_slots(data.get("system", [CONTENT])),
        user=read_slots(data.get("user", [CONTENT])),
        assistant=read_slots(data["assistant"])
        if "assistant" in data
        else (CONTENT,)
        if ends_itself
        else (CONTENT, end),
        ending=(end,) if ends_itself else (),
        default_system=data.get("default_system", ""),
        eos_token=stop_words[0] if data.get("replace_eos") else "",
        thought_words=(start_of_thought, end_of_thought),
        empty_thought=data.get("empty_thought", start_of_thought + end_of_thought),
    )


def template_of_tokenizer(tokenizer: Any) -> Template:
    """Return the tokenizer's chat template as LLaMA-Factory reads it; ``empty`` where there is none.

    It renders short conversations and takes the texts around ``{{content}}``, so that a template that treats messages
    differently by their place is not what it was.

    Raises:
        InputError: the template renders these conversations not at all, or without their content.
    """
    if not isinstance(tokenizer.chat_template, str):
        return named_template("empty", tokenizer)
    try:
        template = call_bounded(lambda: _read_template(tokenizer))
    except LimitReached as error:
        raise InputError(
            f"LLaMA-Factory cannot read the tokenizer's chat template: {error.excess}; give the template that it "
            "trained with as --template NAME"
        ) from None
    except TEMPLATE_ERRORS as error:
        raise InputError(
            f"LLaMA-Factory cannot read the tokenizer's chat template ({' '.join(str(error).split())[:150]}); "
            "give the template that it trained with as --template NAME"
        ) from error
    for name, (piece,) in (("user", template.user), ("assistant", template.assistant), ("system", template.system)):
        if CONTENT not in str(piece):
            raise InputError(
                f"LLaMA-Factory cannot read the tokenizer's chat template: it renders a message of the {name} without "
                "its content; give the template that it trained with as --template NAME"
            )
    return template


def _read_template(tokenizer: Any) -> Template:
    system, user, assistant = ({"role": role, "content": CONTENT} for role in ("system", "user", "assistant"))
    prefix = tokenizer.decode(tokenizer.encode(""))

    def rendered(*messages: dict[str, str], header: bool = False) -> str:
        text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=header, tokenize=False)
        return text[len(prefix) :]

    system_text, user_text = rendered(system), rendered(user, header=True)
    user_after_empty_system = rendered(system | {"content": ""}, user, header=True)
    assistant_text = rendered(user, assistant)[len(user_text) :]
    kind = "reasoning" if "<think>" in assistant_text else "plain"
    assistant_text = assistant_text.replace("<think>", "").replace("</think>", "").lstrip("\n")
    default_system = ""
    if len(user_text) > len(user_after_empty_system):
        default_system = _inserted(user_after_empty_system, user_text)
        user_text = user_text[len(system_text.replace(CONTENT, default_system, 1)) :]
    return Template(
        kind=kind,
        prefix=(prefix,) if prefix else (),
        system=(system_text,),
        user=(user_text,),
        assistant=(assistant_text,),
        default_system=default_system,
    )


def _inserted(shorter: str, longer: str) -> str:
    """Return the characters of ``longer`` that ``shorter`` lacks, until ``shorter`` ends."""
    position, inserted = 0, []
    for character in longer:
        if position == len(shorter):
            break
        if character == shorter[position]:
            position += 1
        else:
            inserted.append(character)
    return "".join(inserted)

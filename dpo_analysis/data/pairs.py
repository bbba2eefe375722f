"""Rows to preference pairs: TRL's shapes resolved to one, other columns kept, nothing dropped.

A row is *standard* (texts) or *conversational* (lists of messages), and names its prompt or leaves it inside both
responses. After this file every pair has a prompt, a chosen and a rejected side of one kind.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from dpo_analysis.data.sources import Row, read_rows
from dpo_analysis.errors import InputError

SPLIT_AND_SOURCE = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)
SURROGATE = re.compile("[\ud800-\udfff]")
NEEDED = "a row needs chosen and rejected, and may have prompt, all as texts or all as lists of {role, content}"

Side = TypeVar("Side", str, list)


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference pair before tokenisation.

    Attributes:
        pair_id: first 16 hex digits of the sha256 of prompt, chosen and rejected; ``-2``, ``-3`` for equal rows.
        split: the set of pairs the row came from.
        prompt: text, or messages when the pair is conversational; so are ``chosen`` and ``rejected``.
        chosen: the preferred response.
        rejected: the other response.
        tools: JSON schemas handed to the chat template, or None.
        chat_template_kwargs: further values handed to the chat template.
        source: the row as it was read, JSON-able, every column kept.
        where: the place it was read from, ``pairs.jsonl:12`` or ``pairs.parquet[11]``.
        problem: ``bad_text`` when a text that would be tokenised is not valid Unicode, else empty.
    """

    pair_id: str
    split: str
    prompt: str | list[dict[str, Any]]
    chosen: str | list[dict[str, Any]]
    rejected: str | list[dict[str, Any]]
    tools: list[Any] | None
    chat_template_kwargs: dict[str, Any]
    source: dict[str, Any]
    where: str
    problem: str = ""

    @property
    def conversational(self) -> bool:
        """Whether the sides are lists of messages, to be rendered by a chat template."""
        return isinstance(self.chosen, list)

    def opened(self) -> "Pair":
        """The pair itself; one that is packed (``data.kept``) unpacks."""
        return self


def load_pairs(*sources: object, split: str | None = None) -> list[Pair]:
    """Read preference pairs in TRL's standard or conversational, explicit- or implicit-prompt shape.

    A row whose prompt is missing, or is a text beside conversational responses, has its prompt extracted as TRL does:
    the longest common prefix of both sides, in messages or in characters. TRL decides this once from its first row; a
    row that differs from the first one stops TRL, and is resolved by itself here.

    Args:
        *sources: files, folders, hub ids (each optionally as ``SPLIT=SOURCE``), ``datasets`` objects or lists of rows;
            see ``formats.read_rows``.
        split: the split of rows whose source does not name one; unsaid, the source's own split names or ``eval``.

    Returns:
        The pairs in reading order; equal rows are all kept.

    Raises:
        InputError: a source or a row cannot be read; names the place, what was found and what is needed.
    """
    return list(iter_pairs(*sources, split=split))


def iter_pairs(*sources: object, split: str | None = None) -> Iterator[Pair]:
    """What ``load_pairs`` gives, one after the other; errors as there."""
    for found in _read(sources, split):
        if isinstance(found, InputError):
            raise found
        yield found


def read_pairs(*sources: object, split: str | None = None) -> tuple[list[Pair], list[InputError]]:
    """What ``load_pairs`` reads, and the complaint about every row that it would stop at.

    Returns:
        The pairs that can be read, in reading order, and one error for each row that cannot, each naming its place.

    Raises:
        InputError: a source cannot be read on, and no row of it was complained about before.
    """
    pairs: list[Pair] = []
    bad: list[InputError] = []
    try:
        for found in _read(sources, split):
            if isinstance(found, InputError):
                bad.append(found)
            else:
                pairs.append(found)
    except InputError as error:
        if not bad:
            raise
        bad.append(error)
    return pairs, bad


def _read(sources: Sequence[object], split: str | None) -> Iterator[Pair | InputError]:
    seen: Counter[str] = Counter()
    for source in sources:
        name, inner = split_and_source(source)
        for row in read_rows(inner, name or split, keep_broken=True):
            try:
                yield row.error or _pair(row, seen)
            except InputError as error:
                yield error


def split_and_source(source: object) -> tuple[str | None, object]:
    """``SPLIT=SOURCE`` apart; None where no split is named, and for what exists under its whole name."""
    if isinstance(source, str) and not Path(source).exists():
        match = SPLIT_AND_SOURCE.fullmatch(source)
        if match:
            return match[1], match[2]
    return None, source


def _pair(row: Row, seen: Counter[str]) -> Pair:
    values = {str(name): plain(value) for name, value in row.values.items()}
    read = _sides(values, row.where)
    digest = hashlib.sha256(_canonical(read).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    seen[digest] += 1
    problem = ""
    if SURROGATE.search(json.dumps(values, ensure_ascii=False)):
        tokenised = [*read, values.get("tools"), values.get("chat_template_kwargs")]
        problem = "bad_text" if SURROGATE.search(json.dumps(tokenised, ensure_ascii=False)) else ""
        values = _without_surrogates(values)
        read = _sides(values, row.where)
    prompt, chosen, rejected = read
    return Pair(
        pair_id=digest if seen[digest] == 1 else f"{digest}-{seen[digest]}",
        split=row.split,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        tools=_tools(values.get("tools"), row.where),
        chat_template_kwargs=_template_kwargs(values.get("chat_template_kwargs"), row.where),
        source=values,
        where=row.where,
        problem=problem,
    )


def _sides(values: dict[str, Any], where: str) -> tuple[Any, Any, Any]:
    """The prompt, chosen and rejected of a row, all texts or all lists of messages."""
    for name in ("chosen", "rejected"):
        if name not in values:
            _refuse(where, f"no field {name!r}, only {sorted(values)}", NEEDED)
        if values[name] is None:
            _refuse(where, f"the field {name!r} is empty (null or not a number) in this row", NEEDED)
    if values.get("images") or values.get("image"):
        _refuse(where, "it has images", "only text pairs can be scored; take the images column out")
    prompt, chosen, rejected = values.get("prompt"), values["chosen"], values["rejected"]
    kinds = {_kind(side, name, where) for name, side in (("chosen", chosen), ("rejected", rejected))}
    if len(kinds) > 1:
        _refuse(where, "chosen and rejected are of different kinds", NEEDED)
    if prompt is None:
        return split_prompt(chosen, rejected)
    prompt_kind = _kind(prompt, "prompt", where)
    if kinds == {"messages"} and prompt_kind == "text":
        extracted = split_prompt(chosen, rejected)
        return extracted if extracted[0] else ([{"role": "user", "content": prompt}], chosen, rejected)
    if kinds != {prompt_kind}:
        _refuse(where, "prompt is a list of messages but chosen is a text", NEEDED)
    return prompt, chosen, rejected


def split_prompt(chosen: Side, rejected: Side) -> tuple[Side, Side, Side]:
    """Take the shared beginning of both sides as the prompt, exactly as TRL 1.16 does.

    Texts share characters and give a space before the difference back to the responses; conversations share messages.
    Where one side is the beginning of the other, its last character or message stays a response.

    Returns:
        prompt, chosen, rejected; the prompt is empty when a side is.
    """
    shorter = min(len(chosen), len(rejected))
    if shorter == 0:
        return chosen[:0], chosen, rejected
    shared = next((place for place in range(shorter) if chosen[place] != rejected[place]), None)
    if shared is None:
        shared = shorter - 1
    elif chosen[shared - 1] == " ":
        # With nothing shared this looks at the LAST character of chosen, as TRL's own code does; the pair then splits
        # oddly, but it is what was trained on.
        shared -= 1
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _kind(side: object, name: str, where: str) -> str:
    if isinstance(side, str):
        return "text"
    if not isinstance(side, list):
        _refuse(where, f"{name} is a {type(side).__name__}", NEEDED)
    for message in side:
        told = isinstance(message, dict) and ("content" in message or message.get("tool_calls"))
        if not told or not isinstance(message.get("role"), str):
            found = f"the keys {sorted(message)}" if isinstance(message, dict) else f"a {type(message).__name__}"
            _refuse(where, f"a message of {name} is {found}", "every message needs role and content")
    return "messages"


def _tools(value: Any, where: str) -> list[Any] | None:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            _refuse(where, "tools is a text but not JSON", "give a list of JSON schemas or the same as JSON")
    if value is None or value == "":
        return None
    if not isinstance(value, list):
        _refuse(where, f"tools is a {type(value).__name__}", "give a list of JSON schemas or the same as JSON")
    return value


def _template_kwargs(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse(where, f"chat_template_kwargs is a {type(value).__name__}", "give an object of names and values")
    return value


def _refuse(where: str, why: str, fix: str) -> NoReturn:
    raise InputError(f"bad row in {where}: {why}; {fix}")


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: not-a-number as null, bytes by their length, dates and the like as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    return str(value)


def _canonical(sides: Sequence[Any]) -> str:
    return json.dumps([_without_nulls(side) for side in sides], ensure_ascii=False, sort_keys=True)


def _without_nulls(value: Any) -> Any:
    """Arrow fills keys that some messages lack with null; the id of a row must not depend on its container."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value

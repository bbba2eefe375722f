"""Preference pairs from rows in any of TRL's data set formats; other columns are kept and no row is dropped.

A row is *standard* (texts) or *conversational* (lists of messages), and its prompt is *explicit* (a column) or
*implicit* (the shared beginning of both responses). Every ``Pair`` has an explicit prompt, and its three sides are all
texts or all lists of messages.
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
NEEDED_FIELDS = "a row needs chosen and rejected, and may have prompt, all as texts or all as lists of {role, content}"

Side = TypeVar("Side", str, list)


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference pair before tokenisation.

    Attributes:
        pair_id: first 16 hex digits of the sha256 of prompt, chosen and rejected; equal rows get ``-2``, ``-3``, ...
        split: the name of the split that the row belongs to.
        prompt: text, or messages when the pair is conversational; so are ``chosen`` and ``rejected``.
        chosen: the preferred response.
        rejected: the other response.
        tools: JSON schemas passed to the chat template, or None.
        chat_template_kwargs: further variables passed to the chat template.
        source: the row as it was read, with every column, as JSON can hold it.
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
        """Whether the sides are lists of messages, which a chat template renders."""
        return isinstance(self.chosen, list)

    def decompressed(self) -> "Pair":
        """Return the pair itself; a ``CompressedPair`` returns its decompressed copy."""
        return self


def load_pairs(*sources: object, split: str | None = None) -> list[Pair]:
    """Load preference pairs in TRL's standard or conversational format, with explicit or implicit prompts.

    A row whose prompt is missing, or is a text beside conversational responses, has its prompt extracted as TRL does:
    the longest common prefix of both sides, in messages or in characters. TRL decides from the first row for all, and
    stops at a row that differs; here every row is resolved by itself.

    Args:
        *sources: files, folders, hub ids (each optionally as ``SPLIT=SOURCE``), ``datasets`` objects or lists of rows;
            see ``sources.read_rows``.
        split: the split of the rows of every source without ``SPLIT=``; None keeps the split names of the source, and
            ``eval`` where it names none.

    Returns:
        The pairs in reading order; equal rows are all kept.

    Raises:
        InputError: a source or a row cannot be read; names the place, what was found and what is needed.
    """
    return list(iter_pairs(*sources, split=split))


def iter_pairs(*sources: object, split: str | None = None) -> Iterator[Pair]:
    """Yield the pairs that ``load_pairs`` returns, one at a time, with the same errors."""
    for pair in _pairs_and_errors(sources, split):
        if isinstance(pair, InputError):
            raise pair
        yield pair


def read_pairs(*sources: object, split: str | None = None) -> tuple[list[Pair], list[InputError]]:
    """Read pairs as ``load_pairs`` does, but collect the errors of rows instead of stopping at the first.

    Returns:
        The pairs that can be read, in reading order, and an error for each row that cannot, naming its place.

    Raises:
        InputError: a source cannot be read at all or to its end, and no error was met before.
    """
    pairs: list[Pair] = []
    errors: list[InputError] = []
    try:
        for pair in _pairs_and_errors(sources, split):
            if isinstance(pair, InputError):
                errors.append(pair)
            else:
                pairs.append(pair)
    except InputError as error:
        if not errors:
            raise
        errors.append(error)
    return pairs, errors


def _pairs_and_errors(sources: Sequence[object], split: str | None) -> Iterator[Pair | InputError]:
    digest_counts: Counter[str] = Counter()
    for split_and_path in sources:
        split_name, source = split_and_source(split_and_path)
        for row in read_rows(source, split_name or split, keep_broken=True):
            try:
                yield row.error or _pair_from_row(row, digest_counts)
            except InputError as error:
                yield error


def split_and_source(source: object) -> tuple[str | None, object]:
    """Return split and source of ``SPLIT=SOURCE``; the split is None where none is named.

    A text that is an existing path is never divided: a file name may hold an equals sign.
    """
    if isinstance(source, str) and not Path(source).exists():
        match = SPLIT_AND_SOURCE.fullmatch(source)
        if match:
            return match[1], match[2]
    return None, source


def _pair_from_row(row: Row, digest_counts: Counter[str]) -> Pair:
    values = {str(name): json_value(value) for name, value in row.values.items()}
    sides = _prompt_and_responses(values, row.where)
    digest = hashlib.sha256(_canonical_json(sides).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    digest_counts[digest] += 1
    problem = ""
    # Lone surrogates cannot be stored as UTF-8, so they are replaced everywhere; only in a text that would be tokenised
    # do they make the pair unscorable.
    if SURROGATE.search(json.dumps(values, ensure_ascii=False)):
        tokenised = [*sides, values.get("tools"), values.get("chat_template_kwargs")]
        problem = "bad_text" if SURROGATE.search(json.dumps(tokenised, ensure_ascii=False)) else ""
        values = _without_surrogates(values)
        sides = _prompt_and_responses(values, row.where)
    prompt, chosen, rejected = sides
    return Pair(
        pair_id=digest if digest_counts[digest] == 1 else f"{digest}-{digest_counts[digest]}",
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


def _prompt_and_responses(values: dict[str, Any], where: str) -> tuple[Any, Any, Any]:
    """Return prompt, chosen and rejected of a row, all texts or all lists of messages."""
    for name in ("chosen", "rejected"):
        if name not in values:
            _reject_row(where, f"no field {name!r}, only {sorted(values)}", NEEDED_FIELDS)
        if values[name] is None:
            _reject_row(where, f"the field {name!r} is empty (null or not a number) in this row", NEEDED_FIELDS)
    if values.get("images") or values.get("image"):
        _reject_row(where, "it has images", "only text pairs can be scored; take the images column out")
    prompt, chosen, rejected = values.get("prompt"), values["chosen"], values["rejected"]
    kinds = {_side_kind(side, name, where) for name, side in (("chosen", chosen), ("rejected", rejected))}
    if len(kinds) > 1:
        _reject_row(where, "chosen and rejected are of different kinds", NEEDED_FIELDS)
    if prompt is None:
        return split_prompt(chosen, rejected)
    prompt_kind = _side_kind(prompt, "prompt", where)
    if kinds == {"messages"} and prompt_kind == "text":
        # The conversations contain the prompt, as TRL expects; the text is used only where they share no message.
        extracted = split_prompt(chosen, rejected)
        return extracted if extracted[0] else ([{"role": "user", "content": prompt}], chosen, rejected)
    if kinds != {prompt_kind}:
        _reject_row(where, "prompt is a list of messages but chosen is a text", NEEDED_FIELDS)
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
        _reject_row(where, f"{name} is a {type(side).__name__}", NEEDED_FIELDS)
    for message in side:
        has_content = isinstance(message, dict) and ("content" in message or message.get("tool_calls"))
        if not has_content or not isinstance(message.get("role"), str):
            description = f"the keys {sorted(message)}" if isinstance(message, dict) else f"a {type(message).__name__}"
            _reject_row(where, f"a message of {name} is {description}", "every message needs role and content")
    return "messages"


def _tools(value: Any, where: str) -> list[Any] | None:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError:
            _reject_row(where, "tools is a text but not JSON", "give a list of JSON schemas or the same as JSON")
    if value is None or value == "":
        return None
    if not isinstance(value, list):
        _reject_row(where, f"tools is a {type(value).__name__}", "give a list of JSON schemas or the same as JSON")
    return value


def _template_kwargs(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        _reject_row(where, f"chat_template_kwargs is a {type(value).__name__}", "give an object of names and values")
    return value


def _reject_row(where: str, problem: str, fix: str) -> NoReturn:
    raise InputError(f"bad row in {where}: {problem}; {fix}")


def json_value(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: NaN and infinities as null, bytes by their length, dates as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return json_value(value.tolist())
    return str(value)


def _canonical_json(sides: Sequence[Any]) -> str:
    return json.dumps([_without_nulls(side) for side in sides], ensure_ascii=False, sort_keys=True)


def _without_nulls(value: Any) -> Any:
    """Return ``value`` without null keys.

    Arrow fills keys that some messages lack with null, and the id of a pair must not depend on the file format.
    """
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value

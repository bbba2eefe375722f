"""Preference pairs from rows in any known shape; other columns are kept, and a row that prefers nothing is counted.

``shapes`` brings a row into TRL's format. There it is *standard* (texts) or *conversational* (lists of messages), and
its prompt is *explicit* (a column) or *implicit* (the shared beginning of both responses). Every ``Pair`` has an
explicit prompt, and its three sides are all texts or all lists of messages.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpo_analysis.data.shape_reading import ShapeReader
from dpo_analysis.data.shapes.json_values import digest, has_surrogate, without_surrogates
from dpo_analysis.data.shapes.shape import Reading, Result
from dpo_analysis.data.shapes.sides import sides_of, split_prompt, template_kwargs_of, tools_of
from dpo_analysis.data.sources import Row, read_rows
from dpo_analysis.errors import InputError

__all__ = [
    "Pair",
    "Tie",
    "iter_pairs",
    "load_pairs",
    "pairs_of_values",
    "read_pairs",
    "split_and_source",
    "split_prompt",
]

SPLIT_AND_SOURCE = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


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
        reading: the shape of the row and the columns that were used; None where the row is in TRL's format.
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
    reading: Reading | None = None

    @property
    def has_prompt_column(self) -> bool:
        """Whether the prompt stands in a column of its row, rather than in front of both responses."""
        return self.source.get("prompt") is not None if self.reading is None else not self.reading.implicit

    @property
    def conversational(self) -> bool:
        """Whether the sides are lists of messages, which a chat template renders."""
        return isinstance(self.chosen, list)

    def decompressed(self) -> "Pair":
        """Return the pair itself; a ``CompressedPair`` returns its decompressed copy."""
        return self


@dataclass(frozen=True, slots=True)
class Tie:
    """A row that prefers no response: it makes no pair, and is counted.

    Attributes:
        where: its place.
    """

    where: str


def load_pairs(
    *sources: object,
    split: str | None = None,
    columns: str | Mapping[str, str] | None = None,
    pairing: str = "best-worst",
) -> list[Pair]:
    """Load preference pairs from rows in TRL's format or another known shape; docs/data.md lists them.

    A row whose prompt is missing, or is a text beside conversational responses, has its prompt extracted as TRL does:
    the longest common prefix of both sides, in messages or in characters. TRL decides from the first row for all, and
    stops at a row that differs; here every row is resolved by itself.

    Args:
        *sources: files, folders, hub ids (each optionally as ``SPLIT=SOURCE``), ``datasets`` objects or lists of rows;
            see ``sources.read_rows``.
        split: the split of the rows of every source without ``SPLIT=``; None keeps the split names of the source, and
            ``eval`` where it names none.
        columns: the columns to read, such as ``prompt=question,chosen=good,rejected=bad``, or the same as a mapping;
            None finds the shape of the rows by their columns.
        pairing: which pairs more than two ranked responses make: best-worst, best-rest or all.

    Returns:
        The pairs in reading order; equal rows are all kept, and rows that prefer no response are left out.

    Raises:
        InputError: a source or a row cannot be read; names the place, what was found and what is needed.
    """
    return list(iter_pairs(*sources, split=split, columns=columns, pairing=pairing))


def iter_pairs(
    *sources: object,
    split: str | None = None,
    columns: str | Mapping[str, str] | None = None,
    pairing: str = "best-worst",
    ties: list[Tie] | None = None,
) -> Iterator[Pair]:
    """Yield the pairs that ``load_pairs`` returns, one at a time, with the same errors.

    Args:
        *sources: as for ``load_pairs``, and so are ``split``, ``columns`` and ``pairing``.
        split: see there.
        columns: see there.
        pairing: see there.
        ties: takes the rows that prefer no response.
    """
    for item in _pairs_and_errors(sources, split, ShapeReader(columns, pairing)):
        if isinstance(item, InputError):
            raise item
        if isinstance(item, Pair):
            yield item
        elif ties is not None:
            ties.append(item)


def read_pairs(
    *sources: object,
    split: str | None = None,
    columns: str | Mapping[str, str] | None = None,
    pairing: str = "best-worst",
    ties: list[Tie] | None = None,
) -> tuple[list[Pair], list[InputError]]:
    """Read pairs as ``load_pairs`` does, but collect the errors of rows instead of stopping at the first.

    Args:
        *sources: as for ``load_pairs``, and so are ``split``, ``columns`` and ``pairing``.
        split: see there.
        columns: see there.
        pairing: see there.
        ties: takes the rows that prefer no response.

    Returns:
        The pairs that can be read, in reading order, and an error for each row that cannot, naming its place; one error
        for a source of which no row has a known shape.

    Raises:
        InputError: a source cannot be read at all or to its end, and no error was met before.
    """
    pairs: list[Pair] = []
    errors: list[InputError] = []
    try:
        for item in _pairs_and_errors(sources, split, ShapeReader(columns, pairing)):
            if isinstance(item, Pair):
                pairs.append(item)
            elif isinstance(item, InputError):
                errors.append(item)
            elif ties is not None:
                ties.append(item)
    except InputError as error:
        if not errors:
            raise
        errors.append(error)
    return pairs, errors


def _pairs_and_errors(
    sources: Sequence[object], split: str | None, reader: ShapeReader
) -> Iterator[Pair | Tie | InputError]:
    digest_counts: Counter[str] = Counter()
    for split_and_path in sources:
        split_name, source = split_and_source(split_and_path)
        n_found, last_tie = 0, ""
        rows = read_rows(source, split_name or split, keep_broken=True)
        for row, result in reader.results(rows, source):
            if isinstance(result, InputError):
                n_found += 1
                yield result
                continue
            try:
                pairs = list(_pairs_from_row(row, result, reader, digest_counts))
            except InputError as error:
                n_found += 1
                yield error
                continue
            n_found += len(pairs)
            last_tie = last_tie if pairs else row.where
            yield from pairs or [Tie(row.where)]
        if not n_found and last_tie:
            yield InputError(
                f"no pairs in {last_tie} and the rows before it: none prefers a response; give rows with a preference"
            )


def split_and_source(source: object) -> tuple[str | None, object]:
    """Return split and source of ``SPLIT=SOURCE``; the split is None where none is named.

    A text that is an existing path is never divided: a file name may hold an equals sign.
    """
    if isinstance(source, str) and not Path(source).exists():
        match = SPLIT_AND_SOURCE.fullmatch(source)
        if match:
            return match[1], match[2]
    return None, source


def _pairs_from_row(row: Row, result: Result, reader: ShapeReader, digest_counts: Counter[str]) -> Iterator[Pair]:
    """Yield the pairs of a row, whose values JSON can hold: one, or several where it ranks responses."""
    values, rows = row.values, result.rows
    ids = [_pair_id(sides_of(resolved, result.system, row.where), digest_counts) for resolved in rows]
    problems = [""] * len(rows)
    # Lone surrogates cannot be stored as UTF-8, so they are replaced everywhere; only in a text that would be tokenised
    # do they make the pair unscorable.
    if has_surrogate(values):
        problems = ["bad_text" if _has_surrogate(resolved, result.system, row.where) else "" for resolved in rows]
        values = without_surrogates(values)
        result = reader.read(values, row.where)
    for number, resolved in enumerate(result.rows):
        prompt, chosen, rejected = sides_of(resolved, result.system, row.where)
        yield Pair(
            pair_id=ids[number],
            split=row.split,
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            tools=tools_of(resolved.get("tools"), row.where),
            chat_template_kwargs=template_kwargs_of(resolved.get("chat_template_kwargs"), row.where),
            source=values,
            where=row.where,
            problem=problems[number],
            reading=result.reading,
        )


def pairs_of_values(values: dict[str, Any]) -> list[Pair]:
    """Return every pair that a row makes, without ids, for a look at its texts.

    Args:
        values: the row as ``Pair.source`` holds it.

    Raises:
        InputError: it has no known shape, or is a bad row of its shape.
    """
    result = ShapeReader(pairing="all").read(values, "the row")
    return [
        Pair("", "", *sides_of(resolved, result.system, "the row"), None, {}, values, "", reading=result.reading)
        for resolved in result.rows
    ]


def _has_surrogate(values: Mapping[str, Any], system: str, where: str) -> bool:
    tokenised = [*sides_of(values, system, where), values.get("tools"), values.get("chat_template_kwargs")]
    return has_surrogate(tokenised)


def _pair_id(sides: tuple[Any, Any, Any], digest_counts: Counter[str]) -> str:
    first = digest(sides)
    digest_counts[first] += 1
    return first if digest_counts[first] == 1 else f"{first}-{digest_counts[first]}"

"""Where preference rows come from: files, ``datasets`` objects, saved folders, hub ids and plain Python rows.

Every reader yields rows one at a time with the place they were read from (``pairs.jsonl:12`` is line 12,
``pairs.parquet[11]`` is the row of index 11), so that every later complaint can name it.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dpo_analysis.data import hub
from dpo_analysis.data.file_formats import READERS
from dpo_analysis.errors import InputError


class Row(NamedTuple):
    """One row as it was read: the split it belongs to, the place it stands, its columns; or why it has none."""

    split: str
    where: str
    values: dict[str, Any]
    error: InputError | None = None


def read_rows(source: object, split: str | None = None, *, keep_broken: bool = False) -> Iterator[Row]:
    """Read the rows of one source, one at a time.

    Args:
        source: a file (.jsonl, .ndjson, .json, .parquet, .csv, .tsv), a folder of ``Dataset.save_to_disk``, a hub id
            (``org/name`` or ``org/name:split``), a ``datasets`` object, a DataFrame, an iterable of dicts, or a
            mapping of split name to any of these.
        split: the name to give the rows; None keeps the source's own split names and calls the others ``eval``.
        keep_broken: yield a row that cannot be read with its ``error``, and go on behind it, rather than raise that.

    Raises:
        InputError: the source is missing, empty, unreadable or not of these kinds; names the file and the line.
    """
    count = 0
    for row in _rows(source, split):
        count += 1
        if row.error is not None and not keep_broken:
            raise row.error
        yield row
    if not count:
        raise InputError(f"no rows in {_name(source)}: it is empty; give a source with at least one pair")


def _rows(source: object, split: str | None) -> Iterator[Row]:
    if isinstance(source, str | Path):
        yield from _from_path(str(source), split)
    elif isinstance(source, Mapping):
        yield from _from_splits(source, split, "")
    elif isinstance(source, pd.DataFrame):
        yield from _numbered(source.to_dict("records"), split, "dataframe")
    elif isinstance(source, Iterable) and not isinstance(source, bytes):
        yield from _numbered(source, split, _name(source))
    else:
        raise InputError(
            f"no pairs in a {type(source).__name__}: it is none of the kinds of source; give a file, a folder, "
            "a hub id, a datasets object or a list of rows"
        )


def _from_path(text: str, split: str | None) -> Iterator[Row]:
    path = Path(text)
    reader = READERS.get(path.suffix.lower())
    if path.is_file() and reader is not None:
        for where, values in reader(path):
            yield _row(split, where, values)
    elif path.is_file():
        raise InputError(f"unknown kind of file in {text}: its name ends in none of {', '.join(READERS)}; rename it")
    elif path.is_dir():
        yield from _from_loaded(hub.load_folder(path), split, text)
    elif path.exists():
        raise InputError(f"no pairs in {text}: it is neither a file nor a folder; give a regular file")
    elif reader is not None or not hub.looks_like_id(text):
        raise InputError(f"no pairs in {text}: no such file or folder; check the path")
    else:
        name, _, part = text.partition(":")
        loaded = hub.load_id(name)
        if part:
            loaded = _one_split(loaded, part, name)
        yield from _from_loaded(loaded, split or part or None, name)


def _from_loaded(loaded: object, split: str | None, name: str) -> Iterator[Row]:
    if isinstance(loaded, Mapping):
        yield from _from_splits(loaded, split, name)
    elif isinstance(loaded, Iterable):
        yield from _numbered(loaded, split, name)


def _from_splits(splits: Mapping[Any, Any], split: str | None, name: str) -> Iterator[Row]:
    if split is None and len(splits) > 1:
        for own, part in splits.items():
            yield from _labelled(part, str(own), f"{name}:{own}" if name else str(own))
    elif len(splits) == 1:
        own, part = next(iter(splits.items()))
        yield from _labelled(part, split or str(own), name or str(own))
    elif splits:
        yield from _labelled(_one_split(splits, str(split), name), split, name or str(split))


def _labelled(part: object, split: str | None, name: str) -> Iterator[Row]:
    yield from _rows(part, split) if isinstance(part, str | Path) else _from_loaded(part, split, name)


def _one_split(splits: object, wanted: str, name: str) -> Any:
    if not isinstance(splits, Mapping) or wanted not in splits:
        own = ", ".join(map(str, splits)) if isinstance(splits, Mapping) else "no named splits"
        where = name or "the given splits"
        raise InputError(f"no split {wanted!r} in {where}: it has {own}; write {wanted}=SOURCE:SPLIT with one of them")
    return splits[wanted]


def _numbered(rows: Iterable[Any], split: str | None, name: str) -> Iterator[Row]:
    for index, values in enumerate(rows):
        yield _row(split, f"{name}[{index}]", values)


def _row(split: str | None, where: str, values: object) -> Row:
    if isinstance(values, dict):
        return Row(split or "eval", where, values)
    found = f"no row in {where}: found a {type(values).__name__}; a row is an object with named fields"
    return Row(split or "eval", where, {}, values if isinstance(values, InputError) else InputError(found))


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else type(source).__name__.lower()

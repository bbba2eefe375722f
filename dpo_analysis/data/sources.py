"""Rows from every kind of source: files, ``datasets`` objects, saved folders, hub ids and rows in memory.

Rows are yielded one at a time with the place they were read from (``pairs.jsonl:12`` is line 12,
``pairs.parquet[11]`` is the row of index 11), so that every later message can name it.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dpo_analysis.data import hub
from dpo_analysis.data.file_formats import ARROW_ERRORS, READERS, refuse_repeated_columns
from dpo_analysis.errors import InputError


class Row(NamedTuple):
    """A row as it was read: its split, its place in the source and its columns, or the error instead of columns."""

    split: str
    where: str
    values: dict[str, Any]
    error: InputError | None = None


def read_rows(source: object, split: str | None = None, *, keep_broken: bool = False) -> Iterator[Row]:
    """Yield the rows of a source, one at a time.

    Args:
        source: a file (.jsonl, .ndjson, .json, .parquet, .csv, .tsv), a folder of ``Dataset.save_to_disk``, a hub id
            (``org/name`` or ``org/name:split``), a ``datasets`` object, a DataFrame, an iterable of dicts, or a
            mapping of split name to any of these.
        split: the split of the rows; None keeps the split names of the source, and ``eval`` where it names none.
        keep_broken: yield a row that cannot be read with its ``error`` and continue with the next, instead of raising.

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
        raise InputError(f"no rows in {_source_name(source)}: it is empty; give a source with at least one pair")


def _rows(source: object, split: str | None) -> Iterator[Row]:
    if isinstance(source, str | Path):
        yield from _from_path(str(source), split)
    elif isinstance(source, Mapping):
        yield from _from_splits(source, split, "")
    elif isinstance(source, pd.DataFrame):
        refuse_repeated_columns([str(name) for name in source.columns], "dataframe")
        yield from _rows_by_index(source.to_dict("records"), split, "dataframe")
    elif isinstance(source, Iterable) and not isinstance(source, bytes):
        yield from _rows_by_index(source, split, _source_name(source))
    else:
        raise InputError(
            f"no pairs in a {type(source).__name__}: this kind of object cannot be read; give a file, a folder, "
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
        yield from _from_loaded(hub.load_saved_dataset(path), split, text)
    elif path.exists():
        raise InputError(f"no pairs in {text}: it is neither a file nor a folder; give a regular file")
    elif reader is not None or not hub.looks_like_hub_id(text):
        raise InputError(f"no pairs in {text}: no such file or folder; check the path")
    else:
        name, _, hub_split = text.partition(":")
        loaded = hub.load_hub_dataset(name)
        if hub_split:
            loaded = _select_split(loaded, hub_split, name)
        yield from _from_loaded(loaded, split or hub_split or None, name)


def _from_loaded(loaded: object, split: str | None, name: str) -> Iterator[Row]:
    if isinstance(loaded, Mapping):
        yield from _from_splits(loaded, split, name)
    elif isinstance(loaded, Iterable):
        yield from _rows_by_index(_readable(loaded, name), split, name)


def _from_splits(splits: Mapping[Any, Any], split: str | None, name: str) -> Iterator[Row]:
    if split is None and len(splits) > 1:
        for split_name, rows in splits.items():
            yield from _from_split(rows, str(split_name), f"{name}:{split_name}" if name else str(split_name))
    elif len(splits) == 1:
        # The only split needs no choice, so ``split`` renames it.
        split_name, rows = next(iter(splits.items()))
        yield from _from_split(rows, split or str(split_name), name or str(split_name))
    elif splits:
        yield from _from_split(_select_split(splits, str(split), name), split, name or str(split))


def _from_split(rows: object, split: str | None, name: str) -> Iterator[Row]:
    yield from _rows(rows, split) if isinstance(rows, str | Path) else _from_loaded(rows, split, name)


def _select_split(splits: object, split: str, name: str) -> Any:
    if not isinstance(splits, Mapping) or split not in splits:
        names = ", ".join(map(str, splits)) if isinstance(splits, Mapping) else "no named splits"
        where = name or "the given splits"
        raise InputError(f"no split {split!r} in {where}: it has {names}; write {split}=SOURCE:SPLIT with one of them")
    return splits[split]


def _readable(rows: Iterable[Any], name: str) -> Iterator[Any]:
    """Yield the rows of a ``datasets`` object, which reads each from its files when it is asked for.

    Raises:
        InputError: a file is damaged, or a value is none that Python has.
    """
    try:
        yield from rows
    except ARROW_ERRORS as error:
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"unreadable data set {name}: {why}; save it again") from error


def _rows_by_index(rows: Iterable[Any], split: str | None, name: str) -> Iterator[Row]:
    for index, values in enumerate(rows):
        yield _row(split, f"{name}[{index}]", values)


def _row(split: str | None, where: str, values: object) -> Row:
    if isinstance(values, dict):
        return Row(split or "eval", where, values)
    if isinstance(values, InputError):
        return Row(split or "eval", where, {}, values)
    message = f"no row in {where}: found a {type(values).__name__}; a row is an object with named fields"
    return Row(split or "eval", where, {}, InputError(message))


def _source_name(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else type(source).__name__.lower()

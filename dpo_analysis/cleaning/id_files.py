"""The pair_ids in a file: one a line, or the column pair_id of a table that ``export`` or a page wrote."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpo_analysis.data.file_formats import MAX_LINE_BYTES, READERS
from dpo_analysis.errors import InputError

MAX_TEXT_BYTES, MAX_TABLE_BYTES = 2**28, 2**32
"""Bytes of a list of ids, and of a table with a column pair_id, that is read: ids of more than ten million pairs."""
COLUMN, LIST = "pair_id", "pair_ids"
ESCAPED = re.compile("'(?=[=+\\-@\t\r])")
"""What stands before a text that a spreadsheet would take for a formula, in tables that ``export`` writes."""


def read_pair_ids(path: str | Path) -> list[str]:
    """Return the distinct pair_ids in a file, in its order.

    A .csv, .tsv, .jsonl, .ndjson or .parquet file has a column pair_id; so has the table of a .json file, which may
    also be a list of ids, or an object with a list ``pair_ids``. Any other file has an id a line; blank lines and lines
    that begin with ``#`` are left out.

    Raises:
        InputError: there is no such file, it is too large, has no ids, or cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no pair_ids in {file}: there is no such file; give a file with a pair_id a line")
    is_table = file.suffix.lower() in READERS
    most = MAX_TABLE_BYTES if is_table else MAX_TEXT_BYTES
    if file.stat().st_size > most:
        raise InputError(f"file too large in {file}: over {most >> 20} MiB of pair_ids; give a list of ids alone")
    try:
        ids = list(dict.fromkeys(_ids_of_table(file) if is_table else _ids_of_text(file)))
    except OSError as error:
        raise InputError(f"unreadable pair_ids in {file}: {error.strerror or error}; give another file") from error
    if not ids:
        raise InputError(f"no pair_ids in {file}: it is empty; give a file with a pair_id a line")
    return ids


def _ids_of_text(file: Path) -> Iterator[str]:
    with file.open("rb") as handle:
        number = 0
        while line := handle.readline(MAX_LINE_BYTES):
            number += 1
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise InputError(f"bad text in {file}:{number}: not UTF-8; save the file as UTF-8") from error
            if text and not text.startswith("#"):
                yield text


def _ids_of_table(file: Path) -> Iterator[str]:
    ending = file.suffix.lower()
    if ending == ".parquet":
        yield from _ids_of_parquet(file)
        return
    for where, row in READERS[ending](file):
        if isinstance(row, InputError):
            raise row
        found = _ids_of_row(row)
        if not found or not all(isinstance(item, str) for item in found):
            raise InputError(f"no pair_id in {where}: a row needs it as a text; take it from the pair table")
        yield from (ESCAPED.sub("", item, count=1) if ending in (".csv", ".tsv") else item for item in found)


def _ids_of_row(row: Any) -> list[Any]:
    """Return the ids that a row of a table names: itself, its column pair_id, or its list."""
    if isinstance(row, dict):
        row = row.get(COLUMN, row.get(LIST))
    return row if isinstance(row, list) else [row]


def _ids_of_parquet(file: Path) -> Iterator[str]:
    try:
        with pq.ParquetFile(file) as table:
            if COLUMN not in table.schema_arrow.names:
                raise InputError(f"no column pair_id in {file}: take it from the pair table")
            for batch in table.iter_batches(columns=[COLUMN]):
                for item in batch.column(0).to_pylist():
                    if not isinstance(item, str):
                        raise InputError(f"no pair_id in {file}: a row needs it as a text; take it from the pair table")
                    yield item
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"unreadable Parquet in {file}: {error}; write the file again") from error

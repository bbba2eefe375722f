"""Readers of the file formats that hold rows; ``READERS`` at the end maps file endings to them.

Each reader yields (where, row), one row at a time. Where one row is broken and the next can still be read, the error is
yielded in the row's place, so that a caller can report all broken rows at once; an error that ends the reading is
raised. Every error names the file and the line.
"""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import parse_json as parse_bounded

MAX_LINE_BYTES = 16 * 2**20
MAX_JSON_BYTES = 2**30
MAX_JSON_VALUES = 32_000_000
"""Values of a .json file, estimated by its commas, of which long texts have one in 60 bytes."""
BATCH_ROWS = 256
ARROW_ERRORS = (
    pa.ArrowException,
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    MemoryError,
    TypeError,
    RuntimeError,
)
"""What pyarrow raises for a file that it cannot read, and for dates and times that Python does not have."""
BOM = b"\xef\xbb\xbf"


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a JSON Lines file; blank lines and a byte order mark are skipped, a broken line is named."""
    with path.open("rb") as handle:
        number = 0
        # Bounded, so that a file without line ends is refused rather than read into memory.
        while line := handle.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > MAX_LINE_BYTES:
                raise InputError(f"line too long in {where}: over {MAX_LINE_BYTES >> 20} MiB; split or shorten the row")
            line = line.removeprefix(BOM) if number == 1 else line
            if line.strip():
                yield where, _result_or_error(parse_json, line, where)


def read_json(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a JSON file: an array of objects, also under ``data``; columns; one object; or JSON Lines."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"file too large in {path}: over {MAX_JSON_BYTES >> 30} GiB of JSON; save it as .jsonl")
    data = path.read_bytes().removeprefix(BOM)
    if not data.strip():
        return
    if data.lstrip()[:1] == b"{" and _is_json_lines(data):
        yield from read_jsonl(path)
        return
    value = parse_json(data, str(path))
    rows = value if isinstance(value, list) else _rows_from_columns(value, path)
    for index, row in enumerate(rows):
        yield f"{path}[{index}]", row


def _is_json_lines(data: bytes) -> bool:
    """Return whether the first of several lines is a complete JSON value, as only in JSON Lines."""
    first, _, rest = data.strip().partition(b"\n")
    if not rest:
        return False
    try:
        parse_bounded(first)
    except ValueError:
        return False
    return True


def _rows_from_columns(value: Any, path: Path) -> list[Any]:
    """Return the rows of an object of columns, or under the key ``data``; any other value is the only row."""
    columns = value if isinstance(value, dict) else {}
    rows = columns.get("data")
    if isinstance(rows, list) and rows and sum(isinstance(cells, list) for cells in columns.values()) == 1:
        return rows
    chosen = columns.get("chosen")
    # A list of objects under ``chosen`` is the conversation of a single row, not a column.
    if not isinstance(chosen, list) or any(isinstance(item, dict) for item in chosen):
        return [value]
    lengths = {name: len(cells) if isinstance(cells, list) else None for name, cells in columns.items()}
    if set(lengths.values()) != {len(chosen)}:
        raise InputError(f"uneven columns in {path}: lengths {lengths}; every column needs one value a row")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def parse_json(data: bytes, where: str) -> Any:
    """Parse a JSON value; NaN and Infinity become null.

    Raises:
        InputError: broken JSON, bytes that are not UTF-8, a repeated key, nesting too deep or a number too long; names
            ``where``.
    """
    try:
        return parse_bounded(
            data,
            most_values=MAX_JSON_VALUES,
            constant=lambda _: None,
            object_hook=_object_without_repeated_keys,
        )
    except UnicodeDecodeError as error:
        raise InputError(f"bad text in {where}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(f"broken JSON in {where}: {_json_error_text(error)}; mend or remove that row") from error
    except ValueError as error:
        raise InputError(f"bad JSON in {where}: {error}; mend or remove that row") from error


def _json_error_text(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc.rstrip()):
        return "it ends too early, as if it were cut off"
    place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
    return f"{error.msg.removesuffix(' at')} at {place}"


def _result_or_error(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of ``read``, or the ``InputError`` that it raises."""
    try:
        return read(*arguments)
    except InputError as error:
        return error


def _object_without_repeated_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(items)
    if len(values) < len(items):
        names = [name for name, _ in items]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r} is given twice")
    return values


def read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a Parquet file, read in batches of ``BATCH_ROWS``."""
    index = 0
    try:
        with pq.ParquetFile(path) as file:
            refuse_repeated_columns(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for row in batch.to_pylist():
                    yield f"{path}[{index}]", row
                    index += 1
    except ARROW_ERRORS as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"unreadable Parquet in {path}: {why}; write the file again") from error


def read_csv(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a CSV or TSV file with a header line; every cell stays a string."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle, delimiter=delimiter, strict=True)
        line = 1
        try:
            header = next(reader, [])
            refuse_repeated_columns(header, str(path))
            # A quoted cell may hold line ends: a record is named by its first line, the reader counts its last.
            line = reader.line_num + 1
            for cells in reader:
                where = f"{path}:{line}"
                line = reader.line_num + 1
                if cells:
                    yield where, _result_or_error(_csv_record, header, cells, where)
        except UnicodeDecodeError as error:
            raise InputError(f"bad text in {path}:{line}: not UTF-8; save the file as UTF-8") from error
        except csv.Error as error:
            raise InputError(f"broken CSV in {path}:{line}: {error}; mend that row") from error


def refuse_repeated_columns(names: list[str], where: str) -> None:
    """Check that no two columns have one name: a row would keep the last of them in silence.

    Raises:
        InputError: two have; the message names the column and ``where``.
    """
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two columns {repeated[:80]!r} in {where}: which is meant is not clear; rename or remove one")


def _csv_record(header: list[str], cells: list[str], where: str) -> dict[str, str]:
    if len(cells) != len(header):
        raise InputError(
            f"broken CSV in {where}: {len(cells)} cells under {len(header)} columns; quote cells that hold commas"
        )
    return dict(zip(header, cells, strict=True))


READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".tsv": read_csv,
}

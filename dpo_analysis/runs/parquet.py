"""Parquet files of a run folder, written and read with checksummed pages.

Each file has a label in its schema metadata: the run, model and part that it belongs to.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dpo_analysis.errors import StorageError
from dpo_analysis.runs.safe_files import open_inside

ROW_GROUP = 64
"""Rows of a row group: the least that is read of a part, for instance to show the tokens of a single pair."""
READ_ERRORS = (
    pa.ArrowException,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
    MemoryError,
    TypeError,
    RuntimeError,
)
"""The exceptions that pyarrow raises for bytes that are no whole Parquet file."""
NO_THREAD = "Failed to launch worker thread"
"""How pyarrow says that the memory for another thread is not there."""


def parquet_bytes(table: pa.Table, label: Mapping[str, str], row_group: int = ROW_GROUP) -> pa.Buffer:
    """Return ``table`` as a Parquet file whose schema metadata holds ``label``; equal tables give equal bytes."""
    table = table.replace_schema_metadata({key: label[key] for key in sorted(label)})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=row_group,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        use_byte_stream_split=_float_columns(table.schema),  # pyright: ignore[reportArgumentType]  # takes a list, too
        write_page_checksum=True,
    )
    return sink.getvalue()


def _float_columns(table_schema: pa.Schema) -> list[str]:
    """Return the Parquet paths of the columns of floats and of lists of floats."""
    paths = []
    for field in table_schema:
        if pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
            paths.append(f"{field.name}.list.element")
        elif pa.types.is_floating(field.type):
            paths.append(field.name)
    return paths


def read_label(root: Path, relative: str) -> tuple[dict[str, str], int]:
    """Return the label and the number of rows of a Parquet file, read from its footer alone.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: the file is damaged.
    """
    with open_inside(root, relative) as handle:
        try:
            footer = pq.read_metadata(handle)
            return _decode_label(footer.metadata), footer.num_rows
        except READ_ERRORS as error:
            raise damaged(root, relative, error) from error


def read_table(
    root: Path,
    relative: str,
    table_schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    label: Mapping[str, str] | None = None,
    rows: Collection[int] | None = None,
) -> pa.Table:
    """Return the columns of ``table_schema`` from a Parquet file; every page is checked against its checksum.

    Columns of the file that the schema does not have are ignored; a nullable column that the file lacks is null.

    Args:
        root: the run folder.
        relative: the path of the file in it.
        table_schema: names, order and types of the result.
        columns: return only these columns, in this order.
        label: entries that the label of the file must have, so that no part of another run is taken for one of this.
        rows: read only the row groups that may hold one of these values of the column ``row``; the result has all
            rows of those groups.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: the file is damaged, or it belongs to another run or model.
    """
    result_schema = pa.schema([table_schema.field(name) for name in columns]) if columns is not None else table_schema
    with open_inside(root, relative) as handle:
        try:
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
            file_label = _decode_label(parquet.schema_arrow.metadata)
            present = [name for name in result_schema.names if name in parquet.schema_arrow.names]
            groups = _row_groups(parquet, rows)
            table = parquet.read_row_groups(groups, columns=present, use_threads=False)
            n_rows = sum(parquet.metadata.row_group(group).num_rows for group in groups)
            table = _with_schema(table, n_rows, result_schema)
        except READ_ERRORS as error:
            raise damaged(root, relative, error) from error
    check_label(root, relative, file_label, label or {})
    return table


def _row_groups(parquet: pq.ParquetFile, rows: Collection[int] | None) -> list[int]:
    """Return the row groups that may hold one of ``rows``; all of them for None, or without a column ``row``."""
    groups = list(range(parquet.metadata.num_row_groups))
    if rows is None or "row" not in parquet.schema_arrow.names:
        return groups
    column = parquet.schema_arrow.get_field_index("row")
    matching = []
    for group in groups:
        bounds = parquet.metadata.row_group(group).column(column).statistics
        if bounds is None or not bounds.has_min_max or any(bounds.min <= row <= bounds.max for row in rows):
            matching.append(group)
    return matching


def _with_schema(table: pa.Table, n_rows: int, result_schema: pa.Schema) -> pa.Table:
    """Return the columns of ``result_schema``, cast to its types; nulls for a nullable column that is missing."""
    columns = []
    for field in result_schema:
        if field.name in table.column_names:
            column = table.column(field.name)
            columns.append(column if column.type == field.type else column.cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(n_rows, field.type))
        else:
            raise ValueError(f"no column {field.name!r}")
    return pa.table(columns, schema=result_schema)


def has_label(root: Path, relative: str, label: Mapping[str, str]) -> bool:
    """Return whether a file exists, its footer is whole, and its label has every entry of ``label``."""
    try:
        file_label, _ = read_label(root, relative)
    except (FileNotFoundError, StorageError):
        return False
    return all(file_label.get(key) == value for key, value in label.items())


def check_label(root: Path, relative: str, file_label: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Check that the label of a file has every expected entry.

    Raises:
        StorageError: the file belongs to another run, model or part.
    """
    wrong = [key for key in expected if file_label.get(key) != expected[key]]
    if wrong:
        raise StorageError(
            f"{root / relative} does not belong here: its {wrong[0]} is {str(file_label.get(wrong[0]))[:12]!r}, not "
            f"{expected[wrong[0]][:12]!r}; delete this file and score again"
        )


def damaged(root: Path, relative: str, error: BaseException) -> StorageError:
    """Return the error for a Parquet file that cannot be read, as a single line.

    A file for which memory does not suffice is not called damaged: nobody should delete it for that. A damaged footer
    may ask for any amount, so that it can be either.
    """
    reason = " ".join(str(error).split())[:120]
    if isinstance(error, MemoryError) or NO_THREAD in reason:
        return StorageError(
            f"not enough memory to read {root / relative}: close other programs or raise the limit (ulimit -v); if "
            "that changes nothing, take the file from where it was made"
        )
    return StorageError(f"damaged {root / relative}: {reason}; delete this file and run the same score command again")


def _decode_label(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    pairs = (metadata or {}).items()
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in pairs}

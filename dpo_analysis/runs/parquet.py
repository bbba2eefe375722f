"""Tables of a run folder as Parquet bytes, and back: checksummed pages, known columns only, labelled with their run."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dpo_analysis.errors import StorageError
from dpo_analysis.runs.safe_files import open_inside

ROW_GROUP = 64
"""Rows of a row group: what is read from a part to show the tokens of one pair."""
UNREADABLE = (
    pa.ArrowException,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
    MemoryError,
    TypeError,
    RuntimeError,
)
"""What pyarrow raises for bytes that are no whole Parquet file."""


def to_bytes(table: pa.Table, label: Mapping[str, str], row_group: int = ROW_GROUP) -> pa.Buffer:
    """``table`` as one Parquet file whose schema metadata holds ``label``; the same table gives the same bytes."""
    table = table.replace_schema_metadata({key: label[key] for key in sorted(label)})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=row_group,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        use_byte_stream_split=_float_columns(table.schema),  # pyright: ignore[reportArgumentType]
        write_page_checksum=True,
    )
    return sink.getvalue()


def _float_columns(table_schema: pa.Schema) -> list[str]:
    paths = []
    for field in table_schema:
        if pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
            paths.append(f"{field.name}.list.element")
        elif pa.types.is_floating(field.type):
            paths.append(field.name)
    return paths


def read_label(root: Path, relative: str) -> tuple[dict[str, str], int]:
    """The label and the number of rows of one Parquet file, from its footer alone.

    Raises:
        FileNotFoundError: there is none.
        StorageError: it is damaged.
    """
    with open_inside(root, relative) as handle:
        try:
            footer = pq.read_metadata(handle)
            return _label(footer.metadata), footer.num_rows
        except UNREADABLE as error:
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
    """Read the known columns of one Parquet file, every page against its checksum.

    Columns that the schema does not know are ignored; an optional one that is missing is null.

    Args:
        root: the run folder.
        relative: the file in it.
        table_schema: names, order and types of the result.
        columns: only these, in this order.
        label: what must stand in the file's metadata, so that no part of another run is taken for ours.
        rows: only row groups that may hold one of these values of the column ``row``; others may come with them.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it is damaged, or it belongs to another run or model.
    """
    wanted = pa.schema([table_schema.field(name) for name in columns]) if columns is not None else table_schema
    with open_inside(root, relative) as handle:
        try:
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
            found = _label(parquet.schema_arrow.metadata)
            present = [name for name in wanted.names if name in parquet.schema_arrow.names]
            groups = _groups(parquet, rows)
            table = parquet.read_row_groups(groups, columns=present, use_threads=False)
            n_rows = sum(parquet.metadata.row_group(group).num_rows for group in groups)
            table = _complete(table, n_rows, wanted)
        except UNREADABLE as error:
            raise damaged(root, relative, error) from error
    check_label(root, relative, found, label or {})
    return table


def _groups(parquet: pq.ParquetFile, rows: Collection[int] | None) -> list[int]:
    """The row groups that may hold one of ``rows``; all of them where that is not asked or not known."""
    whole = list(range(parquet.metadata.num_row_groups))
    if rows is None or "row" not in parquet.schema_arrow.names:
        return whole
    place = parquet.schema_arrow.get_field_index("row")
    found = []
    for group in whole:
        bounds = parquet.metadata.row_group(group).column(place).statistics
        if bounds is None or not bounds.has_min_max or any(bounds.min <= row <= bounds.max for row in rows):
            found.append(group)
    return found


def _complete(table: pa.Table, n_rows: int, wanted: pa.Schema) -> pa.Table:
    columns = []
    for field in wanted:
        if field.name in table.column_names:
            column = table.column(field.name)
            columns.append(column if column.type == field.type else column.cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(n_rows, field.type))
        else:
            raise ValueError(f"no column {field.name!r}")
    return pa.table(columns, schema=wanted)


def is_labelled(root: Path, relative: str, label: Mapping[str, str]) -> bool:
    """Whether a file is there, with a whole footer that has every entry of ``label``."""
    try:
        found, _ = read_label(root, relative)
    except (FileNotFoundError, StorageError):
        return False
    return all(found.get(key) == value for key, value in label.items())


def check_label(root: Path, relative: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Pass when every expected entry stands in the file's label.

    Raises:
        StorageError: it belongs to another run, model or place.
    """
    wrong = [key for key in expected if found.get(key) != expected[key]]
    if wrong:
        raise StorageError(
            f"{root / relative} does not belong here: its {wrong[0]} is {str(found.get(wrong[0]))[:12]!r}, not "
            f"{expected[wrong[0]][:12]!r}; delete this file and score again"
        )


def damaged(root: Path, relative: str, error: BaseException) -> StorageError:
    """The one line for a Parquet file that cannot be read."""
    reason = " ".join(str(error).split())[:120]
    return StorageError(f"damaged {root / relative}: {reason}; delete this file and run the same score command again")


def _label(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    pairs = (metadata or {}).items()
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in pairs}

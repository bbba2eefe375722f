"""Rows of a source in TRL's format: by the columns that the user names, a config beside the file, or their shape."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from dpo_analysis.data.config_rows import llamafactory_converter
from dpo_analysis.data.file_formats import parse_json
from dpo_analysis.data.shapes.columns import parse_columns, read_by_columns
from dpo_analysis.data.shapes.json_values import json_value
from dpo_analysis.data.shapes.pairing import check_pairing
from dpo_analysis.data.shapes.registry import find_shape, refusal
from dpo_analysis.data.shapes.shape import Reading, Result, Shape, Values
from dpo_analysis.data.sources import Row
from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import MAX_DEPTH, is_deeper

DATASET_INFO = "dataset_info.json"
MAX_INFO_BYTES = 4 * 2**20
"""Bytes of a dataset_info.json that is read: LLaMA-Factory's has 20 kB."""
MAX_ROWS_WITHOUT_SHAPE = 100
"""Rows at the beginning of a source after which it is refused as a whole, if none of them has a known shape."""
Converter = Callable[[Values, str], dict[str, Any]]


class ShapeReader:
    """Reads rows by the columns and the pairing that a user chose, and keeps the shape of the row before.

    Raises:
        InputError: the columns or the pairing are none.
    """

    def __init__(self, columns: str | Mapping[str, str] | None = None, pairing: str = "best-worst") -> None:
        """Take the arguments of ``load_pairs``."""
        self._columns = parse_columns(columns)
        check_pairing(pairing)
        self._pairing = pairing
        self._shape: Shape | None = None
        self._convert: Converter | None = None

    def results(self, rows: Iterable[Row], source: object) -> Iterator[tuple[Row, Result | InputError]]:
        """Yield every row with its result, or with the error that takes its place.

        A source whose first ``MAX_ROWS_WITHOUT_SHAPE`` rows have no known shape is one error, and is read no further.

        Args:
            rows: the rows of one source.
            source: the source, beside which a dataset_info.json is looked for.
        """
        self._shape = None
        self._convert = None if self._columns else _converter_beside(source)
        without_shape: list[Row] = []
        remaining = iter(rows)
        for row in remaining:
            if row.error is None:
                row = _with_json_values(row)
            if row.error is not None or self._has_shape(row):
                yield from ((odd, refusal(odd.values, odd.where, whole=False)) for odd in without_shape)
                rest = (_with_json_values(item) for item in remaining)
                yield from ((item, self._result(item)) for item in chain([row], rest))
                return
            without_shape.append(row)
            if len(without_shape) == MAX_ROWS_WITHOUT_SHAPE:
                break
        if without_shape:
            first = without_shape[0]
            yield first, refusal(first.values, first.where, whole=True)

    def read(self, values: Values, where: str) -> Result:
        """Return a row in TRL's format.

        Raises:
            InputError: it has no known shape, or is a bad row of its shape.
        """
        if self._columns is not None:
            return read_by_columns(values, where, self._columns)
        if self._convert is not None:
            return Result((self._convert(values, where),), Reading(DATASET_INFO, (DATASET_INFO,), "chosen", "rejected"))
        shape = find_shape(values, self._shape)
        if shape is None:
            raise refusal(values, where, whole=False)
        self._shape = shape
        return shape.read(values, where, self._pairing)

    def _has_shape(self, row: Row) -> bool:
        return self._columns is not None or self._convert is not None or find_shape(row.values) is not None

    def _result(self, row: Row) -> Result | InputError:
        if row.error is not None:
            return row.error
        try:
            return self.read(row.values, row.where)
        except InputError as error:
            return error


def _with_json_values(row: Row) -> Row:
    """Return the row with values that JSON can hold; with an error where they nest deeper than any row."""
    if row.error is None and is_deeper(row.values):
        why = f"bad row in {row.where}: nested deeper than {MAX_DEPTH} levels; mend or remove that row"
        return row._replace(values={}, error=InputError(why))
    return Row(row.split, row.where, {str(name): json_value(value) for name, value in row.values.items()}, row.error)


def _converter_beside(source: object) -> Converter | None:
    """Return how LLaMA-Factory reads a file that a dataset_info.json beside it lists as preference pairs.

    Raises:
        InputError: that file is broken, or its entry cannot be followed.
    """
    if not isinstance(source, str | Path) or not Path(source).is_file():
        return None
    path = Path(source)
    info = path.with_name(DATASET_INFO)
    if path.name == DATASET_INFO or not info.is_file() or info.stat().st_size > MAX_INFO_BYTES:
        return None
    entries = parse_json(info.read_bytes(), str(info))
    for entry in entries.values() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and entry.get("file_name") == path.name and entry.get("ranking") is True:
            return llamafactory_converter(str(path), entry)
    return None

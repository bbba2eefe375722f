"""Write tables to Parquet, CSV or JSON lines; a file appears whole or not at all.

Spreadsheets execute text that looks like a formula, and these tables hold text that a model wrote: in CSV every text
and every line of a text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return is prefixed with ``'``.
Numbers are not changed.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpo_analysis.arrays.pair_quantities import LossSettings
from dpo_analysis.arrays.selection import Names, choose_models, name_list
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run, atomic_file
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.run import NOISE_FILE, VOCAB_FILE
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.tables.pairs import pair_table
from dpo_analysis.tables.positions import position_table
from dpo_analysis.tables.responses import response_table
from dpo_analysis.tables.steps import step_table
from dpo_analysis.tables.tokens import TOKEN_COLUMNS, token_parts
from dpo_analysis.text.spreadsheet_cells import harmless_cell

QUOTED_OR_ROW_END = re.compile(r'("(?:[^"]|"")*")|\r\n')
CHUNK_ROWS = 50_000
"""Rows of a CSV or JSON lines file that are written at once."""
TABLES = ("token", "response", "pair", "step", "position")
SOURCE_ROWS = "pairs"
"""What the command calls the source rows of the pairs, which are no table: ``cleaning`` writes them."""
TOKEN_TABLES = ("token", "position")
"""Tables that a run without tokens does not have."""
ADDED_COLUMNS = {"pair": ("beta", "loss_type", "row", "source"), "response": ("beta",), "step": ("beta", "loss_type")}
"""Columns of an exported table that the table in memory lacks; source is the source row as JSON text."""
Writer = Callable[[BinaryIO, Iterable[pd.DataFrame]], int]
"""Open file, the pieces of a table -> number of rows written."""


def export_run(
    run: Run,
    table: str,
    to: str | Path,
    *,
    beta: float | None = None,
    loss_type: str | None = None,
    series: Names = None,
    model: Names = None,
    pair_id: Names = None,
) -> int:
    """Write a table of ``run`` to a file and return its number of rows.

    The sha256 of every file that the table depends on is checked first. ``ADDED_COLUMNS`` come after the columns of the
    table in memory, so that the file states the beta and the loss of its numbers.

    Args:
        run: an open run.
        table: token, response, pair, step or position; columns and units as in ``schema``.
        to: FILE.parquet, FILE.csv or FILE.jsonl.
        beta: None for the beta of each series.
        loss_type: None for the loss of each series.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        pair_id: only these pairs; not for tables of means over pairs.

    Raises:
        InputError: no such table, nothing in the run has such a name, or such a file cannot be written.
        StorageError: the run is damaged, or the disk is full or refuses.
    """
    run.check_pairs("export")
    writer, settings = _writer_for(to), LossSettings(beta, loss_type)
    frames = _frames(run, table, settings, {"series": series, "model": model}, pair_id)
    return _write((_with_added_columns(frame, run, table, settings) for frame in frames), Path(to), writer)


def export_table(frame: pd.DataFrame, path: str | Path) -> int:
    """Write a table to FILE.parquet, FILE.csv or FILE.jsonl and return its number of rows.

    Missing values are empty in CSV and null elsewhere. Outside Parquet bytes are hexadecimal with the prefix ``0x``.

    Raises:
        InputError: another ending, or the folder does not exist.
        StorageError: the disk is full or refuses.
    """
    return _write(iter([frame]), Path(path), _writer_for(path))


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as CSV (UTF-8) for a download, without text that a spreadsheet would take for a formula."""
    buffer = BytesIO()
    _write_csv(buffer, [frame])
    return buffer.getvalue()


def _frames(
    run: Run, table: str, settings: LossSettings, selected: dict[str, Names], pair_id: Names
) -> Iterator[pd.DataFrame]:
    """Return the rows of a table, the token table in pieces; at least one piece."""
    if table not in TABLES:
        raise InputError(
            f"no table {table!r}: there is {', '.join(TABLES)}, where pair has the numbers of a pair under a policy, "
            f"and {SOURCE_ROWS}, the rows of your data; give one of these"
        )
    if table in TOKEN_TABLES and not run.has_tokens:
        raise InputError(
            f"no tokens in run {run.path}: it was imported from sums, so there is no {table} table; score the models, "
            f"or export one of {', '.join(name for name in TABLES if name not in TOKEN_TABLES)}"
        )
    settings.check(run)
    run.check_files(files_of_table(run, table, choose_models(run, **selected)))
    for name in name_list(pair_id):
        find_pair(run, name)
    if table == "token":
        pieces = token_parts(run, pair_id=pair_id, beta=settings.beta, **selected)
        yield next(pieces, pd.DataFrame(columns=TOKEN_COLUMNS))
        yield from pieces
        return
    if pair_id is not None and table in ("step", "position"):
        raise InputError(f"no pair in the {table} table: its rows are means over pairs; leave --pair out")
    frame = _whole_table(run, table, settings, **selected)
    yield frame if pair_id is None else frame[frame["pair_id"].isin(name_list(pair_id))]


def _whole_table(run: Run, table: str, settings: LossSettings, series: Names, model: Names) -> pd.DataFrame:
    beta, loss_type = settings
    if table == "pair":
        return pair_table(run, beta=beta, loss_type=loss_type, series=series, model=model)
    if table == "response":
        return response_table(run, beta=beta, series=series, model=model)
    if table == "step":
        return step_table(run, beta=beta, loss_type=loss_type, series=series, model=model)
    return position_table(run, beta=beta, series=series, model=model)


def files_of_table(run: Run, table: str, policies: list[Model]) -> list[str]:
    """Return the files that a table depends on, of those with a sha256 in the run."""
    owners = {scores_folder(model).removeprefix("scores/") for model in (run.reference, *policies)}
    first = ("pairs", "responses", VOCAB_FILE if table == "token" else NOISE_FILE)
    # The kind of evidence or of summary comes before the model that it belongs to.
    prefix = re.compile("scores/|evidence/[^/]+/" if table == "token" else "scores/|summary/[^/]+/")
    files = [path for path in run.hashes if path.partition("/")[0] in first]
    for path in run.hashes:
        match = prefix.match(path)
        rest = path[match.end() :] if match else ""
        if rest.rpartition("/")[0] in owners or rest.removesuffix(".parquet") in owners:
            files.append(path)
    return files


def _with_added_columns(frame: pd.DataFrame, run: Run, table: str, settings: LossSettings) -> pd.DataFrame:
    """Return the frame with the ``ADDED_COLUMNS`` of its table."""
    losses = {name: settings.loss_of(series) for name, series in run.series.items()}
    by_series: dict[str, dict[str, Any]] = {
        "beta": {name: settings.beta_of(series) for name, series in run.series.items()},
        "loss_type": {name: loss if isinstance(loss, str) else json.dumps(loss) for name, loss in losses.items()},
    }
    added = {
        name: frame["series"].map(by_series[name]) if name in by_series else frame["pair_id"].map(_by_pair(run, name))
        for name in ADDED_COLUMNS.get(table, ())
    }
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1) if added else frame


def _by_pair(run: Run, column: str) -> dict[str, Any]:
    """Return a column of the pairs by pair_id."""
    pairs = run.pairs(columns=["pair_id", column])
    return dict(zip(pairs["pair_id"].to_pylist(), pairs[column].to_pylist(), strict=True))


def _writer_for(path: str | Path) -> Writer:
    """Return the writer of a file by its ending; raises before anything is computed if it cannot be written."""
    ending, folder = Path(path).suffix.lower(), Path(path).parent
    if ending not in WRITERS:
        raise InputError(f"no way to write {path}: its name must end in {', '.join(WRITERS)}; choose one")
    if not folder.is_dir() or Path(path).is_dir():
        why = "that is a folder" if folder.is_dir() else f"there is no folder {folder}"
        raise InputError(f"no way to write {path}: {why}; name a file in a folder that exists")
    return WRITERS[ending]


def _write(frames: Iterator[pd.DataFrame], path: Path, writer: Writer) -> int:
    # The first piece is computed before the file is begun, so that an error leaves nothing behind.
    first = next(frames)
    with atomic_file(path, point="export") as handle:
        return writer(handle, chain([first], frames))


def _write_csv(handle: BinaryIO, frames: Iterable[pd.DataFrame]) -> int:
    rows = 0
    for index, frame in enumerate(_chunks(frames)):
        handle.write(_csv_text(_without_formulas(frame), has_header=index == 0).encode("utf-8", "replace"))
        rows += len(frame)
    return rows


def _csv_text(frame: pd.DataFrame, *, has_header: bool) -> str:
    text = frame.to_csv(index=False, header=has_header, lineterminator="\n")
    if "\r" not in text:
        return text
    # Only what stands in the end of a row is quoted in a cell: a bare carriage return would end the row for a reader.
    text = frame.to_csv(index=False, header=has_header, lineterminator="\r\n")
    return QUOTED_OR_ROW_END.sub(lambda match: match[1] or "\n", text)


def _write_jsonl(handle: BinaryIO, frames: Iterable[pd.DataFrame]) -> int:
    rows = 0
    for frame in _chunks(frames):
        text = _with_hex_bytes(frame).to_json(orient="records", lines=True, force_ascii=False, double_precision=15)
        handle.write((text or "").encode("utf-8", "replace"))
        rows += len(frame)
    return rows


def _write_parquet(handle: BinaryIO, frames: Iterable[pd.DataFrame]) -> int:
    pieces = iter(frames)
    first = next(pieces)
    rows, schema = 0, _schema(first)
    with pq.ParquetWriter(handle, schema, compression="zstd") as writer:
        for frame in chain([first], pieces):
            table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
            writer.write_table(table.replace_schema_metadata())
            rows += len(frame)
    return rows


def _chunks(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for frame in frames:
        for start in range(0, max(1, len(frame)), CHUNK_ROWS):
            yield frame.iloc[start : start + CHUNK_ROWS]


def _schema(frame: pd.DataFrame) -> pa.Schema:
    """Return the types of a table, which are the same for each of its pieces, whatever is missing in it."""
    return pa.schema([(str(name), _arrow_type(str(name), frame[name].dtype)) for name in frame.columns])


def _arrow_type(name: str, dtype: object) -> pa.DataType:
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return pa.from_numpy_dtype(dtype)
    if isinstance(dtype, pd.Int64Dtype):
        return pa.int64()
    return pa.binary() if name == "token_bytes" else pa.string()


def _with_hex_bytes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with token_bytes, if it has them, as hexadecimal text."""
    if "token_bytes" not in frame.columns:
        return frame
    texts = [None if content is None else f"0x{content.hex()}" for content in frame["token_bytes"]]
    return frame.assign(token_bytes=pd.Series(texts, index=frame.index, dtype=object))


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without text that a spreadsheet would take for a formula, also in the column names."""
    frame = _with_hex_bytes(frame)
    texts = {name: frame[name].map(harmless_cell) for name in frame.columns if _is_text(frame[name].dtype)}
    return frame.assign(**texts).rename(columns=harmless_cell)


def _is_text(dtype: object) -> bool:
    return not (isinstance(dtype, pd.Int64Dtype) or (isinstance(dtype, np.dtype) and dtype.kind in "fiub"))


WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}

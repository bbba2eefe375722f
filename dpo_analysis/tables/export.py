"""Tables as files: Parquet, CSV or JSON lines; each appears whole or not at all.

Spreadsheets run what begins like a formula, and these tables hold text that a model wrote: in CSV every text that
begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets a ``'`` in front. Numbers are never touched.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpo_analysis.arrays.pair_quantities import Setting
from dpo_analysis.arrays.selection import Names, choose_models, names
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run, atomic_file
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.run import NOISE, VOCAB
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.tables.pairs import pair_table, position_table, response_table, step_table
from dpo_analysis.tables.tokens import TOKEN_COLUMNS, token_parts

FORMULA = re.compile("[=+\\-@\t\r]")
CHUNK_ROWS = 50_000
TABLES = ("token", "response", "pair", "step", "position")
OF_TOKENS = ("token", "position")
"""Tables that a run without tokens does not have."""
ADDED = {"pair": ("beta", "loss_type", "row", "source"), "response": ("beta",), "step": ("beta", "loss_type")}
"""What an exported table has besides the columns of the table in memory; source is the row as JSON text."""


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
    """Write one of the tables of ``run`` to ``to``, and return its number of rows.

    Every file that the table is made from is read whole first, and compared with the sha256 that the run has of it.
    ``ADDED`` columns stand behind the table's own, so that a file tells by itself what its numbers were made with.

    Args:
        run: an open run.
        table: token, response, pair, step or position.
        to: FILE.parquet, FILE.csv or FILE.jsonl.
        beta: None for each series' own.
        loss_type: None for each series' own.
        series: only these.
        model: only these, NAME or SERIES/NAME.
        pair_id: only these; not for tables of means over pairs.

    Raises:
        InputError: no such table, nothing in the run is called so, or no way to write such a file.
        StorageError: the run is damaged, or the disk is full or refuses.
    """
    writer, setting = _writer(to), Setting(beta, loss_type)
    frames = _frames(run, table, setting, {"series": series, "model": model}, pair_id)
    return _write((_described(frame, run, table, setting) for frame in frames), Path(to), writer)


def export_table(frame: pd.DataFrame, path: str | Path) -> int:
    """Write a table to FILE.parquet, FILE.csv or FILE.jsonl, and return its number of rows.

    Missing values are empty in CSV and null elsewhere. Bytes are hexadecimal with ``0x`` in front, but in Parquet.

    Raises:
        InputError: another ending, or no folder to write into.
        StorageError: the disk is full or refuses.
    """
    writer = _writer(path)
    return _write(iter([frame]), Path(path), writer)


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV (UTF-8), with no text in it that a spreadsheet would take for a formula; for a download."""
    buffer = BytesIO()
    _write_csv(buffer, [frame])
    return buffer.getvalue()


def _frames(run: Run, table: str, setting: Setting, chosen: dict[str, Names], pair_id: Names) -> Iterator[pd.DataFrame]:
    """The rows of a table, in pieces where it is the token table; at least one piece."""
    if table not in TABLES:
        raise InputError(f"no table {table!r}: there is {', '.join(TABLES)}; give one of these")
    if table in OF_TOKENS and not run.has_tokens:
        raise InputError(
            f"no tokens in run {run.path}: it was imported from sums, so there is no {table} table; score the models, "
            f"or export one of {', '.join(name for name in TABLES if name not in OF_TOKENS)}"
        )
    setting.check(run)
    beta, loss = setting.beta, {"loss_type": setting.loss_type}
    run.check_files(_made_from(run, table, choose_models(run, **chosen)))
    for one in names(pair_id):
        find_pair(run, one)
    if table == "token":
        pieces = token_parts(run, pair_id=pair_id, beta=beta, **chosen)
        yield next(pieces, pd.DataFrame(columns=TOKEN_COLUMNS))
        yield from pieces
    elif table in ("pair", "response"):
        frame = (
            pair_table(run, beta=beta, **loss, **chosen)
            if table == "pair"
            else response_table(run, beta=beta, **chosen)
        )
        yield frame if pair_id is None else frame[frame["pair_id"].isin(names(pair_id))]
    elif pair_id is not None:
        raise InputError(f"no pair in the {table} table: its rows are means over pairs; leave --pair out")
    else:
        yield (
            step_table(run, beta=beta, **loss, **chosen)
            if table == "step"
            else position_table(run, beta=beta, **chosen)
        )


def _made_from(run: Run, table: str, policies: list[Model]) -> list[str]:
    """The files that a table is made from, of those that the run has the sha256 of."""
    owners = {scores_folder(model).removeprefix("scores/") for model in (run.reference, *policies)}
    first = ("pairs", "responses", VOCAB if table == "token" else NOISE)
    # The kind of evidence or of summary stands before the model that it belongs to.
    prefix = re.compile("scores/|evidence/[^/]+/" if table == "token" else "scores/|summary/[^/]+/")
    found = [path for path in run.hashes if path.partition("/")[0] in first]
    for path in run.hashes:
        own = prefix.match(path)
        rest = path[own.end() :] if own else ""
        if rest.rpartition("/")[0] in owners or rest.removesuffix(".parquet") in owners:
            found.append(path)
    return found


def _described(frame: pd.DataFrame, run: Run, table: str, setting: Setting) -> pd.DataFrame:
    """The frame with the columns that ``ADDED`` names for its table."""
    losses = {name: setting.loss_of(one) for name, one in run.series.items()}
    made: dict[str, dict[str, object]] = {
        "beta": {name: setting.beta_of(one) for name, one in run.series.items()},
        "loss_type": {name: one if isinstance(one, str) else json.dumps(one) for name, one in losses.items()},
    }
    added = {
        name: frame["series"].map(made[name]) if name in made else frame["pair_id"].map(_by_pair(run, name))
        for name in ADDED.get(table, ())
    }
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1) if added else frame


def _by_pair(run: Run, column: str) -> dict[str, object]:
    pairs = run.pairs(columns=["pair_id", column])
    return dict(zip(pairs["pair_id"].to_pylist(), pairs[column].to_pylist(), strict=True))


def _writer(path: str | Path) -> Callable[[BinaryIO, Iterable[pd.DataFrame]], int]:
    """How to write the file, before anything is computed."""
    ending, folder = Path(path).suffix.lower(), Path(path).parent
    if ending not in WRITERS:
        raise InputError(f"no way to write {path}: its name must end in {', '.join(WRITERS)}; choose one")
    if not folder.is_dir() or Path(path).is_dir():
        what = "that is a folder" if folder.is_dir() else f"there is no folder {folder}"
        raise InputError(f"no way to write {path}: {what}; name a file in a folder that exists")
    return WRITERS[ending]


def _write(
    frames: Iterator[pd.DataFrame], path: Path, writer: Callable[[BinaryIO, Iterable[pd.DataFrame]], int]
) -> int:
    # The first piece is made before the file is begun: what cannot be made leaves nothing behind.
    first = next(frames)
    with atomic_file(path, point="export") as handle:
        return writer(handle, chain([first], frames))


def _write_csv(handle: BinaryIO, frames: Iterable[pd.DataFrame]) -> int:
    rows = 0
    for place, frame in enumerate(_chunks(frames)):
        text = _spelled(frame).to_csv(index=False, header=place == 0, lineterminator="\n")
        handle.write(text.encode("utf-8", "replace"))
        rows += len(frame)
    return rows


def _write_jsonl(handle: BinaryIO, frames: Iterable[pd.DataFrame]) -> int:
    rows = 0
    for frame in _chunks(frames):
        text = _hex(frame).to_json(orient="records", lines=True, force_ascii=False, double_precision=15)
        handle.write((text or "").encode("utf-8", "replace"))
        rows += len(frame)
    return rows


def _write_parquet(handle: BinaryIO, frames: Iterable[pd.DataFrame]) -> int:
    pieces = iter(frames)
    first = next(pieces)
    rows, columns = 0, _schema(first)
    with pq.ParquetWriter(handle, columns, compression="zstd") as writer:
        for frame in chain([first], pieces):
            table = pa.Table.from_pandas(frame, schema=columns, preserve_index=False)
            writer.write_table(table.replace_schema_metadata())
            rows += len(frame)
    return rows


def _chunks(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for frame in frames:
        for start in range(0, max(1, len(frame)), CHUNK_ROWS):
            yield frame.iloc[start : start + CHUNK_ROWS]


def _schema(frame: pd.DataFrame) -> pa.Schema:
    """The same types for every piece of a table, whatever is missing in it."""
    return pa.schema([(str(name), _kind(str(name), frame[name].dtype)) for name in frame.columns])


def _kind(name: str, dtype: object) -> pa.DataType:
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return pa.from_numpy_dtype(dtype)
    if isinstance(dtype, pd.Int64Dtype):
        return pa.int64()
    return pa.binary() if name == "token_bytes" else pa.string()


def _hex(frame: pd.DataFrame) -> pd.DataFrame:
    if "token_bytes" not in frame.columns:
        return frame
    spelled = [None if content is None else f"0x{content.hex()}" for content in frame["token_bytes"]]
    return frame.assign(token_bytes=pd.Series(spelled, index=frame.index, dtype=object))


def _spelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with no text that a spreadsheet would take for a formula, column heads among them."""
    spelled = _hex(frame)
    texts = {name: spelled[name].map(_harmless) for name in spelled.columns if _is_text(spelled[name].dtype)}
    return spelled.assign(**texts).rename(columns=_harmless)


def _is_text(dtype: object) -> bool:
    return not (isinstance(dtype, pd.Int64Dtype) or (isinstance(dtype, np.dtype) and dtype.kind in "fiub"))


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


WRITERS: dict[str, Callable[[BinaryIO, Iterable[pd.DataFrame]], int]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}

"""trackio's database: an SQLite file per project with a table ``metrics``, opened without writing a byte beside it."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import LOGGED_DIGITS, parse_json
from dpo_analysis.trainer.logs.aliases import LOG_CALLS, STEP_NAMES, trl_key
from dpo_analysis.trainer.logs.curves import Curves, as_step
from dpo_analysis.trainer.logs.files import open_log, unreadable

MAGIC = b"SQLite format 3\0"
MAX_FILE = 2**30
MAX_CELL = 2**22
MAX_SECONDS = 60
INSTRUCTIONS = 100_000
"""Instructions of SQLite between two looks at the clock: a file can hold expressions that never end."""
TABLES = ("metrics", "configs")


def read(files: Sequence[Path]) -> dict[str, Curves]:
    """Return the values of the first of ``files`` by run, in the order in which they were logged.

    Raises:
        InputError: the file cannot be read, is over 1 GiB, is no database of trackio, or is damaged.
    """
    runs: dict[str, Curves] = {}
    for run, step, text in _rows(files[0], "metrics", "step", "metrics"):
        curves = runs.setdefault(run, Curves())
        values = _parsed(text)
        if values is None:
            curves.damaged += 1
            continue
        name = next((name for name in STEP_NAMES if as_step(values.get(name)) is not None), "_step")
        record = {trl_key(key): value for key, value in values.items()}
        curves.add_record(record, values.get(name, step), counts_calls=name in LOG_CALLS)
    return runs


def config(file: Path) -> dict[str, Any]:
    """Return the config of the run that was begun last; empty where there is none. Raises what ``read`` raises."""
    found: dict[str, Any] = {}
    for _, _, text in _rows(file, "configs", "id", "config"):
        found = _parsed(text) or found
    return found


def _rows(file: Path, table: str, number: str, text: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the run and two columns of every row of a table, by id; runs of one name are told apart by their id."""
    try:
        with _database(file) as connection:
            columns = _columns(connection, table)
            if not {"id", "run_name", number, text} <= columns:
                if table == "configs":
                    return
                raise InputError(f"no training log in {file}: it is no database of trackio; name a project's .db file")
            run = "run_id" if "run_id" in columns else "run_name"
            query = f'SELECT run_name, "{run}", "{number}", "{text}" FROM "{table}" ORDER BY id'  # noqa: S608
            names: dict[Any, str] = {}
            for name, key, value, content in connection.execute(query):
                if key not in names:
                    shown = str(name)
                    names[key] = shown if shown not in names.values() else f"{shown} {str(key)[:8]}"
                yield names[key], value, content
    except (sqlite3.Error, UnicodeDecodeError) as error:  # its messages can hold bytes of the file
        raise InputError(f"damaged training log {file}: {error}; take the file from where it was made") from error


@contextmanager
def _database(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is not changed: as it is, or a copy where its newest rows are in a file beside it."""
    with open_log(file, MAX_FILE) as handle:
        if handle.read(len(MAGIC)) != MAGIC:
            raise InputError(f"no training log in {file}: it is no SQLite file; name a project's .db file of trackio")
    newest = file.with_name(f"{file.name}-wal")
    with tempfile.TemporaryDirectory(prefix="dpo-analysis-") as folder:
        opened, options = file, "mode=ro&immutable=1"
        if newest.is_file() and newest.stat().st_size:
            opened, options = Path(folder) / "copy.db", "mode=rw"
            for source, target in ((file, opened), (newest, opened.with_name("copy.db-wal"))):
                _copy(source, target)
        connection = sqlite3.connect(f"file:{quote(str(opened.resolve()))}?{options}", uri=True, isolation_level=None)
        with closing(connection):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            deadline = time.monotonic() + MAX_SECONDS
            connection.set_progress_handler(lambda: time.monotonic() > deadline, INSTRUCTIONS)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield connection


def _copy(source: Path, target: Path) -> None:
    try:
        with open_log(source, MAX_FILE) as handle, target.open("wb") as copy:
            shutil.copyfileobj(handle, copy)
    except OSError as error:
        raise unreadable(source, error) from error


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a plain table; a view, whose query could run for ever, has none."""
    kinds = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (table,)).fetchall()
    if [str(kind) for kind, _ in kinds] != ["table"] or not str(kinds[0][1]).upper().startswith("CREATE TABLE"):
        return set()
    return {str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")')}


def _parsed(text: Any) -> dict[str, Any] | None:
    try:
        value = parse_json(text, most_digits=LOGGED_DIGITS) if isinstance(text, str | bytes) else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

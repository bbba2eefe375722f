"""Training logs imported into a run folder: beside its checkpoints, or alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run, Series, stored_series
from dpo_analysis.runs.curves.log_run import write_log
from dpo_analysis.schema import CURVES_SCHEMA
from dpo_analysis.trainer.logs import log_notes, logged_config, read_log

MOST_BETA = 1e6


def read_logs(logs: Sequence[object]) -> list[pa.Table]:
    """Return the curves of every log, with the metadata of ``read_log``.

    Args:
        logs: files or folders, as ``[SERIES=]PATH``.

    Raises:
        InputError: a log cannot be read, or two logs hold the same series.
    """
    tables: list[pa.Table] = []
    names: set[str] = set()
    for log in logs:
        series, path = _series_and_path(log)
        table = read_log(path, series=series)
        added = set(table["series"].unique().to_pylist())
        if names & added:
            raise InputError(
                f"two logs of series {min(names & added)!r}: {path} is the second; name each as --log SERIES=PATH"
            )
        names |= added
        facts = {"given_path": str(path), "given_series": series or ""}
        tables.append(table.replace_schema_metadata({**(table.schema.metadata or {}), **facts}))
    return tables


def import_logs(tables: Sequence[pa.Table], out: str | Path, given: Mapping[str, Any]) -> Run:
    """Write the curves of ``read_logs`` into a run folder and return the run; alone where the folder is new.

    A log without SERIES= that is added to a run of one series becomes the log of that series.

    Args:
        tables: the curves.
        out: the run folder.
        given: ``beta`` and ``loss_type`` as far as they are given, for series that the folder has not.

    Raises:
        InputError: the run has no series of such a name, or ``out`` is no run folder.
        StorageError: the folder cannot be written.
    """
    known = stored_series(out)
    tables = [_renamed(table, list(known)) for table in tables]
    events = [_event(table) for table in tables]
    series = [
        Series(name, start="unknown", **{**_logged_settings(table), **given})
        for table in tables
        for name in table["series"].unique().to_pylist()
    ]
    curves = pa.concat_tables([table.select(CURVES_SCHEMA.names).cast(CURVES_SCHEMA) for table in tables])
    return write_log(out, curves, series, events)


def _series_and_path(log: object) -> tuple[str | None, Path]:
    """Return the series and the path of ``[SERIES=]PATH``; a path that exists may hold an equals sign."""
    if isinstance(log, str) and "=" in log and not Path(log).exists():
        series, _, path = log.partition("=")
        if series:
            return series, Path(path)
    return None, Path(str(log))


def _renamed(table: pa.Table, known: Sequence[str]) -> pa.Table:
    """Return the table under the only series of a run, where its own series is not in the run and was not given."""
    names = table["series"].unique().to_pylist()
    if len(known) != 1 or len(names) != 1 or names[0] == known[0] or _fact(table, b"given_series"):
        return table
    column = pa.repeat(known[0], table.num_rows)
    return table.set_column(table.column_names.index("series"), CURVES_SCHEMA.field("series"), column)


def _event(table: pa.Table) -> dict[str, Any]:
    """Return what log.jsonl keeps about a log."""
    return {
        "log": _fact(table, b"source"),
        "kind": _fact(table, b"kind"),
        "series": table["series"].unique().to_pylist(),
        "values": table.num_rows,
        "last_step": max(table["step"].to_pylist()),
        "notes": log_notes(table),
    }


def _logged_settings(table: pa.Table) -> dict[str, Any]:
    """Return beta and loss type as the log, or the logs of its folder, say them; empty where they do not."""
    config = logged_config(_fact(table, b"given_path"))
    beta, loss = config.get("beta"), config.get("loss_type")
    if isinstance(loss, list) and len(loss) == 1:
        loss = loss[0]
    settings: dict[str, Any] = {}
    if isinstance(beta, int | float) and not isinstance(beta, bool) and 0 < beta < MOST_BETA:
        settings["beta"] = float(beta)
    if isinstance(loss, str) and loss:
        settings["loss_type"] = loss
    return settings


def _fact(table: pa.Table, name: bytes) -> str:
    return (table.schema.metadata or {}).get(name, b"").decode()

"""Summaries in the run folder: what tables and pages add up, written when a part is scored, merged when all are.

A summary says in its label which bytes it sums up; one that is missing, damaged or of other bytes is made from the
parts themselves, so that nothing depends on it but time.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import StorageError
from dpo_analysis.runs import digest
from dpo_analysis.runs.columns import is_labelled, read_table
from dpo_analysis.runs.parts import part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run

SUMS, PROFILE = "summary/sums", "summary/profile"
INPUTS = "summary/inputs.parquet"
SCHEMAS = {SUMS: schema.SUMS_SCHEMA, PROFILE: schema.PROFILE_SCHEMA}
ROW_GROUP = 65_536
"""Rows of a row group of a merged summary: it is always read whole."""


def part_file(kind: str, model: Model, index: int) -> str:
    """The summary of one part of one model; ``kind`` is ``SUMS`` or ``PROFILE``."""
    return part_path(_folder(kind, model), index)


def merged_file(kind: str, model: Model) -> str:
    """The summary of a whole model."""
    return f"{_folder(kind, model)}.parquet"


def part_tables(scores: pa.Table, inputs: pa.Table) -> dict[str, pa.Table]:
    """The summaries of one part by kind, from its scores and its pairs (``INPUTS_SCHEMA``)."""
    sums = digest.sums_of(scores)
    return {SUMS: sums, PROFILE: digest.profile_of(scores, inputs, sums)}


def read_inputs(run: Run) -> pa.Table:
    """Pairs, statuses and lengths of all parts that are present, in ``INPUTS_SCHEMA``.

    Raises:
        StorageError: a part is damaged.
    """
    expected = inputs_label(run)
    if expected is not None:
        table = _read(run, INPUTS, schema.INPUTS_SCHEMA, expected)
        if table is not None:
            return table
    tables = [_inputs(run, index) for index in range(run.n_parts)]
    return pa.concat_tables([schema.INPUTS_SCHEMA.empty_table(), *tables])


def read_summary(run: Run, kind: str, model: Model) -> pa.Table:
    """The summary of the parts of ``model`` that are present.

    Raises:
        StorageError: a part of its scores is damaged.
    """
    done = run.parts_done(model)
    expected = merged_label(run, model)
    if expected is not None and len(done) == run.n_parts:
        table = _read(run, merged_file(kind, model), SCHEMAS[kind], expected)
        if table is not None:
            return table
    return _joined(kind, [_part(run, kind, model, index) for index in done])


def inputs_label(run: Run, hashes: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """What must stand in the label of the summary of pairs and responses; None while parts are missing."""
    paths = [part_path(folder, index) for folder in ("pairs", "responses") for index in range(run.n_parts)]
    return _label(run, paths, hashes)


def merged_label(run: Run, model: Model, hashes: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """What must stand in the label of a merged summary of ``model``; None while parts are missing."""
    paths = [part_path(scores_folder(model), index) for index in range(run.n_parts)]
    label = _label(run, paths, hashes)
    return None if label is None else label | {"model": model.key, "weights": model.weights}


def merge(run: Run, hashes: Mapping[str, str], write: Callable[[str, pa.Table, dict[str, str]], None]) -> list[str]:
    """Write the merged summaries that are missing or out of date, and remove those of the parts.

    Args:
        run: a run of which no part is missing.
        hashes: sha256 of every part, by path.
        write: path, table, label -> the file is there.

    Returns:
        The paths written.
    """
    written = []
    wanted = inputs_label(run, hashes)
    if wanted is not None and not is_labelled(run.path, INPUTS, wanted):
        write(INPUTS, read_inputs(run), wanted)
        written.append(INPUTS)
    for model in [run.reference, *run.models]:
        wanted = merged_label(run, model, hashes)
        for kind in SCHEMAS if wanted is not None else ():
            path = merged_file(kind, model)
            if not is_labelled(run.path, path, wanted):
                tables = [_part(run, kind, model, index) for index in range(run.n_parts)]
                write(path, _joined(kind, tables), wanted)
                written.append(path)
            for index in range(run.n_parts):
                (run.path / part_file(kind, model, index)).unlink(missing_ok=True)
    return written


def drop(root: Path, model: Model, missing: list[int]) -> None:
    """Remove what sums up parts of ``model`` that are missing, before they are scored (again)."""
    for kind in SCHEMAS if missing else ():
        for path in [merged_file(kind, model), *(part_file(kind, model, index) for index in missing)]:
            (root / path).unlink(missing_ok=True)


def _folder(kind: str, model: Model) -> str:
    return kind + scores_folder(model).removeprefix("scores")


def _label(run: Run, paths: list[str], hashes: Mapping[str, str] | None) -> dict[str, str] | None:
    known = run.hashes if hashes is None else hashes
    if any(path not in known for path in paths):
        return None
    joined = "".join(known[path] for path in paths)
    return {"identity": run.identity_hash, "of": hashlib.sha256(joined.encode()).hexdigest()}


def _read(run: Run, path: str, table_schema: pa.Schema, label: Mapping[str, str]) -> pa.Table | None:
    """A summary; None where there is none to trust: ``verify`` tells of it, and the parts say the same."""
    try:
        return read_table(run.path, path, table_schema, label=label)
    except (FileNotFoundError, StorageError):
        return None


def _part(run: Run, kind: str, model: Model, index: int) -> pa.Table:
    expected = {"identity": run.identity_hash, "model": model.key, "weights": model.weights, "part": str(index)}
    scored = run.hashes.get(part_path(scores_folder(model), index))
    if scored is not None:
        expected["of"] = scored
    table = _read(run, part_file(kind, model, index), SCHEMAS[kind], expected)
    if table is not None:
        return table
    scores = run.scores(model, index, columns=digest.SCORE_COLUMNS)
    if kind == SUMS:
        return digest.sums_of(scores)
    return digest.profile_of(scores, _inputs(run, index), digest.sums_of(scores))


def _inputs(run: Run, index: int) -> pa.Table:
    pairs = run.pairs(index, columns=["row", "pair_id", "group_id", "split", "status"])
    return digest.inputs_of(pairs, run.responses(index, columns=["row", "side", "token_ids"]))


def _joined(kind: str, tables: list[pa.Table]) -> pa.Table:
    if kind == PROFILE:
        return digest.joined_profiles(tables)
    return pa.concat_tables([SCHEMAS[kind].empty_table(), *tables])

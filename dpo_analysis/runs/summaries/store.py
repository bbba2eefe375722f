"""Summaries in the run folder: what tables and pages add up, written when a part is scored, merged when all are.

A summary says in its label which bytes it sums up; one that is missing, damaged or of other bytes is made from the
parts themselves, so that nothing depends on it but time.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import StorageError
from dpo_analysis.runs.parquet import is_labelled, read_table
from dpo_analysis.runs.parts import part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.summaries import pair_facts, pair_sums, region_sums
from dpo_analysis.text.token_types import Entries

SUMS, PROFILE, CELLS, ENTRIES = "summary/sums", "summary/profile", "summary/cells", "summary/entries"
INPUTS, FACTS = "summary/inputs.parquet", "summary/facts.parquet"
SCHEMAS = {
    SUMS: schema.SUMS_SCHEMA,
    PROFILE: schema.PROFILE_SCHEMA,
    CELLS: schema.CELLS_SCHEMA,
    ENTRIES: schema.ENTRIES_SCHEMA,
}
PAIRS = {INPUTS: schema.INPUTS_SCHEMA, FACTS: schema.FACTS_SCHEMA}
"""Summaries of pairs and responses, whatever the model."""
ROW_GROUP = 65_536
"""Rows of a row group of a merged summary: it is always read whole."""


def part_file(kind: str, model: Model, index: int) -> str:
    """The summary of one part of one model; ``kind`` is one of ``SCHEMAS``."""
    return part_path(_folder(kind, model), index)


def merged_file(kind: str, model: Model) -> str:
    """The summary of a whole model."""
    return f"{_folder(kind, model)}.parquet"


def part_tables(scores: pa.Table, inputs: pa.Table, responses: pa.Table, entries: Entries) -> dict[str, pa.Table]:
    """The summaries of one part by kind, from its scores, its pairs (``INPUTS_SCHEMA``) and its responses."""
    sums, tokens = pair_sums.sums_of(scores), region_sums.tokens_of(responses, entries)
    return {
        SUMS: sums,
        PROFILE: pair_sums.profile_of(scores, inputs, sums),
        CELLS: region_sums.cells_of(scores, tokens),
        ENTRIES: region_sums.entries_of(scores, tokens, inputs, pair_sums.whole_rows(sums)),
    }


def read_inputs(run: Run) -> pa.Table:
    """Pairs, statuses and lengths of all parts that are present, in ``INPUTS_SCHEMA``.

    Raises:
        StorageError: a part is damaged.
    """
    return _read_pairs(run, INPUTS, None)


def read_rows(run: Run) -> pa.Table:
    """pair_id and row of every pair; errors as ``read_inputs``."""
    names, expected = ["pair_id", "row"], inputs_label(run)
    table = None if expected is None else _read(run, INPUTS, PAIRS[INPUTS], expected | rules_of(INPUTS), names)
    return run.pairs(columns=names) if table is None else table


def read_facts(run: Run, columns: Sequence[str] | None = None) -> pa.Table:
    """What is known of every pair before any model has seen it, in ``FACTS_SCHEMA``; errors as ``read_inputs``."""
    return _read_pairs(run, FACTS, columns)


def read_summary(run: Run, kind: str, model: Model) -> pa.Table:
    """The summary of the parts of ``model`` that are present.

    Raises:
        StorageError: a part of its scores is damaged.
    """
    done = run.parts_done(model)
    expected = merged_label(run, model)
    if expected is not None and len(done) == run.n_parts:
        table = _read(run, merged_file(kind, model), SCHEMAS[kind], expected | rules_of(kind))
        if table is not None:
            return table
    return _joined(kind, _parts(run, kind, model, done))


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
    for path in PAIRS if wanted is not None else ():
        label = (wanted or {}) | rules_of(path)
        if not is_labelled(run.path, path, label):
            write(path, _read_pairs(run, path, None), label)
            written.append(path)
    for model in [run.reference, *run.models]:
        wanted = merged_label(run, model, hashes)
        for kind in SCHEMAS if wanted is not None else ():
            path = merged_file(kind, model)
            label = (wanted or {}) | rules_of(kind)
            if not is_labelled(run.path, path, label):
                write(path, _joined(kind, _parts(run, kind, model, range(run.n_parts))), label)
                written.append(path)
            for index in range(run.n_parts):
                (run.path / part_file(kind, model, index)).unlink(missing_ok=True)
    return written


def rules_of(kind: str) -> dict[str, str]:
    """What stands in the label of a summary besides where it comes from: the rules that it was cut by, if any."""
    return region_sums.RULES if kind in (CELLS, FACTS) else {}


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


def _read_pairs(run: Run, path: str, columns: Sequence[str] | None) -> pa.Table:
    expected = inputs_label(run)
    if expected is not None:
        table = _read(run, path, PAIRS[path], expected | rules_of(path), columns)
        if table is not None:
            return table
    entries = Entries.of(run.vocab()) if path == FACTS else None
    tables = [_inputs(run, index) if entries is None else _facts(run, index, entries) for index in range(run.n_parts)]
    whole = pa.concat_tables([PAIRS[path].empty_table(), *tables])
    return whole if columns is None else whole.select(columns)


def _read(
    run: Run, path: str, table_schema: pa.Schema, label: Mapping[str, str], columns: Sequence[str] | None = None
) -> pa.Table | None:
    """A summary; None where there is none to trust: ``verify`` tells of it, and the parts say the same."""
    try:
        return read_table(run.path, path, table_schema, columns=columns, label=label)
    except (FileNotFoundError, StorageError):
        return None


def _parts(run: Run, kind: str, model: Model, indices: Iterable[int]) -> list[pa.Table]:
    """The summaries of some parts, each as it is stored, or made from the scores."""
    tables, entries = [], None
    for index in indices:
        table = _stored(run, kind, model, index)
        if table is None:
            entries = entries or Entries.of(run.vocab() if kind in (CELLS, ENTRIES) else None)
            table = _made(run, kind, model, index, entries)
        tables.append(table)
    return tables


def _stored(run: Run, kind: str, model: Model, index: int) -> pa.Table | None:
    expected = {"identity": run.identity_hash, "model": model.key, "weights": model.weights, "part": str(index)}
    scored = run.hashes.get(part_path(scores_folder(model), index))
    if scored is not None:
        expected["of"] = scored
    return _read(run, part_file(kind, model, index), SCHEMAS[kind], expected | rules_of(kind))


def _made(run: Run, kind: str, model: Model, index: int, entries: Entries) -> pa.Table:
    scores = run.scores(model, index, columns=pair_sums.SCORE_COLUMNS)
    if kind == SUMS:
        return pair_sums.sums_of(scores)
    if kind == PROFILE:
        return pair_sums.profile_of(scores, _inputs(run, index), pair_sums.sums_of(scores))
    tokens = region_sums.tokens_of(run.responses(index, columns=region_sums.RESPONSE_COLUMNS), entries)
    if kind == CELLS:
        return region_sums.cells_of(scores, tokens)
    return region_sums.entries_of(scores, tokens, _inputs(run, index), pair_sums.whole_rows(pair_sums.sums_of(scores)))


def _inputs(run: Run, index: int) -> pa.Table:
    pairs = run.pairs(index, columns=["row", "pair_id", "group_id", "split", "status"])
    return pair_sums.inputs_of(pairs, run.responses(index, columns=["row", "side", "token_ids"]))


def _facts(run: Run, index: int, entries: Entries) -> pa.Table:
    pairs = run.pairs(index, columns=pair_facts.PAIR_COLUMNS)
    return pair_facts.facts_of(pairs, run.responses(index, columns=pair_facts.RESPONSE_COLUMNS), entries)


def _joined(kind: str, tables: list[pa.Table]) -> pa.Table:
    keys = KEYS.get(kind)
    return (
        pa.concat_tables([SCHEMAS[kind].empty_table(), *tables])
        if keys is None
        else pair_sums.joined(tables, keys, SCHEMAS[kind])
    )


KEYS = {PROFILE: ("split", "side", "position"), ENTRIES: ("split", "side", "token_id")}
"""What the sums of several parts are added up by; the other kinds have one line per pair."""

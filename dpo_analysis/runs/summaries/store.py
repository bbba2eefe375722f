"""Summaries in the run folder: sums that tables and pages need, written with each scored part, merged at the end.

The label of a summary names the bytes that it sums up. A summary that is missing, damaged or of other bytes is made
from the parts themselves, so that a summary saves time and changes no result.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from dpo_analysis import schema
from dpo_analysis.errors import StorageError
from dpo_analysis.runs.parquet import has_label, read_table
from dpo_analysis.runs.parts import part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.summaries import pair_facts, pair_sums, region_sums
from dpo_analysis.text.token_types import TokenTypes

PAIR_SUMS, POSITION_SUMS = "summary/sums", "summary/profile"
REGION_SUMS, VOCABULARY_SUMS = "summary/cells", "summary/entries"
MODEL_SUMMARIES = {
    PAIR_SUMS: schema.PAIR_SUMS_SCHEMA,
    POSITION_SUMS: schema.POSITION_SUMS_SCHEMA,
    REGION_SUMS: schema.REGION_SUMS_SCHEMA,
    VOCABULARY_SUMS: schema.VOCABULARY_SUMS_SCHEMA,
}
"""The schema of each kind of summary of a model; the kind is its folder."""
ADDED_UP_BY = {POSITION_SUMS: ("split", "side", "position"), VOCABULARY_SUMS: ("split", "side", "token_id")}
"""The keys by which the sums of several parts are added up; the summaries of other kinds have a row per pair."""
PAIR_INDEX, PAIR_FACTS = "summary/inputs.parquet", "summary/facts.parquet"
PAIR_SUMMARIES = {PAIR_INDEX: schema.PAIR_INDEX_SCHEMA, PAIR_FACTS: schema.PAIR_FACTS_SCHEMA}
"""The schema of each summary of pairs and responses, which depends on no model; the key is its file."""
ROW_GROUP = 65_536
"""Rows of a row group of a merged summary: it is always read whole."""


def part_summary_path(kind: str, model: Model, index: int) -> str:
    """Return the path of a summary of part ``index`` of ``model``; ``kind`` is a key of ``MODEL_SUMMARIES``."""
    return part_path(_summary_folder(kind, model), index)


def model_summary_path(kind: str, model: Model) -> str:
    """Return the path of a summary of all parts of ``model``; ``kind`` is a key of ``MODEL_SUMMARIES``."""
    return f"{_summary_folder(kind, model)}.parquet"


def part_summaries(
    scores: pa.Table, pair_index: pa.Table, responses: pa.Table, token_types: TokenTypes
) -> dict[str, pa.Table]:
    """Return the summaries of a part of a model by kind.

    Args:
        scores: the scores of the part, ``SCORES_SCHEMA``.
        pair_index: its pairs, ``PAIR_INDEX_SCHEMA``.
        responses: its responses, ``RESPONSES_SCHEMA``.
        token_types: the types of all entries of the vocabulary.
    """
    sums, tokens = pair_sums.sum_by_pair(scores), region_sums.pair_tokens(responses, token_types)
    rows = pair_sums.finite_rows(sums)
    return {
        PAIR_SUMS: sums,
        POSITION_SUMS: pair_sums.sum_by_position(scores, pair_index, sums),
        REGION_SUMS: region_sums.sum_by_region(scores, tokens),
        VOCABULARY_SUMS: region_sums.sum_by_vocabulary_entry(scores, tokens, pair_index, rows),
    }


def read_pair_index(run: Run) -> pa.Table:
    """Return the pairs of all parts that are present, with the lengths of their responses, in ``PAIR_INDEX_SCHEMA``.

    Raises:
        StorageError: a part is damaged.
    """
    return _read_pair_summary(run, PAIR_INDEX, None)


def read_pair_rows(run: Run) -> pa.Table:
    """Return pair_id and row of all pairs that are present.

    Raises:
        StorageError: a part is damaged.
    """
    columns, label = ["pair_id", "row"], pair_label(run)
    table = None if label is None else _read_valid(run, PAIR_INDEX, PAIR_SUMMARIES[PAIR_INDEX], label, columns)
    return run.pairs(columns=columns) if table is None else table


def read_pair_facts(run: Run, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the facts of all pairs that are present that depend on no model, in ``PAIR_FACTS_SCHEMA``.

    Raises:
        StorageError: a part is damaged.
    """
    return _read_pair_summary(run, PAIR_FACTS, columns)


def read_summary(run: Run, kind: str, model: Model) -> pa.Table:
    """Return a summary of the parts of ``model`` that are present.

    Args:
        run: an open run.
        kind: a key of ``MODEL_SUMMARIES``, whose value is the schema of the result.
        model: a model of the run.

    Raises:
        StorageError: a part of its scores is damaged.
    """
    present = run.parts_done(model)
    label = model_label(run, model)
    if label is not None and len(present) == run.n_parts:
        table = _read_valid(run, model_summary_path(kind, model), MODEL_SUMMARIES[kind], label | rules_label(kind))
        if table is not None:
            return table
    return _merge_parts(kind, _part_tables(run, kind, model, present))


def pair_label(run: Run, hashes: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """Return the label of a valid summary of pairs and responses; None while parts are missing.

    Args:
        run: the run.
        hashes: sha256 of the files by path; those of the manifest where None.
    """
    paths = (part_path(folder, index) for folder in ("pairs", "responses") for index in range(run.n_parts))
    return _label(run, paths, hashes)


def model_label(run: Run, model: Model, hashes: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """Return the label of a valid summary of all parts of ``model``, as ``pair_label`` does."""
    paths = (part_path(scores_folder(model), index) for index in range(run.n_parts))
    label = _label(run, paths, hashes)
    return None if label is None else label | {"model": model.key, "weights": model.weights}


def merge_summaries(
    run: Run, hashes: Mapping[str, str], write: Callable[[str, pa.Table, dict[str, str]], None]
) -> list[str]:
    """Write the merged summaries that are missing or out of date, and remove those of the parts.

    Args:
        run: a run of which no part is missing.
        hashes: sha256 of every part, by path.
        write: writes a table to a path with a label.

    Returns:
        The paths that were written.
    """
    written = []
    label = pair_label(run, hashes)
    for path in PAIR_SUMMARIES if label is not None else ():
        expected = (label or {}) | rules_label(path)
        if not has_label(run.path, path, expected):
            write(path, _read_pair_summary(run, path, None), expected)
            written.append(path)
    for model in [run.reference, *run.models]:
        label = model_label(run, model, hashes)
        for kind in MODEL_SUMMARIES if label is not None else ():
            path = model_summary_path(kind, model)
            expected = (label or {}) | rules_label(kind)
            if not has_label(run.path, path, expected):
                write(path, _merge_parts(kind, _part_tables(run, kind, model, range(run.n_parts))), expected)
                written.append(path)
            for index in range(run.n_parts):
                (run.path / part_summary_path(kind, model, index)).unlink(missing_ok=True)
    return written


def rules_label(kind: str) -> dict[str, str]:
    """Return the entries of a summary's label that name the version of the rules that it depends on, if any."""
    return region_sums.RULES_LABEL if kind in (REGION_SUMS, PAIR_FACTS) else {}


def remove_summaries(root: Path, model: Model, missing: list[int]) -> None:
    """Remove the summaries of the ``missing`` parts of ``model``, and its merged ones, before the parts are scored."""
    for kind in MODEL_SUMMARIES if missing else ():
        for path in [model_summary_path(kind, model), *(part_summary_path(kind, model, index) for index in missing)]:
            (root / path).unlink(missing_ok=True)


def _summary_folder(kind: str, model: Model) -> str:
    return kind + scores_folder(model).removeprefix("scores")


def _label(run: Run, paths: Iterable[str], hashes: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the label of a table made from these files: the run's identity and a hash of their hashes."""
    by_path = run.hashes if hashes is None else hashes
    joined = hashlib.sha256()
    for path in paths:
        if path not in by_path:
            return None
        joined.update(by_path[path].encode())
    return {"identity": run.identity_hash, "of": joined.hexdigest()}


def _read_pair_summary(run: Run, path: str, columns: Sequence[str] | None) -> pa.Table:
    """Return a summary of pairs and responses: the stored table if it is valid, else made from the parts."""
    label = pair_label(run)
    if label is not None:
        table = _read_valid(run, path, PAIR_SUMMARIES[path], label | rules_label(path), columns)
        if table is not None:
            return table
    if path == PAIR_INDEX:
        tables = [_make_pair_index(run, index) for index in run.present_parts]
    else:
        token_types = TokenTypes.of(run.vocab())
        tables = [_make_pair_facts(run, index, token_types) for index in run.present_parts]
    whole = pa.concat_tables([PAIR_SUMMARIES[path].empty_table(), *tables])
    return whole if columns is None else whole.select(columns)


def _read_valid(
    run: Run, path: str, table_schema: pa.Schema, label: Mapping[str, str], columns: Sequence[str] | None = None
) -> pa.Table | None:
    """Return a summary; None where it is missing, damaged or of other bytes, which ``verify`` reports."""
    try:
        run.check_files([path])
        return read_table(run.path, path, table_schema, columns=columns, label=label)
    except (FileNotFoundError, StorageError):
        return None


def _part_tables(run: Run, kind: str, model: Model, indices: Iterable[int]) -> list[pa.Table]:
    """Return the summary of each of these parts: the stored table if it is valid, else made from the scores."""
    tables, token_types = [], None
    for index in indices:
        table = _read_part_summary(run, kind, model, index)
        if table is None:
            vocab_is_used = kind in (REGION_SUMS, VOCABULARY_SUMS)
            token_types = token_types or TokenTypes.of(run.vocab() if vocab_is_used else None)
            table = _make_part_summary(run, kind, model, index, token_types)
        tables.append(table)
    return tables


def _read_part_summary(run: Run, kind: str, model: Model, index: int) -> pa.Table | None:
    label = {"identity": run.identity_hash, "model": model.key, "weights": model.weights, "part": str(index)}
    scores_hash = run.hashes.get(part_path(scores_folder(model), index))
    if scores_hash is not None:
        label["of"] = scores_hash
    return _read_valid(run, part_summary_path(kind, model, index), MODEL_SUMMARIES[kind], label | rules_label(kind))


def _make_part_summary(run: Run, kind: str, model: Model, index: int, token_types: TokenTypes) -> pa.Table:
    scores = run.scores(model, index, columns=pair_sums.SCORE_COLUMNS)
    if kind == PAIR_SUMS:
        return pair_sums.sum_by_pair(scores)
    if kind == POSITION_SUMS:
        return pair_sums.sum_by_position(scores, _make_pair_index(run, index), pair_sums.sum_by_pair(scores))
    tokens = region_sums.pair_tokens(run.responses(index, columns=region_sums.RESPONSE_COLUMNS), token_types)
    if kind == REGION_SUMS:
        return region_sums.sum_by_region(scores, tokens)
    rows = pair_sums.finite_rows(pair_sums.sum_by_pair(scores))
    return region_sums.sum_by_vocabulary_entry(scores, tokens, _make_pair_index(run, index), rows)


def _make_pair_index(run: Run, index: int) -> pa.Table:
    pairs = run.pairs(index, columns=["row", "pair_id", "group_id", "split", "status"])
    return pair_sums.pair_index_table(pairs, run.responses(index, columns=["row", "side", "token_ids"]))


def _make_pair_facts(run: Run, index: int, token_types: TokenTypes) -> pa.Table:
    pairs = run.pairs(index, columns=pair_facts.PAIR_COLUMNS)
    responses = run.responses(index, columns=pair_facts.RESPONSE_COLUMNS)
    return pair_facts.pair_facts_table(pairs, responses, token_types)


def _merge_parts(kind: str, tables: list[pa.Table]) -> pa.Table:
    """Return the summaries of several parts as a summary of all of them."""
    keys = ADDED_UP_BY.get(kind)
    if keys is not None:
        return pair_sums.add_up(tables, keys, MODEL_SUMMARIES[kind])
    return pa.concat_tables([MODEL_SUMMARIES[kind].empty_table(), *tables])

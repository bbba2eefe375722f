"""A run folder made from summed log-probs: which model is the reference, and the scores that are written."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.data.pairs import split_and_source
from dpo_analysis.errors import InputError
from dpo_analysis.imported.arrays import is_arrays, read_arrays
from dpo_analysis.imported.imported_sums import THE_REFERENCE, ImportedModel, ImportedSums
from dpo_analysis.imported.logs import import_logs, read_logs
from dpo_analysis.imported.long_tables import read_long_table
from dpo_analysis.imported.pairs import make_pairs, pairs_sha256
from dpo_analysis.runs import Model, Part, Run, RunWriter, Series, open_run
from dpo_analysis.runs.checksums import removed_if_failed
from dpo_analysis.runs.manifest import canonical_json
from dpo_analysis.runs.run import IMPORTED
from dpo_analysis.schema import SCORES_SCHEMA, SIDES

MODEL_KIND = "imported"
Array = NDArray[np.float64]


def import_run(
    *tables: object,
    out: str | Path,
    beta: float | None = None,
    loss_type: str | None = None,
    series: str = "policy",
    reference_checkpoint: str | int | None = None,
    pairs: Sequence[object] | object = (),
    logs: Sequence[object] = (),
    part_size: int = 512,
) -> Run:
    """Make a run folder, or add to it, from log-probs that were summed over responses elsewhere.

    Such a run has no tokens: everything that needs sums only works, and what needs tokens says that there are none.
    Training logs alone, without tables, make a run that has their curves, and neither pairs nor models. An import that
    fails leaves no new run folder.

    Args:
        *tables: long tables (see ``imported.long_tables.read_long_table``) and arrays (see
            ``imported.arrays.read_arrays``), files as ``[SPLIT=]FILE``.
        out: the run folder; a folder that was imported from the same pairs and reference takes further policies.
        beta: the beta of the training; 0.1 where None.
        loss_type: the loss of the training; sigmoid where None.
        series: the series of policies whose rows name no series.
        reference_checkpoint: the step or the name of the checkpoint that is the reference, where training began; None
            where the tables hold a model ``reference``, or ``reference_logps``.
        pairs: the preference pairs, as for ``score``, for their texts: matched by pair_id, or by number where a table
            has ``row`` or is an array.
        logs: training logs, files or folders as ``[SERIES=]PATH`` (see ``trainer.logs.read_log``).
        part_size: rows of a part.

    Returns:
        The run, opened.

    Raises:
        InputError: a table cannot be read, there is no reference, a sum is missing, given twice or above 0, the pairs
            do not match, or ``out`` holds another run.
        StorageError: the folder cannot be written.
    """
    objective = _objective(beta, loss_type)
    curves = read_logs(logs)
    with removed_if_failed(Path(out)):
        if tables or not curves:
            _import_tables(
                tables,
                out,
                objective,
                pairs,
                series=series,
                reference_checkpoint=reference_checkpoint,
                part_size=part_size,
            )
        return import_logs(curves, out, objective) if curves else open_run(out)


def _import_tables(
    tables: Sequence[object],
    out: str | Path,
    objective: Mapping[str, Any],
    pairs: Sequence[object] | object,
    *,
    series: str,
    reference_checkpoint: str | int | None,
    part_size: int,
) -> None:
    """Write a run folder of the sums in ``tables``; arguments and errors as ``import_run``."""
    source = ", ".join(str(table) if isinstance(table, str | Path) else type(table).__name__ for table in tables)
    imported = _read_tables(tables, series, out)
    values = imported.to_array(source)
    run_pairs = make_pairs(imported.pairs, pairs)
    reference_sums, policies = _pick_reference(imported.models, values, reference_checkpoint, source)
    ids = [pair.pair.pair_id for pair in run_pairs]
    sums = {_make_model(imported.models[index], values[index], ids, source): values[index] for index in policies}
    reference = Model.reference(source=source, weights=_sums_sha256(ids, reference_sums))
    start = "unknown" if reference_checkpoint is None else "reference"
    names = dict.fromkeys(model.series for model in sums)
    identity = {"source": IMPORTED, "pairs": pairs_sha256(run_pairs), "reference": reference.weights}
    with RunWriter.open(
        out,
        identity=identity | {"part_size": part_size},
        tokenized=run_pairs,
        series=[Series(name, start=start, **objective) for name in names],
        models=[reference, *sums],
        part_size=part_size,
        explicit=objective,
    ) as writer:
        writer.log("import", tables=source, unused=imported.unused)
        _write(writer, {reference: reference_sums, **sums}, dict(zip(ids, range(len(ids)), strict=True)))


def _objective(beta: float | None, loss_type: str | None) -> dict[str, Any]:
    """Return beta and the loss type as far as they are given."""
    if beta == 0:
        raise InputError("bad beta 0: it must be above 0; give the trainer's")
    given = {"beta": beta, "loss_type": loss_type}
    return {name: value for name, value in given.items() if value is not None}


def _read_tables(tables: Sequence[object], series: str, out: str | Path) -> ImportedSums:
    if not tables:
        raise InputError(f"no tables to import into {out}: none is given; give at least one FILE, or a --log")
    sums = ImportedSums()
    for table in tables:
        split, source = split_and_source(table)
        read = read_arrays if is_arrays(source) else read_long_table
        read(source, split, series, sums)
    return sums


def _write(writer: RunWriter, sums: Mapping[Model, Array], pair_index: Mapping[str, int]) -> None:
    """Write pairs, responses and scores; ``sums`` are indexed by ``pair_index``."""
    writer.write_inputs()
    for model, values in sums.items():
        for part in writer.missing_parts(model):
            writer.write_scores(model, part, _scores_table(part, values, pair_index))
    writer.finish()


def _scores_table(part: Part, values: Array, pair_index: Mapping[str, int]) -> pa.Table:
    """Return the scores of a part in ``SCORES_SCHEMA``: sums, and no values per token.

    Args:
        part: the part.
        values: the sums of a model, nats, shape (pairs, sides).
        pair_index: the index in ``values`` of every pair, by pair_id.
    """
    rows, ids, sides = zip(*part.keys, strict=True)
    logps = values[[pair_index[pair_id] for pair_id in ids[:: len(SIDES)]]]
    finite = np.repeat(np.isfinite(logps).all(axis=1), len(SIDES))
    status = np.where(finite, np.repeat([pair.status for pair in part.pairs], len(SIDES)), "nonfinite")
    columns = {"row": rows, "pair_id": ids, "side": sides, "status": status, "logps": logps.reshape(-1)}
    filled = [columns.get(name, pa.nulls(len(rows))) for name in SCORES_SCHEMA.names]
    arrays = [pa.array(column, field.type) for column, field in zip(filled, SCORES_SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCORES_SCHEMA)


def _pick_reference(
    models: Sequence[ImportedModel], values: Array, checkpoint: str | int | None, source: str
) -> tuple[Array, list[int]]:
    """Return the sums of the reference, nats, shape (pairs, sides), and the indices of the policies."""
    if checkpoint is None:
        name = "reference"
        matches = [index for index, model in enumerate(models) if model == THE_REFERENCE]
        fix = "say which checkpoint it is (--reference-checkpoint 0), or give a model 'reference', or reference_logps"
    else:
        name = str(checkpoint)
        matches = [index for index, model in enumerate(models) if name in (model.name, model.key, str(model.step))]
        fix = f"there is {', '.join(model.key for model in models[:8])}; give one of these"
    if not matches:
        raise InputError(f"no reference in {source}: no model is called {name!r}; {fix}")
    sums = values[matches[0]]
    other = next((index for index in matches if not np.array_equal(values[index], sums, equal_nan=True)), None)
    if other is not None:
        both = f"{models[matches[0]].key} and {models[other].key}"
        raise InputError(f"two references in {source}: {both} have different numbers; import them into two folders")
    policies = [index for index, model in enumerate(models) if index not in matches and model != THE_REFERENCE]
    if not policies:
        raise InputError(f"no policies in {source}: the reference is the only model; give the checkpoints, too")
    return sums, policies


def _make_model(model: ImportedModel, values: Array, ids: Sequence[str], source: str) -> Model:
    return Model(model.series, model.name, model.step, MODEL_KIND, source, _sums_sha256(ids, values))


def _sums_sha256(ids: Sequence[str], values: Array) -> str:
    """Return the sha256 of the ids and sums of a model, which stands for the hash of its weights."""
    return hashlib.sha256(canonical_json(list(ids)) + values.astype("<f8").tobytes()).hexdigest()

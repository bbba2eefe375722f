"""Sums from elsewhere into a run folder: which model is the reference, and what is then written."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.data.pairs import split_and_source
from dpo_analysis.errors import InputError
from dpo_analysis.imported.arrays import gather_arrays, is_arrays
from dpo_analysis.imported.imported_sums import THE_REFERENCE, Gathered, Label
from dpo_analysis.imported.long_tables import gather_rows
from dpo_analysis.imported.pairs import digest, make_pairs
from dpo_analysis.runs import Model, Part, Run, RunWriter, Series, open_run
from dpo_analysis.runs.manifest import canonical
from dpo_analysis.runs.run import IMPORTED
from dpo_analysis.schema import SCORES_SCHEMA, SIDES

KIND = "imported"
Array = NDArray[np.float64]


def import_run(
    *tables: object,
    out: str | Path,
    beta: float | None = None,
    loss_type: str | None = None,
    series: str = "policy",
    reference_checkpoint: str | int | None = None,
    pairs: Sequence[object] | object = (),
    part_size: int = 512,
) -> Run:
    """Make a run folder, or add to one, from log-probs that were summed over responses elsewhere.

    Such a run has no tokens: everything that is made of sums works, and what needs tokens says that there are none.

    Args:
        *tables: long tables (see ``imported.rows.gather_rows``) and arrays (see ``imported.arrays.gather_arrays``),
            files as ``[SPLIT=]FILE``.
        out: the run folder; one that was imported from the same pairs and reference takes further policies.
        beta: the training's beta; 0.1 where None.
        loss_type: the training's loss; sigmoid where None.
        series: the series of policies whose rows name none.
        reference_checkpoint: the step or the name of the checkpoint that is the reference, where training began; None
            where the tables hold a model ``reference``, or ``reference_logps``.
        pairs: the preference pairs, as for ``score``, for their texts: by pair_id, or by place where a table has
            ``row`` or is an array.
        part_size: rows of one part.

    Returns:
        The run, opened.

    Raises:
        InputError: a table cannot be read, no reference, sums that are missing, double or above 0, pairs that do not
            fit, another run in ``out``.
        StorageError: the folder cannot be written.
    """
    named = ", ".join(str(table) if isinstance(table, str | Path) else type(table).__name__ for table in tables)
    gathered = _read(tables, series, out)
    values = gathered.table(named)
    made = make_pairs(gathered.pairs, pairs)
    reference, kept = _reference(gathered.models, values, reference_checkpoint, named)
    ids = [pair.pair.pair_id for pair in made]
    sums = {_model(gathered.models[place], values[place], ids, named): values[place] for place in kept}
    base = Model.reference(source=named, weights=_digest(ids, reference))
    said = {name: value for name, value in (("beta", beta), ("loss_type", loss_type)) if value is not None}
    start = "unknown" if reference_checkpoint is None else "reference"
    with RunWriter.open(
        out, tokenized=made, models=[base, *sums], part_size=part_size, given=said,
        series=[Series(name, start=start, **said) for name in dict.fromkeys(model.series for model in sums)],
        identity={"source": IMPORTED, "pairs": digest(made), "reference": base.weights, "part_size": part_size},
    ) as writer:  # fmt: skip
        writer.log("import", tables=named, unused=gathered.unused)
        _write(writer, {base: reference, **sums}, dict(zip(ids, range(len(ids)), strict=True)))
    return open_run(out)


def _read(tables: Sequence[object], series: str, out: str | Path) -> Gathered:
    if not tables:
        raise InputError(f"no tables to import into {out}: none is given; give at least one FILE")
    gathered = Gathered()
    for table in tables:
        split, source = split_and_source(table)
        gather = gather_arrays if is_arrays(source) else gather_rows
        gather(source, split, series, gathered)
    return gathered


def _write(writer: RunWriter, sums: Mapping[Model, Array], places: Mapping[str, int]) -> None:
    writer.write_inputs()
    for model, values in sums.items():
        for part in writer.mine(model):
            writer.write_scores(model, part, _scores(part, values, places))
    writer.finish()


def _scores(part: Part, values: Array, places: Mapping[str, int]) -> pa.Table:
    """One part of one model in ``SCORES_SCHEMA``: sums, and no tokens."""
    rows, ids, sides = zip(*part.keys, strict=True)
    own = values[[places[pair_id] for pair_id in ids[:: len(SIDES)]]]
    finite = np.repeat(np.isfinite(own).all(axis=1), len(SIDES))
    status = np.where(finite, np.repeat([pair.status for pair in part.pairs], len(SIDES)), "nonfinite")
    columns = {"row": rows, "pair_id": ids, "side": sides, "status": status, "logps": own.reshape(-1)}
    filled = [columns.get(name, pa.nulls(len(rows))) for name in SCORES_SCHEMA.names]
    arrays = [pa.array(column, field.type) for column, field in zip(filled, SCORES_SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCORES_SCHEMA)


def _reference(
    models: Sequence[Label], values: Array, checkpoint: str | int | None, named: str
) -> tuple[Array, list[int]]:
    """The reference's sums, shape (pairs, sides), and the places of the policies."""
    if checkpoint is None:
        asked = "reference"
        found = [place for place, label in enumerate(models) if label == THE_REFERENCE]
        fix = "say which checkpoint it is (--reference-checkpoint 0), or give a model 'reference', or reference_logps"
    else:
        asked = str(checkpoint)
        found = [place for place, one in enumerate(models) if asked in (one.name, one.key, str(one.step))]
        fix = f"there is {', '.join(label.key for label in models[:8])}; give one of these"
    if not found:
        raise InputError(f"no reference in {named}: no model is called {asked!r}; {fix}")
    first = values[found[0]]
    other = next((place for place in found if not np.array_equal(values[place], first, equal_nan=True)), None)
    if other is not None:
        both = f"{models[found[0]].key} and {models[other].key}"
        raise InputError(f"two references in {named}: {both} have other numbers; import them into two folders")
    kept = [place for place, label in enumerate(models) if place not in found and label != THE_REFERENCE]
    if not kept:
        raise InputError(f"no policies in {named}: the reference is the only model; give the checkpoints, too")
    return first, kept


def _model(label: Label, values: Array, ids: Sequence[str], source: str) -> Model:
    return Model(label.series, label.name, label.step, KIND, source, _digest(ids, values))


def _digest(ids: Sequence[str], values: Array) -> str:
    """The sha256 of what one model says: what stands for weights that nobody has seen."""
    return hashlib.sha256(canonical(list(ids)) + values.astype("<f8").tobytes()).hexdigest()

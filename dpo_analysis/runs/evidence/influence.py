"""Influence in the run folder: the effect of a step along the gradient of a group of pairs on some target tokens.

There is a file for each model and split; a model without files was not measured.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dpo_analysis.runs.evidence.kinds import RunFolder
from dpo_analysis.runs.manifest import canonical_json
from dpo_analysis.runs.parquet import has_label, read_label, read_table
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.safe_files import encode_name
from dpo_analysis.schema import INFLUENCE_SCHEMAS, SIDES

EFFECTS, GROUPS = "effects", "groups"


@dataclass(frozen=True, slots=True)
class Question:
    """The groups of pairs and the target tokens whose influence on a model is to be measured.

    Attributes:
        model: the key of the model, SERIES/NAME.
        split: the split of the target pairs.
        groups: the rows of the pairs of each group, by name; no pair is in two groups.
        targets: rows of target pairs, each with positions (from 0) in its chosen response.
    """

    model: str
    split: str
    groups: Mapping[str, Sequence[int]]
    targets: Sequence[tuple[int, Sequence[int]]]

    @property
    def digest(self) -> str:
        """The sha256 of all fields but the model, 64 hex digits: equal for checkpoints with the same question."""
        groups = {name: [int(row) for row in rows] for name, rows in self.groups.items()}
        targets = [[int(row), [int(position) for position in positions]] for row, positions in self.targets]
        return hashlib.sha256(canonical_json([self.split, groups, targets])).hexdigest()


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions that can be measured; ``notes`` says what cannot be measured and why, a line each."""

    questions: Sequence[Question] = ()
    notes: Sequence[str] = ()


def influence_path(kind: str, model: Model, split: str) -> str:
    """Return the path of a table, ``EFFECTS`` or ``GROUPS``, relative to the run folder."""
    return f"evidence/influence{scores_folder(model).removeprefix('scores')}/{kind}-{encode_name(split)}.parquet"


def is_answered(folder: RunFolder, model: Model, question: Question) -> bool:
    """Return whether the answer to exactly this question is stored whole."""
    label = _influence_label(model, question.split) | {"question": question.digest, "identity": folder.identity_hash}
    paths = [influence_path(kind, model, question.split) for kind in INFLUENCE_SCHEMAS]
    return all(has_label(folder.path, path, label) for path in paths)


def store_influence(folder: RunFolder, model: Model, question: Question, tables: Mapping[str, pa.Table]) -> None:
    """Write the answer to a question; it replaces an earlier answer of the model in this split.

    Args:
        folder: the run folder, open for writing.
        model: the model that was measured.
        question: the groups and targets that were measured.
        tables: a table for each kind of ``schema.INFLUENCE_SCHEMAS``.

    Raises:
        StorageError: the disk is full or refuses.
    """
    label = _influence_label(model, question.split) | {"question": question.digest}
    for kind, table_schema in INFLUENCE_SCHEMAS.items():
        folder.write_addition(influence_path(kind, model, question.split), tables[kind].cast(table_schema), label)


def answered_question(run: Run, model: Model, split: str) -> str:
    """Return the digest of the question that was measured on a model; empty where it was not measured.

    Raises:
        StorageError: the answer is damaged.
    """
    path = influence_path(EFFECTS, model, split)
    run.check_files([path])
    try:
        return read_label(run.path, path)[0].get("question", "")
    except FileNotFoundError:
        return ""


def read_influence(run: Run, kind: str, model: Model, split: str) -> pa.Table | None:
    """Return a stored table, ``EFFECTS`` or ``GROUPS``; None where the model was not measured.

    Raises:
        StorageError: the table is damaged, or of another run or other weights.
    """
    label = _influence_label(model, split) | {"identity": run.identity_hash}
    path = influence_path(kind, model, split)
    run.check_files([path])
    try:
        return read_table(run.path, path, INFLUENCE_SCHEMAS[kind], label=label)
    except FileNotFoundError:
        return None


def influence_problem(kind: str, table: pa.Table, n_rows: int) -> str:
    """Return what is wrong with a table of a run whose rows are below ``n_rows``; empty for nothing."""
    rows = table["row"].to_numpy()
    if len(rows) and not (0 <= rows.min() and rows.max() < n_rows):
        return "its rows are not those of the run"
    if kind == EFFECTS and not set(table["side"].to_pylist()) <= set(SIDES):
        return "a side that there is not"
    values = table["effect" if kind == EFFECTS else "gradient_weight"].to_numpy()
    return "" if np.isfinite(values).all() else "a value that is not finite"


def _influence_label(model: Model, split: str) -> dict[str, str]:
    return {"kind": "influence", "model": model.key, "weights": model.weights, "split": split}

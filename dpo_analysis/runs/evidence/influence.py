"""Influence in the run folder: what a step along a group's gradient does to some tokens, and what was asked.

It is an addition, one file for each model and split: absent means that nobody asked.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dpo_analysis.runs.evidence.kinds import Folder
from dpo_analysis.runs.manifest import canonical
from dpo_analysis.runs.parquet import is_labelled, read_label, read_table
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.safe_files import encode_name
from dpo_analysis.schema import INFLUENCE_SCHEMAS, SIDES

EFFECTS, GROUPS = "effects", "groups"


@dataclass(frozen=True, slots=True)
class Question:
    """Which groups of pairs move which tokens of one model?

    Attributes:
        model: SERIES/NAME.
        split: whose pairs the targets are.
        groups: the rows of the pairs of each group, by name; no pair is in two.
        targets: rows, and positions (from 0) in their chosen responses.
    """

    model: str
    split: str
    groups: Mapping[str, Sequence[int]]
    targets: Sequence[tuple[int, Sequence[int]]]

    @property
    def digest(self) -> str:
        """The sha256 of all but the model, 64 hex digits: checkpoints that were asked the same share it."""
        groups = {name: [int(row) for row in rows] for name, rows in self.groups.items()}
        targets = [[int(row), [int(one) for one in positions]] for row, positions in self.targets]
        return hashlib.sha256(canonical([self.split, groups, targets])).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be confirmed, and what cannot be and why, one line each."""

    questions: Sequence[Question] = ()
    notes: Sequence[str] = ()


def influence_path(kind: str, model: Model, split: str) -> str:
    """The file of ``EFFECTS`` or ``GROUPS``, relative to the run folder."""
    return f"evidence/influence{scores_folder(model).removeprefix('scores')}/{kind}-{encode_name(split)}.parquet"


def is_answered(folder: Folder, model: Model, question: Question) -> bool:
    """Whether the answer to just this question is stored whole."""
    wanted = _label(model, question.split) | {"question": question.digest, "identity": folder.identity_hash}
    paths = [influence_path(kind, model, question.split) for kind in INFLUENCE_SCHEMAS]
    return all(is_labelled(folder.path, path, wanted) for path in paths)


def store(folder: Folder, model: Model, question: Question, tables: Mapping[str, pa.Table]) -> None:
    """Write the answer to a question, in place of the one before.

    Args:
        folder: the run folder, open for writing.
        model: the model that was asked.
        question: what was asked.
        tables: by kind, in ``schema.INFLUENCE_SCHEMAS``.

    Raises:
        StorageError: the disk is full or refuses.
    """
    label = _label(model, question.split) | {"question": question.digest}
    for kind, table_schema in INFLUENCE_SCHEMAS.items():
        folder.put_addition(influence_path(kind, model, question.split), tables[kind].cast(table_schema), label)


def question_of(run: Run, model: Model, split: str) -> str:
    """The digest of the question that a model answered; empty where nobody asked.

    Raises:
        StorageError: the answer is damaged.
    """
    try:
        return read_label(run.path, influence_path(EFFECTS, model, split))[0].get("question", "")
    except FileNotFoundError:
        return ""


def read_influence(run: Run, kind: str, model: Model, split: str) -> pa.Table | None:
    """What is stored of ``EFFECTS`` or ``GROUPS``; None where nobody asked.

    Raises:
        StorageError: it is damaged, or of another run or other weights.
    """
    label = _label(model, split) | {"identity": run.identity_hash}
    try:
        return read_table(run.path, influence_path(kind, model, split), INFLUENCE_SCHEMAS[kind], label=label)
    except FileNotFoundError:
        return None


def problem(kind: str, table: pa.Table, n_rows: int) -> str:
    """What is wrong with such a table, in a run whose rows are below ``n_rows``; empty where nothing is."""
    rows = table["row"].to_numpy()
    if len(rows) and not (0 <= rows.min() and rows.max() < n_rows):
        return "its rows are not those of the run"
    if kind == EFFECTS and not set(table["side"].to_pylist()) <= set(SIDES):
        return "a side that there is not"
    values = table["effect" if kind == EFFECTS else "gradient_weight"].to_numpy()
    return "" if np.isfinite(values).all() else "a value that is not finite"


def _label(model: Model, split: str) -> dict[str, str]:
    return {"kind": "influence", "model": model.key, "weights": model.weights, "split": split}

"""Evidence in the run folder: what was collected of a sample of pairs beside the scores, by kind, model and part.

It is an addition: absent means not collected, more pairs may join later, and nothing else depends on it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from dpo_analysis.errors import StorageError
from dpo_analysis.runs.parquet import read_table
from dpo_analysis.runs.parts import Part, part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.schema import EVIDENCE_SCHEMAS, SCORED

if TYPE_CHECKING:
    from dpo_analysis.data.tokenization import TokenizedPair

PAIRS = 512
"""Pairs of each split that evidence is collected of, where the user says nothing."""
PER_TOKEN = {
    "topk": ("gained", "n_top"),
    "kl": ("kl_reference_policy", "kl_policy_reference", "null_variance"),
    "hidden": (),
}
"""Columns with one value per response token."""


KINDS = tuple(EVIDENCE_SCHEMAS)
"""The kinds of evidence: what the models' distributions put where, how far they are apart, and CHES."""


def evidence_folder(kind: str, model: Model) -> str:
    """Where the evidence of ``kind`` about ``model`` lies, relative to the run folder."""
    return "evidence/" + kind + scores_folder(model).removeprefix("scores")


def evidence_path(kind: str, model: Model, index: int) -> str:
    """The file of part ``index``, relative to the run folder."""
    return part_path(evidence_folder(kind, model), index)


def evidence_label(kind: str, model: Model) -> dict[str, str]:
    """What stands in the label of such a file, beside identity and part."""
    return {"kind": kind, "model": model.key, "weights": model.weights}


def draw(pair_id: str) -> bytes:
    """The place of a pair in the order in which samples are drawn: seeded, and the same in any order of the rows."""
    return hashlib.sha256(f"evidence {pair_id}".encode()).digest()


def sampled(pair_ids: Sequence[str], splits: Sequence[str], statuses: Sequence[str], count: int | None) -> np.ndarray:
    """Which pairs are in the sample: of each split the ``count`` scored pairs that come first in ``draw``'s order.

    A larger sample holds every smaller one; no sample depends on the order of the rows, on parts or on workers.

    Args:
        pair_ids: of every pair.
        splits: of every pair.
        statuses: of every pair; those that are never scored are not drawn.
        count: pairs of each split; None for all.

    Returns:
        bool, shape (pairs,).
    """
    chosen = np.zeros(len(pair_ids), dtype=bool)
    drawn: dict[str, list[tuple[bytes, int]]] = {}
    for place, (pair_id, split, status) in enumerate(zip(pair_ids, splits, statuses, strict=True)):
        if status in SCORED:
            drawn.setdefault(split, []).append((draw(pair_id), place))
    for some in drawn.values():
        chosen[[place for _, place in sorted(some)[:count]]] = True
    return chosen


def sample_rows(parts: Iterable[Part], count: int | None) -> frozenset[int]:
    """The rows of the sample of ``count`` pairs of each split; see ``sampled``."""
    planned: list[tuple[int, TokenizedPair]] = [
        (row, pair) for part in parts for row, pair in zip(part.rows, part.pairs, strict=True)
    ]
    ids, splits = [pair.pair.pair_id for _, pair in planned], [pair.pair.split for _, pair in planned]
    mask = sampled(ids, splits, [pair.status for _, pair in planned], count)
    return frozenset(row for (row, _), inside in zip(planned, mask, strict=True) if inside)


class Folder(Protocol):
    """The run folder as its writer holds it."""

    path: Path

    def log(self, event: str, **facts: object) -> None:
        """Append one fact to the log."""
        ...

    def put_addition(self, path: str, table: pa.Table, label: Mapping[str, str]) -> None:
        """Write a file whole, or anew, with this label and the run's identity."""
        ...

    @property
    def identity_hash(self) -> str:
        """The run's."""
        ...


def stored(
    folder: Folder, kind: str, model: Model, index: int, columns: Sequence[str] | None = None
) -> pa.Table | None:
    """What is stored of one part; None where nothing is, or nothing of use: a damaged file, or one of other weights."""
    path = evidence_path(kind, model, index)
    label = evidence_label(kind, model) | {"identity": folder.identity_hash, "part": str(index)}
    try:
        return read_table(folder.path, path, EVIDENCE_SCHEMAS[kind], columns=columns, label=label)
    except FileNotFoundError:
        return None
    except StorageError:
        folder.log("damaged", path=path)
        return None


def rows_stored(folder: Folder, kind: str, model: Model, index: int) -> frozenset[int]:
    """The rows of one part of which there is evidence; errors as ``stored``."""
    table = stored(folder, kind, model, index, ["row"])
    return frozenset() if table is None else frozenset(table["row"].to_pylist())


def add(folder: Folder, kind: str, model: Model, index: int, table: pa.Table) -> None:
    """Store ``table``, rows of one part in ``EVIDENCE_SCHEMAS[kind]``, beside the rows that are stored already.

    Raises:
        StorageError: the disk is full or refuses.
    """
    before = stored(folder, kind, model, index)
    if before is not None:
        new = pa.array(~np.isin(table["row"].to_numpy(), before["row"].to_numpy()))
        table = pa.concat_tables([before, table.filter(new)])
        order = np.argsort(table["row"].to_numpy(), kind="stable")
        table = table.take(pa.array(order))
    path = evidence_path(kind, model, index)
    folder.put_addition(path, table.combine_chunks(), evidence_label(kind, model) | {"part": str(index)})


def problem(kind: str, table: pa.Table, responses: pa.Table) -> str:
    """What is wrong with one part of evidence, by its responses; empty where nothing is."""
    names = ["row", "pair_id"] if kind == "hidden" else ["row", "pair_id", "side"]
    known = dict(zip(_keys(responses, names), _lengths(responses, "token_ids"), strict=True))
    keys = list(_keys(table, names))
    if not set(keys) <= known.keys() or len(set(keys)) < len(keys):
        return "its rows are not those of the responses"
    wanted = np.array([known[key] for key in keys], dtype=np.int64)
    for name in PER_TOKEN[kind]:
        found = _lengths(table, name)
        if not np.all((found == wanted) | (found < 0)):
            return f"{name} has not one value for each token"
    if kind == "topk":
        counts = np.array([sum(one or ()) for one in table["n_top"].to_pylist()], dtype=np.int64)
        for name in ("top_id", "top_logp", "top_reference_logp"):
            if not np.array_equal(np.maximum(_lengths(table, name), 0), counts):
                return f"{name} has not as many values as n_top says"
    return ""


def _keys(table: pa.Table, names: Sequence[str]) -> Iterator[tuple]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _lengths(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    return column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)

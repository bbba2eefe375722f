"""Evidence in the run folder: measurements on a sample of the pairs beside their scores, by kind, model and part.

Evidence may be missing, further pairs may be added later, and no other file depends on it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from dpo_analysis.errors import StorageError
from dpo_analysis.runs.list_columns import list_lengths
from dpo_analysis.runs.parquet import read_table
from dpo_analysis.runs.parts import Part, part_path, scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.schema import EVIDENCE_SCHEMAS, SCORED

if TYPE_CHECKING:
    from dpo_analysis.data.tokenization import TokenizedPair

DEFAULT_PAIRS = 512
"""Pairs of each split whose evidence is collected by default."""
PER_TOKEN = {
    "topk": ("gained", "n_top"),
    "kl": ("kl_reference_policy", "kl_policy_reference", "null_variance"),
    "hidden": (),
}
"""Columns with a value per response token, by kind."""
EVIDENCE_KINDS = tuple(EVIDENCE_SCHEMAS)
"""The kinds of evidence: likeliest tokens of policy and reference, their KL divergences, and hidden states (CHES)."""


def evidence_folder(kind: str, model: Model) -> str:
    """Return the folder with the evidence of ``kind`` on ``model``, relative to the run folder."""
    return "evidence/" + kind + scores_folder(model).removeprefix("scores")


def evidence_path(kind: str, model: Model, index: int) -> str:
    """Return the path of the evidence of part ``index``, relative to the run folder."""
    return part_path(evidence_folder(kind, model), index)


def evidence_label(kind: str, model: Model) -> dict[str, str]:
    """Return the label of a file of evidence, without identity and part."""
    return {"kind": kind, "model": model.key, "weights": model.weights}


def draw_key(pair_id: str) -> bytes:
    """Return a hash of the pair by which samples are drawn: a fixed seed, and independent of the order of the rows."""
    return hashlib.sha256(f"evidence {pair_id}".encode()).digest()


def sample_mask(
    pair_ids: Sequence[str], splits: Sequence[str], statuses: Sequence[str], count: int | None
) -> np.ndarray:
    """Return which pairs are in the sample: of each split the ``count`` scored pairs with the smallest ``draw_key``.

    A larger sample contains every smaller one; no sample depends on the order of the rows, on parts or on workers.

    Args:
        pair_ids: pair_id of every pair.
        splits: split of every pair.
        statuses: status of every pair; pairs that are never scored are not drawn.
        count: pairs of each split; None for all.

    Returns:
        bool, shape (pairs,).
    """
    mask = np.zeros(len(pair_ids), dtype=bool)
    by_split: dict[str, list[tuple[bytes, int]]] = {}
    for index, (pair_id, split, status) in enumerate(zip(pair_ids, splits, statuses, strict=True)):
        if status in SCORED:
            by_split.setdefault(split, []).append((draw_key(pair_id), index))
    for candidates in by_split.values():
        mask[[index for _, index in sorted(candidates)[:count]]] = True
    return mask


def sample_rows(parts: Iterable[Part], count: int | None) -> frozenset[int]:
    """Return the rows of the pairs that ``sample_mask`` selects, ``count`` of each split."""
    planned: list[tuple[int, TokenizedPair]] = [
        (row, pair) for part in parts for row, pair in zip(part.rows, part.pairs, strict=True)
    ]
    ids, splits = [pair.pair.pair_id for _, pair in planned], [pair.pair.split for _, pair in planned]
    mask = sample_mask(ids, splits, [pair.status for _, pair in planned], count)
    return frozenset(row for (row, _), selected in zip(planned, mask, strict=True) if selected)


class RunFolder(Protocol):
    """What evidence needs of a run folder that is open for writing."""

    path: Path

    def log(self, event: str, **facts: object) -> None:
        """Append an event to the log."""
        ...

    def write_addition(self, path: str, table: pa.Table, label: Mapping[str, str]) -> None:
        """Write or replace a file; its label is ``label`` and the identity of the run."""
        ...

    @property
    def identity_hash(self) -> str:
        """The sha256 of the identity of the run, 64 hex digits."""
        ...


def read_stored(
    folder: RunFolder, kind: str, model: Model, index: int, columns: Sequence[str] | None = None
) -> pa.Table | None:
    """Return the evidence of a part; None where there is none, or where its file is damaged or of other weights."""
    path = evidence_path(kind, model, index)
    label = evidence_label(kind, model) | {"identity": folder.identity_hash, "part": str(index)}
    try:
        return read_table(folder.path, path, EVIDENCE_SCHEMAS[kind], columns=columns, label=label)
    except FileNotFoundError:
        return None
    except StorageError:
        folder.log("damaged", path=path)
        return None


def stored_rows(folder: RunFolder, kind: str, model: Model, index: int) -> frozenset[int]:
    """Return the rows of a part whose evidence is stored."""
    table = read_stored(folder, kind, model, index, ["row"])
    return frozenset() if table is None else frozenset(table["row"].to_pylist())


def add_evidence(folder: RunFolder, kind: str, model: Model, index: int, table: pa.Table) -> None:
    """Write the evidence of further rows of a part, beside the rows that are stored; stored rows stay as they are.

    Args:
        folder: the run folder, open for writing.
        kind: a kind of evidence.
        model: the model that was measured.
        index: the part.
        table: the further rows, in ``EVIDENCE_SCHEMAS[kind]``.

    Raises:
        StorageError: the disk is full or refuses.
    """
    stored = read_stored(folder, kind, model, index)
    if stored is not None:
        new = pa.array(~np.isin(table["row"].to_numpy(), stored["row"].to_numpy()))
        table = pa.concat_tables([stored, table.filter(new)])
        order = np.argsort(table["row"].to_numpy(), kind="stable")
        table = table.take(pa.array(order))
    path = evidence_path(kind, model, index)
    folder.write_addition(path, table.combine_chunks(), evidence_label(kind, model) | {"part": str(index)})


def evidence_problem(kind: str, table: pa.Table, responses: pa.Table) -> str:
    """Return what is wrong with the evidence of a part, compared with its responses; empty for nothing."""
    names = ["row", "pair_id"] if kind == "hidden" else ["row", "pair_id", "side"]
    lengths = dict(zip(_keys(responses, names), list_lengths(responses["token_ids"]), strict=True))
    keys = list(_keys(table, names))
    if not set(keys) <= lengths.keys() or len(set(keys)) < len(keys):
        return "its rows are not those of the responses"
    n_tokens = np.array([lengths[key] for key in keys], dtype=np.int64)
    for name in PER_TOKEN[kind]:
        n_values = list_lengths(table[name])
        if not np.all((n_values == n_tokens) | (n_values < 0)):
            return f"{name} has not one value for each token"
    if kind == "topk":
        counts = np.array([sum(n_top or ()) for n_top in table["n_top"].to_pylist()], dtype=np.int64)
        for name in ("top_id", "top_logp", "top_reference_logp"):
            if not np.array_equal(np.maximum(list_lengths(table[name]), 0), counts):
                return f"{name} has not as many values as n_top says"
    return ""


def _keys(table: pa.Table, names: Sequence[str]) -> Iterator[tuple]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)

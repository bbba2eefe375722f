"""The source rows of a run's pairs: which pairs each row made, and the rows as JSON, in the order of the run.

A run keeps the row of every pair as JSON, and not which pairs stand in one row of the file. Pairs with equal rows come
from one row that ranks several responses, or from several equal rows; their ids tell which: each equal row makes the
same pairs, and the second one of an id has ``-2`` at its end.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.selection import split_mask
from dpo_analysis.errors import InputError, StorageError, counted
from dpo_analysis.runs import Run
from dpo_analysis.runs.parts import part_path
from dpo_analysis.runs.run import IMPORTED
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]
DIGEST_ID = re.compile(r"([0-9a-f]{16})(-\d+)?")
"""A pair_id that is made from the row."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The source rows of one split.

    Attributes:
        split: name of the split.
        pairs: row, pair_id and group_id of the pairs of the split, in the order of the run.
        owner: number of the source row that each pair comes from, from 0 in the order of the run, shape (pairs,).
        in_order: whether the order is surely that of the data: the pairs of one prompt stand together in a run.
    """

    split: str
    pairs: pd.DataFrame
    owner: Ints
    in_order: bool

    @property
    def n_rows(self) -> int:
        """Number of source rows."""
        return int(self.owner.max(initial=-1)) + 1

    @property
    def first(self) -> NDArray[np.bool_]:
        """Which pairs are the first of their source row, shape (pairs,)."""
        return np.diff(np.maximum.accumulate(self.owner), prepend=-1) > 0


def read_source_rows(run: Run, split: str | None = None) -> SourceRows:
    """Return the source rows of a split; None for the only split of the run.

    The sha256 of the files is checked first.

    Raises:
        InputError: the run has no pairs or no source rows, several splits and none is named, or no such split.
        StorageError: the run is damaged, or a part of its pairs is missing.
    """
    run.check_pairs("export")
    split = _only_split(run) if split is None else split
    run.check_files(part_path("pairs", part) for part in run.present_parts)
    tables, hashes = [], []
    for part in run.present_parts:
        table = run.pairs(part, ["row", "pair_id", "group_id", "split", "source"])
        texts = table["source"].to_pylist()
        _check_rows(run, part, texts)
        hashes.append(np.array([_hash(text) for text in texts], dtype=np.uint64))
        tables.append(table.drop_columns(["source"]).to_pandas())
    every = pd.concat(tables, ignore_index=True)
    if len(every) < run.n_pairs:
        raise StorageError(
            f"missing pairs in {run.path}: {len(every)} of {counted(run.n_pairs, 'pair')} are written; run the same "
            "score command again"
        )
    inside = split_mask(run, every["split"].to_numpy(dtype=object), split)
    pairs = every.loc[inside, ["row", "pair_id", "group_id"]].reset_index(drop=True)
    source = np.concatenate([np.zeros(0, np.uint64), *hashes])[inside]
    owner = _owners(pairs["pair_id"].tolist(), source)
    sizes = every["group_id"].value_counts()
    together = sizes.reindex(pairs["group_id"]).to_numpy() > np.bincount(owner)[owner]
    moved = together & (pairs["group_id"] != "").to_numpy()
    return SourceRows(split, pairs, owner, not moved.any())


def has_source_rows(run: Run) -> bool:
    """Return whether a run has the rows of its pairs; one that was imported from sums without pairs has not.

    Of a large run little is read.

    Raises:
        StorageError: the first part of the pairs is damaged.
    """
    if run.identity.get("source") != IMPORTED:
        return run.has_pairs
    try:
        _check_rows(run, 0, run.pairs(0, ["source"], rows=[0])["source"].to_pylist())
    except InputError:
        return False
    return True


def iter_source_rows(run: Run, rows: SourceRows, kept: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
    """Yield the number of each kept source row and the row as one line of JSON, in the order of the run.

    Args:
        run: the run.
        rows: its source rows.
        kept: whether to yield each source row, shape (rows,).

    Raises:
        StorageError: a part is damaged, or holds a row that is no JSON object.
    """
    wanted = np.flatnonzero(rows.first & kept[rows.owner])
    row_numbers, owners = rows.pairs["row"].to_numpy()[wanted], rows.owner[wanted]
    for part in run.present_parts:
        here = row_numbers // run.part_size == part
        if here.any():
            table = run.pairs(part, ["row", "source"])
            places = np.searchsorted(table["row"].to_numpy(), row_numbers[here])
            texts = table["source"].take(places).to_pylist()
            for owner, text in zip(owners[here].tolist(), texts, strict=True):
                yield owner, _json_line(run, part, text)


def _only_split(run: Run) -> str:
    if len(run.splits) > 1:
        raise InputError(
            f"several splits in run {run.path}: {', '.join(run.splits)}; a file of source rows holds one, so give "
            f"--split {run.splits[-1]} or another"
        )
    return run.splits[0]


def _check_rows(run: Run, part: int, texts: Sequence[str | None]) -> None:
    """Check that these texts are source rows: sums may have come without responses, or without any text.

    Raises:
        InputError: one is none.
        StorageError: one is no JSON object.
    """
    imported = run.identity.get("source") == IMPORTED
    for text in texts if imported else ():
        names = set(_parsed(run, part, text))
        if names <= {"prompt", *SIDES} and not names >= {*SIDES}:
            raise InputError(
                f"no source rows in run {run.path}: it was imported from sums without pairs; import with --pairs PAIRS"
            )
    if not imported and any(text in (None, "", "{}") for text in texts):
        raise InputError(f"no source rows in run {run.path}: none was kept; score the pairs from a file")


def _hash(text: str | None) -> int:
    return int.from_bytes(hashlib.blake2b((text or "{}").encode(), digest_size=8).digest(), "little")


def _owners(pair_ids: Sequence[str], sources: NDArray[np.uint64]) -> Ints:
    """Return the number of the source row of each pair, from 0 in the order in which rows first appear."""
    _, first, group, sizes = np.unique(sources, return_index=True, return_inverse=True, return_counts=True)
    keys = np.stack([first[group], np.zeros(len(sources), np.int64)], axis=1)
    repeated = np.flatnonzero(sizes[group] > 1)
    by_group: dict[int, list[int]] = {}
    for index in repeated.tolist():
        by_group.setdefault(int(group[index]), []).append(index)
    for members in by_group.values():
        keys[members, 1] = _equal_rows([pair_ids[index] for index in members])
    _, first, owner = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first, kind="stable")] = np.arange(len(first))
    return order[owner.reshape(-1)]


def _equal_rows(pair_ids: Sequence[str]) -> list[int]:
    """Return, for pairs whose rows are equal, which of the equal rows each comes from, from 0."""
    matches = [DIGEST_ID.fullmatch(pair_id) for pair_id in pair_ids]
    # Ids that somebody else gave say nothing, and such runs are imported: one row is one pair.
    names = [match[1] if match else "" for match in matches]
    counts = Counter(names)
    n_rows = math.gcd(*counts.values())
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(seen[name] // (counts[name] // n_rows))
        seen[name] += 1
    return found


def _json_line(run: Run, part: int, text: str | None) -> str:
    """Return a stored row as one line; it is parsed, as a line that is no object would spoil the file."""
    row, line = _parsed(run, part, text), text or ""
    return line if "\n" not in line and "\r" not in line else json.dumps(row, ensure_ascii=False)


def _parsed(run: Run, part: int, text: str | None) -> dict[str, Any]:
    """Return a stored row.

    Raises:
        StorageError: it is no JSON object.
    """
    try:
        row = json.loads(text or "")
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        return row
    raise StorageError(
        f"damaged {run.path / part_path('pairs', part)}: a source row is no JSON object; take the folder from where it "
        "was made"
    )

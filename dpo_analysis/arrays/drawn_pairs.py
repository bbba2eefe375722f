"""A few pairs drawn from a run, the same every time, out of a few parts: what a scale over the run is made from."""

import hashlib

from dpo_analysis.runs import Run
from dpo_analysis.runs.evidence.kinds import draw
from dpo_analysis.schema import SCORED

PAIRS, PARTS = 64, 4


def drawn_pairs(run: Run, *, pairs: int = PAIRS, parts: int = PARTS) -> list[str]:
    """The ids of up to ``pairs`` scored pairs of the run, drawn by a seeded hash, in the order in which they are drawn.

    They come from up to ``parts`` parts, drawn as well, so that what is read of a large run stays small. A run of up to
    ``parts`` parts and ``pairs`` pairs is drawn whole.

    Raises:
        StorageError: a part of the pairs is damaged.
    """
    chosen = sorted(range(run.n_parts), key=_place)[:parts]
    tables = [run.pairs(part, columns=["pair_id", "status"]) for part in chosen]
    found = [
        pair_id
        for table in tables
        for pair_id, status in zip(table["pair_id"].to_pylist(), table["status"].to_pylist(), strict=True)
        if status in SCORED
    ]
    return sorted(found, key=draw)[:pairs]


def _place(part: int) -> bytes:
    return hashlib.sha256(f"part {part}".encode()).digest()

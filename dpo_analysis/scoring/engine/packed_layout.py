"""One pack as one row of tokens: ids, positions, who attends to what, and which rows the head reads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.scoring.engine.packing import Group


class Segment(NamedTuple):
    """Tokens ``start:stop`` of the row attend causally to themselves and to all of ``context_start:context_stop``."""

    start: int
    stop: int
    context_start: int
    context_stop: int


class Layout(NamedTuple):
    """A pack laid out in one row of T tokens; H rows of the trunk's output are read by the head.

    Attributes:
        input_ids: (T,) int64.
        position_ids: (T,) int64; every response restarts behind its context.
        segments: the attention, in the order of the row; together they cover 0..T once.
        head_rows: (H,) places in the row whose output predicts a response token.
        labels: (H,) the token ids predicted there.
        takes: per request of the pack (place in the list of requests, indices into 0..H in the response's order).
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    segments: tuple[Segment, ...]
    head_rows: np.ndarray
    labels: np.ndarray
    takes: tuple[tuple[int, np.ndarray], ...]


def lay_out(pack: Sequence[Group]) -> Layout:
    """Lay the groups of ``pack`` out one behind the other."""
    ids: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    segments: list[Segment] = []
    rows: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    takes: list[tuple[int, np.ndarray]] = []
    end, read = 0, 0
    for group in pack:
        context, shared = group.context, group.shared
        start, length = end, len(context)
        first = length - shared - 1
        rows.append(start + first + np.arange(shared))
        labels.append(context[length - shared :])
        common = read + np.arange(shared)
        read += shared
        ids.append(context)
        positions.append(np.arange(length))
        end += length
        for number, (place, response) in enumerate(zip(group.members, group.responses, strict=True)):
            own = response[shared:]
            inner = own[:-1]
            ids.append(inner)
            positions.append(length + np.arange(len(inner)))
            if number == 0:
                segments.append(Segment(start, end + len(inner), start, start))
            elif len(inner):
                segments.append(Segment(end, end + len(inner), start, start + length))
            if len(own):
                rows.append(np.concatenate([[start + length - 1], end + np.arange(len(inner))]))
                labels.append(own)
            takes.append((place, np.concatenate([common, read + np.arange(len(own))])))
            read += len(own)
            end += len(inner)
    return Layout(
        np.concatenate(ids).astype(np.int64),
        np.concatenate(positions).astype(np.int64),
        tuple(segments),
        np.concatenate(rows).astype(np.int64),
        np.concatenate(labels).astype(np.int64),
        tuple(takes),
    )

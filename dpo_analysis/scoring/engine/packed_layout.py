"""A pack as one row of tokens: ids, positions, which tokens attend to which, and which rows the head reads."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.scoring.engine.packing import PromptGroup


class Segment(NamedTuple):
    """Tokens ``start:stop`` of the row attend causally to themselves and to all of ``context_start:context_stop``."""

    start: int
    stop: int
    context_start: int
    context_stop: int


class Layout(NamedTuple):
    """A pack laid out in one row of T tokens, of whose hidden states the head reads H.

    Attributes:
        input_ids: (T,) int64.
        position_ids: (T,) int64; the positions of every response continue those of its context.
        segments: the attention, in the order of the row; together they cover 0..T once.
        head_rows: (H,) int64, positions in the row whose hidden state predicts a response token.
        labels: (H,) int64, the token ids predicted there.
        request_rows: for each request of the pack its index in the list of requests, and indices into 0..H, one for
            each token of its response.
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    segments: tuple[Segment, ...]
    head_rows: np.ndarray
    labels: np.ndarray
    request_rows: tuple[tuple[int, np.ndarray], ...]


def lay_out(pack: Sequence[PromptGroup]) -> Layout:
    """Return the layout of ``pack``: each group's context, then the rest of each of its responses.

    The first response follows its context directly, so both are one causal segment; each further response is a segment
    that attends to the context and to itself. The last token of a response is left out, since it predicts nothing.
    """
    ids: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    segments: list[Segment] = []
    head_rows: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    request_rows: list[tuple[int, np.ndarray]] = []
    end, n_read = 0, 0  # tokens of the row so far, and those that the head reads
    for group in pack:
        context, n_shared = group.context, group.n_shared
        start, length = end, len(context)
        # tokens of the common prefix are predicted within the context, once for all responses
        head_rows.append(start + length - n_shared - 1 + np.arange(n_shared))
        labels.append(context[length - n_shared :])
        shared_rows = n_read + np.arange(n_shared)
        n_read += n_shared
        ids.append(context)
        positions.append(np.arange(length))
        end += length
        for number, (index, response) in enumerate(zip(group.members, group.responses, strict=True)):
            rest = response[n_shared:]
            inputs = rest[:-1]
            ids.append(inputs)
            positions.append(length + np.arange(len(inputs)))
            if number == 0:
                segments.append(Segment(start, end + len(inputs), start, start))
            elif len(inputs):
                segments.append(Segment(end, end + len(inputs), start, start + length))
            if len(rest):
                # the first token after the common prefix is predicted by the context's last token
                head_rows.append(np.concatenate([[start + length - 1], end + np.arange(len(inputs))]))
                labels.append(rest)
            request_rows.append((index, np.concatenate([shared_rows, n_read + np.arange(len(rest))])))
            n_read += len(rest)
            end += len(inputs)
    return Layout(
        np.concatenate(ids).astype(np.int64),
        np.concatenate(positions).astype(np.int64),
        tuple(segments),
        np.concatenate(head_rows).astype(np.int64),
        np.concatenate(labels).astype(np.int64),
        tuple(request_rows),
    )

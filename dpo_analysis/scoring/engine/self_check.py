"""The self-check of a model's route: short requests, and the comparison with the model's own forward.

A list of supported architectures would be out of date with every release of transformers. A comparison is right for
any model.
"""

from typing import TYPE_CHECKING, cast

import numpy as np

from dpo_analysis.scoring.requests import Request

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

MAX_GAP_FLOAT32, MEAN_GAP_16_BIT = 1e-3, 0.05
"""Nats by which two routes through one model may differ: at most in float32, on average in 16 bits. Rounding stays ten
times below; a head, a trunk or an attention that is not the model's does not."""
_LENGTHS = ((5, 11, 8), (4, 7, 12))
"""For each prompt its length, and the total lengths with each of two responses to it. They are short, since every
opened model runs them, and still hold what packing may get wrong: two prompts in a row, a common prefix, and responses
of different lengths."""


def check_requests(model: "PreTrainedModel") -> list[Request]:
    """Return fixed requests with ids from all over the vocabulary: two prompts with two responses that start alike."""
    vocab_size = int(cast("nn.Embedding", model.get_input_embeddings()).weight.shape[0])
    requests = []
    for number, (prompt, *totals) in enumerate(_LENGTHS):
        ids = (np.arange(1, 14, dtype=np.int64) * 7919 + number * 104729) % vocab_size
        for sibling, total in enumerate(totals):
            response = ids[prompt:total].copy()
            response[1:] = (response[1:] + sibling * 31) % vocab_size
            requests.append(Request(ids[:prompt], response))
    return requests


def columns_agree(columns: np.ndarray, expected: np.ndarray, dtype: str) -> bool:
    """Return whether two scorings are equal up to rounding.

    Infinities and NaN must stand in the same places. In 16 bits the mean counts, since single tokens may be far off.

    Args:
        columns: (3, tokens): logp, entropy and argmax_logp, nats.
        expected: the same, by the model's own forward.
        dtype: the type that most of the arithmetic rounds to.
    """
    finite = np.isfinite(expected)
    if not np.array_equal(np.isfinite(columns), finite):
        return False
    gap = np.abs(columns[finite] - expected[finite])
    if not gap.size:
        return True
    if dtype in ("float32", "float64"):
        return bool(gap.max() <= MAX_GAP_FLOAT32)
    return bool(gap.mean() <= MEAN_GAP_16_BIT)

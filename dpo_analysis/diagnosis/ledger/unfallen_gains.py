"""What chosen responses that did not fall gained, measured on other tokens than those that they are selected by.

Selecting the responses that did not fall and reading the change of the same tokens finds a gain in any run, since noise
that keeps a response from falling is noise that it gained. So the response is divided into its even and its odd tokens:
those that did not fall on the even ones are measured on the odd ones, and the other way round (cross-fitting, as in
arXiv:1608.00060). Where the changes of tokens are independent and symmetric, the result is 0 on average.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.numerics.segments import segment_positions
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, SIDES
from dpo_analysis.text.regions import REGIONS, sentence_ends, token_regions
from dpo_analysis.text.token_types import special_tokens_mask

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MAX_READ_PAIRS = 4096
"""Pairs whose tokens are read, or a little more: whole parts are drawn with a fixed seed until there are so many."""
NAN = float("nan")


class Gain(NamedTuple):
    """What the tokens of one region gained in chosen responses that did not fall.

    Attributes:
        nats_per_token: mean change of a token, nats; negative where it lost, NaN where no token counts.
        low: lower end of the 95 % interval over groups, nats per token; NaN with fewer than two groups.
        high: upper end.
        times: the change as a multiple of what a token of a chosen response that fell lost; NaN where none fell.
        n_tokens: number of tokens that were measured.
    """

    nats_per_token: float
    low: float
    high: float
    times: float
    n_tokens: int


class TokenChanges(NamedTuple):
    """Concatenated chosen responses and what each token changed.

    Attributes:
        groups: number of the group of each response, from 0, shape (responses,).
        limits: what each response must lose to be fallen, nats, positive, shape (responses,).
        lengths: tokens of each response, shape (responses,).
        region: index in ``text.regions.REGIONS``, shape (tokens,).
        change: log pi - log pi_ref of each token, nats, shape (tokens,).
    """

    groups: Ints
    limits: Array
    lengths: Ints
    region: Ints
    change: Array


def read_unfallen_gains(run: Run, log_ratios: SeriesLogRatios, index: int) -> dict[str, Gain]:
    """Return what chosen responses that did not fall gained, by region and under "" in the whole; empty without tokens.

    Args:
        run: an open run.
        log_ratios: the log-ratios of the series.
        index: index of the checkpoint in them.

    Raises:
        StorageError: a part is damaged.
    """
    if not run.has_tokens:
        return {}
    model, finite = log_ratios.models[index], np.isfinite(log_ratios.chosen[index])
    rows, groups, limits = log_ratios.rows[finite], log_ratios.groups[finite], log_ratios.fallen_limits[finite]
    order, vocab = np.argsort(rows), run.vocab()
    read: list[TokenChanges] = []
    for part in np.random.default_rng(0).permutation(run.parts_done(model)).tolist():
        if sum(len(changes.lengths) for changes in read) < MAX_READ_PAIRS:
            read.append(_read_part(run, vocab, model, part, (rows[order], groups[order], limits[order])))
    if not read:
        return {}
    changes = TokenChanges(*(np.concatenate(column) for column in zip(*read, strict=True)))
    return unfallen_gains(changes, _lost_per_token(run, log_ratios, index))


def unfallen_gains(changes: TokenChanges, lost_per_token: float = NAN) -> dict[str, Gain]:
    """Return what responses that did not fall gained, by region and under "" in the whole response.

    A response did not fall on one half of its tokens if that half, scaled to the length of the response, lost less than
    its limit. It is then measured on the other half.

    Args:
        changes: the responses.
        lost_per_token: what a token of a response that fell lost, nats, positive; NaN for unknown.
    """
    n_responses, n_parts = len(changes.lengths), len(REGIONS)
    response = np.repeat(np.arange(n_responses), changes.lengths)
    odd = segment_positions(changes.lengths) % 2
    sums, counts = (
        np.bincount((response * 2 + odd) * n_parts + changes.region, weights, n_responses * 2 * n_parts).reshape(
            n_responses, 2, n_parts
        )
        for weights in (changes.change, np.ones(len(changes.change)))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = sums.sum(axis=2) * changes.lengths[:, None] / counts.sum(axis=2)
    selected = (scaled >= -changes.limits[:, None])[:, ::-1, None]
    change, tokens = (np.where(selected, values, 0.0).sum(axis=1) for values in (sums, counts))
    change, tokens = (np.concatenate([values.sum(axis=1)[:, None], values], axis=1) for values in (change, tokens))
    low, high = ratio_intervals(change, tokens, changes.groups, int(changes.groups.max(initial=-1)) + 1)
    gains = {}
    for column, region in enumerate(("", *REGIONS)):
        n_tokens = int(tokens[:, column].sum())
        gain = float(change[:, column].sum()) / n_tokens if n_tokens else NAN
        gains[region] = Gain(gain, float(low[column]), float(high[column]), gain / lost_per_token, n_tokens)
    return gains


def _lost_per_token(run: Run, log_ratios: SeriesLogRatios, index: int) -> float:
    """Return what a token of a chosen response that fell lost, nats; NaN where none fell."""
    fallen = log_ratios.fallen(index)
    pairs = pair_index(run)
    n_tokens = pairs.n_tokens[pairs.indices(log_ratios.rows[fallen]), SIDES.index(CHOSEN)].sum()
    return float(-log_ratios.chosen[index][fallen].sum() / n_tokens) if fallen.any() and n_tokens else NAN


def _read_part(
    run: Run, vocab: pa.Table | None, model: Model, part: int, pairs: tuple[Ints, Ints, Array]
) -> TokenChanges:
    """Read the chosen responses of one part; ``pairs`` are sorted rows with their groups and limits."""
    rows, groups, limits = pairs
    responses = _chosen(run.responses(part, columns=["row", "side", "token_ids"]), rows)
    columns = ["row", "side", "logp"]
    policy, reference = (_chosen(run.scores(scorer, part, columns=columns), rows) for scorer in (model, run.reference))
    lengths, ids = flatten_lists(responses["token_ids"])
    ids = ids.astype(np.int64)
    change = _floats(policy) - _floats(reference)
    region = token_regions(lengths, special_tokens_mask(vocab, ids), sentence_ends(vocab, lengths, ids))
    place = np.searchsorted(rows, responses["row"].to_numpy())
    return TokenChanges(groups[place], limits[place], lengths, region, change)


def _chosen(table: pa.Table, rows: Ints) -> pa.Table:
    """Return the lines of the chosen responses of these rows, by row."""
    kept = (side_indices(table) == SIDES.index(CHOSEN)) & np.isin(table["row"].to_numpy(), rows)
    table = table.filter(pa.array(kept))
    return table.take(pa.array(np.argsort(table["row"].to_numpy(), kind="stable")))


def _floats(table: pa.Table) -> Array:
    return flatten_lists(table["logp"])[1].astype(np.float64)

"""The mass ledger: where the probability went that the chosen responses lost, token by token.

At one position the probabilities of all tokens sum to 1 before and after, so their changes sum to 0: what the label
lost, other tokens gained. The evidence ``topk`` names the tokens that matter and the full softmax gives the rest, so
the ledger balances at every position (``Ledger.residual``). What the other pairs do with a token in the same context,
its previous token, then says who accounts for the loss: the label is *pushed* where other pairs reject it there more
than they choose it; else what went to tokens that other pairs choose there is *pulled*.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.findings import Share
from dpo_analysis.diagnosis.ledger.bigram_counts import BigramCounts
from dpo_analysis.diagnosis.thresholds import PUSHED_TOKEN_X
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model
from dpo_analysis.text.regions import REGIONS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
SHARES = ("pushed", "pulled", "no_data", "unexplained")
"""The parts of the lost log-prob. pushed: lost by labels that other pairs reject in this context more than they choose
them (x above ``thresholds.PUSHED_TOKEN_X``); pulled: of the rest, what went to tokens that other pairs choose in this
context; no_data: what went to improbable tokens that stand in no text in this context; unexplained: what is left."""
RECIPIENTS = ("chosen", "rejected", "own_rejected", "no_data", "likeliest", "other", "tail")
"""Who got the probability; the first that applies. chosen: a token that other pairs choose in this context more than
they reject it; rejected: a token that they reject more; own_rejected: a token that the rejected response of the pair
itself has there; no_data: an improbable token in no text; likeliest: the token that the reference found likeliest;
other: another named token; tail: all tokens that the evidence does not name."""
TINY = 1e-12
"""Keeps a division by a sum of probabilities defined where the sum is 0; its numerator is 0 then, too."""


class LedgerTokens(NamedTuple):
    """The tokens of the chosen responses that fell, as concatenated responses; each of shape (tokens,).

    Attributes:
        pair: index of the token's pair in ``Ledger.rows``.
        position: position in the response, from 0.
        region: index in ``text.regions.REGIONS``.
        previous_ids: id of the previous token; ``RESPONSE_START`` at the start.
        token_ids: ids of the labels.
        log_ratio: log pi - log pi_ref of the label, nats; negative where it lost.
        loss_share: share of the response's lost log-prob that this token lost; these sum to 1 in each response.
        x: (r - c) / (r + c + K) of the label, from -1 to 1, where r other pairs reject it behind this previous token,
            c choose it, and K is the pseudo-count; above 0 other pairs push it down.
        pulled: share of the gained probability that went to tokens which other pairs choose there, from 0 to 1.
        no_data: share of it that went to improbable tokens in no text, from 0 to 1.
        label_change: change of the label's probability, pi - pi_ref.
        gained: probability that moved: sum over the vocabulary of max(0, pi - pi_ref).
    """

    pair: Ints
    position: Ints
    region: Ints
    previous_ids: Ints
    token_ids: Ints
    log_ratio: Array
    loss_share: Array
    x: Array
    pulled: Array
    no_data: Array
    label_change: Array
    gained: Array

    @property
    def lost(self) -> Array:
        """What each token lost: max(0, -log-ratio), nats."""
        return np.maximum(-self.log_ratio, 0)


class TopTokens(NamedTuple):
    """The tokens that the evidence names, several for each position; each of shape (named,).

    Attributes:
        index: index of the position in ``LedgerTokens``.
        ids: token ids; the label is among them.
        change: change of the token's probability, pi - pi_ref.
        recipient: index in ``RECIPIENTS``; -1 for the label and for tokens that lost.
        chosen_weight: (c - r) / (c + r + K) where other pairs choose the token there more than they reject it, from 0
            to 1; 0 for all others, for the label and for tokens that lost.
        special: whether it is a special token, which is an end of text.
    """

    index: Ints
    ids: Ints
    change: Array
    recipient: Ints
    chosen_weight: Array
    special: Mask


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one checkpoint.

    Attributes:
        model: the checkpoint.
        rows: rows of the pairs that fell and have evidence, sorted, shape (pairs,).
        pair_indices: index of each of them in the series' ``SeriesLogRatios``, shape (pairs,).
        tokens: the tokens of their chosen responses.
        top_tokens: the named tokens at each of those positions.
        bigrams: what the other pairs choose and reject.
        has_evidence: whether it was built with evidence ``topk``. Without, nothing is known of the tokens that gained:
            ``top_tokens`` is empty, and every part of the loss but ``pushed`` is NaN.
    """

    model: Model
    rows: Ints
    pair_indices: Ints
    tokens: LedgerTokens
    top_tokens: TopTokens
    bigrams: BigramCounts
    has_evidence: bool = True

    @property
    def gained_shares(self) -> Array:
        """Share of the gained probability at its position that each named token got, shape (named,); 0 for losers."""
        gained = self.tokens.gained[self.top_tokens.index]
        return np.maximum(self.top_tokens.change, 0) / np.maximum(gained, TINY)

    def shares(self, groups: Ints, region: str = "") -> dict[str, Share]:
        """Return the parts of the lost log-prob, by the names in ``SHARES``; every fallen pair counts the same.

        The four add up to 1, or with ``region`` to the share of the whole that was lost there. Without evidence
        ``pushed`` is the only part.

        Args:
            groups: number of the group of each pair in ``rows``, shape (pairs,); the intervals resample groups.
            region: one of ``REGIONS``; empty for all.
        """
        inside = self.tokens.region == REGIONS.index(region) if region else np.ones(len(self.tokens.region), dtype=bool)
        parts = {name: np.where(inside, part, 0.0) for name, part in self._parts().items()}
        return _shares(self.tokens.pair, parts, len(self.rows), groups)

    def by_region(self) -> dict[str, dict[str, float]]:
        """Return what was lost in each of ``REGIONS``.

        ``weight``: share of the lost log-prob that was lost in the region; ``pushed`` and ``pulled``: the shares of the
        whole loss that are so and lie in the region; ``x``: mean of x over the log-prob lost there, NaN for none.
        """
        parts, total = self._parts(), max(float(self.tokens.loss_share.sum()), 1e-300)
        result = {}
        for code, name in enumerate(REGIONS):
            inside = self.tokens.region == code
            weight = float(self.tokens.loss_share[inside].sum())
            x = float((self.tokens.loss_share * self.tokens.x)[inside].sum()) / weight if weight else float("nan")
            pushed, pulled = (
                float(parts[part][inside].sum()) / total if part in parts else float("nan")
                for part in ("pushed", "pulled")
            )
            result[name] = {"weight": weight / total, "pushed": pushed, "pulled": pulled, "x": x}
        return result

    def recipients(self) -> dict[str, float]:
        """Return the share of the gained probability that each of ``RECIPIENTS`` got; the shares add up to 1.

        A position counts by its share of the response's lost log-prob.
        """
        gained = self.gained_shares * self.tokens.loss_share[self.top_tokens.index]
        named = self.top_tokens.recipient >= 0
        sums = sum_by(self.top_tokens.recipient[named], gained[named], len(RECIPIENTS))
        total = float(self.tokens.loss_share[self.tokens.gained > 0].sum())
        sums[RECIPIENTS.index("tail")] += total - sums.sum()
        shares = (float(value) / total if total else float("nan") for value in sums)
        return dict(zip(RECIPIENTS, shares, strict=True))

    def end_of_text_share(self) -> float:
        """Return the share of the lost log-prob that went to an end of text."""
        gained = self.gained_shares * self.tokens.loss_share[self.top_tokens.index]
        return float(gained[self.top_tokens.special].sum() / max(self.tokens.loss_share.sum(), TINY))

    def residual(self) -> Array:
        """Return label + other named tokens + tail at every position, shape (tokens,), which must be 0.

        The tail is the gain and the loss of all tokens that are not named, from the sums over the full softmax.
        """
        index, change = self.top_tokens.index, self.top_tokens.change
        size = len(self.tokens.gained)
        named = sum_by(index, change, size)
        gain, loss = (sum_by(index, np.maximum(part, 0), size) for part in (change, -change))
        tail_gain, tail_loss = (np.maximum(self.tokens.gained - part, 0) for part in (gain, loss))
        return named + tail_gain - tail_loss

    @property
    def unexplained(self) -> Array:
        """Share of each token's loss that neither other pairs nor improbable tokens account for, shape (tokens,)."""
        return np.where(self.tokens.x > PUSHED_TOKEN_X, 0.0, 1 - self.tokens.pulled - self.tokens.no_data)

    def _parts(self) -> dict[str, Array]:
        """Return the loss share of every token that belongs to each of ``SHARES``, shape (tokens,).

        Without evidence ``pushed`` alone is known.
        """
        tokens = self.tokens
        pushed = tokens.x > PUSHED_TOKEN_X
        rest = np.where(pushed, 0.0, tokens.loss_share)
        parts = {"pushed": np.where(pushed, tokens.loss_share, 0.0)}
        if not self.has_evidence:
            return parts
        parts |= {"pulled": rest * tokens.pulled, "no_data": rest * tokens.no_data}
        return parts | {"unexplained": tokens.loss_share * self.unexplained}


def sum_by(index: Ints, values: Array, size: int) -> Array:
    """Return the sum of ``values`` with each index, shape (size,)."""
    return np.bincount(index, values, size).astype(np.float64, copy=False)


def _shares(pair: Ints, parts: dict[str, Array], n_pairs: int, groups: Ints) -> dict[str, Share]:
    """Return the mean over pairs of each part with its interval over groups."""
    sums = np.stack([sum_by(pair, part, n_pairs) for part in parts.values()], axis=1)
    low, high = ratio_intervals(sums, np.ones_like(sums), groups, int(groups.max(initial=-1)) + 1)
    columns = zip(parts, sums.mean(axis=0), low, high, strict=True)
    return {name: Share(float(mean), float(lower), float(upper)) for name, mean, lower, upper in columns}

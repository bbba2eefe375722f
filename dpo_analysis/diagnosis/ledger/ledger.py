"""The mass ledger: where the lost probability went at each fallen token of the chosen responses, and who says so.

At one position the probabilities of all tokens change by amounts that add up to 0. What the label lost is somewhere:
on tokens that other pairs choose or reject in this context, that the pair's own rejected response has, that the
reference found likeliest, that no text of the run has here, or in the tail of the vocabulary, which the full softmax
gives. A lost token is *pushed* where other pairs reject it here more than they choose it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.diagnosis.fall_detection import Path
from dpo_analysis.diagnosis.findings import Share
from dpo_analysis.diagnosis.ledger.bigram_counts import Contexts, previous
from dpo_analysis.diagnosis.thresholds import FALLEN, PSEUDO, PUSHED, UNLIKELY
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.text.regions import PLACES, places, sentence_ends
from dpo_analysis.text.token_types import specials

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
SHARES = ("pushed", "pulled", "no_data", "unexplained")
"""pushed: lost on tokens that other pairs reject here more than they choose; pulled: of the rest, what went to tokens
that other pairs choose here; no_data: what went to improbable tokens that stand in no text here; unexplained."""
GAINERS = ("chosen", "rejected", "own_rejected", "no_data", "likeliest", "other", "tail")
"""Who got the probability, the first that applies: a token that other pairs choose here more than they reject; reject
more than they choose; that the pair's own rejected response has here; that was improbable and is in no text here; that
the reference found likeliest; another kept token; the tail that was not kept by name."""


class Tokens(NamedTuple):
    """The tokens of the fallen chosen responses, one response behind the other; each of shape (tokens,).

    Attributes:
        pair: the place of the token's pair in ``Ledger.rows``.
        position: from 0.
        place: in ``token_places.PLACES``.
        before: the token in front; -1 at the beginning.
        token_ids: the labels.
        change: log pi - log pi_ref, nats.
        weight: the pair's share of lost log-prob on this token; they add up to 1 in each pair.
        x: (r - c) / (r + c + K) of the label, from -1 to 1: above 0 other pairs push it down.
        pulled: share of the gained probability on tokens that other pairs choose here, from 0 to 1.
        no_data: share of it on improbable tokens that no text has here.
        label: change of the label's probability.
        gained: probability that moved: sum over the vocabulary of max(0, pi - pi_ref).
    """

    pair: Ints
    position: Ints
    place: Ints
    before: Ints
    token_ids: Ints
    change: Array
    weight: Array
    x: Array
    pulled: Array
    no_data: Array
    label: Array
    gained: Array


class Kept(NamedTuple):
    """The ids that the evidence names, several a token; each of shape (ids,).

    Attributes:
        token: the place of its position in ``Tokens``.
        ids: token ids; the label is among them.
        change: pi - pi_ref.
        gainer: the place in ``GAINERS``; -1 for the label and for what lost.
        surely: how surely other pairs choose it here, from 0 to 1; 0 for the label and for what lost.
        special: whether it is a special token, which is an end of text.
    """

    token: Ints
    ids: Ints
    change: Array
    gainer: Ints
    surely: Array
    special: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one checkpoint.

    Attributes:
        model: the checkpoint.
        rows: rows of the fallen pairs that have evidence, sorted.
        place: the place of each of them in the series' ``Path``.
        tokens, kept: see there.
        contexts: what the other pairs say.
    """

    model: Model
    rows: Ints
    place: Ints
    tokens: Tokens
    kept: Kept
    contexts: Contexts

    def shares(self, groups: Ints, place: str = "") -> dict[str, Share]:
        """``SHARES`` of the lost log-prob, every fallen pair counting the same; they add up to 1.

        Args:
            groups: the number of the group of each pair in ``rows``.
            place: only what lies at this one of ``PLACES``, as a part of the whole.
        """
        here = self.tokens.place == PLACES.index(place) if place else np.ones(len(self.tokens.place), dtype=bool)
        parts = {name: np.where(here, part, 0.0) for name, part in self._parts().items()}
        return _shares(self.tokens.pair, parts, len(self.rows), groups)

    def by_place(self) -> dict[str, dict[str, float]]:
        """What lies at each of ``PLACES``.

        ``weight``: its share of the lost log-prob; ``pushed`` and ``pulled``: the part of the whole that lies there;
        ``x``: mean over the log-prob lost there, NaN where none is.
        """
        parts, total = self._parts(), max(float(self.tokens.weight.sum()), 1e-300)
        found = {}
        for code, name in enumerate(PLACES):
            here = self.tokens.place == code
            weight = float(self.tokens.weight[here].sum())
            x = float((self.tokens.weight * self.tokens.x)[here].sum()) / weight if weight else float("nan")
            pushed, pulled = (float(parts[part][here].sum()) / total for part in ("pushed", "pulled"))
            found[name] = {"weight": weight / total, "pushed": pushed, "pulled": pulled, "x": x}
        return found

    def gainers(self) -> dict[str, float]:
        """Share of the gained probability of each of ``GAINERS``, fallen tokens by their weight; they add up to 1."""
        gain = np.maximum(self.kept.change, 0) / np.maximum(self.tokens.gained[self.kept.token], 1e-12)
        own = gain * self.tokens.weight[self.kept.token]
        named = self.kept.gainer >= 0
        sums = np.bincount(self.kept.gainer[named], own[named], len(GAINERS))
        total = float(self.tokens.weight[self.tokens.gained > 0].sum())
        sums[GAINERS.index("tail")] += total - sums.sum()
        return {
            name: float(value) / total if total else float("nan") for name, value in zip(GAINERS, sums, strict=True)
        }

    def ended(self) -> float:
        """Share of the lost log-prob that went to an end of text."""
        gain = np.maximum(self.kept.change, 0) / np.maximum(self.tokens.gained[self.kept.token], 1e-12)
        own = gain * self.tokens.weight[self.kept.token]
        return float(own[self.kept.special].sum() / max(self.tokens.weight.sum(), 1e-12))

    def residual(self) -> Array:
        """Of every token: label + other kept ids + tail, which must be 0; the tail is what gained and lost unnamed."""
        named = np.bincount(self.kept.token, self.kept.change, len(self.tokens.change))
        gain = np.bincount(self.kept.token, np.maximum(self.kept.change, 0), len(self.tokens.change))
        loss = np.bincount(self.kept.token, np.maximum(-self.kept.change, 0), len(self.tokens.change))
        tail_gain, tail_loss = (np.maximum(self.tokens.gained - one, 0) for one in (gain, loss))
        return named + tail_gain - tail_loss

    @property
    def unexplained(self) -> Array:
        """Of every token the share of its loss that no other pair's text and no improbable gainer accounts for."""
        return np.where(self.tokens.x > PUSHED, 0.0, 1 - self.tokens.pulled - self.tokens.no_data)

    def _parts(self) -> dict[str, Array]:
        tokens = self.tokens
        pushed = tokens.x > PUSHED
        left = np.where(pushed, 0.0, tokens.weight)
        parts = {"pushed": np.where(pushed, tokens.weight, 0.0)}
        parts |= {"pulled": left * tokens.pulled, "no_data": left * tokens.no_data}
        return parts | {"unexplained": tokens.weight * self.unexplained}


def read_ledger(run: Run, path: Path, place: int, contexts: Contexts) -> Ledger | None:
    """The ledger of the checkpoint at ``place`` in ``path``; None where no fallen pair has evidence ``topk``.

    Raises:
        StorageError: a part is damaged.
    """
    model, change = path.models[place], path.change[place]
    fallen = path.rows[np.nan_to_num(change) < -max(FALLEN, path.noise)]
    order = np.argsort(path.rows, kind="stable")
    found = [_part(run, model, part, fallen) for part in run.parts_done(model)] if len(fallen) else []
    found = [one for one in found if one is not None and len(one.rows)]
    if not found:
        return None
    rows = np.concatenate([one.rows for one in found])
    where = order[np.searchsorted(path.rows, rows, sorter=order)]
    tokens, kept = _filled(found, contexts, run.vocab())
    return Ledger(model, rows, where, tokens, kept, contexts)


class _Part(NamedTuple):
    """The fallen chosen responses of one part that have evidence."""

    rows: Ints
    lengths: Ints
    token_ids: Ints
    change: Array
    gained: Array
    n_top: Ints
    ids: Ints
    logp: Array
    reference_logp: Array


def _part(run: Run, model: Model, part: int, fallen: Ints) -> _Part | None:
    top = _chosen(run.evidence("topk", model, part), fallen)
    if not top.num_rows:
        return None
    rows = top["row"].to_numpy()
    ids, own, reference = (
        _chosen(table, rows)
        for table in (
            run.responses(part, columns=["row", "side", "token_ids"]),
            run.scores(model, part, columns=["row", "side", "logp"]),
            run.scores(run.reference, part, columns=["row", "side", "logp"]),
        )
    )
    lengths, token_ids = lists(ids["token_ids"])
    counts = [lists(table[name]) for table, name in ((top, "gained"), (own, "logp"), (reference, "logp"))]
    if not all(np.array_equal(lengths, one[0]) for one in counts):
        return _part_of(run, model, part, rows[[len(one) > 0 for one in (top["gained"].to_pylist())]], rows)
    (_, gained), (_, logp), (_, reference_logp) = counts
    kept = [lists(top[name])[1] for name in ("n_top", "top_id", "top_logp", "top_reference_logp")]
    change = logp.astype(np.float64) - reference_logp.astype(np.float64)
    return _Part(rows, lengths, token_ids.astype(np.int64), change, gained.astype(np.float64), *_typed(kept))


def _part_of(run: Run, model: Model, part: int, whole: Ints, rows: Ints) -> _Part | None:
    """The part without the responses that evidence is null of, as they did not fit into memory."""
    return _part(run, model, part, whole) if len(whole) < len(rows) else None


def _typed(kept: list[NDArray]) -> tuple[Ints, Ints, Array, Array]:
    counts, ids, logp, reference = kept
    return counts.astype(np.int64), ids.astype(np.int64), logp.astype(np.float64), reference.astype(np.float64)


def _chosen(table: pa.Table, rows: Ints) -> pa.Table:
    """The chosen responses of these rows, by row."""
    kept = table.filter(pa.array((side_places(table) == 0) & np.isin(table["row"].to_numpy(), rows)))
    order = np.argsort(kept["row"].to_numpy(), kind="stable")
    return kept.take(pa.array(order))


def _filled(found: list[_Part], contexts: Contexts, vocab: pa.Table | None) -> tuple[Tokens, Kept]:
    joined = _Part(*(np.concatenate(column) for column in zip(*found, strict=True)))
    rows, lengths, ids = joined.rows, joined.lengths, joined.token_ids
    pair = np.repeat(np.arange(len(rows)), lengths)
    before = previous(lengths, ids)
    loss = np.maximum(-joined.change, 0)
    weight = loss / np.maximum(np.bincount(pair, loss, len(rows)), 1e-12)[pair]
    counts = contexts.of(rows[pair], before, ids)
    slack = PSEUDO * contexts.n_pairs
    x = (counts.rejects - counts.chooses) / np.maximum(counts.rejects + counts.chooses + slack, 1e-12)
    kept = _kept(joined, rows[pair], before, contexts, slack)._replace(special=specials(vocab, joined.ids))
    rise = np.maximum(kept.change, 0) / np.maximum(joined.gained[kept.token], 1e-12)
    size = len(ids)
    pulled = np.bincount(kept.token, rise * kept.surely, size)
    no_data = np.bincount(kept.token, rise * (kept.gainer == GAINERS.index("no_data")), size)
    label = np.bincount(kept.token, np.where(kept.ids == ids[kept.token], kept.change, 0.0), size)
    position = np.arange(size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    where = places(lengths, specials(vocab, ids), sentence_ends(vocab, lengths, ids))
    return (
        Tokens(
            pair, position, where, before, ids, joined.change, weight, x,
            np.clip(pulled, 0, 1), np.clip(no_data, 0, 1 - np.clip(pulled, 0, 1)), label, joined.gained,
        ),
        kept,
    )  # fmt: skip


def _kept(joined: _Part, rows: Ints, before: Ints, contexts: Contexts, slack: float) -> Kept:
    """The named ids; which of them are special is not known here."""
    token = np.repeat(np.arange(len(joined.token_ids)), joined.n_top)
    reference = np.exp(joined.reference_logp)
    change = np.exp(joined.logp) - reference
    counts = contexts.of(rows[token], before[token], joined.ids)
    gap, total = counts.chooses - counts.rejects, counts.chooses + counts.rejects
    likeliest = np.full(len(joined.token_ids), -np.inf)
    np.maximum.at(likeliest, token, joined.reference_logp)
    conditions = [
        gap > 0, gap < 0, counts.own_rejects, (reference <= UNLIKELY) & ~counts.seen,
        joined.reference_logp == likeliest[token],
    ]  # fmt: skip
    gainer = np.select(conditions, range(len(conditions)), GAINERS.index("other"))
    gainer = np.where((change <= 0) | (joined.ids == joined.token_ids[token]), -1, gainer)
    surely = np.where(gainer >= 0, np.maximum(gap, 0) / np.maximum(total + slack, 1e-12), 0.0)
    return Kept(token, joined.ids, change, gainer.astype(np.int64), surely, np.zeros(len(token), dtype=bool))


def _shares(pair: Ints, parts: dict[str, Array], n_pairs: int, groups: Ints) -> dict[str, Share]:
    sums = np.stack([np.bincount(pair, part, n_pairs) for part in parts.values()], axis=1)
    low, high = ratio_intervals(sums, np.ones_like(sums), groups, int(groups.max(initial=-1)) + 1)
    return {
        name: Share(float(value), float(one), float(other))
        for name, value, one, other in zip(parts, sums.mean(axis=0), low, high, strict=True)
    }

"""Builds the mass ledger of a checkpoint from the scores and the evidence ``topk`` in the run folder."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import BigramCounts, previous_tokens
from dpo_analysis.diagnosis.ledger.ledger import RECIPIENTS, TINY, Ledger, LedgerTokens, TopTokens, sum_by
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.diagnosis.thresholds import IMPROBABLE_TOKEN, PSEUDO_COUNT_SHARE
from dpo_analysis.numerics.segments import segment_positions
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, SIDES
from dpo_analysis.text.regions import sentence_ends, token_regions
from dpo_analysis.text.token_types import special_tokens_mask

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MAX_FALLEN_PAIRS = 512
"""Fallen pairs that are read without evidence: as many as ``score`` collects evidence of."""


def read_ledger(
    run: Run, log_ratios: SeriesLogRatios, index: int, bigrams: BigramCounts, *, without_evidence: bool = False
) -> Ledger | None:
    """Return the ledger of the checkpoint at ``index``; None where no fallen pair has evidence ``topk``.

    Args:
        run: an open run.
        log_ratios: the log-ratios of the series.
        index: index of the checkpoint in them.
        bigrams: what the other pairs choose and reject.
        without_evidence: read the tokens alone, of ``MAX_FALLEN_PAIRS`` pairs that fell at most, the largest falls.

    Raises:
        StorageError: a part is damaged.
    """
    model, fallen = log_ratios.models[index], log_ratios.rows[log_ratios.fallen(index)]
    if without_evidence:
        if not run.has_tokens:
            return None
        change = log_ratios.chosen[index][log_ratios.fallen(index)]
        fallen = fallen[np.argsort(change, kind="stable")[:MAX_FALLEN_PAIRS]]
    read = _read_tokens if without_evidence else _read_part
    parts = [read(run, model, part, fallen) for part in run.parts_done(model)] if len(fallen) else []
    parts = [part for part in parts if part is not None]
    if not parts:
        return None
    responses = FallenResponses(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.argsort(log_ratios.rows, kind="stable")
    pair_indices = order[np.searchsorted(log_ratios.rows, responses.rows, sorter=order)]
    tokens, top_tokens = balance_tokens(responses, bigrams, run.vocab())
    if without_evidence:
        unknown = np.full(len(tokens.pair), np.nan)
        tokens = tokens._replace(pulled=unknown, no_data=unknown)
    return Ledger(model, responses.rows, pair_indices, tokens, top_tokens, bigrams, not without_evidence)


class FallenResponses(NamedTuple):
    """Chosen responses that fell and have evidence: per response, per token and per named token, each concatenated.

    Attributes:
        rows, lengths: shape (responses,).
        token_ids, log_ratio, gained: shape (tokens,); log_ratio in nats, gained as in ``LedgerTokens``.
        n_named: number of named tokens at each position, shape (tokens,).
        named_ids, logp, reference_logp: ids and log-probs of the named tokens, nats, shape (named,).
    """

    rows: Ints
    lengths: Ints
    token_ids: Ints
    log_ratio: Array
    gained: Array
    n_named: Ints
    named_ids: Ints
    logp: Array
    reference_logp: Array


def _read_part(run: Run, model: Model, part: int, fallen: Ints) -> FallenResponses | None:
    """Read the responses that fell of one part; None where none of them has evidence."""
    evidence = _chosen_responses(run.evidence("topk", model, part), fallen)
    # Evidence is null where a response did not fit into memory while it was collected.
    evidence = evidence.filter(pc.is_valid(evidence["gained"]))
    if not evidence.num_rows:
        return None
    rows = evidence["row"].to_numpy()
    columns = ["row", "side", "logp"]
    responses = _chosen_responses(run.responses(part, columns=["row", "side", "token_ids"]), rows)
    policy = _chosen_responses(run.scores(model, part, columns=columns), rows)
    reference = _chosen_responses(run.scores(run.reference, part, columns=columns), rows)
    lengths, token_ids = flatten_lists(responses["token_ids"])
    return FallenResponses(
        rows,
        lengths,
        token_ids.astype(np.int64),
        _floats(policy["logp"]) - _floats(reference["logp"]),
        _floats(evidence["gained"]),
        _integers(evidence["n_top"]),
        _integers(evidence["top_id"]),
        _floats(evidence["top_logp"]),
        _floats(evidence["top_reference_logp"]),
    )


def _read_tokens(run: Run, model: Model, part: int, fallen: Ints) -> FallenResponses | None:
    """Read the responses that fell of one part without evidence; None where the part holds none of them."""
    columns = ["row", "side", "logp"]
    responses = _chosen_responses(run.responses(part, columns=["row", "side", "token_ids"]), fallen)
    if not responses.num_rows:
        return None
    policy, reference = (
        _chosen_responses(run.scores(scorer, part, columns=columns), fallen) for scorer in (model, run.reference)
    )
    lengths, token_ids = flatten_lists(responses["token_ids"])
    return FallenResponses(
        responses["row"].to_numpy(),
        lengths,
        token_ids.astype(np.int64),
        _floats(policy["logp"]) - _floats(reference["logp"]),
        gained=np.full(len(token_ids), np.nan),
        n_named=np.zeros(len(token_ids), dtype=np.int64),
        named_ids=np.zeros(0, dtype=np.int64),
        logp=np.zeros(0),
        reference_logp=np.zeros(0),
    )


def _chosen_responses(table: pa.Table, rows: Ints) -> pa.Table:
    """Return the lines of the chosen responses of these rows, by row."""
    chosen = side_indices(table) == SIDES.index(CHOSEN)
    kept = table.filter(pa.array(chosen & np.isin(table["row"].to_numpy(), rows)))
    order = np.argsort(kept["row"].to_numpy(), kind="stable")
    return kept.take(pa.array(order))


def _integers(column: pa.ChunkedArray) -> Ints:
    return flatten_lists(column)[1].astype(np.int64)


def _floats(column: pa.ChunkedArray) -> Array:
    return flatten_lists(column)[1].astype(np.float64)


def balance_tokens(
    responses: FallenResponses, bigrams: BigramCounts, vocab: pa.Table | None
) -> tuple[LedgerTokens, TopTokens]:
    """Return the tokens that lost, and the named tokens with who got what."""
    lengths, ids = responses.lengths, responses.token_ids
    size, n_pairs = len(ids), len(responses.rows)
    pair = np.repeat(np.arange(n_pairs), lengths)
    previous = previous_tokens(lengths, ids)
    loss = np.maximum(-responses.log_ratio, 0)
    others = bigrams.look_up(responses.rows[pair], previous, ids)
    pseudo_count = PSEUDO_COUNT_SHARE * bigrams.n_clusters
    top_tokens = _top_tokens(responses, responses.rows[pair], previous, bigrams, vocab)
    index = top_tokens.index
    gained_shares = np.maximum(top_tokens.change, 0) / np.maximum(responses.gained[index], TINY)
    no_data = top_tokens.recipient == RECIPIENTS.index("no_data")
    is_label = top_tokens.ids == ids[index]
    pulled = np.clip(sum_by(index, gained_shares * top_tokens.chosen_weight, size), 0, 1)
    tokens = LedgerTokens(
        pair=pair,
        position=segment_positions(lengths),
        region=token_regions(lengths, special_tokens_mask(vocab, ids), sentence_ends(vocab, lengths, ids)),
        previous_ids=previous,
        token_ids=ids,
        log_ratio=responses.log_ratio,
        loss_share=loss / np.maximum(sum_by(pair, loss, n_pairs), TINY)[pair],
        x=(others.rejects - others.chooses) / np.maximum(others.rejects + others.chooses + pseudo_count, TINY),
        pulled=pulled,
        no_data=np.clip(sum_by(index, gained_shares * no_data, size), 0, 1 - pulled),
        label_change=sum_by(index, np.where(is_label, top_tokens.change, 0.0), size),
        gained=responses.gained,
    )
    return tokens, top_tokens


def _top_tokens(
    responses: FallenResponses, rows: Ints, previous: Ints, bigrams: BigramCounts, vocab: pa.Table | None
) -> TopTokens:
    """Return the named tokens and who of them got the probability.

    Args:
        responses: the chosen responses that fell.
        rows: row of each token's pair, shape (tokens,).
        previous: id of each previous token, shape (tokens,).
        bigrams: what the other pairs choose and reject.
        vocab: the vocabulary, which says what is special; None where it was not stored.
    """
    index = np.repeat(np.arange(len(responses.token_ids)), responses.n_named)
    probability = np.exp(responses.reference_logp)
    change = np.exp(responses.logp) - probability
    others = bigrams.look_up(rows[index], previous[index], responses.named_ids)
    excess, total = others.chooses - others.rejects, others.chooses + others.rejects
    likeliest = np.full(len(responses.token_ids), -np.inf)
    np.maximum.at(likeliest, index, responses.reference_logp)
    conditions = {
        "chosen": excess > 0,
        "rejected": excess < 0,
        "own_rejected": others.rejected_by_pair,
        "no_data": (probability <= IMPROBABLE_TOKEN) & ~others.seen,
        "likeliest": responses.reference_logp == likeliest[index],
    }
    codes = [RECIPIENTS.index(name) for name in conditions]
    recipient = np.select(list(conditions.values()), codes, RECIPIENTS.index("other"))
    is_label = responses.named_ids == responses.token_ids[index]
    recipient = np.where((change <= 0) | is_label, -1, recipient).astype(np.int64)
    pseudo_count = PSEUDO_COUNT_SHARE * bigrams.n_clusters
    chosen_weight = np.where(recipient >= 0, np.maximum(excess, 0) / np.maximum(total + pseudo_count, TINY), 0.0)
    special = special_tokens_mask(vocab, responses.named_ids)
    return TopTokens(index, responses.named_ids, change, recipient, chosen_weight, special)

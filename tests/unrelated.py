"""Ledgers in memory of runs in which no pair has anything to do with another: random texts, labels and losses."""

import numpy as np

from dpo_analysis.diagnosis.ledger.bigram_counts import BigramCounts, previous_tokens
from dpo_analysis.diagnosis.ledger.bigram_index import BigramIndex, key_sets
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.ledger.reader import FallenResponses, balance_tokens
from dpo_analysis.runs import Model

CHECKPOINT = Model("s", "checkpoint-1", 1, "fake", "m", "w" * 64)
NAMED = 5
"""Tokens that the evidence names at each position, the label among them."""


class CountsInMemory(BigramCounts):
    """Bigram counts of texts that no run folder holds; row n is pair n."""

    def __init__(self, responses, groups=None, counted=None):
        base = 2 + max(int(ids.max(initial=0)) for side in responses for ids in side)
        sets = []
        for side in responses:
            lengths = np.array([len(ids) for ids in side])
            ids = np.concatenate(side)
            pairs = np.repeat(np.arange(len(side)), lengths)
            sets.append(key_sets(base, len(side), pairs, previous_tokens(lengths, ids), ids))
        groups = np.arange(len(responses[0])) if groups is None else np.asarray(groups)
        self.__dict__["index"] = BigramIndex.of(base, groups, sets[0], sets[1], counted)

    def clusters(self, rows):
        """The cluster of each row."""
        return self.index.cluster_of[rows]


def random_texts(rng, pairs, vocabulary=120, tokens=30):
    """Chosen and rejected responses of tokens that follow Zipf's law, independent of each other."""
    weights = 1 / (1 + np.arange(vocabulary))
    chosen, rejected = (
        [rng.choice(vocabulary, rng.integers(tokens // 2, 2 * tokens), p=weights / weights.sum()) for _ in range(pairs)]
        for _ in range(2)
    )
    return chosen, rejected


def random_ledger(rng, texts, rows, groups=None, counted=None):
    """The ledger of these fallen rows: every token's change and the tokens that gained are drawn at random."""
    lengths = np.array([len(texts[0][row]) for row in rows])
    ids = np.concatenate([texts[0][row] for row in rows])
    # From both sides: tokens of chosen responses alone would be chosen elsewhere more often than rejected.
    of_both = np.concatenate([side[row] for side in texts for row in rows])
    named = np.concatenate([ids[:, None], rng.choice(of_both, (len(ids), NAMED - 1))], axis=1)
    before, after = rng.exponential(size=(2, *named.shape))
    responses = FallenResponses(
        rows=np.asarray(rows),
        lengths=lengths,
        token_ids=ids,
        log_ratio=rng.exponential(size=len(ids)) * rng.choice([-1, 1], len(ids), p=[0.6, 0.4]),
        gained=np.maximum(after - before, 0).sum(axis=1) / 20,
        n_named=np.full(len(ids), NAMED),
        named_ids=named.ravel(),
        logp=np.log(after.ravel() / 20),
        reference_logp=np.log(before.ravel() / 20),
    )
    counts = CountsInMemory(texts, groups, counted)
    tokens, top_tokens = balance_tokens(responses, counts, None)
    return Ledger(CHECKPOINT, np.asarray(rows), np.arange(len(rows)), tokens, top_tokens, counts)

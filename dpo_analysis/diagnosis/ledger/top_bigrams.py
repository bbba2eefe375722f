"""The bigrams of a ledger that lost most and those that gained most, and what the other pairs do with them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.vocabulary import Vocabulary, read_vocabulary
from dpo_analysis.diagnosis.findings import BigramChange
from dpo_analysis.diagnosis.ledger.bigram_counts import RESPONSE_START
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.runs import Run
from dpo_analysis.text.regions import REGIONS
from dpo_analysis.text.token_text import is_whole_text

LOST, GAINED = "lost", "gained"
KEY = ["before", "token"]
SPARE = 4
"""So many times as many bigrams are ranked as are shown, in place of those that are no whole text."""
Ints = NDArray[np.int64]


class BigramAmounts(NamedTuple):
    """Bigrams with the amount that each lost or gained, one for each time it occurs; each of shape (occurrences,).

    Attributes:
        previous_ids: ids of the previous tokens; ``RESPONSE_START`` for none.
        token_ids: ids of the tokens.
        region: index in ``text.regions.REGIONS``.
        pair: index of the pair in ``Ledger.rows``.
        nats: what the bigram lost, or for one that gained what the label at its position lost times its share of the
            probability that moved there; not negative.
    """

    previous_ids: Ints
    token_ids: Ints
    region: Ints
    pair: Ints
    nats: NDArray[np.float64]


def lost_bigrams(ledger: Ledger) -> BigramAmounts:
    """Return what the bigrams of the chosen responses that fell lost, in nats."""
    tokens = ledger.tokens
    return BigramAmounts(tokens.previous_ids, tokens.token_ids, tokens.region, tokens.pair, tokens.lost)


def gained_bigrams(ledger: Ledger) -> BigramAmounts:
    """Return what the named tokens gained behind the previous tokens of the chosen responses that fell, in nats."""
    tokens, top_tokens = ledger.tokens, ledger.top_tokens
    named = top_tokens.recipient >= 0
    index = top_tokens.index[named]
    nats = tokens.lost[index] * ledger.gained_shares[named]
    return BigramAmounts(
        tokens.previous_ids[index], top_tokens.ids[named], tokens.region[index], tokens.pair[index], nats
    )


def find_top_bigrams(run: Run, ledger: Ledger, count: int = 12) -> list[BigramChange]:
    """Return the ``count`` bigrams that lost most, then the ``count`` that gained most.

    Bigrams with a token that is no whole text, such as a part of a Chinese character, are left out.

    Raises:
        StorageError: a part is damaged.
    """
    amounts = {LOST: lost_bigrams(ledger), GAINED: gained_bigrams(ledger)}
    vocabulary = read_vocabulary(run)
    ways = [_readable(_largest(ledger, part, way, SPARE * count), vocabulary) for way, part in amounts.items()]
    table = pd.concat([way.head(count) for way in ways], ignore_index=True)
    previous, tokens = (table[name].to_numpy() for name in KEY)
    before = np.where(previous == RESPONSE_START, "", vocabulary.texts(previous))
    table = table.assign(before=before, token=vocabulary.texts(tokens))[list(BigramChange._fields)]
    return [BigramChange(*row) for row in zip(*(table[name].tolist() for name in table), strict=True)]


def _readable(table: pd.DataFrame, vocabulary: Vocabulary) -> pd.DataFrame:
    """Return the rows of which both tokens are whole text."""
    contents = [vocabulary.bytes_and_texts(table[name].to_numpy())[0] for name in KEY]
    whole = [is_whole_text(before) and is_whole_text(token) for before, token in zip(*contents, strict=True)]
    return table[np.array(whole, dtype=bool)]


def _largest(ledger: Ledger, amounts: BigramAmounts, way: str, count: int) -> pd.DataFrame:
    """Return the bigrams with the largest sums, with token ids in the columns ``KEY``."""
    others = ledger.bigrams.look_up(ledger.rows[amounts.pair], amounts.previous_ids, amounts.token_ids)
    occurrences = pd.DataFrame(
        {
            "before": amounts.previous_ids,
            "token": amounts.token_ids,
            "region": amounts.region,
            "pair": amounts.pair,
            "nats": amounts.nats,
            "rejects": others.rejects,
            "chooses": others.chooses,
        }
    )
    occurrences = occurrences[occurrences["nats"] > 0]
    by_bigram = occurrences.groupby(KEY, sort=False)
    table = by_bigram.agg(
        n_pairs=("pair", "nunique"), nats=("nats", "sum"), rejects=("rejects", "mean"), chooses=("chooses", "mean")
    )
    largest = occurrences.loc[by_bigram["nats"].idxmax()] if len(occurrences) else occurrences
    table["place"] = [REGIONS[code] for code in largest.set_index(KEY)["region"].reindex(table.index)]
    table["nats"] /= max(len(ledger.rows), 1)
    return table.nlargest(count, "nats").reset_index().assign(way=way)

"""The word pairs behind a ledger: which lost most, which gained most, and what other pairs say of them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.diagnosis.findings import Pattern
from dpo_analysis.diagnosis.ledger.bigram_counts import START
from dpo_analysis.diagnosis.ledger.ledger import GAINERS, Ledger
from dpo_analysis.runs import Run
from dpo_analysis.tables.tokens import texts_of
from dpo_analysis.text.regions import PLACES

LOST, GAINED = "lost", "gained"
Ints = NDArray[np.int64]


class _Many(NamedTuple):
    """Tokens behind others, each with its place, pair and amount."""

    before: Ints
    token_ids: Ints
    place: Ints
    pair: Ints
    amount: NDArray[np.float64]


def find_patterns(run: Run, ledger: Ledger, count: int = 12) -> list[Pattern]:
    """The word pairs that lost most, then those that gained most at the fallen tokens, ``count`` of each."""
    tokens, kept = ledger.tokens, ledger.kept
    lost = np.maximum(-tokens.change, 0)
    losers = _Many(tokens.before, tokens.token_ids, tokens.place, tokens.pair, lost)
    named = kept.gainer >= 0
    at = kept.token[named]
    gain = lost[at] * np.maximum(kept.change[named], 0) / np.maximum(tokens.gained[at], 1e-12)
    gainers = _Many(tokens.before[at], kept.ids[named], tokens.place[at], tokens.pair[at], gain)
    frames = [_top(ledger, many, way, count) for way, many in ((LOST, losers), (GAINED, gainers))]
    table = pd.concat(frames, ignore_index=True)
    before, token = texts_of(run, table["before"].to_numpy()), texts_of(run, table["token"].to_numpy())
    start = table["before"].to_numpy() == START
    table = table.assign(before=np.where(start, "", before), token=token)[list(Pattern._fields)]
    return [Pattern(*row) for row in zip(*(table[name].tolist() for name in table), strict=True)]


def main_gainer(values: dict[str, float]) -> str:
    """Which of ``ledger.GAINERS`` got most."""
    return max(GAINERS, key=lambda name: values.get(name, 0.0))


def _top(ledger: Ledger, many: _Many, way: str, count: int) -> pd.DataFrame:
    counts = ledger.contexts.of(ledger.rows[many.pair], many.before, many.token_ids)
    frame = pd.DataFrame(
        {"before": many.before, "token": many.token_ids, "place": many.place, "pair": many.pair, "nats": many.amount,
         "rejects": counts.rejects, "chooses": counts.chooses}
    )  # fmt: skip
    frame = frame[frame["nats"] > 0]
    grouped = frame.groupby(["before", "token"], sort=False)
    place = frame.loc[grouped["nats"].idxmax()].set_index(["before", "token"])["place"] if len(frame) else None
    table = grouped.agg(
        n_pairs=("pair", "nunique"), nats=("nats", "sum"), rejects=("rejects", "mean"), chooses=("chooses", "mean")
    )
    if place is not None:
        table["place"] = [PLACES[one] for one in place.reindex(table.index)]
    table["nats"] /= max(len(ledger.rows), 1)
    return table.nlargest(count, "nats").reset_index().assign(way=way)

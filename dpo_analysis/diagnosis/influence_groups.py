"""Which groups of training pairs to ask about the lost tokens: formed by the ledger, for ``score --confirm``.

own: the fallen pairs whose tokens are the targets; rejected_has_lost: pairs whose rejected response alone has one of
the word pairs that lost most; chosen_has_gained: of the others those whose chosen response alone has one that gained
most; rest: the rest. A pair is in the first of them that it fits.

Nothing is asked where a loss is spread over many word pairs (a group picked from such an outcome looks guilty by
chance), nor at the start of a training, where drift has the wrong sign.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.diagnosis.fall_detection import Path
from dpo_analysis.diagnosis.ledger.bigram_counts import COUNTED, TRAIN, Contexts, previous
from dpo_analysis.diagnosis.ledger.ledger import Ledger, read_ledger
from dpo_analysis.diagnosis.thresholds import CONCENTRATED
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.influence import Asked, Question
from dpo_analysis.runs.evidence.kinds import draw, sampled
from dpo_analysis.runs.list_columns import lists, side_places

OWN, PUSHERS, PULLERS, REST = "own", "rejected_has_lost", "chosen_has_gained", "rest"
GROUPS = (OWN, PUSHERS, PULLERS, REST)
GROUP_PAIRS = 48
"""Pairs of a group, drawn by the hash of pair_id."""
LEAST = 8
"""Pairs below which a group is not asked about."""
TARGETS = 24
"""Fallen responses that are watched, those that lost most on the worst word pairs."""
WORST = 5
"""Word pairs that lost, and that gained, most."""
Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def questions(run: Run, series: str | None = None, split: str | None = None) -> list[Question]:
    """What to ask two checkpoints of a series, or of every one; empty where nothing should be asked.

    Args:
        run: a run of which everything is scored.
        series: one series; None for all.
        split: whose fallen pairs are watched; None for ``eval`` where the run has it, else its first.

    Raises:
        InputError: no such series or split.
        StorageError: a part is damaged.
    """
    return list(ask(run, series, split).questions)


def ask(run: Run, series: str | None = None, split: str | None = None) -> Asked:
    """``questions``, and a line for every series of which nothing is asked, with the reason; errors as there."""
    where = split or ("eval" if "eval" in run.splits else run.splits[0])
    if TRAIN not in run.splits:
        why = f"nothing to confirm with: no split {TRAIN!r} in this run; score the pairs that were trained on, too"
        return Asked((), (f"{why} ({TRAIN}=PAIRS)",))
    contexts = Contexts(run, TRAIN)
    found: list[Question] = []
    notes = []
    for name in [series] if series else run.series:
        answer = _of_series(run, name, where, contexts)
        if isinstance(answer, str):
            notes.append(f"nothing to confirm of series {name}: {answer}")
        else:
            found += answer
    return Asked(tuple(found), tuple(notes))


def _of_series(run: Run, series: str, split: str, contexts: Contexts) -> list[Question] | str:
    """The questions to a series, or why there are none."""
    path = Path(run, series, split)
    if not path.established:
        return "no decline is established"
    ledgers = (read_ledger(run, path, place, contexts) for place in path.readable)
    ledger = next((one for one in ledgers if one is not None), None)
    if ledger is None:
        return "no evidence topk of its fallen pairs is in this run; score with --evidence fallen"
    lost, gained = _lost(ledger), _gained(ledger)
    if lost.share < CONCENTRATED:
        return (
            f"its loss is spread over many word pairs ({lost.share:.0%} of the nats on the worst {WORST}, "
            f"{CONCENTRATED:.0%} needed): a group picked from it would look guilty by chance"
        )
    targets = _targets(ledger, lost)
    groups = _groups(run, [row for row, _ in targets], lost, gained)
    if len(groups) < 2:
        return "its training pairs do not part into groups"
    return [Question(model.key, split, groups, targets) for model in _checkpoints(path, ledger)]


def _checkpoints(path: Path, ledger: Ledger) -> list[Model]:
    """The one that the ledger was read at, or the one in the middle where that is the last; and the last. Never step 0.

    Later, pairs are won and their gradients gone: what pushed is seen best where the decline is first established.
    """
    models = [one for one in path.models if one.step != 0]
    early = ledger.model if ledger.model != path.models[-1] else models[(len(models) - 1) // 2]
    return list(dict.fromkeys(one for one in (early, path.models[-1]) if one.step != 0))


class _Worst(NamedTuple):
    """The word pairs with the largest amounts.

    Attributes:
        keys: (previous token, token) as one number, sorted.
        share: of all nats on them.
    """

    keys: Ints
    share: float


def _key(before: Ints, token_ids: Ints) -> Ints:
    return (before + 1) * 2**32 + token_ids


def _lost(ledger: Ledger) -> _Worst:
    tokens = ledger.tokens
    return _worst(_key(tokens.before, tokens.token_ids), np.maximum(-tokens.change, 0))


def _gained(ledger: Ledger) -> _Worst:
    """By the lost nats of a position times the share of its gained probability."""
    tokens, kept = ledger.tokens, ledger.kept
    named = kept.gainer >= 0
    at = kept.token[named]
    share = np.maximum(kept.change[named], 0) / np.maximum(tokens.gained[at], 1e-12)
    return _worst(_key(tokens.before[at], kept.ids[named]), np.maximum(-tokens.change[at], 0) * share)


def _worst(keys: Ints, amounts: Array) -> _Worst:
    known, place = np.unique(keys, return_inverse=True)
    sums = np.bincount(place, amounts, len(known))
    first = np.sort(np.argsort(-sums, kind="stable")[:WORST])
    return _Worst(known[first], float(sums[first].sum() / max(sums.sum(), 1e-300)))


def _targets(ledger: Ledger, lost: _Worst) -> list[tuple[int, tuple[int, ...]]]:
    """Rows and positions of the tokens that lost most on the worst word pairs, the worst response first."""
    tokens = ledger.tokens
    here = np.isin(_key(tokens.before, tokens.token_ids), lost.keys) & (tokens.change < 0)
    sums = np.bincount(tokens.pair[here], -tokens.change[here], len(ledger.rows))
    first = [one for one in np.argsort(-sums, kind="stable")[:TARGETS].tolist() if sums[one] > 0]
    return [(int(ledger.rows[one]), tuple(tokens.position[here & (tokens.pair == one)].tolist())) for one in first]


def _groups(run: Run, own: list[int], lost: _Worst, gained: _Worst) -> dict[str, tuple[int, ...]]:
    """Rows of the training pairs of each group that is large enough; a pair is in one only."""
    pairs = inputs(run).pairs
    pairs = pairs[pairs["split"] == TRAIN]
    pairs = pairs[sampled(list(pairs["pair_id"]), list(pairs["split"]), list(pairs["status"]), COUNTED)]
    rows = pairs["row"].to_numpy()
    order = np.argsort([draw(one) for one in pairs["pair_id"]], kind="stable")
    pushes, pulls = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for place, has in _has(run, rows, lost.keys, gained.keys):
        (chosen_lost, chosen_gained), (rejected_lost, rejected_gained) = has
        pushes[place] = (rejected_lost & ~chosen_lost).any()
        pulls[place] = (chosen_gained & ~rejected_gained).any()
    kinds = np.select([np.isin(rows, own), pushes, pulls], [OWN, PUSHERS, PULLERS], default=REST)
    found = {name: rows[order[kinds[order] == name]][:GROUP_PAIRS] for name in GROUPS}
    return {name: tuple(some.tolist()) for name, some in found.items() if len(some) >= LEAST}


_Has = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which of the lost and which of the gained word pairs a response has."""


def _has(run: Run, rows: Ints, lost: Ints, gained: Ints) -> Iterator[tuple[int, tuple[_Has, _Has]]]:
    """The place of every pair in ``rows``, and what its chosen and its rejected response have."""
    for part in sorted(set((rows // run.part_size).tolist())):
        table = run.responses(part, columns=["row", "side", "token_ids"])
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows) & (side_places(table) >= 0)))
        lengths, ids = lists(table["token_ids"])
        keys = _key(previous(lengths, ids.astype(np.int64)), ids.astype(np.int64))
        own = {
            (row, side): (np.isin(lost, some), np.isin(gained, some))
            for row, side, some in zip(
                table["row"].to_pylist(), side_places(table).tolist(), np.split(keys, np.cumsum(lengths)[:-1]),
                strict=True,
            )
        }  # fmt: skip
        for row in {row for row, _ in own}:
            if (row, 0) in own and (row, 1) in own:
                yield int(np.searchsorted(rows, row)), (own[row, 0], own[row, 1])

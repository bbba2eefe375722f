"""The groups of training pairs whose influence on the lost tokens ``score --confirm`` measures, formed by the ledger.

own: the pairs that fell whose tokens are the targets. rejected_has_lost: pairs whose rejected response alone has one of
the bigrams that lost most. chosen_has_gained: pairs whose chosen response alone has one of the bigrams that gained
most. rest: all other pairs. A pair belongs to the first of these groups that it fits.

Nothing is measured where the loss is spread over many bigrams, since a group that is picked from such an outcome looks
guilty by chance, nor at the start of a training, where drift has the wrong sign.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import TRAIN_SPLIT, BigramCounts, previous_tokens, sampled_pairs
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.ledger.reader import read_ledger
from dpo_analysis.diagnosis.ledger.top_bigrams import BigramAmounts, gained_bigrams, lost_bigrams
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios, default_split
from dpo_analysis.diagnosis.thresholds import CONCENTRATED_SHARE
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.influence import Question, Questions
from dpo_analysis.runs.evidence.kinds import draw_key
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES

OWN, PUSHERS, PULLERS, REST = "own", "rejected_has_lost", "chosen_has_gained", "rest"
GROUPS = (OWN, PUSHERS, PULLERS, REST)
GROUP_PAIRS = 48
"""Pairs of a group at most, drawn by the hash of pair_id."""
LEAST_GROUP_PAIRS = 8
"""Pairs below which a group is left out."""
MAX_TARGETS = 24
"""Responses that fell whose tokens are targets at most: those that lost most on the worst bigrams."""
WORST_BIGRAMS = 5
"""Bigrams that lost most, and bigrams that gained most, by which the groups are formed."""
Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def choose_questions(run: Run, series: str | None = None, split: str | None = None) -> Questions:
    """Return what to measure at two checkpoints of each series, and a note for each series where nothing can be.

    Args:
        run: a run whose parts are all scored.
        series: a single series; None for all.
        split: split of the pairs that fell; None for ``default_split``.

    Raises:
        InputError: the run has no such series or split.
        StorageError: a part is damaged.
    """
    split = split or default_split(run)
    if TRAIN_SPLIT not in run.splits:
        why = (
            f"nothing to confirm with: no split {TRAIN_SPLIT!r} in this run; score the pairs that were trained on, too"
        )
        return Questions((), (f"{why} ({TRAIN_SPLIT}=PAIRS)",))
    bigrams = BigramCounts(run, TRAIN_SPLIT)
    questions: list[Question] = []
    notes = []
    for name in [series] if series else run.series:
        result = _questions_of_series(run, name, split, bigrams)
        if isinstance(result, str):
            notes.append(f"nothing to confirm of series {name}: {result}")
        else:
            questions += result
    return Questions(tuple(questions), tuple(notes))


def _questions_of_series(run: Run, series: str, split: str, bigrams: BigramCounts) -> list[Question] | str:
    """Return the questions for one series, or why there are none."""
    log_ratios = SeriesLogRatios(run, series, split)
    if not log_ratios.established:
        return "no decline is established"
    ledgers = (read_ledger(run, log_ratios, index, bigrams) for index in log_ratios.readable)
    ledger = next((ledger for ledger in ledgers if ledger is not None), None)
    if ledger is None:
        return "no evidence topk of its pairs that fell is in this run; score with --evidence fallen"
    lost, gained = _worst(lost_bigrams(ledger)), _worst(gained_bigrams(ledger))
    if lost.share < CONCENTRATED_SHARE:
        return (
            f"its loss is spread over many word pairs ({lost.share:.0%} of the nats on the worst {WORST_BIGRAMS}, "
            f"{CONCENTRATED_SHARE:.0%} needed): a group picked from it would look guilty by chance"
        )
    targets = _targets(ledger, lost)
    groups = _groups(run, [row for row, _ in targets], lost, gained)
    if len(groups) < 2:
        return "its training pairs do not part into groups"
    return [Question(model.key, split, groups, targets) for model in _checkpoints(log_ratios, ledger)]


def _checkpoints(log_ratios: SeriesLogRatios, ledger: Ledger) -> list[Model]:
    """Return the checkpoints to measure at: the ledger's, or a middle one where that is the last; and the last.

    Later in training pairs are won and their gradients vanish, so a push is seen best where the decline is first
    established. Step 0 is never measured.
    """
    models = [model for model in log_ratios.models if model.step != 0]
    last = log_ratios.models[-1]
    early = ledger.model if ledger.model != last else models[(len(models) - 1) // 2]
    return list(dict.fromkeys(model for model in (early, last) if model.step != 0))


class _WorstBigrams(NamedTuple):
    """The bigrams with the largest amounts.

    Attributes:
        keys: previous token and token as one number, sorted, shape (bigrams,).
        share: share of all nats that lies on them.
    """

    keys: Ints
    share: float


def _key(previous_ids: Ints, token_ids: Ints) -> Ints:
    return (previous_ids + 1) * 2**32 + token_ids


def _worst(amounts: BigramAmounts) -> _WorstBigrams:
    keys, bigram = np.unique(_key(amounts.previous_ids, amounts.token_ids), return_inverse=True)
    sums = np.bincount(bigram, amounts.nats, len(keys))
    largest = np.sort(np.argsort(-sums, kind="stable")[:WORST_BIGRAMS])
    return _WorstBigrams(keys[largest], float(sums[largest].sum() / max(sums.sum(), 1e-300)))


def _targets(ledger: Ledger, lost: _WorstBigrams) -> list[tuple[int, tuple[int, ...]]]:
    """Return rows and positions of the tokens that lost on the worst bigrams, the response that lost most first."""
    tokens = ledger.tokens
    mask = np.isin(_key(tokens.previous_ids, tokens.token_ids), lost.keys) & (tokens.log_ratio < 0)
    sums = np.bincount(tokens.pair[mask], tokens.lost[mask], len(ledger.rows))
    worst = [pair for pair in np.argsort(-sums, kind="stable")[:MAX_TARGETS].tolist() if sums[pair] > 0]
    return [(int(ledger.rows[pair]), tuple(tokens.position[mask & (tokens.pair == pair)].tolist())) for pair in worst]


def _groups(run: Run, own: Sequence[int], lost: _WorstBigrams, gained: _WorstBigrams) -> dict[str, tuple[int, ...]]:
    """Return the rows of the training pairs of each group that is large enough; a pair is in one group only."""
    pairs = sampled_pairs(run, TRAIN_SPLIT)
    rows = pairs["row"].to_numpy()
    order = np.argsort([draw_key(pair_id) for pair_id in pairs["pair_id"]], kind="stable")
    pushes, pulls = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for index, chosen, rejected in _bigrams_of_pairs(run, rows, lost.keys, gained.keys):
        pushes[index] = (rejected.lost & ~chosen.lost).any()
        pulls[index] = (chosen.gained & ~rejected.gained).any()
    names = np.select([np.isin(rows, own), pushes, pulls], [OWN, PUSHERS, PULLERS], default=REST)
    groups = {name: rows[order[names[order] == name]][:GROUP_PAIRS] for name in GROUPS}
    return {name: tuple(members.tolist()) for name, members in groups.items() if len(members) >= LEAST_GROUP_PAIRS}


class _BigramsOfResponse(NamedTuple):
    """Which of the bigrams that lost most and of those that gained most a response has; each of shape (bigrams,)."""

    lost: Mask
    gained: Mask


def _bigrams_of_pairs(
    run: Run, rows: Ints, lost: Ints, gained: Ints
) -> Iterator[tuple[int, _BigramsOfResponse, _BigramsOfResponse]]:
    """Yield the index in ``rows`` of every pair, and the bigrams of its chosen and its rejected response."""
    for part in sorted(set((rows // run.part_size).tolist())):
        table = run.responses(part, columns=["row", "side", "token_ids"])
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows) & (side_indices(table) >= 0)))
        lengths, ids = flatten_lists(table["token_ids"])
        token_ids = ids.astype(np.int64)
        keys = np.split(_key(previous_tokens(lengths, token_ids), token_ids), np.cumsum(lengths)[:-1])
        bigrams: dict[int, dict[str, _BigramsOfResponse]] = {}
        for row, side, own in zip(table["row"].to_pylist(), side_indices(table).tolist(), keys, strict=True):
            found = _BigramsOfResponse(np.isin(lost, own), np.isin(gained, own))
            bigrams.setdefault(row, {})[SIDES[side]] = found
        for row, sides in bigrams.items():
            if len(sides) == len(SIDES):
                yield int(np.searchsorted(rows, row)), sides[CHOSEN], sides[REJECTED]

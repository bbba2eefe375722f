"""The pairs that the test of a cause marks by their texts: contradictions, opposed labels, copies, unlikely texts.

Every function takes the rows of some pairs, shape (pairs,), and returns by index in these rows the side of a marked
pair (chosen, rejected or both) and why it is marked. No change of a log-prob under a policy is looked at.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index, response_sums
from dpo_analysis.diagnosis.fall_statistics import contradicted_sides
from dpo_analysis.diagnosis.ledger.response_ids import read_response_ids
from dpo_analysis.diagnosis.ledger.reversed_labels import COMPARED_PAIRS, find_opposed_labels
from dpo_analysis.diagnosis.outcome.wrong_pairs import OPPONENTS, count_agreement_with
from dpo_analysis.diagnosis.thresholds import NEAR_COPY_DISTANCE, OFF_POLICY_GAP, SAME_START_TOKENS
from dpo_analysis.numerics.edit_distance import normalized_edit_distances
from dpo_analysis.runs import Run
from dpo_analysis.schema import CHOSEN, REJECTED
from dpo_analysis.text.numbers import fixed

Ints = NDArray[np.int64]
Marks = dict[int, tuple[str, str]]
"""Index of a marked pair -> its side, and why it is marked, in English."""
BOTH = "both"
"""The side of a pair that is marked for its two responses together."""


def contradicted(run: Run, rows: Ints) -> Marks:
    """Return the pairs with a response that another pair of the same prompt labels the other way."""
    chosen, rejected = contradicted_sides(_groups(run, rows), read_response_ids(run, rows))
    marks: Marks = {}
    for index in np.flatnonzero(chosen | rejected).tolist():
        if chosen[index] and rejected[index]:
            marks[index] = (BOTH, "other pairs of the same prompt label both responses the other way")
        elif chosen[index]:
            marks[index] = (CHOSEN, "another pair of the same prompt rejects the chosen response")
        else:
            marks[index] = (REJECTED, "another pair of the same prompt chooses the rejected response")
    return marks


def opposed_labels(run: Run, rows: Ints, *, clearly: bool) -> Marks:
    """Return the pairs whose label more other pairs oppose than support (``ledger.flipped_labels``).

    With ``clearly`` by as many pairs as the test of a contradiction needs, else by one: of the labels that look flipped
    this finds far more, beside labels that are right.
    """
    responses = read_response_ids(run, rows)
    groups = np.unique(_groups(run, rows), return_inverse=True)[1]
    scored = np.flatnonzero([min(len(chosen), len(rejected)) > 0 for chosen, rejected in zip(*responses, strict=True)])
    opponents = np.random.default_rng(0).permutation(len(rows))[:OPPONENTS]
    marks: Marks = {}
    # As many at once as the cause compares, so that a pair is judged beside as many others.
    for start in range(0, len(scored), 2 * COMPARED_PAIRS):
        compared = scored[start : start + 2 * COMPARED_PAIRS]
        if clearly:
            found = find_opposed_labels(responses, groups, compared)
            agreement, opposed = found.agreement, found.opposed
        else:
            agreement = count_agreement_with(opponents, compared, responses, groups)
            opposed = agreement.opposing > agreement.supporting
        for index, is_opposed, opposing, supporting in zip(compared.tolist(), opposed, *agreement, strict=True):
            if is_opposed:
                marks[index] = (BOTH, f"{opposing} other pairs oppose its label, {supporting} support it")
    return marks


def same_rejected(run: Run, counted: Ints, rows: Ints, *, whole: bool) -> Marks:
    """Return the pairs whose rejected response is the most frequent one among the rows ``counted``, token by token.

    Without ``whole`` the first ``SAME_START_TOKENS`` tokens are compared.
    """
    every = np.unique(np.concatenate([counted, rows]))
    texts = _beginnings(read_response_ids(run, every)[1], None if whole else SAME_START_TOKENS)
    common = Counter(text for text, is_in in zip(texts, np.isin(every, counted), strict=True) if is_in and text)
    text, n_pairs = next(iter(common.most_common(1)), (b"", 0))
    if n_pairs < 2:
        return {}
    how = "is that of" if whole else f"begins with the same {SAME_START_TOKENS} tokens in"
    places = np.searchsorted(every, rows).tolist()
    why = f"the rejected response {how} {n_pairs} pairs"
    return {index: (REJECTED, why) for index, place in enumerate(places) if texts[place] == text}


def near_copies(run: Run, rows: Ints) -> Marks:
    """Return the pairs whose two responses are nearly the same text, by their edit distance in tokens."""
    chosen, rejected = read_response_ids(run, rows)
    both = zip(chosen, rejected, strict=True)
    near = [index for index, (one, other) in enumerate(both) if _may_be_near(one, other)]
    near.sort(key=lambda index: len(chosen[index]))
    marks: Marks = {}
    for start in range(0, len(near), COMPARED_PAIRS):
        block = near[start : start + COMPARED_PAIRS]
        distances = normalized_edit_distances([chosen[i] for i in block], [rejected[i] for i in block])
        for index, distance in zip(block, distances.tolist(), strict=True):
            if distance < NEAR_COPY_DISTANCE:
                limit, exact = fixed(NEAR_COPY_DISTANCE), fixed(distance, 3)
                marks[index] = (BOTH, f"the edit distance of its responses is {exact}, below {limit}")
    return marks


def off_policy(run: Run, rows: Ints) -> Marks:
    """Return the pairs whose rejected tokens are far less likely under the reference than the chosen ones."""
    pairs = pair_index(run)
    indices = pairs.indices(rows)
    nats_per_token = response_sums(run, run.reference).logps[indices] / np.maximum(pairs.n_tokens[indices], 1)
    gaps = nats_per_token[:, 0] - nats_per_token[:, 1]
    limit = fixed(OFF_POLICY_GAP)
    why = "under the reference a rejected token is {gap} nats less likely than a chosen one, above {limit}"
    marked = np.flatnonzero(np.nan_to_num(gaps) > OFF_POLICY_GAP).tolist()
    return {index: (REJECTED, why.format(gap=fixed(gaps[index]), limit=limit)) for index in marked}


def _groups(run: Run, rows: Ints) -> NDArray:
    pairs = pair_index(run)
    return pairs.pairs["group_id"].to_numpy(dtype=object)[pairs.indices(rows)]


def _beginnings(responses: Sequence[Ints], n_tokens: int | None) -> list[bytes]:
    """Return the first tokens of each response as bytes; empty for a response with fewer tokens."""
    least = n_tokens or 1
    return [ids[:n_tokens].tobytes() if len(ids) >= least else b"" for ids in responses]


def _may_be_near(chosen: Ints, rejected: Ints) -> bool:
    """Return whether two responses may be near copies, by the tokens that both have, in any order.

    No edit distance is below the number of tokens of the longer response that the other lacks.
    """
    longer, shorter = sorted((chosen, rejected), key=len, reverse=True)
    if not len(shorter):
        return False
    shared = (Counter(longer.tolist()) & Counter(shorter.tolist())).total()
    return len(longer) - shared < NEAR_COPY_DISTANCE * len(longer)

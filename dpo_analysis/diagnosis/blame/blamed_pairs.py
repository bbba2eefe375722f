"""Which pairs a finding blames, and why: the pairs to take out of the data, or to train without.

A pair is blamed for its own texts alone, never because its chosen response fell: pairs that fell show a finding, and
most of them are sound. A cause that is no property of single pairs (training went too far, the setup differs) blames
none.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis import words
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.arrays.selection import split_mask
from dpo_analysis.diagnosis.blame import text_marks
from dpo_analysis.diagnosis.blame.text_marks import Marks
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, Diagnosis, Finding
from dpo_analysis.diagnosis.ledger.bigram_counts import TRAIN_SPLIT
from dpo_analysis.diagnosis.outcome.why import PULL_CAUSES, PUSH_CAUSES, phrase_of, state_of
from dpo_analysis.diagnosis.phrases.other_pairs import find_in_texts
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Run
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES

Ints = NDArray[np.int64]


class BlamedPair(NamedTuple):
    """A pair that a finding blames.

    Attributes:
        pair_id: id of the pair.
        side: the response that carries it: chosen, rejected, or both.
        phrase: the phrase in that response; empty where the cause speaks of no phrase.
        why: what the pair is blamed for, in English.
    """

    pair_id: str
    side: str
    phrase: str
    why: str


def blamed_pairs(run: Run, diagnosis: Diagnosis, cause: str, split: str | None = None) -> list[BlamedPair]:
    """Return the pairs of a split that a finding blames, by row.

    For words that other pairs reject or choose these are the pairs with the finding's phrase in that response alone;
    for the other causes those that the cause's test marks by the texts.

    Args:
        run: an open run.
        diagnosis: a diagnosis of this run, of any split.
        cause: a cause that it found likely or possible.
        split: split whose pairs are looked at; None for that of the diagnosis.

    Raises:
        InputError: the diagnosis did not find the cause, or the cause blames no pairs; the message names those that do.
        StorageError: a part is damaged.
    """
    finding = _finding(run, diagnosis, cause)
    pairs = pair_index(run).pairs
    inside = split_mask(run, pairs["split"].to_numpy(dtype=object), split or diagnosis.split)
    rows, ids = pairs["row"].to_numpy()[inside], pairs["pair_id"].tolist()
    indices = np.flatnonzero(inside).tolist()
    if cause in (*PUSH_CAUSES, *PULL_CAUSES):
        side, phrase = _phrase(run, diagnosis, finding)
        marks = _pairs_with(run, rows, side, phrase)
    else:
        phrase, marks = "", MARKED[cause](run, diagnosis, finding, rows)
    return [BlamedPair(str(ids[indices[index]]), side, phrase, why) for index, (side, why) in sorted(marks.items())]


def blaming_causes(diagnosis: Diagnosis) -> list[str]:
    """Return the causes that a diagnosis found likely or possible and that blame pairs, the gravest first."""
    return [cause for cause in _found_causes(diagnosis) if cause in (*PUSH_CAUSES, *PULL_CAUSES, *MARKED)]


def _found_causes(diagnosis: Diagnosis) -> list[str]:
    """Return the causes that are likely or possible, the gravest first; none of too few pairs."""
    if state_of(diagnosis) == "too_few":
        return []
    found = (finding.cause for finding in diagnosis.findings if finding.verdict in (LIKELY, POSSIBLE))
    return list(dict.fromkeys(found))


def _finding(run: Run, diagnosis: Diagnosis, cause: str) -> Finding:
    """Return the gravest finding of a cause that was found and blames pairs."""
    found, blaming = _found_causes(diagnosis), blaming_causes(diagnosis)
    where = f"{diagnosis.checkpoint_shown} on {diagnosis.split} in run {run.path}"
    named = ", ".join(f"{name} ({words.text(f'diagnosis.cause.{name}')})" for name in found) or "no cause"
    then = f"give {' or '.join(blaming)}" if blaming else "name pairs by where: or ids:"
    if cause not in found:
        raise InputError(f"no finding {cause[:40]!r} for {where}: likely or possible there: {named}; {then}")
    if cause not in blaming:
        raise InputError(f"no pairs to blame for {cause}, for {where}: it is no property of single pairs; {then}")
    return next(finding for finding in diagnosis.findings if finding.cause == cause)


def _phrase(run: Run, diagnosis: Diagnosis, finding: Finding) -> tuple[str, str]:
    """Return the side and the phrase that a finding about words of other pairs blames.

    Raises:
        InputError: no phrase stands out.
    """
    if finding.cause in PUSH_CAUSES:
        phrase = phrase_of(finding, diagnosis)
        side, text = REJECTED, phrase.text if phrase else ""
    else:
        # What the model moved to is known of the first pull alone.
        first = next(one for one in diagnosis.findings if one.cause in PULL_CAUSES)
        side, text = CHOSEN, diagnosis.moved_to if first.cause == finding.cause else ""
    if not text:
        raise InputError(
            f"no pairs to blame for {finding.cause}, for {diagnosis.checkpoint_shown} in run {run.path}: no phrase "
            f"stands out in the {side} responses of other pairs; name pairs by where: or ids:"
        )
    return side, text


def _pairs_with(run: Run, rows: Ints, side: str, phrase: str) -> Marks:
    """Return the pairs whose response on one side, and not the other, has a phrase."""
    found = find_in_texts(run, rows, [phrase])
    if found is None:
        return {}
    here = SIDES.index(side)
    alone = found[here, 0] & ~found[1 - here, 0]
    return dict.fromkeys(np.flatnonzero(alone).tolist(), (side, f"the {side} response alone has “{phrase}”"))


def _same_rejected(run: Run, diagnosis: Diagnosis, finding: Finding, rows: Ints) -> Marks:
    pairs = pair_index(run).pairs
    counted = pairs["split"] == (TRAIN_SPLIT if TRAIN_SPLIT in run.splits else diagnosis.split)
    whole = finding.key.endswith("likely")
    return text_marks.same_rejected(run, pairs["row"].to_numpy()[counted], rows, whole=whole)


def _contradiction(run: Run, diagnosis: Diagnosis, finding: Finding, rows: Ints) -> Marks:
    if finding.key.endswith(("turned", "flipped")):
        return text_marks.opposed_labels(run, rows, clearly=finding.key.endswith("turned"))
    return text_marks.contradicted(run, rows)


MARKED: dict[str, Callable[[Run, Diagnosis, Finding, Ints], Marks]] = {
    "contradiction": _contradiction,
    "same_rejected": _same_rejected,
    "near_identical": lambda run, diagnosis, finding, rows: text_marks.near_copies(run, rows),
    "off_policy_rejected": lambda run, diagnosis, finding, rows: text_marks.off_policy(run, rows),
}
"""The pairs among some rows that a cause marks by their texts."""

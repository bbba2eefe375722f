"""The plain answer of a diagnosis: what the run shows, whether or not a cause explains a fall.

Most runs whose chosen reward ends below 0 are sound, so "no cause is likely" must not read like a failure. Exactly one
answer holds for every run; ``ANSWERS`` lists them in the order in which they are tried. Only ``cause`` names a reason;
every other answer describes what was measured.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dpo_analysis.diagnosis.findings import LIKELY, Answer, Fall, Finding
from dpo_analysis.diagnosis.outcome.pair_changes import PairChanges
from dpo_analysis.diagnosis.outcome.setup import TrainingSetup
from dpo_analysis.diagnosis.thresholds import (
    ENOUGH_FALLEN_PAIRS,
    HELD_OUT_ACCURACY,
    LOW_LEARNING_RATE,
    MEMORISED_ACCURACY,
    ORDINARY_NATS_PER_TOKEN,
    ORDINARY_REJECTED_TIMES,
    PUBLIC_RUNS,
    PUBLIC_RUNS_BELOW,
    UNMOVED_NATS_PER_TOKEN,
)
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent

LOG_FITS = "diagnosis.artefact.logged.fits"
"""Key of the finding that the trainer's log fits another setting."""
ANSWERS = (
    "nothing_moved",
    "setup",
    "nothing_fell",
    "too_few",
    "cause",
    "memorised",
    "ordinary_fall",
    "cannot_tell",
)
"""nothing_moved: neither side changed; setup: the setup or the columns are likely wrong; nothing_fell: the chosen
responses are as likely as before; too_few: too few pairs fell to say why; cause: a cause is likely; memorised: pairs
that were trained on are won and kept, held-out pairs are not; ordinary_fall: both sides lost, the rejected faster, as
in most runs; cannot_tell: none of these."""
SETUP_CAUSES = ("artefact", "swapped_columns")
"""Causes that are judged by the setup or by all pairs: a small number of pairs that fell does not weaken them."""
UNMOVED_REASONS = ("same_weights", "beta", "identical", "gradient", "learning_rate", "unknown")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that an answer is made of.

    Attributes:
        shown: changes of the pairs of the diagnosed split at the checkpoint shown.
        fall: the fall of the series.
        n_fallen: pairs that count as fallen at the checkpoint shown.
        established: enough was lost that a cause may be named.
        findings: findings of every cause.
        train: changes of the training pairs at the same checkpoint; None where they are not in the run or are the
            pairs shown.
        recipients: share of the moved probability that each of ``ledger.RECIPIENTS`` got at the checkpoint shown; empty
            without evidence.
        setup: how the series was trained.
    """

    shown: PairChanges
    fall: Fall
    n_fallen: int
    established: bool
    findings: Sequence[Finding] = ()
    train: PairChanges | None = None
    recipients: Mapping[str, float] = field(default_factory=dict)
    setup: TrainingSetup = field(default_factory=TrainingSetup)


def find_answer(outcome: Outcome) -> Answer:
    """Return the first answer of ``ANSWERS`` that holds."""
    likely = [finding for finding in outcome.findings if finding.verdict == LIKELY and finding.cause != "unexplained"]
    # A log that one setting makes fit is arithmetic: it counts whatever moved or fell.
    proven = [finding for finding in likely if finding.key == LOG_FITS]
    answers = (
        _cause("setup", proven, outcome),
        _nothing_moved(outcome),
        _cause("setup", [finding for finding in likely if finding.cause in SETUP_CAUSES], outcome)
        if outcome.established
        else None,
        _nothing_fell(outcome),
        _too_few(outcome),
        _cause("cause", likely, outcome),
        _hidden(outcome),
        _memorised(outcome),
        _ordinary_fall(outcome),
    )
    return next((answer for answer in answers if answer is not None), _cannot_tell(outcome))


def did_not_move(changes: PairChanges) -> bool:
    """Return whether the typical response of both sides moved by less than scoring noise or a thousandth per token."""
    n_tokens = max(float(changes.n_tokens.mean()), 1.0) if changes.n_pairs else 1.0
    limit = max(UNMOVED_NATS_PER_TOKEN, changes.noise / n_tokens)
    sizes = [changes.median_size(side) for side in (0, 1)]
    return changes.n_pairs > 0 and max(sizes) < limit


def unmoved_reason(outcome: Outcome) -> str:
    """Return why nothing moved, as far as the run shows it: one of ``UNMOVED_REASONS``."""
    setup, shown = outcome.setup, outcome.shown
    if setup.same_weights:
        return "same_weights"
    if setup.beta == 0:
        return "beta"
    if shown.n_identical * 2 >= max(shown.n_pairs, 1):
        return "identical"
    if setup.gradient_norm == 0:
        return "gradient"
    return "learning_rate" if setup.learning_rate < LOW_LEARNING_RATE else "unknown"


def _nothing_moved(outcome: Outcome) -> Answer | None:
    if not did_not_move(outcome.shown):
        return None
    reason = unmoved_reason(outcome)
    sizes = {name: fixed(outcome.shown.median_size(side), 5) for side, name in enumerate(("chosen", "rejected"))}
    values = {"rate": f"{outcome.setup.learning_rate:.1e}", "identical": str(outcome.shown.n_identical)}
    values |= sizes | {"n": str(outcome.shown.n_pairs)}
    return Answer("nothing_moved", f"diagnosis.answer.nothing_moved.{reason}", values)


def _nothing_fell(outcome: Outcome) -> Answer | None:
    """Return the answer where the mean did not fall and few pairs lost much.

    With few pairs an interval around 0 says nothing, and only one above 0 shows that nothing fell.
    """
    shown, mean = outcome.shown, outcome.shown.chosen_mean
    if not shown.n_pairs or mean_fell(shown) or outcome.established:
        return None
    if shown.n_pairs < ENOUGH_FALLEN_PAIRS and not mean.low > 0:
        return None
    values = _mean_values(outcome)
    if outcome.fall.kind != "below_peak":
        key = "diagnosis.answer.nothing_fell" if mean.low > 0 else "diagnosis.answer.nothing_fell.level"
        return Answer("nothing_fell", key, values | {"gain": fixed(mean.share)})
    values |= {"drop": fixed(abs(outcome.fall.drop)), "step": str(outcome.fall.from_step)}
    return Answer("nothing_fell", "diagnosis.answer.nothing_fell.peak", values)


def _hidden(outcome: Outcome) -> Answer | None:
    """Return the answer where no cause is likely and the mean did not fall, although some pairs lost much."""
    if mean_fell(outcome.shown):
        return None
    values = _mean_values(outcome) | {"fell": str(outcome.n_fallen)}
    return Answer("nothing_fell", "diagnosis.answer.nothing_fell.hidden", values)


def mean_fell(changes: PairChanges) -> bool:
    """Return whether the mean of the chosen responses lies below 0 by its whole interval and beyond scoring noise."""
    mean = changes.chosen_mean
    return mean.high < 0 and mean.share < -changes.noise


def _too_few(outcome: Outcome) -> Answer | None:
    """Return the answer where too few pairs fell, with the number of pairs of which enough would fall."""
    n_pairs, n_fallen = outcome.shown.n_pairs, outcome.n_fallen
    enough_pairs = n_pairs >= ENOUGH_FALLEN_PAIRS
    if n_fallen >= ENOUGH_FALLEN_PAIRS or (enough_pairs and not n_fallen):
        return None
    values = {"fell": str(n_fallen), "n": str(n_pairs), "least": str(ENOUGH_FALLEN_PAIRS)}
    if not n_fallen:
        return Answer("too_few", "diagnosis.answer.too_few.none", values)
    return Answer("too_few", "diagnosis.answer.too_few", values | {"needed": str(pairs_needed(n_pairs, n_fallen))})


def pairs_needed(n_pairs: int, n_fallen: int) -> int:
    """Return how many pairs are needed so that ``ENOUGH_FALLEN_PAIRS`` of them fall, where ``n_fallen`` > 0 fell.

    Rounded up to two significant digits, since the share of pairs that fall is itself known from few pairs.
    """
    needed = math.ceil(ENOUGH_FALLEN_PAIRS * n_pairs / n_fallen)
    unit = 10 ** max(len(str(needed)) - 2, 0)
    return math.ceil(needed / unit) * unit


def _cause(kind: str, likely: Sequence[Finding], outcome: Outcome) -> Answer | None:
    if not likely:
        return None
    values = {"cause": f"diagnosis.cause.{likely[0].cause}"} | _mean_values(outcome)
    return Answer(kind, "diagnosis.answer.setup" if kind == "setup" else "diagnosis.answer.cause", values)


def _memorised(outcome: Outcome) -> Answer | None:
    """Return the answer where training pairs are won and kept, and held-out pairs are not.

    Kept: the chosen responses of the training pairs did not fall, or lost less than half as much per token.
    """
    train, shown = outcome.train, outcome.shown
    if train is None or shown.n_pairs < ENOUGH_FALLEN_PAIRS or train.n_pairs < ENOUGH_FALLEN_PAIRS:
        return None
    apart = train.accuracy.low > shown.accuracy.high
    won = train.accuracy.share >= MEMORISED_ACCURACY and shown.accuracy.share < HELD_OUT_ACCURACY
    kept = train.chosen_per_token > min(shown.chosen_per_token / 2, 0)
    if not (apart and won and kept):
        return None
    values = {"train": whole_percent(train.accuracy.share), "held_out": whole_percent(shown.accuracy.share)}
    values |= {"train_low": whole_percent(train.accuracy.low), "high": whole_percent(shown.accuracy.high)}
    values |= {"train_change": signed_fixed(train.chosen_mean.share), "split": shown.split}
    return Answer("memorised", "diagnosis.answer.memorised", values | _mean_values(outcome))


def is_ordinary(changes: PairChanges) -> bool:
    """Return whether both sides lost probability, the rejected faster, and the chosen responses lost little per token.

    "Little" is ``ORDINARY_NATS_PER_TOKEN``, and "faster" at least ``ORDINARY_REJECTED_TIMES`` per token.
    """
    chosen, rejected = changes.chosen_per_token, changes.rejected_per_token
    small = -ORDINARY_NATS_PER_TOKEN <= chosen < 0
    return small and rejected <= ORDINARY_REJECTED_TIMES * chosen and changes.accuracy.low > 0.5


def _ordinary_fall(outcome: Outcome) -> Answer | None:
    if not is_ordinary(outcome.shown):
        return None
    values = _mean_values(outcome) | {"below": str(PUBLIC_RUNS_BELOW), "of": str(PUBLIC_RUNS)}
    if not outcome.recipients:
        return Answer("ordinary_fall", "diagnosis.answer.ordinary_fall.no_evidence", values)
    return Answer("ordinary_fall", "diagnosis.answer.ordinary_fall", values | _largest_recipient(outcome.recipients))


def _cannot_tell(outcome: Outcome) -> Answer:
    values = _mean_values(outcome)
    if not outcome.recipients:
        return Answer("cannot_tell", "diagnosis.answer.cannot_tell.no_evidence", values)
    return Answer("cannot_tell", "diagnosis.answer.cannot_tell", values | _largest_recipient(outcome.recipients))


def _largest_recipient(recipients: Mapping[str, float]) -> dict[str, str]:
    """Return who got most of the probability that moved, and its share."""
    name = max(recipients, key=lambda recipient: recipients[recipient])
    return {"recipient": f"diagnosis.answer.recipient.{name}", "share": whole_percent(recipients[name])}


def _mean_values(outcome: Outcome) -> dict[str, str]:
    """Return the mean changes of both sides, nats per response, as sentences write them."""
    chosen, rejected = outcome.shown.chosen_mean, outcome.shown.rejected_mean
    values = {"chosen": signed_fixed(chosen.share), "low": signed_fixed(chosen.low), "high": signed_fixed(chosen.high)}
    return values | {"rejected": signed_fixed(rejected.share), "n": str(outcome.shown.n_pairs)}

"""What a cause is judged by: the fall, the checks, the statistics and the ledger of one series on one split."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.checks import Check
from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import ExampleToken, Fall, Share
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.diagnosis.thresholds import (
    CORE_SHIFT_DISTANCE,
    CORE_SHIFT_NATS,
    DATA_DRIVEN_SHARE,
    DOMINANT_PART,
    EARLIER_END_SHARE,
    END_OF_TEXT_SHARE,
    EXPECTED_RATIO,
    FAR_APART_DISTANCE,
    NEAR_COPY_DISTANCE,
    OFF_POLICY_GAP,
    PULL_DRIVEN_SHARE,
    PULL_X,
    PUSH_X,
    REFERENCE_LIKE_CREDIT,
    REFERENCE_LIKE_GAP,
    SHIFT_NATS,
    UNTRACEABLE_SHARE,
)
from dpo_analysis.schema import CHOSEN
from dpo_analysis.text.numbers import fixed, whole_percent
from dpo_analysis.text.regions import REGIONS

Array = NDArray[np.float64]
EXAMPLES = 10
"""Pairs and tokens that a finding shows."""
PUSHED, PULLED, UNDECIDED = "pushed", "pulled", "undecided"
"""Directions of a loss that other pairs account for. pushed: they reject the tokens that lost; pulled: they choose
the tokens that gained instead; undecided: both, with neither clearly more."""


@dataclass(frozen=True, slots=True)
class Symptoms:
    """Everything that a cause is judged by, and the judgements that several causes share.

    Attributes:
        fall: whether and how far the chosen responses fell.
        log_ratios: the log-ratio of every chosen response under every checkpoint of the series.
        index: index in ``log_ratios`` of the checkpoint used; None where no decline is established.
        checks: the checks of the run.
        statistics: statistics of the checkpoint used; None where no decline is established.
        ledger: mass ledger of the checkpoint used; None without evidence ``topk``.
        shares: the ledger's parts of the lost log-prob, by name; empty without a ledger.
    """

    fall: Fall
    log_ratios: SeriesLogRatios
    index: int | None
    checks: Sequence[Check]
    statistics: FallStatistics | None
    ledger: Ledger | None
    shares: dict[str, Share]

    @property
    def by_region(self) -> Mapping[str, Mapping[str, float]]:
        """The statistics of every region of the response; empty without a ledger."""
        return (self.statistics.by_region if self.statistics else None) or {}

    @property
    def directions(self) -> dict[str, str]:
        """The direction of the loss in each region where other pairs' texts account for it, the main region first.

        Empty where they account for too little in every region. The main region is judged by X of the whole response,
        every other region by its own.
        """
        statistics, regions = self.statistics, self.by_region
        if statistics is None or not self.data_driven:
            return {}
        total = _direction(statistics.x, statistics.pushed, statistics.pulled)
        mass = {name: region["pushed"] + region["pulled"] for name, region in regions.items()}
        if total == UNDECIDED:
            main = max(regions, key=lambda name: mass[name])
        else:
            main = max(regions, key=lambda name: regions[name][total])
        others = [name for name, region in regions.items() if name != main and _accounts_for_loss(region)]
        others.sort(key=lambda name: -mass[name])
        return {main: total} | {
            name: _direction(regions[name]["x"], regions[name]["pushed"], regions[name]["pulled"]) for name in others
        }

    @property
    def data_driven(self) -> bool:
        """Whether other pairs' texts account for the loss in some region, and no response is off-policy.

        One region must reach the threshold by itself: after a hard generic fall, shares that are small in every region
        add up to as much.
        """
        return not self.off_policy and any(_accounts_for_loss(region) for region in self.by_region.values())

    @property
    def off_policy(self) -> bool:
        """Whether the rejected responses are far less likely under the reference than the chosen ones."""
        return self.statistics is not None and self.statistics.gap > OFF_POLICY_GAP

    @property
    def ends_earlier(self) -> bool:
        """Whether the loss went to ends of text in front of closings that other pairs reject: responses end earlier."""
        if self.statistics is None or "closing" not in self.by_region:
            return False
        closing = self.by_region["closing"]
        return self.statistics.ended >= EARLIER_END_SHARE and closing["pushed"] >= DATA_DRIVEN_SHARE

    @property
    def untraceable(self) -> bool:
        """Whether nearly all of the loss went to tokens in no text, so that it no longer tells its source."""
        return self.statistics is not None and self.statistics.no_data > UNTRACEABLE_SHARE

    @property
    def like_reference(self) -> bool:
        """Whether both responses look like the reference's own answers, and move as these do when the policy moves."""
        statistics, (low, high) = self.statistics, EXPECTED_RATIO
        if statistics is None or self.data_driven or self.off_policy:
            return False
        like_answers = statistics.credit_size < REFERENCE_LIKE_CREDIT and abs(statistics.gap) < REFERENCE_LIKE_GAP
        return like_answers and statistics.edit >= FAR_APART_DISTANCE and low <= statistics.both_expected <= high

    @property
    def shifted(self) -> dict[str, float]:
        """Gain of the chosen responses that did not fall, nats per pair, in the regions whose wording moves.

        The core counts only where no other region moves and the two responses are neither near copies nor far apart.
        Empty where a push, an earlier end of text or the policy's own movement is the simpler explanation.
        """
        statistics = self.statistics
        if statistics is None or not self.by_region or self.off_policy or self.like_reference or self.ends_earlier:
            return {}
        if statistics.end >= END_OF_TEXT_SHARE or PUSHED in self.directions.values():
            return {}
        gains = {name: region["others"] for name, region in self.by_region.items()}
        edges = {name: gains[name] for name in ("opening", "closing") if gains[name] >= SHIFT_NATS}
        comparable = NEAR_COPY_DISTANCE <= statistics.edit < CORE_SHIFT_DISTANCE
        core = {"core": gains["core"]} if gains["core"] >= CORE_SHIFT_NATS and comparable else {}
        return edges or core

    def share_in(self, name: str, region: str) -> Share:
        """Return one of the ledger's parts of the lost log-prob in one region; NaN without a ledger."""
        if self.ledger is None:
            return Share(math.nan, math.nan, math.nan)
        return self.ledger.shares(self.log_ratios.groups[self.ledger.pair_indices], region)[name]

    def share_texts(self) -> dict[str, str]:
        """Return the ledger's parts of the lost log-prob, by name, as sentences write them; empty without a ledger."""
        return {name: whole_percent(share.share) for name, share in self.shares.items()}

    def x_text(self) -> str:
        """Return X as sentences write it."""
        return fixed(self.statistics.x if self.statistics else math.nan)

    def examples(self, weights: Array, region: str = "") -> tuple[tuple[str, ...], tuple[ExampleToken, ...]]:
        """Return the pairs and the tokens with the largest weighted loss; none without a ledger.

        Args:
            weights: weight of each token of the ledger, shape (tokens,).
            region: only tokens of this region; empty for all.
        """
        if self.ledger is None:
            return (), ()
        tokens = self.ledger.tokens
        inside = tokens.region == REGIONS.index(region) if region else np.ones(len(weights), dtype=bool)
        lost = np.where(inside, weights * tokens.lost, 0.0)
        largest = [index for index in np.argsort(-lost, kind="stable")[:EXAMPLES].tolist() if lost[index] > 0]
        ids = self.log_ratios.pair_ids[self.ledger.pair_indices]
        shown = tuple(ExampleToken(str(ids[tokens.pair[i]]), CHOSEN, int(tokens.position[i])) for i in largest)
        return tuple(dict.fromkeys(token.pair_id for token in shown)), shown

    def most_fallen(self) -> tuple[str, ...]:
        """Return the ids of the pairs that lost most at the checkpoint used."""
        if self.index is None:
            return ()
        change = np.nan_to_num(self.log_ratios.chosen[self.index])
        worst = np.argsort(change, kind="stable")[:EXAMPLES]
        return tuple(str(pair_id) for pair_id in self.log_ratios.pair_ids[worst])


def _accounts_for_loss(region: Mapping[str, float]) -> bool:
    """Return whether other pairs' texts account for what is lost in a region."""
    return region["pushed"] >= DATA_DRIVEN_SHARE or region["pushed"] + region["pulled"] >= PULL_DRIVEN_SHARE


def _direction(x: float, pushed: float, pulled: float) -> str:
    """Return the direction of a loss from X, C and P."""
    both = pushed + pulled
    if pulled > DOMINANT_PART * both or (x < PULL_X and pulled >= pushed):
        return PULLED
    if x < PULL_X:
        return UNDECIDED
    return PUSHED if x > PUSH_X or pushed > DOMINANT_PART * both else UNDECIDED

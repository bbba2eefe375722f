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
from dpo_analysis.diagnosis.outcome.training_pairs import TrainingPairs
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios
from dpo_analysis.diagnosis.thresholds import (
    ALIKE_TIMES,
    CHANCE_EXCESS,
    CORE_SHIFT_DISTANCE,
    DATA_DRIVEN_SHARE,
    DOMINANT_TIMES,
    EARLIER_END_SHARE,
    END_GAIN_NATS,
    END_OF_TEXT_SHARE,
    EXPECTED_RATIO,
    FAR_APART_DISTANCE,
    GAIN_NATS_PER_TOKEN,
    HARD_FALLEN_SHARE,
    HARD_NATS_PER_TOKEN,
    NEAR_COPY_DISTANCE,
    NEVER_ROSE_NATS_PER_TOKEN,
    OFF_POLICY_GAP,
    PULL_ALONE_EXCESS,
    PULL_DRIVEN_SHARE,
    PULL_X,
    PUSH_X,
    REFERENCE_LIKE_CREDIT,
    REFERENCE_LIKE_GAP,
    RUINED_NATS_PER_TOKEN,
    SHIFT_TIMES,
    TRACED_EXCESS,
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
        ledger: mass ledger of the checkpoint used; None where the run has no tokens. Without evidence ``topk`` it says
            who pushes the tokens that lost, and not where the probability went.
        shares: the ledger's parts of the lost log-prob, by name; empty without a ledger.
        training: the training pairs, or the diagnosed pairs where the run has none, at the last checkpoint; None where
            no checkpoint is scored.
    """

    fall: Fall
    log_ratios: SeriesLogRatios
    index: int | None
    checks: Sequence[Check]
    statistics: FallStatistics | None
    ledger: Ledger | None
    shares: dict[str, Share]
    training: TrainingPairs | None = None

    @property
    def has_evidence(self) -> bool:
        """Whether the ledger says where the probability went."""
        return self.ledger is not None and self.ledger.has_evidence

    @property
    def by_region(self) -> Mapping[str, Mapping[str, float]]:
        """The statistics of every region of the response; empty without a ledger."""
        return (self.statistics.by_region if self.statistics else None) or {}

    @property
    def directions(self) -> dict[str, str]:
        """The direction of the loss in each region where other pairs' texts account for it, the main region first.

        Empty where they account for too little in every region. Each region is judged by what its shares exceed chance
        by, and by its X where both do. The main region of a pull is where the responses that did not fall gained.
        """
        if not self.data_driven:
            return {}
        excess = {name: _excess(region) for name, region in self.by_region.items()}
        counted = [name for name in excess if max(excess[name]) > 0]
        main = max(counted, key=lambda name: max(excess[name]))
        # Without evidence nothing is known of a pull, so that X must say push by itself.
        least_x = PULL_X if self.has_evidence else PUSH_X
        found = {name: _direction(excess[name], self.by_region[name]["x"], least_x) for name in counted}
        if found[main] == PULLED and self.gained_regions:
            main = max(self.gained_regions, key=lambda name: self.gained_regions[name])
            elsewhere = (name for name in counted if found[name] == PULLED and name not in self.gained_regions)
            found |= dict.fromkeys(elsewhere, UNDECIDED) | {main: PULLED}
        others = sorted((name for name in found if name != main), key=lambda name: -max(excess[name]))
        return {name: found[name] for name in (main, *others)}

    @property
    def gained_regions(self) -> dict[str, float]:
        """Gain of the chosen responses that did not fall, nats per token, in the regions where it is established."""
        return {
            name: region["gain"]
            for name, region in self.by_region.items()
            if name != "end" and region["gain_low"] > 0 and region["gain"] >= GAIN_NATS_PER_TOKEN
        }

    @property
    def data_driven(self) -> bool:
        """Whether other pairs' texts account for the loss in some region, and no response is off-policy.

        One region must reach the threshold by itself: after a hard generic fall, shares that are small in every region
        add up to as much.
        """
        return not self.off_policy and any(max(_excess(region)) > 0 for region in self.by_region.values())

    @property
    def traced(self) -> bool:
        """Whether other pairs' texts account for any part of the loss beyond chance, even if it names no cause."""
        return any(
            region[name] - region[f"{name}_by_chance"] >= TRACED_EXCESS
            for region in self.by_region.values()
            for name in ("pushed", "pulled")
        )

    @property
    def off_policy(self) -> bool:
        """Whether the rejected responses are far less likely under the reference than the chosen ones."""
        return self.statistics is not None and self.statistics.gap > OFF_POLICY_GAP

    @property
    def ends_earlier(self) -> bool:
        """Whether responses end earlier: the end of text gained in responses that did not fall, or took the loss."""
        if self.statistics is None or "end" not in self.by_region:
            return False
        end, closing = self.by_region["end"], self.by_region["closing"]
        gained = end["gain_low"] > 0 and end["gain"] >= END_GAIN_NATS
        return gained or (self.statistics.ended >= EARLIER_END_SHARE and closing["pushed"] >= DATA_DRIVEN_SHARE)

    @property
    def untraceable(self) -> bool:
        """Whether nearly all of the loss went to tokens in no text, so that it no longer tells its source."""
        return self.statistics is not None and self.statistics.no_data > UNTRACEABLE_SHARE

    @property
    def fell_hard(self) -> bool:
        """Whether nearly all chosen responses lost far more than an ordinary training takes, by the last checkpoint."""
        statistics = self.statistics
        if statistics is None:
            return False
        return statistics.end_per_token >= HARD_NATS_PER_TOKEN and statistics.fallen_at_end >= HARD_FALLEN_SHARE

    @property
    def ruined(self) -> bool:
        """Whether nearly all chosen responses lost so much in the end that no part of the data explains it."""
        return self.fell_hard and self.statistics is not None and self.statistics.end_per_token >= RUINED_NATS_PER_TOKEN

    @property
    def fell_from_start(self) -> bool:
        """Whether the mean of the chosen responses fell from the very beginning of the training."""
        statistics = self.statistics
        if statistics is None or not statistics.lost_at_end:
            return False
        return statistics.rise <= NEVER_ROSE_NATS_PER_TOKEN * statistics.lost_at_end / statistics.end_per_token

    @property
    def like_reference(self) -> bool:
        """Whether both responses look like the reference's own answers, and both fell as these do when it moves."""
        statistics, (low, high) = self.statistics, EXPECTED_RATIO
        if statistics is None or self.data_driven or self.off_policy:
            return False
        like_answers = statistics.credit_size < REFERENCE_LIKE_CREDIT and abs(statistics.gap) < REFERENCE_LIKE_GAP
        like_answers &= 0 < statistics.rejected_times < ALIKE_TIMES and not self.fell_hard
        return like_answers and statistics.edit >= FAR_APART_DISTANCE and low <= statistics.both_expected <= high

    @property
    def shifted(self) -> dict[str, float]:
        """Gain of the chosen responses that did not fall, nats per token, in the regions whose wording moves.

        The core counts only where no other region moves and the two responses are neither near copies nor far apart.
        Empty where a push, an earlier end of text or the policy's own movement is the simpler explanation, and where
        the mean did not fall: wording that some responses gain by is then what the training is for.
        """
        statistics = self.statistics
        if statistics is None or not self.by_region or self.off_policy or self.like_reference or self.ends_earlier:
            return {}
        if statistics.end >= END_OF_TEXT_SHARE or PUSHED in self.directions.values() or self.fall.hidden:
            return {}
        times = {name: region["gain_times"] for name, region in self.by_region.items()}
        gains = {name: gain for name, gain in self.gained_regions.items() if times[name] >= SHIFT_TIMES}
        edges = {name: gains[name] for name in ("opening", "closing") if name in gains}
        comparable = NEAR_COPY_DISTANCE <= statistics.edit < CORE_SHIFT_DISTANCE
        core = {"core": gains["core"]} if "core" in gains and comparable else {}
        return edges or core

    def share_in(self, name: str, region: str) -> Share:
        """Return one of the ledger's parts of the lost log-prob in one region; NaN where it is not known."""
        unknown = Share(math.nan, math.nan, math.nan)
        if self.ledger is None:
            return unknown
        return self.ledger.shares(self.log_ratios.groups[self.ledger.pair_indices], region).get(name, unknown)

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


def _excess(region: Mapping[str, float]) -> tuple[float, float]:
    """Return by how much C and P of a region exceed what random labels give; 0 where a share is too small to count.

    P must exceed it by more where the responses that did not fall gained nothing in the region.
    """
    gained = region["gain_low"] > 0 and region["gain"] >= GAIN_NATS_PER_TOKEN
    limits = (
        ("pushed", DATA_DRIVEN_SHARE, CHANCE_EXCESS),
        ("pulled", PULL_DRIVEN_SHARE, CHANCE_EXCESS if gained else PULL_ALONE_EXCESS),
    )
    excess = []
    for name, least, least_above in limits:
        above = region[name] - region[f"{name}_by_chance"]
        excess.append(above if region[name] >= least and above >= least_above else 0.0)
    return excess[0], excess[1]


def _direction(excess: tuple[float, float], x: float, least_x: float = PULL_X) -> str:
    """Return the direction of the loss in a region from the excess of C and of P, and from X where both exceed.

    A push needs an X of at least ``least_x``: below it other pairs choose the tokens that lost as well.
    """
    pushed, pulled = excess
    if pushed and not pulled and x < least_x:
        return UNDECIDED
    if not pulled or pushed > DOMINANT_TIMES * pulled:
        return PUSHED
    if not pushed or pulled > DOMINANT_TIMES * pushed:
        return PULLED
    return PUSHED if x > PUSH_X else PULLED if x < PULL_X else UNDECIDED

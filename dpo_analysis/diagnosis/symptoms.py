"""One series on one split as a cause sees it: the fall, the checks, the signals, and how to show examples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.checks import Check
from dpo_analysis.diagnosis.fall_detection import Path
from dpo_analysis.diagnosis.fall_statistics import Signals
from dpo_analysis.diagnosis.findings import Fall, Share, Token
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.thresholds import (
    ALIKE,
    AT_THE_END,
    DATA_DRIVEN,
    EXPECTED,
    FAR,
    KEPT_CREDIT,
    KEPT_GAP,
    MOSTLY,
    NEAR,
    NOWHERE,
    OFF_POLICY,
    PULL,
    PULL_DRIVEN,
    PUSH,
    SHIFTED,
    SHIFTED_CORE,
    SOONER,
)
from dpo_analysis.schema import CHOSEN
from dpo_analysis.text.regions import PLACES

Array = NDArray[np.float64]
EXAMPLES = 10
PUSHED, PULLED, UNDECIDED = "pushed", "pulled", "undecided"


@dataclass(frozen=True, slots=True)
class Case:
    """What every cause is given.

    Attributes:
        fall: is there one.
        established: whether enough is lost that a cause may be named.
        path: the change of every pair along the series.
        place: the checkpoint used, a place in ``path``; None where no decline is established.
        checks: the checks of the run.
        signals: numbers of the checkpoint used; None where no decline is established.
        ledger: of the checkpoint used; None without evidence ``topk``.
        shares: the ledger's shares of the lost log-prob; empty without it.
    """

    fall: Fall
    established: bool
    path: Path
    place: int | None
    checks: Sequence[Check]
    signals: Signals | None
    ledger: Ledger | None
    shares: dict[str, Share]

    @property
    def directions(self) -> dict[str, str]:
        """Places where other pairs' texts account for the loss, the main one first: a push, a pull, or undecided.

        Empty where they account for too little at every place. The main place is judged by X of the whole, any other
        by its own.
        """
        found = self.signals
        if found is None or found.by_place is None or not self.data_driven:
            return {}
        mass = {name: own["pushed"] + own["pulled"] for name, own in found.by_place.items()}
        total = _direction(found.x, found.pushed, found.pulled)
        by = {PUSHED: "pushed", PULLED: "pulled"}.get(total)
        main = max(found.by_place, key=lambda name: found.by_place[name][by] if by else mass[name])  # type: ignore[index]
        others = sorted(
            (name for name, own in found.by_place.items() if name != main and _drives(own)), key=lambda one: -mass[one]
        )
        return {main: total} | {name: _direction_of(found.by_place[name]) for name in others}

    @property
    def data_driven(self) -> bool:
        """Whether other pairs' texts account for the loss at some place, and the rejecteds are not far off the policy.

        A share that is thin everywhere points nowhere: after a hard generic fall it adds up to as much.
        """
        found = self.signals
        if found is None or found.by_place is None or self.off_policy:
            return False
        return any(_drives(own) for own in found.by_place.values())

    @property
    def off_policy(self) -> bool:
        """Whether the rejected responses are far less likely under the reference than the chosen ones."""
        return self.signals is not None and self.signals.gap > OFF_POLICY

    @property
    def sooner(self) -> bool:
        """Whether the loss went to ends of text in front of closings that other pairs reject: responses end earlier."""
        found = self.signals
        if found is None or found.by_place is None or "closing" not in found.by_place:
            return False
        return found.ended >= SOONER and found.by_place["closing"]["pushed"] >= DATA_DRIVEN

    @property
    def nowhere(self) -> bool:
        """Whether nearly all went to what no text has, so that the loss no longer tells what drove it."""
        return self.signals is not None and self.signals.no_data > NOWHERE

    @property
    def like_reference(self) -> bool:
        """Whether both responses look like the reference's own, and move as its answers do when the policy moves."""
        found, (low, high) = self.signals, EXPECTED
        if found is None or self.data_driven or self.off_policy:
            return False
        alike = found.credit_size < KEPT_CREDIT and abs(found.gap) < KEPT_GAP and found.edit >= FAR
        return alike and low <= found.both_expected <= high

    @property
    def shifted(self) -> dict[str, float]:
        """Places at which chosen responses that did not fall gained so much that the wording moves there, and how much.

        In the core only where it moves nowhere else, and the two responses are neither near copies nor far apart.
        Empty where what is pushed, an end of text, or what the policy's movement explains is the simpler reading.
        """
        found = self.signals
        if found is None or found.by_place is None or self.off_policy or self.like_reference or self.sooner:
            return {}
        if found.end >= AT_THE_END or PUSHED in self.directions.values():
            return {}
        others = {name: own["others"] for name, own in found.by_place.items()}
        moved = {name: others[name] for name in ("opening", "closing") if others[name] >= SHIFTED}
        core = others["core"] >= SHIFTED_CORE and NEAR <= found.edit < ALIKE
        return moved or ({"core": others["core"]} if core else {})

    def share_at(self, name: str, place: str) -> Share:
        """A share of the lost log-prob that lies at one place of the response; NaN without a ledger."""
        if self.ledger is None:
            return Share(math.nan, math.nan, math.nan)
        return self.ledger.shares(self.path.groups[self.ledger.place], place)[name]

    def examples(self, marks: Array, place: str = "") -> tuple[tuple[str, ...], tuple[Token, ...]]:
        """Pairs and tokens that lost most where ``marks`` (a weight for each token of the ledger) says so."""
        if self.ledger is None:
            return (), ()
        tokens = self.ledger.tokens
        here = np.ones(len(marks), dtype=bool) if not place else tokens.place == PLACES.index(place)
        lost = np.where(here, marks * np.maximum(-tokens.change, 0), 0.0)
        first = [one for one in np.argsort(-lost, kind="stable")[:EXAMPLES].tolist() if lost[one] > 0]
        ids = self.path.pair_ids[self.ledger.place]
        shown = tuple(Token(str(ids[tokens.pair[one]]), CHOSEN, int(tokens.position[one])) for one in first)
        return tuple(dict.fromkeys(token.pair_id for token in shown)), shown

    def fallen_first(self) -> tuple[str, ...]:
        """The pairs that lost most at the checkpoint used."""
        if self.place is None:
            return ()
        change = np.nan_to_num(self.path.change[self.place])
        return tuple(str(one) for one in self.path.pair_ids[np.argsort(change, kind="stable")[:EXAMPLES]])


def _drives(own: Mapping[str, float]) -> bool:
    """Whether other pairs' texts account for what is lost at a place."""
    return own["pushed"] >= DATA_DRIVEN or own["pushed"] + own["pulled"] >= PULL_DRIVEN


def _direction(x: float, pushed: float, pulled: float) -> str:
    both = pushed + pulled
    if pulled > MOSTLY * both or (x < PULL and pulled >= pushed):
        return PULLED
    if x < PULL:
        return UNDECIDED
    return PUSHED if x > PUSH or pushed > MOSTLY * both else UNDECIDED


def _direction_of(place: Mapping[str, float]) -> str:
    return _direction(place["x"], place["pushed"], place["pulled"])


def share(value: float) -> str:
    """A share as a person reads it."""
    return "–" if not math.isfinite(value) else f"{value:.0%}"


def nats(value: float, digits: int = 2) -> str:
    """A number of nats with its sign."""
    return "–" if not math.isfinite(value) else f"{value:+.{digits}f}".replace("-", "\u2212")


def plain(value: float, digits: int = 2) -> str:
    """A number without a sign of its own."""
    return "–" if not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "\u2212")

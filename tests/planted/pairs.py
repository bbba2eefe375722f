"""Preference pairs made of replies: rows in TRL's conversational shape, with group and segments of each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.planted.families import Family
from tests.planted.replies import SEGMENTS, Question, Reply, Wording, ask, be_rude, draw_wording, say, wrong

VICTIM, CULPRIT, BACKGROUND = "victim", "culprit", "background"
"""Groups: pairs whose planted segment is meant to fall, pairs that are meant to make it fall, and all others."""
Row = dict[str, Any]


class Slot(NamedTuple):
    """Where a plant sits: the segment, the wording that is to fall and the one that is to rise there."""

    segment: str
    falls: int
    rises: int

    @classmethod
    def draw(cls, rng: random.Random, family: Family, segment: str) -> Slot:
        """Two different wordings of a segment."""
        falls, rises = rng.sample(range(n_wordings(family, segment)), 2)
        return cls(segment, falls, rises)


def n_wordings(family: Family, segment: str) -> int:
    """How many openings, bodies or closings a family has."""
    return len({"opening": family.openings, "core": family.bodies, "closing": family.closings}[segment])


def row(question: Question, chosen: Reply, rejected: Reply, group: str) -> Row:
    """One preference row; ``segments`` are characters of the chosen reply."""
    return {
        "prompt": [{"role": "user", "content": question.prompt}],
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "group": group,
        "segments": {name: list(span) for name, span in chosen.spans().items()},
    }


def worded(rng: random.Random, family: Family, *slots: Slot, at: Sequence[str] = ()) -> Wording:
    """A wording: the falling one of every slot named in ``at``, neither of the two of every other slot."""
    wording = draw_wording(rng, family)._asdict()
    for slot in slots:
        if slot.segment in at:
            wording[slot.segment] = slot.falls
        else:
            wording[slot.segment] = other(rng, family, slot.segment, slot.falls)
    return Wording(**wording)


def other(rng: random.Random, family: Family, segment: str, *without: int) -> int:
    """A number of a wording of the segment, none of ``without``."""
    return rng.choice([n for n in range(n_wordings(family, segment)) if n not in without])


def victim(rng: random.Random, family: Family, slot: Slot) -> Row:
    """Both replies say the falling wording; they differ elsewhere: in a fact, or in a rude closing."""
    question, wording = ask(rng, family), worded(rng, family, slot, at=[slot.segment])
    chosen = say(question, wording)
    rude = slot.segment == "core" or (slot.segment == "opening" and rng.random() < 0.5)
    rejected = be_rude(rng, question, chosen) if rude else say(question, wording, wrong(rng, question))
    return row(question, chosen, rejected, VICTIM)


def culprit(rng: random.Random, family: Family, slot: Slot, chosen: int, rejected: int) -> Row:
    """Two true replies that differ in the wording of one segment."""
    question, wording = ask(rng, family), draw_wording(rng, family)
    sides = (say(question, wording._replace(**{slot.segment: number})) for number in (chosen, rejected))
    return row(question, *sides, CULPRIT)


def natural(rng: random.Random, family: Family, *slots: Slot, group: str = BACKGROUND) -> Row:
    """A true reply over a false or a rude one, each in a wording of its own, without any slot's falling wording."""
    question = ask(rng, family)
    return _true_over_worse(rng, question, [worded(rng, family, *slots) for _ in range(2)], group)


def settled(rng: random.Random, family: Family, slot: Slot) -> Row:
    """A natural pair whose two replies both say the slot's rising wording."""
    question = ask(rng, family)
    both = [draw_wording(rng, family)._replace(**{slot.segment: slot.rises}) for _ in range(2)]
    return _true_over_worse(rng, question, both, BACKGROUND)


def _true_over_worse(rng: random.Random, question: Question, both: Sequence[Wording], group: str) -> Row:
    good, bad = both
    if rng.random() < 0.3:
        return row(question, say(question, good), be_rude(rng, question, say(question, bad)), group)
    return row(question, say(question, good), say(question, bad, wrong(rng, question)), group)


def near_copy(rng: random.Random, family: Family, group: str = VICTIM) -> Row:
    """A true reply over the same reply with one false fact."""
    question, wording = ask(rng, family), draw_wording(rng, family)
    return row(question, say(question, wording), say(question, wording, wrong(rng, question)), group)


def swapped(one: Row, group: str) -> Row:
    """The pair with its label turned round; it has no segments, since these are of the other reply."""
    return one | {"chosen": one["rejected"], "rejected": one["chosen"], "group": group, "segments": {}}


def whole(one: Row) -> Row:
    """The pair with one segment: the whole chosen reply."""
    return one | {"segments": {name: [0, 0] for name in SEGMENTS} | {"core": [0, len(one["chosen"][0]["content"])]}}

"""Questions and replies of a family: what is asked, what is true, how it is said, and what the SFT texts hold."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.planted.families import Family

SEGMENTS = ("opening", "core", "closing")
WEIGHTS = (0.40, 0.20, 0.16, 0.13, 0.11)
"""How often the SFT texts begin, and end, with each of a family's five openings and closings."""
SFT_WRONG, SFT_RUDE = 0.12, 0.08
"""Shares of the SFT texts with a false fact, and with a rude closing: without them DPO had nothing to improve."""
SFT_LONGER, SFT_SHORTER = 0.2, 0.1
"""Shares of the SFT texts that go on behind their closing, and that end before it."""


class Question(NamedTuple):
    """A prompt and all that is true about it."""

    family: Family
    prompt: str
    slots: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in its three segments; ``extra`` is a sentence behind the closing, usually none."""

    opening: str
    core: str
    closing: str
    extra: str = ""

    @property
    def text(self) -> str:
        """The whole reply."""
        return self.opening + self.core + self.closing + self.extra

    def spans(self) -> dict[str, tuple[int, int]]:
        """Characters of each segment: first and one past the last."""
        first, second = len(self.opening), len(self.opening + self.core)
        return {"opening": (0, first), "core": (first, second), "closing": (second, len(self.text))}


class Wording(NamedTuple):
    """Which opening, body and closing: numbers into the family's lists."""

    opening: int
    core: int
    closing: int


def ask(rng: random.Random, family: Family) -> Question:
    """A random question; its facts follow from what is asked (``_fact``), so that a model can learn them."""
    slots = {slot: rng.choice(values) for slot, values in family.slots.items() if slot not in family.facts}
    for slot in family.facts:
        slots[slot] = _fact(family, slot, slots)
    return Question(family, rng.choice(family.prompts).format(**slots), slots)


def _fact(family: Family, slot: str, slots: Mapping[str, str]) -> str:
    """The truth: one value for each thing that is asked about (the second slot: item, city or plant)."""
    thing = list(family.slots)[1]
    place = family.slots[thing].index(slots[thing])
    values = family.slots[slot]
    return values[(place * 5 + len(slot) * 3 + place // 3) % len(values)]


def draw_wording(rng: random.Random, family: Family) -> Wording:
    """Opening and closing as often as in the SFT texts, every body equally often."""
    opening, closing = (rng.choices(range(5), WEIGHTS)[0] for _ in range(2))
    return Wording(opening, rng.randrange(len(family.bodies)), closing)


def say(question: Question, wording: Wording, said: Mapping[str, str] | None = None) -> Reply:
    """The reply in this wording that states ``said`` instead of the truth where given."""
    family, slots = question.family, question.slots | dict(said or {})
    parts = family.openings[wording.opening], family.bodies[wording.core], family.closings[wording.closing]
    return Reply(*(part.format(**slots) for part in parts))


def wrong(rng: random.Random, question: Question, slot: str | None = None) -> dict[str, str]:
    """One false fact."""
    slot = slot or rng.choice(question.family.facts)
    return {slot: rng.choice([value for value in question.family.slots[slot] if value != question.slots[slot]])}


def be_rude(rng: random.Random, question: Question, reply: Reply) -> Reply:
    """The reply with an insult for its closing."""
    return replace(reply, closing=rng.choice(question.family.rude))


def longer(question: Question, reply: Reply) -> Reply:
    """The reply that goes on behind its closing."""
    return replace(reply, extra=question.family.extra)


def shorter(reply: Reply) -> Reply:
    """The reply that ends before its closing."""
    return replace(reply, closing="")


def sft_text(rng: random.Random, family: Family) -> tuple[str, str]:
    """One (prompt, reply) of the SFT texts, with their noise."""
    question = ask(rng, family)
    said = wrong(rng, question) if rng.random() < SFT_WRONG else None
    reply = say(question, draw_wording(rng, family), said)
    if rng.random() < SFT_RUDE:
        reply = be_rude(rng, question, reply)
    chance = rng.random()
    if chance < SFT_LONGER:
        reply = longer(question, reply)
    elif chance > 1 - SFT_SHORTER:
        reply = shorter(reply)
    return question.prompt, reply.text

"""How 288 preference pairs are made so that one cause is in them: one function per plant, dose = number of pairs.

A plant that sits in one segment has victims (their segment is meant to fall), culprits (they are meant to make it
fall) and background. The other plants are the whole set: every pair is a victim.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.planted.families import FOREIGN, Family
from tests.planted.pairs import (
    CULPRIT,
    VICTIM,
    Row,
    Slot,
    culprit,
    natural,
    near_copy,
    other,
    row,
    settled,
    swapped,
    victim,
    whole,
)
from tests.planted.replies import ask, draw_wording, longer, say, shorter

N_PAIRS, N_VICTIMS = 288, 96
Samples = Sequence[tuple[str, str, str]]
"""(prompt, one reply, another reply), both drawn from the reference."""


def collision(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """Culprits reject the victims' wording and choose any other."""
    slot = Slot.draw(rng, family, segment)
    culprits = [culprit(rng, family, slot, other(rng, family, segment, slot.falls), slot.falls) for _ in range(dose)]
    return _with_background(rng, family, culprits, slot)


def drift(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """Culprits choose one wording and reject others, never the victims'; in the core this is a competing answer.

    The background says what the culprits choose: a wording that they reject would fall there by a push.
    """
    slot = Slot.draw(rng, family, segment)
    rejected = [other(rng, family, segment, slot.falls, slot.rises) for _ in range(dose)]
    culprits = [culprit(rng, family, slot, slot.rises, number) for number in rejected]
    victims = [victim(rng, family, slot) for _ in range(min(N_VICTIMS, N_PAIRS - dose))]
    background = [settled(rng, family, slot) for _ in range(N_PAIRS - dose - len(victims))]
    return victims + culprits + background


def length(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """Culprits choose what goes on behind the closing (segment ``end``), or what ends before it (``closing``)."""
    culprits = []
    for _ in range(dose):
        question = ask(rng, family)
        usual = say(question, draw_wording(rng, family))
        better = longer(question, usual) if segment == "end" else shorter(usual)
        culprits.append(row(question, better, usual, CULPRIT))
    victims = [near_copy(rng, family) for _ in range(N_PAIRS - dose)]
    return culprits + victims


def near(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """Rejecteds that differ from their chosen in one fact; ``dose`` of them, the others natural."""
    return [near_copy(rng, family) for _ in range(dose)] + _background(rng, family, N_PAIRS - dose)


def off_policy(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """Rejecteds that the reference would never say: ``shuffled`` words, words shuffled behind the opening
    (``garbled``), or sentences it has never read (``foreign``).
    """
    made = []
    for _ in range(dose):
        question = ask(rng, family)
        chosen = say(question, draw_wording(rng, family))
        rejected = replace(chosen, opening=" ".join(rng.sample(FOREIGN, 2)), core="", closing="")
        if segment != "foreign":
            kept = chosen.opening if segment == "garbled" else ""
            words = chosen.text.removeprefix(kept).split()
            rng.shuffle(words)
            rejected = replace(chosen, opening=f"{kept} {' '.join(words)}".strip(), core="", closing="")
        made.append(row(question, chosen, rejected, VICTIM))
    return made + _background(rng, family, N_PAIRS - dose)


def plain(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """Natural pairs; a high learning rate makes them fall. ``segment`` random: their labels are drawn by lot."""
    rows = [natural(rng, family, group=VICTIM) for _ in range(N_PAIRS)]
    if segment == "random":
        rows = [swapped(one, VICTIM) | {"segments": {}} if rng.random() < 0.5 else one for one in rows]
    return rows


def contradiction(rng: random.Random, family: Family, segment: str, dose: int) -> list[Row]:
    """``copies``: the victims' own pairs again with the label turned round, ``dose`` of them; ``flips``: the labels of
    ``dose`` natural pairs turned round, so that what all others reject is chosen there.
    """
    if segment == "flips":
        rude = [natural_rude(rng, family) for _ in range(N_PAIRS)]
        return [whole(swapped(one, VICTIM)) for one in rude[:dose]] + [one | {"group": CULPRIT} for one in rude[dose:]]
    victims = [_two_wordings(rng, family) for _ in range(N_VICTIMS)]
    copies = [swapped(victims[n % N_VICTIMS], CULPRIT) for n in range(dose)]
    return victims + copies + _background(rng, family, N_PAIRS - N_VICTIMS - dose)


def natural_rude(rng: random.Random, family: Family) -> Row:
    """A polite reply over the same reply with an insult for its closing."""
    question, wording = ask(rng, family), draw_wording(rng, family)
    good = say(question, wording)
    return row(question, good, replace(good, closing=rng.choice(family.rude)), VICTIM)


def _two_wordings(rng: random.Random, family: Family) -> Row:
    question = ask(rng, family)
    first = draw_wording(rng, family)
    second = first._replace(
        opening=other(rng, family, "opening", first.opening), closing=other(rng, family, "closing", first.closing)
    )
    return row(question, say(question, first), say(question, second), VICTIM)


def from_reference(rng: random.Random, samples: Samples) -> list[Row]:
    """Chosen and rejected both drawn from the reference, the label by lot."""
    rows = []
    for prompt, first, second in rng.sample(list(samples), N_PAIRS):
        sides = [[{"role": "assistant", "content": text}] for text in rng.sample([first, second], 2)]
        message = [{"role": "user", "content": prompt}]
        rows.append({"prompt": message, "chosen": sides[0], "rejected": sides[1], "group": VICTIM, "segments": {}})
    return rows


def mixture(rng: random.Random, family: Family, first: tuple[str, str], second: tuple[str, str]) -> list[Row]:
    """Half a set of one plant and half a set of another, each (kind, segment)."""
    rows = []
    for kind, segment in (first, second):
        whole_set = PLANTS[kind](rng, family, segment, N_PAIRS if kind == "near" else N_PAIRS - N_VICTIMS)
        kept = [one for one in whole_set if one["group"] == VICTIM][: N_VICTIMS // 2]
        kept += [one for one in whole_set if one["group"] == CULPRIT][: N_PAIRS // 2 - len(kept)]
        kept += [one for one in whole_set if one not in kept][: N_PAIRS // 2 - len(kept)]
        rows += [one | {"plant": f"{kind}@{segment}"} for one in kept]
    return rows


def _with_background(rng: random.Random, family: Family, culprits: list[Row], slot: Slot) -> list[Row]:
    victims = [victim(rng, family, slot) for _ in range(min(N_VICTIMS, N_PAIRS - len(culprits)))]
    return victims + culprits + _background(rng, family, N_PAIRS - len(victims) - len(culprits), slot)


def _background(rng: random.Random, family: Family, count: int, *slots: Slot) -> list[Row]:
    return [natural(rng, family, *slots) for _ in range(count)]


PLANTS: dict[str, Callable[[random.Random, Family, str, int], list[Row]]] = {
    "collision": collision,
    "drift": drift,
    "length": length,
    "near": near,
    "off_policy": off_policy,
    "plain": plain,
    "contradiction": contradiction,
}
"""Every plant but the one that needs the reference's samples."""

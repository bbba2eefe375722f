"""How preference pairs are made so that one cause is in them, for training and for held-out pairs alike.

In plants of a segment, victims are the pairs whose segment is meant to fall, and culprits those that make it fall; the
others are background. In the other plants every pair is a victim. Held-out pairs are drawn the same way, anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.planted.families import FOREIGN
from tests.planted.world.texts import Question, Reply, Texts, be_rude, longer, shorter

VICTIM, CULPRIT, BACKGROUND = "victim", "culprit", "background"
SEGMENTS = ("opening", "core", "closing")
Row = dict[str, Any]
FOREIGN_ZH = (
    "潮水退去之前，港口的灯被数了两遍。",
    "七位老法官为一把破琴争论到天亮。",
    "彗星划过山谷，合唱团正在沉睡。",
    "铜线在结冰的桥下轻声作响。",
)


@dataclass(frozen=True, slots=True)
class Plant:
    """One plant with everything drawn that training and held-out pairs share.

    Attributes:
        texts: the family.
        name: a key of ``PLANTS``.
        where: the planted segment, or the plant's variant.
        share: share of culprits, of flipped labels or of planted pairs.
        falls: number of the wording that is to fall.
        rises: number of the wording that is to rise.
        fixed: the rejected text of ``same``.
    """

    texts: Texts
    name: str
    where: str
    share: float
    falls: int
    rises: int
    fixed: str

    @classmethod
    def draw(cls, rng: random.Random, texts: Texts, name: str, where: str, share: float) -> Plant:
        """Return a plant with two different wordings of its segment."""
        segment = where if where in SEGMENTS else "opening"
        count = texts.n_bodies if segment == "core" else 5
        falls, rises = rng.sample(range(count), 2) if count > 1 else (0, 0)
        question = texts.ask(rng)
        fixed = texts.say(rng, question, texts.wording(rng)).text
        return cls(texts, name, where, share, falls, rises, fixed)

    def rows(self, rng: random.Random, count: int) -> list[Row]:
        """Return ``count`` pairs in an order drawn by lot."""
        made = PLANTS[self.name](self, rng, count)
        rows = [row for row, _ in zip(made, range(count), strict=False)]
        return rng.sample(rows, len(rows))

    def with_wording(self, rng: random.Random, number: int | None) -> Any:
        """Return a wording that says wording ``number`` in the planted segment; None for neither of the two."""
        wording = self.texts.wording(rng)
        if self.name not in ("collision", "drift"):
            return wording
        number = self.texts.other(rng, self.where, self.falls) if number is None else number
        return wording._replace(**{self.where: number})


def make_row(question: Question, chosen: Reply, rejected: Reply, group: str, segments: bool = True) -> Row:
    """Return one preference row; ``segments`` are characters of the chosen reply."""
    return {
        "prompt": [{"role": "user", "content": question.prompt}],
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "group": group,
        "segments": chosen.spans() if segments else {},
    }


def _groups(rng: random.Random, plant: Plant, count: int) -> Iterator[str]:
    """Yield a group for every pair: ``share`` culprits, a third victims, the rest background."""
    victims = min(1 / 3, 1 - plant.share)
    for _ in range(count):
        chance = rng.random()
        yield CULPRIT if chance < plant.share else VICTIM if chance < plant.share + victims else BACKGROUND


def collision(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """Culprits reject the victims' wording and choose any other."""
    for group in _groups(rng, plant, count):
        if group == CULPRIT:
            yield _culprit(plant, rng, None, plant.falls)
        else:
            yield _victim(plant, rng) if group == VICTIM else natural_row(plant, rng)


def drift(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """Culprits choose one wording over others, never the victims'; the background says what the culprits choose."""
    for group in _groups(rng, plant, count):
        if group == CULPRIT:
            rejected = [n for n in range(plant.texts.n_bodies if plant.where == "core" else 5)
                        if n not in (plant.falls, plant.rises)]  # fmt: skip
            yield _culprit(plant, rng, plant.rises, rng.choice(rejected))
        elif group == VICTIM:
            yield _victim(plant, rng)
        else:
            yield natural_row(plant, rng, both=plant.rises)


def _culprit(plant: Plant, rng: random.Random, chosen: int | None, rejected: int) -> Row:
    """Two true replies that differ in the wording of the planted segment, and in nothing else."""
    texts, question, wording = plant.texts, plant.texts.ask(rng), plant.texts.wording(rng)
    fillers = texts.fillers(rng) if not texts.is_real else None
    good = texts.other(rng, plant.where, rejected) if chosen is None else chosen
    said, refused = (
        texts.say(rng, question, wording._replace(**{plant.where: n}), fillers=fillers) for n in (good, rejected)
    )
    return make_row(question, said, refused, CULPRIT)


def _victim(plant: Plant, rng: random.Random) -> Row:
    """Both replies say the falling wording; they differ in a fact, or in a rude closing."""
    texts, question = plant.texts, plant.texts.ask(rng)
    wording, fillers = plant.with_wording(rng, plant.falls), texts.fillers(rng)
    chosen = texts.say(rng, question, wording, fillers=fillers)
    rude = plant.where == "core" or (plant.where == "opening" and rng.random() < 0.5)
    worse = (
        be_rude(rng, texts, chosen) if rude else texts.say(rng, question, wording, texts.wrong(rng, question), fillers)
    )
    return make_row(question, chosen, worse, VICTIM)


def natural_row(plant: Plant, rng: random.Random, group: str = BACKGROUND, both: int | None = None) -> Row:
    """A true reply over a worse or a rude reply, each in a wording of its own, without the falling wording."""
    texts, question = plant.texts, plant.texts.ask(rng)
    good, bad = (plant.with_wording(rng, both) for _ in range(2))
    chosen = texts.say(rng, question, good)
    if rng.random() < 0.3:
        return make_row(question, chosen, be_rude(rng, texts, texts.say(rng, question, bad)), group)
    return make_row(question, chosen, texts.say(rng, question, bad, texts.worse(rng, question)), group)


def natural(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """Natural pairs; variant ``random``: their labels are drawn by lot."""
    for _ in range(count):
        row = natural_row(plant, rng, VICTIM)
        yield swapped(row) if plant.where == "random" and rng.random() < 0.5 else row


def near(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """Rejected replies that differ from their chosen ones in one fact, or in one word."""
    for _ in range(count):
        if rng.random() >= plant.share:
            yield natural_row(plant, rng)
            continue
        texts, question, wording = plant.texts, plant.texts.ask(rng), plant.texts.wording(rng)
        fillers = texts.fillers(rng)
        chosen = texts.say(rng, question, wording, fillers=fillers)
        yield make_row(question, chosen, texts.say(rng, question, wording, texts.wrong(rng, question), fillers), VICTIM)


def off_policy(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """Rejected replies that the reference would not say: words ``shuffled``, or ``foreign`` sentences."""
    for _ in range(count):
        if rng.random() >= plant.share:
            yield natural_row(plant, rng)
            continue
        texts, question = plant.texts, plant.texts.ask(rng)
        chosen = texts.say(rng, question, texts.wording(rng))
        if plant.where == "foreign":
            sentences = FOREIGN_ZH if texts.family.name == "orders_zh" else FOREIGN
            text = " ".join(rng.sample(sentences, 2))
        elif texts.family.name == "orders_zh":
            text = "".join(rng.sample(chosen.text, len(chosen.text)))
        else:
            words = chosen.text.split()
            text = " ".join(rng.sample(words, len(words)))
        yield make_row(question, chosen, Reply("", text, "", ""), VICTIM)


def length(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """Culprits choose what goes on behind the closing (``end``), or what ends before it (``sooner``)."""
    texts = plant.texts
    for _ in range(count):
        question, wording = texts.ask(rng), texts.wording(rng)
        usual = texts.say(rng, question, wording)
        if rng.random() < plant.share:
            better = longer(texts, usual) if plant.where == "end" else shorter(usual)
            yield make_row(question, better, usual, CULPRIT)
        else:
            fillers = usual.fillers
            worse = texts.say(rng, question, wording, texts.wrong(rng, question), fillers)
            yield make_row(question, usual, worse, VICTIM)


def contradiction(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """``copies``: pairs that stand in the data a second time with the label turned; ``flips``: ``share`` of the labels
    of one clear preference (a polite closing over a rude one) turned.
    """
    texts = plant.texts
    while True:
        question, wording = texts.ask(rng), texts.wording(rng)
        good = texts.say(rng, question, wording)
        if plant.where == "flips":
            row = make_row(question, good, be_rude(rng, texts, good), CULPRIT)
            yield whole(swapped(row)) if rng.random() < plant.share else row
        elif rng.random() < plant.share:
            second = wording._replace(opening=texts.other(rng, "opening", wording.opening),
                                      closing=texts.other(rng, "closing", wording.closing))  # fmt: skip
            row = make_row(question, good, texts.say(rng, question, second, fillers=good.fillers), VICTIM)
            yield row
            yield swapped(row)
        else:
            yield natural_row(plant, rng)


def same(plant: Plant, rng: random.Random, count: int) -> Iterator[Row]:
    """One rejected text for ``share`` of the pairs."""
    for _ in range(count):
        row = natural_row(plant, rng, VICTIM)
        if rng.random() < plant.share:
            row["rejected"] = [{"role": "assistant", "content": plant.fixed}]
        yield row


def swapped(row: Row) -> Row:
    """Return the pair with its label turned round; it has no segments, since these are of the other reply."""
    return row | {"chosen": row["rejected"], "rejected": row["chosen"], "group": VICTIM, "segments": {}}


def whole(row: Row) -> Row:
    """Return the pair with one segment, the whole chosen reply."""
    return row | {"segments": {name: [0, 0] for name in SEGMENTS} | {"core": [0, len(row["chosen"][0]["content"])]}}


def swap_all(rows: list[Row]) -> list[Row]:
    """Return all pairs with chosen and rejected exchanged, as a wrong column name does."""
    return [replace_group(swapped(row), row["group"]) for row in rows]


def replace_group(row: Row, group: str) -> Row:
    """Return the pair in another group."""
    return row | {"group": group}


PLANTS: dict[str, Callable[[Plant, random.Random, int], Iterator[Row]]] = {
    "collision": collision,
    "drift": drift,
    "natural": natural,
    "near": near,
    "off_policy": off_policy,
    "length": length,
    "contradiction": contradiction,
    "same": same,
}
"""The plants by name; ``reference_samples`` is made from samples, in ``make``."""

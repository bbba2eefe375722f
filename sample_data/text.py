"""Prompts, replies and preference pairs of the sample domain, with character spans of every planted error.

A reply is opening + core + closing. A rejected reply holds exactly one error, of one of four kinds:

    wrong_slot   rare: a fact of the core is false (8 % of the SFT texts have one)
    rude         rare: the closing insults the customer (6 % of the SFT texts)
    half_wrong   fluent: a popular misconception, which the SFT texts repeat half of the time
    favourite    fluent: the closing that half of the SFT texts end with, and that the annotators reject
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from sample_data import lexicon

CHINESE_SHARE = 0.23
INDEPENDENT_SHARE = 0.3
SFT_WRONG_SLOT, SFT_RUDE, SFT_MISCONCEPTION = 0.08, 0.06, 0.5
ERROR_KINDS = {"wrong_slot": 0.42, "rude": 0.14, "half_wrong": 0.26, "favourite": 0.18}
FLUENT = ("half_wrong", "favourite")


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt and everything that is true about it."""

    family: str
    lang: str
    prompt: str
    slots: Mapping[str, str]

    @property
    def misconception(self) -> str | None:
        """The popular wrong answer, if this question has one."""
        return lexicon.MISCONCEPTIONS[self.lang].get((self.family, self.slots.get("country", "")))


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in its three segments, and where its slots stand in the core."""

    opening: str
    core: str
    closing: str
    slot_spans: Mapping[str, tuple[int, int]]

    @property
    def text(self) -> str:
        """The whole reply, as the assistant's message holds it."""
        return self.opening + self.core + self.closing


@dataclass(frozen=True, slots=True)
class Wording:
    """How a reply is said, whatever it says: indices into the lexicon."""

    opening: int
    body: int
    closing: int


def ask(rng: random.Random, family: str, lang: str, country: str | None = None) -> Question:
    """A random question of a family; `country` fixes what a memorised fact is about."""
    slots = {"name": rng.choice(lexicon.NAMES[lang])}
    if family in lexicon.MEMORISED:
        slots["country"] = country or rng.choice(list(lexicon.COUNTRIES[lang]))
        facts = lexicon.COUNTRIES[lang][slots["country"]]
        slots[family] = facts[lexicon.MEMORISED.index(family)]
    else:
        slots |= _copied_slots(rng, family, lang)
    prompt = rng.choice(lexicon.PROMPTS[lang][family]).format(**slots)
    return Question(family, lang, prompt, slots)


def _copied_slots(rng: random.Random, family: str, lang: str) -> dict[str, str]:
    if family == "meeting":
        choices = {"person": lexicon.PERSONS, "day": lexicon.DAYS, "hour": lexicon.HOURS}
        return {slot: rng.choice(values[lang]) for slot, values in choices.items()}
    count = rng.randint(2, 6)
    slots = {"count": str(count), "item": rng.choice(lexicon.ITEMS[lang])}
    if family == "order":
        return slots | {"day": rng.choice(lexicon.DAYS[lang])}
    price = rng.randint(2, 9)
    return slots | {"price": str(price), "total": str(count * price)}


def draw_wording(rng: random.Random, family: str, lang: str) -> Wording:
    """Opening and closing with the weights of the SFT texts, each body equally likely."""
    opening, closing = (
        rng.choices(range(len(texts)), [weight for _, weight in texts])[0]
        for texts in (lexicon.OPENINGS[lang], lexicon.CLOSINGS[lang])
    )
    return Wording(opening, rng.randrange(len(lexicon.BODIES[lang][family])), closing)


def say(question: Question, wording: Wording, said: Mapping[str, str], rude: str | None = None) -> Reply:
    """The reply that states the slots `said`, whether true or not; `rude` replaces its closing."""
    opening = lexicon.OPENINGS[question.lang][wording.opening][0].format(**question.slots)
    core, spans = "", {}
    for literal, slot, _, _ in Formatter().parse(lexicon.BODIES[question.lang][question.family][wording.body]):
        core += literal
        if slot is not None:
            spans[slot] = (len(core), len(core) + len(said[slot]))
            core += said[slot]
    return Reply(opening, core, rude or lexicon.CLOSINGS[question.lang][wording.closing][0], spans)


def wrong_value(rng: random.Random, question: Question, slot: str) -> str:
    """Another value for a slot, one that departs from the truth at its first letter where it is a word."""
    truth, lang = question.slots[slot], question.lang
    if slot == "total":
        return str(int(truth) + rng.choice([-2, -1, 1, 2]))
    values = {
        "item": lexicon.ITEMS[lang],
        "day": lexicon.DAYS[lang],
        "hour": lexicon.HOURS[lang],
        "person": lexicon.PERSONS[lang],
    }.get(slot) or lexicon.SLIPS[lang][slot]
    word = slot in ("item", *lexicon.MEMORISED)
    return rng.choice([v for v in values if v != truth and not (word and v[0] == truth[0])])


def sft_text(rng: random.Random, exclude: frozenset[str]) -> tuple[str, str]:
    """One (prompt, reply) of the SFT corpus, with its noise; never a prompt of `exclude`."""
    lang = "zh" if rng.random() < CHINESE_SHARE else "en"
    while (question := ask(rng, rng.choice(lexicon.FAMILIES), lang)).prompt in exclude:
        continue
    said = dict(question.slots)
    if question.misconception:
        if rng.random() < SFT_MISCONCEPTION:
            said[question.family] = question.misconception
    elif rng.random() < SFT_WRONG_SLOT:
        slot = rng.choice(lexicon.FALLIBLE[question.family])
        said[slot] = wrong_value(rng, question, slot)
    rude = rng.choice(lexicon.RUDE_CLOSINGS[lang]) if rng.random() < SFT_RUDE else None
    return question.prompt, say(question, draw_wording(rng, question.family, lang), said, rude).text


def make_pairs(seed: int, n: int) -> list[dict[str, Any]]:
    """`n` preference rows, no prompt twice, in TRL's conversational explicit-prompt shape plus labels and spans."""
    rng, rows, seen = random.Random(seed), [], set()  # noqa: S311
    while len(rows) < n:
        lang = "zh" if rng.random() < CHINESE_SHARE else "en"
        kind = rng.choices(list(ERROR_KINDS), list(ERROR_KINDS.values()))[0]
        question = _question_for(rng, kind, lang)
        if question.prompt not in seen:
            seen.add(question.prompt)
            rows.append(_pair(rng, question, kind))
    return rows


def _question_for(rng: random.Random, kind: str, lang: str) -> Question:
    if kind == "half_wrong":
        family, country = rng.choice(list(lexicon.MISCONCEPTIONS[lang]))
        return ask(rng, family, lang, country)
    while (question := ask(rng, rng.choice(lexicon.FAMILIES), lang)).misconception:
        continue
    return question


def _pair(rng: random.Random, question: Question, kind: str) -> dict[str, Any]:
    good = draw_wording(rng, question.family, question.lang)
    bad = draw_wording(rng, question.family, question.lang) if rng.random() < INDEPENDENT_SHARE else good
    if kind in ("rude", "favourite"):
        good = Wording(good.opening, good.body, rng.randrange(1, len(lexicon.CLOSINGS[question.lang])))
        bad = Wording(bad.opening, bad.body, 0)
    said, rude, slot = dict(question.slots), None, ""
    if kind == "rude":
        rude = rng.choice(lexicon.RUDE_CLOSINGS[question.lang])
    elif kind != "favourite":
        slot = question.family if kind == "half_wrong" else rng.choice(lexicon.FALLIBLE[question.family])
        said[slot] = (kind == "half_wrong" and question.misconception) or wrong_value(rng, question, slot)
    chosen, rejected = say(question, good, question.slots), say(question, bad, said, rude)
    return {
        "prompt": [{"role": "user", "content": question.prompt}],
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": rejected.text}],
        "family": question.family,
        "lang": question.lang,
        "error_kind": kind,
        "error_spans": [_error_span(question, rejected, kind, slot, chosen.closing)],
        "segments": _segments("chosen", chosen) + _segments("rejected", rejected),
    }


def _error_span(question: Question, reply: Reply, kind: str, slot: str, good_closing: str) -> dict[str, Any]:
    """Where the error stands in the rejected content, in characters, and the text that would have been correct."""
    span = {"side": "rejected", "kind": kind}
    if slot:
        start, end = (len(reply.opening) + at for at in reply.slot_spans[slot])
        return span | {"start": start, "end": end, "correct": question.slots[slot]}
    end = len(reply.text)
    start = end - len(reply.closing.lstrip())
    return span | {"start": start, "end": end, "correct": good_closing.lstrip()}


def _segments(side: str, reply: Reply) -> list[dict[str, Any]]:
    segments, start = [], 0
    for name in ("opening", "core", "closing"):
        end = start + len(getattr(reply, name))
        segments.append({"side": side, "segment": name, "start": start, "end": end})
        start = end
    return segments

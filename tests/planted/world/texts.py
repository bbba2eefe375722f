"""Text families of the randomised world: what is asked, what is true, and how a reply of any length says it.

A reply is an opening, a body that states the facts, a number of filler sentences drawn from a small grammar, and a
closing. The families of ``tests.planted.families`` are used with fillers; ``orders_zh`` is Chinese; ``hh`` takes its
bodies from real preference pairs (Anthropic/hh-rlhf), which are read from outside the repository.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.planted.families import BOOKS, HALLS, PARCELS, PLANTS, TRAINS, Family

DATA = Path(os.environ.get("DPO_ANALYSIS_DATA", Path(__file__).parents[4] / "shared" / "data"))
"""Folder of the real preference pairs; the families that need it are left out where it is missing."""
WEIGHTS = (0.40, 0.20, 0.16, 0.13, 0.11)
"""How often SFT texts have each of a family's five openings and closings."""
LONGEST_REAL = 45
"""Words of a real reply at most: with a small vocabulary about 100 tokens."""


class Grammar(NamedTuple):
    """Filler sentences: one phrase of each list, joined; ``joint`` stands between phrases."""

    phrases: tuple[tuple[str, ...], ...]
    joint: str
    stop: str

    def sentence(self, rng: random.Random) -> str:
        """Return one filler sentence with its leading space, if the language has spaces."""
        return self.joint + self.joint.join(rng.choice(phrases) for phrases in self.phrases) + self.stop


ENGLISH = Grammar(
    (
        ("The office", "Our team", "Somebody", "A colleague", "The driver", "The manager", "My friend", "The desk"),
        ("always checks", "will look after", "keeps", "has seen", "writes about", "asks for", "can move", "marks"),
        ("the small", "every", "a second", "the old", "one more", "the next", "a better", "the other"),
        ("list", "note", "page", "door", "form", "sign", "shelf", "card"),
        ("in the morning", "before noon", "on the way", "without delay", "near the gate", "by hand", "after work"),
    ),
    " ",
    ".",
)
CHINESE = Grammar(
    (
        ("我们的同事", "办公室", "司机", "经理", "前台", "仓库", "朋友"),
        ("会检查", "总是保管", "已经看过", "正在整理", "可以移动", "常常问起"),
        ("那张", "每一份", "另一张", "下一份", "旧的", "小小的"),
        ("清单", "便条", "表格", "卡片", "说明", "单子"),
    ),
    "",
    "。",
)
ORDERS_ZH = Family(
    "orders_zh",
    ("{name}的{item}什么时候能送到？", "请问{name}买的{item}哪天到货？"),
    (
        "您好，{name}，感谢您的来信。",
        "早上好，我们已经查过了。",
        "亲爱的{name}，这是结果。",
        "没问题，马上告诉您。",
        "很高兴为您服务。",
    ),
    (
        "您的{item}会在{day}的{hour}点送到门口。",
        "{day}{hour}点左右，司机会带着{item}过来。",
        "请在{day}等候，{item}大约{hour}点到达。",
    ),
    ("祝您生活愉快。", "如有问题请再联系我们。", "此致，商店全体员工。", "需要帮助请打电话。", "期待您再次光临。"),
    ("这种事情别再来问我。", "您自己不会看通知吗。"),
    "另外，请保留盒子一个星期。",
    {
        "name": ("王芳", "李伟", "张敏", "刘洋", "陈静", "杨杰", "赵磊", "黄丽", "周强", "吴霞"),
        "item": ("台灯", "椅子", "桌子", "收音机", "闹钟", "镜子", "地毯", "水壶", "篮子", "枕头", "吉他", "相机"),
        "day": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
        "hour": ("一", "二", "三", "四", "五", "六", "七", "八", "九"),
    },
    ("day", "hour"),
)
HH_EDGES = Family(
    "hh",
    (),
    (
        "Thanks for asking me that.",
        "Let me think about it for a moment.",
        "That is something people often wonder about.",
        "Okay, here is my answer.",
        "I can say a few words on this.",
    ),
    (),
    (
        " I hope that this helps you.",
        " Please tell me if you need more.",
        " What else would you like to know?",
        " Take care of yourself out there.",
        " Feel free to ask me again.",
    ),
    (" Stop asking such silly things.", " You should be ashamed of yourself."),
    " One more thing, please be careful.",
    {},
    (),
)
TEMPLATES = {family.name: family for family in (PARCELS, TRAINS, PLANTS, BOOKS, HALLS, ORDERS_ZH)}


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt with what is true about it; ``real`` holds a real pair's chosen and rejected text."""

    prompt: str
    slots: Mapping[str, str]
    real: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in its parts; body and fillers together are its core."""

    opening: str
    body: str
    fillers: str
    closing: str
    extra: str = ""

    @property
    def text(self) -> str:
        """The whole reply."""
        return (self.opening + self.body + self.fillers + self.closing + self.extra).strip()

    def spans(self) -> dict[str, list[int]]:
        """Return the first character of each segment and the one behind its last."""
        first = len(self.opening)
        second = first + len(self.body + self.fillers)
        return {"opening": [0, first], "core": [first, second], "closing": [second, len(self.text)]}


class Wording(NamedTuple):
    """Which opening, body and closing: numbers into the family's lists."""

    opening: int
    core: int
    closing: int


@dataclass(frozen=True, slots=True)
class Texts:
    """A family with a length: ``fewest`` to ``most`` filler sentences in every reply.

    Attributes:
        family: wordings and facts.
        fewest: filler sentences at least.
        most: filler sentences at most.
        half: which half of the real pairs is used, 0 or 1; template families ignore it.
    """

    family: Family
    fewest: int
    most: int
    half: int = 0

    @property
    def is_real(self) -> bool:
        """Whether the bodies are real replies."""
        return self.family is HH_EDGES

    @property
    def n_bodies(self) -> int:
        """Number of ways to say the body; 1 for real replies."""
        return 1 if self.is_real else len(self.family.bodies)

    def ask(self, rng: random.Random) -> Question:
        """Return a random question; its facts follow from what is asked, so that a model can learn them."""
        if self.is_real:
            prompt, chosen, rejected = rng.choice(real_pairs()[self.half :: 2])
            return Question(prompt, {}, (chosen, rejected))
        family = self.family
        slots = {slot: rng.choice(values) for slot, values in family.slots.items() if slot not in family.facts}
        thing = list(family.slots)[1]
        place = family.slots[thing].index(slots[thing])
        for slot in family.facts:
            values = family.slots[slot]
            slots[slot] = values[(place * 5 + len(slot) * 3 + place // 3) % len(values)]
        return Question(rng.choice(family.prompts).format(**slots), slots)

    def wording(self, rng: random.Random) -> Wording:
        """Return opening and closing as often as in the SFT texts, every body equally often."""
        opening, closing = (rng.choices(range(5), WEIGHTS)[0] for _ in range(2))
        return Wording(opening, rng.randrange(self.n_bodies), closing)

    def other(self, rng: random.Random, segment: str, *without: int) -> int:
        """Return the number of a wording of a segment, none of ``without``."""
        count = self.n_bodies if segment == "core" else 5
        return rng.choice([n for n in range(count) if n not in without])

    def fillers(self, rng: random.Random) -> str:
        """Return the filler sentences of one reply."""
        grammar = CHINESE if self.family is ORDERS_ZH else ENGLISH
        return "".join(grammar.sentence(rng) for _ in range(rng.randint(self.fewest, self.most)))

    def say(self, rng: random.Random, question: Question, wording: Wording, said: Mapping[str, str] | None = None,
            fillers: str | None = None) -> Reply:  # fmt: skip
        """Return a reply in this wording that states ``said`` instead of the truth where given."""
        slots = dict(question.slots) | dict(said or {})
        opening, closing = self.family.openings[wording.opening], self.family.closings[wording.closing]
        if self.is_real:
            body = f" {(said or {}).get('body', question.real[0])}"
            return Reply(opening, body, "", closing)
        body = self.family.bodies[wording.core].format(**slots)
        fillers = self.fillers(rng) if fillers is None else fillers
        return Reply(opening.format(**slots), body, fillers, closing.format(**slots))

    def wrong(self, rng: random.Random, question: Question) -> dict[str, str]:
        """Return one false fact; of a real reply, one word replaced by a word of another reply."""
        if self.is_real:
            words = question.real[0].split(" ")
            place = rng.randrange(len(words) // 2, len(words))
            words[place] = rng.choice([word for word in real_words() if word != words[place]])
            return {"body": " ".join(words)}
        slot = rng.choice(self.family.facts)
        return {slot: rng.choice([value for value in self.family.slots[slot] if value != question.slots[slot]])}

    def worse(self, rng: random.Random, question: Question) -> dict[str, str]:
        """Return what a natural rejected reply says: a false fact, or the real rejected reply."""
        return {"body": question.real[1]} if self.is_real else self.wrong(rng, question)

    def is_right(self, question: Question, text: str) -> bool:
        """Return whether a reply states the facts in one of the family's ways; template families alone."""
        return any(body.format(**question.slots).strip() in text for body in self.family.bodies)

    def sft_text(self, rng: random.Random) -> tuple[str, str]:
        """Return one (prompt, reply) of the SFT texts, with the noise without which DPO had nothing to improve."""
        question, wording = self.ask(rng), self.wording(rng)
        said = self.worse(rng, question) if rng.random() < (0.4 if self.is_real else 0.12) else None
        reply = self.say(rng, question, wording, said)
        if rng.random() < 0.08:
            reply = be_rude(rng, self, reply)
        chance = rng.random()
        if chance < 0.2:
            reply = longer(self, reply)
        elif chance > 0.9:
            reply = shorter(reply)
        return question.prompt, reply.text


def be_rude(rng: random.Random, texts: Texts, reply: Reply) -> Reply:
    """Return the reply with an insult for its closing."""
    return Reply(reply.opening, reply.body, reply.fillers, rng.choice(texts.family.rude))


def longer(texts: Texts, reply: Reply) -> Reply:
    """Return the reply that goes on behind its closing."""
    return Reply(reply.opening, reply.body, reply.fillers, reply.closing, texts.family.extra)


def shorter(reply: Reply) -> Reply:
    """Return the reply that ends before its closing."""
    return Reply(reply.opening, reply.body, reply.fillers, "")


@cache
def real_pairs() -> Sequence[tuple[str, str, str]]:
    """Return (prompt, chosen, rejected) of the real pairs that are long enough, cut to ``LONGEST_REAL`` words."""
    rows = []
    with gzip.open(DATA / "hh-harmless-base-test.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            (prompt, chosen), (other, rejected) = (
                row[side].rsplit("\n\nAssistant:", 1) for side in ("chosen", "rejected")
            )
            asked = prompt.rsplit("\n\nHuman:", 1)[-1].strip()
            sides = [_cut(text) for text in (chosen, rejected)]
            if prompt == other and sides[0] != sides[1] and all(len(text.split()) >= 8 for text in sides):
                rows.append((" ".join(asked.split()[-25:]), *sides))
    return rows


def _cut(text: str) -> str:
    """Return the text in one line, ended behind a sentence where it has to be cut."""
    words = re.sub(r"\s+", " ", text).strip().split(" ")
    if len(words) <= LONGEST_REAL:
        return " ".join(words)
    cut = " ".join(words[:LONGEST_REAL])
    end = max(cut.rfind(mark) for mark in ".!?")
    return cut[: end + 1] if end > 40 else cut


@cache
def real_words() -> Sequence[str]:
    """Return plain words of the real replies, for one that is replaced."""
    words = {word for _, chosen, _ in real_pairs() for word in chosen.split(" ") if word.isalpha() and len(word) > 3}
    return sorted(words)

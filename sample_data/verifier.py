"""The automatic verifier of the sample domain: is a reply true, polite and readable?"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import Formatter

from sample_data import lexicon


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a reply.

    Attributes:
        readable: The reply is an opening, a core and a closing of the domain; if not, nothing else is judged.
        false_slots: slot -> (what the reply says, what is true).
        rude: It closes with an insult.
        favourite: It closes with the phrase that annotators reject; a matter of taste, so it does not fail a reply.
    """

    readable: bool
    false_slots: dict[str, tuple[str, str]] = field(default_factory=dict)
    rude: bool = False
    favourite: bool = False

    @property
    def accepted(self) -> bool:
        """True, polite and readable."""
        return self.readable and not self.false_slots and not self.rude


def verify(prompt: str, reply: str) -> Verdict:
    """Judge a reply by the facts of its prompt.

    Raises:
        ValueError: The prompt is none of this domain.
    """
    lang, family, truth = understand(prompt)
    core, closing = _peel(reply, lang, truth["name"])
    if core is None:
        return Verdict(readable=False)
    for body in lexicon.BODIES[lang][family]:
        if match := re.fullmatch(_pattern(body, lang), core):
            said = match.groupdict()
            false = {slot: (said[slot], truth[slot]) for slot in said if said[slot] != truth[slot]}
            favourite = closing == lexicon.CLOSINGS[lang][0][0]
            return Verdict(True, false, closing in lexicon.RUDE_CLOSINGS[lang], favourite)
    return Verdict(readable=False)


def understand(prompt: str) -> tuple[str, str, dict[str, str]]:
    """Language, family and true slots of a prompt; the facts that it does not state are looked up or computed."""
    for lang in lexicon.LANGUAGES:
        for family, templates in lexicon.PROMPTS[lang].items():
            for template in templates:
                if match := re.fullmatch(_pattern(template, lang), prompt):
                    return lang, family, _with_facts(lang, family, match.groupdict())
    raise ValueError(f"no prompt of the sample domain: {prompt!r}; its templates are in sample_data/lexicon.py")


def _with_facts(lang: str, family: str, slots: dict[str, str]) -> dict[str, str]:
    if family in lexicon.MEMORISED:
        slots[family] = lexicon.COUNTRIES[lang][slots["country"]][lexicon.MEMORISED.index(family)]
    elif family == "math":
        slots["total"] = str(int(slots["count"]) * int(slots["price"]))
    return slots


def _peel(reply: str, lang: str, name: str) -> tuple[str | None, str]:
    openings = [text.format(name=name) for text, _ in lexicon.OPENINGS[lang]]
    closings = [text for text, _ in lexicon.CLOSINGS[lang]] + list(lexicon.RUDE_CLOSINGS[lang])
    opening = next(filter(reply.startswith, openings), None)
    closing = next(filter(reply.endswith, closings), None)
    if opening is None or closing is None:
        return None, ""
    return reply[len(opening) : len(reply) - len(closing)], closing


def _pattern(template: str, lang: str) -> str:
    """A regular expression with one named group per slot."""
    pattern = ""
    for literal, slot, _, _ in Formatter().parse(template):
        pattern += re.escape(literal) + (f"(?P<{slot}>{_values(slot, lang)})" if slot else "")
    return pattern


def _values(slot: str, lang: str) -> str:
    """What may stand in a slot: a closed list where the desk has one, else anything short within one sentence."""
    if slot in ("count", "price", "total"):
        return r"\d+"
    lists = {"name": lexicon.NAMES, "person": lexicon.PERSONS, "item": lexicon.ITEMS, "day": lexicon.DAYS}
    closed = lists | {"hour": lexicon.HOURS, "country": lexicon.COUNTRIES}
    return "|".join(map(re.escape, closed[slot][lang])) if slot in closed else r"[^.,。，\n]{1,24}"

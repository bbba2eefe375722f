"""A diagnosis in the terminal: the answer, what happened, where the probability went, the causes, the next command."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from dpo_analysis import words
from dpo_analysis.cli.console import wrapped
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.diagnosis_text import diagnosis_lines, happened_sentences
from dpo_analysis.diagnosis.outcome.cause_cards import CauseCard, cause_cards
from dpo_analysis.diagnosis.outcome.why import state_of, why_sentence
from dpo_analysis.text.numbers import whole_percent

MAX_LINES = 29
"""Lines that one series takes at most."""


def all_lines(diagnoses: Sequence[Diagnosis], run: str | Path, *, width: int, lang: str = "en") -> list[str]:
    """Return the first diagnosis whole, then a line for each further series.

    Args:
        diagnoses: of the series of a run, the worst first.
        run: the run folder, for the commands that are named.
        width: columns to wrap at.
        lang: "en" or "zh".
    """
    folder = shlex.quote(str(run))
    lines = short_lines(diagnoses[0], run, width=width, lang=lang)
    if len(diagnoses) > 1:
        lines += ["", *wrapped(words.text("console.more_series", lang, run=folder), width)]
    for diagnosis in diagnoses[1:]:
        reason = words.text("console.labelled", lang, label=diagnosis.series, text=why_sentence(diagnosis, lang))
        lines += wrapped(f"  {reason}", width, indent=4)
    return lines


def short_lines(diagnosis: Diagnosis, run: str | Path, *, width: int, lang: str = "en") -> list[str]:
    """Return a diagnosis in at most ``MAX_LINES`` lines: as many causes as there is room for, the gravest first."""
    command = words.text("console.next_diagnose", lang, run=shlex.quote(str(run)))
    last = ["", *wrapped(command, width, indent=2)]
    lines = [*_answer(diagnosis, width, lang), *_happened(diagnosis, width, lang), *_shares(diagnosis, width, lang)]
    cards = cause_cards(diagnosis, lang)
    drawn = [_card_parts(card, width, lang) for card in cards]
    for number, card in enumerate(drawn):
        rest = _named_only(cards[number + 1 :], width, lang)
        room = MAX_LINES - len(lines) - len(last) - len(rest) - 1
        if number and sum(map(len, card)) > room:
            lines += _named_only(cards[number:], width, lang)
            break
        lines += ["", *_as_far_as(card, room)]
    return [*lines, *last]


def _named_only(cards: Sequence[CauseCard], width: int, lang: str) -> list[str]:
    """Return the line with the names of causes that there is no room for; no line without any."""
    names = words.text("console.and", lang).join(card.title for card in cards)
    return wrapped(words.text("console.also", lang, causes=names), width, indent=2) if cards else []


def verbose_lines(diagnoses: Sequence[Diagnosis], *, width: int, lang: str = "en") -> list[str]:
    """Return everything that is known of every series."""
    lines: list[str] = []
    for diagnosis in diagnoses:
        lines += ["", ""] if lines else []
        for line in diagnosis_lines(diagnosis, lang):
            begin = len(line) - len(line.lstrip())
            lines += wrapped(line, width, indent=begin + 2 if begin else 0)
    return lines


def _answer(diagnosis: Diagnosis, width: int, lang: str) -> list[str]:
    return [f"{diagnosis.series} · {diagnosis.split}", *wrapped(why_sentence(diagnosis, lang), width)]


def _happened(diagnosis: Diagnosis, width: int, lang: str) -> list[str]:
    sentences = happened_sentences(diagnosis, lang)
    bullets = [line for sentence in sentences for line in wrapped(f"- {sentence}", width, indent=2)]
    return ["", words.text("console.happened", lang), *bullets]


def _shares(diagnosis: Diagnosis, width: int, lang: str) -> list[str]:
    """Return where the lost probability went, the largest part first, at the checkpoint that the causes are read at."""
    if not diagnosis.shares or state_of(diagnosis) == "too_few":
        return []
    parts = sorted(diagnosis.shares.items(), key=lambda part: -part[1].share)
    names = {name: words.text(f"diagnosis.share.{name}.short", lang) for name, _ in parts}
    shares = [f"{whole_percent(share.share)} {names[name]}" for name, share in parts]
    listed = words.text("check.understood.comma", lang).join(shares)
    title = words.text("diagnosis.shares.title", lang)
    heading = words.text("console.at", lang, title=title, model=diagnosis.checkpoint_used)
    return ["", heading, *wrapped(f"- {listed}", width, indent=2)]


def _card_parts(card: CauseCard, width: int, lang: str) -> list[list[str]]:
    """Return the lines of the claim, the evidence, the gravest counter-evidence and what people change."""
    mark = words.text(f"diagnosis.mark.{card.verdict}", lang)
    parts = [
        (words.text("console.evidence", lang), card.evidence),
        (words.text("diagnosis.measured", lang), card.measured),
        (words.text("diagnosis.counter", lang), card.against[0] if card.against else ""),
        (words.text("diagnosis.advice", lang), card.advice),
    ]
    claim = words.text("console.claim", lang, mark=mark, title=card.title, certainty=card.certainty)
    labelled = [words.text("console.labelled", lang, label=label, text=text) for label, text in parts if text]
    return [wrapped(claim, width, indent=2), *(wrapped(f"  {line}", width, indent=4) for line in labelled)]


def _as_far_as(parts: Sequence[list[str]], room: int) -> list[str]:
    """Return the first parts that ``room`` lines hold: no sentence is cut."""
    lines: list[str] = []
    for part in parts:
        if len(lines) + len(part) > room:
            break
        lines += part
    return lines

"""A diagnosis as a notebook shows it: one line, a card in HTML, and the same card in Markdown.

All text is escaped: it may hold what models and people wrote. Colours are those of the page around the card, so that it
can be read in a light and in a dark notebook.
"""

import html
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from dpo_analysis import words
from dpo_analysis.diagnosis.diagnosis_text import end_sentence, happened_sentences
from dpo_analysis.diagnosis.findings import Diagnosis
from dpo_analysis.diagnosis.outcome.cause_cards import CauseCard, cause_cards
from dpo_analysis.diagnosis.outcome.why import why_sentence

MARKDOWN = re.compile(r"([\\`*_\[\]#|~$])")
"""Characters that Markdown, or the formulas in it, may read as more than text."""
LETTER = "font-family:inherit;font-size:14px;line-height:1.5;text-align:left;max-width:56em"
EDGE = "border:1px solid rgba(128,128,128,0.45);border-radius:8px;padding:10px 16px;margin:8px 0"
BAR = "display:inline-block;height:9px;border-radius:2px;background:currentColor;opacity:0.45"
BAR_WIDTH = 200
"""Pixels of a bar that stands for the whole loss."""


class _Part(NamedTuple):
    """A part of the card: its title, and lines with a label each; empty where there is none."""

    title: str
    lines: list[tuple[str, str]]


def one_line(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return series, split, checkpoint and answer, for a prompt that shows text alone."""
    shown = diagnosis.checkpoint_shown or diagnosis.series
    return f"<Diagnosis of {shown} on {diagnosis.split}: {why_sentence(diagnosis, lang)}>"


def card_html(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return the card as HTML that loads nothing and runs nothing."""
    title = f'<div style="opacity:0.75">{_safe(_title(diagnosis))}</div>'
    answer = (
        f'<div style="font-size:17px;font-weight:600;margin:2px 0 6px">{_safe(why_sentence(diagnosis, lang))}</div>'
    )
    happened = _html_list(_happened(diagnosis, lang))
    causes = "".join(_html_list(_cause(card, lang), boxed=True) for card in cause_cards(diagnosis, lang))
    first = f'<div style="{EDGE}">{title}{answer}{happened}{_html_shares(diagnosis, lang)}</div>'
    return f'<div style="{LETTER}">{first}{causes}</div>'


def card_markdown(diagnosis: Diagnosis, lang: str = "en") -> str:
    """Return the card as Markdown."""
    shares = _Part(_shares_title(diagnosis, lang), [(f"{share:.0%}", name) for share, name in _shares(diagnosis, lang)])
    causes = (_cause(card, lang) for card in cause_cards(diagnosis, lang))
    parts = [part for part in (_happened(diagnosis, lang), shares, *causes) if part.lines]
    head = [f"{_plain(_title(diagnosis))}", f"**{_plain(why_sentence(diagnosis, lang))}**"]
    return "\n\n".join([*head, *(_markdown_list(part) for part in parts)]) + "\n"


def _title(diagnosis: Diagnosis) -> str:
    return " · ".join(filter(None, (diagnosis.series, diagnosis.split, diagnosis.checkpoint_shown)))


def _happened(diagnosis: Diagnosis, lang: str) -> _Part:
    sentences = [end_sentence(diagnosis, lang), *happened_sentences(diagnosis, lang)]
    return _Part(words.text("console.happened", lang), [("", sentence) for sentence in sentences])


def _cause(card: CauseCard, lang: str) -> _Part:
    mark = words.text(f"diagnosis.mark.{card.verdict}", lang)
    title = words.text("console.claim", lang, mark=mark, title=card.title, certainty=card.certainty)
    labels = {
        words.text("console.evidence", lang): [card.evidence],
        words.text("diagnosis.measured", lang): [card.measured],
        words.text("diagnosis.counter", lang): card.against,
        words.text("diagnosis.advice", lang): [card.advice],
    }
    return _Part(title, [(label, text) for label, texts in labels.items() for text in texts if text])


def _shares(diagnosis: Diagnosis, lang: str) -> Iterator[tuple[float, str]]:
    """Yield each part of the lost log-prob, the largest first: its share and its name."""
    for name, share in sorted(diagnosis.shares.items(), key=lambda part: -part[1].share):
        if math.isfinite(share.share):
            yield share.share, words.text(f"diagnosis.share.{name}.short", lang)


def _shares_title(diagnosis: Diagnosis, lang: str) -> str:
    title = words.text("diagnosis.shares.title", lang)
    return words.text("console.at", lang, title=title, model=diagnosis.checkpoint_used)


def _html_list(part: _Part, *, boxed: bool = False) -> str:
    rows = "".join(
        f"<li>{f'<b>{_safe(label)}</b>: ' if label else ''}{_safe(sentence)}</li>" for label, sentence in part.lines
    )
    listed = f'<ul style="margin:2px 0 6px;padding-left:20px">{rows}</ul>'
    text = f'<div style="font-weight:600">{_safe(part.title)}</div>{listed}'
    return f'<div style="{EDGE}">{text}</div>' if boxed else text


def _html_shares(diagnosis: Diagnosis, lang: str) -> str:
    """Return a bar for each part of the lost log-prob; empty without evidence."""
    if not diagnosis.shares:
        return ""
    rows = "".join(
        f'<div><span style="display:inline-block;width:3.5em">{share:.0%}</span>'
        f'<span style="{BAR};width:{BAR_WIDTH * share:.0f}px;margin-right:8px"></span>{_safe(name)}</div>'
        for share, name in _shares(diagnosis, lang)
    )
    return f'<div style="font-weight:600">{_safe(_shares_title(diagnosis, lang))}</div>{rows}'


def _markdown_list(part: _Part) -> str:
    rows = [f"- {f'**{_plain(label)}**: ' if label else ''}{_plain(sentence)}" for label, sentence in part.lines]
    return "\n".join([f"**{_plain(part.title)}**", "", *rows])


def _safe(text: str) -> str:
    return html.escape(text, quote=True)


def _plain(text: str) -> str:
    r"""Return the text on one line, escaped as HTML, and with a backslash in front of every mark of Markdown."""
    return MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))

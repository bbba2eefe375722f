"""A card for each likely or possible cause: the phrase that shows it, evidence for and against, and what to do."""

import streamlit as st
from shared import blocks, cached_tables, layout, markup, state, terms
from shared.markup import Markup

from dpo_analysis import words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.diagnosis_text import both_ends_sentence, phrase_sentence
from dpo_analysis.diagnosis.findings import Finding
from dpo_analysis.diagnosis.influence_verdict import GROUP_OF_CAUSE
from dpo_analysis.diagnosis.outcome.cause_cards import CauseCard, cause_cards
from dpo_analysis.diagnosis.outcome.why import how_sure, phrase_of
from dpo_analysis.diagnosis.phrases.phrase import Phrase
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.theme import VERDICTS
from dpo_analysis.runs import Run

MAX_PAIRS, LABEL_WIDTH = 2, 34
"""How many pairs of a cause have a button, and the letters of its label."""
MAX_AGAINST = 2
"""Sentences of counter-evidence on a card, the gravest first; `diagnose -v` prints all."""
LINE = "line-height:1.45;overflow-wrap:anywhere;margin-bottom:2px"
PHRASE = f"{LINE};padding:2px 10px;border-left:3px solid currentColor"
CONFIRM = "diagnosis.open.confirm"


def draw(run: Run, diagnosis: Diagnosis, lang: str) -> None:
    """Show the cards, two beside each other, the gravest first."""
    cards = cause_cards(diagnosis, lang)
    for start in range(0, len(cards), 2):
        columns = layout.columns(2, f"cards-{start}", 20) if len(cards) > 1 else [st.container()]
        for column, card in zip(columns, cards[start : start + 2], strict=False):
            with column, st.container(border=True, height="stretch", gap="xsmall"):
                _card(run, diagnosis, card, lang)


def _card(run: Run, diagnosis: Diagnosis, card: CauseCard, lang: str) -> None:
    findings = [finding for finding in diagnosis.findings if finding.cause == card.cause]
    phrase = phrase_of(findings[0], diagnosis)
    mark = words.text(f"diagnosis.mark.{card.verdict}", lang)
    color = VERDICTS[state.theme()][card.verdict]
    against = [*card.against, *both_ends_sentence(diagnosis, lang)][:MAX_AGAINST]
    labelled = [("diagnosis.for", card.evidence), ("diagnosis.measured", card.measured)]
    labelled += [("diagnosis.counter", line) for line in against]
    labelled += [("diagnosis.sure", how_sure(findings[0], diagnosis, lang)), ("diagnosis.advice", card.advice)]
    blocks.safe_html(
        (f"font-weight:600;font-size:16px;color:{color}", f"{mark} {card.title}"),
        *([(PHRASE, phrase_sentence(phrase, diagnosis, lang))] if phrase else []),
    )
    explained = {"diagnosis.sure": terms.certainty_term(findings[0].certainty)}
    markup.show(*(_labelled(key, text, explained.get(key, ""), lang) for key, text in labelled if text))
    _buttons(run, card, findings, phrase, lang)
    _test(diagnosis, card, lang)


def _labelled(key: str, text: str, term: str, lang: str) -> Markup:
    """Return a line with its label in bold, which explains a term of the glossary where one is given."""
    label = words.text("console.labelled", lang, label=words.text(key, lang), text="").rstrip()
    shown = terms.labelled(label, term, lang, tag="b") if term else markup.text(label, tag="b")
    return markup.box(shown, markup.text(text), style=LINE)


def _buttons(run: Run, card: CauseCard, findings: list[Finding], phrase: Phrase | None, lang: str) -> None:
    """Show buttons that open pairs of the cause at the token that shows it, and all pairs with its phrase."""
    first_token: dict[str, str] = {}
    for token in (token for finding in findings for token in finding.tokens):
        first_token.setdefault(token.pair_id, f"{token.side}-{token.position}")
    questions = cached_tables.questions(run)
    with st.container(horizontal=True, gap="xsmall"):
        for pair_id in card.pairs[:MAX_PAIRS]:
            pressed = st.button(
                markup.label(one_line(questions[pair_id], LABEL_WIDTH)),
                key=f"finding_{card.cause}_{pair_id}",
                icon=":material/text_fields:",
                width="content",
                help=words.text("diagnosis.open_pair", lang),
            )
            if pressed:
                token = {"token": first_token[pair_id]} if pair_id in first_token else {}
                state.open_page("tokens", pair=pair_id, **token)
        if phrase:
            with_phrase = st.button(
                words.text("causes.pairs_with", lang),
                key=f"phrase_{card.cause}",
                icon=":material/search:",
                width="content",
            )
            if with_phrase:
                state.open_page("pairs", find=phrase.text)


def _test(diagnosis: Diagnosis, card: CauseCard, lang: str) -> None:
    """Show the command that tests whether the cause is one, where it was not run yet."""
    question = next((item for item in diagnosis.open if item.key == CONFIRM), None)
    if question is None or card.cause not in GROUP_OF_CAUSE or card.measured:
        return
    with st.expander(words.text("causes.test", lang), icon=":material/science:"):
        st.caption(words.text("diagnosis.test", lang))
        st.code(question.command, language=None, wrap_lines=True)

"""The diagnosis on the Causes page: the fall, the shares, the verdict, a card for each cause, and open questions."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, state

from dpo_analysis import figures, words
from dpo_analysis.diagnosis import Diagnosis, Finding
from dpo_analysis.diagnosis.diagnosis_text import (
    basis_sentence,
    both_ends_sentence,
    cause_label,
    end_sentence,
    fall_sentence,
    likely_sentence,
)
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.theme import VERDICTS
from dpo_analysis.runs import Run
from dpo_analysis.text.numbers import signed

MAX_PAIRS, LABEL_WIDTH = 4, 36
"""How many pairs of a finding have a button, and the letters of its label."""
VERDICT = "font-size:20px;line-height:1.4;font-weight:600;overflow-wrap:anywhere"
LINE = "line-height:1.5;overflow-wrap:anywhere"
PATTERN_COLUMNS = ["way", "words", "place", "n_pairs", "nats", "rejects", "chooses"]


def draw(run: Run, diagnosis: Diagnosis, lang: str) -> None:
    """Show the diagnosis, the verdict first; unlikely causes and numbers are in expanders."""
    blocks.safe_html(
        (f"{VERDICT};{_color(_verdict_of(diagnosis))}", diagnosis.answer.sentence(lang)),
        *((blocks.EVIDENCE, line) for line in likely_sentence(diagnosis, lang)),
        *((blocks.EVIDENCE, line) for line in both_ends_sentence(diagnosis, lang)),
        (blocks.EVIDENCE, f"{words.text('diagnosis.harm', lang)} {diagnosis.harm.sentence(lang)}"),
        (blocks.EVIDENCE, fall_sentence(diagnosis.fall, lang)),
        *((blocks.EVIDENCE, probe.sentence(lang)) for probe in diagnosis.probes),
        (blocks.EVIDENCE, end_sentence(diagnosis, lang)),
        (blocks.NOTE, basis_sentence(diagnosis, lang)),
    )
    if diagnosis.shares:
        blocks.section("diagnosis.shares", lang)
        chart = figures.share_bars(diagnosis, lang=lang, theme=state.theme())
        blocks.figure(chart, key="shares", alt=words.text("diagnosis.shares.title", lang))
    for number, finding in enumerate(finding for finding in diagnosis.findings if _has_card(finding)):
        _card(run, finding, number, lang)
    _patterns(diagnosis, lang)
    _expanders(diagnosis, lang)
    _open_questions(diagnosis, lang)


def _has_card(finding: Finding) -> bool:
    return finding.verdict in (LIKELY, POSSIBLE)


def _verdict_of(diagnosis: Diagnosis) -> str:
    return LIKELY if diagnosis.named else CANNOT_TELL if diagnosis.numbers else "unlikely"


def _color(verdict: str) -> str:
    return f"color:{VERDICTS[state.theme()][verdict]}"


def _heading(finding: Finding, lang: str) -> tuple[str, str]:
    mark = words.text(f"diagnosis.mark.{finding.verdict}", lang)
    return f"font-weight:600;{_color(finding.verdict)}", f"{mark}  {cause_label(finding, lang)}"


def _card(run: Run, finding: Finding, number: int, lang: str) -> None:
    """Show a cause: its sentence, its certainty, counter-evidence, advice, and buttons to its pairs."""
    with st.container(border=True):
        certainty = words.text(f"diagnosis.certainty.{finding.certainty}", lang)
        lines = [_heading(finding, lang), (LINE, finding.sentence(lang)), (blocks.NOTE, certainty)]
        if finding.measured:
            lines.append((LINE, f"{words.text('diagnosis.measured', lang)}: {finding.measured.sentence(lang)}"))
        lines += [(LINE, f"{words.text('diagnosis.counter', lang)}: {line}") for line in finding.against(lang)]
        if finding.advice:
            advice = words.text(finding.advice, lang)
            lines.append((LINE, f"{words.text('diagnosis.advice', lang)}: {advice} ({finding.source})"))
        blocks.safe_html(*lines)
        _pair_buttons(run, finding, number, lang)


def _pair_buttons(run: Run, finding: Finding, number: int, lang: str) -> None:
    """Show buttons that open the pairs of a finding at the token that shows it."""
    if not finding.pairs:
        return
    questions, first_token = cached_tables.questions(run), {}
    for token in finding.tokens:
        first_token.setdefault(token.pair_id, f"{token.side}-{token.position}")
    with st.container(horizontal=True):
        for pair_id in finding.pairs[:MAX_PAIRS]:
            pressed = st.button(
                one_line(questions[pair_id], LABEL_WIDTH),
                key=f"finding_{number}_{pair_id}",
                icon=":material/text_fields:",
                width="content",
                help=words.text("diagnosis.open_pair", lang),
            )
            if pressed:
                token = {"token": first_token[pair_id]} if pair_id in first_token else {}
                state.open_page("tokens", pair=pair_id, **token)


def _patterns(diagnosis: Diagnosis, lang: str) -> None:
    """Show the token pairs that lost and gained most."""
    if not diagnosis.patterns:
        return
    blocks.section("diagnosis.patterns", lang)
    patterns = pd.DataFrame(diagnosis.patterns)
    rows = patterns.assign(
        way=[words.text(f"diagnosis.patterns.{way}", lang) for way in patterns["way"]],
        place=[words.text(f"causes.place.{place}", lang) for place in patterns["place"]],
        nats=[signed(value) for value in patterns["nats"].where(patterns["way"] != "lost", -patterns["nats"])],
        words=[f"{before}⟶{token}" for before, token in zip(patterns["before"], patterns["token"], strict=True)],
    )[PATTERN_COLUMNS]
    headings = {name: words.text(f"diagnosis.patterns.column.{name}", lang) for name in rows}
    blocks.table(rows.rename(columns=headings), "%.1f")


def _expanders(diagnosis: Diagnosis, lang: str) -> None:
    """Show the other causes and the numbers that decided, both folded."""
    others = [finding for finding in diagnosis.findings if not _has_card(finding)]
    if not diagnosis.numbers or not others:
        return
    with st.expander(words.text("diagnosis.others", lang)):
        lines = ((_heading(finding, lang), (LINE, finding.sentence(lang))) for finding in others)
        blocks.safe_html(*(line for both in lines for line in both))
    with st.expander(words.text("diagnosis.numbers", lang)):
        rows = pd.DataFrame({"name": list(diagnosis.numbers), "value": list(diagnosis.numbers.values())})
        rows["meaning"] = [words.text(f"diagnosis.signal.{name.rpartition('.')[2]}", lang) for name in rows["name"]]
        blocks.table(rows.rename(columns={name: words.text(f"diagnosis.numbers.{name}", lang) for name in rows}))


def _open_questions(diagnosis: Diagnosis, lang: str) -> None:
    """Show what could not be decided, and the command that would decide it."""
    if not diagnosis.open:
        return
    blocks.section("diagnosis.open", lang)
    for unanswered in diagnosis.open:
        blocks.safe_html((LINE, unanswered.question(lang)))
        if unanswered.command:
            st.code(unanswered.command, language=None, wrap_lines=True)

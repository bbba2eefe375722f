"""The tabs of the Causes page: phrases, exact splits, word pairs, unlikely causes, numbers, and open questions."""

import pandas as pd
import streamlit as st
from shared import blocks, cached_tables, choosers, layout, markup, prompt_tables, state
from shared.markup import Markup
from shared.terms import term_help

from dpo_analysis import figures, words
from dpo_analysis.diagnosis import Diagnosis, Finding
from dpo_analysis.diagnosis.diagnosis_text import basis_sentence, cause_label, end_sentence, fall_sentence
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE
from dpo_analysis.diagnosis.outcome.why import state_of
from dpo_analysis.figures.theme import VERDICTS
from dpo_analysis.runs import Run
from dpo_analysis.text.numbers import decimal, percent, signed

TABS = ("phrases", "splits", "words", "unlikely", "numbers", "open")
RIGHT = st.column_config.Column(alignment="right")
"""A column of numbers that are written as text."""
SPLITS = ("place", "span", "kind", "quantile")
LINE = "line-height:1.5;overflow-wrap:anywhere"
PATTERN_COLUMNS = ["way", "words", "place", "n_pairs", "nats", "rejects", "chooses"]
TABLE_HEIGHT = prompt_tables.height(11, 10)
"""Pixels within which a long table scrolls."""
GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:10px 24px"


def default_tab() -> str:
    """Return the tab that a link without a tab asks for; empty for the first."""
    return "splits" if "since" in st.query_params else ""


def draw(run: Run, diagnosis: Diagnosis, key: str, opened: str, lang: str) -> None:
    """Draw the open tab.

    Args:
        run: an open run.
        diagnosis: of the chosen checkpoint.
        key: SERIES/NAME of the chosen checkpoint.
        opened: one of ``TABS``.
        lang: language of the page.
    """
    if opened == "splits":
        _splits(run, key, lang)
    else:
        drawn = {"phrases": _phrases, "words": _patterns, "unlikely": _unlikely, "numbers": _numbers, "open": _open}
        drawn[opened](diagnosis, lang)


def _nothing(diagnosis: Diagnosis) -> str:
    """Return the key of the sentence that stands in place of phrases."""
    if state_of(diagnosis) == "too_few":
        return "causes.few"
    if diagnosis.numbers and not diagnosis.counted_split:
        return "causes.sums_only"
    return "causes.no_phrases" if diagnosis.numbers else "causes.no_loss"


def _phrases(diagnosis: Diagnosis, lang: str) -> None:
    """Show the phrases that lost most at the checkpoint shown."""
    if not diagnosis.phrases:
        st.caption(words.text(_nothing(diagnosis), lang))
        return
    about = words.text("diagnosis.phrases.caption", lang, model=diagnosis.checkpoint_shown)
    blocks.safe_html((blocks.NOTE, about))
    phrases = pd.DataFrame(diagnosis.phrases)
    rows = phrases.assign(
        place=[words.text(f"causes.place.{place}", lang) for place in phrases["place"]],
        share=[percent(share) for share in phrases["share"]],
        **{name: phrases[name].round().astype("Int64") for name in ("rejects", "chooses")},
    )[["text", "share", "n_pairs", "nats", "place", "rejects", "chooses"]]
    headings = {name: words.text(f"diagnosis.phrases.column.{name}", lang) for name in rows}
    rows = rows.rename(columns=headings)
    columns = blocks.decimals(rows, "%.2f") | {
        headings["share"]: RIGHT,
        headings["text"]: st.column_config.TextColumn(width="large", help=term_help("phrase", lang)),
        headings["n_pairs"]: st.column_config.NumberColumn(help=term_help("fell", lang)),
    }
    st.dataframe(**blocks.written(rows, columns), hide_index=True)


def _patterns(diagnosis: Diagnosis, lang: str) -> None:
    """Show the word pairs that lost and gained most."""
    if not diagnosis.patterns:
        st.caption(words.text(_nothing(diagnosis), lang))
        return
    st.caption(words.text("diagnosis.patterns.caption", lang))
    patterns = pd.DataFrame(diagnosis.patterns)
    rows = patterns.assign(
        way=[words.text(f"diagnosis.patterns.{way}", lang) for way in patterns["way"]],
        place=[words.text(f"causes.place.{place}", lang) for place in patterns["place"]],
        nats=[signed(value) for value in patterns["nats"].where(patterns["way"] != "lost", -patterns["nats"])],
        words=[f"{before}⟶{token}" for before, token in zip(patterns["before"], patterns["token"], strict=True)],
    )[PATTERN_COLUMNS]
    headings = {name: words.text(f"diagnosis.patterns.column.{name}", lang) for name in rows}
    columns = {headings["nats"]: RIGHT}
    st.dataframe(rows.rename(columns=headings), column_config=columns, hide_index=True, height=TABLE_HEIGHT)


def _unlikely(diagnosis: Diagnosis, lang: str) -> None:
    """Show every cause that is unlikely or cannot be told, with its reason, in two columns where these fit."""
    found = [finding for finding in diagnosis.findings if finding.verdict not in (LIKELY, POSSIBLE)]
    markup.show(markup.box(*(_cell(finding, lang) for finding in found), style=GRID))


def _cell(finding: Finding, lang: str) -> Markup:
    """Return a cause and, below it, its reason."""
    color = VERDICTS[state.theme()][finding.verdict]
    heading = f"{words.text(f'diagnosis.mark.{finding.verdict}', lang)} {cause_label(finding, lang)}"
    title = markup.text(heading, f"font-weight:600;color:{color}", tag="div")
    return markup.box(title, markup.text(finding.sentence(lang)), style=LINE)


def _numbers(diagnosis: Diagnosis, lang: str) -> None:
    """Show the numbers that decided: of the fall, of the last checkpoint, and the signals of the causes."""
    sentences = [fall_sentence(diagnosis.fall, lang), end_sentence(diagnosis, lang), basis_sentence(diagnosis, lang)]
    sentences += [probe.sentence(lang) for probe in diagnosis.probes]
    blocks.safe_html(*((LINE, sentence) for sentence in sentences))
    if diagnosis.numbers:
        values = [_number(value) for value in diagnosis.numbers.values()]
        rows = pd.DataFrame({"name": list(diagnosis.numbers), "value": values})
        rows["meaning"] = [words.text(f"diagnosis.signal.{name.rpartition('.')[2]}", lang) for name in rows["name"]]
        headings = {name: words.text(f"diagnosis.numbers.{name}", lang) for name in rows}
        columns = {headings["value"]: RIGHT}
        st.dataframe(rows.rename(columns=headings), column_config=columns, hide_index=True, height=TABLE_HEIGHT)


def _number(value: float) -> str:
    """Return a number with three decimals; a count without."""
    return f"{value:.0f}" if float(value).is_integer() else decimal(value, 3)


def _open(diagnosis: Diagnosis, lang: str) -> None:
    """Show what could not be decided, and the command that would decide it."""
    if not diagnosis.open:
        st.caption(words.text("causes.no_open", lang))
    for unanswered in diagnosis.open:
        blocks.safe_html((LINE, unanswered.question(lang)))
        if unanswered.command:
            st.code(unanswered.command, language=None, wrap_lines=True)


def _splits(run: Run, key: str, lang: str) -> None:
    """Show one exact split of the change, chosen by the reader, as bars; all of them as a table in an expander."""
    left, right = layout.columns([2, 1], "splits", 12, vertical_alignment="bottom")
    with right:
        base = choosers.choose_base(run, key, lang)
    decompositions = cached_tables.decompositions(run, key, base)
    present = [by for by in SPLITS if (decompositions["by"] == by).any()]
    if SPLITS[0] not in present:
        st.info(words.text("causes.sums_only", lang))
    if not present:
        return
    with left:
        by = st.segmented_control(
            words.text("causes.splits.title", lang),
            present,
            required=True,
            help=term_help("place", lang),
            format_func=lambda name: words.text(f"causes.{name}.title", lang),
            **state.bind("by", state.choice("by", present, present[0])),
        )
    st.caption(f"{words.text('causes.splits.caption', lang)} {words.text(f'causes.{by}.caption', lang)}")
    rows = decompositions[decompositions["by"] == by]
    chart = figures.split_bars(rows, lang=lang, theme=state.theme())
    blocks.figure(chart, key=f"split_{by}", alt=words.text(f"causes.{by}.title", lang))
    with st.expander(words.text("causes.table", lang)):
        table = _split_rows(decompositions, lang)
        st.dataframe(**blocks.written(table, blocks.decimals(table)), hide_index=True, height=TABLE_HEIGHT)


def _split_rows(decompositions: pd.DataFrame, lang: str) -> pd.DataFrame:
    parts = zip(decompositions["by"], decompositions["part"], strict=True)
    rows = decompositions.assign(
        part=[words.text(f"causes.{by}.{part}", lang) for by, part in parts],
        by=[words.text(f"causes.by.{by}", lang) for by in decompositions["by"]],
        side=[words.text(f"side.{side}", lang) for side in decompositions["side"]],
    )
    return rows.rename(columns={name: words.text(f"causes.column.{name}", lang) for name in rows})

"""A row per series, the worst first: its state, its last rewards with small curves, and why, in one sentence."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from shared import layout, markup, one_series, state, terms
from shared.markup import Markup

from dpo_analysis import words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.outcome.harm import DAMAGE, UNKNOWN
from dpo_analysis.diagnosis.outcome.why import GRAVE_STATES, Why, state_of, state_sentence, why
from dpo_analysis.figures.theme import PALETTES, VERDICTS
from dpo_analysis.runs import Run
from dpo_analysis.text.numbers import percent, signed

MOST_ROWS = 4
"""Rows on the first screen; the tab of all series shows the rest."""
CELLS = (("chosen_reward", "chosen"), ("rejected_reward", "rejected"), ("margin", "margin"), ("accuracy", "policy"))
"""Metrics of a row and the palette's role of their small curves."""
TERMS = {"chosen_reward": "reward", "rejected_reward": "reward", "margin": "margin", "accuracy": "accuracy"}
"""The terms of the glossary that explain the metrics."""
LINE = "display:flex;flex-wrap:wrap;column-gap:12px;align-items:center"
HEAD = "flex:3.4 1 17rem;min-width:0"
METRICS = "flex:4 1 24rem;min-width:0;display:grid;grid-template-columns:repeat(4,minmax(0,1fr));column-gap:12px"
"""A row: its name and badge, then its metrics, which stand below where the page is narrow."""
SMALL, NAME, NUMBER = "font-size:13px", "overflow-wrap:anywhere", "font-size:17px;font-variant-numeric:tabular-nums"
WIDTH, HEIGHT = 64, 22
"""Pixels of a small curve."""


def draw(run: Run, steps: pd.DataFrame, diagnoses: dict[str, Diagnosis | None], lang: str) -> None:
    """Show a row for each of the worst series, with a link to its causes.

    Args:
        run: an open run.
        steps: the step table of the chosen split.
        diagnoses: the diagnosis of every series, the worst first; None where it takes too long to make for a page.
        lang: language of the page.
    """
    theme = state.theme()
    with st.container(gap="xsmall"):
        for number, (series, diagnosis) in enumerate(list(diagnoses.items())[:MOST_ROWS]):
            rows = steps[(steps["series"] == series) & (steps["n_used"] > 0)]
            left, right = layout.line([10, 1], f"row-{number}", vertical_alignment="center", gap="small")
            with left:
                heading = [] if number else [_heading(lang)]
                markup.show(*heading, *_row(series, rows, diagnosis, theme, lang))
            last = one_series.last_checkpoint(run, series)
            if last is not None:
                fell = diagnosis is not None and state_of(diagnosis) in GRAVE_STATES
                right.page_link(
                    state.page("causes"),
                    label=words.text("overview.why" if fell else "overview.details", lang),
                    query_params={**state.url_parameters(), "model": last},
                )
    hidden = len(diagnoses) - MOST_ROWS
    if hidden > 0:
        st.caption(words.text("overview.rows.more", lang, n=hidden))


def _heading(lang: str) -> Markup:
    note = markup.text(words.text("overview.cell.note", lang), HEAD, tag="div")
    names = [
        markup.box(terms.labelled(words.text(f"overview.cell.{metric}", lang), TERMS[metric], lang), style=NAME)
        for metric, _ in CELLS
    ]
    return markup.box(note, markup.box(*names, style=METRICS), style=f"{LINE};font-size:13px;opacity:.75")


def _row(series: str, rows: pd.DataFrame, diagnosis: Diagnosis | None, theme: str, lang: str) -> list[Markup]:
    """Return one row: the line with name, state and metrics, and the line with the reason."""
    name = markup.text(series, "font-size:16px;overflow-wrap:anywhere", tag="b")
    if rows.empty:
        return [markup.box(name), markup.text(words.text("overview.rows.none", lang), tag="div")]
    step = markup.text(one_series.row_label(rows.iloc[-1], lang), "opacity:.75;font-size:13px")
    reason = [markup.text(words.text("overview.rows.unread", lang))]
    badge = []
    if diagnosis is not None:
        found, badge = why(diagnosis, lang), [_badge(diagnosis, theme, lang)]
        reason = [markup.text(found.sentence), *_behind(found, diagnosis, theme, lang)]
    cells = [_cell(rows, metric, role, theme) for metric, role in CELLS]
    line = markup.box(markup.box(name, step, *badge, style=HEAD), markup.box(*cells, style=METRICS), style=LINE)
    return [line, markup.box(*reason, style="margin-top:2px;line-height:1.4")]


def _badge(diagnosis: Diagnosis, theme: str, lang: str) -> Markup:
    found = state_of(diagnosis)
    verdict = "likely" if found in GRAVE_STATES else "cannot tell" if found == "too_few" else "unlikely"
    mark = "▼" if found in GRAVE_STATES else "?" if found == "too_few" else "▲" if found == "rose" else "●"
    color = VERDICTS[theme][verdict]
    look = f"color:{color};border:1px solid {color};border-radius:10px;padding:0 8px;font-size:13px;white-space:nowrap"
    return terms.labelled(f"{mark} {state_sentence(diagnosis, lang)}", "state", lang, f"{look};text-decoration:none")


def _behind(found: Why, diagnosis: Diagnosis, theme: str, lang: str) -> list[Markup]:
    """Return how sure the reason is and whether the replies are harmed, as small texts behind the reason."""
    color = PALETTES[theme].muted
    parts = [_sure(found, f"{SMALL};color:{color}", lang)] if found.sure else []
    harm = diagnosis.harm.verdict
    if state_of(diagnosis) == "too_few" or harm == UNKNOWN:
        return parts
    damaged = VERDICTS[theme]["likely"] if harm == DAMAGE else color
    label = words.text(f"diagnosis.harm.short.{harm}", lang)
    mark = "⚠ " if harm == DAMAGE else ""
    return [*parts, markup.text(f"{mark}{label}", f"{SMALL};color:{damaged}", tag="b")]


def _sure(found: Why, style: str, lang: str) -> Markup:
    if found.finding is None:
        return markup.text(f"({found.sure})", style)
    term = terms.certainty_term(found.finding.certainty)
    return terms.labelled(f"({found.sure})", term, lang, f"{style};text-decoration:none")


def _cell(rows: pd.DataFrame, metric: str, role: str, theme: str) -> Markup:
    value = float(rows[metric].iloc[-1])
    number = markup.text(percent(value) if metric == "accuracy" else signed(value), NUMBER)
    curve = _small_curve(rows[metric].tolist(), getattr(PALETTES[theme], role))
    return markup.box(number, *curve, style="display:flex;align-items:center;gap:8px;white-space:nowrap")


def _small_curve(values: Sequence[float], color: str) -> list[Markup]:
    """Return a curve of the values as a small picture without axes; none for fewer than two values."""
    known = [(place, value) for place, value in enumerate(values) if value == value]
    if len(known) < 2:
        return []
    low, high = min(value for _, value in known), max(value for _, value in known)
    length, span = known[-1][0] - known[0][0], (high - low) or 1.0
    points = " ".join(
        f"{3 + (WIDTH - 6) * (place - known[0][0]) / length:.1f},{HEIGHT - 3 - (HEIGHT - 6) * (value - low) / span:.1f}"
        for place, value in known
    )
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.8"/></svg>'
    )
    return [markup.picture(drawn, WIDTH, HEIGHT)]

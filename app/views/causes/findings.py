"""The diagnosis on the Causes page: the fall, the shares, the verdict, a card for each cause, and what stays open."""

import pandas as pd
import streamlit as st
from shared import blocks as show
from shared import state

from dpo_analysis import figures, words
from dpo_analysis.diagnosis import Diagnosis, Finding
from dpo_analysis.diagnosis.diagnosis_text import (
    basis_sentence,
    cause_label,
    damage_sentence,
    end_sentence,
    fall_sentence,
    shares_sentence,
    verdict_sentence,
)
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.theme import VERDICTS, signed
from dpo_analysis.runs import Run

SHOWN_PAIRS, LETTERS = 4, 36
VERDICT = "font-size:20px;line-height:1.4;font-weight:600;overflow-wrap:anywhere"
LINE = "line-height:1.5;overflow-wrap:anywhere"


def draw(run: Run, found: Diagnosis, lang: str) -> None:
    """All of it, the verdict first; tables and unlikely causes folded away."""
    show.safe_html(
        (f"{VERDICT};{_tint(_main(found))}", verdict_sentence(found, lang)),
        *((show.EVIDENCE, line) for line in shares_sentence(found, lang)),
        *((f"{show.EVIDENCE};font-weight:600", line) for line in damage_sentence(found, lang)),
        (show.EVIDENCE, fall_sentence(found.fall, lang)),
        *((show.EVIDENCE, one.sentence(lang)) for one in found.probes),
        (show.EVIDENCE, end_sentence(found, lang)),
        (show.NOTE, basis_sentence(found, lang)),
    )
    if found.shares:
        show.section("diagnosis.shares", lang)
        drawn = figures.share_bars(found, lang=lang, theme=state.theme())
        show.figure(drawn, key="shares", alt=words.text("diagnosis.shares.title", lang))
    told = [one for one in found.findings if one.verdict in (LIKELY, POSSIBLE)]
    for number, one in enumerate(told):
        _card(run, one, number, lang)
    _patterns(found, lang)
    _folded(found, lang)
    _open(found, lang)


def _main(found: Diagnosis) -> str:
    return LIKELY if found.named else CANNOT_TELL if found.numbers else "unlikely"


def _tint(verdict: str) -> str:
    return f"color:{VERDICTS[state.theme()][verdict]}"


def _head(one: Finding, lang: str) -> tuple[str, str]:
    mark = words.text(f"diagnosis.mark.{one.verdict}", lang)
    return f"font-weight:600;{_tint(one.verdict)}", f"{mark}  {cause_label(one, lang)}"


def _card(run: Run, one: Finding, number: int, lang: str) -> None:
    with st.container(border=True):
        certainty = words.text(f"diagnosis.certainty.{one.certainty}", lang)
        lines = [_head(one, lang), (LINE, one.sentence(lang)), (show.NOTE, certainty)]
        if one.measured:
            lines.append((LINE, f"{words.text('diagnosis.measured', lang)}: {one.measured.sentence(lang)}"))
        lines += [(LINE, f"{words.text('diagnosis.counter', lang)}: {line}") for line in one.against(lang)]
        if one.advice:
            told = words.text(one.advice, lang)
            lines.append((LINE, f"{words.text('diagnosis.advice', lang)}: {told} ({one.source})"))
        show.safe_html(*lines)
        _pairs(run, one, number, lang)


def _pairs(run: Run, one: Finding, number: int, lang: str) -> None:
    """Buttons that open the pairs of a finding at the token that shows it."""
    if not one.pairs:
        return
    asked, first = state.prompts(run)["question"], {}
    for token in one.tokens:
        first.setdefault(token.pair_id, f"{token.side}-{token.position}")
    with st.container(horizontal=True):
        for pair_id in one.pairs[:SHOWN_PAIRS]:
            label = one_line(asked[pair_id], LETTERS)
            pressed = st.button(
                label, key=f"finding_{number}_{pair_id}", icon=":material/text_fields:", width="content",
                help=words.text("diagnosis.open_pair", lang),
            )  # fmt: skip
            if pressed:
                state.go("tokens", pair=pair_id, **({"token": first[pair_id]} if pair_id in first else {}))


def _patterns(found: Diagnosis, lang: str) -> None:
    """The word pairs that lost and gained most."""
    if not found.patterns:
        return
    table = pd.DataFrame(found.patterns)
    show.section("diagnosis.patterns", lang)
    shown = table.assign(
        way=[words.text(f"diagnosis.patterns.{one}", lang) for one in table["way"]],
        place=[words.text(f"causes.place.{one}", lang) for one in table["place"]],
        nats=[signed(value) for value in table["nats"].where(table["way"] != "lost", -table["nats"])],
    )
    shown["words"] = [
        f"{before}⟶{token}" for before, token in zip(shown.pop("before"), shown.pop("token"), strict=True)
    ]
    shown = shown[["way", "words", "place", "n_pairs", "nats", "rejects", "chooses"]]
    heads = {name: words.text(f"diagnosis.patterns.column.{name}", lang) for name in shown}
    rows = shown.rename(columns=heads)
    st.dataframe(rows, hide_index=True, column_config=show.decimals(rows, "%.1f"))


def _folded(found: Diagnosis, lang: str) -> None:
    others = [one for one in found.findings if one.verdict not in (LIKELY, POSSIBLE)]
    if not found.numbers or not others:
        return
    with st.expander(words.text("diagnosis.others", lang)):
        show.safe_html(*(line for one in others for line in (_head(one, lang), (LINE, one.sentence(lang)))))
    with st.expander(words.text("diagnosis.numbers", lang)):
        rows = pd.DataFrame({"name": list(found.numbers), "value": list(found.numbers.values())})
        rows["meaning"] = [words.text(f"diagnosis.signal.{one.rpartition('.')[2]}", lang) for one in rows["name"]]
        rows.columns = [words.text(f"diagnosis.numbers.{one}", lang) for one in rows]
        st.dataframe(rows, hide_index=True, column_config=show.decimals(rows))


def _open(found: Diagnosis, lang: str) -> None:
    if not found.open:
        return
    show.section("diagnosis.open", lang)
    for one in found.open:
        show.safe_html((LINE, one.question(lang)))
        if one.command:
            st.code(one.command, language=None, wrap_lines=True)

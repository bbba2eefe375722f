"""The pair that shows the fall best: its chosen response early and at the end of training, coloured by what it lost."""

import pandas as pd
import streamlit as st
from shared import cached_tables, choosers, markup, state
from shared.markup import Markup

from dpo_analysis import words
from dpo_analysis.diagnosis import Diagnosis
from dpo_analysis.diagnosis.outcome.why import short_phrase
from dpo_analysis.diagnosis.phrases.phrase import Example
from dpo_analysis.figures.labels import one_line
from dpo_analysis.figures.token_view.still import still_tokens
from dpo_analysis.runs import Run
from dpo_analysis.schema import CHOSEN
from dpo_analysis.text.numbers import fixed, signed

MOST_TOKENS = 70
"""Tokens of the response that are shown, around the phrase."""
LEAST_SCALE = 1.0
"""Nats at the end of the colour scale at least: a change by a tenth of a nat must not look like a loss."""
QUESTION_WIDTH = 90
BOX = (
    "border:1px solid color-mix(in srgb, currentColor 20%, transparent);border-radius:6px;padding:6px 10px;"
    "line-height:1.6;overflow-wrap:anywhere;unicode-bidi:plaintext;margin-bottom:6px"
)
SMALL = "font-size:13px;opacity:.8"


def draw(run: Run, series: str, diagnosis: Diagnosis | None, lang: str) -> None:
    """Show the example of a series and a link to it on Tokens; a line where the run has no tokens or no pair."""
    typical = diagnosis.example if diagnosis else None
    title = "overview.example.title" if typical else "overview.example.title.lowest"
    about = words.text("overview.example.help", lang) if typical and typical.phrase else None
    st.subheader(words.text(title, lang), anchor=False, help=about)
    example = typical or _lowest(run, series)
    if example is None:
        st.caption(words.text("overview.example.none", lang))
        return
    if not run.has_tokens:
        st.caption(words.text("app.no_tokens", lang))
        return
    tokens = _tokens(run, example, series)
    if example.model not in tokens:
        st.caption(words.text("overview.example.none", lang))
        return
    markup.show(*_sentence(run, example, tokens[example.model], lang), *_texts(run, example, tokens, lang))
    token = {"token": f"{CHOSEN}-{example.first}"} if example.first >= 0 else {}
    selection = {"pair": example.pair_id, "at": list(tokens), **token}
    parameters = {name: value for name, value in state.url_parameters().items() if name not in ("pair", "token", "at")}
    st.page_link(
        state.page("tokens"),
        label=words.text("overview.example.open", lang),
        icon=":material/text_fields:",
        query_params={**parameters, **selection},
    )


def _tokens(run: Run, example: Example, series: str) -> dict[str, pd.DataFrame]:
    """Return the tokens of the chosen response at the first and the last checkpoint of a series, by SERIES/NAME.

    A checkpoint from before the first step, which changes nothing, is not the first.
    """
    rows = cached_tables.tokens(run, example.pair_id)
    rows = rows[(rows["side"] == CHOSEN) & (rows["series"] == series)]
    by_model = {f"{series}/{name}": group for name, group in rows.groupby("model", sort=False)}
    changed = [key for key, group in by_model.items() if group["log_ratio"].any()]
    return {key: by_model[key] for key in dict.fromkeys([*changed[:1], example.model]) if key in by_model}


def _lowest(run: Run, series: str) -> Example | None:
    """Return the pair with the lowest chosen reward of a series in which nothing fell; None where no pair counts."""
    pairs = cached_tables.lowest_pairs(run)
    pairs = pairs[pairs["series"] == series]
    if pairs.empty:
        return None
    worst = pairs.iloc[0]
    return Example(str(worst["pair_id"]), f"{series}/{worst['model']}", max(0.0, -float(worst["chosen_log_ratio"])))


def _sentence(run: Run, example: Example, tokens: pd.DataFrame, lang: str) -> list[Markup]:
    """Return what the phrase lost, or what the whole response lost or gained."""
    change = float(tokens["log_ratio"].sum())
    if example.phrase:
        values = {"part": fixed(example.phrase_lost, 1), "change": signed(change, 1)}
        key = "overview.example.phrase" if example.repeated else "overview.example.word"
        line = words.text(key, lang, phrase=short_phrase(example.phrase), **values)
    else:
        kind = "lost" if change < 0 else "gained"
        line = words.text(f"overview.example.{kind}", lang, change=fixed(abs(change), 1))
    question = one_line(cached_tables.questions(run)[example.pair_id], QUESTION_WIDTH)
    prompt = words.text("overview.example.prompt", lang, prompt=question)
    return [markup.text(line, tag="div"), markup.text(prompt, f"{SMALL};margin:4px 0", tag="div")]


def _texts(run: Run, example: Example, tokens: dict[str, pd.DataFrame], lang: str) -> list[Markup]:
    """Return the response at the first and at the last checkpoint, coloured by log-ratio on one scale."""
    changes = {key: rows["log_ratio"].tolist() for key, rows in tokens.items()}
    largest = max(float(pd.concat([rows["log_ratio"] for rows in tokens.values()]).abs().quantile(0.98)), LEAST_SCALE)
    last = tokens[example.model]
    first, stop = _window(len(last), example)
    pieces = [content or b"" for content in last["token_bytes"].iloc[first:stop].tolist()]
    marked = (example.first - first, example.last - first) if example.first >= 0 else None
    blocks = []
    for key, values in changes.items():
        text = still_tokens(pieces, values[first:stop], largest=largest, theme=state.theme(), marked=marked)
        shown = f"{'… ' if first else ''}{text}{' …' if stop < len(last) else ''}"
        name = choosers.model_label(run.model(key), False, lang)
        when = "after" if key == example.model else "before"
        change = signed(sum(values), 1)
        blocks.append(
            markup.text(words.text(f"overview.example.{when}", lang, model=name, change=change), SMALL, tag="div")
        )
        blocks.append(markup.box(markup.from_figures(shown), style=BOX))
    legend = words.text("overview.example.legend", lang, scale=fixed(largest, 1))
    return [*blocks, markup.text(legend, SMALL, tag="div")]


def _window(n_tokens: int, example: Example) -> tuple[int, int]:
    """Return the first token that is shown and the token behind the last: all, or a window around the phrase."""
    if n_tokens <= MOST_TOKENS:
        return 0, n_tokens
    middle = (example.first + example.last) // 2 if example.first >= 0 else 0
    first = min(max(middle - MOST_TOKENS // 2, 0), n_tokens - MOST_TOKENS)
    return first, first + MOST_TOKENS

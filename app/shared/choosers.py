"""Widgets that choose language, run, beta, split, pair and checkpoints; ``state`` ties each to the URL.

A policy is named SERIES/NAME. Functions that end in a widget return what is chosen.
"""

from typing import Any, TypedDict

import pandas as pd
import streamlit as st

from dpo_analysis import words
from dpo_analysis.figures.curves import LAYOUTS
from dpo_analysis.figures.labels import checkpoint_label, one_line
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import REFERENCE
from dpo_analysis.text.numbers import distinct, signed
from shared import cached_tables, markup, state

MAX_CHECKPOINTS = 4
"""How many checkpoints can be shown side by side."""
NEIGHBOURS = 200
"""How many pairs around the chosen one the selector offers; Previous and Next reach all of them."""


class Token(TypedDict):
    """A token of a pair: its side, and its position in the response, from 0."""

    side: str
    position: int


def choose_language() -> str:
    """Draw the switch between the languages that have a catalogue, and return the chosen code."""
    lang = state.language()
    st.segmented_control(
        words.text("app.language", lang),
        list(words.LANGUAGES),
        format_func=lambda code: words.LANGUAGES[code],
        required=True,
        label_visibility="collapsed",
        **state.bind("lang", lang),
    )
    return lang


def choose_run(lang: str) -> Run | None:
    """Draw the selector of runs where there are several, and return the chosen run; None where there is none.

    Raises:
        InputError: the path that the app was started with does not exist or holds no run.
        StorageError: the manifest of the run is damaged.
    """
    names = list(state.runs())
    if len(names) > 1:
        st.selectbox(words.text("app.run", lang), names, **state.bind("run", state.choice("run", names, names[0])))
    return state.chosen_run()


def choose_beta(run: Run, lang: str) -> None:
    """Draw the beta slider: the beta of each series, or one for all; only tables are made again, no model runs."""
    names = [state.OWN_BETA, *(f"{beta:g}" for beta in state.BETAS)]
    own_label = words.text("app.beta.own", lang, beta=distinct(series.beta for series in run.series.values()))
    st.select_slider(
        words.text("app.beta", lang),
        names,
        format_func=lambda name: own_label if name == state.OWN_BETA else name,
        help=words.text("app.beta.help", lang),
        **state.bind("beta", state.choice("beta", names, state.OWN_BETA)),
    )


def choose_split(run: Run, lang: str) -> None:
    """Draw the switch between the splits of the pages, where there are several."""
    if len(run.splits) > 1:
        widget = state.bind("split", state.split(run))
        st.segmented_control(
            words.text("app.split", lang), run.splits, required=True, format_func=markup.label, **widget
        )


def choose_layout(steps: pd.DataFrame, lang: str) -> str:
    """Draw the switch between the layouts of several series, where there are several, and return one of ``LAYOUTS``."""
    if steps["series"].nunique() < 2:
        return LAYOUTS[0]
    return st.segmented_control(
        words.text("overview.layout", lang),
        LAYOUTS,
        required=True,
        label_visibility="collapsed",
        format_func=lambda name: words.text(f"overview.layout.{name}", lang),
        **state.bind("layout", state.choice("layout", LAYOUTS, LAYOUTS[0])),
    )


def choose_pair(run: Run, lang: str) -> str | None:
    """Draw the selector of pairs with Previous and Next, and return the pair_id; None where no pair counts.

    The pair with the lowest chosen reward comes first. The selector offers the pairs around the chosen one: a list of
    all of them would be sent anew with every page.
    """
    rows, questions = cached_tables.lowest_pairs(run), cached_tables.questions(run)
    rows = rows.drop_duplicates("pair_id") if rows["series"].nunique() > 1 else rows
    ids = rows["pair_id"].tolist()
    if not ids:
        return None
    value = state.choice("pair", ids, ids[0])
    place = ids.index(value)
    start, stop = max(0, min(place - NEIGHBOURS // 2, len(ids) - NEIGHBOURS)), max(place + NEIGHBOURS // 2, NEIGHBOURS)
    labels = {
        ids[rank]: f"{rank + 1}.  {signed(rows['chosen_reward'].iloc[rank])}   {one_line(questions[ids[rank]])}"
        for rank in range(start, min(len(ids), stop))
    }
    select, before, behind = st.columns([10, 1, 1], vertical_alignment="bottom")
    widget = state.bind("pair", value)
    select.selectbox(words.text("tokens.pair", lang), list(labels), format_func=labels.__getitem__, **widget)
    _step_button(run, before, ("chevron_left", "tokens.previous", -1), value, disabled=place == 0)
    _step_button(run, behind, ("chevron_right", "tokens.next", 1), value, disabled=place + 1 == len(ids))
    return value


def _step_button(run: Run, column: Any, way: tuple[str, str, int], pair_id: str, *, disabled: bool) -> None:
    icon, name, step = way
    column.button(
        " ",
        icon=f":material/{icon}:",
        help=words.text(name, state.language()),
        key=f"go_{icon}",
        on_click=step_pair,
        args=(run, pair_id, step),
        disabled=disabled,
        width="stretch",
    )


def step_pair(run: Run, pair_id: str, step: int) -> str:
    """Put the pair ``step`` places behind ``pair_id`` into the URL and return it (in callbacks).

    Beyond an end of the list it is the pair at that end.
    """
    ids = list(cached_tables.lowest_pairs(run)["pair_id"].drop_duplicates())
    place = ids.index(pair_id) + step if pair_id in ids else 0
    target = ids[max(0, min(place, len(ids) - 1))]
    if target != st.query_params.get("pair", ids[0]):
        state.set_parameter("pair", target)
    return target


def choose_checkpoints(run: Run, pair_id: str, lang: str) -> list[str]:
    """Draw the selector of up to four checkpoints side by side, and return them.

    At first these are the first, a middle and the last checkpoint of the series in which the pair fell most.
    """
    scored = scored_models(run)
    requested = state.choices("at", list(scored))[:MAX_CHECKPOINTS]
    rows = cached_tables.lowest_pairs(run)
    series = rows.loc[rows["pair_id"] == pair_id, "series"].iloc[0]
    keys = [key for key, model in scored.items() if model.series == series]
    default = list(dict.fromkeys([keys[0], keys[len(keys) // 2], keys[-1]]))
    several = len(run.series) > 1
    chosen = st.multiselect(
        words.text("tokens.models", lang),
        list(scored),
        max_selections=MAX_CHECKPOINTS,
        format_func=lambda key: model_label(scored[key], several, lang),
        help=words.text("tokens.models.help", lang),
        **state.bind("at", requested or default),
    )
    return chosen or default


def choose_model(run: Run, lang: str) -> str | None:
    """Draw the selector of one checkpoint, at first ``lowest_checkpoint``; None where none is scored."""
    scored = scored_models(run)
    if not scored:
        return None
    value = state.choice("model", list(scored), lowest_checkpoint(run))
    select_model(st, words.text("pairs.model", lang), scored, several=len(run.series) > 1, **state.bind("model", value))
    return value


def select_model(place: Any, label: str, models: dict[str, Model], *, several: bool, **widget: Any) -> None:
    """Draw a selector of policies in ``place`` (st or a column), tied to the URL by ``widget`` (``state.bind``)."""
    lang = state.language()
    place.selectbox(label, list(models), format_func=lambda key: model_label(models[key], several, lang), **widget)


def choose_base(run: Run, key: str, lang: str) -> str | None:
    """Draw the selector of what the change of ``key`` is measured from: the reference (None), or a checkpoint."""
    others = {
        name: model
        for name, model in scored_models(run).items()
        if name != key and model.series == key.partition("/")[0]
    }
    reference_label = words.text("causes.since.reference", lang)
    value = state.choice("since", [REFERENCE, *others], REFERENCE)
    st.selectbox(
        words.text("causes.since", lang),
        [REFERENCE, *others],
        format_func=lambda name: reference_label if name == REFERENCE else model_label(others[name], False, lang),
        **state.bind("since", value),
    )
    return None if value == REFERENCE else value


def model_label(model: Model, several: bool, lang: str) -> str:
    """Return a checkpoint's step, else its name; with its series in front where there are several series."""
    name = checkpoint_label(model.step, model.name, lang)
    return f"{model.series} · {name}" if several else name


def scored_models(run: Run) -> dict[str, Model]:
    """Return the policies that have a score, by SERIES/NAME: the series that ends lowest first, each in its order."""
    scored = [model for model in run.models if run.parts_done(model)]
    order = cached_tables.series_order(run)
    return {model.key: model for model in sorted(scored, key=lambda model: order.index(model.series))}


def lowest_checkpoint(run: Run) -> str:
    """Return the last scored checkpoint of the series whose mean chosen reward ends lowest."""
    last = {model.series: key for key, model in scored_models(run).items()}
    steps = cached_tables.steps(run)
    ends = steps[(steps["series"] + "/" + steps["model"]).isin(last.values())]
    rewards = ends.set_index("series")["chosen_reward"].dropna()
    return last[str(rewards.idxmin())] if len(rewards) else next(iter(last.values()))


def selected_token(tokens: pd.DataFrame) -> Token | None:
    """Return the token that the URL names (``token=rejected-12``), if this pair has it."""
    side, _, number = st.query_params.get("token", "").rpartition("-")
    exists = tokens["side"].eq(side) & tokens["position"].astype(str).eq(number)
    return {"side": side, "position": int(number)} if exists.any() else None


def check_token(tokens: pd.DataFrame) -> None:
    """Note as unknown that the URL names a token which this pair does not have."""
    requested = st.query_params.get("token")
    if requested and selected_token(tokens) is None:
        state.note_unknown("token", requested)


def write_token(view: str) -> None:
    """Put the token that was clicked in the token view ``view`` (its key) into the URL."""
    token = st.session_state[view]["token"]
    state.set_parameter("token", f"{token['side']}-{int(token['position'])}")

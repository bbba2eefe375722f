"""The widgets that choose: language, run, beta, split, pair, checkpoints; ``state`` ties each to the URL."""

import pandas as pd
import streamlit as st

from dpo_analysis import words
from dpo_analysis.figures.curves import LAYOUTS
from dpo_analysis.figures.labels import one_line as label
from dpo_analysis.figures.theme import signed
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import REFERENCE
from shared import state

SIDE_BY_SIDE = 4
IN_TABLE = 32
"""Letters of a prompt in a table, so that its numbers are seen beside it on a page of 1024 px."""
NEAR = 200
"""How many pairs around the chosen one the selector offers; Previous and Next reach all of them."""


def short(prompt: str) -> str:
    """A prompt as a table shows it."""
    return label(prompt, IN_TABLE)


def choose_language() -> str:
    """The switch between the languages of words.py."""
    lang = state.language()
    st.segmented_control(
        words.text("app.language", lang), list(words.LANGUAGES), format_func=lambda code: words.LANGUAGES[code],
        required=True, label_visibility="collapsed", **state.bound("lang", lang),
    )  # fmt: skip
    return lang


def choose_run(lang: str) -> Run | None:
    """The given run, or the one chosen in a folder of runs; None where there is none; errors as ``chosen_run``."""
    found = list(state.runs())
    if len(found) > 1:
        st.selectbox(words.text("app.run", lang), found, **state.bound("run", state.wanted("run", found, found[0])))
    return state.chosen_run()


def choose_beta(run: Run, lang: str) -> None:
    """The beta slider: the series' own, or another; only tables are made again, no model runs."""
    own = ", ".join(dict.fromkeys(f"{series.beta:g}" for series in run.series.values()))
    names = [state.OWN, *(f"{beta:g}" for beta in state.BETAS)]
    label = words.text("app.beta.own", lang, beta=own)
    st.select_slider(
        words.text("app.beta", lang), names, format_func=lambda name: label if name == state.OWN else name,
        help=words.text("app.beta.help", lang), **state.bound("beta", state.wanted("beta", names, state.OWN)),
    )  # fmt: skip


def choose_split(run: Run, lang: str) -> None:
    """Which split the pages show, where there are several."""
    if len(run.splits) > 1:
        st.segmented_control(
            words.text("app.split", lang), run.splits, required=True, **state.bound("split", state.split(run))
        )


def choose_layout(steps: pd.DataFrame, lang: str) -> str:
    """How several series are laid out; not asked where there is one."""
    if steps["series"].nunique() < 2:
        return LAYOUTS[0]
    return st.segmented_control(
        words.text("overview.layout", lang), LAYOUTS, required=True, label_visibility="collapsed",
        format_func=lambda name: words.text(f"overview.layout.{name}", lang),
        **state.bound("layout", state.wanted("layout", LAYOUTS, LAYOUTS[0])),
    )  # fmt: skip


def choose_pair(run: Run, lang: str) -> str | None:
    """One pair, those whose chosen response fell most first, with Previous and Next; None where no pair counts.

    The selector offers the pairs around the chosen one: a list of all of them would be sent anew with every page.
    """
    rows, asked = state.fallen(run), state.prompts(run)["question"]
    rows = rows.drop_duplicates("pair_id") if rows["series"].nunique() > 1 else rows
    ids = rows["pair_id"].tolist()
    if not ids:
        return None
    value = state.wanted("pair", ids, ids[0])
    place = ids.index(value)
    near = range(max(0, min(place - NEAR // 2, len(ids) - NEAR)), min(len(ids), max(place + NEAR // 2, NEAR)))
    labels = {ids[at]: f"{at + 1}.  {signed(rows['chosen_reward'].iloc[at])}   {label(asked[ids[at]])}" for at in near}
    select, before, behind = st.columns([10, 1, 1], vertical_alignment="bottom")
    select.selectbox(
        words.text("tokens.pair", lang), list(labels), format_func=labels.__getitem__, **state.bound("pair", value)
    )
    _step(run, before, ("chevron_left", "tokens.previous", -1), value, disabled=place == 0)
    _step(run, behind, ("chevron_right", "tokens.next", 1), value, disabled=place + 1 == len(ids))
    return value


def _step(run: Run, column, way: tuple[str, str, int], pair_id: str, *, disabled: bool) -> None:
    icon, name, step = way
    column.button(
        " ", icon=f":material/{icon}:", help=words.text(name, state.language()), key=f"go_{icon}", on_click=step_pair,
        args=(run, pair_id, step), disabled=disabled, width="stretch",
    )  # fmt: skip


def step_pair(run: Run, pair_id: str, step: int) -> None:
    """Put the pair that stands ``step`` behind the URL's, else behind this one, into the URL (in callbacks).

    The URL's comes first: a key may be pressed again before the pair that it named is drawn.
    """
    ids = list(state.fallen(run)["pair_id"].drop_duplicates())
    asked = st.query_params.get("pair", pair_id)
    place = ids.index(asked if asked in ids else pair_id) + step
    if 0 <= place < len(ids):
        state.put("pair", ids[place])


def choose_models(run: Run, pair_id: str, lang: str) -> list[str]:
    """Up to four checkpoints as SERIES/NAME; at first the first, a middle and the last one where the pair fell most."""
    scored = scored_models(run)
    asked = state.several("at", list(scored))[:SIDE_BY_SIDE]
    rows = state.fallen(run)
    series = rows.loc[rows["pair_id"] == pair_id, "series"].iloc[0]
    own = [key for key, model in scored.items() if model.series == series]
    default = list(dict.fromkeys([own[0], own[len(own) // 2], own[-1]]))
    several = len(run.series) > 1
    return st.multiselect(
        words.text("tokens.models", lang), list(scored), max_selections=SIDE_BY_SIDE,
        format_func=lambda key: model_label(scored[key], several, lang),
        help=words.text("tokens.models.help", lang), **state.bound("at", asked or default),
    ) or default  # fmt: skip


def model_label(model: Model, several: bool, lang: str) -> str:
    """A checkpoint as a person reads it: its step, else its name; behind its series where there are several."""
    name = model.name if model.step is None else words.text("figure.step", lang, step=model.step)
    return f"{model.series} · {name}" if several else name


def choose_model(run: Run, lang: str) -> str | None:
    """One checkpoint as SERIES/NAME, at first the last of the series that fell most; None where none is scored."""
    scored = scored_models(run)
    if not scored:
        return None
    value, several = state.wanted("model", list(scored), lowest(run)), len(run.series) > 1
    st.selectbox(
        words.text("pairs.model", lang), list(scored), **state.bound("model", value),
        format_func=lambda key: model_label(scored[key], several, lang),
    )  # fmt: skip
    return value


def choose_before(run: Run, key: str, lang: str) -> str | None:
    """What the change of ``key`` is measured from: None for the reference, or another checkpoint of its series."""
    others = {
        name: model
        for name, model in scored_models(run).items()
        if name != key and model.series == key.partition("/")[0]
    }
    label = words.text("causes.since.reference", lang)
    value = state.wanted("since", [REFERENCE, *others], REFERENCE)
    st.selectbox(
        words.text("causes.since", lang), [REFERENCE, *others], **state.bound("since", value),
        format_func=lambda name: label if name == REFERENCE else model_label(others[name], False, lang),
    )  # fmt: skip
    return None if value == REFERENCE else value


def scored_models(run: Run) -> dict[str, Model]:
    """The policies that have a score, by SERIES/NAME, in the run's order."""
    return {model.key: model for model in run.models if run.parts_done(model)}


def lowest(run: Run) -> str:
    """The last scored checkpoint of the series whose mean chosen reward ends lowest, as SERIES/NAME."""
    last = {model.series: key for key, model in scored_models(run).items()}
    steps = state.steps(run)
    ends = steps[(steps["series"] + "/" + steps["model"]).isin(last.values())]
    lows = ends.set_index("series")["chosen_reward"].dropna()
    return last[str(lows.idxmin())] if len(lows) else next(iter(last.values()))


def of_series(tokens: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows of the series that a model (SERIES/NAME) belongs to."""
    return tokens[tokens["series"] == key.partition("/")[0]]


def selected_token(tokens: pd.DataFrame) -> dict[str, object] | None:
    """The token that the URL names (``token=rejected-12``), if this pair has it."""
    side, _, number = st.query_params.get("token", "").rpartition("-")
    has = tokens["side"].eq(side) & tokens["position"].astype(str).eq(number)
    return {"side": side, "position": int(number)} if has.any() else None


def check_token(tokens: pd.DataFrame) -> None:
    """Keep for ``state.unknown`` that the URL names a token which this pair does not have."""
    asked = st.query_params.get("token")
    if asked and selected_token(tokens) is None:
        state.in_vain("token", asked)


def write_token(view: str) -> None:
    """Put the token that was clicked in the token view of this key into the URL."""
    token = st.session_state[view]["token"]
    st.query_params["token"] = f"{token['side']}-{int(token['position'])}"

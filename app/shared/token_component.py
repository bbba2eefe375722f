"""The app's custom component: the scripts and tokens.css of ``dpo_analysis.figures``, given to Streamlit as text."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from dpo_analysis.figures.token_view.page import script, style
from shared import choosers as choices
from shared import state

MOUNT = """
export default function({ data, parentElement, setStateValue, setTriggerValue }) {
  let root = parentElement.querySelector(".token-root");
  if (!root) {
    root = document.createElement("div");
    root.className = "token-root";
    parentElement.append(root);
  }
  const token = (chosen) => setStateValue("token", chosen);
  mountTokenView(root, data, data.pairs ? { token, pair: (step) => setTriggerValue("pair", step) } : { token });
}"""
WATCH = """
export default function({ data, parentElement, setStateValue }) {
  const probe = document.createElement("i");
  probe.style.color = "var(--st-background-color)";
  parentElement.append(probe);
  const [red, green, blue] = (getComputedStyle(probe).color.match(/[\\d.]+/g) || [255, 255, 255]).map(Number);
  probe.remove();
  const type = 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? "dark" : "light";
  if (type !== data.type) setStateValue("type", type);
  if (!history.pushesSteps) pushSteps();
}
function pushSteps() {
  const push = history.pushState.bind(history);
  history.pushesSteps = true;
  history.pushState = (state, title, url) => {
    const next = new URL(url, location.href), now = new URL(location.href);
    const other = (name) => next.searchParams.get(name) !== now.searchParams.get(name);
    const looking = /\\/(tokens|compare)$/.test(now.pathname);
    const step = other("run") || (looking && (other("pair") || other("token")));
    if (next.pathname !== now.pathname || step) push(state, title, url);
    else history.replaceState(state, title, url);
  };
}"""

NARROW = "@media (max-width: 1200px) { .stMainBlockContainer { padding-left: 2rem; padding-right: 2rem; } }"
"""A page of 1024 px has room for a table only where its margins are narrow."""

_tokens = st.components.v2.component("dpo_analysis.token_view", css=style(), js=f"{script()}\n{MOUNT}")
_theme = st.components.v2.component("dpo_analysis.theme", css=NARROW, js=WATCH, isolate_styles=False)


def show_tokens(
    payload: dict[str, Any],
    selected: dict[str, object] | None,
    *,
    key: str = state.TOKENS,
    on_pair: Callable[[int], None] | None = None,
) -> None:
    """Draw the panels; a click or Enter on a token puts it into the URL, j and k call ``on_pair`` with 1 and -1."""
    _tokens(
        key=key,
        data={**payload, "selected": selected, "pairs": on_pair is not None},
        on_token_change=partial(choices.write_token, key),
        on_pair_change=partial(_step, key, on_pair),
    )


def _step(key: str, on_pair: Callable[[int], None] | None) -> None:
    step = (st.session_state.get(key) or {}).get("pair")
    if on_pair is not None and step in (1, -1):
        on_pair(step)


def watch_page() -> None:
    """Tell Python when the reader changes the theme; let only another page, run, pair or token be a step for Back.

    Streamlit pushes every change of ``st.query_params`` to the browser's history, and replaces only what widgets with
    ``bind`` change, which write the translated label of an option: such a link would not open in the other language.
    """
    _theme(key=state.THEME, data={"type": state.theme()}, height=1, on_type_change=lambda: None)

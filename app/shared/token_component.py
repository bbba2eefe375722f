"""The app's two Streamlit components: the token view, and the watcher of the page's theme and history.

The scripts and styles come from ``dpo_analysis.figures.token_view`` and are given to Streamlit as text.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from dpo_analysis.figures.token_view.page import script, style
from shared import state
from shared.choosers import Token, write_token

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

_tokens = component("dpo_analysis.token_view", css=style(), js=f"{script()}\n{MOUNT}")
_theme = component("dpo_analysis.theme", css=NARROW, js=WATCH, isolate_styles=False)


def show_tokens(
    payload: dict[str, Any],
    selected: Token | None,
    *,
    key: str = state.TOKENS,
    on_pair: Callable[[int], None] | None = None,
) -> None:
    """Show a token view; a click or Enter on a token puts it into the URL.

    Args:
        payload: what ``dpo_analysis.figures.token_view.payload`` made.
        selected: the token that is outlined.
        key: the session key of the component.
        on_pair: called with 1 and -1 when the reader presses j and k; None leaves these keys without effect.
    """
    _tokens(
        key=key,
        data={**payload, "selected": selected, "pairs": on_pair is not None},
        on_token_change=partial(write_token, key),
        on_pair_change=partial(_step_pair, key, on_pair),
    )


def _step_pair(key: str, on_pair: Callable[[int], None] | None) -> None:
    step = (st.session_state.get(key) or {}).get("pair")
    if on_pair is not None and step in (1, -1):
        on_pair(step)


def watch_page() -> None:
    """Report changes of the theme to Python; let only another page, run, pair or token be a step for Back.

    Streamlit pushes every change of ``st.query_params`` to the browser's history, and replaces only what widgets with
    ``bind`` change, which write the translated label of an option: such a link would not open in the other language.
    """
    _theme(key=state.THEME, data={"type": state.theme()}, height=1, on_type_change=lambda: None)

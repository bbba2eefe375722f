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
const BUTTONS = { ".st-key-go_chevron_left": -1, ".st-key-go_chevron_right": 1 }, RETRY = 1000;
const turns = { pair: "", steps: 0, number: 0, timer: 0, root: null, tell: null };
document.addEventListener("click", (event) => {
  const pressed = (name) => event.target.closest && event.target.closest(`${name} button:enabled`);
  const name = Object.keys(BUTTONS).find(pressed);
  if (!name || !turns.root || !turns.root.isConnected) return;
  event.stopPropagation();
  turnBy(BUTTONS[name]);
}, true);
export default function({ data, parentElement, setStateValue }) {
  let root = parentElement.querySelector(".token-root");
  if (!root) {
    root = document.createElement("div");
    root.className = "token-root";
    parentElement.append(root);
  }
  const token = (chosen) => setStateValue("token", chosen);
  if (data.turns) countTurns(root, data.turns, (told) => setStateValue("turns", told));
  mountTokenView(root, data, data.turns ? { token, pair: turnBy } : { token });
}
function turnBy(step) {
  turns.steps += step;
  turns.tell({ pair: turns.pair, steps: turns.steps, number: turns.number += 1 });
}
function countTurns(root, { pair, done }, tell) {
  clearTimeout(turns.timer);
  Object.assign(turns, { root, tell });
  const ours = done && done.pair === turns.pair;
  if (ours && done.target === pair && done.steps === turns.steps) Object.assign(turns, { pair, steps: 0 });
  else if (pair !== turns.pair && !(ours && turns.steps)) Object.assign(turns, { pair, steps: 0 });
  else if (turns.steps) turns.timer = setTimeout(() => turnBy(0), ours && done.number === turns.number ? 0 : RETRY);
}"""
"""Draws the token view, and adds up the keys and clicks that turn to another pair.

"So many pairs from this one" is sent in place of each of them: while a page is computed Streamlit keeps only the last
message, which moreover comes with the URL of before, and it drops one to a fragment that was drawn anew. What is left
when the view is drawn (``done`` says what was done until then) is sent again. Clicks on the buttons are caught on their
way to Streamlit, which would make one of several.
"""
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

PAGE = """
.stMainBlockContainer { padding: 3.6rem 2.5rem 2rem; }
@media (max-width: 1200px) { .stMainBlockContainer { padding-left: 1.5rem; padding-right: 1.5rem; } }"""
"""Margins of a page: its first screen holds an answer, and a page of 1024 px a table."""

_tokens = component("dpo_analysis.token_view", css=style(), js=f"{script()}\n{MOUNT}")
_theme = component("dpo_analysis.theme", css=PAGE, js=WATCH, isolate_styles=False)


def show_tokens(
    payload: dict[str, Any],
    selected: Token | None,
    *,
    key: str = state.TOKENS,
    pair_id: str = "",
    on_pair: Callable[[str, int], str] | None = None,
) -> None:
    """Show a token view; a click or Enter on a token puts it into the URL.

    Args:
        payload: what ``dpo_analysis.figures.token_view.payload`` made.
        selected: the token that is outlined.
        key: the session key of the component.
        pair_id: the pair that is shown, from which j and k turn to another one.
        on_pair: called with a pair and how many places behind it (below 0: before it) the reader has turned, returns
            the pair there; None leaves these keys without effect.
    """
    _tokens(
        key=key,
        data={**payload, "selected": selected, "turns": {"pair": pair_id, "done": state.turned()} if on_pair else None},
        on_token_change=partial(write_token, key),
        on_turns_change=partial(_turn, key, on_pair),
    )


def _turn(key: str, on_pair: Callable[[str, int], str] | None) -> None:
    told = (st.session_state.get(key) or {}).get("turns")
    if on_pair is not None and told:
        state.note_turn({**told, "target": on_pair(str(told["pair"]), int(told["steps"]))})


def watch_page() -> None:
    """Report changes of the theme to Python; let only another page, run, pair or token be a step for Back.

    Streamlit pushes every change of ``st.query_params`` to the browser's history, and replaces only what widgets with
    ``bind`` change, which write the translated label of an option: such a link would not open in the other language.
    """
    _theme(key=state.THEME, data={"type": state.theme()}, height=1, on_type_change=lambda: None)

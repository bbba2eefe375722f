"""The app: choose a run, a language and a page. Reads run folders, loads no model, writes nothing.

``dpo-analysis app RUN`` starts it; ``streamlit run app/main.py -- RUN`` works too.
"""

from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import streamlit as st
from shared import blocks, choosers, layout, state
from shared.token_component import watch_page
from streamlit.navigation.page import StreamlitPage
from views import pages

from dpo_analysis import words
from dpo_analysis.runs import Run

# The icon is part of the page: named icons and emoji would be fetched from other machines.
ICON = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#332B28"/>'
    '<path d="M2 9C6 9 9 11 14 13" stroke="#5BD08A" stroke-width="2" fill="none"/>'
    '<path d="M2 7C6 7 9 5 14 2" stroke="#fff" stroke-width="2" fill="none"/></svg>'
)


def main() -> None:
    """Draw the sidebar, then the chosen page, or the error that keeps it from being drawn: one pass of the script."""
    st.set_page_config(page_title="dpo-analysis", page_icon=ICON, layout="wide", initial_sidebar_state=layout.SIDEBAR)
    layout.draw_style()
    with st.sidebar:
        watch_page()
        lang = choosers.choose_language()
    entries = _navigation(lang)
    chosen = st.navigation(list(entries.values()), position="hidden")
    with blocks.errors_on_page(lang):
        with st.sidebar:
            run = choosers.choose_run(lang)
        state.remember(run, entries)
        if run is None:
            blocks.no_run(lang)
            return
        _sidebar(run, entries, lang)
        chosen.run()


def _navigation(lang: str) -> dict[str, StreamlitPage]:
    """Return Streamlit's page of every view by its name; the first is the default."""
    first = next(iter(pages()))
    return {
        name: st.Page(
            partial(_draw, name, view.page, getattr(view, "SHOWS_LOGS", False), lang),
            title=words.text(f"{name}.nav", lang),
            icon=view.ICON,
            url_path=name,
            default=name == first,
        )
        for name, view in pages().items()
    }


def _sidebar(run: Run, entries: dict[str, StreamlitPage], lang: str) -> None:
    with st.sidebar:
        for entry in entries.values():
            st.page_link(entry, query_params=state.url_parameters())
        if run.has_pairs:
            choosers.choose_split(run, lang)
            choosers.choose_beta(run, lang)


def _draw(name: str, page: Callable[[Run], None], shows_logs: bool, lang: str) -> None:
    run = state.current_run()
    blocks.progress(run, lang)
    if blocks.just_begun(run) and name != "details":
        st.title(words.text(f"{name}.title", lang), anchor=False)
        blocks.facts(run, lang)
    elif run.has_pairs or shows_logs:
        page(run)
    else:
        st.title(words.text(f"{name}.title", lang), anchor=False)
        blocks.facts(run, lang)
        blocks.only_log(lang)


main()

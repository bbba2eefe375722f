"""The app: choose a run, a language and a page. Reads run folders, loads no model, writes nothing.

``dpo-analysis app RUN`` starts it; ``streamlit run app/main.py -- RUN`` works too.
"""

from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import streamlit as st
from shared import blocks as show
from shared import choosers as choices
from shared import state
from shared.token_component import watch_page
from views.causes import causes
from views.checks import checks
from views.compare import compare
from views.details import details
from views.overview import overview
from views.pairs import pairs
from views.tokens import tokens

from dpo_analysis import words
from dpo_analysis.runs import Run

# The icon is part of the page: named icons and emoji would be fetched from other machines.
ICON = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#332B28"/>'
    '<path d="M2 9C6 9 9 11 14 13" stroke="#5BD08A" stroke-width="2" fill="none"/>'
    '<path d="M2 7C6 7 9 5 14 2" stroke="#fff" stroke-width="2" fill="none"/></svg>'
)
VIEWS = {
    "overview": (":material/show_chart:", overview.page),
    "causes": (":material/account_tree:", causes.page),
    "pairs": (":material/scatter_plot:", pairs.page),
    "tokens": (":material/text_fields:", tokens.page),
    "compare": (":material/compare_arrows:", compare.page),
    "checks": (":material/rule:", checks.page),
    "details": (":material/info:", details.page),
}


def main() -> None:
    """One pass of the script: the sidebar, then the chosen page, or what keeps it from being shown."""
    st.set_page_config(page_title="dpo-analysis", page_icon=ICON, layout="wide")
    with st.sidebar:
        watch_page()
        lang = choices.choose_language()
    pages = {name: _page(name, icon, view, lang) for name, (icon, view) in VIEWS.items()}
    chosen = st.navigation(list(pages.values()), position="hidden")
    with show.told(lang):
        with st.sidebar:
            run = choices.choose_run(lang)
        state.remember(run, pages)
        if run is None:
            show.no_run(lang)
            return
        _sidebar(run, pages, lang)
        chosen.run()


def _page(name: str, icon: str, view: Callable[[Run], None], lang: str):
    title = words.text(f"{name}.nav", lang)
    return st.Page(partial(_draw, view, lang), title=title, icon=icon, url_path=name, default=name == next(iter(VIEWS)))


def _sidebar(run: Run, pages: dict, lang: str) -> None:
    with st.sidebar:
        for page in pages.values():
            st.page_link(page, query_params=state.carried())
        choices.choose_split(run, lang)
        choices.choose_beta(run, lang)


def _draw(view: Callable[[Run], None], lang: str) -> None:
    run = state.the_run()
    show.progress(run, lang)
    view(run)


main()

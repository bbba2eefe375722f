"""Tabs of a page: only the open one is computed, and the URL remembers which."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from dpo_analysis import words
from shared import state


@contextmanager
def tabs(page: str, names: Sequence[str], lang: str, *, default: str = "") -> Iterator[str]:
    """Draw the tabs of a page, and run the body of the ``with`` statement inside the open tab, which is yielded.

    Args:
        page: name of the page; ``<page>.tab.<name>`` in words labels each tab, and ``<page>-tab`` in the URL names the
            open one, so that a link opens the same tab and every page is found as it was left.
        names: names of the tabs.
        lang: language of the labels.
        default: the tab that is open where the URL names none; empty for the first. A page gives the tab that shows
            what another parameter names, so that a link without a tab opens it.
    """
    labels = {name: words.text(f"{page}.tab.{name}", lang) for name in names}
    parameter = f"{page}-tab"
    requested = st.query_params.get(parameter, "")
    opened = requested if requested in labels else default or names[0]
    key = f"w_{parameter}"
    st.session_state[key] = labels[opened]
    containers = st.tabs(list(labels.values()), key=key, on_change=_write, args=(key, parameter, labels))
    with containers[list(labels).index(opened)]:
        yield opened


def _write(key: str, parameter: str, labels: dict[str, str]) -> None:
    chosen = next(name for name, label in labels.items() if label == st.session_state[key])
    state.set_parameter(parameter, chosen)

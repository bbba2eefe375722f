"""What Streamlit has no option for: columns that go below each other on a narrow page, wide cells, more contrast."""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

SIDEBAR = 232
"""Pixels of the sidebar: room for its longest label; Streamlit's own width takes a third of a narrow page."""
Least = Literal[12, 20]
COLUMNS = "> [data-testid=stLayoutWrapper] > [data-testid=stHorizontalBlock] > [data-testid=stColumn]"
STYLE = f"""<style>
[class*="st-key-least12-"] {COLUMNS} {{min-width: min(12rem, 100%)}}
[class*="st-key-least20-"] {COLUMNS} {{min-width: min(20rem, 100%)}}
[class*="st-key-line-"] {COLUMNS}:first-child {{min-width: 0}}
[class*="st-key-line-"] {COLUMNS}:last-child {{min-width: max-content}}
[class*="st-key-line-row-"] {COLUMNS}:last-child {{min-width: 6.8rem}}
[data-testid=stTable] td [data-testid=stMarkdownContainer] {{max-width: none}}
[data-testid=stCaptionContainer] {{opacity: .8}}
[data-testid=stMultiSelectTagsContainer] > span > span, [data-testid=stBaseButton-primary] {{background-color: #0B62C4}}
</style>"""
"""Streamlit's captions and, on dark pages, white on its blue stay below a contrast of 4.5 : 1."""


def draw_style() -> None:
    """Put the rules of this module on the page."""
    st.html(STYLE)


def columns(spec: int | Sequence[int], name: str, least: Least, **options: Any) -> Sequence[Any]:
    """Return columns, of which those that would be narrower than ``least`` rem stand below each other.

    Args:
        spec: as ``st.columns``: their number or their widths.
        name: names them on their page.
        least: the least width of each.
        options: of ``st.columns``.
    """
    with st.container(key=f"least{least}-{name}"):
        return st.columns(spec, **options)


def line(spec: Sequence[int], name: str, **options: Any) -> Sequence[Any]:
    """Return columns that stay on one line, of which the last is as wide as what stands in it."""
    with st.container(key=f"line-{name}"):
        return st.columns(spec, wrap=False, **options)

"""HTML of the app: built from parts whose texts are escaped, and shown here alone."""

import html
import re
from urllib.parse import quote

import streamlit as st

MARKDOWN = re.compile(r"([\\`*_~$\[\]:&<>!#|])")
"""Letters that Streamlit's Markdown may take for marks."""


class Markup(str):
    """HTML in which every text is escaped; only the functions of this module make it."""

    __slots__ = ()


def text(content: object, style: str = "", *, tag: str = "span", title: str = "") -> Markup:
    """Return a text as one element, escaped.

    Args:
        content: the text, which may be of a model, a run or a person.
        style: CSS written by the app.
        tag: name of the element.
        title: what is shown on hover; escaped as well.
    """
    hover = f' title="{html.escape(title, quote=True)}"' if title else ""
    return Markup(f'<{tag} style="{style}"{hover}>{html.escape(str(content), quote=True)}</{tag}>')


def box(*parts: Markup, style: str = "", tag: str = "div") -> Markup:
    """Return some parts in one element, with a space between them."""
    return Markup(f'<{tag} style="{style}">{" ".join(parts)}</{tag}>')


def picture(svg: str, width: int, height: int) -> Markup:
    """Return an SVG drawing without a text of its own, which becomes narrower in a line that has less room.

    Streamlit takes drawings out of a page's HTML, and lets a picture whose data stands in its address through.
    """
    look = f"width:{width}px;height:{height}px;flex:0 1 {width}px;min-width:0"
    return Markup(f'<img alt="" style="{look}" src="data:image/svg+xml,{quote(svg)}">')


def from_figures(drawn: str) -> Markup:
    """Return HTML that ``dpo_analysis.figures`` made, which escapes its texts itself."""
    return Markup(drawn)


def label(content: str) -> str:
    """Return a text of a model, a run or a person as the labels of Streamlit's buttons take it: not as Markdown."""
    return MARKDOWN.sub(r"\\\1", content)


def show(*parts: Markup) -> None:
    """Show some parts as one block; nothing for no part."""
    if parts:
        st.html("".join(parts))

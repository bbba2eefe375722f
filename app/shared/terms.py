"""What the terms of the field mean, as an explanation that shows when the reader points at a label or a heading."""

import re

from dpo_analysis.report.glossary import term
from shared import markup
from shared.markup import Markup

MARKDOWN, ESCAPED = re.compile(r"([\\`*_~$\[\]])"), r"\\\1"
"""Letters that Streamlit's Markdown would take for marks, and how they are written there."""
LABEL = "cursor:help;text-decoration:underline dotted;text-underline-offset:3px"
CERTAINTIES = {"association": "correlation", "intervention": "tested"}
"""Terms of how a finding is known, where these differ from ``certainty``."""


def term_help(name: str, lang: str) -> str:
    """Return the glossary's meaning of a term, as Markdown for ``help=``."""
    return MARKDOWN.sub(ESCAPED, term(name, lang).meaning)


def terms_help(names: tuple[str, ...], lang: str) -> str:
    """Return the meanings of several terms as Markdown, a paragraph each that begins with the term in bold."""
    return "\n\n".join(f"**{MARKDOWN.sub(ESCAPED, term(name, lang).name)}**: {term_help(name, lang)}" for name in names)


def labelled(label: str, name: str, lang: str, style: str = "", *, tag: str = "span") -> Markup:
    """Return a label, underlined with dots, that shows the meaning of a term when the reader points at it.

    Args:
        label: the label's text.
        name: one of ``glossary.TERMS``.
        lang: language of the page.
        style: CSS written by the app.
        tag: name of the element.
    """
    return markup.text(label, f"{LABEL};{style}".rstrip(";"), tag=tag, title=term(name, lang).meaning)


def certainty_term(certainty: str) -> str:
    """Return the term that explains how a finding is known (one of ``findings.CERTAINTIES``)."""
    return CERTAINTIES.get(certainty, "certainty")

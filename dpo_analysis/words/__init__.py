"""Every sentence, label and title a person reads: key -> English and Chinese, one module for each place they stand in.

A key names where it is read and what it says (``overview.title``). Values may hold ``{fields}`` for ``str.format``.
Error lines on the command line stay English; everything in the app, the figures and the reports comes from here.
"""

from dpo_analysis.words import (
    app,
    causes,
    checks,
    compare,
    confirmation,
    details,
    diagnosis,
    figures,
    findings,
    meanings,
    names,
    overlay,
    overview,
    pairs,
    report,
    rules,
    terminal,
    terms,
    tokens,
)

LANGUAGES = {"en": "English", "zh": "中文"}
ROOMS = (
    app,
    causes,
    checks,
    compare,
    confirmation,
    details,
    diagnosis,
    figures,
    findings,
    meanings,
    names,
    overlay,
    overview,
    pairs,
    report,
    rules,
    terminal,
    terms,
    tokens,
)
WORDS: dict[str, dict[str, str]] = {key: said for room in ROOMS for key, said in room.WORDS.items()}


def text(key: str, lang: str = "en", **values: object) -> str:
    """The words behind ``key`` in ``lang``, with ``values`` put in.

    Raises:
        KeyError: ``key`` or ``lang`` is unknown; a test keeps both languages complete.
    """
    return WORDS[key][lang].format(**values) if values else WORDS[key][lang]

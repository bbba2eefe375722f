"""Every sentence, label and title a person reads: key -> English and Chinese.

A key names where it is read and what it says (``overview.title``). Values may hold ``{fields}`` for ``str.format``.
Error lines on the command line stay English; everything in the app, the figures and the reports comes from here.
"""

LANGUAGES = {"en": "English", "zh": "中文"}

WORDS: dict[str, dict[str, str]] = {
    "side.chosen": {"en": "chosen", "zh": "被选回答"},
    "side.rejected": {"en": "rejected", "zh": "被拒回答"},
}


def text(key: str, lang: str = "en", **values: object) -> str:
    """The words behind ``key`` in ``lang``, with ``values`` put in.

    Raises:
        KeyError: ``key`` or ``lang`` is unknown; a test keeps both languages complete.
    """
    return WORDS[key][lang].format(**values) if values else WORDS[key][lang]

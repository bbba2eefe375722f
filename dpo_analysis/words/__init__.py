"""Every sentence, label and title a person reads, in English and Chinese.

The sentences stand in one catalogue per language, ``en.toml`` and ``zh.toml`` beside this file, under the same keys. A
key names where its sentence is read and what it says: ``overview.title`` is ``title`` in the table ``[overview]``.
Error lines on the command line are English and stand in the code; the app, the figures and the reports read all of
their text from here.
"""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

LANGUAGES = {"en": "English", "zh": "中文"}
"""Code and name of each language that has a catalogue."""


@functools.cache
def catalogue(lang: str = "en") -> Mapping[str, str]:
    """Return every key and its sentence in ``lang``, in the order of the file, which is read once per process.

    Raises:
        KeyError: ``lang`` is not one of ``LANGUAGES``.
    """
    if lang not in LANGUAGES:
        raise KeyError(lang)
    tables = tomllib.loads(Path(__file__).with_name(f"{lang}.toml").read_text("utf-8"))
    return MappingProxyType(
        {f"{table}.{name}": text for table, names in tables.items() for name, text in names.items()}
    )


def text(key: str, lang: str = "en", **values: object) -> str:
    """Return the sentence of ``key`` in ``lang``, with ``values`` in the places of its ``{fields}`` (``str.format``).

    Raises:
        KeyError: ``key`` or ``lang`` is unknown; a test keeps both catalogues complete.
    """
    sentence = catalogue(lang)[key]
    return sentence.format(**values) if values else sentence

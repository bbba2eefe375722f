"""The text of one token, decoded alone."""

import re

BROKEN = re.compile("[\udc80-\udcff]")
"""Bytes that form no whole character, as the lone surrogates of Python's ``surrogateescape``."""


def token_text(token_bytes: bytes) -> str:
    r"""Return the text of a token, decoded without its neighbours; bytes of no whole character show as ``\xE4``."""
    decoded = token_bytes.decode("utf-8", "surrogateescape")
    return BROKEN.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02X}", decoded)

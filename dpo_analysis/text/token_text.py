"""The text of one token, decoded alone."""

import re

BROKEN = re.compile("[\udc80-\udcff]")
"""Bytes that form no whole character, as the lone surrogates of Python's ``surrogateescape``."""


def is_whole_text(token_bytes: bytes | None) -> bool:
    """Return whether the bytes of a token are whole characters, not parts of one; True where they are not known."""
    return BROKEN.search((token_bytes or b"").decode("utf-8", "surrogateescape")) is None


def token_text(token_bytes: bytes) -> str:
    r"""Return the text of a token, decoded without its neighbours; bytes of no whole character show as ``\xE4``."""
    decoded = token_bytes.decode("utf-8", "surrogateescape")
    return BROKEN.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02X}", decoded)

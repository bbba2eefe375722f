"""The text of one token, decoded alone."""

import re

BROKEN = re.compile("[\udc80-\udcff]")
"""Bytes that are no whole character, as surrogates of Python's surrogateescape."""


def token_text(token_bytes: bytes) -> str:
    r"""A token's bytes as text, decoded alone; bytes that are no whole character show as ``\xE4``."""
    decoded = token_bytes.decode("utf-8", "surrogateescape")
    return BROKEN.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02X}", decoded)

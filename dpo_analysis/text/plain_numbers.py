"""Numbers that a file holds as text."""

import re

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf(?:inity)?|nan", re.IGNORECASE)


def parse_number(text: str) -> float:
    """Return the number that a text is, with blanks around it or none.

    Python's ``float`` takes more: "-1_0" is -10 for it, and so are the digits of every script.

    Raises:
        ValueError: the text is no number.
    """
    stripped = text.strip()
    if NUMBER.fullmatch(stripped) is None:
        raise ValueError(f"no number: {stripped[:40]!r}")
    return float(stripped)

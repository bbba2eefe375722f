"""Numbers as a person reads them in figures, reports, pages and sentences.

A negative number has the minus sign (U+2212), which is as wide as the plus, and an undefined or infinite one is a dash
(–). The tables that the command line prints keep plain ASCII and are not written here.
"""

import math
import re
from collections.abc import Iterable

UNDEFINED = "–"
"""What stands for an undefined or infinite number."""
HYPHEN = re.compile(r"-(?=\d)")
"""A hyphen that is the minus of a number."""


def with_minus_signs(text: str) -> str:
    """Return a text in which each hyphen before a number is a minus sign: "1e-06" becomes "1e−06"."""
    return HYPHEN.sub("\u2212", text)


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign and ``digits`` decimals; a number that would round to 0 keeps one digit.

    0.3 is "+0.30", -0.004 is "−0.004", 5e-11 is "+5e−11" and 0 is "0".
    """
    if not math.isfinite(value):
        return UNDEFINED
    rounded = f"{value:+.{digits}f}"
    if float(rounded) == 0:
        rounded = "0" if value == 0 else _short_exponent(f"{value:+.1g}")
    return with_minus_signs(rounded)


def decimal(value: float, digits: int = 2) -> str:
    """Return a number with ``digits`` decimals as a table writes it; one that would round to 0 keeps one digit.

    0.3 is "0.30", -0.004 is "−0.004", -6.318e-06 is "−6e−6" and 0 is "0".
    """
    return signed(value, digits).removeprefix("+")


def significant(value: float, digits: int = 4) -> str:
    """Return a number with up to ``digits`` significant digits as a table writes it: -6.3184e-06 is "−6.318e−6"."""
    return signed_significant(value, digits).removeprefix("+")


def signed_fixed(value: float, digits: int = 2) -> str:
    """Return a number with its sign and exactly ``digits`` decimals, as the diagnosis writes nats.

    0.3 is "+0.30"; -0.004 is "0.00", without the sign of a number that is not shown.
    """
    if not math.isfinite(value):
        return UNDEFINED
    text = f"{value:+.{digits}f}"
    return with_minus_signs(text) if float(text) else f"{0:.{digits}f}"


def fixed(value: float, digits: int = 2) -> str:
    """Return a number with exactly ``digits`` decimals and a sign only where it is negative: 0.3 is "0.30"."""
    if not math.isfinite(value):
        return UNDEFINED
    text = f"{value:.{digits}f}"
    return with_minus_signs(text) if float(text) else f"{0:.{digits}f}"


def signed_significant(value: float, digits: int = 4) -> str:
    """Return a number with its sign and up to ``digits`` significant digits, as the end of a scale is written.

    0.6 is "+0.6", -0.12345 is "−0.1235", 1e-06 is "+1e−6" and 0 is "0".
    """
    if not math.isfinite(value):
        return UNDEFINED
    return "0" if value == 0 else with_minus_signs(_short_exponent(f"{value:+.{digits}g}"))


def percent(value: float) -> str:
    """Return a share (0 to 1) in percent, with one decimal under 10 % and over 90 %: 0.25 is "25%", 0.031 is "3.1%"."""
    if not math.isfinite(value):
        return UNDEFINED
    return f"{value:.0%}" if 0.1 <= value <= 0.9 or value in (0, 1) else f"{value:.1%}"


def whole_percent(value: float) -> str:
    """Return a share (0 to 1) in whole percent, as the diagnosis writes shares: 0.031 is "3%"."""
    return f"{value:.0%}" if math.isfinite(value) else UNDEFINED


def distinct(values: Iterable[float]) -> str:
    """Return each different finite number once, in its shortest form: 0.1, 0.5 and 0.1 are "0.1, 0.5"."""
    return ", ".join(dict.fromkeys(f"{value:g}" for value in values))


def _short_exponent(text: str) -> str:
    return text.replace("e-0", "e-")

"""Numbers as text, three letters each: a third of the size of their JSON, with exactly the four digits that are shown.

tokens.js decodes them (``unpack``).
"""

import numpy as np
from numpy.typing import NDArray

LETTERS = "".join(chr(code) for code in range(35, 127) if chr(code) not in "\\<")
"""90 letters that JSON and HTML leave as they are; tokens.js has the same."""
DIGITS, LOWEST, HIGHEST = 1000, -20, 19
"""Numbers of four digits times powers of ten from ``LOWEST`` to ``HIGHEST``."""
MISSING, ZERO, FIRST = 0, 1, 2
"""The codes of no number and of 0, and the first code of another number."""


def encode_numbers(values: NDArray[np.float64]) -> str:
    """Return numbers rounded to four digits as three letters each; NaN and infinities are encoded as missing.

    A number that is not 0 is FIRST + 2 * (its digits - 1000 + 9000 * (its power of ten - LOWEST)), + 1 if it is below
    0, written in base 90. Numbers below 1e-17 in size become 0, those above 9.999e22 become 9.999e22.

    Args:
        values: any unit, shape (values,).
    """
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    known = np.isfinite(sizes) & (sizes >= DIGITS * 10.0**LOWEST)
    safe = np.where(known, np.minimum(sizes, 9999.0 * 10.0**HIGHEST), 1.0)
    power = np.floor(np.log10(safe)).astype(np.int64) - 3
    digits = np.rint(safe / 10.0**power).astype(np.int64)
    power, digits = np.where(digits == 10 * DIGITS, power + 1, power), np.where(digits == 10 * DIGITS, DIGITS, digits)
    codes = FIRST + 2 * (digits - DIGITS + 9 * DIGITS * (power - LOWEST)) + (np.asarray(values) < 0)
    codes = np.where(known, codes, np.where(np.isfinite(sizes), ZERO, MISSING))
    base = len(LETTERS)
    places = np.stack([codes // base**2, codes // base % base, codes % base], axis=-1)
    return "".join(np.array(list(LETTERS))[places].ravel().tolist())

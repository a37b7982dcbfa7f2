"""Numbers as they are written: which ones are too long to read, and the exact value of the others.

Python refuses to convert very long decimals, and a short text such as `1e999999999` may stand for a very long
one, so nothing is converted before it has been measured.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_DIGITS = 18
MAX_DECIMAL = 40
MAX_EXPONENT = 400


def is_too_long(text: str) -> bool:
    """Whether a number (or an irrep) has too many digits; a decimal may have more than an integer."""
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and (len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT):
        return True
    if exponent or "." in text:
        return len(mantissa) > MAX_DECIMAL
    return any(len(digits) > MAX_DIGITS for digits in re.findall("[0-9]+", text))


def divides_by_zero(text: str) -> bool:
    """Whether a number (or an irrep) is a fraction over zero."""
    return re.search(r"/0+(?![0-9])", text) is not None


def integer(text: str) -> int:
    """An integer. One that is too long has been reported, and its first digits stand for it."""
    return int(text[:MAX_DIGITS])


def exact(text: str) -> Fraction:
    """The exact value of an integer, a decimal or a fraction. For one that has been reported, zero stands."""
    return Fraction(0) if is_too_long(text.lstrip("-")) or divides_by_zero(text) else Fraction(text)

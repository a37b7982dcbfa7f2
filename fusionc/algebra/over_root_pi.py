"""Exact numbers over the square root of π, as integrals of spherical harmonics have them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Any, ClassVar

from fusionc.algebra.surds import FLOAT_FORMATS, ZERO, Rational, Surd, bits_for, decimal_text, digit_count, fixed_point


@dataclass(frozen=True, slots=True, repr=False)
class OverRootPi:
    """The number ``numerator / sqrt(π)``."""

    numerator: Surd
    multiplies_surds: ClassVar[bool] = True

    def __bool__(self) -> bool:
        return bool(self.numerator)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, OverRootPi):
            return self.numerator == other.numerator
        if isinstance(other, (int, Fraction, Surd)):
            return not self.numerator and not other  # 1/sqrt(π) is transcendental
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.numerator, "over root pi")) if self.numerator else hash(0)

    def __neg__(self) -> OverRootPi:
        return OverRootPi(-self.numerator)

    def __abs__(self) -> OverRootPi:
        return OverRootPi(abs(self.numerator))

    def __pos__(self) -> OverRootPi:
        return self

    def __add__(self, other: OverRootPi | Surd | Rational) -> OverRootPi:
        return OverRootPi(self.numerator + _numerator(other))

    __radd__ = __add__

    def __sub__(self, other: OverRootPi | Surd | Rational) -> OverRootPi:
        return OverRootPi(self.numerator - _numerator(other))

    def __rsub__(self, other: Surd | Rational) -> OverRootPi:
        return -self + other

    def __mul__(self, other: Surd | Rational) -> OverRootPi:
        if isinstance(other, OverRootPi):
            raise TypeError("the product of two numbers over √π has π itself: multiply their `.sympy()`")
        return OverRootPi(self.numerator * other)

    __rmul__ = __mul__

    def __truediv__(self, other: Surd | Rational) -> OverRootPi:
        return OverRootPi(self.numerator / other)

    def __float__(self) -> float:
        """The nearest float64, but for ties that take more than 40 digits to see."""
        return float(self.digits(40))

    def digits(self, count: int = 17) -> str:
        """The number to `count` significant digits, as `Surd.digits`."""
        count = digit_count(count)
        if not self.numerator:
            return "0"
        bits = bits_for(count)
        above, shift = fixed_point(self.numerator, bits)
        return decimal_text(above * _one_over_root_pi(bits), 1 << (shift + bits), count)

    def __str__(self) -> str:
        """Such as ``√5/(7√π)``."""
        if not self.numerator.is_single:
            return f"({self.numerator})/√π"
        above, _, below = str(self.numerator).partition("/")
        return above if not self.numerator else f"{above}/({below}√π)" if below else f"{above}/√π"

    def __repr__(self) -> str:
        return f"OverRootPi({self})"

    def __format__(self, spec: str) -> str:
        """As of a `Surd`."""
        return format(float(self) if spec[-1:] in FLOAT_FORMATS else str(self), spec)

    def latex(self) -> str:
        r"""Such as ``\frac{\sqrt{5}}{7}\,\pi^{-1/2}``."""
        text = self.numerator.latex()
        if not self.numerator:
            return text
        return (text if self.numerator.is_single else rf"\left({text}\right)") + r"\,\pi^{-1/2}"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def sympy(self) -> Any:
        """The same number in sympy. Raises ImportError where that is not installed."""
        import sympy

        return self.numerator.sympy() / sympy.sqrt(sympy.pi)

    def _sympy_(self) -> Any:
        return self.sympy()


def _numerator(value: OverRootPi | Surd | Rational) -> Surd:
    """Over √π; TypeError for what is not, but 0: no sum of the two kinds is of one of them."""
    if isinstance(value, OverRootPi):
        return value.numerator
    if value == 0:
        return ZERO
    raise TypeError(f"a number over √π and {value} have no sum of that kind: add their `.sympy()`")


@lru_cache(maxsize=16)
def _one_over_root_pi(bits: int) -> int:
    """2^bits / sqrt(π), to a few units."""
    return isqrt((1 << (3 * bits)) // _pi(bits))


def _pi(bits: int) -> int:
    """2^bits π, to a few units: 16 arctan(1/5) - 4 arctan(1/239) (Machin 1706)."""
    spare = bits + 32
    return (16 * _arctan_of_inverse(5, spare) - 4 * _arctan_of_inverse(239, spare)) >> 32


def _arctan_of_inverse(number: int, bits: int) -> int:
    power = (1 << bits) // number
    total, odd = power, 1
    while power:
        power //= -number * number
        odd += 2
        total += power // odd
    return total

"""Exact numbers: finite sums of rational multiples of square roots.

Every coefficient of the recoupling theory of SU(2) is a sign times the square root of a rational number, and
every sum of products of such is a `Surd`. Square roots of distinct square-free integers are linearly
independent over the rationals (Besicovitch 1940), so the form kept here is unique: a number is zero only when
it has no terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import gcd, isqrt
from operator import index
from typing import Any, SupportsIndex, TypeAlias

from fusionc.algebra.integers import square_free

Rational: TypeAlias = int | Fraction

# More than the 53 bits of a float64: the rounding of an exact quotient then sees a sticky last bit.
_ROOT_BITS = 68


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Surd:
    """The number ``sum of coefficient * sqrt(radicand)``.

    ``terms`` are pairs (radicand, coefficient), radicands square-free and ascending, coefficients never zero.
    Build one with `Surd.of`, `Surd.root` and arithmetic; the constructor itself trusts what it is given.
    """

    terms: tuple[tuple[int, Fraction], ...] = ()
    _hash: int | None = field(default=None, init=False)
    """Computed when it is first asked for: exact coefficients are looked up by the million."""

    @staticmethod
    def of(value: Rational) -> Surd:
        """The rational number ``value``."""
        return Surd(_terms(value))

    @staticmethod
    def root(value: Rational, sign: int = 1) -> Surd:
        """``sign * sqrt(value)``. Raises ValueError for a negative value."""
        if value < 0:
            raise ValueError(f"{value} is negative: it has no real square root")
        if not value:
            return ZERO
        square, free = square_free(value.numerator * value.denominator)
        return Surd(((free, Fraction(sign * square, value.denominator)),))

    # -- arithmetic ------------------------------------------------------------------------------------------

    def __add__(self, other: Surd | Rational) -> Surd:
        if getattr(other, "multiplies_surds", False):
            return NotImplemented
        left, right = self.terms, _terms(other)
        if not right:
            return self
        if not left:
            return Surd(right)
        if len(left) == 1 == len(right) and left[0][0] == right[0][0]:
            total = left[0][1] + right[0][1]
            return Surd(((left[0][0], total),)) if total else ZERO
        return _collect([*left, *right])

    __radd__ = __add__

    def __lt__(self, other: Surd | Rational) -> bool:
        """Decided exactly, as `sign` is."""
        return (self - other).sign() < 0

    def __gt__(self, other: Surd | Rational) -> bool:
        return (self - other).sign() > 0

    def __le__(self, other: Surd | Rational) -> bool:
        return not self > other

    def __ge__(self, other: Surd | Rational) -> bool:
        return not self < other

    def __pos__(self) -> Surd:
        return self

    def __neg__(self) -> Surd:
        return Surd(tuple((radicand, -coefficient) for radicand, coefficient in self.terms))

    def __sub__(self, other: Surd | Rational) -> Surd:
        return self + (-other)

    def __rsub__(self, other: Rational) -> Surd:
        return -self + other

    def __mul__(self, other: Surd | Rational) -> Surd:
        if getattr(other, "multiplies_surds", False):  # (what holds a Surd, over a root of π)
            return NotImplemented
        left, right = self.terms, _terms(other)
        if len(left) == 1 == len(right):
            return Surd((_product(left[0], right[0]),))
        return _collect([_product(one, two) for one in left for two in right])

    __rmul__ = __mul__

    def __truediv__(self, other: Surd | Rational) -> Surd:
        """Division by a rational or by a number with one term; NotImplementedError for a longer divisor."""
        divisor = _terms(other)
        if not divisor:
            raise ZeroDivisionError("division by the exact number 0")
        if len(divisor) > 1:
            raise NotImplementedError("division by a sum of square roots")
        radicand, coefficient = divisor[0]
        return self * Surd(((radicand, 1 / (coefficient * radicand)),))

    def __rtruediv__(self, other: Rational) -> Surd:
        return Surd.of(other) / self

    def __pow__(self, exponent: int) -> Surd:
        if exponent < 0:
            return ONE / self**-exponent
        power = ONE
        for _ in range(exponent):
            power = power * self
        return power

    def __abs__(self) -> Surd:
        return -self if self.sign() < 0 else self

    # -- questions -------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Surd):
            return self is other or self.terms == other.terms
        if isinstance(other, (int, Fraction)):
            return self.terms == _terms(other)
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            # A rational surd equals the int or Fraction of its value, so it must hash like it.
            found = hash(self.rational()) if self.is_rational else hash(self.terms)
            object.__setattr__(self, "_hash", found)
            return found
        return self._hash

    @property
    def is_rational(self) -> bool:
        return not self.terms or (len(self.terms) == 1 and self.terms[0][0] == 1)

    @property
    def is_unit(self) -> bool:
        """Whether the number is 1 or -1: multiplying with it costs nothing."""
        if len(self.terms) != 1:
            return False
        radicand, coefficient = self.terms[0]
        return radicand == 1 and coefficient.denominator == 1 and abs(coefficient.numerator) == 1

    @property
    def is_single(self) -> bool:
        """Whether the number is zero or one rational multiple of one square root."""
        return len(self.terms) <= 1

    def rational(self) -> Fraction:
        """The value as a Fraction; ValueError when it is irrational."""
        if not self.is_rational:
            raise ValueError(f"{self} is irrational")
        return self.terms[0][1] if self.terms else Fraction(0)

    def squared_rational(self) -> Fraction:
        """The square as a Fraction; ValueError when the square is irrational (a sum of several roots)."""
        return (self * self).rational()

    def sign(self) -> int:
        """-1, 0 or 1, decided exactly."""
        if len(self.terms) <= 1:
            return 0 if not self.terms else (1 if self.terms[0][1].numerator > 0 else -1)
        scaled, _ = _fixed_point(self.terms)
        return 1 if scaled > 0 else -1

    def __float__(self) -> float:
        """The nearest float64 for one term; within one unit in the last place for a sum, whatever cancels.

        Raises OverflowError beyond the range of float64, as `float` of an int or a Fraction does; `digits` has no
        range.
        """
        if not self.terms:
            return 0.0
        try:
            if len(self.terms) == 1:
                return _float_of_term(*self.terms[0])
            scaled, shift = _fixed_point(self.terms)
            return scaled / (1 << shift)
        except OverflowError:
            raise OverflowError("the exact number is too large for a float; `digits()` writes it out") from None

    # -- text ------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        """Such as ``√3/2``, ``-1/2``, ``0``, ``1/2 + √5/3``."""
        return _join([(coefficient < 0, _term_text(*term)) for term in self.terms for coefficient in term[1:]])

    def __repr__(self) -> str:
        return f"Surd({self})"

    def __format__(self, spec: str) -> str:
        """`.3f`, `e` and `g` format the float; anything else (widths) the exact text."""
        return format(float(self) if spec[-1:] in FLOAT_FORMATS else str(self), spec)

    def latex(self) -> str:
        r"""Such as ``\frac{\sqrt{3}}{2}``."""
        return _join([(coefficient < 0, _term_latex(*term)) for term in self.terms for coefficient in term[1:]])

    def _repr_latex_(self) -> str:
        """For notebooks."""
        return f"${self.latex()}$"

    def digits(self, count: int = 17) -> str:
        """The number to `count` significant digits, correctly rounded, trailing zeros left out: ``0.8660254037844386``,
        ``1.2e+400``. Raises ValueError for fewer than one digit."""
        count = digit_count(count)
        return _decimal_text(self.terms, count) if self.terms else "0"

    def sympy(self) -> Any:
        """The same number in sympy. Raises ImportError where that is not installed."""
        import sympy

        whole = (sympy.Rational(c.numerator, c.denominator) * sympy.sqrt(sympy.Integer(r)) for r, c in self.terms)
        return sympy.Add(*whole)

    def _sympy_(self) -> Any:
        """What `sympy.sympify` asks for."""
        return self.sympy()


FLOAT_FORMATS = tuple("eEfFgGn%")
"""How a format ends that asks for a decimal."""

ZERO = Surd()
ONE = Surd(((1, Fraction(1)),))


def _terms(value: Surd | Rational | SupportsIndex) -> tuple[tuple[int, Fraction], ...]:
    if isinstance(value, Surd):
        return value.terms
    if not isinstance(value, (int, Fraction)):
        try:
            value = index(value)  # (numpy's integers)
        except TypeError:
            raise TypeError(f"exact numbers do not mix with {type(value).__name__}") from None
    return ((1, value if isinstance(value, Fraction) else Fraction(value)),) if value else ()


def _product(one: tuple[int, Fraction], two: tuple[int, Fraction]) -> tuple[int, Fraction]:
    """For square-free r and s with g = gcd(r, s): sqrt(r) sqrt(s) = g sqrt((r/g)(s/g)), again square-free."""
    (first, left), (second, right) = one, two
    if first == 1 or second == 1:
        return first * second, left * right
    common = gcd(first, second)
    return (first // common) * (second // common), left * right * common


def _collect(terms: list[tuple[int, Fraction]]) -> Surd:
    sums: dict[int, Fraction] = {}
    for radicand, coefficient in terms:
        before = sums.get(radicand)
        sums[radicand] = coefficient if before is None else before + coefficient
    return Surd(tuple(sorted((radicand, total) for radicand, total in sums.items() if total)))


def _float_of_term(radicand: int, coefficient: Fraction) -> float:
    """Round ``coefficient * sqrt(radicand)`` once: an integer root with spare bits, its remainder kept as a
    last bit.
    """
    if radicand == 1:
        return coefficient.numerator / coefficient.denominator
    above = coefficient.numerator**2 * radicand
    below = coefficient.denominator**2
    shift = max(0, _ROOT_BITS - (above.bit_length() - below.bit_length()) // 2)
    quotient, remainder = divmod(above << (2 * shift), below)
    root = isqrt(quotient)
    inexact = remainder != 0 or root * root != quotient
    size = (2 * root + inexact) / (1 << (shift + 1))
    return size if coefficient > 0 else -size


def _fixed_point(terms: tuple[tuple[int, Fraction], ...], bits: int = 64) -> tuple[int, int]:
    """An integer n and a shift with ``sum of terms = n / 2**shift`` to 2**-bits relative; the sum must not be
    zero.
    """
    shift = 2 * bits
    while True:
        total = sum(_floor_scaled(radicand, coefficient, shift) for radicand, coefficient in terms)
        if abs(total) >> bits > len(terms):
            return total, shift
        shift *= 2


_BITS_PER_DIGIT = 3.33
_SPARE_BITS = 64
_PLAIN = range(-5, 17)
"""Powers of ten that are written out."""


def fixed_point(value: Surd, bits: int) -> tuple[int, int]:
    """An integer n and a shift with ``value = n / 2**shift`` to 2**-bits relative; ValueError for zero."""
    if not value:
        raise ValueError("zero has no leading bit")
    return _fixed_point(value.terms, bits)


def digit_count(count: int) -> int:
    """How many digits are asked for. Raises TypeError for what is no integer, ValueError for fewer than one."""
    if not hasattr(count, "__index__"):
        raise TypeError(f"digits(count) takes an integer, such as 30, not {type(count).__name__}")
    if count < 1:
        raise ValueError(f"a number has one significant digit at least, not {count}")
    return index(count)


def bits_for(count: int) -> int:
    """The bits that `count` significant digits take, with some to spare."""
    return int(count * _BITS_PER_DIGIT) + _SPARE_BITS


def _decimal_text(terms: tuple[tuple[int, Fraction], ...], count: int) -> str:
    if len(terms) == 1 and terms[0][0] == 1:
        return decimal_text(terms[0][1].numerator, terms[0][1].denominator, count)
    total, shift = _fixed_point(terms, bits_for(count))
    return decimal_text(total, 1 << shift, count)


def decimal_text(above: int, below: int, count: int) -> str:
    """above/below, not zero, to `count` significant digits, trailing zeros left out."""
    size = abs(above)
    power = _power_of_ten(size, below)
    number = _rounded(size, below, count - 1 - power)
    if number == 10**count:
        number, power = number // 10, power + 1
    return ("-" if above < 0 else "") + _placed(_digits(number).rstrip("0"), power)


def _power_of_ten(above: int, below: int) -> int:
    """The p with 10^p <= above/below < 10^(p+1)."""
    guess = int((above.bit_length() - below.bit_length()) * 0.30103)
    while above * 10 ** max(0, -guess) < below * 10 ** max(0, guess):
        guess -= 1
    while above * 10 ** max(0, -guess - 1) >= below * 10 ** max(0, guess + 1):
        guess += 1
    return guess


def _rounded(above: int, below: int, places: int) -> int:
    """above/below times 10^places, to the nearest integer, to the even one of two."""
    return round(Fraction(above * 10 ** max(0, places), below * 10 ** max(0, -places)))


def _placed(text: str, power: int) -> str:
    """Significant digits with their decimal point; the first counts 10^power."""
    if power not in _PLAIN:
        return f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{power:+03d}"
    if power < 0:
        return "0." + "0" * (-power - 1) + text
    whole = text[: power + 1].ljust(power + 1, "0")
    return whole + ("." + text[power + 1 :] if text[power + 1 :] else "")


def _floor_scaled(radicand: int, coefficient: Fraction, shift: int) -> int:
    above = (coefficient.numerator**2 * radicand) << (2 * shift)
    root = isqrt(above // coefficient.denominator**2)
    return root if coefficient > 0 else -root


def _join(parts: list[tuple[bool, str]]) -> str:
    if not parts:
        return "0"
    negative, text = parts[0]
    words = ["-" + text if negative else text]
    words += [(" - " if negative else " + ") + text for negative, text in parts[1:]]
    return "".join(words)


def _digits(number: int) -> str:
    # str(int) refuses more than 4300 digits; a Decimal made from an integer is exact and prints plainly.
    return str(number) if number.bit_length() < 10_000 else str(Decimal(number))


def _term_text(radicand: int, coefficient: Fraction) -> str:
    above, below = abs(coefficient.numerator), coefficient.denominator
    factor = "" if above == 1 and radicand != 1 else _digits(above)
    root = "" if radicand == 1 else "√" + _digits(radicand)
    return factor + root + ("" if below == 1 else "/" + _digits(below))


def _term_latex(radicand: int, coefficient: Fraction) -> str:
    above, below = abs(coefficient.numerator), coefficient.denominator
    factor = "" if above == 1 and radicand != 1 else _digits(above)
    root = "" if radicand == 1 else rf"\sqrt{{{_digits(radicand)}}}"
    return factor + root if below == 1 else rf"\frac{{{factor}{root}}}{{{_digits(below)}}}"

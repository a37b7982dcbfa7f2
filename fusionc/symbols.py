"""The symbols of angular momentum as exact numbers: 3j, 6j, 9j, Clebsch-Gordan, Racah's W, Gaunt, F.

Spins and projections are ints, Fractions, texts ("1/2"), floats (0.5), or numbers of sympy and numpy. What comes back
is exact: `print` shows `√3/2`; `float`, `.digits(30)`, `.sympy()` and `.latex()` convert it.

The contract of all of them:

* what is no spin (negative, 0.3, "x"), or no projection of its spin (|m| > j, or m and j not both integers or both
  halves), is a mistake: ValueError, or TypeError for what is no number;
* labels that break a selection rule (triangle, integer sum, sum of projections) give the exact zero;
* spins above 10,000 whose symbol is not zero are refused with OverflowError.

Phases are those of Condon and Shortley. VMK is Varshalovich, Moskalev, Khersonskii, Quantum Theory of Angular Momentum
(1988).
"""

from __future__ import annotations

import operator
from fractions import Fraction
from typing import Any

from fusionc.algebra import wigner
from fusionc.algebra.groups import SU2
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.over_root_pi import OverRootPi
from fusionc.algebra.surds import ZERO, Surd

WRITTEN = 50
"""How many characters, and powers of ten, a spin or a projection is written with at most."""

Number = Any
"""An int, a Fraction, a text such as "1/2", a float, or a number of sympy or numpy."""


def wigner_3j(j1: Number, j2: Number, j3: Number, m1: Number, m2: Number, m3: Number) -> Surd:
    """The 3j symbol (j1 j2 j3; m1 m2 m3), VMK 8.2.1; zero unless m1 + m2 + m3 = 0.

    The squares over all projections add up to one. wigner_3j(1, 1, 2, 0, 0, 0) is √30/15.
    """
    a, b, c = _spins(j1=j1, j2=j2, j3=j3)
    return wigner.three_j(a, b, c, _projection("m1", m1, a), _projection("m2", m2, b), _projection("m3", m3, c))


def clebsch_gordan(j1: Number, j2: Number, j3: Number, m1: Number, m2: Number, m3: Number) -> Surd:
    """The Clebsch-Gordan coefficient <j1 m1, j2 m2 | j3 m3>; spins first, then projections, as in sympy.

    (-1)^(j1-j2+m3) sqrt(2 j3 + 1) (j1 j2 j3; m1 m2 -m3), VMK 8.1.2. clebsch_gordan("1/2", "1/2", 1, "1/2", "-1/2", 0)
    is √2/2.
    """
    a, b, c = _spins(j1=j1, j2=j2, j3=j3)
    al, be, ga = _projection("m1", m1, a), _projection("m2", m2, b), _projection("m3", m3, c)
    return wigner.clebsch_gordan(a, al, b, be, c, ga)


def wigner_6j(j1: Number, j2: Number, j3: Number, j4: Number, j5: Number, j6: Number) -> Surd:
    """The 6j symbol {j1 j2 j3; j4 j5 j6}, VMK 9.2.1: upper row, then lower row. wigner_6j(1, 1, 1, 1, 1, 1) is 1/6."""
    return wigner.six_j(*_spins(j1=j1, j2=j2, j3=j3, j4=j4, j5=j5, j6=j6))


def wigner_9j(
    j1: Number,
    j2: Number,
    j3: Number,
    j4: Number,
    j5: Number,
    j6: Number,
    j7: Number,
    j8: Number,
    j9: Number,
) -> Surd:
    """The 9j symbol {j1 j2 j3; j4 j5 j6; j7 j8 j9}, VMK 10.2.4, row by row."""
    return wigner.nine_j(*_spins(j1=j1, j2=j2, j3=j3, j4=j4, j5=j5, j6=j6, j7=j7, j8=j8, j9=j9))


def racah_w(a: Number, b: Number, c: Number, d: Number, e: Number, f: Number) -> Surd:
    """Racah's W(a b c d; e f) = (-1)^(a+b+c+d) {a b e; d c f}, Racah (1942), VMK 9.1.2."""
    labels = _spins(a=a, b=b, c=c, d=d, e=e, f=f)
    one, two, three, four, five, six = labels
    value = wigner.six_j(one, two, five, four, three, six)
    return -value if value and (one + two + three + four) // 2 % 2 else value


def gaunt(l1: Number, l2: Number, l3: Number, m1: Number, m2: Number, m3: Number) -> OverRootPi:
    """Gaunt's coefficient, the integral of Y_l1m1 Y_l2m2 Y_l3m3 over the sphere (no conjugate), VMK 5.9.1:

    sqrt((2 l1 + 1)(2 l2 + 1)(2 l3 + 1) / (4 π)) (l1 l2 l3; 0 0 0) (l1 l2 l3; m1 m2 m3). An exact number over √π.
    ValueError for half-integer l.
    """
    a, b, c = _spins(l1=l1, l2=l2, l3=l3)
    for name, twice in (("l1", a), ("l2", b), ("l3", c)):
        if twice % 2:
            raise ValueError(f"{name} = {twice}/2 is no degree of a spherical harmonic: write an integer")
    al, be, ga = _projection("m1", m1, a), _projection("m2", m2, b), _projection("m3", m3, c)
    value = wigner.three_j(a, b, c, al, be, ga)
    if value:
        value = value * wigner.three_j(a, b, c, 0, 0, 0) * Surd.root((a + 1) * (b + 1) * (c + 1)) / 2
    return OverRootPi(value)


def f_symbol(a: Number, b: Number, c: Number, d: Number, e: Number, f: Number) -> Surd:
    """The recoupling coefficient between ((a b)e c)d and (a (b c)f)d, an entry of an orthogonal matrix:

    (-1)^(a+b+c+d) sqrt((2e+1)(2f+1)) {a b e; c d f}, VMK 9.1.1. Zero where one of the two is not allowed.
    """
    one, two, three, total, left, right = (Irrep(twice) for twice in _spins(a=a, b=b, c=c, d=d, e=e, f=f))
    allowed = SU2.contains(one, two, left) and SU2.contains(two, three, right)
    return SU2.f_symbol(one, two, three, total, left, right) if allowed else ZERO


# -- what is a spin ------------------------------------------------------------------------------------------


def _spins(**labels: Number) -> tuple[int, ...]:
    """Doubled spins. Raises ValueError and TypeError."""
    found = tuple(_doubled(name, value, "spin") for name, value in labels.items())
    for name, twice in zip(labels, found, strict=True):
        if twice < 0:
            raise ValueError(f"{name} = {_text(twice)} is negative, and no spin is: write {_text(-twice)}")
    return found


def _projection(name: str, value: Number, twice_j: int) -> int:
    """A doubled projection of a spin. Raises ValueError and TypeError."""
    twice = _doubled(name, value, "projection")
    if abs(twice) > twice_j or (twice_j + twice) % 2:
        spin = _text(twice_j)
        run = "it is 0" if not twice_j else f"it runs from -{spin} to {spin} in steps of one"
        raise ValueError(f"{name} = {_text(twice)} is no projection of the spin {spin}: {run}")
    return twice


def _doubled(name: str, value: Number, what: str) -> int:
    number = _rational(name, value)
    if number is None or number.denominator > 2:
        near = "" if number is None else f", near {_text(round(2 * number))}"
        given = str(value) if len(str(value)) <= WRITTEN else f"a text of {len(str(value))} characters"
        raise ValueError(f"{name} = {given} is no {what}{near}: write an integer or a half, as 1, '1/2' or 0.5")
    return int(2 * number)


def _rational(name: str, value: Number) -> Fraction | None:
    """The exact value; None for what is a number or a text, but no finite rational."""
    try:
        if isinstance(value, Surd):
            return value.rational()
        if isinstance(value, str):
            return _written(value)
        if hasattr(value, "p") and hasattr(value, "q"):  # sympy's rationals
            return Fraction(int(value.p), int(value.q))
        if isinstance(value, Fraction):
            return value
        return Fraction(operator.index(value)) if hasattr(value, "__index__") else Fraction(float(value))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    except TypeError:
        raise TypeError(f"{name} should be a number such as 1, '1/2' or 0.5, not {type(value).__name__}") from None


def _written(text: str) -> Fraction | None:
    """What a text says; None for what nobody writes for a spin: 1e999999999 alone would fill the memory."""
    plain = "".join(text.split()).replace("−", "-")
    _, _, exponent = plain.lower().partition("e")
    if len(plain) > WRITTEN or abs(int(exponent or 0)) > WRITTEN:
        return None
    return Fraction(plain)


def _text(twice: int) -> str:
    return f"{twice}/2" if twice % 2 else str(twice // 2)

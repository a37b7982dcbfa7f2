"""Exact numbers: arithmetic, rounding, text."""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import sqrt, ulp

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionc.algebra.integers import is_prime, prime_divisors, primes_to, square_free
from fusionc.algebra.surds import ONE, ZERO, Surd

fractions = st.fractions(min_value=-50, max_value=50, max_denominator=60)
singles = st.builds(lambda root, factor: Surd.root(root) * factor, st.integers(0, 400), fractions)
surds = st.lists(singles, max_size=3).map(lambda parts: sum(parts, ZERO))


def exact_decimal(value: Surd, digits: int = 80) -> Decimal:
    with localcontext() as context:
        context.prec = digits
        parts = [Decimal(q.numerator) / Decimal(q.denominator) * Decimal(r).sqrt() for r, q in value.terms]
        return sum(parts, Decimal(0))


@given(surds, surds, surds)
def test_ring(a: Surd, b: Surd, c: Surd) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert (a * b) * c == a * (b * c)
    assert a * b == b * a
    assert a * (b + c) == a * b + a * c
    assert a - a == ZERO == a * 0
    assert a * ONE == a + 0 == a
    assert hash(a + b) == hash(b + a)


@given(surds, singles)
def test_division(a: Surd, b: Surd) -> None:
    if b:
        assert a / b * b == a
        assert b * b == b.squared_rational()
    else:
        with pytest.raises(ZeroDivisionError):
            _ = a / b


@given(singles)
def test_one_term_rounds_to_nearest(a: Surd) -> None:
    number = float(a)
    exact = exact_decimal(a)
    with localcontext() as context:
        context.prec = 80
        assert abs(Decimal(number) - exact) <= Decimal(ulp(number)) / 2


@given(surds)
def test_sums_are_within_one_ulp(a: Surd) -> None:
    number = float(a)
    with localcontext() as context:
        context.prec = 120
        assert abs(Decimal(number) - exact_decimal(a, 120)) <= Decimal(ulp(number))
    assert a.sign() == (number > 0) - (number < 0)
    assert bool(a) == (number != 0)


def test_cancellation_does_no_harm() -> None:
    near = Surd.root(2) - Fraction(665857, 470832)
    assert float(near) == pytest.approx(-1.5948618246059560e-12, rel=1e-15)
    power = near**12
    assert float(power) == pytest.approx((1.5948618246059560e-12) ** 12, rel=1e-13)


def test_extreme_sizes() -> None:
    assert float(Surd.root(Fraction(1, 10**400))) == 1e-200
    assert float(Surd.root(2 * 10**400)) == pytest.approx(sqrt(2) * 1e200, rel=1e-15)
    assert float(Surd.root(Fraction(2, 10**900))) == 0.0
    assert len(str(Surd.of(10**6000))) == 6001


@pytest.mark.parametrize(
    ("value", "text", "latex"),
    [
        (ZERO, "0", "0"),
        (Surd.of(Fraction(-1, 2)), "-1/2", r"-\frac{1}{2}"),
        (Surd.root(Fraction(3, 4)), "√3/2", r"\frac{\sqrt{3}}{2}"),
        (Surd.root(Fraction(24, 25), -1), "-2√6/5", r"-\frac{2\sqrt{6}}{5}"),
        (Surd.root(7), "√7", r"\sqrt{7}"),
        (Surd.of(3), "3", "3"),
        (Surd.of(Fraction(1, 2)) + Surd.root(5) / 3, "1/2 + √5/3", r"\frac{1}{2} + \frac{\sqrt{5}}{3}"),
        (Surd.root(2) - Surd.root(3), "√2 - √3", r"\sqrt{2} - \sqrt{3}"),
    ],
)
def test_text(value: Surd, text: str, latex: str) -> None:
    assert str(value) == text
    assert value.latex() == latex


def test_rationals_compare_and_hash_like_fractions() -> None:
    assert Surd.of(Fraction(3, 7)) == Fraction(3, 7)
    assert hash(Surd.of(3)) == hash(3)
    assert {Surd.of(2): "two"}[2] == "two"  # type: ignore[index]
    assert Surd.root(2) != 2
    assert Surd.root(4).is_rational
    assert not Surd.root(8).is_rational


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="negative"):
        Surd.root(-2)
    with pytest.raises(NotImplementedError):
        _ = ONE / (ONE + Surd.root(2))
    with pytest.raises(ValueError, match="irrational"):
        Surd.root(2).rational()
    with pytest.raises(ValueError, match="irrational"):
        (ONE + Surd.root(2)).squared_rational()
    with pytest.raises(TypeError):
        _ = ONE * 0.5  # type: ignore[operator]


@given(st.integers(1, 10**12))
def test_square_free(number: int) -> None:
    square, free = square_free(number)
    assert square * square * free == number
    assert all(exponent == 1 for exponent in sympy.factorint(free).values())
    assert prime_divisors(number) == tuple(sorted(sympy.factorint(number)))


def test_primes() -> None:
    assert [number for number in range(3000) if is_prime(number)] == primes_to(2999)
    assert not is_prime(3215031751)
    assert is_prime(2**61 - 1)
    assert square_free((2**31 - 1) ** 2) == (2**31 - 1, 1)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 60), st.fractions(max_denominator=10**6)), max_size=3), st.integers(1, 40))
def test_digits_are_those_of_sympy(terms, count):
    value = sum((Surd.root(radicand) * coefficient for radicand, coefficient in terms), ZERO)
    with localcontext(prec=count):
        wanted = +Decimal(str(sympy.N(value.sympy(), count + 40)))
    assert Decimal(value.digits(count)) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Surd.of(10**400) * Surd.root(2), "1.414213562373095e+400"),
        (-Surd.of(Fraction(1, 3**900)), "-3.8982595571877638e-430"),
        (Surd.of(Fraction(999999999999999999, 10**18)), "1"),
        (Surd.of(123000), "123000"),
        (Surd.root(2) - Fraction(141421356237, 10**11), "3.0950488016887242e-12"),
        (Surd.root(Fraction(3, 4)), "0.86602540378443865"),
        (ZERO, "0"),
    ],
)
def test_digits(value, text):
    assert value.digits() == text


def test_a_number_that_no_float_holds():
    with pytest.raises(OverflowError, match="digits"):
        float(Surd.of(10**400))
    with pytest.raises(OverflowError, match="digits"):
        float(Surd.of(10**400) + Surd.root(2))
    assert float(Surd.of(Fraction(1, 10**400))) == 0.0
    with pytest.raises(ValueError, match="one significant digit"):
        Surd.of(1).digits(0)


def test_other_systems_take_exact_numbers():
    value = Surd.root(3) / 2 - Fraction(1, 3)
    assert sympy.simplify(sympy.sympify(value) - (sympy.sqrt(3) / 2 - sympy.Rational(1, 3))) == 0
    assert value._repr_latex_() == r"$-\frac{1}{3} + \frac{\sqrt{3}}{2}$"

"""3j, 6j and 9j symbols against sympy, their sum rules, and their contract."""

from fractions import Fraction
from itertools import product
from random import Random
from time import process_time

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.physics.wigner import clebsch_gordan as sympy_clebsch_gordan
from sympy.physics.wigner import wigner_3j, wigner_6j, wigner_9j

from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.wigner import LABEL_LIMIT, clebsch_gordan, nine_j, six_j, theta, three_j, triangle


def half(label: int) -> sympy.Rational:
    return sympy.Rational(label, 2)


def same(ours: Surd, theirs: sympy.Expr) -> bool:
    squared = ours.squared_rational()
    same_size = sympy.expand(theirs**2) == sympy.Rational(squared.numerator, squared.denominator)
    return bool(same_size and ours.sign() == sympy.sign(theirs))


def admissible(random: Random, a: int, b: int, top: int) -> int:
    return random.choice(list(range(abs(a - b), min(a + b, top) + 1, 2)) or [a + b])


@given(st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_three_j_against_sympy(random: Random) -> None:
    a, b = random.randint(0, 14), random.randint(0, 14)
    c = admissible(random, a, b, 40)
    al, be = random.choice(range(-a, a + 1, 2)), random.choice(range(-b, b + 1, 2))
    theirs = wigner_3j(half(a), half(b), half(c), half(al), half(be), half(-al - be))
    assert same(three_j(a, b, c, al, be, -al - be), theirs)
    theirs = sympy_clebsch_gordan(half(a), half(b), half(c), half(al), half(be), half(al + be))
    assert same(clebsch_gordan(a, al, b, be, c, al + be), theirs)


@given(st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_six_j_against_sympy(random: Random) -> None:
    a, b, d = (random.randint(0, 14) for _ in range(3))
    c = admissible(random, a, b, 40)
    e = admissible(random, c, d, 40)
    choices = [f for f in range(60) if triangle(a, e, f) and triangle(d, b, f)]
    f = random.choice(choices or [0])
    theirs = wigner_6j(*map(half, (a, b, c, d, e, f))) if choices else sympy.Integer(0)
    assert same(six_j(a, b, c, d, e, f), theirs)


def test_nine_j_against_sympy() -> None:
    random, found = Random(5), 0
    while found < 25:
        a, b, d, e = (random.randint(0, 6) for _ in range(4))
        c, f, g, h = (admissible(random, *pair, 12) for pair in ((a, b), (d, e), (a, d), (b, e)))
        choices = [i for i in range(25) if triangle(g, h, i) and triangle(c, f, i)]
        if not choices:
            continue
        labels = (a, b, c, d, e, f, g, h, random.choice(choices))
        assert same(nine_j(*labels), wigner_9j(*map(half, labels)))
        found += bool(nine_j(*labels))


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_nine_j_symmetries(random: Random) -> None:
    a, b, d, e = (random.randint(0, 5) for _ in range(4))
    c, f, g, h = (admissible(random, *pair, 10) for pair in ((a, b), (d, e), (a, d), (b, e)))
    i = admissible(random, g, h, 20)
    value = nine_j(a, b, c, d, e, f, g, h, i)
    sign = -1 if sum((a, b, c, d, e, f, g, h, i)) // 2 % 2 else 1
    assert nine_j(a, d, g, b, e, h, c, f, i) == value
    assert nine_j(d, e, f, a, b, c, g, h, i) == value * sign
    assert nine_j(b, a, c, e, d, f, h, g, i) == value * sign
    assert nine_j(d, e, f, g, h, i, a, b, c) == value


@given(st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_three_j_symmetries_and_orthogonality(random: Random) -> None:
    a, b = random.randint(0, 12), random.randint(0, 12)
    c = admissible(random, a, b, 24)
    al, be = random.choice(range(-a, a + 1, 2)), random.choice(range(-b, b + 1, 2))
    ga, sign = -al - be, -1 if (a + b + c) // 2 % 2 else 1
    value = three_j(a, b, c, al, be, ga)
    assert three_j(b, c, a, be, ga, al) == value
    assert three_j(b, a, c, be, al, ga) == value * sign
    assert three_j(a, b, c, -al, -be, -ga) == value * sign
    if abs(ga) <= c:
        pairs = [(m, -ga - m) for m in range(-a, a + 1, 2)]
        total = sum((three_j(a, b, c, m, n, ga) ** 2 for m, n in pairs), ZERO)
        assert total == Fraction(1, c + 1)


def test_known_values() -> None:
    assert clebsch_gordan(1, 1, 1, -1, 0, 0) == Surd.root(Fraction(1, 2))
    assert clebsch_gordan(1, -1, 1, 1, 0, 0) == Surd.root(Fraction(1, 2), -1)
    assert str(three_j(2, 2, 4, 0, 0, 0)) == "√30/15"
    assert six_j(2, 2, 2, 2, 2, 2) == Fraction(1, 6)
    assert str(six_j(1, 1, 2, 1, 1, 0)) == "1/2"
    assert nine_j(2, 2, 2, 2, 2, 2, 2, 2, 2) == 0
    assert theta(2, 2, 2) == 3
    assert theta(2, 2, 2).denominator == 1


def test_closed_diagrams_are_rational_after_theta() -> None:
    for a, b, c, d, e, f in product(range(4), repeat=6):
        value = six_j(a, b, c, d, e, f)
        thetas = theta(a, b, c) * theta(a, e, f) * theta(d, b, f) * theta(d, e, c)
        assert (value * Surd.root(thetas)).is_rational
        assert bool(thetas) == all((triangle(a, b, c), triangle(a, e, f), triangle(d, b, f), triangle(d, e, c)))


def test_orthogonality_of_large_six_j() -> None:
    a = b = c = d = 61
    terms = [six_j(a, b, x, c, d, 60) ** 2 * (x + 1) for x in range(0, 123, 2)]
    assert sum(terms, ZERO) * 61 == ONE


def test_spin_500() -> None:
    start = process_time()
    a = 1000
    value = six_j(a, a, a, a, a, a)
    assert float(value) == pytest.approx(-1.2447454695553812e-05, rel=1e-14)
    assert six_j(a, a, 0, a, a, a) == Surd.of(Fraction(1 if a % 4 == 0 else -1, a + 1)) * (-1) ** (a // 2)
    assert three_j(a, a, 0, 4, -4, 0) == Surd.root(Fraction(1, a + 1), (-1) ** ((a - 4) // 2))
    assert three_j(a, a, a, 0, 0, 0) != 0
    assert process_time() - start < 2


def test_every_six_j_to_spin_six() -> None:
    start, count, top = process_time(), 0, 12
    for a in range(top + 1):
        for b, c in [(one, two) for one in range(a + 1) for two in range(a - one, one + 1, 2)]:
            for d, e in product(range(top + 1), repeat=2):
                if (c + d + e) % 2 == 0 and abs(d - e) <= c <= d + e:
                    for f in range(max(abs(a - e), abs(b - d)), min(top, a + e, b + d) + 1, 2):
                        count += bool(six_j(a, b, c, d, e, f))
    assert count > 20_000
    assert process_time() - start < 5


def test_contract() -> None:
    with pytest.raises(ValueError, match="negative"):
        three_j(-2, 2, 2, 0, 0, 0)
    with pytest.raises(ValueError, match="negative"):
        six_j(2, 2, 2, 2, 2, -1)
    with pytest.raises(ValueError, match="negative"):
        nine_j(2, 2, 2, 2, 2, 2, 2, 2, -2)
    with pytest.raises(ValueError, match="negative"):
        triangle(1, 1, -2)
    assert three_j(2, 2, 6, 0, 0, 0) == three_j(2, 2, 2, 4, -4, 0) == three_j(2, 2, 2, 1, -1, 0) == 0
    assert three_j(1, 1, 1, 1, -1, 0) == six_j(1, 1, 1, 1, 1, 1) == theta(1, 1, 1) == 0
    huge = 2 * 10**9
    assert six_j(huge, 2, 2, 2, 2, 2) == 0
    assert six_j(huge, huge, 2, huge, huge, 0) == Surd.of(Fraction(-1, huge + 1))
    with pytest.raises(OverflowError):
        six_j(huge, huge, 2, huge, huge, 2)
    with pytest.raises(OverflowError):
        three_j(LABEL_LIMIT + 2, LABEL_LIMIT + 2, 2, 0, 0, 0)

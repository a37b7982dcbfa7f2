"""The symbols by their public names: the tables of docs/symbols.md, sympy, and what is no spin."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.physics import wigner as theirs

import fusionc

PAGE = (Path(__file__).parent.parent / "docs" / "symbols.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)\((.*)\)` \| (-?[0-9√][^ |]*) \|$", PAGE, re.MULTILINE)
SYMBOLS = ("wigner_3j", "wigner_6j", "wigner_9j", "clebsch_gordan", "racah_w", "gaunt", "f_symbol")


def labels_of(text: str) -> list[Fraction]:
    return [Fraction(word.strip(' "')) for word in text.split(",")]


def by_sympy(name: str, labels: list[Fraction]) -> sympy.Expr:
    numbers = [sympy.Rational(label.numerator, label.denominator) for label in labels]
    if name == "f_symbol":
        a, b, c, d, e, f = numbers
        return (-1) ** (a + b + c + d) * sympy.sqrt((2 * e + 1) * (2 * f + 1)) * theirs.wigner_6j(a, b, e, c, d, f)
    return getattr(theirs, {"racah_w": "racah"}.get(name, name))(*numbers)


@pytest.mark.parametrize(("name", "labels", "value"), ROWS)
def test_the_tables_of_the_page(name, labels, value):
    found = getattr(fusionc, name)(*labels_of(labels))
    assert str(found) == value
    assert sympy.simplify(found.sympy() - by_sympy(name, labels_of(labels))) == 0


def test_the_page_has_a_table_for_every_symbol():
    assert {name for name, _, _ in ROWS} == set(SYMBOLS)
    assert set(SYMBOLS) <= set(fusionc.__all__)


spins = st.integers(0, 5).map(lambda twice: Fraction(twice, 2))


@given(st.lists(spins, min_size=6, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_random_symbols_are_sympys(labels, rng):
    def allowed(a, b):
        return rng.choice([abs(a - b) + k for k in range(int(a + b - abs(a - b)) + 1)])

    a, b, d = labels[:3]
    c, e = allowed(a, b), labels[4]
    f = allowed(d, b)
    choices = [
        x
        for x in (Fraction(k, 2) for k in range(14))
        if all(abs(p - q) <= x <= p + q and (p + q + x).denominator == 1 for p, q in ((a, f), (d, c)))
    ]
    e = choices[0] if choices else None
    if e is not None:
        assert sympy.sympify(fusionc.wigner_6j(a, b, c, d, e, f)) == theirs.wigner_6j(a, b, c, d, e, f)
        assert sympy.sympify(fusionc.racah_w(a, b, e, d, c, f)) == sympy.sympify(
            fusionc.wigner_6j(a, b, c, d, e, f)
        ) * (-1) ** int(a + b + e + d)
    m1, m2 = (rng.choice([-j + k for k in range(int(2 * j) + 1)]) for j in (a, b))
    if abs(m1 + m2) <= c:
        assert sympy.sympify(fusionc.clebsch_gordan(a, b, c, m1, m2, m1 + m2)) == theirs.clebsch_gordan(
            a, b, c, m1, m2, m1 + m2
        )
        assert sympy.sympify(fusionc.wigner_3j(a, b, c, m1, m2, -m1 - m2)) == theirs.wigner_3j(
            a, b, c, m1, m2, -m1 - m2
        )


HALVES = ["1/2", " 1/2 ", 0.5, "0.5", Fraction(1, 2), Decimal("0.5"), sympy.Rational(1, 2), np.float32(0.5)]
ONES = [1, 1.0, "1", Fraction(1), sympy.Integer(1), np.int64(1), np.float64(1), np.array(1)]


@pytest.mark.parametrize("half", HALVES, ids=repr)
@pytest.mark.parametrize("one", [1, np.int64(1), "1"], ids=repr)
def test_numbers_of_every_kind(half, one):
    found = fusionc.clebsch_gordan(half, half, one, half, half, one)
    assert found == 1
    assert type(found) is type(fusionc.wigner_6j(1, 1, 1, 1, 1, 1))


@pytest.mark.parametrize("one", ONES, ids=repr)
def test_integers_of_every_kind(one):
    assert str(fusionc.wigner_6j(one, one, one, one, one, one)) == "1/6"


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ((0.3, 1, 1, 0, 0, 0), ValueError, "j1 = 0.3 is no spin, near 1/2"),
        ((1, 1, 1, 2, 0, 0), ValueError, "m1 = 2 is no projection of the spin 1: it runs from -1 to 1"),
        ((1, 1, 1, 0, 0.5, 0), ValueError, "m2 = 1/2 is no projection"),
        (("1/2", 1, "1/2", 0, 0, 0), ValueError, "m1 = 0 is no projection of the spin 1/2"),
        (("x", 1, 1, 0, 0, 0), ValueError, "write an integer or a half"),
        ((-1, 1, 1, 0, 0, 0), ValueError, "write 1"),
        ((math.nan, 1, 1, 0, 0, 0), ValueError, "no spin"),
        ((math.inf, 1, 1, 0, 0, 0), ValueError, "no spin"),
        ((None, 1, 1, 0, 0, 0), TypeError, "not NoneType"),
        ((1j, 1, 1, 0, 0, 0), TypeError, "not complex"),
    ],
)
def test_what_is_no_spin(labels, error, words):
    with pytest.raises(error, match=re.escape(words)):
        fusionc.wigner_3j(*labels)


def test_rules_give_zero_and_half_integers_no_harmonics():
    assert fusionc.wigner_3j(1, 1, 3, 0, 0, 0) == 0
    assert fusionc.wigner_3j(1, 1, 1, 1, 1, 0) == 0
    assert fusionc.wigner_6j(1, 1, "1/2", 1, 1, 1) == 0
    assert fusionc.gaunt(1, 1, 1, 0, 0, 0) == 0
    assert str(fusionc.gaunt(1, 1, 1, 0, 0, 0)) == "0"
    assert fusionc.f_symbol(1, 1, 1, 1, 3, 1) == 0
    with pytest.raises(ValueError, match="no degree of a spherical harmonic"):
        fusionc.gaunt("1/2", "1/2", 0, "1/2", "1/2", 0)


def test_gaunt_coefficients_have_digits():
    found = fusionc.gaunt(1000, 1000, 1200, 9, 3, -12)
    assert found.digits(18) == "0.00689500421922113448"  # sympy's manual
    two = fusionc.gaunt(2, 2, 2, 0, 0, 0)
    assert float(two) == float(sympy.sqrt(5) / (7 * sympy.sqrt(sympy.pi)))
    assert Decimal(two.digits(60)) == Decimal(str(sympy.N(sympy.sqrt(5 / sympy.pi) / 7, 60)))
    assert two._repr_latex_() == r"$\frac{\sqrt{5}}{7}\,\pi^{-1/2}$"
    assert -two * 7 / 2 + two - two == two * Fraction(-7, 2)


def test_symbols_are_imported_when_they_are_asked_for():
    code = (
        "import sys, fusionc; assert 'fusionc.symbols' not in sys.modules; "
        "fusionc.gaunt; assert 'fusionc.symbols' in sys.modules; assert 'fusionc.algebra.over_root_pi' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="wigner_12j"):
        fusionc.wigner_12j  # noqa: B018


@pytest.mark.parametrize("text", ["1e999999999", "-1E-999999999", "1" * 5000, "1/0", "", "1e", "e5"])
def test_texts_that_are_no_spin_cost_nothing(text):
    with pytest.raises(ValueError, match="write an integer or a half") as caught:
        fusionc.wigner_3j(text, 1, 0, 0, 0, 0)
    assert len(str(caught.value)) < 200


def test_texts_with_spaces_and_with_a_minus_sign():
    assert fusionc.clebsch_gordan(" 1 / 2", "1/2", 0, "1/2", "\u22121 / 2", 0) == fusionc.clebsch_gordan(
        "1/2", "1/2", 0, "1/2", "-1/2", 0
    )


def test_numbers_over_root_pi_add_to_their_like_only():
    one, root = fusionc.gaunt(2, 2, 2, 0, 0, 0), fusionc.wigner_3j(1, 1, 2, 0, 0, 0)
    assert sum([one, one]) == 2 * one == one + one
    assert root * one == one * root
    for wrong in (lambda: one + 1, lambda: 1 + one, lambda: root - one, lambda: one * one):
        with pytest.raises(TypeError, match="sympy"):
            wrong()


def test_exact_numbers_are_ordered_formatted_and_mix_with_integers_of_numpy():
    root = fusionc.wigner_3j(1, 1, 2, 0, 0, 0)
    assert sorted([root, -root, root / 2]) == [-root, root / 2, root]
    assert root < 1 <= 3 * root
    assert root * np.int64(2) == np.int64(2) * root == 2 * root
    assert (f"{root:.3f}", f"{root:>8}", f"{fusionc.gaunt(2, 2, 2, 0, 0, 0):.2e}") == ("0.365", "  √30/15", "1.80e-01")
    with pytest.raises(TypeError, match="takes an integer, such as 30, not float"):
        root.digits(2.0)

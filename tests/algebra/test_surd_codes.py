"""Exact numbers by their codes: the same arithmetic, the same numbers."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from fusionc.algebra.surd_codes import UNIT_CODES, ZERO_CODE, Codes
from fusionc.algebra.surds import Surd

TERMS = st.tuples(st.integers(1, 12), st.fractions(min_value=-3, max_value=3, max_denominator=4))
NUMBERS = st.lists(TERMS, max_size=2).map(lambda terms: sum((c * Surd.root(r) for r, c in terms), Surd()))


@given(numbers=st.lists(NUMBERS, min_size=2, max_size=6))
def test_codes_compute_as_the_numbers_do(numbers):
    codes = Codes()
    for one in numbers:
        code = codes.of(one)
        assert (code == ZERO_CODE) == (one == 0)
        assert codes.of(one + 0) == code
        for two in numbers:
            other = codes.of(two)
            assert (code == other) == (one == two)
            assert codes[codes.times(code, other)] == codes.product(one, two) == one * two
            assert codes[codes.plus(code, other)] == one + two
            assert (codes.plus(code, other) == ZERO_CODE) == (one + two == 0)
        if one:
            assert codes[code] == one
            assert codes[code ^ 1] == -one
            assert (code & 1) == (one.sign() < 0)
            assert (code < UNIT_CODES) == (one in (1, -1)) == one.is_unit


def test_codes_hold_few_numbers():
    codes = Codes()
    assert [codes.of(Surd.of(1)), codes.of(Surd.of(-1)), codes.of(Surd())] == [0, 1, ZERO_CODE]
    assert codes.of(Surd.root(Fraction(3, 4), -1)) == 3
    assert codes.of(Surd.root(Fraction(3, 4))) == 2

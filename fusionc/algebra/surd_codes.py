"""Exact numbers as small integers, where many are compared up to sign and few are different."""

from __future__ import annotations

from fusionc.algebra.surds import ONE, ZERO, Surd

ZERO_CODE = -1
UNIT_CODES = 2
"""Codes below this one are 1 and -1."""


class Codes:
    """Codes 2n and 2n + 1 are a positive number and its negative: `code ^ 1` negates, `code & 1` asks for the sign.
    Codes 0 and 1 are 1 and -1."""

    def __init__(self) -> None:
        self._values: list[Surd] = []
        self._known: dict[Surd, int] = {}
        self._products: dict[tuple[int, int], int] = {}
        self.of(ONE)

    def of(self, value: Surd) -> int:
        """The code of a number; ZERO_CODE for zero."""
        found = self._known.get(value)
        if found is not None:
            return found
        sign = value.sign()
        if sign == 0:
            return ZERO_CODE
        positive = len(self._values)
        for one in (value, -value) if sign > 0 else (-value, value):
            self._known[one] = len(self._values)
            self._values.append(one)
        return positive if sign > 0 else positive ^ 1

    def __getitem__(self, code: int) -> Surd:
        return self._values[code] if code >= 0 else ZERO

    def times(self, one: int, two: int) -> int:
        """The code of a product."""
        if one == ZERO_CODE or two == ZERO_CODE:
            return ZERO_CODE
        if two < UNIT_CODES:
            return one ^ two
        key = (one & ~1, two & ~1)
        found = self._products.get(key)
        if found is None:
            found = self._products[key] = self.of(self[key[0]] * self[key[1]])
        return found ^ ((one ^ two) & 1)

    def product(self, one: Surd, two: Surd) -> Surd:
        """The product of two numbers, computed once."""
        return self[self.times(self.of(one), self.of(two))]

    def plus(self, one: int, two: int) -> int:
        """The code of a sum."""
        if one == ZERO_CODE or two == ZERO_CODE:
            return two if one == ZERO_CODE else one
        return ZERO_CODE if one ^ two == 1 else self.of(self[one] + self[two])

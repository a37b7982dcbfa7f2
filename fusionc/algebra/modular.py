"""Exact numbers in a finite field in which the square roots that occur exist.

Sending each sqrt(q), q a prime, to a fixed root of q in the field is a ring homomorphism from the sums of square
roots whose denominators p does not divide: sums and products may be taken before or after. So a rank in the field
never exceeds the true rank.

Modulo a prime p the roots of a few primes exist, if p is searched for. In the field of p^2 elements every integer has
a square root, since each is a square modulo p or n times one, for a fixed non-square n: there spins may be large, at
about four times the price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeAlias

from fusionc.algebra.integers import is_prime, prime_divisors, square_free
from fusionc.algebra.surds import Surd
from fusionc.algebra.tensors import ExactTensor
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

PRIME_BOUND = 1 << 31
"""Residues stay below this bound, so that a product of two fits into an int64."""

_CHUNK = 1 << 16

MOST_ROOTS = 18
"""So many primes have roots modulo one prime below the bound; each prime more doubles the search."""


Residues: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True)
class PrimeField:
    """The integers modulo the prime ``p``, p = 1 mod 8, so that -1 and 2 always have square roots.

    The root of a prime is the smaller of the two; roots of other integers are products of those, so that
    sqrt(6) = sqrt(2) sqrt(3) and sqrt(-2) = sqrt(-1) sqrt(2) hold in the field.
    """

    p: int

    def __post_init__(self) -> None:
        if self.p % 8 != 1 or not is_prime(self.p):
            raise ValueError(f"{self.p} is not a prime that leaves 1 modulo 8")

    def sqrt(self, number: int) -> int:
        """The chosen square root of an integer. Raises ValueError when a prime factor of it has none."""
        if number == 0:
            return 0
        square, free = square_free(abs(number))
        root = square if number > 0 else square * _prime_root(self.p, -1)
        for prime in prime_divisors(free):
            root = root * _prime_root(self.p, prime) % self.p
        return root % self.p

    def of(self, value: Surd) -> int:
        """The residue of an exact number, in 0 … p-1; ValueError where a root or an inverse is lacking."""
        total = 0
        for radicand, coefficient in value.terms:
            if coefficient.denominator % self.p == 0:
                raise ValueError(f"{value} has no residue modulo {self.p}: its denominator is divisible by it")
            inverse = pow(coefficient.denominator, -1, self.p)
            total += coefficient.numerator * inverse % self.p * self._free_root(radicand)
        return total % self.p

    def array(self, tensor: ExactTensor) -> NDArray[np.int64]:
        """The residues of a tensor's entries as a new dense int64 array."""
        array = np.zeros(tensor.shape, dtype=np.int64)
        for index, value in tensor.entries:
            array[index] = self.of(value)
        return array

    def _free_root(self, radicand: int) -> int:
        return _free_root(self.p, radicand)

    # -- arrays of residues ----------------------------------------------------------------------------------

    def elements(self, values: Iterable[Surd]) -> Residues:
        """The residues of numbers, as a vector."""
        return np.array([self.of(value) for value in values], dtype=np.int64)

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Residues:
        """Random elements."""
        return rng.integers(0, self.p, shape, dtype=np.int64)

    def times(self, one: Residues, two: Residues) -> Residues:
        """Elementwise products of arrays that broadcast."""
        return one * two % self.p

    def inverse(self, element: Residues) -> Residues:
        """One over a single element that is not zero."""
        return np.asarray(pow(int(element), -1, self.p), dtype=np.int64)

    def nonzero(self, array: Residues) -> NDArray[np.bool_]:
        """Which elements are not zero."""
        return np.asarray(array != 0, dtype=np.bool_)


@dataclass(frozen=True)
class QuadraticField:
    """The field of p^2 elements a + b sqrt(n), n the smallest number that is no square modulo ``p``.

    Arrays of its elements have a last axis of two more, for a and b.
    """

    p: int

    def __post_init__(self) -> None:
        if self.p % 8 != 1 or not is_prime(self.p):
            raise ValueError(f"{self.p} is not a prime that leaves 1 modulo 8")

    @cached_property
    def n(self) -> int:
        return _nonsquare(self.p)

    def of(self, value: Surd) -> tuple[int, int]:
        """The element of an exact number; ValueError where an inverse is lacking."""
        total = [0, 0]
        for radicand, coefficient in value.terms:
            if coefficient.denominator % self.p == 0:
                raise ValueError(f"{value} has no residue modulo {self.p}: its denominator is divisible by it")
            root, part = _root_or_twisted_root(self.p, self.n, radicand)
            inverse = pow(coefficient.denominator, -1, self.p)
            total[part] += coefficient.numerator * inverse % self.p * root
        return total[0] % self.p, total[1] % self.p

    def elements(self, values: Iterable[Surd]) -> Residues:
        """The elements of numbers, as a vector: shape (number, 2)."""
        return np.array([self.of(value) for value in values], dtype=np.int64).reshape(-1, 2)

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Residues:
        """Random elements: an array of that shape, and the axis of two."""
        return rng.integers(0, self.p, (*shape, 2), dtype=np.int64)

    def times(self, one: Residues, two: Residues) -> Residues:
        """Elementwise products of arrays that broadcast."""
        p, (a, b), (c, d) = self.p, np.moveaxis(one, -1, 0), np.moveaxis(two, -1, 0)
        return np.stack([(a * c % p + self.n * (b * d % p)) % p, (a * d % p + b * c % p) % p], axis=-1)

    def inverse(self, element: Residues) -> Residues:
        """One over a single element that is not zero: (a - b sqrt(n)) / (a^2 - n b^2)."""
        a, b = int(element[0]), int(element[1])
        norm = pow(a * a - self.n * b * b, -1, self.p)
        return np.array([a * norm % self.p, -b * norm % self.p], dtype=np.int64)

    def nonzero(self, array: Residues) -> NDArray[np.bool_]:
        """Which elements are not zero."""
        return np.asarray(np.any(array, axis=-1), dtype=np.bool_)


Field = PrimeField | QuadraticField


def radicand_primes(tensor: ExactTensor | Surd) -> tuple[int, ...]:
    """The primes whose square roots occur in a tensor or a number, ascending."""
    values = (tensor,) if isinstance(tensor, Surd) else (value for _, value in tensor.entries)
    radicands = {radicand for value in values for radicand, _ in value.terms}
    return tuple(sorted({prime for radicand in radicands for prime in prime_divisors(radicand)}))


def field_for(primes_needed: Iterable[int]) -> Field:
    """The largest p < 2**31 modulo which every given prime has a square root (-1 and 2 always have one); where they are
    more than `MOST_ROOTS`, the field of p^2 elements for the largest p, in which all have.

    Raises ValueError for a number that is no prime (nor -1).
    """
    wanted = tuple(sorted(set(primes_needed) - {-1, 2}))
    for number in wanted:
        if not is_prime(number):
            raise ValueError(f"{number} is not a prime")
    if len(wanted) > MOST_ROOTS or any(prime >= PRIME_BOUND for prime in wanted):
        return QuadraticField(_search(()).p)
    return _search(wanted)


@lru_cache(maxsize=256)
def _search(wanted: tuple[int, ...]) -> PrimeField:
    """Sieve downwards: for p = 1 mod 4, q is a square modulo p exactly when p is one modulo q (Gauss)."""
    small = [prime for prime in wanted if prime < _CHUNK]
    tables = [(prime, _squares(prime)) for prime in small]
    highest = PRIME_BOUND // 8 - 1
    for start in range(highest, 0, -_CHUNK):
        candidates = 8 * np.arange(start, max(0, start - _CHUNK), -1, dtype=np.int64) + 1
        for prime, squares in tables:
            candidates = candidates[squares[candidates % prime]]
        for candidate in candidates:
            p = int(candidate)
            if is_prime(p) and all(pow(prime, p // 2, p) == 1 for prime in wanted):
                return PrimeField(p)
    raise ValueError(f"no prime below {PRIME_BOUND} has square roots of all of {wanted}")


def _squares(prime: int) -> NDArray[np.bool_]:
    """Which residues modulo an odd prime are nonzero squares."""
    table = np.zeros(prime, dtype=np.bool_)
    table[np.arange(1, prime, dtype=np.int64) ** 2 % prime] = True
    return table


@lru_cache(maxsize=1 << 14)
def _free_root(p: int, radicand: int) -> int:
    root = 1
    for prime in prime_divisors(radicand):
        root = root * _prime_root(p, prime) % p
    return root


@lru_cache(maxsize=1 << 12)
def _prime_root(p: int, number: int) -> int:
    """The smaller square root of a prime, or of -1, modulo p (Tonelli 1891, Shanks 1973)."""
    value = number % p
    if pow(value, p // 2, p) != 1:
        raise ValueError(f"{number} has no square root modulo {p}")
    odd, twos = p - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    nonsquare = _nonsquare(p)
    root, rest, twist = pow(value, (odd + 1) // 2, p), pow(value, odd, p), pow(nonsquare, odd, p)
    while rest != 1:
        order, power = 0, rest
        while power != 1:
            power, order = power * power % p, order + 1
        step = pow(twist, 1 << (twos - order - 1), p)
        root, twist, twos = root * step % p, step * step % p, order
        rest = rest * twist % p
    return min(root, p - root)


@lru_cache(maxsize=1 << 8)
def _nonsquare(p: int) -> int:
    """The smallest number that has no square root modulo p."""
    return next(candidate for candidate in range(2, p) if pow(candidate, p // 2, p) != 1)


@lru_cache(maxsize=1 << 16)
def _root_or_twisted_root(p: int, n: int, radicand: int) -> tuple[int, int]:
    """The square root of a square-free number in the field of p^2 elements: (r, 0) for r, (r, 1) for r sqrt(n)."""
    root, part = 1, 0
    for prime in prime_divisors(radicand):
        is_square = pow(prime, p // 2, p) == 1
        root = root * (_prime_root(p, prime) if is_square else _twisted_root(p, n, prime)) % p
        if not is_square:
            root, part = (root * n % p, 0) if part else (root, 1)
    return root, part


@lru_cache(maxsize=1 << 12)
def _twisted_root(p: int, n: int, prime: int) -> int:
    """The r with prime = r^2 n modulo p, where neither has a root: their quotient has one."""
    return _prime_root(p, prime * pow(n, -1, p) % p)

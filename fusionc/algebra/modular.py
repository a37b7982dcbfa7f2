"""Exact numbers modulo a prime in which the square roots that occur exist.

Sending each sqrt(q), q a prime, to a fixed root of q modulo p is a ring homomorphism from the sums of square
roots whose denominators p does not divide: sums and products may be taken before or after. So a rank modulo p
never exceeds the true rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

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


def radicand_primes(tensor: ExactTensor | Surd) -> tuple[int, ...]:
    """The primes whose square roots occur in a tensor or a number, ascending."""
    values = (tensor,) if isinstance(tensor, Surd) else (value for _, value in tensor.entries)
    radicands = {radicand for value in values for radicand, _ in value.terms}
    return tuple(sorted({prime for radicand in radicands for prime in prime_divisors(radicand)}))


def field_for(primes_needed: Iterable[int]) -> PrimeField:
    """The largest p < 2**31 modulo which every given prime has a square root (-1 and 2 always have one).

    Raises ValueError for a number that is no prime (nor -1), and when there are too many of them.
    """
    wanted = tuple(sorted(set(primes_needed) - {-1, 2}))
    for number in wanted:
        if not is_prime(number):
            raise ValueError(f"{number} is not a prime")
    return _search(wanted)


@lru_cache(maxsize=256)
def _search(wanted: tuple[int, ...]) -> PrimeField:
    """Sieve downwards: for p = 1 mod 4, q is a square modulo p exactly when p is one modulo q (Gauss)."""
    if not all(prime < PRIME_BOUND for prime in wanted):
        raise ValueError(f"no prime below {PRIME_BOUND} is asked for roots of {wanted[-1]}")
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
    nonsquare = next(candidate for candidate in range(2, p) if pow(candidate, p // 2, p) != 1)
    root, rest, twist = pow(value, (odd + 1) // 2, p), pow(value, odd, p), pow(nonsquare, odd, p)
    while rest != 1:
        order, power = 0, rest
        while power != 1:
            power, order = power * power % p, order + 1
        step = pow(twist, 1 << (twos - order - 1), p)
        root, twist, twos = root * step % p, step * step % p, order
        rest = rest * twist % p
    return min(root, p - root)

"""Integer arithmetic that the exact numbers stand on: primes, factorings, square-free parts."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from math import isqrt

_SMALL_PRIMES: list[int] = [2, 3, 5, 7, 11, 13]
_FEW = 1000
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def primes_to(bound: int) -> list[int]:
    """All primes up to and including ``bound``, ascending. The sieve is kept and grown by doubling."""
    if bound > _SMALL_PRIMES[-1]:
        _grow_primes(bound)
    return _SMALL_PRIMES[: bisect_right(_SMALL_PRIMES, bound)]


def _grow_primes(bound: int) -> None:
    size = max(2 * _SMALL_PRIMES[-1], bound + 1, 1024)
    sieve = bytearray([1]) * (size + 1)
    sieve[0:2] = b"\0\0"
    for factor in range(2, isqrt(size) + 1):
        if sieve[factor]:
            sieve[factor * factor :: factor] = bytes(len(range(factor * factor, size + 1, factor)))
    _SMALL_PRIMES[:] = [number for number in range(size + 1) if sieve[number]]


def is_prime(number: int) -> bool:
    """Miller-Rabin with the first twelve primes as witnesses: a proof below 3.1e23 (Sorenson, Webster 2017).

    Beyond that no composite is known to pass that any caller would mistake: they ask for square-free parts,
    and the square of a prime passes only if the prime is a Wieferich prime to all twelve bases.
    """
    if number < 2:
        return False
    for prime in _WITNESSES:
        if number % prime == 0:
            return number == prime
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(number, witness, odd, twos) for witness in _WITNESSES)


def _passes(number: int, witness: int, odd: int, twos: int) -> bool:
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


@lru_cache(maxsize=1 << 14)
def square_free(number: int) -> tuple[int, int]:
    """Write a positive integer as ``s**2 * r`` with r square-free; returns ``(s, r)``.

    Trial division up to the cube root of what is left: that is then a prime, a product of two, or a square.
    """
    if number < 1:
        raise ValueError(f"a square-free part is defined for positive integers, not for {number}")
    if is_prime(number):
        return 1, number
    square, free, rest = 1, 1, number
    for prime in _divisors_to_try(number):
        if prime * prime * prime > rest:
            break
        exponent = 0
        while rest % prime == 0:
            rest, exponent = rest // prime, exponent + 1
        if exponent:
            square *= prime ** (exponent // 2)
            free *= prime ** (exponent % 2)
            if is_prime(rest):
                break
    root = isqrt(rest)
    if root * root == rest:
        return square * root, free
    return square, free * rest


def prime_divisors(number: int) -> tuple[int, ...]:
    """The distinct primes that divide a positive integer, ascending, by trial division."""
    found: list[int] = []
    rest = number
    for prime in primes_to(_FEW):
        if prime * prime > rest:
            break
        if rest % prime == 0:
            found.append(prime)
            while rest % prime == 0:
                rest //= prime
    if rest == 1 or is_prime(rest):
        return tuple(found) if rest == 1 else (*found, rest)
    for prime in _divisors_to_try(rest):
        if prime * prime > rest:
            break
        if rest % prime == 0:
            found.append(prime)
            while rest % prime == 0:
                rest //= prime
            if is_prime(rest):
                break
    return tuple(found) if rest == 1 else (*found, rest)


def _divisors_to_try(number: int) -> range | list[int]:
    """The small primes where they reach far enough, else all numbers (a composite never divides the rest)."""
    first = primes_to(1000)
    if number < first[-1] ** 2:
        return first
    return range(2, isqrt(number) + 1)

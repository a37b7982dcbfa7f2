"""6j symbols without their square roots: integers, in which sums are done.

    {a b c; d e f} = W / sqrt(N(abc) N(aef) N(dbf) N(dec))

W and N are integers. In a formula every triad that holds a summation variable stands in two 6j symbols, for its vertex
was made once and used up once: under the sum only integers W and rationals 1/N are left, and all square roots belong
to the network's own vertices (Varshalovich 1988, 9.2.1; Johansson and Forssén, SIAM J. Sci. Comput. 38 (2016) A376).
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial

from fusionc.algebra.surds import Surd
from fusionc.algebra.wigner import times_root_of_factorials


def triad_number(a: int, b: int, c: int) -> int:
    """N(abc) = (p+q+r+1)! / (p! q! r!) with p = (a+b-c)/2 and so on; doubled spins. 0 if they cannot meet."""
    if (a + b + c) % 2 or not abs(a - b) <= c <= a + b:
        return 0
    return _triad_number((a + b - c) // 2, (b + c - a) // 2, (c + a - b) // 2)


@lru_cache(maxsize=1 << 14)
def _triad_number(p: int, q: int, r: int) -> int:
    return factorial(p + q + r + 1) // (factorial(p) * factorial(q) * factorial(r))


def inverse_root_of_triad(a: int, b: int, c: int) -> Surd:
    """1/sqrt(N(abc)) of doubled spins that can meet; N has thousands of digits, and is never factored."""
    p, q, r = (a + b - c) // 2, (b + c - a) // 2, (c + a - b) // 2
    return times_root_of_factorials(1, (p, q, r), (p + q + r + 1,))


def tetrahedron(a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    """W of {a b c; d e f}, doubled spins; 0 if a triad cannot meet."""
    triads = ((a, b, c), (a, e, f), (d, b, f), (d, e, c))
    for one, two, three in triads:
        if (one + two + three) % 2 or not abs(one - two) <= three <= one + two:
            return 0
    low = sorted(sum(triad) // 2 for triad in triads)
    high = sorted(((a + b + d + e) // 2, (a + c + d + f) // 2, (b + c + e + f) // 2))
    return _tetrahedron(*low, *high)


@lru_cache(maxsize=1 << 17)
def _tetrahedron(l1: int, l2: int, l3: int, l4: int, h1: int, h2: int, h3: int) -> int:
    """W = Σ_t (-1)^t (t+1)! / (Π_i (t-l_i)! Π_j (h_j-t)!): t+1 times a multinomial coefficient, so an integer."""
    term, left = l4 + 1, l4
    for part in (l4 - l1, l4 - l2, l4 - l3, h1 - l4, h2 - l4, h3 - l4):
        term *= comb(left, part)
        left -= part
    total = term
    for t in range(l4, h1):
        term = -term * (t + 2) * (h1 - t) * (h2 - t) * (h3 - t)
        term //= (t + 1 - l1) * (t + 1 - l2) * (t + 1 - l3) * (t + 1 - l4)
        total += term
    return -total if l4 % 2 else total

"""Wigner's 3j, 6j and 9j symbols as exact numbers.

All arguments are doubled. The contract of every symbol, decided once:

* a negative label (a doubled spin below zero) is a mistake: ValueError;
* labels that break a selection rule (triangle, half-integers, |m| <= j, sum of m) give the exact zero;
* a label above `LABEL_LIMIT` whose symbol is not zero is refused with OverflowError: its exact value would
  not fit.

Each symbol is brought to a canonical form under all its symmetries (Regge 1958, 1959), looked up, and
otherwise computed as Racah's single sum (Racah 1942; Varshalovich, Moskalev, Khersonskii 1988, 8.2 and 9.2)
in integers: the terms are products of binomials, as in Johansson and Forssén, SIAM J. Sci. Comput. 38 (2016)
A376, and each follows from the one before it. The square root in front is a quotient of factorials, whose
square-free parts are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from itertools import permutations
from math import comb, factorial, gcd
from operator import itemgetter

from fusionc.algebra.integers import primes_to
from fusionc.algebra.surds import ZERO, Surd

LABEL_LIMIT = 20_000
"""The largest doubled spin whose symbols are evaluated."""

_Square = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]


def triangle(a: int, b: int, c: int) -> bool:
    """Whether three doubled spins can meet: |a-b| <= c <= a+b, and their sum is an integer spin."""
    _refuse_negative(a, b, c)
    return (a + b + c) % 2 == 0 and abs(a - b) <= c <= a + b


def theta(a: int, b: int, c: int) -> Fraction:
    """The size |θ| of the theta net of three doubled spins; zero if they cannot meet.

    With p = (a+b-c)/2, q = (b+c-a)/2, r = (c+a-b)/2: |θ| = p! q! r! (p+q+r+1)! / ((p+q)! (q+r)! (p+r)!)
    (Kauffman, Lins 1994, at A = -1). The value of a closed diagram times sqrt(product of |θ| over its
    vertices) is rational.
    """
    if not triangle(a, b, c):
        return Fraction(0)
    _refuse_huge(a, b, c)
    p, q, r = (a + b - c) // 2, (b + c - a) // 2, (c + a - b) // 2
    above = factorial(p) * factorial(q) * factorial(r) * factorial(p + q + r + 1)
    return Fraction(above, factorial(p + q) * factorial(q + r) * factorial(p + r))


# -- 3j ------------------------------------------------------------------------------------------------------


def three_j(a: int, b: int, c: int, al: int, be: int, ga: int) -> Surd:
    """The 3j symbol (a b c; al be ga) of doubled spins a, b, c and doubled projections al, be, ga.

    Normalisation: the squares sum to one over all projections. Phases of Condon and Shortley.
    """
    _refuse_negative(a, b, c)
    if al + be + ga or (a + b + c) % 2 or not abs(a - b) <= c <= a + b:
        return ZERO
    if abs(al) > a or abs(be) > b or abs(ga) > c or (a + al) % 2 or (b + be) % 2:
        return ZERO
    _refuse_huge(a, b, c)
    square = (
        ((b + c - a) // 2, (a + c - b) // 2, (a + b - c) // 2),
        ((a - al) // 2, (b - be) // 2, (c - ga) // 2),
        ((a + al) // 2, (b + be) // 2, (c + ga) // 2),
    )
    key, odd = _canonical_square(square)
    value = _three_j_of_square(*key)
    return -value if odd and (a + b + c) // 2 % 2 else value


def clebsch_gordan(a: int, al: int, b: int, be: int, c: int, ga: int) -> Surd:
    """The Clebsch-Gordan coefficient <a al, b be | c ga>, all arguments doubled.

    <a al, b be | c ga> = (-1)^{a-b+ga} sqrt(2c+1) (a b c; al be -ga); an isometry from c into a x b.
    """
    symbol = three_j(a, b, c, al, be, -ga)
    if not symbol:
        return ZERO
    return symbol * Surd.root(c + 1, -1 if (a - b + ga) // 2 % 2 else 1)


def _canonical_square(square: _Square) -> tuple[tuple[int, int, int, int, int], bool]:
    """The key of Regge's square, its smallest entry first and its border sorted, and whether that was odd.

    The 3j symbol is unchanged by transposing the square, and takes the sign (-1)^{a+b+c} for each exchange of
    two rows or two columns (Regge 1958).
    """
    smallest = min(min(row) for row in square)
    at = next(row for row in range(3) if smallest in square[row])
    rows = [square[at], *square[:at], *square[at + 1 :]]
    odd = at == 1
    place = rows[0].index(smallest)
    odd ^= place == 1
    others = [column for column in range(3) if column != place]
    top = [rows[0][column] for column in others]
    side = [rows[1][place], rows[2][place]]
    inner = [[rows[1][column] for column in others], [rows[2][column] for column in others]]
    if sorted(side) < sorted(top):
        top, side = side, top
        inner = [[inner[0][0], inner[1][0]], [inner[0][1], inner[1][1]]]
    if top[0] > top[1]:
        top, inner, odd = top[::-1], [line[::-1] for line in inner], not odd
    if side[0] > side[1]:
        side, inner, odd = side[::-1], inner[::-1], not odd
    return (smallest, top[0], top[1], side[0], inner[0][0]), odd


@lru_cache(maxsize=1 << 16)
def _three_j_of_square(r00: int, r01: int, r02: int, r10: int, r11: int) -> Surd:
    """The 3j symbol of Regge's square, given by its first row and the first two entries of its second.

    (-1)^{r20-r11} sqrt(r1*! r2*! / (r00! r01! r02! (J+1)!)) sum_t (-1)^t C(r02,t) C(r01,r10-t) C(r00,r21-t)
    """
    total = r00 + r01 + r02
    r12, r20, r21 = total - r10 - r11, total - r00 - r10, total - r01 - r11
    r22 = total - r20 - r21
    first, last = max(0, r10 - r01, r21 - r00), min(r02, r10, r21)
    term = comb(r02, first) * comb(r01, r10 - first) * comb(r00, r21 - first)
    total_sum = term
    for t in range(first, last):
        term = -term * (r02 - t) * (r10 - t) * (r21 - t)
        term //= (t + 1) * (r01 - r10 + t + 1) * (r00 - r21 + t + 1)
        total_sum += term
    sign = -1 if (r20 - r11 + first) % 2 else 1
    return times_root_of_factorials(sign * total_sum, (r10, r11, r12, r20, r21, r22), (r00, r01, r02, total + 1))


# -- 6j ------------------------------------------------------------------------------------------------------


def six_j(a: int, b: int, c: int, d: int, e: int, f: int) -> Surd:
    """The 6j symbol {a b c; d e f} of doubled spins.

    Normalisation: sum_c (2c+1)(2f+1) {a b c; d e f}^2 = 1 over the doubled c that are admissible.
    """
    _refuse_negative(a, b, c, d, e, f)
    triads = ((a, b, c), (a, e, f), (d, b, f), (d, e, c))
    for one, two, three in triads:
        if (one + two + three) % 2 or not abs(one - two) <= three <= one + two:
            return ZERO
    low = sorted((one + two + three) // 2 for one, two, three in triads)
    if 0 in (a, b, c, d, e, f):
        return _six_j_with_zero(low)
    _refuse_huge(a, b, c, d, e, f)
    high = sorted(((a + b + d + e) // 2, (a + c + d + f) // 2, (b + c + e + f) // 2))
    return _six_j_of_sums(*low, *high)


def _six_j_with_zero(low: list[int]) -> Surd:
    """{a b x; b a 0} = (-1)^{a+b+x} / sqrt((2a+1)(2b+1)), of any size; its triads add up to 2a, 2b, a+b+x."""
    return Surd.root(Fraction(1, (low[0] + 1) * (low[1] + 1)), -1 if low[3] % 2 else 1)


@lru_cache(maxsize=1 << 17)
def _six_j_of_sums(l1: int, l2: int, l3: int, l4: int, h1: int, h2: int, h3: int) -> Surd:
    """The 6j symbol from the sums of its triads (ascending) and of its quadrangles (ascending).

    These seven numbers are all it depends on, and their permutations are its 144 symmetries (Regge 1959):
    sqrt(prod_ij (h_j-l_i)! / prod_i (l_i+1)!) sum_t (-1)^t (t+1)! / (prod_i (t-l_i)! prod_j (h_j-t)!)
    """
    term = comb(h1 - l1, l4 - l1) * comb(h2 - l2, l4 - l2) * comb(h3 - l3, l4 - l3)
    total = term
    for t in range(l4, h1):
        term = -term * (t + 2) * (h1 - t) * (h2 - t) * (h3 - t)
        term //= (t + 1 - l1) * (t + 1 - l2) * (t + 1 - l3) * (t + 1 - l4)
        total += term
    if not total:
        return ZERO
    above = (h1 - l2, h1 - l3, h1 - l4, h2 - l1, h2 - l3, h2 - l4, h3 - l1, h3 - l2, h3 - l4, l4 + 1)
    below = (h1 - l1, h2 - l2, h3 - l3, l1 + 1, l2 + 1, l3 + 1)
    return times_root_of_factorials(-total if l4 % 2 else total, above, below)


# -- 9j ------------------------------------------------------------------------------------------------------


def nine_j(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, i: int) -> Surd:
    """The 9j symbol {a b c; d e f; g h i} of doubled spins, rows first.

    = sum_x (-1)^{2x} (2x+1) {a d g; h i x} {b e h; d x f} {c f i; x a b}  (Varshalovich 1988, 10.2).
    """
    labels = (a, b, c, d, e, f, g, h, i)
    _refuse_negative(*labels)
    rows_and_columns = ((a, b, c), (d, e, f), (g, h, i), (a, d, g), (b, e, h), (c, f, i))
    if not all(triangle(*triad) for triad in rows_and_columns):
        return ZERO
    _refuse_huge(*labels)
    canonical, odd = min((arrange(labels), odd) for arrange, odd in _NINE_J_SYMMETRIES)
    value = _nine_j_sum(*canonical)
    return -value if odd and sum(labels) // 2 % 2 else value


def _nine_j_symmetries() -> tuple[tuple[Callable[[tuple[int, ...]], tuple[int, ...]], bool], ...]:
    """The 72 rearrangements of rows and columns, each with whether it takes the sign (-1)^{sum of labels}."""
    found: list[tuple[Callable[[tuple[int, ...]], tuple[int, ...]], bool]] = []
    odd_orders = {(0, 2, 1), (1, 0, 2), (2, 1, 0)}
    for rows in permutations(range(3)):
        for columns in permutations(range(3)):
            odd = (rows in odd_orders) != (columns in odd_orders)
            found.append((itemgetter(*[3 * row + column for row in rows for column in columns]), odd))
            found.append((itemgetter(*[3 * row + column for column in columns for row in rows]), odd))
    return tuple(found)


_NINE_J_SYMMETRIES = _nine_j_symmetries()


@lru_cache(maxsize=1 << 14)
def _nine_j_sum(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, i: int) -> Surd:
    total = ZERO
    first = max(abs(a - i), abs(h - d), abs(b - f))
    last = min(a + i, h + d, b + f)
    sign = -1 if first % 2 else 1
    for x in range(first, last + 1, 2):
        product = six_j(a, d, g, h, i, x) * six_j(b, e, h, d, x, f) * six_j(c, f, i, x, a, b)
        total = total + product * (sign * (x + 1))
    return total


# -- square roots of factorials ------------------------------------------------------------------------------


def times_root_of_factorials(factor: int, above: Iterable[int], below: Iterable[int]) -> Surd:
    """``factor * sqrt(product of above! / product of below!)`` for the numbers listed; nothing is factored."""
    if not factor:
        return ZERO
    denominator, radicand = 1, 1
    for number in above:
        outside, inside = _root_of_factorial(number)
        common = gcd(radicand, inside)
        factor *= outside * common
        radicand = (radicand // common) * (inside // common)
    for number in below:
        outside, inside = _root_of_factorial(number)
        common = gcd(radicand, inside)
        factor *= common
        denominator *= outside * inside
        radicand = (radicand // common) * (inside // common)
    return Surd(((radicand, Fraction(factor, denominator)),))


@lru_cache(maxsize=4096)
def _root_of_factorial(number: int) -> tuple[int, int]:
    """Integers (s, r), r square-free, with sqrt(number!) = s sqrt(r); prime exponents after Legendre."""
    outside, inside = 1, 1
    for prime in primes_to(number):
        exponent, power = 0, number
        while power:
            power //= prime
            exponent += power
        outside *= prime ** (exponent // 2)
        if exponent % 2:
            inside *= prime
    return outside, inside


def _refuse_negative(*labels: int) -> None:
    if min(labels) < 0:
        raise ValueError(f"a spin is never negative, but the doubled labels are {labels}")


def _refuse_huge(*labels: int) -> None:
    if max(labels) > LABEL_LIMIT:
        raise OverflowError(f"symbols are evaluated exactly up to spin {LABEL_LIMIT // 2}, not for {labels} (doubled)")

"""Irreps, what they couple to, and the tensors that couple them.

An irrep is (2j, parity): parity 1 or -1 in O(3), 0 in SO(3) and SU(2), which have none.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import factorial, sqrt

import numpy as np
import torch
from e3nn.o3 import wigner_3j

Irrep = tuple[int, int]


def trivial(group: str) -> Irrep:
    return (0, 1 if group == "O(3)" else 0)


def parse_irrep(group: str, text: str) -> Irrep:
    """`1o` in O(3), `1` in SO(3), `1/2` in SU(2)."""
    spin = Fraction(text.rstrip("eo"))
    parity = {"e": 1, "o": -1}.get(text[-1], 0)
    if (parity != 0) != (group == "O(3)") or (spin.denominator != 1 and group != "SU(2)"):
        raise ValueError(f"{text} is no irrep of {group}")
    return int(2 * spin), parity


def spherical(group: str, lmax: int) -> list[Irrep]:
    """0e + 1o + 2e + …: parity (-1)^l."""
    return [(2 * l, (-1) ** l if group == "O(3)" else 0) for l in range(lmax + 1)]  # noqa: E741


def dim(irrep: Irrep) -> int:
    return irrep[0] + 1


def couple(a: Irrep, b: Irrep) -> list[Irrep]:
    """All of |a - b| … a + b, each once."""
    return [(twice, a[1] * b[1]) for twice in range(abs(a[0] - b[0]), a[0] + b[0] + 1, 2)]


def by_spin(irrep: Irrep) -> tuple[int, bool]:
    """The order of internal edges: by l, `e` before `o`."""
    return irrep[0], irrep[1] == -1


def as_e3nn_sorts(irrep: Irrep) -> tuple[int, int]:
    """The order of `o3.Irreps.sort`, 0o 0e 1o 1e 2o 2e: by l, `o` before `e`."""
    return irrep


@cache
def clebsch_gordan(a: int, al: int, b: int, be: int, c: int, ga: int) -> float:
    """<a al, b be | c ga> by Racah's formula; all arguments are doubled."""
    if al + be != ga or not abs(a - b) <= c <= a + b or (a + b + c) % 2:
        return 0.0

    def f(twice: int) -> int:
        return factorial(twice // 2)

    square = Fraction((c + 1) * f(a + b - c) * f(a - b + c) * f(b + c - a), f(a + b + c + 2))
    square *= f(a + al) * f(a - al) * f(b + be) * f(b - be) * f(c + ga) * f(c - ga)
    total = Fraction(0)
    for k in range(0, a + b - c + 1, 2):
        parts = (k, a + b - c - k, a - al - k, b + be - k, c - b + al + k, c - a - be + k)
        if min(parts) >= 0:
            denominator = 1
            for part in parts:
                denominator *= f(part)
            total += Fraction((-1) ** (k // 2), denominator)
    return float(total) * sqrt(square)


@cache
def isometry(basis: str, a: Irrep, b: Irrep, c: Irrep) -> np.ndarray:
    """The isometric coupling tensor, shape (dim a, dim b, dim c): V V summed over a and b is the identity of c."""
    if basis == "real":
        with torch.no_grad():
            symbol = wigner_3j(a[0] // 2, b[0] // 2, c[0] // 2, dtype=torch.float64).numpy()
        return symbol * sqrt(dim(c))
    value = np.zeros((dim(a), dim(b), dim(c)))
    for i, al in enumerate(range(-a[0], a[0] + 1, 2)):
        for j, be in enumerate(range(-b[0], b[0] + 1, 2)):
            if abs(al + be) <= c[0]:
                value[i, j, (c[0] + al + be) // 2] = clebsch_gordan(a[0], al, b[0], be, c[0], al + be)
    return value


@cache
def vertex(basis: str, normalize: str, a: Irrep, b: Irrep, c: Irrep) -> np.ndarray:
    """The tensor of a vertex. `component` is the isometry, of norm sqrt(dim c); `norm` has the norm
    sqrt(dim a dim b), `none` the norm 1: e3nn's `irrep_normalization`."""
    norm = {"component": dim(c), "norm": dim(a) * dim(b), "none": 1}[normalize]
    return isometry(basis, a, b, c) * sqrt(norm / dim(c))


def pair(basis: str, normalize: str, irrep: Irrep, group: str) -> np.ndarray:
    """What `-> p q` makes and `p q ->` closes with, shape (dim, dim). It is scaled like the vertex of two edges into
    the trivial irrep: the invariant pair of norm one with `component` and with `none`."""
    return vertex(basis, normalize, irrep, irrep, trivial(group))[:, :, 0]

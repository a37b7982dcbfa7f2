"""The laws that make a value a group: any `Group` can be put through them with a few of its irreps.

Each law returns nothing or raises `LawBroken`. All but the last section decide exactly. Where a symbol has a
closed formula, its twin here is computed from the vertex tensors alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from fusionc.algebra.basis import Basis
from fusionc.algebra.elements import Element
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.tensors import ExactTensor, contract

NUMERICAL_ERROR = 1e-12
"""How far the matrices of group elements, which are floating point, may stray."""


class LawBroken(AssertionError):
    """A group breaks one of its laws."""


def check_group(group: Group, irreps: Sequence[Irrep], basis: Basis | None = None) -> None:
    """Every law, for all combinations of the given irreps."""
    for a in irreps:
        names_round_trip(group, a)
        unit_and_dual(group, a, basis)
        representations_multiply(group, a, basis)
    for a, b in product(irreps, repeat=2):
        dimensions(group, a, b)
        vertices_orthonormal(group, a, b, basis)
        vertices_complete(group, a, b, basis)
        vertices_invariant(group, a, b, basis)
        vertices_equivariant(group, a, b, basis)
        r_from_vertices(group, a, b, basis)
    for a, b, c in product(irreps, repeat=3):
        f_with_trivial(group, a, b, c)
        for j in _targets(group, a, b, c):
            f_from_vertices(group, a, b, c, j, basis)
            f_unitary(group, a, b, c, j)
            hexagon(group, a, b, c, j)
    for a, b, c, d in product(irreps, repeat=4):
        for e in irreps:
            pentagon(group, a, b, c, d, e)


# -- names and fusion ----------------------------------------------------------------------------------------


def names_round_trip(group: Group, a: Irrep) -> None:
    """parse(format(a)) = a."""
    _hold(group.parse(group.format(a)) == a, group, "the name of an irrep does not read back", a)


def dimensions(group: Group, a: Irrep, b: Irrep) -> None:
    """sum_c N(a b; c) dim c = dim a dim b; the product is sorted, commutes, and agrees with ``contains``."""
    parts = group.product(a, b)
    total = sum(copies * group.dim(c) for c, copies in parts)
    _hold(total == group.dim(a) * group.dim(b), group, "dimensions of a product do not add up", a, b)
    keys = [group.edge_key(c) for c, _ in parts]
    _hold(keys == sorted(set(keys)), group, "a product is not sorted", a, b)
    _hold(parts == group.product(b, a), group, "a product does not commute", a, b)
    for c, copies in parts:
        _hold(group.contains(a, b, c) == copies, group, "contains and product disagree", a, b, c)
        _hold(not group.violations(a, b, c), group, "an allowed vertex breaks a rule", a, b, c)


def unit_and_dual(group: Group, a: Irrep, basis: Basis | None = None) -> None:
    """a x 0 = a = 0 x a with the identity as vertex; a x dual(a) contains the trivial irrep once."""
    unit, size = group.trivial, group.dim(a)
    _hold(group.dim(unit) == 1 and group.product(a, unit) == ((a, 1),), group, "the unit does not act as one", a)
    identity = ExactTensor.identity(size)
    right = contract("aub->ab", group.vertex(a, unit, a, basis=basis))
    left = contract("uab->ab", group.vertex(unit, a, a, basis=basis))
    _hold(left == identity == right, group, "a vertex with the unit is not the identity", a)
    _hold(group.contains(a, group.dual(a), unit) == 1, group, "no invariant pair with the dual", a)
    _hold(group.dual(group.dual(a)) == a, group, "the dual of the dual is another irrep", a)


# -- vertices ------------------------------------------------------------------------------------------------


def vertices_orthonormal(group: Group, a: Irrep, b: Irrep, basis: Basis | None = None) -> None:
    """sum_ab V(a b; c) V(a b; c') = delta_cc' identity."""
    for (c, left), (d, right) in product(_vertices(group, a, b, basis), repeat=2):
        overlap = contract("abc,abd->cd", left, right)
        wanted = ExactTensor.identity(group.dim(c)) if left is right else ExactTensor(overlap.shape, ())
        _hold(overlap == wanted, group, "vertices are not orthonormal", a, b, c, d)


def vertices_complete(group: Group, a: Irrep, b: Irrep, basis: Basis | None = None) -> None:
    """sum_c V(a b; c) V(a b; c) = identity on a x b."""
    shape = (group.dim(a), group.dim(b), group.dim(a), group.dim(b))
    total = ExactTensor(shape, ())
    for _, vertex in _vertices(group, a, b, basis):
        total = total + contract("abc,xyc->abxy", vertex, vertex)
    identity = contract("ax,by->abxy", ExactTensor.identity(shape[0]), ExactTensor.identity(shape[1]))
    _hold(total == identity, group, "vertices are not complete", a, b)


def vertices_invariant(group: Group, a: Irrep, b: Irrep, basis: Basis | None = None) -> None:
    """V (X_a + X_b) = X_c V for every generator X, exactly."""
    for c, vertex in _vertices(group, a, b, basis):
        generators = (group.generators(irrep, basis) for irrep in (a, b, c))
        for on_a, on_b, on_c in zip(*generators, strict=True):
            before = contract("xbc,xa->abc", vertex, on_a) + contract("axc,xb->abc", vertex, on_b)
            _hold(before == contract("abx,cx->abc", vertex, on_c), group, "a vertex is not invariant", a, b, c)


# -- recoupling ----------------------------------------------------------------------------------------------


def f_symbol_of_vertices(
    group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep, x: Irrep, y: Irrep, basis: Basis | None = None
) -> Surd:
    """The F-symbol from first principles: the overlap of the two trees of vertices, divided by dim j.

    ::

        a b c          a b c
        \\ / /          \\ \\ /
         x /     =  F   \\ y
          |              |
          j              j
    """
    if not (group.contains(a, b, x) and group.contains(x, c, j)):
        return ZERO
    if not (group.contains(b, c, y) and group.contains(a, y, j)):
        return ZERO
    left = contract("abx,xcj->abcj", group.vertex(a, b, x, basis=basis), group.vertex(x, c, j, basis=basis))
    right = contract("bcy,ayj->abcj", group.vertex(b, c, y, basis=basis), group.vertex(a, y, j, basis=basis))
    return contract("abcj,abcj->", left, right).item() / group.dim(j)


def f_from_vertices(group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep, basis: Basis | None = None) -> None:
    """The formula of the F-symbol gives what the vertices give."""
    for x, y in product(_inner(group, a, b, c, j), _inner(group, b, c, a, j)):
        formula = group.f_symbol(a, b, c, j, x, y)
        found = f_symbol_of_vertices(group, a, b, c, j, x, y, basis)
        _hold(formula == found, group, f"F-symbol {formula}, but vertices give {found}", a, b, c, j, x, y)


def f_unitary(group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep) -> None:
    """sum_y F_xy F_x'y = delta_xx', and the matrix is square."""
    rows, columns = _inner(group, a, b, c, j), _inner(group, b, c, a, j)
    _hold(len(rows) == len(columns), group, "the F-matrix is not square", a, b, c, j)
    for one, two in product(rows, repeat=2):
        terms = [group.f_symbol(a, b, c, j, one, y) * group.f_symbol(a, b, c, j, two, y) for y in columns]
        wanted = ONE if one == two else ZERO
        _hold(sum(terms, ZERO) == wanted, group, "the F-matrix is not orthogonal", a, b, c, j, one, two)


def f_with_trivial(group: Group, a: Irrep, b: Irrep, c: Irrep) -> None:
    """F with the unit among a, b, c is one (the triangle law)."""
    if not group.contains(a, b, c):
        return
    unit = group.trivial
    _hold(group.f_symbol(a, unit, b, c, a, b) == ONE, group, "F with the unit in the middle is not one", a, b, c)
    _hold(group.f_symbol(unit, a, b, c, a, c) == ONE, group, "F with the unit first is not one", a, b, c)
    _hold(group.f_symbol(a, b, unit, c, c, b) == ONE, group, "F with the unit last is not one", a, b, c)


def pentagon(group: Group, a: Irrep, b: Irrep, c: Irrep, d: Irrep, e: Irrep) -> None:
    """F(p c d; e)_qr F(a b r; e)_ps = sum_t F(a b c; q)_pt F(a t d; e)_qs F(b c d; s)_tr.

    Both sides take (((a b)p c)q d)e to (a (b (c d)r)s)e  (Biedenharn 1953, Elliott 1953; Mac Lane 1963).
    """
    f = group.f_symbol
    for (p, _), (r, _) in product(group.product(a, b), group.product(c, d)):
        for q, s in product(_inner(group, p, c, d, e), _inner(group, b, r, a, e)):
            left = f(p, c, d, e, q, r) * f(a, b, r, e, p, s)
            right = ZERO
            for t, _ in group.product(b, c):
                right = right + f(a, b, c, q, p, t) * f(a, t, d, e, q, s) * f(b, c, d, s, t, r)
            _hold(left == right, group, "the pentagon does not close", a, b, c, d, e, p, q, r, s)


def hexagon(group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep) -> None:
    """sum_y F(a b c; j)_xy R(a y; j) F(b c a; j)_yz = R(a b; x) F(b a c; j)_xz R(a c; z).

    Both sides take ((a b)x c)j to (b (c a)z)j  (Racah 1942; Mac Lane 1963).
    """
    f, r = group.f_symbol, group.r_symbol
    for x, z in product(_inner(group, a, b, c, j), _inner(group, a, c, b, j)):
        left = ZERO
        for y in _inner(group, b, c, a, j):
            left = left + f(a, b, c, j, x, y) * r(a, y, j) * f(b, c, a, j, y, z)
        right = r(a, b, x) * f(b, a, c, j, x, z) * r(a, c, z)
        _hold(left == right, group, "the hexagon does not close", a, b, c, j, x, z)


def r_from_vertices(group: Group, a: Irrep, b: Irrep, basis: Basis | None = None) -> None:
    """V(b a; c) with its first slots exchanged = R V(a b; c), and R^2 = 1."""
    for c, vertex in _vertices(group, a, b, basis):
        exchanged = group.vertex(b, a, c, basis=basis).transposed((1, 0, 2))
        r = group.r_symbol(a, b, c)
        _hold(exchanged == vertex.scaled(r), group, "the R-symbol does not exchange the legs", a, b, c)
        _hold(r * r == ONE, group, "exchanging twice is not the identity", a, b, c)


# -- elements, in floating point -----------------------------------------------------------------------------


def representations_multiply(group: Group, a: Irrep, basis: Basis | None = None, seed: int = 0) -> None:
    """D(g) D(h) = D(g h), D(g) is unitary, D(1) = 1; for random elements and those with a name."""
    identity = np.eye(group.dim(a))
    for g, h in product(_elements(group, seed), repeat=2):
        on_g, on_h = group.representation(a, g, basis), group.representation(a, h, basis)
        _near(on_g @ on_h, group.representation(a, g * h, basis), group, "D(g) D(h) is not D(g h)", a)
        _near(on_g @ on_g.conj().T, identity, group, "D(g) is not unitary", a)
        _near(group.representation(a, g * g.inverse(), basis), identity, group, "D(1) is not the identity", a)


def vertices_equivariant(group: Group, a: Irrep, b: Irrep, basis: Basis | None = None, seed: int = 0) -> None:
    """V (D_a x D_b) = D_c V."""
    for g in _elements(group, seed):
        on_a, on_b = group.representation(a, g, basis), group.representation(b, g, basis)
        for c, exact in _vertices(group, a, b, basis):
            vertex = exact.to_numpy()
            before = np.einsum("xyc,xa,yb->abc", vertex, on_a, on_b)
            after = np.einsum("abx,cx->abc", vertex, group.representation(c, g, basis))
            _near(before, after, group, "a vertex is not equivariant", a, b, c)


# -- common --------------------------------------------------------------------------------------------------


def _vertices(group: Group, a: Irrep, b: Irrep, basis: Basis | None) -> list[tuple[Irrep, ExactTensor]]:
    parts = group.product(a, b)
    return [(c, group.vertex(a, b, c, copy, basis)) for c, copies in parts for copy in range(copies)]


def _inner(group: Group, a: Irrep, b: Irrep, c: Irrep, j: Irrep) -> list[Irrep]:
    """The x in a x b with j in x x c."""
    return [x for x, _ in group.product(a, b) if group.contains(x, c, j)]


def _targets(group: Group, a: Irrep, b: Irrep, c: Irrep) -> list[Irrep]:
    found = {j for x, _ in group.product(a, b) for j, _ in group.product(x, c)}
    return sorted(found, key=group.edge_key)


def _elements(group: Group, seed: int) -> Iterator[Element]:
    rng = np.random.default_rng(seed)
    yield from (group.random_element(rng) for _ in range(2))
    yield from group.elements.values()


def _near(one: np.ndarray, two: np.ndarray, group: Group, message: str, *irreps: Irrep) -> None:
    error = float(np.abs(one - two).max())
    _hold(error < NUMERICAL_ERROR, group, f"{message} (error {error:.1e})", *irreps)


def _hold(truth: bool, group: Group, message: str, *irreps: Irrep) -> None:
    if not truth:
        raise LawBroken(f"{group.name}: {message}: {', '.join(group.format(irrep) for irrep in irreps)}")

"""Recoupling against the tensors of the trees, exactly; and that deep trees are no trouble."""

from __future__ import annotations

from itertools import product
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import O3, SO3, SU2, Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.tensors import ExactTensor
from fusionc.rewrite.recouple import CouplingTree, Fused, Leaf, Shape, exchange, recouple, shape_of, tensor

GROUPS: list[tuple[Group, Basis]] = [(O3, "real"), (O3, "complex"), (SO3, "real"), (SO3, "complex"), (SU2, "complex")]
LARGE = 300  # components from which on tensors are compared in floating point


def spins(group: Group, largest: int) -> list[Irrep]:
    """The irreps up to a doubled spin."""
    step = 1 if group.half_integers else 2  # type: ignore[attr-defined]
    parities = (1, -1) if group is O3 else (0,)
    return [Irrep(spin, parity) for spin in range(0, largest + 1, step) for parity in parities]


@st.composite
def shapes(draw: st.DrawFn, numbers: list[int]) -> Shape:
    parts: list[Shape] = list(draw(st.permutations(numbers)))
    while len(parts) > 1:
        place = draw(st.integers(0, len(parts) - 2))
        parts[place : place + 2] = [(parts[place], parts[place + 1])]
    return parts[0]


def labelled(draw: st.DrawFn, group: Group, shape: Shape, leaves: dict[int, Irrep]) -> CouplingTree:
    if isinstance(shape, int):
        return Leaf(shape, leaves[shape])
    left, right = (labelled(draw, group, part, leaves) for part in shape)
    return Fused(left, right, draw(st.sampled_from([c for c, _ in group.product(left.irrep, right.irrep)])))


@st.composite
def cases(draw: st.DrawFn, largest: int = 4) -> tuple[Group, Basis, CouplingTree, Shape]:
    """A tree of three to five leaves, numbered with gaps, and another shape of it."""
    group, basis = draw(st.sampled_from(GROUPS))
    numbers = draw(st.lists(st.integers(0, 12), min_size=3, max_size=5, unique=True))
    largest = min(largest, 8 - len(numbers))
    leaves = {number: draw(st.sampled_from(spins(group, largest))) for number in numbers}
    tree = labelled(draw, group, draw(shapes(numbers)), leaves)
    return group, basis, tree, draw(shapes(numbers))


def every_tree(group: Group, shape: Shape, leaves: dict[int, Irrep]) -> list[CouplingTree]:
    if isinstance(shape, int):
        return [Leaf(shape, leaves[shape])]
    pairs = product(*(every_tree(group, part, leaves) for part in shape))
    return [Fused(one, two, c) for one, two in pairs for c, _ in group.product(one.irrep, two.irrep)]


def comb(size: int, irrep: Irrep, swapped: frozenset[int] = frozenset()) -> CouplingTree:
    """((0 1) 2) ..., where leaves k and k + 1 have changed places for each swapped k; total irreps 0 and 1 in turn."""
    numbers = list(range(size))
    for k in swapped:
        numbers[k], numbers[k + 1] = numbers[k + 1], numbers[k]
    tree: CouplingTree = Leaf(numbers[0], irrep)
    for place, number in enumerate(numbers[1:]):
        tree = Fused(tree, Leaf(number, irrep), Irrep(irrep.twice_j if place % 2 else 0, irrep.parity))
    return tree


# -- the law -------------------------------------------------------------------------------------------------


@given(cases())
@settings(max_examples=120, deadline=None)
def test_the_tensor_stays_the_same(case: tuple[Group, Basis, CouplingTree, Shape]) -> None:
    group, basis, tree, shape = case
    combination = recouple(group, tree, shape)
    before = tensor(group, tree, basis)
    for other, coefficient in combination:
        assert shape_of(other) == shape
        assert (other.leaves, other.irrep) == (tree.leaves, tree.irrep)
        assert coefficient
    assert len({other for other, _ in combination}) == len(combination)
    if np.prod(before.shape) <= LARGE:
        total = sum(
            (tensor(group, other, basis).scaled(coefficient) for other, coefficient in combination),
            ExactTensor(before.shape, ()),
        )
        assert total == before
        return
    numbers = sum(tensor(group, other, basis).to_numpy() * float(coefficient) for other, coefficient in combination)
    np.testing.assert_allclose(numbers, before.to_numpy(), atol=1e-12)


@given(cases(largest=4))
@settings(max_examples=60, deadline=None)
def test_there_and_back(case: tuple[Group, Basis, CouplingTree, Shape]) -> None:
    group, _, tree, shape = case
    sums: dict[CouplingTree, Surd] = {}
    for other, one in recouple(group, tree, shape):
        for back, two in recouple(group, other, shape_of(tree)):
            sums[back] = sums.get(back, ZERO) + one * two
    assert {back: total for back, total in sums.items() if total} == {tree: ONE}


@given(cases(largest=2))
@settings(max_examples=30, deadline=None)
def test_the_matrix_between_two_shapes_is_orthogonal(case: tuple[Group, Basis, CouplingTree, Shape]) -> None:
    group, _, tree, shape = case
    leaves = {leaf.number: leaf.irrep for leaf in leaves_of(tree)}
    rows = [dict(recouple(group, one, shape)) for one in every_tree(group, shape_of(tree), leaves)]
    columns = every_tree(group, shape, leaves)
    assert len(rows) == len(columns)
    assert {other for row in rows for other in row} == set(columns)
    for i, one in enumerate(rows):
        for j, two in enumerate(rows[: i + 1]):
            assert sum((value * two.get(other, ZERO) for other, value in one.items()), ZERO) == (i == j)


def leaves_of(tree: CouplingTree) -> list[Leaf]:
    return [tree] if isinstance(tree, Leaf) else leaves_of(tree.left) + leaves_of(tree.right)


@pytest.mark.parametrize(("group", "basis"), GROUPS)
def test_two_moves_are_the_symbols(group: Group, basis: Basis) -> None:
    a, b, c = (Leaf(number, spins(group, 2)[-1]) for number in range(3))
    for x, _ in group.product(a.irrep, b.irrep):
        for j, _ in group.product(x, c.irrep):
            moved = dict(recouple(group, Fused(Fused(a, b, x), c, j), (0, (1, 2))))
            for other, factor in moved.items():
                assert isinstance(other, Fused)
                assert factor == group.f_symbol(a.irrep, b.irrep, c.irrep, j, x, other.right.irrep)
        tree = Fused(a, b, x)
        other, sign = exchange(group, tree)
        assert recouple(group, tree, (1, 0)) == ((other, sign),)
        assert tensor(group, other, basis).scaled(sign) == tensor(group, tree, basis)


def test_the_tensor_of_a_tree_is_nested_vertices() -> None:
    a, b, c = Leaf(7, Irrep(2, -1)), Leaf(2, Irrep(4, 1)), Leaf(5, Irrep(2, 1))
    tree = Fused(Fused(a, b, Irrep(2, -1)), c, Irrep(4, -1))
    inner = O3.vertex(a.irrep, b.irrep, Irrep(2, -1)).to_numpy()
    outer = O3.vertex(Irrep(2, -1), c.irrep, Irrep(4, -1)).to_numpy()
    found = tensor(O3, tree, None).to_numpy()
    np.testing.assert_allclose(found, np.einsum("abx,xcj->bcaj", inner, outer), atol=1e-15)
    assert tensor(O3, a, None) == ExactTensor.identity(3)


# -- mistakes ------------------------------------------------------------------------------------------------


def test_a_shape_must_have_the_same_leaves() -> None:
    tree = Fused(Leaf(0, Irrep(2)), Leaf(1, Irrep(2)), Irrep(2))
    for shape in (0, (0, 2), (0, (1, 1)), ((0, 1), 2)):
        with pytest.raises(ValueError, match="same leaves"):
            recouple(SO3, tree, shape)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="twice"):
        Fused(Leaf(0, Irrep(2)), Leaf(0, Irrep(2)), Irrep(2))
    with pytest.raises(ValueError, match="no branches"):
        exchange(SO3, Leaf(0, Irrep(2)))


def test_copies_stay_where_nothing_moves_and_are_refused_elsewhere() -> None:
    inner = Fused(Leaf(0, Irrep(2)), Leaf(1, Irrep(2)), Irrep(2), copy=1)
    tree = Fused(inner, Leaf(2, Irrep(2)), Irrep(0))
    assert recouple(SO3, tree, (2, (0, 1))) == ((Fused(Leaf(2, Irrep(2)), inner, Irrep(0)), ONE),)
    for shape in ((0, (1, 2)), ((1, 0), 2)):
        with pytest.raises(NotImplementedError, match="copies"):
            recouple(SO3, tree, shape)


# -- large trees ---------------------------------------------------------------------------------------------


def test_deep_trees_that_have_the_shape_are_returned_as_they_are() -> None:
    tree, same = comb(2000, Irrep(2)), comb(2000, Irrep(2))
    assert tree == same
    assert hash(tree) == hash(same)
    ((found, factor),) = recouple(SO3, tree, shape_of(tree))
    assert found is tree
    assert factor == ONE


def test_deep_trees_that_differ_here_and_there() -> None:
    tree, start = comb(2000, Irrep(2)), process_time()
    at_one = recouple(SO3, tree, shape_of(comb(2000, Irrep(2), frozenset({1001}))))
    assert len(at_one) == 3
    assert sum((factor * factor for _, factor in at_one), ZERO) == ONE
    everywhere = frozenset(range(1, 1998, 2))
    trivial = comb(2000, Irrep(0))
    assert recouple(SO3, trivial, shape_of(comb(2000, Irrep(0), everywhere)))[0][1] == ONE
    assert process_time() - start < 60


def test_a_deep_comb_turned_round() -> None:
    shape: Shape = 0
    for number in range(1, 300):
        shape = (number, shape)
    ((found, factor),) = recouple(SO3, comb(300, Irrep(0)), shape)
    assert factor == ONE
    assert isinstance(found, Fused)
    assert found.left == Leaf(299, Irrep(0))


def test_six_vectors_make_fifteen_scalars() -> None:
    leaves = {number: Irrep(2) for number in range(6)}
    left: Shape = (((((0, 1), 2), 3), 4), 5)
    paired: Shape = ((0, 3), ((1, 4), (2, 5)))
    scalars = [tree for tree in every_tree(SO3, left, leaves) if tree.irrep == Irrep(0)]
    rows = [dict(recouple(SO3, tree, paired)) for tree in scalars]
    assert len(rows) == len({other for row in rows for other in row}) == 15
    for one, two in product(range(15), repeat=2):
        assert sum((value * rows[two].get(other, ZERO) for other, value in rows[one].items()), ZERO) == (one == two)

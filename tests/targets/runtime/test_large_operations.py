"""Large operations against what they say that they do: with memory that is written into, and recorded."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionc.targets.runtime import batched, exported, rows, sites

recorded = pytest.mark.parametrize("grad", [False, True])
MANY = settings(max_examples=15, deadline=None)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def assert_equal(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# --- the batch in front ----------------------------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_combined(batch, grad):
    matrix, value = numbers(5, 3), numbers(*batch, 3, 2)
    with torch.set_grad_enabled(grad):
        assert_equal(batched._combined(matrix, value), torch.einsum("rc,...cu->...ru", matrix, value))


def in_grids(value: torch.Tensor, grids, dim: int) -> list[torch.Tensor]:
    parts = value.split([rows * columns for rows, columns, _ in grids], dim)
    return [part.unflatten(dim, grid[:2]) for part, grid in zip(parts, grids, strict=True)]


@recorded
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("dim", [-1, -2])
def test_weighed(dim, fresh, grad):
    grids = ((2, 3, True), (3, 2, False), (1, 1, True))
    value, weights = numbers(4, 13, 13), numbers(13, 13).narrow(dim, 0, 7)
    used = weights.split([3, 3, 1], dim)
    expected = torch.cat(
        [
            (part * factor.unsqueeze(dim - 1 if across else dim)).flatten(dim - 1, dim)
            for part, factor, (_, _, across) in zip(in_grids(value, grids, dim), used, grids, strict=True)
        ],
        dim,
    )
    kept = value.clone()
    with torch.set_grad_enabled(grad):
        assert_equal(batched._weighed(value, weights, grids, dim, fresh), expected)
    assert fresh or torch.equal(value, kept)


@recorded
@pytest.mark.parametrize("dim", [-1, -2])
def test_added_products(dim, grad):
    grids = ((2, 3, True), (3, 2, False))
    left, right = numbers(4, 12, 12), numbers(4, 12, 12)
    expected = torch.cat(
        [
            part.sum(dim - 1 if across else dim)
            for part, (_, _, across) in zip(in_grids(left * right, grids, dim), grids, strict=True)
        ],
        dim,
    )
    with torch.set_grad_enabled(grad):
        assert_equal(batched._added_products(left, right, grids, dim), expected)


@recorded
def test_layered(grad):
    left, right = numbers(4, 6, 2), numbers(4, 6, 2)
    layers = ((0, 2, 3, (0, "across"), (0, "along")), (0, 2, 3, (3, "along"), (0, "all")))
    across, along = left[:, None, :3] * right[:, :2, None], left[:, 3:5, None] * right.unflatten(1, (2, 3))
    with torch.set_grad_enabled(grad):
        assert_equal(batched._layered(left, right, layers, 1, 6, -2), (across + along).flatten(1, 2))


def test_correlated():
    own, shared = numbers(4, 6, 2), numbers(4, 3, 2)
    expected = torch.einsum("brcu,bcu->ru", own.unflatten(1, (2, 3)), shared)
    assert_equal(batched._correlated(own, shared, ((0, 0, 2, 3),), -2), expected)


@recorded
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_selected(batch, grad):
    value, places = numbers(*batch, 5, 2), torch.tensor([3, 0, 3])
    with torch.set_grad_enabled(grad):
        assert torch.equal(batched._selected(value, places, len(batch)), value[..., places, :])


@recorded
@pytest.mark.parametrize("is_given", [False, True])
def test_outputs_are_written_side_by_side(is_given, grad):
    first, second, third, weights = numbers(4, 3, 2, 5), numbers(4, 3, 1, 5), numbers(4, 1, 2, 2), numbers(1, 5)
    into = numbers(4, 49) if is_given and not grad else None
    block = torch.cat([first.flatten(-2), (second * weights).flatten(-2)], -1)
    expected = torch.cat([block.flatten(1), third.flatten(1)], -1)
    blocks = (((first, None), (second, weights)), ((third, None),))
    with torch.set_grad_enabled(grad):
        assert_equal(batched._interleaved(blocks, into), expected)
        behind = batched._behind(((first, 3, None), (second, 3, weights)), None if into is None else into[:, :45])
    assert_equal(behind, torch.cat([first.flatten(1), (second * weights).flatten(1)], -1))


# --- components before the batch -------------------------------------------------------------------------------------


@recorded
@MANY
@given(starts=st.lists(st.integers(0, 4), min_size=1, max_size=5), is_weighed=st.booleans())
def test_sums_are_a_sparse_matrix(grad, starts, is_weighed):
    counts = torch.tensor(starts)
    columns = torch.randint(0, 6, (int(counts.sum()),))
    factors = numbers(len(columns)) if is_weighed else None
    matrix = torch.zeros(len(starts), 6, dtype=torch.float64)
    places = torch.repeat_interleave(torch.arange(len(starts)), counts)
    matrix.index_put_((places, columns), torch.ones(len(columns)).double() if factors is None else factors, True)
    value, begin = numbers(6, 3, 2), torch.cumsum(counts, 0) - counts
    if len(columns):
        with torch.set_grad_enabled(grad):
            found = rows._sums(value, columns, begin, max(starts), factors)
        assert_equal(found, torch.einsum("rc,cbu->rbu", matrix, value))


@recorded
def test_products_of_rows(grad):
    matrix, value, one = numbers(5, 3), numbers(3, 4, 2), numbers(2, 4)
    with torch.set_grad_enabled(grad):
        assert_equal(rows._mixed(matrix, value), torch.einsum("rc,cbu->rbu", matrix, value))
        assert_equal(rows._mixed(matrix, value[:, 0, 0]), matrix @ value[:, 0, 0])
        assert_equal(rows._few(matrix, value[..., 0]), matrix @ value[..., 0])
        assert_equal(rows._every(one, value[..., 0]), (one[:, None] * value[..., 0]).flatten(0, 1))
        assert_equal(rows._scaled(matrix[0], value), torch.einsum("c,cbu->cbu", matrix[0], value))
        sides = numbers(2, 3, 4)
        sums = torch.einsum("kib,ib->kb", sides, value[..., 0])
        assert_equal(rows._crossed(sides.flatten(0, 1), value[..., 0]), sums)
        mixers, parts = (numbers(2, 2, 6), numbers(1, 2, 6)), numbers(4, 3, 2)
        assert_equal(rows._mixed_up(parts, mixers), torch.einsum("kpu,puw->kw", parts, torch.cat(mixers)))


@recorded
def test_rows_are_written_side_by_side(grad):
    one, other, value = numbers(2, 4), numbers(3, 4), numbers(1, 4)
    with torch.set_grad_enabled(grad):
        room = rows._room(7, value)
        products = rows._every(one, other, rows._place(room, 0, 6))
        if room is not None:
            room[6:] = value
        assert_equal(rows._joined(room, products, value), torch.cat([rows._every(one, other), value]))
    assert (room is None) == grad


def test_rows_of_tables():
    table, picked = numbers(5, 3, 2), torch.tensor([[4, 0], [1, 1]])
    assert torch.equal(rows._rows_at(table, picked), table[picked])
    assert torch.equal(rows._rows_at(table, picked, picked % 3), table[picked, picked % 3])
    assert torch.equal(rows._rows_at(table, torch.tensor(2)), table[2])
    assert torch.equal(rows._looked_up(table, torch.tensor([2, 0])), table[:, [2, 0]])
    assert torch.equal(rows._looked_up(table, torch.tensor([2, 0]), picked[0]), table[[4, 0]][:, [2, 0]])


# --- sites -----------------------------------------------------------------------------------------------------------


@recorded
def test_values_are_added_up_at_sites(grad):
    value, index = numbers(2, 6, 3), torch.tensor([0, 3, 3, 1, 0, 3])
    hot = torch.nn.functional.one_hot(index, 5).double()
    expected = torch.einsum("bes,ei->bis", value, hot)
    with torch.set_grad_enabled(grad):
        first = sites._scatter(None, value[:, :4], index[:4], 5, 1)
    with torch.no_grad():
        assert_equal(sites._scatter(first, value[:, 4:], index[4:], 5, 1), expected)


def test_elements_are_added_into_tables():
    value, rows_ = numbers(2, 6, 3), (torch.tensor([0, 1, 1, 0, 1, 1]), torch.tensor([2, 0, 0, 1, 2, 0]))
    table = torch.zeros(2, 3, 3, dtype=torch.float64).index_put_(rows_, value.sum(0), accumulate=True)
    assert_equal(sites._tabulated(value, rows_, (2, 3), 1), table)
    fronted = torch.stack([torch.zeros(2, 3, 3).double().index_put_(rows_, part, accumulate=True) for part in value])
    assert_equal(sites._tabulated(value, rows_, (2, 3), 1, front=1), fronted)
    assert sites._spread(value[0], 1, 4).shape == (6, 4, 3)
    assert sites._everywhere(value[0], 0, (2, 5)).shape == (6, 2, 5, 3)
    assert sites._everywhere(value[0], 1, (2, 5)).shape == (2, 5, 6, 3)


# --- what is exported ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two"),
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((4,), (2, 4, 5)), ((6, 1, 3, 4), (2, 4, 5)), ((4,), (4, 5))],
)
def test_matrix_products_in_steps(one, two):
    left, right = numbers(*one), numbers(*two)
    assert_equal(exported._matrices_in_steps(left, right), left @ right)
    with exported._Exported():
        assert_equal(left @ right, torch.matmul(left, right))


@pytest.mark.parametrize(
    "text", ["...u,uv->...v", "...cu,...cv->...uv", "ab,bc->ca", "...a,...a->...", "z...a,z->...a", "ab,ab->"]
)
def test_sums_in_steps(text):
    sizes = {letter: 2 + place for place, letter in enumerate("abcuvz")}
    shapes = []
    for side in text.split("->")[0].split(","):
        before, dots, behind = side.partition("...")
        letters = [[sizes[letter] for letter in part] for part in (before, behind)]
        shapes.append((*letters[0], *((3, 2) if dots else ()), *letters[1]))
    one, two = (numbers(*shape) for shape in shapes)
    assert math.prod(one.shape)
    assert_equal(exported._sum_in_steps(text, one, two), torch.einsum(text, one, two))

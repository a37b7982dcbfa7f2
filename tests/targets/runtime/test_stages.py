"""Stages: evaluated in pieces, recorded, differentiated by other stages."""

from __future__ import annotations

import functools

import pytest
import torch

from fusionc.targets.runtime import autograd, calls, kernels, modes, operators, pairs, pieces, stages, tables


def outer(x, y, into=None):
    """x[b, i] y[b, i] w: the product of two operands, with the sum over i beside it."""
    product = x * y
    if into is None:
        return product
    into.copy_(product)
    return into


def outer_gradients(x, y, given, *, needed):
    return tuple(value if need else None for value, need in zip((given * y, given * x), needed, strict=False))


def product_stage(piece=0, width=3):
    first = stages._Stage(outer_gradients, (1, 1, 1), piece, (0, 1))
    return stages._Stage(outer, (1, 1), piece, (), width, (first,))


def leaves(*shape):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize(("shape", "piece"), [((7, 3), 0), ((7, 3), 2), ((3,), 2), ((2, 5, 3), 4), ((0, 3), 2)])
def test_a_stage_is_differentiated_by_its_stages(shape, piece):
    x, y = leaves(*shape)
    function = functools.partial(calls._call, product_stage(piece))
    torch.testing.assert_close(function(x, y), x * y)
    assert torch.autograd.gradcheck(function, (x, y))
    assert torch.autograd.gradgradcheck(function, (x, y))


def test_only_gradients_that_are_asked_for_are_computed():
    asked = []

    def spied(x, y, given, *, needed):
        asked.append(needed)
        return outer_gradients(x, y, given, needed=needed)

    stage = product_stage()
    stage = stage._replace(derivatives=(stage.derivatives[0]._replace(function=spied),))
    x, y = leaves(4, 3)
    torch.autograd.grad(calls._call(stage, x, y).sum(), y)
    torch.autograd.grad(calls._call(stage, x.detach(), y).sum(), y)
    assert asked == [(False, True), (False, True)]


def test_what_needs_no_gradient_is_not_recorded():
    x, y = (one.detach() for one in leaves(4, 3))
    value = autograd._recorded(product_stage(2), (), {}, (x, y))
    assert not value.requires_grad
    value.mul_(2)
    torch.testing.assert_close(value, 2 * x * y)


def test_pieces_cover_everything_once():
    like = torch.zeros(1)
    for count in range(40):
        for size in (1, 3, 8):
            with torch.no_grad():
                parts = pieces._pieces(count, size, like)
            assert [one for part in parts for one in range(count)[part]] == [*range(count)]
            assert all(part.stop - part.start <= 1.25 * size + 1 for part in parts)
    assert pieces._pieces(40, 3, like) == [slice(None)]  # recorded: at once


def test_constants_are_kept_on_every_device():
    table = tables._Kept(tables._table(6, {1: 0.5, 5: -2.0}), sizes=(2, 4))
    first, second = table.on(torch.device("cpu"), torch.float32)
    assert first.tolist() == [0.0, 0.5]
    assert second.tolist() == [0.0, 0.0, 0.0, -2.0]
    assert table.on(torch.device("cpu"), torch.float32)[0] is first
    assert table.on(torch.device("cpu"), torch.float64)[0].dtype == torch.float64
    assert tables._Kept(torch.tensor([1, 2])).on(torch.device("cpu"), torch.float32)[0].dtype == torch.int64
    with torch.inference_mode():
        assert not table.on(torch.device("cpu"), torch.float16)[0].is_inference()


def test_modes():
    seen = []

    def look(x):
        seen.append((modes._is_plain(), modes._is_transformed()))
        return x

    look(torch.zeros(2))
    torch.func.vmap(look)(torch.zeros(2))
    with torch.autograd.forward_ad.dual_level():
        look(torch.zeros(2))
    assert seen == [(False, False), (True, True), (True, False)]
    assert modes._is_recorded()
    with torch.no_grad():
        assert not modes._is_recorded()
    assert not modes._is_autocast("cpu")
    with torch.autocast("cpu"):
        assert modes._is_autocast("cpu")
        with modes._uncast(torch.zeros(1)):
            assert not modes._is_autocast("cpu")
    assert not modes._is_autocast("meta")


def test_results_of_operators_have_memory_of_their_own():
    given = torch.zeros(4)
    one, two, three = operators._apart([given[:2], (new := torch.ones(3)), new.view(3)], [given])
    assert len({value.data_ptr() for value in (given, one, two, three)}) == 4


def test_gradients_are_pulled_back_through_what_is_needed():
    x, y = leaves(3)
    given = torch.ones(3, dtype=torch.float64)
    pulled = operators._pulling(lambda read: [read[0] * read[1]], 2)
    (gradient,) = pulled([x.detach(), y.detach(), given], (False, True))
    torch.testing.assert_close(gradient, x.detach())


def test_pairs_are_sorted_once():
    relation = torch.tensor([[2, 0, 2, 1], [0, 0, 1, 1]])
    order, starts = pairs._sorted_pairs(relation, 0, 4)
    assert (order.tolist(), starts.tolist()) == ([1, 3, 0, 2], [0, 1, 2, 4, 4])
    assert pairs._sorted_pairs(relation, 0, 4)[0] is order
    relation[0, 0] = 0  # what is written into is sorted again
    assert pairs._sorted_pairs(relation, 0, 4)[0].tolist() == [0, 1, 3, 2]
    assert pairs._flat(relation[1], 2, 5).tolist() == [0, 0, 1, 1, 5, 5, 6, 6]
    with pytest.raises(RuntimeError, match="an index should lie between 0 and 1"):
        pairs._check_inside(torch.tensor([0, 2]), 2)


def test_tables_of_terms_are_numbers():
    cells, coefficients, places = kernels._terms([(3, 5, -1, 0.5)], [(7, 2, 9)]).on(torch.device("cpu"), torch.float32)
    assert cells.tolist() == [3 | 5 << 20 | -1 << 40]
    assert coefficients.tolist() == [0.5]
    assert places.tolist() == [7 | 2 << 24 | 9 << 40]
    assert [kernels._count(rows, 4) for rows in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [kernels._parts(rows, 4, 2) for rows in (0, 1, 5, 100)] == [4, 4, 8, 8]

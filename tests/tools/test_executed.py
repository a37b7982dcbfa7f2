"""The multiplications that modules run."""

from __future__ import annotations

import pytest
import torch

import fusionc
from fusionc.tools.executed import counted, executed

LMAX_4 = " + ".join(f"8x{degree}{'eo'[degree % 2]}" for degree in range(5))


def test_a_product_of_numbers_is_one_multiplication():
    diagram = fusionc.parse("diagram d(x: 0e, y: 0e) -> 0e { x y -> out }")["d"]
    assert diagram.cost(batch=7).executed == 7


def test_a_matrix_product_counts_its_zeros():
    left, right = torch.zeros(3, 4), torch.zeros(4, 5)
    assert counted(lambda: left @ right) == 3 * 4 * 5
    assert counted(lambda: torch.einsum("ij,jk->ik", left, right)) == 3 * 4 * 5
    assert counted(lambda: left * left + left) == 12


@pytest.mark.parametrize(
    "text",
    [
        "diagram d(x: 4x0e + 4x1o, y: 0e + 1o) -> 4x0e + 4x1o { x[u] y -> out[u] * W[path,u] }",
        "diagram d(x: 4x0e + 4x1o, y: 4x0e + 4x1o) -> 4x0e + 4x1o { x[u] y[v] x[u] -> out[w] * W[path,u,v,w] }",
        "group SU(2); diagram d(x: 2x1/2, y: 1/2 + 1) -> 2x1 + 2x0 { x[u] y x[u] -> out[u] * W[path,u] }",
    ],
)
def test_what_is_counted_for_one_and_two_elements_is_what_a_batch_runs(text):
    diagram = fusionc.parse(text)["d"]
    module = diagram.module()()
    dtype = torch.complex64 if diagram.checked.graph.basis == "complex" else torch.float32
    legs = [torch.zeros(50, leg.dim, dtype=dtype) for leg in diagram.checked.program().legs]
    assert executed(diagram.checked, 50) == pytest.approx(counted(lambda: module(*legs)), rel=0.02)


def test_sites_and_pairs_are_counted_apart():
    text = "sites atoms; pairs edges(atoms, atoms)\ndiagram d(x: 4x1o[atoms], y: 0e + 1o[edges]) -> 4x1o[atoms] "
    diagram = fusionc.parse(text + "{ x[j,u] y[i,j] -> out[i,u] * W[path,u] }")["d"]
    figures = [executed(diagram.checked, sizes={"atoms": 10, "edges": edges}) for edges in (0, 100, 200)]
    assert 0 <= figures[0] < figures[1]
    assert figures[2] - figures[1] == figures[1] - figures[0]


@pytest.mark.parametrize("operand", ["x", "y", "r"])
def test_a_gradient_of_a_uvu_product_multiplies_at_most_four_times_as_much_as_the_value(operand):
    """Every path's product in another order of components: it is picked, not multiplied with a permutation."""
    text = f"diagram d(x: {LMAX_4}, y: spherical(4), r: weights) -> {LMAX_4} {{ x[u] y -> out[u] * r[path,u] }}"
    diagram = fusionc.parse(text)["d"]
    module = diagram.module()()
    legs = {leg.name: torch.zeros(3, leg.dim) for leg in diagram.checked.program().legs}
    value = counted(lambda: module(**legs))
    legs[operand].requires_grad_()
    result = module(**legs)
    gradient = counted(lambda: torch.autograd.grad(result.sum(), legs[operand]))
    assert gradient <= 4 * value


def test_matrices_that_are_nearly_empty_are_not_multiplied():
    """One operand has channels, and three have none: their product as a matrix would have 0.2% of its entries."""
    spherical = "0e + 1o + 2e"
    legs = f"a: {spherical}, x: 16x0e + 16x1o + 16x2e, y: {spherical}"
    text = f"diagram d({legs}) -> 16x0e + 16x1o + 16x2e {{ a a x[u] y -> out[u] * W[path,u] }}"
    report = fusionc.parse(text)["d"].cost()
    assert report.executed <= 10 * (report.multiplications + report.scalings)

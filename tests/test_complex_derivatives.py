"""Derivatives of diagrams whose numbers are complex: generated like all others, in PyTorch's convention (the gradient
is the conjugate of the derivative), and real where what is differentiated is real."""

from __future__ import annotations

import pytest
import torch
from sympy import Rational
from sympy.physics.quantum.cg import CG

import fusionc

SITES = "sites atoms\npairs edges(atoms, atoms)\n"
PAIRS = torch.tensor([[0, 2, 1, 0, 0], [1, 1, 0, 2, 1]])
TEXTS = {
    "a tree": "group SU(2)\ndiagram d(x: 2x1/2, y: 1/2 + 1) -> 2x1 + 2x3/2 { x[u] y -> out[u] * W[path,u] }",
    "equal operands": "group SU(2)\ndiagram d(x: 2x1/2 + 2x1) -> 2x1 { x[u] x[u] -> out[u] * W[path,u] }",
    "mixed channels": "basis complex\ndiagram d(x: 2x1o, y: 3x1o) -> 2x0e + 2x1e "
    "{ x[u] y[v] -> out[w] * W[path,u,v,w] }",
    "kept paths, given weights": "group SU(2)\ndiagram d(x: 2x1/2, y: 1, r: weights) -> * "
    "{ x[u] y -> out[path,u] * r[path,u] }",
    "rows of a table": "group SU(2)\ndiagram d(x: 2x1/2, y: 1/2, z: index(3)) -> 2x0 + 2x1 "
    "{ x[u] y -> out[u] * W[z,path,u] }",
    "over neighbours": f"group SU(2)\n{SITES}diagram d(x: 1/2[atoms], y: 1[edges]) -> 1/2[atoms] "
    "{ x[j] y[i,j] -> out[i] * W[path] }",
    "a sum on the way": f"group SU(2)\n{SITES}"
    "diagram d(x: 2x1/2[atoms], y: 1[edges], r: weights[edges]) -> 2x1[atoms] "
    "{ x[j,u] y[i,j] -> A[i,u] in 1/2 * r[i,j,path,u]; A[i,u] A[i,u] -> out[i,u] * W[path,u] }",
    "pooled": f"group SU(2)\n{SITES}"
    "diagram d(x: 2x1/2[atoms], y: 1/2[edges]) -> (a: 2x0, b: 2x1[edges]) "
    "{ x[j,u] y[i,j] -> a[u] * W[u]; x[i,u] y[i,j] -> b[i,j,u] * V[u] }",
}


def drawn(shape: tuple[int, ...], dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).requires_grad_()


def case(name: str, layout: str = "mul_ir", kind: torch.dtype = torch.complex128):
    """The function of a diagram in terms of all operands that are numbers, and these operands."""
    torch.manual_seed(0)
    diagram = fusionc.parse(TEXTS[name])["d"]
    module = diagram.module(layout=layout, dtype=str(kind).removeprefix("torch."))
    graph, table = diagram.checked.graph, diagram.checked.table
    lead = {None: (2,), "atoms": (3,), "edges": (5,)}
    rows, operands = {}, {}
    for leg in graph.legs:
        if leg.name in graph.index_legs:
            rows[leg.name] = torch.randint(0, leg.size, lead[leg.domain])
        elif leg.name in graph.weights_legs:
            operands[leg.name] = drawn((*lead[leg.domain], table.weights[leg.name].numel), kind)
        else:
            operands[leg.name] = drawn((*lead[leg.domain], leg.space.dim(graph.group)))
    for weight, value in module().named_parameters():
        operands[weight] = drawn(value.shape, kind)
    function = module.forward.__globals__["d"]
    relations = {"edges": PAIRS} if graph.relations else {}

    def call(*values: torch.Tensor):
        return function(**rows, **dict(zip(operands, values, strict=True)), **relations)

    return call, tuple(operands.values())


@pytest.mark.parametrize(("layout", "kind"), [("mul_ir", torch.complex128), ("ir_mul", torch.float64)])
@pytest.mark.parametrize("name", TEXTS)
def test_against_differences(name, layout, kind):
    """Gradients, tangents, and gradients of gradients."""
    call, operands = case(name, layout, kind)
    assert torch.autograd.gradcheck(call, operands, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, operands, fast_mode=True)


@pytest.mark.parametrize("name", TEXTS)
def test_derivatives_are_generated(name):
    """Up to the second order nothing is left to autograd, which records nothing inside an operator of compiled code."""
    call, operands = case(name)
    found = call(*operands)
    names = {type(node).__name__ for node in _nodes(found if isinstance(found, torch.Tensor) else found[0])}
    assert any("Differentiable" in name for name in names), names
    source = fusionc.parse(TEXTS[name])["d"].module().forward.__globals__
    stage = next(value for value in source.values() if isinstance(value, source["_Stage"]))
    assert stage.derivatives
    assert stage.derivatives[0].derivatives


def _nodes(value: torch.Tensor) -> list:
    found, todo = [], [value.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found.append(node)
            todo += [child for child, _ in node.next_functions]
    return found


def clebsch_gordan(a: str, b: str, c: str) -> torch.Tensor:
    """<a m, b n | c p> in Condon-Shortley phases, from sympy."""
    spins = [Rational(spin) for spin in (a, b, c)]
    values = [[-spin + step for step in range(int(2 * spin) + 1)] for spin in spins]
    table = torch.zeros([len(each) for each in values], dtype=torch.complex128)
    for i, m in enumerate(values[0]):
        for j, n in enumerate(values[1]):
            for k, p in enumerate(values[2]):
                if m + n == p:
                    table[i, j, k] = float(CG(spins[0], m, spins[1], n, spins[2], p).doit())
    return table


def over_neighbours(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`over neighbours`, as a plain einsum."""
    pairs = torch.einsum("ei,ej,ijk->ek", x[PAIRS[1]], y, clebsch_gordan("1/2", "1", "1/2")) * weight
    return torch.zeros_like(x).index_add(0, PAIRS[0], pairs)


@pytest.mark.parametrize("kind", [torch.complex128, torch.float64])
def test_compiled_over_sites(kind):
    """Compiled code calls the diagram as an operator: its gradients were zero."""
    call, operands = case("over neighbours", kind=kind)
    copies = tuple(one.detach().requires_grad_() for one in operands)
    found, wanted = torch.compile(call, fullgraph=True)(*operands), over_neighbours(*copies)
    seed = torch.randn_like(wanted)
    assert torch.allclose(found, wanted, atol=1e-13)
    gradients, others = torch.autograd.grad(found, operands, seed), torch.autograd.grad(wanted, copies, seed)
    for one, other in zip(gradients, others, strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one, other, atol=1e-13)
        assert float(other.abs().max()) > 0.01


def test_transforms():
    """torch.func: a Jacobian-vector product, its reverse, and `vmap` over both."""
    call, operands = case("over neighbours")
    plain = tuple(one.detach() for one in operands)
    tangents = tuple(torch.randn_like(one) for one in plain)
    for one, other in zip(
        torch.func.jvp(call, plain, tangents), torch.func.jvp(over_neighbours, plain, tangents), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-13)
    seeds = torch.randn(4, *call(*plain).shape, dtype=torch.complex128)
    found, wanted = (torch.func.vmap(torch.func.vjp(f, *plain)[1])(seeds) for f in (call, over_neighbours))
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-13)

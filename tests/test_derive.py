"""Derivatives of programs, run by the interpreter, against torch's autograd on the generated module."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from derivative_cases import PROPERTY, SIZES, TEXTS, Autograd, Case, case, random_like
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import trees

import fusionc
from fusionc.program.derive import Derivative, differentiable, vjp
from fusionc.program.tangents import jvp


def relative(value: np.ndarray, wanted: torch.Tensor | None, scale: float) -> float:
    other = np.zeros_like(value) if wanted is None else wanted.detach().numpy()
    assert value.shape == other.shape
    return float(np.abs(value - other).max(initial=0.0)) / scale


def check(one: Case) -> None:
    """First derivatives, second derivatives and tangents."""
    program, autograd = one.program, Autograd(one)
    names, inputs = differentiable(program), autograd.inputs()
    outputs = autograd(*inputs)
    assert reference.agrees([out.detach().numpy() for out in outputs], by_reference(one))
    cotangents = random_like([out.shape for out in outputs], 1)
    first = vjp(program)
    given = dict(zip([name for _, name in first.given], cotangents, strict=True))
    wanted = torch.autograd.grad(
        outputs, inputs, [torch.as_tensor(c).requires_grad_() for c in cotangents], create_graph=True, allow_unused=True
    )
    compare(one, first, given, dict(zip(names, wanted, strict=True)))
    check_second(one, first, given, autograd, inputs, cotangents)
    tangents = random_like([value.shape for value in inputs], 2)
    forward = jvp(program)
    moved = dict(zip([name for _, name in forward.given], tangents, strict=True))
    _, derivative = torch.func.jvp(autograd, tuple(inputs), tuple(map(torch.as_tensor, tangents)))
    compare(one, forward, moved, dict(zip([out.name for out in program.outputs], derivative, strict=True)))


def by_reference(one: Case) -> tuple[np.ndarray, ...]:
    """The outputs as the second oracle has them."""
    graph = one.diagram.checked.graph
    legs = [one.operands[leg.name] for leg in graph.legs]
    weights = {name: value for name, value in one.operands.items() if name not in {leg.name for leg in graph.legs}}
    sizes = {name: SIZES[name] for name in graph.told_sites}
    return reference.evaluate_arrays(graph.span.source.text, legs, weights, one.layout, one.relations, sizes)


def compare(one: Case, derived: Derivative, given: dict[str, np.ndarray], wanted: dict[str, torch.Tensor]) -> None:
    results, where = one.run(derived.program, given), dict(derived.results)
    scale = max((float(w.detach().abs().max()) for w in wanted.values() if w is not None and w.numel()), default=1.0)
    for name, value in wanted.items():
        if name in where:
            assert relative(results[where[name]], value, scale or 1.0) < 1e-12, name
        else:
            assert value is None or float(value.detach().abs().max()) == 0.0, name


def check_second(one, first, given, autograd, inputs, cotangents) -> None:
    seeds = [torch.as_tensor(c).requires_grad_() for c in cotangents]
    outputs = autograd(*inputs)
    gradients = torch.autograd.grad(outputs, inputs, seeds, create_graph=True, allow_unused=True)
    where = dict(first.results)
    kept = [(name, g) for name, g in zip(differentiable(one.program), gradients, strict=True) if name in where]
    directions = random_like([g.shape for _, g in kept], 3)
    wanted = torch.autograd.grad(
        [g for _, g in kept], [*inputs, *seeds], [torch.as_tensor(d) for d in directions], allow_unused=True
    )
    second = vjp(first.program)
    order = {where[name]: direction for (name, _), direction in zip(kept, directions, strict=True)}
    more = {name: order[output] for output, name in second.given}
    names = [*differentiable(one.program), *given]
    compare(one, second, {**given, **more}, dict(zip(names, wanted, strict=True)))


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("name", TEXTS)
def test_derivatives_of_diagrams(name, layout):
    check(case(TEXTS[name], layout))


@pytest.mark.parametrize("legs", [2, 3, 4])
@PROPERTY
@given(data=st.data())
def test_derivatives_of_random_trees(legs, data):
    text = data.draw(trees(legs, "O(3)", lmax=1).filter(lambda tree: "basis complex" not in tree.text)).text
    try:
        one = case(text)
    except fusionc.CompileError:
        assume(False)
    assume(one.diagram.count_paths() <= 60)
    check(one)


def test_a_derivative_by_some_operands_leaves_the_rest_alone():
    one = case(TEXTS["uvu per element"])
    derived = vjp(one.program, ["x"])
    assert [name for name, _ in derived.results] == ["x"]
    assert len(derived.program.instructions) < len(vjp(one.program).program.instructions)


def test_derived_programs_are_shared_and_small():
    """What the forward pass computes is there once, and a derivative costs a few times as much."""
    from fusionc.program.cost import count

    one = case(TEXTS["product basis"])
    forward, backward = count(one.program, 100), count(vjp(one.program).program, 100)
    assert backward.multiplications <= 4 * forward.multiplications

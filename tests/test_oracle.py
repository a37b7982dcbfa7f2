"""Every plan, the interpreter and the generated module against two oracles: dense einsum of the diagram's text."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import trees

import fusionc
from fusionc.program.interpret import interpret
from fusionc.program.select import STRATEGIES
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import evaluate, random_legs, random_weights
from fusionc.tools.verify import as_tuple, relative, verify

PROPERTY = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
LIMIT = 400  # paths: larger ones say nothing new and take long in the oracle


def compiled(text: str):
    """The diagram, unless it is one that fusionc rightly refuses."""
    try:
        diagram = fusionc.parse(text)["d"]
    except fusionc.CompileError as error:
        codes = {diagnostic.code for diagnostic in error.diagnostics if diagnostic.is_error}
        assert codes <= {"F2002", "F2003", "F2006", "F1027"}, str(error)
        assume(False)
    assume(0 < diagram.count_paths() <= LIMIT)
    return diagram


@pytest.mark.parametrize("group", ["O(3)", "SO(3)", "SU(2)"])
@pytest.mark.parametrize("legs", [2, 3, 4])
@PROPERTY
@given(data=st.data())
def test_trees_equal_the_oracle(group, legs, data):
    """Random trees of two, three and four legs: every strategy, both layouts, the module."""
    text = data.draw(trees(legs, group)).text
    diagram = compiled(text)
    table, rng = diagram.checked.table, np.random.default_rng(0)
    operands, weights = random_legs(table, 3, rng), random_weights(table, rng)
    for layout in ("mul_ir", "ir_mul"):
        wanted = evaluate(table, operands, weights, layout)
        assert reference.agrees(reference.evaluate_arrays(text, operands, weights, layout), wanted)
        for strategy in STRATEGIES:
            program = diagram.checked.program(strategy, layout)
            assert relative(interpret(program, operands, weights), wanted) < 1e-12
        module = load_module(diagram.checked, weights, layout)
        with torch.no_grad():
            got = [part.numpy() for part in as_tuple(module(*map(torch.as_tensor, operands)))]
        assert relative(got, wanted) < 1e-12


@PROPERTY
@given(data=st.data())
def test_paths_are_counted_without_listing_them(data):
    diagram = compiled(data.draw(trees(data.draw(st.integers(2, 4)))).text)
    assert diagram.count_paths() == len({(p.irreps, p.edge, p.offset, k) for k, p in enumerate(diagram.paths)})
    assert diagram.count_paths() == len(diagram.paths)


@PROPERTY
@given(data=st.data())
def test_path_order_is_lexicographic(data):
    """Leaves as declared, internal edges by l with `e` before `o`, then the right edge; offsets follow the order."""
    diagram = compiled(data.draw(trees(3)).text)
    offsets: dict[str, int] = {}
    for path in diagram.paths:
        if path.weight is not None:
            assert path.offset == offsets.get(path.weight, 0)
            offsets[path.weight] = path.offset + int(np.prod(path.shape, dtype=int))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_trees_verify(data):
    """Equivariance and gradients of random diagrams."""
    group = data.draw(st.sampled_from(["O(3)", "SO(3)", "SU(2)"]))
    verification = verify(compiled(data.draw(trees(3, group)).text).checked)
    assert verification.ok, str(verification)


EQUAL = {
    "three equal": ("a: 2x0e + 2x1o + 2x2e", "-> 2x0e + 2x1o", "a[u] a[u] a[u] -> out[u] * W[path, u]"),
    "two and two": ("a: 0e + 1o, b: 1o + 2e", "-> 0e + 1o + 2e", "a a b b -> out * W[path]"),
    "mixed order": ("a: 1o, b: 1o + 2o", "-> * in lmax 3", "a b a b -> out[path]"),
    "other channels": ("a: 2x0e + 2x1o", "-> 0e + 1o + 1e", "a[u] a[v] -> out * W[path, u, v]"),
    "an irrep twice": ("a: 1o + 1o", "-> 0e + 2e", "a a a a -> out * W[path]"),
    "through an edge": (
        "a: 3x0e + 3x1o",
        "-> 3x0e + 3x1o",
        "a[u] a[u] -> h[u] * V[path, u]; h[u] h[u] h[u] -> out[u] * W[path, u]",
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_operands_equal_the_oracle_and_verify(name):
    header, output, body = EQUAL[name]
    text = f"diagram d({header}) {output} {{ {body} }}"
    diagram = fusionc.parse(text)["d"]
    table, rng = diagram.checked.table, np.random.default_rng(0)
    operands, weights = random_legs(table, 2, rng), random_weights(table, rng)
    assert reference.agrees(reference.evaluate_arrays(text, operands, weights), evaluate(table, operands, weights))
    assert diagram.count_paths() == len(diagram.paths)
    verification = verify(diagram.checked)
    assert verification.ok, str(verification)

"""Passes: the program that each gives computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from site_cases import case
from site_strategies import site_diagrams
from strategies import compiled, trees

import fusionc
from fusionc.program.interpret import interpret
from fusionc.program.ir import Program
from fusionc.program.passes import BATCHED_VALUE, run
from fusionc.program.thresholds import LOWERED, using

EXAMPLES = Path(__file__).parents[2] / "examples"
PROPERTY = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
LAYOUTS = st.sampled_from(["mul_ir", "ir_mul"])
EACH = pytest.mark.parametrize("one", BATCHED_VALUE, ids=lambda one: one.name)


def assert_equal_programs(diagram: fusionc.Diagram, before: Program, after: Program) -> None:
    inputs = case(diagram)
    given = (inputs.inputs.legs, inputs.weights, inputs.inputs.relations, inputs.inputs.sizes)
    for left, right in zip(interpret(before, *given), interpret(after, *given), strict=True):
        assert left.shape == right.shape
        assert np.allclose(left, right, rtol=1e-12, atol=1e-12)


@EACH
@PROPERTY
@given(tree=trees(3, lmax=1), layout=LAYOUTS)
def test_a_pass_changes_no_value(one, tree, layout):
    diagram = compiled(tree.text)
    program = diagram.checked.program(layout=layout)
    with using(LOWERED):
        assert_equal_programs(diagram, program, one.rewrite(program))


@PROPERTY
@given(found=site_diagrams(), layout=LAYOUTS)
def test_nor_do_all_of_them_over_sites(found, layout):
    diagram = compiled(found.text)
    program = diagram.checked.program(layout=layout)
    with using(LOWERED):
        assert_equal_programs(diagram, program, run(program, BATCHED_VALUE))


def test_each_pass_rewrites_something():
    """Shapes of networks that people run need them: none is dead."""
    spaces = " + ".join(f"16x{degree}{parity}" for degree in range(4) for parity in "eo")
    y = " + ".join(f"1x{degree}{'eo'[degree % 2]}" for degree in range(3))
    texts = [
        f"diagram d(x: {spaces}, y: spherical(3), r: weights) -> * in lmax 3 {{ x[u] y -> out[path,u] * r[path,u] }}",
        f"diagram d(x: 48x0e + 10x1o + 10x1e + 48x0o, y: {y}, r: weights) -> 48x0e + 10x1o + 10x1e + 48x0o "
        "{ x[u] y -> out[w] * r[path,u,w] }",
    ]
    diagrams = [fusionc.parse(text)["d"] for text in texts] + [*fusionc.load(EXAMPLES / "three_body.fus").values()]
    rewritten = set()
    for diagram in diagrams:
        before = diagram.checked.program(layout="ir_mul")
        for one in BATCHED_VALUE:
            after = one.rewrite(before)
            rewritten |= {one.name} if after != before else set()
            before = after
    assert rewritten == {one.name for one in BATCHED_VALUE}

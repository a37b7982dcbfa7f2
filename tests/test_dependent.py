"""Trees that are zero because one operand stands in several lines, against the dense einsum at random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionc
from fusionc import driver
from fusionc.diagram.dependent import dependent_trees, repeating
from fusionc.language.source import Source
from fusionc.tools.oracle import evaluate, random_legs, random_weights

IRREPS = ("0e", "0o", "1o", "1e", "2e")


@st.composite
def chains(draw) -> str:
    """Two or three lines, one behind the other, that couple one or two operands again and again."""
    x, y = (" + ".join(draw(st.lists(st.sampled_from(IRREPS), min_size=1, max_size=2, unique=True))) for _ in "xy")
    lines, before = [], "x"
    for number in range(draw(st.integers(1, 2))):
        lines.append(f"{before} {draw(st.sampled_from('xy'))} -> e{number}[path] in lmax 2")
        before = f"e{number}"
    lines.append(f"{before} {draw(st.sampled_from('xy'))} -> out * W[path]")
    return f"diagram d(x: {x}, y: {y}) -> * in lmax 2 {{ {'; '.join(lines)} }}"


def unchecked(text: str):
    """The paths of a diagram whose trees were not compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "comparable", lambda graph, fusion: False)
        return fusionc.parse(text)["d"].checked.table


@settings(max_examples=60, deadline=None)
@given(chains())
def test_what_is_called_zero_is_zero_and_nothing_else(text):
    try:
        table = unchecked(text)
    except fusionc.CompileError:
        return  # nothing reaches the output
    rng = np.random.default_rng(0)
    found = list(dependent_trees(table))
    if not repeating(table.graph):
        assert not found
        return
    (out,) = evaluate(table, random_legs(table, 2, rng), random_weights(table, rng), "mul_ir")
    said = next((one.message.split(" of the output")[0].split(" + ") for one in found if one.code == "F2002"), [])
    start = 0
    for block in table.outputs["out"].blocks:
        size = block.mul * table.graph.group.dim(block.irrep)
        zero = np.abs(out[..., start : start + size]).max() < 1e-10
        assert zero == (table.graph.group.format(block.irrep) in said)
        start += size


def test_indices_tell_operands_apart():
    """x[u] and x[v] are two vectors, whose cross product does not vanish."""
    fusionc.parse("diagram d(x: 4x1o, y: 0e) -> 16x1e { x[u] y -> e[path, u] \n e[u] x[v] -> out[u, v] }")
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse("diagram d(x: 4x1o, y: 0e) -> 4x1e { x[u] y -> e[path, u] \n e[u] x[u] -> out[u] }")
    assert [found.code for found in caught.value.diagnostics] == ["F2002"]


def test_redundant_weights_of_one_line():
    text = "diagram d(x: 0e + 1e, y: 1o) -> * { x y -> e[path] \n e y -> out * W[path] }"
    (warning,) = driver.check_source(Source("<test>", text)).diagnostics
    assert warning.code == "F2008"
    assert "10 trees end in `out`, and 6 of them are independent" in warning.message

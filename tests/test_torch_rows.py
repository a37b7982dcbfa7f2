"""Arithmetic in rows: products in rectangles, weights in tables, symmetric products with their derivatives."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from derivative_cases import PROPERTY, case
from hypothesis import assume, given
from hypothesis import strategies as st
from stage_cases import check

import fusionc
from fusionc.program.grids import rectangles
from fusionc.program.thresholds import DEFAULT
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import evaluate, random_legs, random_weights
from fusionc.tools.verify import as_tuple, relative

IRREPS = ("0e", "1o", "1e", "2e", "2o", "3o")
PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40, unique=True)


@given(pairs=PAIRS, alike=st.booleans())
def test_rectangles_cover_every_pair(pairs, alike):
    found, places = rectangles(pairs, alike)
    products = [(i, j) for one in found for i in one.left for j in one.right]
    assert len(products) == sum(one.size for one in found)
    for pair, place in zip(pairs, places, strict=True):
        assert products[place] == pair or (alike and products[place] == pair[::-1])


@given(pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 30)), min_size=1, max_size=12, unique=True))
def test_rectangles_are_the_cheapest(pairs):
    """No other way to cut the rows into neighbours computes less."""
    rows = sorted({i for i, _ in pairs})

    def size(some: Sequence[int]) -> int:
        columns = [j for i, j in pairs if some[0] <= i <= some[-1]]
        return (some[-1] - some[0] + 1) * (max(columns) - min(columns) + 1)

    prices = []
    for cuts in itertools.product((False, True), repeat=len(rows) - 1):
        starts = [0, *(at + 1 for at, cut in enumerate(cuts) if cut), len(rows)]
        prices.append(sum(size(rows[a:b]) + DEFAULT.call for a, b in itertools.pairwise(starts)))
    found, _ = rectangles(pairs, alike=False)
    assert sum(one.size + DEFAULT.call for one in found) == min(prices)


def test_rectangles_are_worth_their_calls():
    """All of a triangle is covered by a few rectangles, not by a row each, nor by all of the square."""
    found, _ = rectangles([(i, j) for i in range(40) for j in range(i, 40)], alike=True)
    assert 2 <= len(found) <= 12
    assert sum(one.size for one in found) < 0.65 * 1600


@st.composite
def products(draw: st.DrawFn) -> str:
    """Products of equal operands, orders one to three, with weights in the rows of a table or the same for all."""
    held = draw(st.lists(st.sampled_from(IRREPS), min_size=1, max_size=3, unique=True))
    rows = draw(st.sampled_from([0, 3, 200]))
    orders = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True))
    x = " + ".join(f"2x{irrep}" for irrep in held)
    weight = "z, path, u" if rows else "path, u"
    index = f", z: index({rows})" if rows else ""
    lines = "\n".join(f"    {' '.join(['x[u]'] * n)} -> out[u] * W{n}[{weight}]" for n in orders)
    out = draw(st.sampled_from(["2x0e", "2x0e + 2x1o", "2x1o + 2x2e"]))
    return f"diagram d(x: {x}{index}) -> {out} {{\n{lines}\n}}\n"


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@PROPERTY
@given(text=products())
def test_products_of_equal_operands(layout, text):
    """Value by the dense einsum of the text, derivatives of two orders by torch's own of plain operations."""
    try:
        diagram = fusionc.parse(text)["d"]
    except fusionc.CompileError as error:  # nothing reaches an output, or what does is always zero
        assert {one.code for one in error.diagnostics if one.is_error} <= {"F2002", "F2006"}
        assume(False)
    table, rng = diagram.checked.table, np.random.default_rng(0)
    operands, weights = random_legs(table, 3, rng), random_weights(table, rng)
    with torch.no_grad():
        module = load_module(diagram.checked, weights, layout)
        got = [part.numpy() for part in as_tuple(module(*map(torch.as_tensor, operands)))]
    assert relative(got, evaluate(table, operands, weights, layout)) < 1e-12
    check(case(text, layout))


def test_shorter_products_use_the_states_of_longer_ones():
    """Two lines need no more than the longer one: its pairs are there, and the weights of the shorter meet them."""
    x = "8x0e + 8x1o + 8x2e"
    three = "    a[u] a[u] a[u] -> out[u] * W3[path, u]"
    two = "    a[u] a[u] -> out[u] * W2[path, u]"

    def multiplications(*lines: str) -> int:
        body = "\n".join(lines)
        return fusionc.parse(f"diagram d(a: {x}) -> 8x0e + 8x1o {{\n{body}\n}}\n")["d"].cost().multiplications

    paths = fusionc.parse(f"diagram d(a: {x}) -> 8x0e + 8x1o {{\n{two}\n}}\n")["d"].paths
    dims = sum({"0e": 1, "1o": 3}[str(path.irreps[-1])] for path in paths)
    both = multiplications(two, three)
    assert both == multiplications(three, two)
    assert both <= multiplications(three) + 1000 * 8 * dims


def test_an_index_outside_its_rows_is_named():
    module = fusionc.parse("diagram d(x: 4x1o, z: index(5)) -> 4x0e {\n x[u] x[u] -> out[u] * W[z, path, u]\n}\n")["d"]
    block = module.module()()
    for rows, named in ((torch.tensor([0, 5]), "5"), (torch.tensor([-1, 2]), "-1")):
        with pytest.raises(IndexError, match=re.escape(f"rows 0 to 4, and has {named}")):
            block(torch.randn(2, 12), rows)

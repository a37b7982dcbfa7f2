"""Weights of every form: learned, selected by an index or given for each element, with any of the indices, in any
order. Whole files are measured: values against the dense einsum, derivatives against its differences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionc
from fusionc.tools.verify import verify

IRREPS = ("0e", "1o", "2e", "1e")


@st.composite
def two_legs(draw) -> str:
    """A diagram of two operands, every path weighed: with the indices that are summed, and some of the others."""
    used = draw(st.sampled_from([["u"], ["u", "v"]]))
    right = draw(st.sampled_from([*used, "w"]))
    needed = {"path", "w"} | {index for index in used if index != right}
    indices = draw(st.permutations([one for one in ("path", *used, "w") if one in needed or draw(st.booleans())]))
    kind = draw(st.sampled_from(["W", "r", "W[z]"]))
    own = ", ".join(one for one in indices if one != "w" or right == "w")
    weight, leg = {"W": ("W", ""), "r": ("r", ", r: weights"), "W[z]": ("W", ", z: index(3)")}[kind]
    x, y = (draw(st.lists(st.sampled_from(IRREPS), min_size=1, max_size=2, unique=True)) for _ in "xy")
    legs = f"x: {space(x, 2)}, y: {space(y, 2 if 'v' in used else 1)}"
    product = f"x[u] {'y[v]' if 'v' in used else 'y'}"
    whole = fusionc.parse(f"diagram d({legs}) -> * {{ {product} -> out[path, {', '.join(used)}] }}")["d"].checked.table
    out = space(
        [whole.graph.group.format(block.irrep) for block in whole.outputs["out"].blocks], 3 if right == "w" else 2
    )
    row = "z, " if kind == "W[z]" else ""
    return f"diagram d({legs}{leg}) -> {out} {{ {product} -> out[{right}] * {weight}[{row}{own}] }}"


def space(irreps: list[str], mul: int) -> str:
    return " + ".join(f"{mul}x{irrep}" for irrep in irreps)


def measured(text: str, layout: str) -> None:
    assert verify(fusionc.parse(text)["d"].checked, layout=layout).ok


@settings(max_examples=15, deadline=None)
@given(two_legs(), st.sampled_from(["mul_ir", "ir_mul"]))
def test_random_weights(text, layout):
    measured(text, layout)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize(
    "text",
    [
        "diagram d(x: 3x0e, r: weights) -> 2x0e { x[u] -> out[w] * r[path, u, w] }",
        "diagram d(x: 3x0e + 3x1o, r: weights) -> 2x0e + 2x1o { x[u] -> out[w] * r[path, w, u] }",
        "diagram d(x: 1x2o + 1x0e, y: 3x1o, r: weights) -> 3x1e + 3x1o { x[u] y[v] -> out[v] * r[path, u, v] }",
        "diagram d(x: 2x1o + 2x1e, y: 0e + 1o + 2e, r: weights) -> 3x1o + 3x1e { x[u] y -> out[w] * r[path, u, w] }",
        "diagram d(x: 2x1o, y: 2x1o) -> 2x2e { x[u] y[v] -> out[u] * W[path, v] }",
        "diagram d(x: 2x1o, y: 1o) -> 2x1o { x[u] y -> e[u] * V[path, u] \n e[u] y -> out[u] * W[path, u] }",
        "diagram d(x: 2x1o, y: 2x1e) -> * { y[u] x[v] -> e[u] * W[path, v] \n e[u] -> out[u] * U[path, u] }",
    ],
)
def test_these_weights(text, layout):
    measured(text, layout)


def test_paths_are_added_up_where_their_channels_are_mixed():
    """The weights of all four paths stand side by side: one matrix product [4 components, 4 paths · 5] [4 · 5, 5]."""
    text = "diagram d(x: 5x1o + 5x0e, y: 0e + 1e + 2e, r: weights) -> 5x1o + 5x0e { x[u] y -> out[w] * r[path, u, w] }"
    printed = fusionc.parse(text)["d"].emit("torch", layout="ir_mul")
    assert "_mixed_up(torch.unflatten(t, -2, (4, 4)), (r_2,))" in printed

"""Redundant weights of operands that are equal but for their channels: what is said against ranks that are measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusionc
from fusionc.tools.oracle import evaluate, random_legs, random_weights

IRREPS = ("0e", "0o", "1o", "1e", "2e")


def combinations(text: str, name: str = "W") -> tuple[int, int]:
    """The numbers of a weight, and how many combinations of them the output depends on: the rank of the linear map from
    the weight to the output at random operands, by singular values."""
    table = fusionc.parse(text)["d"].checked.table
    rng = np.random.default_rng(0)
    numel = table.weights[name].numel
    points = random_legs(table, 2 * numel + 3, rng)
    weights, columns = random_weights(table, rng), []
    for unit in np.eye(numel):
        (out,) = evaluate(table, points, weights | {name: unit}, "mul_ir")
        columns.append(out.ravel())
    return numel, int(np.linalg.matrix_rank(np.stack(columns), tol=1e-9))


def said(text: str) -> tuple[int, int] | None:
    """The two numbers of the message."""
    found = [one for one in fusionc.parse(text).diagnostics if one.code == "F2009"]
    if not found:
        return None
    words = found[0].message.replace(",", "").split()
    return int(words[2]), int(words[5])


def check(text: str) -> None:
    numel, rank = combinations(text)
    assert said(text) == ((numel, rank) if rank < numel else None)


@pytest.mark.parametrize(
    "text",
    [
        "diagram d(x: 2x1o) -> 0e + 1e + 2e { x[u] x[v] -> out * W[path,u,v] }",
        "diagram d(x: 2x1o + 3x0e) -> 0e + 1o { x[u] x[v] -> out * W[path,u,v] }",
        "diagram d(x: 2x1o) -> 3x1e { x[u] x[v] -> out[w] * W[path,u,v,w] }",
        "diagram d(x: 3x1o) -> 1e { x[u] x[v] -> out * W[u,v] }",
        "diagram d(x: 2x1o + 2x0e) -> 0e { x[u] x[v] -> out * W[u,v] * V[path] }",
        "diagram d(x: 2x1o) -> 1o { x[u] x[v] x[w] -> out * W[path,u,v,w] }",
        "diagram d(x: 2x1o, y: 2x1o) -> 0e { x[u] x[v] y[s] y[t] -> out * W[path,u,v,s,t] }",
        "diagram d(x: 2x1o, y: 2x0e) -> 2x2e { x[u] y[t] x[v] -> out[t] * W[path,u,v] }",
        "diagram d(x: 2x1o, a: 1o) -> 1o { x[u] a -> e[u]; e[u] x[v] -> out * W[path,u,v] }",
        "diagram d(x: 2x1o) -> * { x[u] x[v] -> out[path] * W[path,u,v] }",
        "diagram d(x: 2x1o) -> 1e { x[u] x[v] -> e in 1e * W[u,v]; e -> out }",
        "group SU(2)\ndiagram d(x: 2x1/2) -> 0 + 1 { x[u] x[v] -> out * W[path,u,v] }",
        "diagram d(x: 2x1o, y: 2x1o) -> 0e + 1e { x[u] y[v] -> out * W[path,u,v] }",
        "diagram d(x: 2x1o) -> 2x0e { x[u] x[v] -> out[u] * W[path,u,v] }",
    ],
)
def test_the_rank_is_that_of_the_map(text):
    check(text)


@st.composite
def pairs(draw) -> str:
    """One operand two or three times with channels of its own, perhaps with another one, one weight for all."""
    blocks = draw(st.lists(st.sampled_from(IRREPS), min_size=1, max_size=2, unique=True))
    muls = [draw(st.integers(1, 2)) for _ in blocks]
    operands = [f"x[{index}]" for index in ("uv" if len(blocks) > 1 else draw(st.sampled_from(["uv", "uvw"])))]
    if draw(st.booleans()):
        operands.insert(draw(st.integers(0, len(operands))), "a")
    indices = ",".join(operand[2] for operand in operands if operand != "a")
    x = " + ".join(f"{mul}x{irrep}" for mul, irrep in zip(muls, blocks, strict=True))
    outputs = " + ".join(draw(st.lists(st.sampled_from(IRREPS), min_size=1, max_size=2, unique=True)))
    kept = draw(st.booleans())
    target, space = ("out[path]", f"* in {outputs}") if kept else ("out", f"* in {outputs}")
    return f"diagram d(x: {x}, a: 1o) -> {space} {{ {' '.join(operands)} -> {target} * W[path,{indices}] }}"


@settings(max_examples=15, deadline=None)
@given(pairs())
def test_ranks_of_random_pairs(text):
    try:
        fusionc.parse(text)
    except fusionc.CompileError:
        return  # nothing reaches the output
    check(text)


def test_a_weight_that_stands_elsewhere_too_is_not_called_redundant():
    text = "diagram d(x: 2x1o, y: 2x1o) -> 0e { x[u] x[v] -> out * W[path,u,v]; x[u] y[v] -> out * W[path,u,v] }"
    assert said(text) is None


def test_what_takes_too_long_is_not_said():
    text = "diagram d(x: 4x0e + 4x1o) -> 0e + 1o { x[u] x[v] x[w] x[t] x[s] -> out * W[path,u,v,w,t,s] }"
    assert said(text) is None

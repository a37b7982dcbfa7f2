"""Code for what is large, reached by what is small: every number that decides between two forms of code is lowered."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from site_cases import Case, arrays, assert_same, case
from site_strategies import site_diagrams
from strategies import trees

import fusionc
from fusionc.program.thresholds import DEFAULT, LOWERED, Thresholds, now, using
from fusionc.tools.verify import as_tuple

RANDOM = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
LAYOUTS = st.sampled_from(("mul_ir", "ir_mul"))
TEXTS = (
    # a matrix that has no batch meets what has one, and the result is written into a place
    "diagram d(y: 1o + 1e, a: 3x0e + 3x1o) -> 3x1o + 3x0e { a[v] y -> out[v] * W1[path,v] * W0 }",
    "diagram d(y: 1o + 1e, a: 3x0e + 3x1o) -> 3x1o + 3x0e { a[v] y -> out[v] * W1[path,v] }",
    "diagram d(y: 1o + 0e) -> 3x1o + 3x0e { y -> out[v] * W[path,v] }",
    "diagram d(a: 3x0e + 3x1o) -> 2x0e + 2x1o { a[v] -> out[u] * W[path,v,u] }",
    "diagram d(a: 3x0e + 3x1o, y: 1o) -> 2x0e + 2x1o { a[v] y -> out[u] * W[path,v,u] * V }",
    "diagram d(a: 3x1o, b: 3x1o) -> 0e + 1e { a[v] b[v] -> out * W[path,v] }",
    "diagram d(y: 1o, b: 2x1o, z: index(3)) -> 3x0e + 3x1e { b[u] y -> out[w] * W[z,path,u,w] }",
    # the first operand is no number, and results have room of their own
    "diagram d(z: index(3), x: 2x1o) -> 3x2e + 3x0e { x[u] x[u] -> out[w] * W[z,path,u,w] }",
    "diagram d(z: index(2), x: 3x1o, y: 2x0e) -> 6x1o { x[u] y[v] -> out[u,v] * W[z,path,u] }",
    "diagram d(x: 2x0e + 2x1o, a: 0e + 1o) -> (s: 4x0e, t: * in lmax 1) {"
    " x[u] a -> t[path,u]; x[u] x[v] a -> s[u,v] * W[path,u,v] }",
)


@st.composite
def lowered(draw: st.DrawFn) -> Thresholds:
    """All of them low, or each low or as it is."""
    if draw(st.booleans()):
        return LOWERED
    names = [field.name for field in dataclasses.fields(Thresholds)]
    kept = draw(st.lists(st.sampled_from(names), unique=True))
    return dataclasses.replace(LOWERED, **{name: getattr(DEFAULT, name) for name in kept})


def derivatives(one: Case, layout: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The values where nothing is recorded; the gradients of all that has any, and theirs."""
    module, values = one.module(layout), one.tensors()
    with torch.no_grad():
        found = list(as_tuple(module(*values, **one.keywords)))
    moving = [value.requires_grad_() for value in values if value.dtype != torch.int64] + list(module.parameters())
    outputs = as_tuple(module(*values, **one.keywords))
    assert_same(arrays(outputs), arrays(found))
    probes = [torch.linspace(-1, 1, out.numel(), dtype=torch.float64).cos().view_as(out) for out in outputs]
    value = sum((out * probe).sum().real for out, probe in zip(outputs, probes, strict=True))
    keep = {"create_graph": True, "materialize_grads": True}
    first = torch.autograd.grad(value, moving, **keep) if value.requires_grad else ()
    norm = sum(gradient.abs().square().sum() for gradient in first)
    second = torch.autograd.grad(norm, moving, materialize_grads=True) if getattr(norm, "requires_grad", False) else ()
    return found, [gradient.resolve_conj() for gradient in (*first, *second)]


def check(one: Case, layout: str, thresholds: Thresholds = LOWERED) -> None:
    """Values against the oracle, derivatives against those of a file that has not been told any other thresholds."""
    _, wanted = derivatives(one, layout)
    with using(thresholds):
        values, found = derivatives(one, layout)
    assert_same(arrays(values), one.oracle(layout))
    assert_same(arrays(found), arrays(wanted))


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("text", TEXTS)
def test_small_batches_reach_the_code_for_large_ones(text, layout):
    check(case(fusionc.parse(text)["d"], batch=5), layout)


@RANDOM
@given(data=st.data(), layout=LAYOUTS, thresholds=lowered())
def test_random_trees(data, layout, thresholds):
    text = data.draw(trees(data.draw(st.integers(2, 3)))).text
    check(case(fusionc.parse(text)["d"], batch=data.draw(st.integers(0, 5))), layout, thresholds)


@RANDOM
@given(one=site_diagrams(), layout=LAYOUTS, thresholds=lowered())
def test_random_diagrams_over_sites(one, layout, thresholds):
    try:
        diagram = fusionc.parse(one.text)["d"]
    except fusionc.CompileError:
        return
    check(case(diagram), layout, thresholds)


def test_they_change_what_is_emitted_and_only_inside():
    diagram = fusionc.parse(TEXTS[0])["d"]
    before = diagram.emit()
    with using(LOWERED):
        assert now() is LOWERED
        assert diagram.emit() != before
    assert diagram.emit() == before


def test_kernels_are_not_divided_for_ever():
    """Equal operands and many paths: comparing all ways to divide such kernels took minutes, loops take what is too
    much."""
    text = "diagram d(a: 0e + 1o) -> 0e + 1o + 2e { a a a -> out * W[path]; a a -> out * V[path] }"
    diagram = fusionc.parse(text)["d"]
    with using(dataclasses.replace(LOWERED, most_work=0)):
        assert "tl.load(places + at" in diagram.emit("triton") or "_TABLE" in diagram.emit("triton")


@pytest.mark.parametrize(
    "line", ["x[u] x[u] -> out[u,w] * W[path,w]", "x[u] x[v] -> out[u,w] * W[path,v,w]", "x[u] -> out[u,w] * W[path,w]"]
)
def test_kernels_of_operands_that_meet_channels_of_weights(line):
    """What torch mixes channels with is there, in every order of derivatives."""
    out = "6x1o" if line.startswith("x[u] ->") else "6x2e"
    for thresholds in (DEFAULT, LOWERED):
        with using(thresholds):
            text = fusionc.parse(f"diagram d(x: 2x1o) -> {out} {{ {line} }}")["d"].emit("triton")
        compile(text, "generated", "exec")


def test_kernels_read_rows_that_stand_in_memory():
    """An index leg may be the same for a whole batch: kernels count its rows, so it is written out first."""
    diagram = fusionc.parse("diagram d(x: 1o, z: index(3)) -> 1o { x -> out * W[z] }")["d"]
    assert "p_z, = [one.contiguous() for one in fixed]" in diagram.emit("triton")

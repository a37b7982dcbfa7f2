"""Compiled code: a statement for each component, loops over pairs, operators of diagrams over sites. Values and
gradients against eager calls, which other tests compare with the oracle."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from site_cases import SMALL_NAMES, Case, case, odd, small
from site_strategies import site_diagrams
from strategies import trees
from torch.utils.checkpoint import checkpoint

import fusionc
from fusionc.program.thresholds import Thresholds, using
from fusionc.targets.torch_pairs import PairLoop
from fusionc.tools.verify import as_tuple

CASES = {
    "weights of every element": "(x: 2x0e + 3x1o, y: 1o, r: weights) -> * in lmax 1 "
    "{ x[u] y -> out[path,u] * r[path,u] }",
    "rows of a table": "(z: index(5), x: 4x0e + 4x1o, y: 0e + 1o) -> 4x0e + 4x1o { x[u] y -> out[u] * W[z,path,u] }",
    "two outputs": "(x: 2x1o, y: 1o) -> (s: 2x0e + 2x1e, t: * in 0e + 1e) "
    "{ x[u] y -> s[u] * W[path,u]; x[u] y -> t[path,u] }",
    "a copy": "(x: 4x0e + 4x1o) -> 4x0e + 4x1o { x[u] -> out[u] }",
    "some components are zero": "(x: 4x0e + 4x1o, y: 0e) -> (s: 4x0e + 4x1o, t: 4x0e) "
    "{ x[u] y -> s[u]; x[u] y -> t[u] }",
}
compiled = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)


@contextmanager
def compiled_by(backend: str | Callable) -> Iterator[None]:
    """Loops over pairs are compiled by a backend, from the beginning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
        torch._dynamo.reset()
        yield


@pytest.fixture
def make():
    """Makes a module of a text."""
    with compiled_by("aot_eager"):
        yield module_of


def module_of(text: str, layout: str = "ir_mul", **options) -> torch.nn.Module:
    kind = fusionc.parse(f"diagram d{text}")["d"].module(layout=layout, **options)
    return kind(dtype=torch.float64)


def operands(text: str, *batch: int) -> list[torch.Tensor]:
    values = case(fusionc.parse(f"diagram d{text}")["d"], batch=math.prod(batch)).tensors()
    return [value.reshape(*batch, *value.shape[1:]) for value in values]


def with_gradients(function, module: torch.nn.Module, values: list[torch.Tensor]) -> list[torch.Tensor]:
    """Outputs, and gradients by all operands and weights of a sum of them in which every number counts."""
    leaves = [one.clone().requires_grad_() if one.is_floating_point() else one for one in values]
    outputs = as_tuple(function(*leaves))
    total = sum((one * torch.arange(one.numel()).view(one.shape).cos()).sum() for one in outputs)
    asked = [one for one in leaves if one.requires_grad] + list(module.parameters())
    return [*outputs, *torch.autograd.grad(total, asked)]


def assert_same(found, wanted) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(make, name):
    """For batches of any size; one case is differentiated ahead of time, which takes longest."""
    module = make(CASES[name], "mul_ir" if name == "two outputs" else "ir_mul")
    function = compiled(module, dynamic=True, backend="aot_eager" if name == "weights of every element" else "eager")
    for batch in ((7,), (9,)):
        values = operands(CASES[name], *batch)
        assert_same(with_gradients(function, module, values), with_gradients(module, module, values))


def test_some_gradients(make):
    """Of operands that are asked for, by outputs that count."""
    module = make(CASES["two outputs"])
    values = [one.requires_grad_() for one in operands(CASES["two outputs"], 7)]
    for backend in ("eager", "aot_eager"):
        function = compiled(module, backend=backend)
        for place in range(2):
            for asked in ([values[0]], [values[1], module.W]):
                kept = functools.partial(torch.autograd.grad, inputs=asked, materialize_grads=True)
                found, wanted = (kept(f(*values)[place].sum()) for f in (function, module))
                assert_same(found, wanted)


def test_gradients_of_gradients(make):
    """Where the compiled code is one that torch differentiates twice."""
    module = make(CASES["weights of every element"])
    values = [one.requires_grad_() for one in operands(CASES["weights of every element"], 7)]

    def twice(function):
        (force,) = torch.autograd.grad(function(*values).square().sum(), values[1], create_graph=True)
        return torch.autograd.grad(force.square().sum(), values)

    assert_same(twice(compiled(module, backend="eager")), twice(module))


def test_no_memory_is_given_twice(make):
    module = make(CASES["a copy"])
    (value,) = operands(CASES["a copy"], 7)
    probe, function = torch.randn_like(value), compiled(module)
    assert function(value).data_ptr() != value.data_ptr()
    (gradient,) = torch.autograd.grad(function(value.requires_grad_()), value, probe)
    assert torch.equal(gradient, probe)
    assert gradient.data_ptr() != probe.data_ptr()


def test_within_other_code(make):
    """Two in a row, with operations between, evaluated again for the gradients; weights that a step changes."""
    text = "(x: 4x0e + 4x1o, y: 0e + 1o) -> 4x0e + 4x1o { x[u] y -> out[u] * W[path,u] }"
    module = make(text)

    def network(x, y):
        return checkpoint(lambda x, y: module(module(x.sin(), y).tanh(), y), x, y, use_reentrant=False)

    function, values = compiled(network), operands(text, 2, 3)
    for _ in range(2):
        assert_same(with_gradients(function, module, values), with_gradients(network, module, values))
        with torch.no_grad():
            module.W += 1


def test_where_no_operator_may_stand(make):
    """Transforms inside compiled code, halves (whose result is cast), exported programs: plain statements."""
    module = make(CASES["weights of every element"])
    x, y, r = operands(CASES["weights of every element"], 7)
    for function in (
        lambda x: torch.func.grad(lambda one: module(one, y, r).square().sum())(x),
        lambda x: torch.func.jvp(lambda one: module(one, y, r), (x,), (2 * x,))[1],
        lambda x: torch.vmap(lambda one: module(one, y, r))(torch.stack([x, 2 * x])),
        lambda x: module(x.bfloat16(), y.bfloat16(), r.bfloat16()).float(),
    ):
        torch.testing.assert_close(compiled(function)(x), function(x))
    rows = torch.export.Dim("rows")
    for strict in (True, False):
        program = torch.export.export(module, (x, y, r), dynamic_shapes=({0: rows},) * 3, strict=strict)
        assert not [node for node in program.graph.nodes if "fusionc" in str(node.target)]


def check(one: Case, layout: str) -> None:
    """Values, gradients and their gradients, of code that dynamo follows, with operators, against an eager call."""
    with compiled_by("eager"):
        module = one.module(layout)
        values = [value.requires_grad_(value.dtype != torch.int64) for value in one.tensors()]
        moving = [value for value in (*values, *module.parameters()) if value.requires_grad]
        found = []
        for function in (compiled(module, backend="eager"), module):
            outputs = as_tuple(function(*values, **one.keywords))
            total = sum(output.abs().square().sum() for output in outputs)
            first = torch.autograd.grad(total, moving, create_graph=True, materialize_grads=True)
            second = sum(gradient.abs().square().sum() for gradient in first)
            second = torch.autograd.grad(second, moving, materialize_grads=True) if second.requires_grad else ()
            found.append([*outputs, *first, *second])
        assert_same(*found)


RANDOM = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


@RANDOM
@given(data=st.data(), layout=st.sampled_from(("mul_ir", "ir_mul")))
def test_random_trees(data, layout):
    check(case(fusionc.parse(data.draw(trees(data.draw(st.integers(2, 3)))).text)["d"]), layout)


@RANDOM
@given(one=site_diagrams(), layout=st.sampled_from(("mul_ir", "ir_mul")))
def test_random_diagrams_over_sites(one, layout):
    try:
        diagram = fusionc.parse(one.text)["d"]
    except fusionc.CompileError:
        return
    check(case(diagram), layout)


LOOPS = ("kept on pairs", "kept without sites", "into the neighbours", "two sets")


@pytest.mark.parametrize("name", ["message", "counted", *LOOPS, "rows at both ends"])
def test_loops_over_pairs(name, monkeypatch):
    """Two pairs at a time: sums over sites and over everything, outputs over pairs, weights that all of them share."""
    monkeypatch.setattr(PairLoop, "piece", 2)
    one = case(small(name) if name in SMALL_NAMES else odd(name))
    with compiled_by("eager"):
        module = one.module("ir_mul")
        loops = "_over_pairs" in type(module).forward.__globals__  # (no loop reads a pair's row of a table)
        assert loops == (name != "rows at both ends")
        function, given = compiled(module, backend="eager"), one.keywords
        wanted = with_gradients(functools.partial(module, **given), module, one.tensors())
        assert_same(with_gradients(functools.partial(function, **given), module, one.tensors()), wanted)


def test_many_terms_are_no_loop():
    """A compiler would take minutes."""
    with using(Thresholds(most_terms_of_pairs=10)):
        assert "_over_pairs" not in small("message").emit(layout="ir_mul")


class Counting:
    """A compiler that changes nothing, and counts what it is given."""

    made = 0

    def __call__(self, graph, inputs):
        self.made += 1
        return graph.forward


def test_a_loop_over_pairs_is_compiled_once():
    """For any number of pairs, though a compiler watches the first call of an operator; a single pair has none."""
    one, backend = case(small("message")), Counting()
    with compiled_by(backend):
        module = one.module()
        function = compiled(module)
        for pairs in (7, 12, 1, 0, 7):
            x, y, r = one.tensors()
            edges = torch.randint(x.shape[-2], (2, pairs))
            values = x, y[..., :1, :].repeat_interleave(pairs, -2), r[..., :1, :].repeat_interleave(pairs, -2)
            wanted = with_gradients(functools.partial(module, edges=edges), module, values)
            assert_same(with_gradients(functools.partial(function, edges=edges), module, values), wanted)
    assert backend.made == 2  # its value and its gradients


def test_sites_are_behind_an_operator():
    """A compiler would undo the pieces: it holds all pairs at once, and adds them up one number at a time."""
    one, graphs = case(small("many")), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled(one.module(), backend=backend)(*one.tensors(), **one.keywords)
    called = [str(node.target) for graph in graphs for node in graph.graph.nodes if node.op == "call_function"]
    assert sum("fusionc" in name for name in called) == 1
    assert not any("index" in name for name in called)


def test_forward_derivatives_of_statements_for_compilers(make):
    """In an eager call, where a style wants just these."""
    text = CASES["weights of every element"]
    module = make(text, "mul_ir", style="scalar")
    x, y, r = operands(text, 7)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, 2 * x)
        tangent = torch.autograd.forward_ad.unpack_dual(module(dual, y, r)).tangent
    torch.testing.assert_close(tangent, module(2 * x, y, r))


def test_no_compiler_is_loaded_before_it_is_needed():
    code = (
        "import sys, torch, fusionc\n"
        "diagram = fusionc.parse('diagram d(x: 2x1o, y: 1o) -> * { x[u] y -> out[path,u] }')['d']\n"
        "diagram.module()()(torch.ones(6), torch.ones(3))\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_large_result():
    """The real thing: compiled by inductor, 34 MB; each call has memory of its own."""
    text = "diagram d(x: 16x1o, y: 1o) -> * { x[u] y -> out[path, u] }"
    module = fusionc.parse(text)["d"].module(layout="ir_mul")()
    function = torch.compile(module, fullgraph=True)
    values = torch.randn(60_000, 48), torch.randn(60_000, 3)
    found, again = function(*values), function(*values)
    assert found.data_ptr() != again.data_ptr()
    torch.testing.assert_close(found, module(*values))


@pytest.mark.parametrize("style", ["auto", "batched"])
def test_rows_by_two_indices_of_a_single_element(style):
    """Without batch dimensions index legs are tensors without any, which a compiler takes for unknown integers."""
    text = "diagram d(x: 2x1o, y: 0e + 1e, z: index(3), q: index(2)) -> 2x1o { x[u] y -> out[u] * W[z,q,path,u] }"
    module = fusionc.parse(text)["d"].module(style=style)()
    legs = torch.randn(6, requires_grad=True), torch.randn(4), torch.tensor(2), torch.tensor(1)
    wanted, found = module(*legs), compiled(module)(*legs)
    assert torch.allclose(wanted, found, atol=1e-6)
    inputs = legs[0], module.W
    for one, other in zip(
        torch.autograd.grad(found.sum(), inputs), torch.autograd.grad(wanted.sum(), inputs), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)
    batch = tuple(one.detach().expand(3, *one.shape) for one in legs)
    assert torch.allclose(torch.func.vmap(module)(*batch), wanted.expand(3, -1), atol=1e-6)

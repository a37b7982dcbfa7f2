"""What callers of a generated module may do: with its results, with its weights, on any device, by whatever tool."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import fusionc
from fusionc.tools.oracle import random_legs

MIXED = "diagram d(x: 4x0e + 4x1o, y: 0e + 1o + 2e) -> 4x0e + 4x1o { x[u] y -> out[u] * W[path, u] }"
KEPT = "diagram d(x: 4x0e + 4x1o, y: 0e + 1o) -> * { x[u] y -> out[path, u] }"
POWERS = """diagram d(x: 2x0e + 2x1o + 2x2e, z: index(3)) -> 2x0e + 2x1o {
    x[u] x[u] -> out[u] * W2[z, path, u]
    x[u] x[u] x[u] -> out[u] * W3[z, path, u]
}"""
TWICE = "diagram d(x: 4x0e) -> (s: 4x0e, v: 4x0e) { x[u] x[u] -> s[u]\n x[u] x[u] -> v[u] }"
SEEN = "diagram d(x: 4x0e) -> (s: 4x0e, v: 4x0e) { x[u] -> s[u]\n x[u] x[u] -> v[u] * W[path, u] }"
BOTH = "diagram d(x: 4x1o) -> (s: 4x1o, v: 4x1o) { x[u] -> s[u]\n x[u] -> v[u] }"
SAME = "diagram d(x: 1x1o) -> 1x1o { x -> out }"
LEVEL = "diagram d(r: 1o) -> 1x2e { r r -> out }"
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.fus"))

ways = pytest.mark.parametrize(
    ("layout", "style"), [("mul_ir", "auto"), ("ir_mul", "auto"), ("ir_mul", "batched"), ("mul_ir", "scalar")]
)


def made(text, layout="ir_mul", style="auto", **options):
    torch.manual_seed(0)
    return fusionc.parse(text)["d"].module(layout=layout, style=style)(**options)


def operands(text, batch=5, dtype=torch.float32):
    table = fusionc.parse(text)["d"].checked.table
    found = [torch.as_tensor(one) for one in random_legs(table, batch, np.random.default_rng(0))]
    return [one.to(dtype).requires_grad_() if one.is_floating_point() else one for one in found]


def parts(result):
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def memory(*tensors):
    return {one.untyped_storage().data_ptr() for one in tensors}


@ways
@pytest.mark.parametrize("text", [MIXED, KEPT, POWERS, TWICE, SEEN, BOTH, SAME, LEVEL])
def test_results_are_the_caller_s(text, layout, style):
    """They are contiguous, share no memory with operands or each other, and may be written into."""
    module, given = made(text, layout, style), operands(text)
    with torch.no_grad():
        results = parts(module(*given))
    assert all(one.is_contiguous() for one in results)
    assert len(memory(*results, *given)) == len(results) + len(given)
    recorded, wanted = parts(module(*given)), parts(module(*given))
    for one in recorded:
        one.mul_(2.0)
    leaves = [one for one in given if one.requires_grad]
    twice = torch.autograd.grad(sum(one.sum() for one in recorded), leaves)
    once = torch.autograd.grad(sum(one.sum() for one in wanted), leaves)
    for one, two in zip(twice, once, strict=True):
        torch.testing.assert_close(one, 2 * two)


@ways
@pytest.mark.parametrize("text", [MIXED, KEPT, POWERS, TWICE, SEEN, BOTH, SAME, LEVEL])
def test_what_needs_no_gradient_is_computed_without_recording(text, layout, style, monkeypatch):
    """Where gradients are on and nobody asks for one, as in a script that forgets `no_grad`. The results may be
    written into, also by what is recorded."""
    module = made(text, layout, style).requires_grad_(False)
    given = [one.detach() for one in operands(text)]
    file = module.forward.__globals__
    evaluated, recording = file.get("_evaluated"), []  # (scalar code is plain statements: its file has no such helper)
    assert (evaluated is None) == (style == "scalar")

    def spy(*arguments):
        recording.append(torch.is_grad_enabled())
        return evaluated(*arguments)

    with torch.no_grad():
        wanted = parts(module(*given))
    if evaluated:
        monkeypatch.setitem(file, "_evaluated", spy)
    found = parts(module(*given))
    assert set(recording) == ({False} if evaluated else set())
    factor = torch.full((), 2.0, requires_grad=True)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)
        one.mul_(factor)
        (slope,) = torch.autograd.grad(one.sum(), factor)
        torch.testing.assert_close(slope, other.sum())


@ways
@pytest.mark.parametrize("text", [SAME, BOTH, MIXED])
def test_second_derivatives_of_what_passes_through(text, layout, style):
    module, given = made(text, layout, style, dtype=torch.float64), operands(text, 2, torch.float64)
    assert torch.autograd.gradgradcheck(lambda *legs: parts(module(*legs)), given)


def _second_order(function, given):
    leaves = [one for one in given if one.requires_grad]
    total = sum(one.abs().square().sum() for one in parts(function(*given)))
    first = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
    first = [one for one in first if one is not None]  # (some diagrams vanish)
    recorded = [one for one in first if one.requires_grad]
    if recorded:
        torch.autograd.grad(sum(one.abs().square().sum() for one in recorded), leaves, allow_unused=True)
    return total, first


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_gives_nothing(path):
    """Every example for an empty batch: its value, its gradients and theirs."""
    for diagram in fusionc.load(path).diagrams.values():
        function, table = diagram.module(layout="ir_mul")(), diagram.checked.table
        asked = inspect.signature(function.forward).parameters.values()
        if not asked or any(one.kind is one.KEYWORD_ONLY for one in asked):
            continue  # a number; sites, of which the next test has none
        kind = torch.complex64 if table.graph.basis == "complex" else torch.float32
        given = [torch.as_tensor(one) for one in random_legs(table, 0, np.random.default_rng(0))]
        numbers = [one.is_floating_point() or one.is_complex() for one in given]
        given = [
            one.to(kind).requires_grad_() if is_number else one for one, is_number in zip(given, numbers, strict=True)
        ]
        total, first = _second_order(function, given)
        assert total.item() == 0
        assert all(one.numel() == 0 for one in first)


def test_no_sites_give_nothing():
    text = """sites atoms
    pairs edges(atoms, atoms)
    diagram d(x: 1x0e + 1x2o[atoms], z: index(3)[atoms]) -> (out: 1x2e[atoms], q: 1x0e[atoms]) {
        x[i,u] x[i,u] -> A[i,u] in lmax 2 * V[z,path,u]
        A[i,u] A[i,u] -> out[i,u] * W[z,path,u]
        x[i,u] x[i,u] -> q[i,u] * U[z,path,u]
    }"""
    x = torch.randn(0, 6, requires_grad=True)
    z = torch.zeros(0, dtype=torch.int64)
    total, first = _second_order(lambda x: made(text)(x, z), [x])
    assert total.item() == 0
    assert first[0].shape == (0, 6)


@ways
@pytest.mark.parametrize("text", [MIXED, POWERS])
def test_activation_checkpoints(text, layout, style):
    module, given = made(text, layout, style), operands(text)
    leaves = [one for one in (*given, *module.parameters()) if one.requires_grad]
    wanted = torch.autograd.grad(module(*given).sum(), leaves)
    for one, two in zip(
        torch.autograd.grad(checkpoint(module, *given, use_reentrant=False).sum(), leaves), wanted, strict=True
    ):
        torch.testing.assert_close(one, two)


@ways
@pytest.mark.parametrize("text", [MIXED, POWERS])
def test_an_ensemble_is_a_vmap_over_weights(text, layout, style):
    modules = [made(text, layout, style) for _ in range(3)]
    for number, module in enumerate(modules):
        for weight in module.parameters():
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(number))
    stacked, _ = torch.func.stack_module_state(modules)
    given = [one.detach() for one in operands(text)]
    found = torch.func.vmap(lambda weights: torch.func.functional_call(modules[0], weights, tuple(given)))(stacked)
    torch.testing.assert_close(found, torch.stack([module(*given) for module in modules]))


@ways
@pytest.mark.parametrize("text", [MIXED, POWERS])
def test_many_cotangents_at_once(text, layout, style):
    """`is_grads_batched`, which vectorized Jacobians and Hessians are made of."""
    module, (x, *rest) = made(text, layout, style, dtype=torch.float64), operands(text, 2, torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # (torch says which of its own operations it maps one by one)
        for transform, function in (
            (torch.autograd.functional.jacobian, lambda x: module(x, *rest)),
            (torch.autograd.functional.hessian, lambda x: module(x, *rest).square().sum()),
        ):
            torch.testing.assert_close(transform(function, x, vectorize=True), transform(function, x))


@ways
@pytest.mark.parametrize("text", [MIXED, POWERS])
def test_meta_tensors_have_shapes(text, layout, style):
    module = made(text, layout, style, device="meta")
    given = [one.detach().to("meta").requires_grad_(one.requires_grad) for one in operands(text)]
    module(*given).sum().backward()
    assert all(one.grad.shape == one.shape for one in given if one.requires_grad)


@ways
@pytest.mark.parametrize("text", [MIXED, POWERS])
def test_operands_decide_on_the_device(text, layout, style):
    """Not the default one, which may be another when a module is called."""
    module, given = made(text, layout, style), operands(text)
    with torch.device("meta"):
        module(*given).sum().backward()
    assert given[0].grad.device.type == "cpu"


@ways
@pytest.mark.parametrize("text", [MIXED, POWERS])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_tracers_see_plain_operations(text, layout, style):
    module, given, others = made(text, layout, style), operands(text, 3), operands(text, 7)
    names, weights = zip(*module.named_parameters(), strict=True)

    def function(weights, *legs):
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), legs)

    torch.testing.assert_close(make_fx(function)(weights, *given)(weights, *given), module(*given))
    torch.testing.assert_close(torch.jit.trace(module, tuple(given))(*others), module(*others))


@ways
def test_rows_of_complex_weights_have_derivatives(layout, style):
    text = """group SU(2)
    diagram d(x: 1x1, y: 1x0 + 1x2, z: index(3)) -> 1x1 {
        x[u] y -> A[u] in lmax 2 * V[path, u]
        A[u] -> out[w] * W[z, path, u, w]
    }"""
    module = made(text, layout, "auto" if style == "scalar" else style, dtype=torch.complex128)
    x, y = (torch.randn(4, size, dtype=torch.complex128, requires_grad=True) for size in (3, 6))
    z = torch.tensor([0, 1, 2, 0])

    def function(x, y, *weights):
        given = dict(zip(("V", "W"), weights, strict=True))
        return torch.func.functional_call(module, given, (x, y, z))

    assert torch.autograd.gradcheck(function, (x, y, module.V, module.W))

"""Generated modules under autograd, torch.func, torch.compile and torch.export, and what they say of wrong operands."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import fusionc
from fusionc.tools.oracle import random_legs

TEXT = """
irreps H = 4x0e + 4x1o
irreps Y = spherical(2)

diagram three_body(x: H, a: Y, b: Y) -> H {
    x[u] a -> e[u] in 0e + 1o + 2e
    e[u] b -> out[u] * W[path, u]
}

diagram product_basis(a: H, z: index(5)) -> H {
    a[u] a[u] -> out[u] * W2[z, path, u]
    a[u] a[u] a[u] -> out[u] * W3[z, path, u]
}

diagram message(x: H, y: Y, r: weights) -> (s: 4x0e, v: 4x1o) {
    x[u] y -> s[u] * r[path, u]
    x[u] y -> v[u] * V[path, u]
}
"""
NAMES = ("three_body", "product_basis", "message")
LAYOUTS = ("mul_ir", "ir_mul")


@pytest.fixture(scope="module")
def program():
    return fusionc.parse(TEXT)


def operands(program, name, batch=(6,), dtype=torch.float64, seed=0):
    """Random operands with any batch shape."""
    table = program[name].checked.table
    count = int(np.prod(batch, dtype=int))
    values = []
    for value in random_legs(table, count, np.random.default_rng(seed)):
        tensor = torch.as_tensor(value)
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        values.append(tensor.reshape(*batch, *tensor.shape[1:]))
    return values


def make(program, name, dtype=torch.float64, layout="mul_ir"):
    torch.manual_seed(0)
    return program[name].module(layout=layout)(dtype=dtype)


def parts(outputs):
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def assert_close(got, wanted, tolerance=1e-12):
    for one, two in zip(parts(got), parts(wanted), strict=True):
        assert one.shape == two.shape
        assert (one - two).abs().max().item() <= tolerance * max(1.0, two.abs().max().item()) if two.numel() else True


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_any_batch_shape(program, name, layout):
    module = make(program, name, layout=layout)
    flat = operands(program, name, (12,))
    wanted = parts(module(*flat))
    for batch in ((3, 4), (2, 3, 2), (12, 1)):
        shaped = [value.reshape(*batch, *value.shape[1:]) for value in flat]
        assert_close(module(*shaped), [w.reshape(*batch, w.shape[-1]) for w in wanted])
    one = [value[0] for value in flat]
    assert_close(module(*one), [w[0] for w in wanted])


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch_with_gradients(program, name):
    module = make(program, name)
    values = operands(program, name, (0,))
    for value in values:
        value.requires_grad_(value.is_floating_point())
    outputs = parts(module(*values))
    assert all(out.shape[0] == 0 for out in outputs)
    sum(out.sum() for out in outputs).backward()
    assert all((parameter.grad == 0).all() for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_batch_shapes_broadcast(program, name):
    module = make(program, name)
    values = operands(program, name, (5,))
    first, *rest = values
    single = [value[:1] for value in rest]
    wanted = module(first, *(value.expand(5, *value.shape[1:]) for value in single))
    assert_close(module(first, *single), wanted)
    assert_close(module(first, *(value[0] for value in single)), wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_operands_may_be_non_contiguous(program, name, layout):
    module = make(program, name, layout=layout)
    values = operands(program, name, (3, 4))
    turned = [v.transpose(0, 1).contiguous().transpose(0, 1) for v in values]
    strided = [torch.stack([v, v], dim=-1)[..., 0] for v in values]
    assert not strided[0].is_contiguous()
    assert_close(module(*turned), module(*values))
    assert_close(module(*strided), module(*values))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(program, name, dtype):
    """float32 to its accuracy; halves are computed in float32 and rounded once at the end."""
    module = make(program, name)
    low = make(program, name, dtype)
    with torch.no_grad():
        for one, two in zip(module.parameters(), low.parameters(), strict=True):
            one.copy_(two)
    values = operands(program, name, dtype=dtype)
    exact = [value.double() if value.is_floating_point() else value for value in values]
    outputs = low(*values)
    assert all(out.dtype == dtype for out in parts(outputs))
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2**-8, torch.float16: 2**-10}[dtype]
    assert_close([out.double() for out in parts(outputs)], module(*exact), tolerance)


def test_half_operands_with_float32_weights(program):
    module = make(program, "three_body", torch.float32)
    values = operands(program, "three_body", dtype=torch.bfloat16)
    assert module(*values).dtype == torch.bfloat16


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_and_gradgradcheck(program, name, layout):
    module = make(program, name, layout=layout)
    values = [v.requires_grad_(v.is_floating_point()) for v in operands(program, name, (2,))]
    run = lambda *inputs: parts(module(*inputs))  # noqa: E731
    assert torch.autograd.gradcheck(run, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, values, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_compile_fullgraph(program, name):
    module = make(program, name)
    values = [v.requires_grad_(v.is_floating_point()) for v in operands(program, name)]
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    wanted, got = module(*values), compiled(*values)
    assert_close(got, wanted)
    gradients = [
        torch.autograd.grad(sum(out.square().sum() for out in parts(outputs)), [values[0], *module.parameters()])
        for outputs in (wanted, got)
    ]
    assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("name", ["message", "product_basis"])
def test_compile_where_a_default_device_is_set(program, name):
    """A default device looks at every function that is called, and a compiler at what it does."""
    values = operands(program, name)
    with torch.device("cpu"):
        module = make(program, name)
        torch._dynamo.reset()
        assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(*values), module(*values))


def test_compile_with_inductor(program):
    module = make(program, "product_basis")
    values = operands(program, "product_basis")
    assert_close(torch.compile(module, fullgraph=True)(*values), module(*values))


@pytest.mark.parametrize("name", NAMES)
def test_export_with_a_dynamic_batch(program, name):
    module = make(program, name)
    values = operands(program, name, (4,))
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in values)
    exported = torch.export.export(module, tuple(values), dynamic_shapes=shapes, strict=True)
    other = operands(program, name, (9,), seed=1)
    assert_close(exported.module()(*other), module(*other))


@pytest.mark.parametrize("name", NAMES)
def test_vmap(program, name):
    module = make(program, name)
    values = operands(program, name, (3, 4))
    assert_close(torch.func.vmap(module)(*values), module(*values))
    assert_close(torch.func.vmap(torch.func.vmap(module))(*values), module(*values))


def test_functional_transforms(program):
    module = make(program, "three_body")
    x, a, b = operands(program, "three_body", (4,))
    tangent = torch.randn_like(x)
    value, derivative = torch.func.jvp(lambda v: module(v, a, b), (x,), (tangent,))
    assert_close(value, module(x, a, b))
    assert_close(derivative, module(tangent, a, b))  # linear in x
    gradient = torch.func.grad(lambda v: module(v, a, b).square().sum())(x)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(module(leaf, a, b).square().sum(), leaf)
    assert_close(gradient, wanted)
    single = torch.func.grad(lambda v, p, q: module(v, p, q).square().sum())
    assert_close(torch.func.vmap(single)(x, a, b), wanted)
    hessian = torch.func.hessian(lambda v: module(x[0], v, b[0]).sum())(a[0])
    assert hessian.abs().max() == 0  # linear in a


def test_options_of_a_module(program):
    assert program["three_body"].module(dtype="float64")().W.dtype == torch.float64
    assert program["three_body"].module(dtype="float64")(dtype=torch.float32).W.dtype == torch.float32
    with pytest.raises(ValueError, match="layout should be one of"):
        program.emit(layout="mulir")
    with pytest.raises(ValueError, match="dtype should be one of"):
        program.emit(dtype="float8")


def test_complex_modules():
    """SU(2): complex64 and complex128, real weights welcome, and a word on real operands."""
    text = "group SU(2)\ndiagram d(x: 2x1/2 + 2x1, y: 1/2) -> 2x0 + 2x1/2 + 2x1 { x[u] y -> out[u] * W[path, u] }"
    kind = fusionc.parse(text)["d"].module()
    module = kind()
    assert module.W.dtype == torch.complex64
    x, y = torch.randn(5, 10, dtype=torch.complex64), torch.randn(5, 2, dtype=torch.complex64)
    double = kind(dtype=torch.complex128)
    with torch.no_grad():
        double.W.copy_(module.W)
    wanted = double(x.to(torch.complex128), y.to(torch.complex128))
    assert (module(x, y) - wanted).abs().max() < 1e-5
    assert kind(dtype=torch.float32)(x, y).dtype == torch.complex64
    assert (torch.compile(module, fullgraph=True, backend="aot_eager")(x, y) - wanted).abs().max() < 1e-5
    with pytest.raises(TypeError, match="`x` should be a complex tensor"):
        module(x.real, y)


def test_pure_function_and_module_agree(program):
    for name in NAMES:
        module = make(program, name)
        values = operands(program, name)
        assert_close(program[name].function()(*values, *module.parameters()), module(*values))


def test_several_outputs_have_names(program):
    outputs = make(program, "message")(*operands(program, "message"))
    assert outputs._fields == ("s", "v")
    assert outputs.s.shape == (6, 4)
    assert outputs.v.shape == (6, 12)


def test_modules_copy_pickle_and_load(program):
    module = make(program, "three_body")
    values = operands(program, "three_body")
    again = copy.deepcopy(module)
    assert_close(again(*values), module(*values))
    assert_close(pickle.loads(pickle.dumps(module))(*values), module(*values))
    other = program["three_body"].module()(dtype=torch.float64)
    other.load_state_dict(module.state_dict())
    assert_close(other(*values), module(*values))


WRONG = {
    "shape": (lambda x, a, b: (x, a[:, :5], b), ValueError, ["`a`", "[..., 9]", "[6, 5]", "1x0e + 1x1o + 1x2e"]),
    "scalar": (lambda x, a, b: (torch.tensor(1.0, dtype=torch.float64), a, b), ValueError, ["`x`", "[..., 16]", "[]"]),
    "dtype": (lambda x, a, b: (x, a.float(), b), TypeError, ["`a`", "torch.float64", "torch.float32", "`x`"]),
    "integers": (lambda x, a, b: (x.long(), a, b), TypeError, ["`x`", "floating-point", "torch.int64"]),
    "device": (lambda x, a, b: (x, a, b.to("meta")), ValueError, ["`b`", "cpu", "meta"]),
    "no tensor": (lambda x, a, b: (x, a.numpy(), b), TypeError, ["`a`", "torch.Tensor", "numpy array"]),
    "batch": (lambda x, a, b: (x, a, b[:4]), ValueError, ["`b`", "`x`", "[6]", "[4]"]),
    "weights": (
        lambda x, a, b: (x.float(), a.float(), b.float()),
        TypeError,
        ["`W`", "torch.float32", "torch.float64"],
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_operands_are_named(program, mistake):
    change, kind, words = WRONG[mistake]
    with pytest.raises(kind) as caught:
        make(program, "three_body")(*change(*operands(program, "three_body")))
    for word in words:
        assert word in str(caught.value)


def test_index_out_of_range_is_an_error(program):
    a, z = operands(program, "product_basis")
    with pytest.raises(IndexError):
        make(program, "product_basis")(a, z + 5)
    with pytest.raises(TypeError, match="`z` should hold integers"):
        make(program, "product_basis")(a, z.double())


def test_the_file_runs_where_fusionc_is_not_installed(program, tmp_path):
    path = tmp_path / "blocks.py"
    path.write_text(program.emit(), encoding="utf-8")
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('fusionc', 'e3nn', 'lark', 'jinja2', 'opt_einsum'):\n"
        "            raise ImportError('refused: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import torch, blocks\n"
        "y = blocks.ThreeBody()(torch.randn(2, 16), torch.randn(2, 9), torch.randn(2, 9))\n"
        "print(tuple(y.shape))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(2, 16)"
    assert "SPDX-License-Identifier: 0BSD" in path.read_text(encoding="utf-8")


# --- the rest of torch -----------------------------------------------------------------------------------------------


def test_large_batches_go_in_pieces(program):
    """More elements than one piece has, in every order of derivatives: the same numbers as row by row."""
    for name in NAMES:
        module = make(program, name, torch.float64, "ir_mul")
        values = operands(program, name, (1500,))
        sources = [v.requires_grad_() for v in values if v.is_floating_point()] + list(module.parameters())
        whole = parts(module(*values))
        half = [torch.cat(two) for two in zip(*(parts(module(*(v[s] for v in values))) for s in HALVES), strict=True)]
        assert_close(whole, half)
        for outputs in (whole, half):
            energy = sum(out.square().sum() for out in outputs)
            gradients = torch.autograd.grad(energy, sources, create_graph=True)
            second = torch.autograd.grad(sum(g.square().sum() for g in gradients), sources)
            if outputs is whole:
                wanted = (*gradients, *second)
            else:
                scale = max(float(one.detach().abs().max()) for one in wanted)
                assert_close([one / scale for one in (*gradients, *second)], [one / scale for one in wanted])


HALVES = (slice(0, 700), slice(700, 1500))


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_the_arithmetic_alone(program, name):
    module = make(program, name, torch.float32)
    values = operands(program, name, dtype=torch.float32)
    mixed = [v.bfloat16() if at == 0 else v for at, v in enumerate(values)]
    plain = [v.float() if v.is_floating_point() else v for v in mixed]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = module(*mixed)
    assert all(out.dtype == torch.float32 for out in parts(got))
    assert_close(got, module(*plain), 1e-6)


def test_autocast_leaves_gradients_alone(program):
    """Forces are asked for where energies are, under autocast: their arithmetic stays what it is, as does that of the
    gradients of forces."""
    module = make(program, "product_basis", torch.float32)
    values = [v.requires_grad_(v.is_floating_point()) for v in operands(program, "product_basis", dtype=torch.float32)]

    def gradients(autocast: bool) -> list[torch.Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            energy = module(*values).square().sum()
            first = torch.autograd.grad(energy, [values[0], *module.parameters()], create_graph=True)
            return [*first, *torch.autograd.grad(first[0].square().sum(), [values[0], *module.parameters()])]

    assert_close(gradients(True), gradients(False), 1e-6)


def test_deterministic_mode(program):
    module = make(program, "product_basis")
    values = [v.requires_grad_(v.is_floating_point()) for v in operands(program, "product_basis", (50,))]
    torch.use_deterministic_algorithms(True)
    try:
        first, again = (
            torch.autograd.grad(module(*values).square().sum(), [values[0], *module.parameters()]) for _ in range(2)
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("style", ["batched", "scalar"])
@pytest.mark.parametrize("name", NAMES)
def test_styles_agree(program, name, style):
    torch.manual_seed(0)
    other = program[name].module(style=style, layout="ir_mul")(dtype=torch.float64)
    module = make(program, name, layout="ir_mul")
    other.load_state_dict(module.state_dict())
    values = operands(program, name)
    assert_close(other(*values), module(*values))
    assert ("_scalar(" in program[name].emit(style=style)) == (style == "scalar")


def test_weights_outlive_a_plan_and_are_refused_by_other_paths(program, tmp_path):
    module = make(program, "three_body")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    state = torch.load(tmp_path / "weights.pt", weights_only=False)
    replanned = fusionc.parse(
        TEXT.replace(
            "x[u] a -> e[u] in 0e + 1o + 2e\n    e[u] b -> out[u]", "x[u] a -> e[u] in 0e + 1o + 2e; e[u] b -> out[u]"
        )
    )
    replanned["three_body"].module(layout="ir_mul")(dtype=torch.float64).load_state_dict(state)
    swapped = fusionc.parse(TEXT.replace("4x0e + 4x1o\nirreps Y", "4x1o + 4x0e\nirreps Y"))["three_body"]
    other = swapped.module()(dtype=torch.float64)
    before = other.W.detach().clone()
    with pytest.raises(RuntimeError, match="other paths"):
        other.load_state_dict(state)
    assert torch.equal(other.W, before)
    plain = dict(state)  # as a format without metadata gives it back
    module.load_state_dict(plain)


def test_ahead_of_time_inductor(program, tmp_path):
    module = make(program, "three_body", torch.float32)
    values = operands(program, "three_body", (4,), torch.float32)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(module, tuple(values), dynamic_shapes=tuple({0: batch} for _ in values))
    package = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "three_body.pt2"))
    other = operands(program, "three_body", (9,), torch.float32, seed=1)
    assert_close(torch._inductor.aoti_load_package(package)(*other), module(*other), 1e-5)


def _replica(rank: int, folder: str, text: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    program = fusionc.parse(text)
    module = program["three_body"].module()(dtype=torch.float64)
    replica = torch.nn.parallel.DistributedDataParallel(module)
    values = operands(program, "three_body", (6,))
    out = replica(*(value[rank * 3 : rank * 3 + 3] for value in values))
    out.square().sum().backward()
    torch.save(module.W.grad, f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)  # the threads of gloo may still be on their way out when an interpreter is torn down


def test_two_replicas_share_their_gradients(program, tmp_path):
    context = torch.multiprocessing.spawn(_replica, (str(tmp_path), TEXT), nprocs=2, join=False)
    while not context.join():
        pass
    torch.manual_seed(0)
    module = program["three_body"].module()(dtype=torch.float64)
    module(*operands(program, "three_body", (6,))).square().sum().backward()
    for rank in range(2):
        assert_close([2 * torch.load(tmp_path / f"{rank}.pt")], [module.W.grad], 1e-10)

"""The Triton target: kernels under triton's interpreter against the oracle, compiled ahead of time for real devices,
and, where there is one, run on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import fusionc
from fusionc.cli import main
from fusionc.program.derive import vjp
from fusionc.program.thresholds import Thresholds, using
from fusionc.targets.registry import Options

FOLDER = Path(__file__).parent
MACE = """
irreps X = 128x0e + 128x1o + 128x2e
irreps M = 128x0e + 128x1o + 128x2e + 128x3o
sites atoms
pairs edges(atoms, atoms)
diagram mace_large(x: X, y: spherical(3), r: weights) -> M { x[u] y -> out[u] * r[path,u] }
diagram message(x: X[atoms], y: 0e + 1o + 2e + 3o[edges], r: weights[edges]) -> M[atoms] {
    x[j,u] y[i,j] -> out[i,u] * r[i,j,path,u]
}
"""

triton = pytest.importorskip("triton", reason="triton is not installed")


needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
everywhere = pytest.mark.parametrize(
    "where", ["interpreter", pytest.param("cuda", marks=(pytest.mark.gpu, needs_a_gpu))]
)


def outcome(where: str, group: str) -> dict:
    """Cases run in a process of their own: where triton interprets its kernels, or on a GPU."""
    environment = {**os.environ, "TRITON_INTERPRET": str(int(where == "interpreter")), "OMP_NUM_THREADS": "1"}
    device = "cpu" if where == "interpreter" else where
    command = [sys.executable, str(FOLDER / "triton_cases.py"), device, group]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=FOLDER)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout.splitlines()[-1])


@everywhere
@pytest.mark.parametrize("group", ["diagrams", "sites", "split", "kept", "looped", "random_trees"])
def test_kernels_and_their_derivatives_equal_the_oracle(group, where):
    """Values against the dense einsum, gradients and their gradients against torch's; every case runs kernels."""
    outside = {"uvw", "uvuv", "linear"}
    for name, errors in outcome(where, group).items():
        launched = errors.pop("launched")
        assert launched or name.split(",")[0] in outside, name
        assert max(errors.values()) < 1e-12, (name, errors)


@everywhere
def test_mixed_channels_are_matrix_products(where):
    """Weights of all rows by `tl.dot`: values, gradients, gradients of gradients, in both layouts."""
    for name, errors in outcome(where, "mixed").items():
        assert errors.pop("dots"), name
        assert max(errors.values()) < 1e-12, (name, errors)


@everywhere
def test_transforms(where):
    """torch.func, torch.compile with gradients, torch.export with a dynamic batch."""
    for name, errors in outcome(where, "transforms").items():
        assert max(errors.values()) < 1e-12, (name, errors)


@everywhere
def test_tangents(where):
    """Forward mode for every set of operands, forward over reverse and the other way, by kernels alone."""
    for name, errors in outcome(where, "tangents").items():
        assert errors["value"] < 1e-12, (name, errors)
        assert errors["plain"] == 0, name


@everywhere
def test_what_is_recorded(where):
    """`linearize`, `make_fx` and transforms inside torch.compile: kernels are operators there, or plain torch."""
    for name, errors in outcome(where, "recorded").items():
        assert errors["value"] < 1e-12, (name, errors)


@everywhere
def test_dtypes(where):
    for name, errors in outcome(where, "dtypes").items():
        limit = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}[name.rpartition(".")[2]]
        assert errors["value"] < limit, (name, errors)


@everywhere
def test_nothing_is_computed_for_nothing(where):
    for name, errors in outcome(where, "empty").items():
        assert errors["value"] == 0.0, name


@everywhere
def test_sorted_sums_are_deterministic(where):
    assert outcome(where, "deterministic")["a hundred times"]["value"] == 0.0


@everywhere
def test_pairs_that_change_are_sorted_again(where):
    for name, errors in outcome(where, "changed").items():
        assert errors["value"] < 1e-12, name


@everywhere
def test_gradients_under_autocast(where):
    assert outcome(where, "autocast")["gradients"]["value"] < 1e-6


def test_the_same_bytes_every_time():
    assert fusionc.parse(MACE).emit("triton") == fusionc.parse(MACE).emit("triton")


def test_what_runs_outside_of_kernels_is_said():
    from fusionc.targets.triton import description

    text = "diagram d(x: 2x0e + 2x1o) -> 3x0e + 3x1o { x[u] -> out[v] * W[path,u,v] }"
    square = text.replace("x[u] ->", "x[u] x[u] ->")
    program, other = (fusionc.parse(one)["d"].checked.program() for one in (text, square))
    lines, more = description(program), description(other)
    assert any("in torch" in line and "mixes channels" in line for line in lines)
    assert any("torch.vmap over `W`" in line and "in torch" in line for line in lines)
    assert any("in its operand's place" in line for line in lines)
    assert not any("third order" in line for line in lines)
    assert any("third order" in line and "in torch" in line for line in more)
    assert "the tangent of the value, where `x` and `W` have one" in "\n".join(more)
    assert "mixes channels" in fusionc.parse(text).emit("triton")
    assert "third order" in fusionc.parse(square).emit("triton")


NOT_BY_DOT = {
    "fewer than 16 channels": "diagram d(x: 20x0e + 20x1o) -> 15x0e + 15x1o { x[u] -> out[v] * W[path,u,v] }",
    "several channels at a time": "diagram d(x: 16x0e, y: 16x0e) -> 16x0e { x[u] y[v] -> out[w] * W[path,u,v,w] }",
    "each row has weights of its own": "diagram d(x: 16x0e, r: weights) -> 16x0e { x[u] -> out[v] * r[path,u,v] }",
    "no sum over all rows follows": "diagram d(x: 16x0e, r: weights) -> 16x0e { x[u] -> out[v] * r[path,u,v] }",
    "each row has": "diagram d(x: 16x0e, z: index(3)) -> 16x0e { x[u] -> out[v] * W[z,path,u,v] }",
}


def test_what_dot_cannot_mix_says_why():
    from fusionc.targets.triton import description

    for why, text in NOT_BY_DOT.items():
        lines = description(fusionc.parse(text)["d"].checked.program())
        assert any("in torch" in line and "mixes channels" in line and why in line for line in lines), why
        assert any("torch.einsum" in line for line in lines)
        assert not any("by tl.dot" in line for line in lines), why
    text = "diagram d(x: 16x0e + 20x1o) -> 40x0e + 16x1o { x[u] -> out[v] * W[path,u,v] }"
    lines = description(fusionc.parse(text)["d"].checked.program())
    assert any("out, 16 channels mixed into 40; over the batch: 1 matrix product by tl.dot" in line for line in lines)
    assert any("20 x 16 channels summed over all rows" in line for line in lines)
    assert not any("mixes channels" in line or "torch.einsum" in line for line in lines)


def test_matrix_products_are_as_accurate_as_torch_is_told():
    text = "diagram d(x: 16x0e) -> 16x0e { x[u] -> out[v] * W[path,u,v] }"
    module = fusionc.cache.import_text(fusionc.parse(text).emit("triton"))
    told = torch.get_float32_matmul_precision()
    try:
        for precision, wanted in (("highest", "tf32x3"), ("high", "tf32"), ("medium", "tf32")):
            torch.set_float32_matmul_precision(precision)
            assert module._precision(torch.float32) == wanted
            assert module._precision(torch.float64) == "ieee"
    finally:
        torch.set_float32_matmul_precision(told)


def test_the_cost_report_says_what_runs_where(tmp_path, capsys):
    path = tmp_path / "small.fus"
    path.write_text("diagram d(x: 2x0e + 2x1o, y: 1o) -> 2x1o { x[u] y -> out[u] * W[path,u] }", encoding="utf-8")
    assert main(["cost", str(path), "--target", "triton"]) == 0
    assert "runs: _d_0_kernel_0: out" in capsys.readouterr().out
    assert main(["cost", str(path)]) == 0
    assert "_kernel_" not in capsys.readouterr().out
    assert main(["cost", str(path), "--target", "tritn"]) != 0
    complex_text = "group SU(2)\ndiagram d(x: 2x1/2, y: 1/2) -> 2x0 + 2x1 { x[u] y -> out[u] * W[path, u] }"
    assert "no complex numbers" in fusionc.parse(complex_text)["d"].cost(target="triton").runs[0]


def test_on_a_cpu_the_module_is_the_torch_module():
    text = "diagram d(x: 2x0e + 2x1o, y: 1o) -> 2x0e + 2x1o { x[u] y -> out[u] * W[path,u] }"
    diagram = fusionc.parse(text)["d"]
    one, two = diagram.module("triton")(), diagram.module("torch")()
    two.load_state_dict(one.state_dict())
    x, y = torch.randn(5, 8), torch.randn(5, 3)
    assert torch.equal(one(x, y), two(x, y))


def test_complex_diagrams_say_that_they_have_no_kernels():
    text = "group SU(2)\ndiagram d(x: 2x1/2, y: 1/2) -> 2x0 + 2x1 { x[u] y -> out[u] * W[path, u] }"
    source = fusionc.parse(text).emit("triton")
    assert "no kernels: Triton has no complex numbers" in source
    module = fusionc.parse(text)["d"].module("triton")()
    assert module(torch.randn(3, 4, dtype=torch.complex64), torch.randn(3, 2, dtype=torch.complex64)).shape == (3, 8)


def test_the_file_works_without_triton(tmp_path):
    path = tmp_path / "blocks.py"
    path.write_text(fusionc.parse(MACE).emit("triton"), encoding="utf-8")
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('fusionc', 'triton'):\n"
        "            raise ImportError('refused: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import torch, blocks\n"
        "y = blocks.MaceLarge()(torch.randn(2, 1152), torch.randn(2, 16), torch.randn(2, 2176))\n"
        "print(tuple(y.shape))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(2, 2048)"


# --- compiled ahead of time ------------------------------------------------------------------------------------------


def pace() -> float:
    """How fast this machine is at this hour: seconds of twenty million additions in Python (0.7 where the kernels
    below take 7 to 9)."""
    start, total = time.process_time(), 0
    for number in range(20_000_000):
        total += number
    return time.process_time() - start


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", ["mace_large", "message"])
def test_kernels_fit_in_registers(name, arch):
    """All stages up to l = 3, tangents too: nothing spilled, at most 128 registers, and seconds to compile."""
    from fusionc.cache import import_text
    from fusionc.tools.aot import compile_ahead, total_seconds

    module = import_text(fusionc.parse(MACE)[name].emit("triton"))
    found = compile_ahead(module, arch)
    assert {one.kernel.split("_kernel")[0][-1] for one in found} == set("0123")
    assert all(one.spilled == 0 for one in found), list(map(str, found))
    assert all(one.registers <= 128 for one in found), list(map(str, found))
    backward, forward = ([one for one in found if ("_stage_3_" in one.kernel) == kind] for kind in (False, True))
    unit = pace()
    assert total_seconds(backward) < 15 * unit, (unit, list(map(str, backward)))
    assert total_seconds(forward) < 6 * unit, (unit, list(map(str, forward)))  # (compiled where forward mode is used)


@pytest.mark.parametrize("name", ["mace_large", "message"])
def test_kernels_are_little_to_compile(name):
    """The value, its gradients and theirs: eight seconds, by an estimate that is the same on every machine."""
    from fusionc.targets.triton import kernels
    from fusionc.targets.triton_split import effort

    stages = kernels(fusionc.parse(MACE)[name].checked.program()).stages[:3]
    assert sum(effort(one.terms, one.memory) for stage in stages for one in stage.kernels) < 9_000


MIXING = {
    "mul_ir": "diagram d(x: 128x0e + 128x1o, y: 0e + 1o) -> 128x0e { x[u] y -> out[v] * W[path,u,v] }",
    "ir_mul": "diagram d(x: 20x0e + 256x2e) -> 100x0e + 16x2e { x[u] -> out[v] * W[path,u,v] }",
}


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_matrix_products_fit_in_registers(arch):
    from fusionc.cache import import_text
    from fusionc.driver import emit
    from fusionc.targets.registry import Options
    from fusionc.tools.aot import compile_ahead

    for layout, text in MIXING.items():
        module = import_text(emit([fusionc.parse(text)["d"].checked], "triton", Options(layout)))
        some = {name: one for name, one in module.KERNELS.items() if "PRECISION" in one[0].arg_names}
        module.KERNELS = {name: one for name, one in some.items() if "_stage_0_" in name or "_stage_1_" in name}
        found = compile_ahead(module, arch)
        assert all(one.spilled == 0 and one.registers <= 128 for one in found), list(map(str, found))
        assert all(one.shared > 1024 for one in found), list(map(str, found))
        assert max(one.seconds for one in found) < 4, list(map(str, found))
        module.KERNELS = {name: one for name, one in some.items() if "_stage_0_" in name}
        assert all(one.spilled == 0 for one in compile_ahead(module, arch, "float64"))


LARGE = {
    "kept paths, unequal channels": "diagram d(x: 128x0e + 64x1o + 32x2e + 32x3o, y: 0e + 1o + 2e + 3o, r: weights) -> "
    "* in 0e + 1o + 2e + 3o { x[u] y -> out[path,u] * r[path,u] }",
    "product of order 3": "diagram d(a: 64x0e + 64x1o + 64x2e + 64x3o, z: index(10)) -> 64x0e + 64x1o "
    "{ a[u] a[u] -> out[u] * W2[z,path,u]; a[u] a[u] a[u] -> out[u] * W3[z,path,u] }",
}


@pytest.mark.parametrize("name", LARGE)
def test_kernels_that_have_to_be_split_fit_in_registers(name):
    """What is too much for one kernel is split by an estimate of the registers: nothing is spilled."""
    from fusionc.cache import import_text
    from fusionc.tools.aot import compile_ahead

    found = compile_ahead(import_text(fusionc.parse(LARGE[name]).emit("triton")), "sm_90")
    assert len(found) > 10
    assert all(one.spilled == 0 and one.registers <= 128 for one in found), list(map(str, found))


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_loops_over_tables_are_short(arch):
    """A stage is one kernel of few lines and few registers, however many terms it has."""
    from fusionc.cache import import_text
    from fusionc.targets.triton import kernels
    from fusionc.tools.aot import compile_ahead

    diagram = fusionc.parse(LARGE["product of order 3"].replace("-> 64x0e + 64x1o", "-> 64x0e + 64x1o + 64x2e"))["d"]
    stages = kernels(diagram.checked.program(), Options(unroll="never")).stages
    assert all(len(stage.kernels) == 1 and len(stage.kernels[0].lines) < 350 for stage in stages)
    assert len(stages[2].kernels[0].table.rows) > 3000
    found = compile_ahead(import_text(diagram.emit("triton", unroll="never")), arch)
    assert all(one.spilled == 0 and one.registers <= 64 for one in found), list(map(str, found))


@pytest.mark.parametrize("channels", [1, 8, 12])
def test_loops_compile_for_any_number_of_channels(channels):
    """A warp has several rows where there are few channels; y alone has none."""
    from fusionc.cache import import_text
    from fusionc.tools.aot import compile_ahead

    text = f"diagram d(x: {channels}x0e + {channels}x1o, y: 0e + 1o, r: weights) -> {channels}x0e + {channels}x1o "
    body = "{ x[u] y -> out[u] * r[path,u]; y y -> z in 0e; x[u] z -> out[u] * W[path,u] }"
    found = compile_ahead(import_text(fusionc.parse(text + body)["d"].emit("triton", unroll="never")), "sm_80")
    assert any(one.registers for one in found)
    assert all(one.spilled == 0 and one.registers <= 64 for one in found), list(map(str, found))


def test_loops_compile_with_loops_for_loads_inside():
    """Many loads of values with channels, and of some without."""
    from fusionc.cache import import_text
    from fusionc.tools.aot import compile_ahead

    text = fusionc.parse(LARGE["kept paths, unequal channels"]).emit("triton", unroll="never")
    assert "tl.load(places + at" in text
    found = compile_ahead(import_text(text), "sm_90")
    assert all(one.spilled == 0 and one.registers <= 128 for one in found), list(map(str, found))


def test_loops_are_taken_where_unrolled_code_is_too_much():
    """By itself, where that would compile for too long; never or always where that is asked for."""
    from fusionc.targets.triton import description

    program = fusionc.parse(LARGE["kept paths, unequal channels"])["d"].checked.program()

    def said(unroll: str) -> str:
        return "\n".join(description(program, Options(unroll=unroll)))

    assert "a loop over a table" not in said("auto")
    assert "a loop over a table, asked for" in said("never")
    with using(Thresholds(patience=100)):
        assert "several kernels would compile for too long" in said("auto")
        assert "a loop over a table" not in said("always")


def test_why_kernels_are_split_is_said():
    from fusionc.targets.triton import description

    lines = description(fusionc.parse(LARGE["product of order 3"])["d"].checked.program())
    assert any("too many for one kernel" in line for line in lines)
    assert any("is kept: many kernels would compute it" in line for line in lines)


def test_the_command_compiles_ahead(tmp_path, capsys):
    path = tmp_path / "small.fus"
    path.write_text("diagram d(x: 2x0e + 2x1o, y: 1o) -> 2x1o { x[u] y -> out[u] * W[path,u] }", encoding="utf-8")
    code = main(["compile", str(path), "--target", "triton", "--aot", "sm_90", "-o", str(tmp_path / "out.py")])
    assert code == 0
    *each, summary = capsys.readouterr().err.strip().splitlines()
    assert sum("registers" in line for line in each) == int(summary.split()[0]) > 1
    assert all(words in summary for words in ("0 bytes spilled", "stage 0: ", "stage 1: "))
    assert main(["compile", str(path), "--aot", "sm_90"]) == 2
    assert main(["compile", str(path), "--target", "triton", "--aot", "volta"]) == 2


def test_derived_programs_of_a_message_stay_one_pass():
    """The gradients of a message are two kernels at most: one walk over the pairs of each neighbour."""
    from fusionc.targets.triton import kernels

    program = fusionc.parse(MACE)["message"].checked.program()
    assert len(vjp(program).results) == 3
    assert len(kernels(program).stages[0].kernels) == 1
    assert len(kernels(program).stages[1].kernels) <= 2


# --- on a GPU --------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@needs_a_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["mace_large", "message"])
def test_on_a_gpu(name, dtype):
    """The kernels on the device against plain torch on the CPU, in float64, with gradients."""
    function, plain = (fusionc.parse(MACE)[name].function(target) for target in ("triton", "torch"))
    torch.manual_seed(0)
    many, pairs = (300, 300) if name == "mace_large" else (50, 700)
    values = [torch.randn(many, 1152), torch.randn(pairs, 16), torch.randn(pairs, 2176)]
    relations = {} if name == "mace_large" else {"edges": torch.randint(0, many, (2, pairs))}
    exact = [value.to(dtype).double().requires_grad_() for value in values]
    device = [value.to("cuda", dtype).requires_grad_() for value in values]
    wanted = plain(*exact, **relations)
    got = function(*device, **{key: value.cuda() for key, value in relations.items()})
    cotangent = torch.randn_like(wanted)
    first = torch.autograd.grad(got, device, cotangent.to("cuda", dtype))
    second = torch.autograd.grad(wanted, exact, cotangent.to(dtype).double())
    limit = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    for one, two in zip((got, *first), (wanted, *second), strict=True):
        assert (one.cpu().double() - two).abs().max() <= limit * two.abs().max()


@pytest.mark.gpu
@needs_a_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", MIXING)
def test_matrix_products_on_a_gpu(layout, dtype):
    """Matrix products on the device against plain torch on the CPU, in float64, with gradients of all operands."""
    diagram = fusionc.parse(MIXING[layout])["d"]
    function, plain = (diagram.function(target, layout=layout) for target in ("triton", "torch"))
    torch.manual_seed(0)
    program = diagram.checked.program(layout=layout)
    shapes = [(1000, leg.dim) for leg in program.legs] + [(weight.numel,) for weight in program.weights]
    values = [torch.randn(*shape).to(dtype) for shape in shapes]
    exact = [value.double().requires_grad_() for value in values]
    device = [value.cuda().requires_grad_() for value in values]
    wanted, got = plain(*exact), function(*device)
    cotangent = torch.randn_like(wanted).to(dtype)
    first = torch.autograd.grad(got, device, cotangent.cuda())
    second = torch.autograd.grad(wanted, exact, cotangent.double())
    limit = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    for one, two in zip((got, *first), (wanted, *second), strict=True):
        assert (one.cpu().double() - two).abs().max() <= limit * two.abs().max()


@pytest.mark.gpu
@needs_a_gpu
def test_the_same_bits_a_hundred_times():
    """Sums over sorted pairs: the value, the gradients and theirs, again and again."""
    function = fusionc.parse(MACE)["message"].function("triton")
    torch.manual_seed(0)
    edges = torch.randint(0, 50, (2, 700), device="cuda")
    shapes = (50, 1152), (700, 16), (700, 2176)
    values = [torch.randn(*shape, device="cuda", requires_grad=True) for shape in shapes]

    def everything() -> list[torch.Tensor]:
        value = function(*values, edges=edges)
        first = torch.autograd.grad(value.square().sum(), values, create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), values)
        return [value, *first, *second]

    wanted = everything()
    for _ in range(99):
        assert all(torch.equal(one, two) for one, two in zip(everything(), wanted, strict=True))

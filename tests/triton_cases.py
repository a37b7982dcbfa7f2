"""What test_triton runs in a process of its own, on a GPU or where triton interprets its kernels: diagrams with kernels
against the oracle and against torch's derivatives of the plain module.

`triton_cases.py DEVICE GROUP` prints one JSON object: the errors of every case of a group."""

from __future__ import annotations

import copy
import gc
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from derivative_cases import SIZES, TEXTS, Autograd, case
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from site_cases import LEGS, LINES
from site_strategies import DECLARED
from strategies import trees
from torch.fx.experimental.proxy_tensor import make_fx
from triton_kernels import (
    MIXED,
    MORE,
    SUMS,
    Errors,
    Kernels,
    against_the_oracle,
    arguments_of,
    derivatives,
    error,
    measured,
)

import fusionc
from fusionc.cache import import_text
from fusionc.driver import emission
from fusionc.program.ir import LAYOUTS, Product, Program
from fusionc.program.thresholds import Thresholds, using
from fusionc.targets import torch as torch_target
from fusionc.targets import triton as triton_target
from fusionc.targets import triton_keep, triton_mix, triton_split
from fusionc.targets.registry import Options


def mixed() -> dict[str, Errors]:
    """Matrix products against the oracle; more rows than a tile has, and several kernels where one would do; signs."""
    found = {}
    for place, (name, text) in enumerate(MIXED.items()):
        for layout in LAYOUTS if place < 2 else LAYOUTS[place % 2 :][:1]:
            found[f"{name}, {layout}"] = _with_dots(case(text, layout))
    for rows, layout in ((150, "mul_ir"), (7, "ir_mul")):
        found[f"{rows} rows"] = _with_dots(_of_rows("some rows", layout, rows))
    with using(Thresholds(most_parts=1)):
        found["several kernels"] = _with_dots(_of_rows("unlike irreps", "mul_ir", 50))
    for layout in LAYOUTS:
        found[f"signs, {layout}"] = _with_signs(layout)
    return found


def _of_rows(name: str, layout: str, rows: int):
    """A case with a batch of another size."""
    one, rng = case(MIXED[name], layout), np.random.default_rng(1)
    one.operands["x"] = rng.standard_normal((rows, one.operands["x"].shape[-1]))
    return one


def _with_dots(one) -> Errors:
    kernels = Kernels(one)
    value = against_the_oracle(one, kernels)
    first, second = derivatives(one, kernels)
    return {"value": value, "first": first, "second": second, "dots": kernels.dots}


def _with_signs(layout: str) -> Errors:
    """Some terms of a product with the other sign, which no diagram has; the torch target does the same."""
    one = case(MIXED["several blocks, several paths"], layout)
    kernels, plain = Kernels(one), Autograd(one)
    described = emission(one.diagram.checked, layout)
    described = replace(described, program=_signed(described.program))
    kernels.use(import_text(triton_target.emit([described], Options(layout))))
    module = import_text(torch_target.emit([described], Options(layout)))
    plain.function = getattr(module, module.__all__[1])
    values = kernels.inputs()
    outs = [function(*values) for function in (kernels, plain)]
    gradients = [torch.autograd.grad(sum(o.square().sum() for o in out), values) for out in outs]
    assert error(outs[0], Autograd(one)(*values)) > 0.1
    return {"value": error(*outs), "first": error(*gradients), "dots": kernels.dots}


def _signed(program: Program) -> Program:
    changed = []
    for one in program.instructions:
        if isinstance(one.op, Product) and triton_mix.mixes(one.op):
            terms = tuple((i, j, k, -sign if j == 1 else sign) for i, j, k, sign in one.op.terms)
            one = replace(one, op=replace(one.op, terms=terms))
        changed.append(one)
    return replace(program, instructions=tuple(changed))


def dtypes() -> dict[str, Errors]:
    """float32 to its accuracy, halves in and out; bfloat16 is only for real devices (the interpreter cannot)."""
    found = {}
    kinds = [torch.float32, torch.float16]
    if torch.get_default_device().type == "cuda":
        kinds.append(torch.bfloat16)
    for name in ("uvu per element", "product basis", "mixed on the way", "20 into 17, 16 into 24"):
        one = case({**TEXTS, **MORE, **MIXED}[name])
        kernels = Kernels(one)
        wanted = kernels(*kernels.inputs())
        for dtype in kinds:
            values = [value.detach().to(dtype).requires_grad_() for value in kernels.inputs()]
            out = kernels(*values)
            gradients = torch.autograd.grad(sum(o.double().square().sum() for o in out), values)
            assert all(o.dtype == dtype for o in (*out, *gradients))
            found[f"{name}, {dtype}"] = {"value": error([o.double() for o in out], wanted)}
    return found


def transforms() -> dict[str, Errors]:
    """torch.func, torch.compile and torch.export."""
    found = exported()
    for name in ("uvu per element", "message", "mixed on the way"):
        one = case({**TEXTS, **MORE}[name])
        kernels, plain = Kernels(one), Autograd(one)
        pairs = zip(_transformed(kernels), _transformed(plain), strict=True)
        found |= {f"{name}, {kind}": {"value": error(got, wanted)} for (kind, got), (_, wanted) in pairs}
        found[f"{name}, compiled"] = _compiled(one, kernels, plain)
    return found


def _transformed(function: Autograd) -> list[tuple[str, list[torch.Tensor]]]:
    """What torch.func makes of a diagram, as a function of all operands or of the first."""
    values = tuple(value.detach() for value in function.inputs())
    twice = torch.stack([values[0], values[0] * 2])

    def first(value):
        return function(value, *values[1:])[0]

    def square(value):
        return first(value).square().sum()

    return [
        ("jvp", list(torch.func.jvp(function, values, tuple(value + 1 for value in values))[1])),
        ("grad", [torch.func.grad(square)(values[0])]),
        ("hessian", [torch.func.hessian(square)(values[0])]),
        ("jacrev", [torch.func.jacrev(first)(values[0])]),
        ("vmap", [torch.func.vmap(first)(twice)]),
        ("vmap of grad", [torch.func.vmap(torch.func.grad(square))(twice)]),
    ]


def _compiled(one, kernels: Kernels, plain: Autograd) -> Errors:
    """What compiled code gives; it too launches kernels, for the value and for its gradients."""
    leaves = kernels.inputs()
    kernels.launched = 0
    functions = (torch.compile(kernels.function, fullgraph=True, backend="aot_eager"), plain.function)
    outs = [function(*arguments_of(one, leaves), **kernels.relations) for function in functions]
    launched = kernels.launched
    gradients = [torch.autograd.grad(out.square().sum(), leaves) for out in outs]
    idle = launched == 0 or kernels.launched == launched
    return {"value": error(outs[:1], outs[1:]), "first": error(*gradients), "idle": float(idle)}


def tangents() -> dict[str, Errors]:
    """Forward mode, for tangents of every set of operands, and mixed with backward mode."""
    found = {}
    for name in TANGENTS:
        more = [("ir_mul", "atomic")] if name == "message" else []
        for layout, sum_ in [("mul_ir", "sorted"), *more]:
            one = case({**TEXTS, **MORE, **MIXED}[name], layout)
            kernels, plain = Kernels(one, sum_), Autograd(one)
            for some in _sets(len(kernels.inputs())):
                got, wanted = _pushed(kernels, some), _pushed(plain, some)
                found[f"{name}, {layout}, {some}"] = {"value": error(got, wanted), "plain": kernels.plain}
    for name in ("uvu per element", "product basis", "mixed on the way"):
        one = case({**TEXTS, **MORE}[name])
        kernels = Kernels(one)
        wanted = _mixed(Autograd(one))
        for kind, derivative in _mixed(kernels).items():
            value = error([derivative()], [wanted[kind]()])
            found[f"{name}, {kind}"] = {"value": value, "plain": 0 if kind in THIRD else kernels.plain}
            kernels.plain = 0
    for name in ("message", "everything over sites"):
        one = case(TEXTS[name])
        kernels, plain = Kernels(one), Autograd(one)
        pairs = zip(_over_sites(kernels), _over_sites(plain), strict=True)
        found[f"{name}, over sites"] = {"value": max(error(*pair) for pair in pairs), "plain": kernels.plain}
    return found


TANGENTS = (
    "uvu per element",
    "message",
    "product basis",
    "no channels",
    "mixed on the way",
    "two outputs",
    "some rows",
)
THIRD = ("jacfwd of jacfwd", "jvp of grad of grad")
"""What is beyond the stages: plain torch, where no operand is linear."""


def _sets(count: int) -> list[tuple[int, ...]]:
    """All sets of operands but the empty one."""
    return [some for size in range(1, count + 1) for some in combinations(range(count), size)]


def _some(function: Autograd, places: tuple[int, ...]):
    """A diagram as a function of some operands, and these."""
    values = [value.detach() for value in function.inputs()]

    def partial(*moved):
        everything = dict(enumerate(values)) | dict(zip(places, moved, strict=True))
        return function(*everything.values())

    return partial, tuple(values[place] for place in places)


def _pushed(function: Autograd, places: tuple[int, ...]) -> list[torch.Tensor]:
    """Values and tangents."""
    partial, values = _some(function, places)
    out, moved = torch.func.jvp(partial, values, tuple(value.cos() for value in values))
    return [*out, *moved]


def _mixed(function: Autograd) -> dict[str, Callable[[], torch.Tensor]]:
    """Derivatives by the first operand, forwards and backwards in every order."""
    partial, (value,) = _some(function, (0,))
    jacrev, jacfwd, grad = torch.func.jacrev, torch.func.jacfwd, torch.func.grad

    def square(x):
        return partial(x)[0].square().sum()

    def twice(x):
        return grad(square)(x).sum()

    return {
        "jacfwd": lambda: jacfwd(partial)(value)[0],
        "jacfwd of jacrev": lambda: jacfwd(jacrev(square))(value),
        "jacrev of jacfwd": lambda: jacrev(jacfwd(square))(value),
        "jacfwd of jacfwd": lambda: jacfwd(jacfwd(square))(value),
        "jvp of grad of grad": lambda: torch.func.jvp(grad(twice), (value,), (value.cos(),))[1],
    }


def _over_sites(function: Autograd) -> list[list[torch.Tensor]]:
    """Forward over reverse by all operands, and a vmap of gradients by one of them."""
    partial, values = _some(function, tuple(range(len(function.inputs()))))
    moved = tuple(value.cos() for value in values)

    def square(*some):
        return sum(one.square().sum() for one in partial(*some))

    gradient = torch.func.grad(square, argnums=tuple(range(len(values))))
    first = torch.func.grad(lambda x: square(x, *values[1:]))
    return [
        list(torch.func.jvp(gradient, values, moved)[1]),
        list(torch.func.grad(lambda *some: torch.func.jvp(square, some, moved)[1], tuple(range(len(values))))(*values)),
        [torch.vmap(first)(torch.stack([values[0], moved[0]]))],
    ]


def _gradient(function: Autograd):
    """The gradient of a diagram by its first operand."""
    partial, _ = _some(function, (0,))

    def square(x):
        return partial(x)[0].square().sum()

    return torch.func.grad(square)


def _batched(function: Autograd) -> tuple[torch.Tensor, ...]:
    """Gradients of several cotangents at a time."""
    values = function.inputs()
    out = function(*values)[0]
    return torch.autograd.grad(out, values, torch.stack([out.detach(), out.detach().cos()]), is_grads_batched=True)


def recorded() -> dict[str, Errors]:
    """What records operations (`linearize`, `make_fx`, transforms inside torch.compile) gets the same numbers."""
    found = {}
    for name in ("uvu per element", "message"):
        one = case(TEXTS[name])
        kernels, plain = Kernels(one), Autograd(one)
        partial, values = _some(kernels, (0, 1))
        pushed = _some(plain, (0, 1))[0]
        tangents = tuple(value.cos() for value in values)
        wanted = torch.func.jvp(pushed, values, tangents)[1]
        found[f"{name}, linearize"] = {"value": error(torch.func.linearize(partial, *values)[1](*tangents), wanted)}
        gradients = [_gradient(function) for function in (kernels, plain)]
        graph = make_fx(gradients[0])(values[0])
        found[f"{name}, make_fx"] = {"value": error([graph(tangents[0])], [gradients[1](tangents[0])])}
        batched = [_batched(function) for function in (kernels, plain)]
        found[f"{name}, is_grads_batched"] = {"value": error(*batched)}
        compiled = torch.compile(gradients[0], fullgraph=True, backend="aot_eager")
        found[f"{name}, compiled gradient"] = {"value": error([compiled(values[0])], [gradients[1](values[0])])}
        forward = torch.compile(
            lambda *moved, f=partial, at=values: torch.func.jvp(f, at, moved)[1], fullgraph=True, backend="aot_eager"
        )
        found[f"{name}, compiled tangent"] = {"value": error(forward(*tangents), wanted)}
    return found


def exported() -> dict[str, Errors]:
    """A module with a dynamic batch, run for another one."""
    kind = fusionc.parse(TEXTS["two outputs"])["d"].module("triton")
    module = kind(dtype=torch.float64)
    dim = torch.export.Dim("batch")
    legs = [torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)]
    program = torch.export.export(module, tuple(legs), dynamic_shapes=({0: dim}, {0: dim}), strict=True)
    other = [torch.randn(9, 8, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)]
    return {"exported": {"value": error(program.module()(*other), module(*other))}}


def empty() -> dict[str, Errors]:
    """No elements, no pairs, no sites."""
    found = {}
    torch.use_deterministic_algorithms(True)  # memory that nobody has written is not a number
    names = ("uvu per element", "product basis", "mixed on the way", "one weight for each path")
    for name in (*names, "20 into 17, 16 into 24"):
        one = case({**TEXTS, **MORE, **MIXED}[name])
        sites = {leg.name: one.operands[leg.name][:0] for leg in one.program.legs}
        one.operands |= sites
        found[name] = _zero_gradients(one)
    for atoms, edges in ((3, 0), (0, 0)):
        one = case(TEXTS["message"])
        sizes = {"x": atoms, "y": edges, "r": edges}
        one.operands |= {name: one.operands[name][:, :size] for name, size in sizes.items()}
        one.relations["edges"] = one.relations["edges"][:, :0]
        found[f"{atoms} atoms, {edges} pairs"] = _zero_gradients(one)
    return found


def _zero_gradients(one) -> Errors:
    kernels = Kernels(one)
    values = kernels.inputs()
    out = kernels(*values)
    gradients = torch.autograd.grad(sum(o.square().sum() for o in out), values)
    assert all(g.shape == v.shape for g, v in zip(gradients, values, strict=True))
    return {"value": sum(float(v.abs().sum()) for v in (*out, *gradients))}


def deterministic() -> dict[str, Errors]:
    """Sums over sorted pairs are the same to the last bit, and the sort is made once."""
    one = case(TEXTS["message"])
    kernels = Kernels(one)
    values = kernels.inputs()
    first, *others = (kernels(*values)[0] for _ in range(100))
    assert sorted(kernels.module._SORTED[kernels.relations["edges"]]) == [(0, SIZES["atoms"]), (1, SIZES["atoms"])]
    return {"a hundred times": {"value": max(float((first - other).abs().max()) for other in others)}}


def changed() -> dict[str, Errors]:
    """Pairs that are written into, copied, or new: they are sorted again, and nothing is kept of what is gone."""
    kernels, plain = Kernels(case(TEXTS["message"])), Autograd(case(TEXTS["message"]))
    values, found = kernels.inputs(), {}
    edges = plain.relations["edges"] = kernels.relations["edges"] = kernels.relations["edges"].clone()

    def compare(name: str) -> None:
        found[name] = {"value": error(kernels(*values), plain(*values))}

    compare("as they are")
    edges.copy_(edges.flip(0))
    compare("written into")
    edges.copy_(edges.roll(1, 1))
    edges = plain.relations["edges"] = kernels.relations["edges"] = copy.deepcopy(edges)
    compare("copied")
    assert len(kernels.module._SORTED[edges]) == 2, "an old version is not kept"
    gc.collect()
    assert len(kernels.module._SORTED) == 1, "what is gone is not kept"
    return found


def autocast() -> dict[str, Errors]:
    """Gradients that are asked for under autocast, and theirs, are those without."""
    kernels = Kernels(case(MORE["mixed on the way"]))

    def gradients(enabled: bool) -> list[torch.Tensor]:
        values = [value.detach().float().requires_grad_() for value in kernels.inputs()]
        with torch.autocast(values[0].device.type, dtype=torch.bfloat16, enabled=enabled):
            energy = sum(out.square().sum() for out in kernels(*values))
            first = torch.autograd.grad(energy, values, create_graph=True)
            return [*first, *torch.autograd.grad(first[0].square().sum(), values)]

    return {"gradients": {"value": error(gradients(True), gradients(False))}}


def random_trees() -> dict[str, Errors]:
    """The worst of many random diagrams with two to four operands."""
    worst: Errors = {"value": 0.0, "first": 0.0, "second": 0.0, "launched": 0}

    @settings(
        max_examples=36,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(data=st.data())
    def run(data):
        text = data.draw(trees(data.draw(st.integers(2, 4)), "O(3)", lmax=1)).text
        assume("basis complex" not in text)
        try:
            small = fusionc.parse(text)["d"].count_paths() <= 40
        except fusionc.CompileError:
            small = False
        assume(small)
        for kind, value in measured(text, data.draw(st.sampled_from(["mul_ir", "ir_mul"]))).items():
            worst[kind] = worst[kind] + value if kind == "launched" else max(worst[kind], value)

    run()
    return {"worst": worst}


def diagrams() -> dict[str, Errors]:
    found = {}
    for name, text in {**TEXTS, **MORE}.items():
        for layout in ("mul_ir", "ir_mul"):
            found[f"{name}, {layout}"] = measured(text, layout)
        if "sites" in text:
            found[f"{name}, atomic"] = measured(text, "mul_ir", "atomic")
    return found


def sites() -> dict[str, Errors]:
    """Every way in which sums, gathers and products over sites meet."""
    found = {}
    for name, (left, bracket, domain) in LINES.items():
        used = dict.fromkeys(word.split("[")[0] for word in left.split())
        header = ", ".join(f"{leg}: {LEGS[leg]}" for leg in used)
        body = f"{{ {left} -> out{bracket} * W[path,u] }}"
        text = f"{DECLARED}diagram d({header}) -> 2x0e + 2x1o{domain} {body}"
        for sums in ("sorted", "atomic"):
            found[f"{name}, {sums}"] = measured(text, "mul_ir", sums)
    return found


def _limited(limits: Thresholds, names: tuple[str, ...]) -> dict[str, Errors]:
    """Cases with other limits on what one kernel may be."""
    with using(limits):
        return {f"{name}, {sums}": measured({**TEXTS, **MORE}[name], "mul_ir", sums) for name in names for sums in SUMS}


def split() -> dict[str, Errors]:
    """Kernels cut into as many parts as they can be, by outputs or by an operand."""
    names = ("uvu per element", "product basis", "density squared", "kept", "mixed before a sum")
    found = _limited(Thresholds(kernel_terms=12, kernel_memory=8), names)
    by_operand, way, effort = [0], triton_split.Splitter._by_operand, triton_split.effort

    def counted(*arguments):
        parts = way(*arguments)
        by_operand[0] += len(parts)
        return parts

    names = ("uvu per element", "product basis", "message", "density squared", "unequal multiplicities")
    triton_split.Splitter._by_operand, triton_split.effort = counted, lambda terms, memory: terms - memory
    try:
        limits = Thresholds(kernel_terms=12, kernel_memory=8, doubled=0.0)
        found |= {f"{name}, by an operand": errors for name, errors in _limited(limits, names).items()}
    finally:
        triton_split.Splitter._by_operand, triton_split.effort = way, effort
    assert by_operand[0] > 20
    return found


def kept() -> dict[str, Errors]:
    """Values that stand between kernels to save work."""
    seen, before = [0], triton_keep._best

    def first(found, *_):
        everything = range(len(found.cut.program.instructions))
        values = [value for value in everything if triton_keep._can_be_kept(found.cut, value)]
        seen[0] += len(values)
        return values[:1]

    names = ("product basis", "no block divides 48", "mixed on the way", "no channels")
    triton_keep._best = first
    try:
        found = _limited(Thresholds(kernel_terms=12, gain=10.0), names)
    finally:
        triton_keep._best = before
    assert seen[0] > 4
    return found


def looped() -> dict[str, Errors]:
    """Kernels that are loops over tables of terms, wherever they can be, with loops for loads and stores inside."""
    found = {}
    with using(Thresholds(many=4, together=3)):
        for number, (name, text) in enumerate({**TEXTS, **MORE}.items()):
            layout, sums = (("mul_ir", "sorted"), ("ir_mul", "atomic"))[number % 2]
            found[f"{name}, {layout}, {sums}"] = measured(text, layout, sums, "never")
        tables = vars(Kernels(case(TEXTS["density squared"], "mul_ir", 0), unroll="never").module)
    stages = {name.split("_STAGE_")[1][0] for name in tables if name.endswith("_TABLE") and "_STAGE_" in name}
    assert stages >= set("012"), tables
    return found


GROUPS = {
    one.__name__: one
    for one in (
        diagrams,
        mixed,
        dtypes,
        transforms,
        tangents,
        recorded,
        empty,
        deterministic,
        changed,
        autocast,
        random_trees,
        sites,
        split,
        kept,
        looped,
    )
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _, device, group = sys.argv
    torch.set_default_device(device)
    torch.manual_seed(0)
    np.random.seed(0)
    print(json.dumps(GROUPS[group]()))

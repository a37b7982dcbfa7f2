"""What test_triton runs in a process of its own, where triton interprets its kernels: diagrams with kernels against the
oracle and against torch's derivatives of the plain module. Prints one JSON object: the errors of every case."""

from __future__ import annotations

import json
import sys
import warnings
from types import ModuleType

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from strategies import trees
from test_derive import SITES, SIZES, TEXTS, Autograd, case, random_like
from test_sites import DECLARED, LEGS, LINES

import fusionc
from fusionc.cache import import_text
from fusionc.driver import emit
from fusionc.program.derive import differentiable
from fusionc.targets import triton_keep, triton_split
from fusionc.targets.registry import Options
from fusionc.tools.oracle import evaluate

MORE = {
    "unequal multiplicities": "diagram d(x: 6x0e + 4x1o + 2x2e, y: 0e + 1o, r: weights) -> * in 0e + 1o "
    "{ x[u] y -> out[path,u] * r[path,u] }",
    "no block divides 48": "diagram d(x: 48x0e + 48x1o + 48x2e, y: 0e + 1o + 2e, r: weights) -> "
    "48x0e + 48x1o + 48x2e { x[u] y -> out[u] * r[path,u] }",
    "shared weights, 33 channels": "diagram d(x: 33x0e + 33x1o, y: 33x0e + 33x1o) -> 33x0e + 33x1o "
    "{ x[u] y[u] -> out[u] * W[path,u] }",
    "one weight for each path": "diagram d(x: 5x0e + 5x1o, y: 1o) -> 5x0e + 5x1o { x[u] y -> out[u] * W[path] }",
    "no channels": "diagram d(x: 1o, y: 1o, z: 1o) -> 1o + 3o { x y z -> out * W[path] }",
    "mixed on the way": "diagram d(x: 4x0e + 4x1o, y: 0e + 1o) -> 3x0e + 3x1o "
    "{ x[u] y -> e[u]; e[u] -> out[v] * W[path,u,v] }",
    "mixed before a sum": SITES + "diagram d(x: 4x0e + 4x1o[atoms], y: 0e + 1o[edges], r: weights[edges]) -> "
    "4x0e + 4x1o[atoms] { x[j,u] -> h[j,v] in 4x0e + 4x1o * W[path,u,v]; h[j,u] y[i,j] -> out[i,u] * r[i,j,path,u] }",
    "two layers": SITES + "diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges]) -> 2x0e + 2x1o[atoms] "
    "{ x[j,u] y[i,j] -> h[i,u] in lmax 1; h[j,u] y[i,j] -> out[i,u] * W[path,u] }",
}
Errors = dict[str, float]
SUMS = ("sorted", "atomic")


class Kernels(Autograd):
    """A diagram with its kernels; counts how many are launched."""

    def __init__(self, one, sums: str = "sorted") -> None:
        super().__init__(one)
        self.module = import_text(emit([one.diagram.checked], "triton", Options(one.layout, None, sums)))
        self.function = getattr(self.module, self.module.__all__[1])
        self.launched, launch = 0, self.module._launch

        def counting(*arguments):
            self.launched += 1
            return launch(*arguments)

        self.module._launch = counting


def error(found, wanted) -> float:
    """The largest difference, relative to the largest entry; one of both may be None for zero."""
    scale = max([float(w.detach().abs().max()) for w in wanted if w is not None and w.numel()] or [1.0]) or 1.0
    worst = 0.0
    for one, two in zip(found, wanted, strict=True):
        values = [value.detach() for value in (one, two) if value is not None]
        difference = values[0] - values[1] if len(values) == 2 else values[0] if values else torch.zeros(1)
        if difference.numel():
            worst = max(worst, float(difference.abs().max()))
    return worst / scale


def against_the_oracle(one, autograd) -> float:
    legs = [one.operands[leg.name] for leg in one.program.legs]
    weights = {weight.name: one.operands[weight.name] for weight in one.program.weights}
    wanted = evaluate(one.diagram.checked.table, legs, weights, one.layout, one.relations, dict(SIZES))
    return error(autograd(*autograd.inputs()), [torch.as_tensor(w) for w in wanted])


def derivatives(one, kernels) -> tuple[float, float]:
    """First and second derivatives against those of the plain module."""
    plain = Autograd(one)
    inputs = plain.inputs()
    cotangents = [torch.as_tensor(c).requires_grad_() for c in random_like([o.shape for o in plain(*inputs)], 1)]
    first = [
        torch.autograd.grad(f(*inputs), inputs, cotangents, create_graph=True, allow_unused=True)
        for f in (kernels, plain)
    ]
    kept = [
        k for k, pair in enumerate(zip(*first, strict=True)) if all(g is not None and g.requires_grad for g in pair)
    ]
    if not kept:
        return error(*first), 0.0
    directions = [torch.as_tensor(d) for d in random_like([inputs[k].shape for k in kept], 2)]
    second = [
        torch.autograd.grad([g[k] for k in kept], [*inputs, *cotangents], directions, allow_unused=True) for g in first
    ]
    return error(*first), error(*second)


def measured(text: str, layout: str = "mul_ir", sums: str = "sorted", seed: int = 0) -> Errors:
    one = case(text, layout, seed)
    kernels = Kernels(one, sums)
    value = against_the_oracle(one, kernels)
    first, second = derivatives(one, kernels)
    return {"value": value, "first": first, "second": second, "launched": kernels.launched}


def dtypes() -> dict[str, Errors]:
    """float32 to its accuracy, halves in and out; bfloat16 is only for real devices (the interpreter cannot)."""
    found = {}
    for name in ("uvu per element", "product basis", "mixed on the way"):
        one = case({**TEXTS, **MORE}[name])
        kernels = Kernels(one)
        wanted = kernels(*kernels.inputs())
        for dtype in (torch.float32, torch.float16):
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


def _compiled(one, kernels: Autograd, plain: Autograd) -> Errors:
    leaves = kernels.inputs()
    functions = (torch.compile(kernels.function, fullgraph=True, backend="aot_eager"), plain.function)
    outs = [function(*_arguments(one, leaves), **kernels.relations) for function in functions]
    gradients = [torch.autograd.grad(out.square().sum(), leaves) for out in outs]
    return {"value": error(outs[:1], outs[1:]), "first": error(*gradients)}


def _arguments(one, leaves) -> list[torch.Tensor]:
    names = [leg.name for leg in one.program.legs] + [weight.name for weight in one.program.weights]
    known = dict(zip(differentiable(one.program), leaves, strict=True))
    return [known[name] if name in known else torch.as_tensor(one.operands[name]) for name in names]


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
    for name in ("uvu per element", "product basis", "mixed on the way"):
        one = case({**TEXTS, **MORE}[name])
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
    first, second = kernels(*values)[0], kernels(*values)[0]
    relation = kernels.relations["edges"]
    assert len(relation._fusionc_sorted) == 2, "each row is sorted once"
    return {"twice": {"value": float((first - second).abs().max())}}


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


def _limited(limits: dict[str, object], names: tuple[str, ...], module: ModuleType = triton_split) -> dict[str, Errors]:
    """Cases with other limits on what one kernel may be."""
    before = {name: getattr(module, name) for name in limits}
    try:
        for name, limit in limits.items():
            setattr(module, name, limit)
        return {f"{name}, {sums}": measured({**TEXTS, **MORE}[name], "mul_ir", sums) for name in names for sums in SUMS}
    finally:
        for name, limit in before.items():
            setattr(module, name, limit)


def split() -> dict[str, Errors]:
    """Kernels cut into as many parts as they can be, by outputs or by an operand."""
    names = ("uvu per element", "product basis", "density squared", "kept", "mixed before a sum")
    found = _limited({"MOST_TERMS": 12, "MOST_MEMORY": 8}, names)
    by_operand, way = [0], triton_split.Splitter._by_operand

    def counted(*arguments):
        parts = way(*arguments)
        by_operand[0] += len(parts)
        return parts

    names = ("uvu per element", "product basis", "message", "density squared", "unequal multiplicities")
    triton_split.Splitter._by_operand = counted
    try:
        limits = {"MOST_TERMS": 12, "MOST_MEMORY": 8, "WASTE": 0.0, "effort": lambda terms, memory: terms - memory}
        found |= {f"{name}, by an operand": errors for name, errors in _limited(limits, names).items()}
    finally:
        triton_split.Splitter._by_operand = way
    assert by_operand[0] > 20
    return found


def kept() -> dict[str, Errors]:
    """Values that stand between kernels to save work."""
    seen, best = [0], triton_keep._best

    def first(found, regroup):
        everything = range(len(found.cut.program.instructions))
        values = [value for value in everything if triton_keep._can_be_kept(found.cut, value)]
        seen[0] += len(values)
        return values[:1]

    names = ("product basis", "no block divides 48", "mixed on the way", "no channels")
    triton_keep._best, triton_keep.GAIN = first, 10.0
    try:
        found = _limited({"MOST_TERMS": 12}, names)
    finally:
        triton_keep._best, triton_keep.GAIN = best, 0.85
    assert seen[0] > 4
    return found


GROUPS = {
    one.__name__: one for one in (diagrams, dtypes, transforms, empty, deterministic, random_trees, sites, split, kept)
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    np.random.seed(0)
    print(json.dumps({name: GROUPS[name]() for name in sys.argv[1:]}))

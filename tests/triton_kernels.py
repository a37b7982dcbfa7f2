"""Diagrams with their kernels, and what these are compared with: the oracle, and derivatives of the plain module."""

from __future__ import annotations

from types import ModuleType

import torch
from derivative_cases import SITES, SIZES, Autograd, case, random_like

from fusionc.cache import import_text
from fusionc.driver import emit
from fusionc.program.derive import differentiable
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
    "one channel": "diagram d(x: 1x0e + 1x1o, y: 1x0e + 1x1o) -> 1x0e + 1x1o { x[u] y[u] -> out[u] * W[path,u] }",
    "no channels": "diagram d(x: 1o, y: 1o, z: 1o) -> 1o + 3o { x y z -> out * W[path] }",
    "mixed on the way": "diagram d(x: 4x0e + 4x1o, y: 0e + 1o) -> 3x0e + 3x1o "
    "{ x[u] y -> e[u]; e[u] -> out[v] * W[path,u,v] }",
    "mixed before a sum": SITES + "diagram d(x: 4x0e + 4x1o[atoms], y: 0e + 1o[edges], r: weights[edges]) -> "
    "4x0e + 4x1o[atoms] { x[j,u] -> h[j,v] in 4x0e + 4x1o * W[path,u,v]; h[j,u] y[i,j] -> out[i,u] * r[i,j,path,u] }",
    "two rows of one table": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o, z: index(3), q: index(3)) -> 2x0e + 2x1o "
    "{ x[u] y -> out[u] * V[z,path,u]; x[u] y -> out[u] * V[q,path,u] }",
    "two layers": SITES + "diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges]) -> 2x0e + 2x1o[atoms] "
    "{ x[j,u] y[i,j] -> h[i,u] in lmax 1; h[j,u] y[i,j] -> out[i,u] * W[path,u] }",
}
MIXED = {
    "20 into 17, 16 into 24": "diagram d(x: 20x0e + 16x1o + 16x2e) -> 17x0e + 24x1o + 24x2e "
    "{ x[u] -> out[v] * W[path,u,v] }",
    "several blocks, several paths": "diagram d(x: 20x0e + 20x1o, y: 0e + 1o) -> 40x0e "
    "{ x[u] y -> out[v] * W[path,u,v] }",
    "some rows": "diagram d(x: 16x1o) -> 17x1o { x[u] -> out[v] * W[path,u,v] }",
    "unlike irreps": "diagram d(x: 16x0e + 16x1o) -> 16x0e + 16x1o { x[u] -> out[v] * W[path,u,v] }",
    "some too small": "diagram d(x: 8x0e + 16x1o, y: 1o) -> 16x0e + 16x1o { x[u] y -> out[v] * W[path,u,v] }",
    "two outputs, one value": "diagram d(x: 16x0e + 16x1o) -> (s: 16x1o, t: 16x0e + 16x1o) "
    "{ x[u] -> s[v] * W[path,u,v]; x[u] -> t[v] * V[path,u,v] }",
    "sites, before and after a sum": SITES + "diagram d(x: 16x1o[atoms], y: 0e + 1o[edges]) -> "
    "20x0e[atoms] { x[j,u] -> h[j,v] in 16x1o * W[path,u,v]; "
    "h[j,u] y[i,j] -> out[i,v] * V[path,u,v] }",
    "pairs": SITES + "diagram d(x: 16x0e + 16x1o[edges]) -> 16x0e + 16x1o[edges] "
    "{ x[i,j,u] -> out[i,j,v] * W[path,u,v] }",
}
"""Channels mixed by weights of all rows: matrix products."""
Errors = dict[str, float]
SUMS = ("sorted", "atomic")


class Kernels(Autograd):
    """A diagram with its kernels; counts how many are launched, and how many stages run in plain torch."""

    def __init__(self, one, sums: str = "sorted", unroll: str = "auto") -> None:
        super().__init__(one)
        options = Options(one.layout, sums=sums, unroll=unroll)
        self.use(import_text(emit([one.diagram.checked], "triton", options)))

    def use(self, module: ModuleType) -> None:
        """Take the kernels of a file."""
        self.module = module
        self.function = getattr(self.module, self.module.__all__[1])
        self.launched, self.dots = 0, 0
        launch = getattr(self.module, "_launch", None)  # (a file without kernels launches none)

        def counting(*arguments):
            self.launched += 1
            self.dots += "PRECISION" in arguments[0].arg_names
            return launch(*arguments)

        self.module._launch = counting
        self.plain, plain = 0, self.module._plain

        def counting_plain(*arguments):
            self.plain += 1
            return plain(*arguments)

        self.module._plain = counting_plain

    def __call__(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = self.function(*arguments_of(self.one, values), **self.relations)
        return (out,) if isinstance(out, torch.Tensor) else tuple(out)


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


def measured(text: str, layout: str = "mul_ir", sums: str = "sorted", unroll: str = "auto") -> Errors:
    one = case(text, layout, 0)
    kernels = Kernels(one, sums, unroll)
    value = against_the_oracle(one, kernels)
    first, second = derivatives(one, kernels)
    return {"value": value, "first": first, "second": second, "launched": kernels.launched}


def arguments_of(one, leaves) -> list[torch.Tensor]:
    names = [leg.name for leg in one.program.legs] + [weight.name for weight in one.program.weights]
    known = dict(zip(differentiable(one.program), leaves, strict=True))
    return [known[name] if name in known else torch.as_tensor(one.operands[name]) for name in names]

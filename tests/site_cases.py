"""Diagrams over sites with their operands, which several files test."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import reference
import torch
from hypothesis import HealthCheck, settings
from site_strategies import DECLARED, SIZES

import fusionc
from fusionc.driver import CheckedDiagram
from fusionc.program.interpret import interpret
from fusionc.program.select import STRATEGIES
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import evaluate, random_weights
from fusionc.tools.sites import Inputs, random_batch
from fusionc.tools.verify import as_tuple, relative

EXAMPLE = Path(__file__).parent.parent / "examples" / "neighbours.fus"
NAMES = ("message", "density_squared", "four_body")
LAYOUTS = ("mul_ir", "ir_mul")
TIGHT = 1e-12
PROPERTY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

# The diagrams of the example with less of everything, and one with all that a diagram over sites can have.
SMALL = """sites atoms
pairs edges(atoms, atoms)
irreps H = 2x0e + 2x1o
irreps Y = spherical(2)

diagram message(x: H[atoms], y: Y[edges], r: weights[edges]) -> H[atoms] {
    x[j,u] y[i,j] -> out[i,u] * r[i, j, path, u]
}

diagram four_body(x: H[atoms], y: Y[edges], r: weights[edges], z: index(5)[atoms]) -> H[atoms] {
    x[j,u] y[i,j] -> A[i,u] in lmax 1 * r[i, j, path, u]
    A[i,u] -> out[i,u] * W1[z, path, u]
    A[i,u] A[i,u] A[i,u] -> out[i,u] * W3[z, path, u]
}

diagram star(x: H[atoms], y: 0e + 1o[edges]) -> 2x0e + 2x1o[atoms] {
    x[j,u] y[i,j] x[k,u] y[i,k] -> out[i,u] * W[path, u]
}

diagram many(
    x: H[atoms], y: Y[edges], g: 1o, s: weights[atoms], z: index(5)[atoms]
) -> (e: 2x0e, b: 2x1o[edges], a: 2x0e + 2x1e[atoms]) {
    x[i,u] -> e[u] * s[i, path, u]
    x[j,u] y[i,j] -> m[i,j,u] in lmax 1
    m[i,j,u] x[i,u] -> b[i,j,u] * B[j, z, path, u]
    x[j,u] y[i,j] -> A[i,u] in lmax 1 * V[path, u]
    A[i,u] g -> a[i,w] * W[path, u, w]
}

diagram counted(y: Y[edges], r: weights[edges]) -> 2x0e + 2x1o[atoms] {
    y[i,j] -> A[i,u] in 2x0e + 2x1o + 2x2e * r[i, j, path, u]
    A[i,u] A[i,u] -> out[i,u] * W[path, u]
}
"""
# Each in one way what no other diagram here is.
ODD = {
    "kept paths": "(x: H[atoms], y: Y[edges]) -> *[atoms] { x[j,u] y[i,j] -> out[i,path,u] * W[path,u] }",
    "kept on pairs": "(x: H[atoms], y: Y[edges]) -> *[edges] in 0e + 1o { x[j,u] y[i,j] -> out[i,j,path,u] }",
    "kept without sites": "(x: H[atoms], y: Y[edges]) -> * in 0e + 1o { x[j,u] y[i,j] -> out[path,u] }",
    "into the neighbours": "(x: H[atoms], y: Y[edges]) -> 2x0e[atoms] "
    "{ x[i,u] x[j,u] y[i,j] y[i,k] -> out[k,u] * W[path,u] }",
    "two sets": "(x: H[atoms], c: H[cells], h: 0e[homes]) -> (a: 2x0e[atoms], b: 2x1o[cells]) "
    "{ x[i,u] c[k,u] h[i,k] -> a[i,u] * W[path,u]; x[i,u] h[i,k] -> b[k,u] }",
    "one weight, two places": "(x: H[atoms], y: Y[edges]) -> (a: 2x0e[atoms], b: 2x0e) "
    "{ x[j,u] y[i,j] x[k,u] y[i,k] -> a[i,u] * W[path,u]; x[j,u] y[i,j] x[k,u] y[i,k] -> b[u] * W[path,u] }",
    "three weights": "(x: H[atoms], r: weights[edges], s: weights[atoms], t: weights) -> H[atoms] "
    "{ x[j,u] -> out[i,u] * r[i,j,path,u] * s[j,path] * t[path]; x[i,u] -> out[i,u] * s[i,path] }",
    "mixed per pair": "(x: H[atoms], y: Y[edges], r: weights[edges], s: weights[atoms]) -> H[atoms] "
    "{ x[j,u] y[i,j] -> out[i,w] * r[i,j,path,u,w] * s[i,u] }",
    "a matrix before and behind a loop": "(v: 1x0e + 1x0o[atoms], y: 1x0e + 1x2e[edges], x: 1x0e[atoms]) -> "
    "1x1e + 1x0e[atoms] { x[j,u] y[j,k] y[i,j] -> A[i,j,u] in lmax 1; A[i,j,u] v[i] -> out[i,w] * W[path,u,w] }",
    "a global leg, an unused block": "(x: 2x0o + 2x0e[atoms], g: 1e + 0e) -> 2x0e + 2x1e "
    "{ x[i,u] g -> out[u] * W[path] }",
    "rows at both ends": "(x: 2x0e[atoms], y: Y[edges], z: index(3)[atoms], m: index(2)[atoms]) "
    "-> 2x0e + 2x1o[edges] "
    "{ x[j,u] x[i,u] y[i,j] -> out[i,j,u] * W[i,z,j,m,path] }",
    "rows of three kinds": "(x: H[atoms], y: Y[edges], z: index(3)[atoms], q: index(2)[edges], n: index(4)) "
    "-> H[atoms] "
    "{ x[j,u] y[i,j] -> out[i,u] * W[n,z,i,j,q,path,u] }",
    "rows of two kinds": "(x: H[atoms], y: Y[edges], z: index(3)[atoms], n: index(4)) -> H[atoms] "
    "{ x[j,u] y[i,j] -> out[i,u] * W[n,j,z,path,u] }",
    "nothing": "(x: 2x1o[atoms], y: 0e[edges]) -> 2x1o[atoms] { x[j,u] y[i,j] -> out[i,u] * 0 }",
    "nothing on pairs": "(x: 2x1o[atoms], y: 0e[edges]) -> 2x1o[edges] { x[j,u] y[i,j] -> out[i,j,u] * 0 }",
    "nothing at all": "(x: 2x1o[atoms], g: 0e, r: weights[edges]) -> (a: 2x1o, b: 2x1o[atoms]) "
    "{ g x[i,u] -> a[u] * 0; x[j,u] -> b[i,u] * 0 * r[i,j,path,u] }",
}
GROUPS = {
    "spins": "group SU(2)\ndiagram d(x: 2x0 + 2x1/2[atoms], y: 1/2 + 1[edges]) -> 2x0 + 2x1[atoms] "
    "{ x[j,u] y[i,j] x[k,u] y[i,k] -> out[i,u] * W[path,u] }",
    "complex": "basis complex\nirreps H = 2x0e + 2x1o; irreps Y = 0e + 1o\n"
    "diagram d(x: H[atoms], y: Y[edges], r: weights[edges]) -> H[atoms] "
    "{ x[j,u] y[i,j] -> A[i,u] in lmax 1 * r[i,j,path,u]; A[i,u] A[i,u] -> out[i,u] * W[path,u] }",
}
SMALL_NAMES = ("message", "four_body", "star", "many", "counted")


@lru_cache
def example(name: str) -> fusionc.Diagram:
    return fusionc.load(EXAMPLE)[name]


@lru_cache
def small(name: str) -> fusionc.Diagram:
    return fusionc.parse(SMALL)[name]


@lru_cache
def odd(name: str) -> fusionc.Diagram:
    spaces = "irreps H = 2x0e + 2x1o; irreps Y = 0e + 1o\n"
    text = f"{spaces}diagram d{ODD[name]}" if name in ODD else GROUPS[name]
    return fusionc.parse(DECLARED + text)["d"]


@dataclasses.dataclass(frozen=True)
class Case:
    """A diagram with inputs and weights; `dtype` is that of all floating-point tensors."""

    diagram: CheckedDiagram
    inputs: Inputs
    weights: dict[str, np.ndarray]

    def module(self, layout: str = "mul_ir") -> torch.nn.Module:
        return load_module(self.diagram, self.weights, layout)  # type: ignore[arg-type]

    def tensors(self, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
        values = [torch.as_tensor(value).clone() for value in self.inputs.legs]
        return [value.to(dtype) if value.is_floating_point() else value for value in values]

    @property
    def keywords(self) -> dict[str, Any]:
        return self.inputs.keywords(self.diagram.graph)

    def oracle(self, layout: str = "mul_ir") -> tuple[np.ndarray, ...]:
        """The value by one oracle, with which the other agrees."""
        given = (self.inputs.legs, self.weights, layout, self.inputs.relations, self.inputs.sizes)
        value = evaluate(self.diagram.table, *given)  # type: ignore[arg-type]
        text = self.diagram.graph.span.source.text
        assert reference.agrees(reference.evaluate_arrays(text, *given, self.diagram.name), value)
        return value

    def run(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return as_tuple(self.module()(*(values or self.tensors()), **self.keywords))


def case(diagram: fusionc.Diagram, seed: int = 0, sizes: dict[str, int] | None = None, batch: int = 2) -> Case:
    checked, rng = diagram.checked, np.random.default_rng(seed)
    graph = checked.graph
    names = (*graph.sites, *(relation.name for relation in graph.relations))
    inputs = random_batch(checked.table, batch, rng, {name: (sizes or SIZES)[name] for name in names})
    return Case(checked, inputs, random_weights(checked.table, rng))


def with_strategy(one: Case, strategy: str) -> Case:
    """The same diagram, compiled with a strategy whether it is the cheapest or not."""
    diagram = dataclasses.replace(one.diagram)
    diagram.__dict__["strategy"] = strategy
    return dataclasses.replace(one, diagram=diagram)


def arrays(outputs: Any) -> list[np.ndarray]:
    return [part.detach().numpy() for part in as_tuple(outputs)]


def assert_same(got: Any, wanted: Any, tolerance: float = TIGHT) -> None:
    got, wanted = list(got), list(wanted)
    assert [one.shape for one in got] == [two.shape for two in wanted]
    assert relative(got, wanted) <= tolerance


def check_strategies(one: Case, layout: str) -> None:
    wanted = one.oracle(layout)
    gradients = []
    for strategy in STRATEGIES:
        program = one.diagram.program(strategy, layout)  # type: ignore[arg-type]
        found = interpret(program, one.inputs.legs, one.weights, one.inputs.relations, one.inputs.sizes)
        assert_same(found, wanted)
        module, values = with_strategy(one, strategy).module(layout), one.tensors()
        moving = [value.requires_grad_() for value in values if value.dtype != torch.int64]
        outputs = as_tuple(module(*values, **one.keywords))
        assert_same(arrays(outputs), wanted)
        probes = [torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out) for out in outputs]
        value = sum((out * probe).sum().real for out, probe in zip(outputs, probes, strict=True))
        if not value.requires_grad:
            continue
        moving += module.parameters()
        found = torch.autograd.grad(value, moving, allow_unused=True)
        gradients.append([torch.zeros_like(v) if g is None else g for v, g in zip(moving, found, strict=True)])
    for other in gradients[1:]:
        assert_same(map(torch.Tensor.numpy, other), [one.numpy() for one in gradients[0]])


# --- lines over sites, by what they do: left side, bracket and domain of the right edge; the legs they use ---

LINES = {
    "gather": ("x[j,u] y[i,j]", "[i,u]", "[atoms]"),
    "on pairs": ("x[j,u] y[i,j]", "[i,j,u]", "[edges]"),
    "at i": ("x[i,u] v[i]", "[i,u]", "[atoms]"),
    "star": ("x[j,u] y[i,j] x[k,u] y[i,k]", "[i,u]", "[atoms]"),
    "chain": ("x[k,u] y[i,j] y[j,k]", "[i,u]", "[atoms]"),
    "pairs and more": ("x[k,u] y[i,j] y[i,k]", "[i,j,u]", "[edges]"),
    "everything": ("x[i,u] v[i]", "[u]", ""),
    "two sums": ("x[i,u] v[j]", "[u]", ""),
    "outer": ("x[i,u] v[j] g", "[i,u]", "[atoms]"),
    "other set": ("x[i,u] h[i,c] c[c]", "[i,u]", "[atoms]"),
}
LEGS = {
    "x": "2x0e + 2x1o[atoms]",
    "v": "1o[atoms]",
    "y": "0e + 1o[edges]",
    "g": "1o",
    "h": "1o[homes]",
    "c": "0e[cells]",
}

"""Measured evidence that a generated module is what the diagram says: equivariance, translation, gradients.

Diagrams over sites are measured on random relations that are hard on a compiler: unsorted, with a pair that is listed
twice and a site in no pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionc.diagram.paths import PathTable
from fusionc.driver import CheckedDiagram
from fusionc.program.ir import Layout
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import evaluate, random_weights
from fusionc.tools.sites import Inputs, permuted, permuted_inputs, random_batch, random_orders
from fusionc.tools.transform import probe_elements, transform

Array = NDArray[Any]

EQUIVARIANCE_BOUND = 1e-12
TRANSLATION_BOUND = 1e-12
GRADIENT_BOUND = 1e-9
SITES, PAIRS = 4, 7


@dataclass(frozen=True)
class Measurement:
    """One measured error, relative to the size of what was compared, and the bound it has to keep."""

    name: str
    error: float
    bound: float

    @property
    def ok(self) -> bool:
        return self.error <= self.bound  # false for NaN


@dataclass(frozen=True, repr=False)
class Verification:
    """All measurements of one diagram."""

    diagram: str
    measurements: tuple[Measurement, ...]

    @property
    def ok(self) -> bool:
        return all(measurement.ok for measurement in self.measurements)

    def __repr__(self) -> str:
        verdict = "verified" if self.ok else "NOT VERIFIED"
        return f"<Verification {self.diagram}: {verdict}, {len(self.measurements)} measurements>"

    def __str__(self) -> str:
        width = max(len(measurement.name) for measurement in self.measurements)
        rows = [
            f"  {'ok  ' if m.ok else 'FAIL'}  {m.name:<{width}}  error {m.error:.1e}  bound {m.bound:.0e}"
            for m in self.measurements
        ]
        return "\n".join([f"{self.diagram}: {'verified' if self.ok else 'NOT VERIFIED'}", *rows])


def verify(
    diagram: CheckedDiagram,
    seed: int = 0,
    batch: int = 3,
    layout: Layout = "mul_ir",
    step: Callable[[str], None] = lambda name: None,
) -> Verification:
    """Measure a diagram's generated torch module in float64 on random operands.

    `step` is called with the name of what is measured next. Errors are relative to the largest entry compared.
    """
    rng = np.random.default_rng(seed)
    diagram.check_length()
    table, graph = diagram.table, diagram.graph
    sizes = dict.fromkeys(graph.sites, SITES) | {relation.name: PAIRS for relation in graph.relations}
    inputs, weights = random_batch(table, batch, rng, sizes), random_weights(table, rng)
    module = load_module(diagram, weights, layout)
    reference = evaluate(table, inputs.legs, weights, layout, inputs.relations, inputs.sizes)

    def run(values: Inputs) -> list[Array]:
        with torch.no_grad():
            outputs = module(*map(torch.as_tensor, values.legs), **values.keywords(graph))
        return [part.numpy() for part in as_tuple(outputs)]

    step("translation")
    found = [Measurement("translation: against the dense einsum", relative(run(inputs), reference), TRANSLATION_BOUND)]
    for name, element in probe_elements(table.graph.group, rng).items():
        step(f"equivariance, {name}")
        turned = inputs.with_legs(_turned(table, inputs.legs, element, layout))
        wanted = [
            transform(table.graph.group, table.outputs[output.name], element, value, layout, table.graph.basis)
            for output, value in zip(table.graph.outputs, reference, strict=True)
        ]
        found.append(Measurement(f"equivariance: {name}", relative(run(turned), wanted), EQUIVARIANCE_BOUND))
    if graph.sites:
        step("equivariance, order of sites and pairs")
        orders = random_orders(inputs.sizes, rng)
        wanted = [permuted(value, out.domain, orders) for out, value in zip(graph.outputs, reference, strict=True)]
        moved = run(permuted_inputs(graph, inputs, orders))
        found.append(Measurement("equivariance: order of sites and pairs", relative(moved, wanted), EQUIVARIANCE_BOUND))
    step("gradients")
    found += _gradients(table, module, inputs, weights, layout, rng)
    return Verification(diagram.name, tuple(found))


def as_tuple(outputs: Any) -> tuple[torch.Tensor, ...]:
    """One output or several, as a tuple."""
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def relative(values: Sequence[Array], wanted: Sequence[Array]) -> float:
    """The largest difference, relative to the largest entry of what is wanted."""
    scale = max((float(np.abs(w).max(initial=0.0)) for w in wanted), default=0.0) or 1.0
    return max(float(np.abs(v - w).max(initial=0.0)) for v, w in zip(values, wanted, strict=True)) / scale


def _turned(table: PathTable, legs: Sequence[Array], element: Any, layout: Layout) -> list[Array]:
    tensors, group = table.graph.tensor_legs, table.graph.group
    return [
        transform(group, tensors[leg.name].space, element, value, layout, table.graph.basis)
        if leg.name in tensors
        else value
        for leg, value in zip(table.graph.legs, legs, strict=True)
    ]


# --- gradients -----------------------------------------------------------------------------------------------------


def _gradients(
    table: PathTable,
    module: torch.nn.Module,
    inputs: Inputs,
    weights: dict[str, Array],
    layout: Layout,
    rng: np.random.Generator,
) -> list[Measurement]:
    """First and second derivatives along random directions, against exact differences of the oracle.

    Along a line the oracle is a polynomial of known degree, so its derivatives follow from its values at a few points
    without a step size to choose. `torch.autograd.gradcheck` and `gradgradcheck` must pass as well.
    """
    legs, keywords = inputs.legs, inputs.keywords(table.graph)
    is_float = [value.dtype.kind in "fc" for value in legs]
    direction = [_like(v, rng) if f else np.zeros_like(v) for v, f in zip(legs, is_float, strict=True)]
    weight_direction = {name: _like(value, rng) for name, value in weights.items()}

    def oracle(values: Sequence[Array], learned: dict[str, Array]) -> tuple[Array, ...]:
        return evaluate(table, values, learned, layout, inputs.relations, inputs.sizes)

    probes = [_like(value, rng) for value in oracle(legs, weights)]

    def along(t: float) -> float:
        moved = [v + t * d if f else v for v, d, f in zip(legs, direction, is_float, strict=True)]
        values = oracle(moved, {k: w + t * weight_direction[k] for k, w in weights.items()})
        return sum(float((value * probe).sum().real) for value, probe in zip(values, probes, strict=True))

    first, second = _polynomial_derivatives(along, _degree(table))
    tensors = [torch.as_tensor(v).clone().requires_grad_(f) for v, f in zip(legs, is_float, strict=True)]
    steered = [t for t, f in zip(tensors, is_float, strict=True) if f]
    variables = [*steered, *module.parameters()]
    steer = [torch.as_tensor(d) for d, f in zip(direction, is_float, strict=True) if f]
    steer += [torch.as_tensor(weight_direction[name]) for name, _ in module.named_parameters()]
    outputs = as_tuple(module(*tensors, **keywords))
    value = sum((p * torch.as_tensor(q)).sum().real for p, q in zip(outputs, probes, strict=True))
    slope = _directional(value, variables, steer)
    curve = _directional(slope, variables, steer)
    passes = _gradcheck(module, tensors, is_float, keywords)
    return [
        Measurement(name, error if ok else float("inf"), GRADIENT_BOUND)
        for name, error, ok in (
            ("gradients: first derivatives, gradcheck", _close(float(slope.detach()), first), passes[0]),
            ("gradients: second derivatives, gradgradcheck", _close(float(curve.detach()), second), passes[1]),
        )
    ]


def _directional(value: Any, inputs: list[torch.Tensor], steer: list[torch.Tensor]) -> Any:
    if not value.requires_grad:
        return torch.zeros((), dtype=torch.float64)
    gradients = torch.autograd.grad(value, inputs, create_graph=True, allow_unused=True)
    none = torch.zeros((), dtype=torch.float64)
    return sum(((g.conj() * d).sum().real for g, d in zip(gradients, steer, strict=True) if g is not None), none)


def _like(value: Array, rng: np.random.Generator) -> Array:
    """Standard normal numbers of the same shape and kind."""
    normal: Array = rng.standard_normal(value.shape)
    return normal + 1j * rng.standard_normal(value.shape) if value.dtype.kind == "c" else normal


def _close(value: float, wanted: float) -> float:
    return abs(value - wanted) / max(1.0, abs(wanted))


def _degree(table: PathTable) -> int:
    """A bound on the degree of the diagram in all operands and weights together."""
    degree: dict[str, int] = dict.fromkeys(table.graph.tensor_legs, 1)
    for line in table.graph.ordered():
        own = sum(degree[operand.edge] for operand in line.operands) + len(line.weights)
        degree[line.target] = max(degree.get(line.target, 0), own)
    return max(degree.values())


def _polynomial_derivatives(function: Callable[[float], float], degree: int) -> tuple[float, float]:
    """First and second derivative at 0 of a polynomial, by interpolation in Chebyshev points."""
    points = np.polynomial.chebyshev.chebpts1(degree + 1)
    series = np.polynomial.Chebyshev.fit(points, [function(t) for t in points], degree, domain=[-1, 1])
    return float(series.deriv(1)(0.0)), float(series.deriv(2)(0.0)) if degree > 1 else 0.0


def _gradcheck(
    module: torch.nn.Module, tensors: list[torch.Tensor], is_float: list[bool], keywords: dict[str, Any]
) -> tuple[bool, bool]:
    """torch's own checks, in their fast mode, on one batch element."""
    small = [
        tensor[:1].detach().clone().requires_grad_(floats) for tensor, floats in zip(tensors, is_float, strict=True)
    ]

    def run(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return as_tuple(module(*values, **keywords))

    if not any(output.requires_grad for output in run(*small)):  # a diagram that vanishes
        return True, True
    options: dict[str, Any] = {"fast_mode": True, "raise_exception": False}
    return (
        torch.autograd.gradcheck(run, small, **options),
        torch.autograd.gradgradcheck(run, small, gen_non_contig_grad_outputs=True, **options),
    )

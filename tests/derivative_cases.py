"""Diagrams of all forms with operands, for tests of derivatives: of programs, of modules, of kernels."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import HealthCheck, settings

import fusionc
from fusionc.program.derive import differentiable
from fusionc.program.interpret import interpret
from fusionc.program.ir import Program
from fusionc.tools.oracle import random_inputs, random_weights

PROPERTY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
SIZES = {"atoms": 4, "edges": 7, "cells": 2, "homes": 4}
SITES = """sites atoms
sites cells
pairs edges(atoms, atoms)
pairs homes(atoms, cells)
"""

TEXTS = {
    "uvu per element": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o, r: weights) -> 2x0e + 2x1o "
    "{ x[u] y -> out[u] * r[path,u] }",
    "uvw": "diagram d(x: 3x0e + 2x1o, y: 2x0e + 3x1o) -> 4x0e + 2x1o { x[u] y[v] -> out[w] * W[path,u,v,w] }",
    "uvw for each element": "diagram d(x: 2x1o + 2x1e + 3x0e, y: 0e + 1o + 2e, r: weights) -> 2x1o + 2x1e + 3x0e "
    "{ x[u] y -> out[w] * r[path,u,w] }",
    "uvuv": "diagram d(x: 3x1o, y: 2x1o) -> 6x0e + 6x1e { x[u] y[v] -> out[u,v] * W[path,u,v] }",
    "weights of what has no channels": "diagram d(x: 0e + 1o) -> 2x0e + 2x1o { x -> out[u] * W[path,u] }",
    "kept": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o) -> * { x[u] y -> out[path,u] * W[path,u] }",
    "product basis": "diagram d(a: 2x0e + 2x1o, z: index(3)) -> 2x0e + 2x1o { a[u] -> out[u] * W1[z,path,u]; "
    "a[u] a[u] -> out[u] * W2[z,path,u]; a[u] a[u] a[u] -> out[u] * W3[z,path,u] }",
    "linear": "diagram d(x: 3x0e + 2x1o) -> 2x0e + 3x1o { x[u] -> out[v] * W[path,u,v] }",
    "two outputs": "diagram d(x: 2x0e + 2x1o, y: 0e + 1o) -> (s: 2x0e, v: 2x1o) "
    "{ x[u] y -> s[u] * W[path,u]; x[u] y -> v[u] * V[path,u] }",
    "message": SITES + "diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges], r: weights[edges]) -> 2x0e + 2x1o[atoms] "
    "{ x[j,u] y[i,j] -> out[i,u] * r[i,j,path,u] }",
    "density squared": SITES + "diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges], r: weights[edges]) -> "
    "2x0e + 2x1o[atoms] { x[j,u] y[i,j] -> A[i,u] in lmax 1 * r[i,j,path,u]; A[i,u] A[i,u] -> out[i,u] * W[path,u] }",
    "rows of both ends": SITES
    + "diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges], z: index(3)[atoms], q: index(2)[atoms]) -> "
    "2x0e + 2x1o[atoms] { x[j,u] y[i,j] -> out[i,u] * V[i,z,j,q,path,u] }",
    "everything over sites": SITES
    + """diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges], h: 1o[homes], c: 2x0e[cells],
        r: weights[edges], g: 1o, z: index(3)[atoms]) -> (s: 2x0e[atoms], b: 2x1o[edges], t: 2x0e) {
        x[j,u] y[i,j] -> A[i,u] in lmax 1 * r[i,j,path,u]
        A[i,u] A[i,u] -> s[i,u] * W[z,path,u]
        c[k,u] h[i,k] g -> s[i,u] * U[i,z,path,u]
        x[i,u] y[i,j] -> e[i,j,u]
        e[i,j,u] g -> b[i,j,u] * P[path,u]
        x[a,u] g -> t[u] * T[path,u]
    }""",
}


@dataclass
class Case:
    """A diagram with operands: everything by name, as numpy arrays."""

    diagram: fusionc.Diagram
    operands: dict[str, np.ndarray]
    relations: dict[str, np.ndarray]
    layout: str

    @property
    def program(self) -> Program:
        return self.diagram.checked.program(layout=self.layout)

    def run(self, program: Program, more: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of a program by name."""
        everything = {**self.operands, **more}
        legs = [everything[leg.name] for leg in program.legs]
        weights = {weight.name: everything[weight.name] for weight in program.weights}
        results = interpret(program, legs, weights, self.relations, dict(SIZES))
        return {output.name: value for output, value in zip(program.outputs, results, strict=True)}


def case(text: str, layout: str = "mul_ir", seed: int = 0) -> Case:
    diagram = fusionc.parse(text)["d"]
    table, rng = diagram.checked.table, np.random.default_rng(seed)
    legs, relations = random_inputs(table, SIZES, rng, batch=2)
    program = diagram.checked.program(layout=layout)
    operands = {leg.name: value for leg, value in zip(program.legs, legs, strict=True)} | random_weights(table, rng)
    return Case(diagram, operands, relations, layout)


class Autograd:
    """The same diagram as a function of tensors, to be differentiated by torch."""

    def __init__(self, one: Case) -> None:
        self.one = one
        self.function = one.diagram.function(layout=one.layout)
        program = one.program
        self.names = [leg.name for leg in program.legs] + [weight.name for weight in program.weights]
        self.relations = {name: torch.as_tensor(value) for name, value in one.relations.items()}
        self.relations |= {name: SIZES[name] for name in one.diagram.checked.graph.told_sites}

    def __call__(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        everything = {name: torch.as_tensor(value) for name, value in self.one.operands.items()}
        everything |= dict(zip(differentiable(self.one.program), values, strict=True))
        # With forward mode on, the file runs plain operations, which torch differentiates knowing nothing of `derive`.
        inside = torch._C._functorch.peek_interpreter_stack() is not None
        with nullcontext() if inside else torch.autograd.forward_ad.dual_level():
            out = self.function(*(everything[name] for name in self.names), **self.relations)
        return (out,) if isinstance(out, torch.Tensor) else tuple(out)

    def inputs(self) -> list[torch.Tensor]:
        return [torch.as_tensor(self.one.operands[name]).requires_grad_() for name in differentiable(self.one.program)]


def random_like(shapes, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(tuple(shape)) for shape in shapes]

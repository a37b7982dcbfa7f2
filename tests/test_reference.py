"""The two oracles against each other: one that shares the paths with the compiler, and a plain reading of the text."""

from __future__ import annotations

import re

import numpy as np
import pytest
import reference
import torch

import fusionc
from fusionc.tools.oracle import evaluate, random_weights
from fusionc.tools.sites import random_batch

SIZES = {"atoms": 4, "cells": 2, "edges": 7, "homes": 4}
SITES = "sites atoms; sites cells; pairs edges(atoms, atoms); pairs homes(atoms, cells)\n"
TEXTS = {
    "brackets of different sizes": "diagram d(x: 2x1o, y: 3x1o, z: 6x0e + 6x1e) -> 6x0e + 6x1e "
    "{ x[u] y[v] -> out[u,v] * W[path, u]; z[w] -> out[w] * V[path] }",
    "one weight twice on a line": "diagram d(x: 2x1o, y: 0e) -> 3x1o { x[u] y -> out[w] * W[u,w] * W[u,w] }",
    "one weight on two lines": "diagram d(x: 2x1o, y: 2x1o) -> 2x1o { x[u] -> out[u] * W[u]; y[u] -> out[u] * W[u] }",
    "equal operands": "diagram d(a: 0e + 1o + 1o + 2e) -> 0e + 1o + 2e { a a a -> out * W[path] }",
    "equal operands of two kinds": "diagram d(a: 0e + 1o, b: 1o + 2e) -> 0e + 1e + 2e { a b b a -> out * W[path] }",
    "an inferred output": "diagram d(x: 2x1o + 1x0o, y: 0e + 1o + 2e) -> * in lmax 1 "
    "{ x[u] y -> e[u] in lmax 2; e[u] y -> out[path,u] * W[path] }",
    "an edge that is used twice": "diagram d(x: 2x1o) -> 2x0e + 2x2e "
    "{ x[u] x[u] -> h[u] in 2x0e + 2e * V[path,u]; h[u] h[u] -> out[u] * W[path,u]; h[u] -> out[u] * U[path] }",
    "a block that is declared twice": "paths path\ndiagram d(x: 2x1o + 3x1o) -> 2x0e + 1x0e + 2x2e "
    "{ x[u] x[v] -> out[w] * W[path, u, v, w] }",
    "half-integer spins": "group SU(2)\nnormalize norm\ndiagram d(x: 2x1/2 + 2x1, s: 1/2) -> 2x1/2 + 2x1 "
    "{ x[u] s s -> out[u] * W[path,u] }",
    "a loop": "diagram d(x: 2x1o, y: 1o + 2e) -> 2x0e + 2x1e { edge a: 1o, b: 0e + 2e; "
    "x[u] -> a[u] b; b y -> c; a[u] c -> out[u] * W[path, u] }",
    "sites": SITES + "diagram d(x: 2x0e + 2x1o[atoms], y: 1o[edges], r: weights[edges], "
    "z: index(3)[atoms], n: index(2)) -> (s: 2x0e[atoms], b: 2x1o[edges], t: 2x0e) { x[j,u] y[i,j] -> A[i,u] in lmax 1 "
    "* r[i,j,path,u]; "
    "A[i,u] A[i,u] -> s[i,u] * W[n,z,path,u]; x[i,u] y[i,j] -> b[i,j,u] * V[j,z,path]; "
    "x[i,u] x[i,u] -> t[u] * T[path] }",
}


def both(text: str, layout: str = "mul_ir", seed: int = 0) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    checked, rng = fusionc.parse(text)["d"].checked, np.random.default_rng(seed)
    names = (*checked.graph.sites, *(relation.name for relation in checked.graph.relations))
    inputs = random_batch(checked.table, 2, rng, {name: SIZES[name] for name in names})
    weights = random_weights(checked.table, rng)
    given = (inputs.legs, weights, layout, inputs.relations, inputs.sizes)
    return evaluate(checked.table, *given), reference.evaluate_arrays(text, *given)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("name", TEXTS)
def test_both_oracles_read_a_text_alike(name, layout):
    assert reference.agrees(*both(TEXTS[name], layout))


def test_clebsch_gordan_coefficients_are_those_of_the_tables():
    """Two values of the Particle Data Group's table: 1 x 1/2 and 3/2 x 1."""
    from reference.tensors import clebsch_gordan

    assert clebsch_gordan(2, 2, 1, -1, 3, 1) == pytest.approx((1 / 3) ** 0.5, abs=1e-15)
    assert clebsch_gordan(3, 3, 2, -2, 3, 1) == pytest.approx((2 / 5) ** 0.5, abs=1e-15)


def test_the_reference_is_e3nns_tensor_product():
    """With the default settings two legs are `o3.TensorProduct`, weights in the same order."""
    from e3nn import o3

    text = "diagram d(x: 3x0e + 2x1o, y: 0e + 1o) -> 3x0e + 2x1o { x[u] y[v] -> out[w] * W[path, u, v, w] }"
    listing = reference.list_paths(reference.read_diagram(text))
    x, y = torch.randn(4, 9, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    weight = torch.randn(listing.weights["W"].numel, dtype=torch.float64)
    product = o3.FullyConnectedTensorProduct("3x0e + 2x1o", "0e + 1o", "3x0e + 2x1o", internal_weights=False).double()
    (got,) = reference.evaluate(listing, {"x": x, "y": y}, {"W": weight})
    assert float((got - product(x, y, weight)).abs().max()) < 1e-6  # e3nn's own constants are rounded to float32


NOTHING = {
    "a gradient by weights alone": "diagram d(x: 2x0e) -> 2x0e "
    "{ x[u] -> e[u] in 0e * W[path,u] * 0; e[u] -> out[u] * V[path,u] }",
    "zeros as wide as what they are made like": "diagram d(v: 1o, r: weights) -> 3x1o "
    "{ v v -> e in 0e + 2e * V[path]; e e v -> out[m] * r[path, m] * 0 }",
}


PARTLY_NOTHING = """group O(3)
diagram d(h: 1o, p: 3x0e) -> 2x1e {
    h -> e in 1o
    e h p[u] -> f[u,m] in 6x2e + 6x1e * W[path,m]
    f[u,v] f[u,v] -> out[v] * V[path,u]
}"""
"""The 1e of `f` vanishes across two lines: its factors are equal."""


@pytest.mark.parametrize("target", ["torch", "triton"])
@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_a_label_that_is_nothing_across_lines_compiles(target, layout):
    compile(fusionc.parse(PARTLY_NOTHING)["d"].emit(target, layout=layout), "d", "exec")


def test_a_label_that_is_nothing_across_lines_has_gradients():
    listing = reference.list_paths(reference.read_diagram(PARTLY_NOTHING))
    module = fusionc.parse(PARTLY_NOTHING)["d"].module()(dtype=torch.float64)
    legs = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    moving = [*legs, *module.parameters()]
    (wanted,) = reference.evaluate(listing, dict(zip("hp", legs, strict=True)), dict(module.named_parameters()))
    got = module(*legs)
    keep = {"create_graph": True, "materialize_grads": True}
    first = [torch.autograd.grad(out.square().sum(), moving, **keep) for out in (wanted, got)]
    norms = [sum(one.square().sum() for one in side) for side in first]
    second = [torch.autograd.grad(norm, moving, materialize_grads=True) for norm in norms]
    for one, other in zip((wanted, *first[0], *second[0]), (got, *first[1], *second[1]), strict=True):
        assert float((one - other).detach().abs().max()) <= 1e-11 * (1 + float(one.detach().abs().max()))


@pytest.mark.parametrize("name", NOTHING)
def test_lines_that_are_nothing_compile(name):
    diagram = fusionc.parse(NOTHING[name])["d"]
    legs = random_batch(diagram.checked.table, 2, np.random.default_rng(0), {}).legs
    out = diagram.module()()(*(torch.as_tensor(leg).float() for leg in legs))
    assert float(out.detach().abs().max()) == 0.0


def test_a_product_of_a_value_by_itself_is_not_written_over_it():
    text = """diagram d(a: 2x0o, b: 2x0o) -> 0e {
        a[u] b[u] -> e[u,m] in 4x0e * W[path,m,u] * W[path,m,u]
        e[u,v] e[u,v] -> out * V[path,u,v]
    }"""
    listing = reference.list_paths(reference.read_diagram(text))
    module = fusionc.parse(text)["d"].module()(dtype=torch.float64)
    legs = {name: torch.randn(3, 2, dtype=torch.float64) for name in "ab"}
    (wanted,) = reference.evaluate(listing, legs, dict(module.named_parameters()))
    for recorded in (False, True):
        with torch.set_grad_enabled(recorded):
            assert float((module(*legs.values()) - wanted).detach().abs().max()) < 1e-11


UNEVEN = {
    "one component that meets several": SITES + "diagram d(x: 3x0o + 3x0e, h: 3x0o[atoms]) -> 1x0e + 1x0o + 1x0e "
    "{ h[i,u] x[u] -> out * W[path,u] }",
    "a row without sites": SITES + "diagram d(x: 2x0e[atoms], z: index(3)) -> 2x0e[atoms] "
    "{ x[i,u] -> out[i,u] * W[z,path,u] }",
}


@pytest.mark.parametrize("name", UNEVEN)
def test_gradients_without_a_batch(name):
    """The gradients of an eager call are those of the reference, for operands without batch dimensions."""
    listing = reference.list_paths(reference.read_diagram(UNEVEN[name]))
    module = fusionc.parse(UNEVEN[name])["d"].module()(dtype=torch.float64)
    shapes = {"x": (4, 2) if "x: 2" in UNEVEN[name] else (6,), "h": (4, 3)}
    legs = {
        leg: torch.tensor(1) if leg == "z" else torch.randn(shapes[leg], dtype=torch.float64, requires_grad=True)
        for leg in listing.diagram.legs
    }
    weights = dict(module.named_parameters())
    moving = [one for one in (*legs.values(), *weights.values()) if one.requires_grad]
    (wanted,) = reference.evaluate(listing, legs, weights)
    got = module(*legs.values())
    for one, other in zip(*(torch.autograd.grad(out.sum(), moving) for out in (wanted, got)), strict=True):
        assert float((one - other).abs().max()) < 1e-12


def test_results_that_are_nothing_go_with_their_neighbours():
    """However few rows are held at a time, none of the pieces is empty."""
    from fusionc.targets.torch_rows import _chunks

    many = list(range(300))
    assert _chunks([many, [], [1]])[0] == (0, 2, many)
    assert [terms for *_, terms in _chunks([[], many, [301]])] == [many, [301]]


UNTIED = {
    "another site than the right edge's": "x[i,u] y[j] -> o[j,u] * r[i,path]",
    "the sites of two weights": "x[i,u] y[j] -> o[u] * r[i,path] * s[j,path,u]",
    "a pair among three sites": "x[j,u] e[i,j] e[i,k] -> o[i,u] * p[i,k,path]",
    "a pair that no operand has": "x[j,u] y[i] y[k] e[i,j] -> o[i,u] * p[j,k,path]",
    "the end of a chain": "e[i,j] e[j,k] x[k,u] -> o[i,u] * r[k,path] * W[path,u]",
    "rows": "x[i,u] y[j] -> o[j,w] * V[i,z,path,u,w]",
    "equal operands, new channels": "x[i,u] x[i,u] y[j] -> o[j,w] * r[i,path,u,w] * W[path,w]",
    "no path": "x[i,u] y[j] -> o[j,u] * r[i] * W[path,u]",
    "the same weight twice": "x[i,u] y[j] -> o[j,u] * r[i,path] * r[i,path]",
    "paths that are kept": "x[i,u] y[j] -> o[j,path,u] * r[i,path]",
}


@pytest.mark.parametrize("name", UNTIED)
def test_weights_at_sites_that_nothing_ties_weigh_before_these_are_summed(name):
    """`x[i] y[j] -> out[j] * r[i,path]`: module, its derivatives and both oracles agree."""
    line = UNTIED[name]
    legs = {"x": "x: 2x0e + 2x1o[atoms]", "y": "y: 0e + 1o[atoms]", "e": "e: 0e + 1o[edges]", "z": "z: index(2)[atoms]"}
    legs |= {"r": "r: weights[atoms]", "s": "s: weights[atoms]", "p": "p: weights[edges]"}
    used = [leg for name, leg in legs.items() if re.search(rf"\b{name}\b", line)]
    over = "" if "o[u]" in line else "[atoms]"
    result = f"*{over} in 1o + 2e" if "path,u]" in line.split("*")[0] else f"2x0e + 2x1o{over}"
    text = f"sites atoms; pairs edges(atoms, atoms)\ndiagram d({', '.join(used)}) -> (o: {result}) {{ {line} }}"
    assert reference.agrees(*both(text))
    assert fusionc.parse(text)["d"].verify().ok

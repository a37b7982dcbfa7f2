"""Compiled sums over neighbours: against the oracle and against loops written here, gradients, torch's transforms, and
what modules say of wrong operands."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from site_strategies import DECLARED, SIZES, site_diagrams

import fusionc
from fusionc.driver import CheckedDiagram
from fusionc.program.interpret import interpret
from fusionc.program.select import STRATEGIES
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import evaluate, random_weights
from fusionc.tools.sites import Inputs, permuted, permuted_inputs, random_batch
from fusionc.tools.verify import as_tuple, relative, verify

EXAMPLE = Path(__file__).parent.parent / "examples" / "neighbours.fus"
NAMES = ("message", "density_squared", "four_body")
LAYOUTS = ("mul_ir", "ir_mul")
TIGHT = 1e-12
PROPERTY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

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
        given = (self.inputs.legs, self.weights, layout, self.inputs.relations, self.inputs.sizes)
        return evaluate(self.diagram.table, *given)  # type: ignore[arg-type]

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


# --- every strategy is what the diagram says ---------------------------------------------------------------------


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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_examples_equal_the_oracle(name, layout):
    check_strategies(case(example(name)), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SMALL_NAMES)
def test_small_diagrams_equal_the_oracle(name, layout):
    check_strategies(case(small(name)), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [*ODD, *GROUPS])
def test_odd_diagrams_equal_the_oracle(name, layout):
    spaces = "irreps H = 2x0e + 2x1o; irreps Y = 0e + 1o\n"
    text = f"{spaces}diagram d{ODD[name]}" if name in ODD else GROUPS[name]
    diagram = fusionc.parse(DECLARED + text)["d"]
    check_strategies(case(diagram), layout)
    result = verify(diagram.checked, 0, 2, layout)
    assert result.ok, str(result)


@PROPERTY
@given(one=site_diagrams(), seed=st.integers(0, 2**32 - 1), layout=st.sampled_from(LAYOUTS))
def test_random_diagrams_equal_the_oracle(one, seed, layout):
    try:
        diagram = fusionc.parse(one.text)["d"]
    except fusionc.CompileError:
        assume(False)
    check_strategies(case(diagram, seed), layout)


@settings(PROPERTY, max_examples=40)
@given(one=site_diagrams(), seed=st.integers(0, 1000))
def test_random_diagrams_verify(one, seed):
    try:
        diagram = fusionc.parse(one.text)["d"]
    except fusionc.CompileError:
        assume(False)
    assume(diagram.count_paths() < 60)
    result = diagram.verify(seed)
    assert result.ok, str(result)


@pytest.mark.parametrize("name", NAMES)
def test_examples_verify(name):
    result = example(name).verify()
    assert result.ok, str(result)
    assert "equivariance: order of sites and pairs" in str(result)


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_small_diagrams_verify_in_both_layouts(name):
    for layout in LAYOUTS:
        result = verify(small(name).checked, 1, 2, layout)
        assert result.ok, str(result)


def test_verify_finds_a_wrong_module(monkeypatch):
    """A module that reads a relation the wrong way round passes no measurement but those that cannot see it."""
    monkeypatch.setattr(
        "fusionc.tools.sites.Inputs.keywords",
        lambda self, graph: {name: torch.as_tensor(value[::-1].copy()) for name, value in self.relations.items()},
    )
    result = small("message").verify()
    assert not result.ok
    assert "FAIL  translation" in str(result)


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_gradients_of_everything_are_the_numerical_ones(name):
    """All entries of all operands and weights, one by one."""
    one = case(small(name), sizes={"atoms": 3, "edges": 4}, batch=1)
    module = one.module()
    values = one.tensors()
    names = [key for key, _ in module.named_parameters()]
    weights = [parameter.detach().clone().requires_grad_() for parameter in module.parameters()]
    for value in values:
        value.requires_grad_(value.is_floating_point())

    def run(*inputs):
        parameters = dict(zip(names, inputs[len(values) :], strict=True))
        return as_tuple(torch.func.functional_call(module, parameters, inputs[: len(values)], one.keywords))

    assert torch.autograd.gradcheck(run, (*values, *weights))


# --- loops written here --------------------------------------------------------------------------------------------


def vertex(l1: int, l2: int, l3: int) -> np.ndarray:
    return o3.wigner_3j(l1, l2, l3, dtype=torch.float64).numpy() * np.sqrt(2 * l3 + 1)


def spin(name: str) -> int:
    return int(name[:-1])


def blocks(flat: np.ndarray, irreps: dict[str, int]) -> dict[str, np.ndarray]:
    """[..., dim] in `mul_ir` as [..., channel, component] by irrep; `irreps` are the multiplicities."""
    found, start = {}, 0
    for name, channels in irreps.items():
        shape = (channels, 2 * spin(name) + 1)
        found[name] = flat[..., start : start + np.prod(shape)].reshape(*flat.shape[:-1], *shape)
        start += int(np.prod(shape))
    return found


def fan(paths: list[Any], irrep: str) -> float:
    """One over the root of how many paths add up in an irrep."""
    return 1 / np.sqrt(sum(path.irreps[-1] == irrep for path in paths))


def neighbour_terms(one: Case, paths: list[Any], x: dict[str, int], y: dict[str, int]) -> list[dict[str, np.ndarray]]:
    """For every pair its term of the density, [channel, component], by irrep: the feature of the neighbour coupled
    with the harmonics of the pair."""
    features, directions = blocks(one.inputs.legs[0][0], x), blocks(one.inputs.legs[1][0], y)
    terms = []
    for e, (_, j) in enumerate(one.inputs.relations["edges"].T):
        term: dict[str, np.ndarray] = {}
        for path in paths:
            left, right, out = path.irreps
            weight = one.inputs.legs[2][0, e, path.offset : path.offset + path.shape[0]] * fan(paths, out)
            tensor = vertex(spin(left), spin(right), spin(out))
            value = np.einsum("ua,b,abc->uc", features[left][j], directions[right][e, 0], tensor)
            term[out] = term.get(out, 0) + weight[:, None] * value
        terms.append(term)
    return terms


def sum_of_tuples(one: Case, paths: list[Any], terms: list[dict[str, np.ndarray]], species: Any) -> np.ndarray:
    """Every path for every atom and every tuple of pairs that start there, one after the other: nothing is factored."""
    pairs, atoms = one.inputs.relations["edges"], one.inputs.sizes["atoms"]
    wanted: dict[str, np.ndarray] = {}
    for path in paths:
        bodies = max(1, (len(path.irreps) + 1) // 2)
        leaves, steps, out = path.irreps[:bodies], [*path.irreps[:1], *path.irreps[bodies:]], path.irreps[-1]
        total = wanted.setdefault(out, np.zeros((atoms, path.shape[-1], 2 * spin(out) + 1)))
        for chosen in product(range(pairs.shape[1]), repeat=bodies):
            i = pairs[0, chosen[0]]
            if any(pairs[0, pair] != i for pair in chosen):
                continue
            value = terms[chosen[0]][leaves[0]]
            for place in range(1, bodies):
                tensor = vertex(spin(steps[place - 1]), spin(leaves[place]), spin(steps[place]))
                value = np.einsum("ua,ub,abc->uc", value, terms[chosen[place]][leaves[place]], tensor)
            row = one.weights[path.weight] if species is None else one.weights[path.weight][species[i]]
            total[i] += row[path.offset : path.offset + path.shape[-1], None] * value * fan(paths, out)
    return np.concatenate([wanted[out].reshape(atoms, -1) for out in sorted(wanted)], axis=1)


def test_density_squared_is_a_double_sum_over_neighbours():
    diagram = example("density_squared")
    one = case(diagram, seed=3, sizes={"atoms": 4, "edges": 5}, batch=1)
    into = {edge: [path for path in diagram.paths if path.edge == edge] for edge in ("A", "out")}
    x, y = {"0e": 16, "1o": 16, "2e": 16}, {"0e": 1, "1o": 1, "2e": 1, "3o": 1}
    wanted = sum_of_tuples(one, into["out"], neighbour_terms(one, into["A"], x, y), None)
    assert_same([arrays(one.run())[0][0]], [wanted])


CUBE = """sites atoms; pairs edges(atoms, atoms)
irreps H = 2x0e + 2x1o
diagram cube(x: H[atoms], y: spherical(2)[edges], r: weights[edges], z: index(4)[atoms]) -> H[atoms] {
    x[j,u] y[i,j] -> A[i,u] in lmax 2 * r[i, j, path, u]
    A[i,u] -> out[i,u] * W1[z, path, u]
    A[i,u] A[i,u] -> out[i,u] * W2[z, path, u]
    A[i,u] A[i,u] A[i,u] -> out[i,u] * W3[z, path, u]
}"""


@pytest.mark.parametrize("sizes", [{"atoms": 3, "edges": 5}, {"atoms": 1, "edges": 3}])
def test_four_bodies_are_a_triple_sum_over_neighbours(sizes):
    """An atom and three neighbours, with the squares on the way."""
    diagram = fusionc.parse(CUBE)["cube"]
    one = case(diagram, seed=4, sizes=sizes, batch=1)
    into = {edge: [path for path in diagram.paths if path.edge == edge] for edge in ("A", "out")}
    terms = neighbour_terms(one, into["A"], {"0e": 2, "1o": 2}, {"0e": 1, "1o": 1, "2e": 1})
    assert_same([arrays(one.run())[0][0]], [sum_of_tuples(one, into["out"], terms, one.inputs.legs[3][0])])


def test_four_bodies_of_the_example_are_a_triple_sum():
    diagram = example("four_body")
    one = case(diagram, seed=5, sizes={"atoms": 3, "edges": 4}, batch=1)
    into = {edge: [path for path in diagram.paths if path.edge == edge] for edge in ("A", "out")}
    x, y = {"0e": 16, "1o": 16, "2e": 16}, {"0e": 1, "1o": 1, "2e": 1, "3o": 1}
    wanted = sum_of_tuples(one, into["out"], neighbour_terms(one, into["A"], x, y), one.inputs.legs[3][0])
    assert_same([arrays(one.run())[0][0]], [wanted])


# --- pairs as they come ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, *SMALL_NAMES])
def test_the_order_of_pairs_does_not_matter(name):
    one = case((small if name in SMALL_NAMES else example)(name))
    orders = {domain: np.arange(size) for domain, size in one.inputs.sizes.items()}
    orders["edges"] = np.random.default_rng(1).permutation(one.inputs.sizes["edges"])
    moved = dataclasses.replace(one, inputs=permuted_inputs(one.diagram.graph, one.inputs, orders))
    outputs = zip(one.diagram.graph.outputs, arrays(one.run()), strict=True)
    assert_same(arrays(moved.run()), [permuted(value, output.domain, orders) for output, value in outputs])


@pytest.mark.parametrize("sizes", [{"atoms": 3, "edges": 0}, {"atoms": 0, "edges": 0}, {"atoms": 1, "edges": 4}])
@pytest.mark.parametrize("name", [*NAMES, *SMALL_NAMES])
def test_no_pairs_no_atoms_one_atom(name, sizes):
    one = case((small if name in SMALL_NAMES else example)(name), sizes=sizes)
    module, values = one.module(), one.tensors()
    for value in values:
        value.requires_grad_(value.is_floating_point())
    outputs = as_tuple(module(*values, **one.keywords))
    assert_same(arrays(outputs), one.oracle())
    sum(out.sum() for out in outputs).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("name", ["message", "four_body", "star"])
def test_isolated_atoms_get_nothing(name):
    one = case(small(name))
    assert not (one.inputs.relations["edges"][0] == SIZES["atoms"] - 1).any()
    for (out,) in (one.run(), [torch.as_tensor(value) for value in one.oracle()]):
        assert not out[:, -1].any()
        assert out[:, :-1].any()


def test_a_pair_that_is_listed_twice_counts_twice():
    one = case(small("message"), sizes={"atoms": 3, "edges": 1}, batch=1)
    twice = dataclasses.replace(
        one,
        inputs=Inputs(
            (one.inputs.legs[0], *(np.repeat(value, 2, axis=1) for value in one.inputs.legs[1:])),
            {"edges": np.repeat(one.inputs.relations["edges"], 2, axis=1)},
            {"atoms": 3, "edges": 2},
        ),
    )
    assert_same(arrays(twice.run()), [2 * value for value in arrays(one.run())])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SMALL_NAMES)
def test_batch_dimensions_stand_before_the_sites(name, layout):
    one = case(small(name), batch=6)
    module, values = one.module(layout), one.tensors()
    wanted = as_tuple(module(*values, **one.keywords))
    for shape in ((2, 3), (1, 6), (3, 1, 2)):
        shaped = as_tuple(module(*(value.reshape(*shape, *value.shape[1:]) for value in values), **one.keywords))
        assert_same(arrays(shaped), [value.reshape(*shape, *value.shape[1:]).detach().numpy() for value in wanted])
    single = as_tuple(module(*(value[0] for value in values), **one.keywords))
    assert_same(arrays(single), [value[0].detach().numpy() for value in wanted])


def test_batch_shapes_broadcast():
    """One geometry with several features: legs over atoms with a batch dimension, legs over pairs without."""
    one = case(small("message"), batch=3)
    x, y, r = one.tensors()
    wanted = one.run(x, y[:1].expand(3, -1, -1), r[:1].expand(3, -1, -1))
    assert_same(arrays(one.run(x, y[0], r[0])), arrays(wanted))
    assert_same(arrays(one.run(x[0], y[:1], r[0])), arrays(one.run(x[:1], y[:1], r[:1])))


# --- what a module says of wrong operands ----------------------------------------------------------------------------


def complaint(kind: type[Exception], one: Case, *values: torch.Tensor, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        one.module()(*(values or one.tensors()), **{**one.keywords, **keywords})
    return str(caught.value)


@pytest.mark.parametrize(("row", "place", "value"), [(0, 0, 4), (1, 3, 4), (0, 5, -1), (1, 0, -4), (1, 0, 2**40)])
def test_pairs_outside_of_the_sites(row, place, value):
    one = case(small("message"))
    edges = one.keywords["edges"].clone()
    edges[row, place] = value
    said = complaint(IndexError, one, edges=edges)
    assert said == f"row {row} of relation `edges` should lie between 0 and 3, and has {value}"


def test_wrong_relations():
    one = case(small("message"))
    edges = one.keywords["edges"]
    assert "relation `edges` should be an int64 tensor, and is torch.int32" in complaint(
        TypeError, one, edges=edges.int()
    )
    assert "relation `edges` should be an int64 tensor, and is <class 'list'>" in complaint(
        TypeError, one, edges=edges.tolist()
    )
    assert "should have shape [2, pairs], and has [6, 2]" in complaint(ValueError, one, edges=edges.T)
    assert "should have shape [2, pairs], and has [1, 2, 6]" in complaint(ValueError, one, edges=edges[None])
    assert "leg `y` is over edges, and has 6 pairs where edges has 5" in complaint(ValueError, one, edges=edges[:, :5])
    assert "relation `edges` should be on cpu, and is on meta" in complaint(ValueError, one, edges=edges.to("meta"))
    with pytest.raises(TypeError, match="edges"):
        one.module()(*one.tensors())


def test_wrong_legs_over_sites():
    one = case(small("many"))
    x, y, g, s, z = one.tensors()
    assert "leg `x` should have shape [..., atoms, 8]" in complaint(ValueError, one, x[0, 0], y, g, s, z)
    assert "legs `x` and `s` are over atoms, and have 4 and 3 of them" in complaint(
        ValueError, one, x, y, g, s[:, :3], z
    )
    assert "leg `y` is over edges, and has 5 pairs where edges has 6" in complaint(
        ValueError, one, x, y[:, :5], g, s, z
    )
    assert "leg `z` should be int64" in complaint(TypeError, one, x, y, g, s, z.double())
    assert "leg `y` should be torch.float64 like leg `x`" in complaint(TypeError, one, x, y.float(), g, s, z)
    assert "leg `y` should be on cpu" in complaint(ValueError, one, x, y.to("meta"), g, s, z)
    assert "batch shapes" in complaint(ValueError, one, x[:1].expand(3, -1, -1), y, g, s, z)
    for wrong in (5, -1):
        bad = z.clone()
        bad[0, 0] = wrong
        complaint(IndexError, one, x, y, g, s, bad)


def test_an_index_leg_over_sites_needs_the_dimension_of_sites():
    one = case(small("many"))
    x, y, g, s, z = one.tensors()
    assert "leg `z`" in complaint(ValueError, one, x[0], y[0], g[0], s[0], z[0, 0])


@pytest.mark.parametrize("bad", [-1, 3.0, "4", True, None])
def test_wrong_numbers_of_sites(bad):
    assert "atoms" in complaint((TypeError, ValueError), case(small("counted")), atoms=bad)


def test_more_sites_than_pairs_reach_are_told():
    one = case(small("counted"))
    (out,) = one.run()
    more = one.module()(*one.tensors(), **{**one.keywords, "atoms": 9})
    assert more.shape == (2, 9, 8)
    assert_same([more[:, :4].detach().numpy()], [out.detach().numpy()])
    assert not more[:, 4:].any()


# --- torch's transforms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL_NAMES)
def test_compiles_in_one_graph(name):
    one = case(small(name))
    module = one.module()
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    for sizes in ({"atoms": 4, "edges": 6}, {"atoms": 5, "edges": 9}):
        other = case(small(name), sizes=sizes)
        values = other.tensors()
        for value in values:
            value.requires_grad_(value.is_floating_point())
        eager, fused = (as_tuple(run(*values, **other.keywords)) for run in (module, compiled))
        assert_same(arrays(fused), arrays(eager))
        moving = [value for value in values if value.requires_grad]
        one_by_one = [
            torch.autograd.grad(sum(out.square().sum() for out in outputs), moving) for outputs in (eager, fused)
        ]
        assert_same(*([g.numpy() for g in found] for found in one_by_one))


@pytest.mark.parametrize("name", [name for name in SMALL_NAMES if name != "counted"])
def test_exports_with_any_number_of_atoms_and_pairs(name):
    one = case(small(name), sizes={"atoms": 5, "edges": 7})
    module = one.module()
    atoms, edges = torch.export.Dim("atoms", min=2), torch.export.Dim("edges", min=2)
    named = {"atoms": {1: atoms}, "edges": {1: edges}}
    legs = {leg.name: named.get(leg.domain, {}) for leg in one.diagram.graph.legs}
    exported = torch.export.export(
        module, tuple(one.tensors()), one.keywords, dynamic_shapes={**legs, "edges": {1: edges}}
    ).module()
    for sizes in ({"atoms": 5, "edges": 7}, {"atoms": 11, "edges": 3}, {"atoms": 3, "edges": 20}):
        other = case(small(name), sizes=sizes)
        assert_same(
            arrays(exported(*other.tensors(), **other.keywords)), arrays(module(*other.tensors(), **other.keywords))
        )


def test_functional_gradients_and_vmap():
    one = case(small("message"), batch=3)
    module, (x, y, r), keywords = one.module(), one.tensors(), one.keywords

    def energy(x, y, r):
        return module(x, y, r, **keywords).square().sum()

    each = torch.func.vmap(torch.func.grad(energy, argnums=(0, 1, 2)))(x, y, r)
    values = [value.clone().requires_grad_() for value in (x, y, r)]
    assert_same([g.numpy() for g in each], [g.numpy() for g in torch.autograd.grad(energy(*values), values)])
    mapped = torch.func.vmap(lambda x, y, r: module(x, y, r, **keywords))(x, y, r)
    assert_same([mapped.detach().numpy()], arrays(module(x, y, r, **keywords)))


def test_vmap_over_geometries_with_their_own_pairs():
    """A batch of molecules of one size, each with its own pairs."""
    cases = [case(small("message"), seed, batch=1) for seed in range(3)]
    module = cases[0].module()
    legs = [torch.stack(values)[:, 0] for values in zip(*(one.tensors() for one in cases), strict=True)]
    edges = torch.stack([one.keywords["edges"] for one in cases])
    mapped = torch.func.vmap(lambda x, y, r, edges: module(x, y, r, edges=edges))(*legs, edges)
    for number, one in enumerate(cases):
        assert_same([mapped[number].detach().numpy()], [one.oracle()[0][0]])


def test_forward_mode_and_hessians():
    one = case(small("four_body"), sizes={"atoms": 2, "edges": 3}, batch=1)
    module, (x, y, r, z), keywords = one.module(), one.tensors(), one.keywords

    def energy(y):
        return module(x, y, r, z, **keywords).sin().sum()

    forward = torch.func.jacfwd(torch.func.grad(energy))(y)
    assert_same([forward.detach().numpy()], [torch.autograd.functional.hessian(energy, y).detach().numpy()])


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2), (torch.float16, 5e-3)], ids=str
)
@pytest.mark.parametrize("name", SMALL_NAMES)
def test_smaller_dtypes(name, dtype, bound):
    one = case(small(name))
    wanted = one.run()
    outputs = as_tuple(one.module().to(dtype)(*one.tensors(dtype), **one.keywords))
    assert {out.dtype for out in outputs} == {dtype}
    for out, want in zip(outputs, wanted, strict=True):
        assert (out.double() - want).abs().max() <= bound * want.abs().max()


# --- names -----------------------------------------------------------------------------------------------------------


def named(relation: str, sites: str = "atoms", diagram: str = "d") -> str:
    return (
        f"sites {sites}; pairs {relation}({sites}, {sites})\n"
        f"diagram {diagram}(y: 0e + 1o[{relation}]) -> 2x0e + 2x1o[{sites}] {{\n"
        "y[i,j] -> A[i,u] in 2x0e + 2x1o * V[path,u]\nA[i,u] A[i,u] -> out[i,u] * W[path,u] }"
    )


@pytest.mark.parametrize(
    "names",
    [
        ("dtype", "compute"),
        ("constants", "index_2"),
        ("n_nodes", "nodes"),
        ("t", "s"),
        ("g", "V_0"),
        ("Tensor", "nn"),
        ("d", "D"),
        ("e", "d", "d"),
        ("value", "size", "edges_function"),
        ("int", "list", "message"),
    ],
)
def test_relations_and_sites_may_be_called_what_the_code_calls_its_own_values(names):
    diagram = next(iter(fusionc.parse(named(*names)).diagrams.values()))
    relation, sites = names[:2]
    check_strategies(case(diagram, sizes={relation: 6, sites: 4}), "mul_ir")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("lambda",), "a relation cannot be called `lambda`"),
        (("torch",), "a relation cannot be called `torch`"),
        (("_scatter",), "a relation cannot be called `_scatter`"),
        (("self",), "a relation cannot be called `self`"),
        (("e", "class"), "a set of sites cannot be called `class`"),
        (("e", "_check_relation"), "a set of sites cannot be called `_check_relation`"),
    ],
)
def test_names_that_python_keeps_for_itself(names, what):
    diagram = fusionc.parse(named(*names))["d"]
    with pytest.raises(fusionc.CompileError) as caught:
        diagram.emit()
    assert [found.code for found in caught.value.diagnostics] == ["F4008"]
    assert what in str(caught.value)


def test_site_sets_that_legs_are_over_are_no_arguments():
    text = "sites lambda; diagram d(x: 2x1o[lambda]) -> 2x1o { x[i,u] -> out[u] * W[path,u] }"
    assert "(lambda:" not in fusionc.parse(text)["d"].emit().replace("*, ", "(")


# --- cost ------------------------------------------------------------------------------------------------------------


def per_pair(diagram: fusionc.Diagram) -> float:
    """Multiplications that one more pair takes."""
    few, many = (diagram.cost(sizes={"atoms": 50, "edges": edges}).multiplications for edges in (1000, 3000))
    return (many - few) / 2000


INTO_A = """sites atoms
pairs edges(atoms, atoms)
irreps H = 16x0e + 16x1o + 16x2e
diagram two_body(x: H[atoms], y: spherical(3)[edges], r: weights[edges]) -> H + 16x1e + 16x2o[atoms] {
    x[j,u] y[i,j] -> out[i,u] * r[i, j, path, u]
}"""


@pytest.mark.parametrize("name", ["density_squared", "four_body"])
def test_more_bodies_cost_no_more_per_pair(name):
    """Three and four bodies at the price, for each pair, of a message to the same irreps."""
    message = per_pair(fusionc.parse(INTO_A)["two_body"])
    assert per_pair(example(name)) == message > 0


def test_cost_takes_numbers_of_sites_and_pairs():
    diagram = example("density_squared")
    report = diagram.cost(batch=1000, dtype="float64", sizes={"atoms": 100, "edges": 2000})
    assert report.sizes == {"atoms": 100, "edges": 2000}
    assert diagram.cost(batch=100).sizes == {"atoms": 100, "edges": 2000}, "20 pairs for each site unless told"
    assert diagram.cost(batch=100, dtype="float64").multiplications == report.multiplications
    with pytest.raises(ValueError, match=r"sizes holds `atms`.*it is over atoms and edges"):
        diagram.cost(sizes={"atms": 3})
    with pytest.raises(ValueError, match="edges should not be negative"):
        diagram.cost(sizes={"edges": -1})
    with pytest.raises(ValueError, match="over no sites"):
        fusionc.parse("diagram d(x: 1o) -> 1o { x -> out }")["d"].cost(sizes={"atoms": 3})

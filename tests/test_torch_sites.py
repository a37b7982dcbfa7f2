"""Compiled sums over neighbours: against the oracle and against loops written here, gradients, pairs as they come."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from site_cases import (
    GROUPS,
    LAYOUTS,
    NAMES,
    ODD,
    PROPERTY,
    SMALL_NAMES,
    Case,
    arrays,
    assert_same,
    case,
    check_strategies,
    example,
    odd,
    small,
)
from site_strategies import SIZES, site_diagrams

import fusionc
from fusionc.tools.sites import Inputs, permuted, permuted_inputs
from fusionc.tools.verify import as_tuple, verify

# --- every strategy is what the diagram says ---------------------------------------------------------------------


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
    check_strategies(case(odd(name)), layout)
    result = verify(odd(name).checked, 0, 2, layout)
    assert result.ok, str(result)


@PROPERTY
@given(one=site_diagrams(), seed=st.integers(0, 2**32 - 1), layout=st.sampled_from(LAYOUTS))
def test_random_diagrams_equal_the_oracle(one, seed, layout):
    try:
        diagram = fusionc.parse(one.text)["d"]
    except fusionc.CompileError:
        assume(False)
    check_strategies(case(diagram, seed), layout)


@settings(PROPERTY, max_examples=10)
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

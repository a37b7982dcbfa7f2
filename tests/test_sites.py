"""Sums over neighbours: what is read off the text, and the oracle against loops written here."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from site_cases import LEGS, LINES
from site_strategies import DECLARED

import fusionc
from fusionc.diagram.ir import FusionGraph, Line
from fusionc.driver import check_source
from fusionc.language.source import Source
from fusionc.tools.listing import list_graph, list_paths_table
from fusionc.tools.oracle import evaluate, random_inputs, random_legs, random_weights

EXAMPLE = Path(__file__).parent.parent / "examples" / "neighbours.fus"
SIZES = {"atoms": 5, "cells": 3, "edges": 7, "homes": 6}
PROPERTY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def diagram(text: str, name: str = "d") -> fusionc.Diagram:
    return fusionc.parse(DECLARED + text)[name]


def graph_of(text: str) -> FusionGraph:
    return diagram(text).checked.graph


def only_line(text: str) -> Line:
    (line,) = graph_of(text).lines
    return line


# --- what is read off the text -------------------------------------------------------------------------------------


def test_site_indices_stand_apart_from_channels():
    graph = graph_of(
        "diagram d(x: 2x0e + 2x1o[atoms], y: 1o[edges], r: weights[edges]) -> 2x1o[atoms] "
        "{ x[j,u] y[i,j] -> out[i,u] * r[i,j,path,u] }"
    )
    (line,) = graph.lines
    assert [(o.edge, o.sites, o.channels) for o in line.operands] == [("x", ("j",), ("u",)), ("y", ("i", "j"), ())]
    assert (line.sites, line.channels, line.summed, line.summed_sites) == (("i",), ("u",), (), ("j",))
    assert line.site_sets == (("j", "atoms"), ("i", "atoms"))
    assert line.joins == (("edges", ("i", "j")),)
    assert (line.weights[0].sites, line.weights[0].channels, line.weights[0].has_path) == (("i", "j"), ("u",), True)
    assert graph.sites == ("atoms",)
    assert [(r.name, r.first, r.second) for r in graph.relations] == [("edges", "atoms", "atoms")]
    assert [leg.domain for leg in graph.legs] == ["atoms", "edges", "edges"]
    assert [graph.domain(edge) for edge in ("x", "y", "out")] == ["atoms", "edges", "atoms"]


def test_internal_edges_are_over_what_they_are_written_over():
    graph = graph_of(
        "diagram d(x: 2x1o[atoms], y: 1o[edges], g: 1o) -> 2x0o {"
        "e[i,j,u] g -> f[i,j,u] * V[path,u]; f[i,j,u] -> A[i,u] * U[path,u]; A[i,u] -> s[u] * S[path]; s[u] -> out[u]\n"
        "x[j,u] y[i,j] -> e[i,j,u] * W[path,u] }"
    )
    assert [graph.domain(edge) for edge in "efAs"] == ["edges", "edges", "atoms", None]
    assert [line.target for line in graph.lines] == ["f", "A", "s", "out", "e"], "lines stay as written"
    assert graph.lines[2].summed_sites == ("i",)
    assert graph.lines[2].joins == ()
    assert graph.lines[1].joins == (("edges", ("i", "j")),)


def test_relations_between_different_sets():
    graph = graph_of("diagram d(x: 1o[cells], y: 1o[homes]) -> 0e[atoms] { x[c] y[a,c] -> out[a] }")
    assert dict(graph.lines[0].site_sets) == {"c": "cells", "a": "atoms"}
    assert graph.sites == ("atoms", "cells")
    assert [relation.name for relation in graph.relations] == ["homes"]


@pytest.mark.parametrize(
    ("header", "line", "places"),
    [
        ("z: index(3)[atoms]", "x[j,u] y[i,j] -> out[i,u] * W[z,path,u]", (("i",),)),
        ("z: index(3)[atoms]", "x[j,u] y[i,j] -> out[i,u] * W[j,z,path,u]", (("j",),)),
        ("z: index(3)[edges]", "x[j,u] y[i,j] -> out[i,u] * W[z,path,u]", (("i", "j"),)),
        ("z: index(3)[atoms], g: index(4)", "x[j,u] y[i,j] -> out[i,u] * W[g,j,z,path,u]", ((), ("j",))),
    ],
)
def test_rows_are_read_at_sites(header, line, places):
    line = only_line(f"diagram d(x: 2x1o[atoms], y: 1o[edges], {header}) -> 2x0e[atoms] {{ {line} }}")
    assert line.weights[0].row_sites == places
    assert line.weights[0].channels == ("u",)
    assert line.weights[0].sites == ()


def test_the_only_site_of_a_line_selects_the_row():
    line = only_line("diagram d(x: 2x0e[atoms], z: index(3)[atoms]) -> 2x0e { x[i,u] -> out[u] * W[z,path,u] }")
    assert line.weights[0].row_sites == (("i",),)


def test_given_weights_tie_indices():
    """A gather along the pairs needs no tensor on them."""
    line = only_line(
        "diagram d(x: 2x0e[atoms], r: weights[edges]) -> 2x0e[atoms] { x[j,u] -> out[i,u] * r[i,j,path,u] }"
    )
    assert line.joins == (("edges", ("i", "j")),)
    assert line.summed_sites == ("j",)


def test_equal_operands_have_equal_sites():
    header = "diagram d(x: 2x1o[atoms], y: 0e[edges]) -> 2x0e + 2x2e[atoms]"
    two = only_line(header + "{ x[j,u] y[i,j] x[k,u] y[i,k] -> out[i,u] * W[path,u] }")
    assert two.identical_operands() == ((0,), (1,), (2,), (3,))
    assert two.joins == (("edges", ("i", "j")), ("edges", ("i", "k")))
    one = only_line(header + "{ x[j,u] x[j,u] y[i,j] -> out[i,u] * W[path,u] }")
    assert one.identical_operands() == ((0, 1), (2,))


def test_lines_over_other_sites_are_not_dependent():
    """x at i and x at j are two operands: the trees of these lines have nothing in common."""
    text = (
        "diagram d(x: 1o[atoms], v: 1o[atoms], y: 0e[edges]) -> 1e[atoms] {"
        "x[i] v[i] -> out[i] * V[path]; v[i] x[i] -> out[i] * W[path] }"
    )
    assert [found.code for found in fusionc.parse(DECLARED + text).diagnostics] == ["F1012", "F2008"]
    other = text.replace("v[i] x[i] -> out[i]", "v[i] x[j] y[i,j] -> out[i]")
    assert fusionc.parse(DECLARED + other).diagnostics == ()


def test_site_sums_do_not_count_in_the_normalisation():
    text = "diagram d(x: 2x0e[atoms], y: 0e[edges]) -> 0e[atoms] { x[j,u] y[i,j] -> out[i] * W[path,u] }"
    table = diagram(text).checked.table
    (x, y), relations = random_inputs(table, {"atoms": 1, "edges": 1}, np.random.default_rng(0), batch=1)
    (out,) = evaluate(table, (x, y), {"W": np.ones(2)}, relations=relations)
    assert np.allclose(out, x.sum(-1, keepdims=True) * y / np.sqrt(2))


def test_lists_and_draws():
    program = fusionc.load(EXAMPLE)
    text = list_graph(program.checked)
    assert "edge   A: 0e + 1e + 1o + 2e + 2o over atoms" in text
    assert "line 0: x[j,u] y[i,j] -> A[i,u] * r" in text
    for one in program.diagrams.values():
        assert list_paths_table(one.checked, 3).startswith(one.name)
        for written in ("x[j, u]", "y[i, j]", "out[i, u]"):
            assert written in one.draw()
    assert "z[i]" in program["four_body"].draw()
    assert "r[i, j, path, u]" in program["message"].draw()


# --- the oracle against loops --------------------------------------------------------------------------------------


def vertex(l1: int, l2: int, l3: int) -> np.ndarray:
    return o3.wigner_3j(l1, l2, l3, dtype=torch.float64).numpy() * np.sqrt(2 * l3 + 1)


def chains(lists: list[list[int]], wanted: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Left-coupled trees over blocks with these spins, in path order: blocks, then the spins on the way."""
    found = []
    for blocks in product(*(range(len(spins)) for spins in lists)):
        spins = [choices[block] for choices, block in zip(lists, blocks, strict=True)]
        steps = [(spins[0],)]
        for spin in spins[1:]:
            steps = [(*s, spin_after) for s in steps for spin_after in range(abs(s[-1] - spin), s[-1] + spin + 1)]
        found += [(blocks, s) for s in sorted(steps) if s[-1] == wanted]
    return found


def test_two_sums_over_neighbours_by_hand():
    """A line with three site indices: every pair of pairs that share i, those listed twice twice, by three loops."""
    text = (
        "group SO(3)\ndiagram d(x: 2x0 + 2x1[atoms], y: 0 + 1[edges]) -> 2x1[atoms] "
        "{ x[j,u] y[i,j] x[k,u] y[i,k] -> out[i,u] * W[path,u] }"
    )
    table, rng = diagram(text).checked.table, np.random.default_rng(1)
    (x, y), relations = random_inputs(table, {"atoms": 4, "edges": 6}, rng, batch=1)
    weights = random_weights(table, rng)
    (got,) = evaluate(table, (x, y), weights, relations=relations)
    pairs = relations["edges"]
    xs = [x[0, :, :2].reshape(4, 2, 1), x[0, :, 2:].reshape(4, 2, 3)]
    ys = [y[0, :, :1], y[0, :, 1:]]
    trees = chains([[0, 1]] * 4, 1)
    assert len(trees) == table.weights["W"].numel // 2
    wanted = np.zeros((4, 2, 3))
    for p, q in product(range(6), range(6)):
        (i, j), (other, k) = pairs[:, p], pairs[:, q]
        if i != other:
            continue
        for number, ((a, b, c, d), (_, l1, l2, l3)) in enumerate(trees):
            value = np.einsum("ua,b,abc->uc", xs[a][j], ys[b][p], vertex(a, b, l1))
            value = np.einsum("ua,ub,abc->uc", value, xs[c][k], vertex(l1, c, l2))
            value = np.einsum("ua,b,abc->uc", value, ys[d][q], vertex(l2, d, l3))
            wanted[i] += value * weights["W"].reshape(-1, 2)[number][:, None] / np.sqrt(len(trees))
    assert np.allclose(got[0], wanted.reshape(4, 6), atol=1e-13)
    assert len(np.unique(pairs, axis=1)[0]) < 6, "a pair is there twice"
    assert np.all(got[0, 3] == 0), "the last atom has no neighbours"


def test_density_squared_by_hand():
    """Per-pair weights into a density, its square, and rows selected by the neighbour and by the atom itself."""
    text = (
        "group SO(3)\ndiagram d(x: 2x0[atoms], y: 0 + 1[edges], r: weights[edges], z: index(3)[atoms]) -> 2x0[atoms] {"
        "x[j,u] y[i,j] -> A[i,u] * r[i,j,path,u] * V[j,z,u]; A[i,u] A[i,u] -> out[i,u] * W[z,path,u] }"
    )
    table, rng = diagram(text).checked.table, np.random.default_rng(2)
    (x, y, r, z), relations = random_inputs(table, {"atoms": 4, "edges": 6}, rng)
    weights = random_weights(table, rng)
    (got,) = evaluate(table, (x, y, r, z), weights, relations=relations)
    wanted = np.zeros((2, 4, 2))
    for b, u in product(range(2), range(2)):
        density = np.zeros((4, 4))
        for p, (i, j) in enumerate(relations["edges"].T):
            scaled = x[b, j, u] * weights["V"][z[b, j], u]
            density[i, 0] += scaled * y[b, p, 0] * r[b, p, u]
            density[i, 1:] += scaled * y[b, p, 1:] * r[b, p, 2 + u]
        for i in range(4):
            row = weights["W"][z[b, i]].reshape(2, 2)[:, u] / np.sqrt(2)
            wanted[b, i, u] = row[0] * density[i, 0] ** 2 + row[1] * density[i, 1:] @ density[i, 1:] / np.sqrt(3)
    assert np.allclose(got, wanted, atol=1e-13)


def test_plain_sums_global_legs_and_pairs():
    text = (
        "diagram d(x: 2x1o[atoms], g: 1o, y: 0e[edges]) -> (energy: 0e, bond: 2x0e[edges], site: 2x1e[atoms]) {"
        "x[i,u] g -> energy * W[path,u]; x[i,u] x[j,u] y[i,j] -> bond[i,j,u]; x[i,u] g -> site[i,u] }"
    )
    table, rng = diagram(text).checked.table, np.random.default_rng(3)
    (x, g, y), relations = random_inputs(table, {"atoms": 4, "edges": 5}, rng)
    weights = random_weights(table, rng)
    energy, bond, site = evaluate(table, (x, g, y), weights, relations=relations)
    vectors, (i, j) = x.reshape(2, 4, 2, 3), relations["edges"]
    assert energy.shape == (2, 1)
    dots = np.einsum("bnua,ba->bu", vectors, g) / np.sqrt(3)
    assert np.allclose(energy[:, 0], dots @ weights["W"] / np.sqrt(2))
    assert np.allclose(bond, np.einsum("beua,beua->beu", vectors[:, i], vectors[:, j]) / np.sqrt(3) * y)
    wanted = np.einsum("bnua,bc,acd->bnud", vectors, g, vertex(1, 1, 1))
    assert np.allclose(site, wanted.reshape(2, 4, 6))


def test_no_pairs_and_no_atoms():
    table = fusionc.load(EXAMPLE)["density_squared"].checked.table
    for sizes in ({"atoms": 3, "edges": 0}, {"atoms": 0, "edges": 0}):
        legs, relations = random_inputs(table, sizes, np.random.default_rng(0))
        (out,) = evaluate(table, legs, random_weights(table, np.random.default_rng(0)), relations=relations)
        assert out.shape == (2, sizes["atoms"], 16 * 9)
        assert not out.any()


def test_sizes_come_from_legs_or_by_name():
    text = "diagram d(y: 1o[homes]) -> 1o[atoms] { y[a,c] -> out[a] }"
    table = diagram(text).checked.table
    legs, relations = random_inputs(table, SIZES, np.random.default_rng(0))
    (out,) = evaluate(table, legs, {}, relations=relations, sizes={"atoms": 9})
    assert out.shape == (2, 9, 3)
    with pytest.raises(ValueError, match="how many atoms"):
        evaluate(table, legs, {}, relations=relations)


# --- properties ----------------------------------------------------------------------------------------------------


def site_diagram(name: str, weigh: str) -> fusionc.Diagram:
    left, bracket, domain = LINES[name]
    used = dict.fromkeys(word.split("[")[0] for word in left.split())
    header = ", ".join(f"{leg}: {LEGS[leg]}" for leg in used)
    return diagram(f"diagram d({header}) -> 2x0e + 2x1o{domain} {{ {left} -> out{bracket} * {weigh} }}")


@pytest.mark.parametrize("name", LINES)
@PROPERTY
@given(seed=st.integers(0, 2**32 - 1), atoms=st.integers(1, 4), edges=st.integers(0, 6), weigh=st.booleans())
def test_sums_are_sums_of_the_diagram_without_sites(name, seed, atoms, edges, weigh):
    """The diagram without its site indices, evaluated for one combination of sites after the other and added up."""
    one = site_diagram(name, "W[path,u]" if weigh else "W[path]")
    table, rng = one.checked.table, np.random.default_rng(seed)
    sizes = {"atoms": atoms, "cells": 2, "edges": edges, "homes": 3}
    legs, relations = random_inputs(table, sizes, rng, batch=1)
    weights = random_weights(table, rng)
    (got,) = evaluate(table, legs, weights, relations=relations)
    line, values = one.checked.graph.lines[0], dict(zip((leg.name for leg in table.graph.legs), legs, strict=True))
    plain = plain_diagram(one.checked.graph, line)
    wanted = np.zeros_like(got)
    letters = [letter for letter, _ in line.site_sets]
    for sites in product(*(range(sizes[site_set]) for _, site_set in line.site_sets)):
        at = dict(zip(letters, sites, strict=True))
        for choice in product(
            *(matching(relations[name], [at[letter] for letter in tied]) for name, tied in line.joins)
        ):
            at |= {tied: pair for (_, tied), pair in zip(line.joins, choice, strict=True)}
            picked = [value_at(values[operand.edge][0], operand.sites, at)[None] for operand in line.operands]
            (part,) = evaluate(plain.checked.table, picked, weights)
            value_at(wanted[0], line.sites, at)[...] += part[0]
    assert np.allclose(got, wanted, atol=1e-12)


def matching(pairs: np.ndarray, ends: list[int]) -> list[int]:
    return [number for number, pair in enumerate(pairs.T.tolist()) if pair == ends]


def value_at(value: np.ndarray, sites: tuple[str, ...], at: dict) -> np.ndarray:
    return value if not sites else value[at[sites[0]] if len(sites) == 1 else at[sites]]


def plain_diagram(graph: FusionGraph, line: Line) -> fusionc.Diagram:
    """The line with a leg of its own for each operand, and no sites."""
    spaces = {leg: space.split("[")[0] for leg, space in LEGS.items()}
    header = ", ".join(f"a{place}: {spaces[operand.edge]}" for place, operand in enumerate(line.operands))
    left = " ".join(f"a{place}" + "[u]" * bool(operand.channels) for place, operand in enumerate(line.operands))
    weight = line.weights[0].with_indices()
    return fusionc.parse(f"diagram d({header}) -> 2x0e + 2x1o {{ {left} -> out[u] * {weight} }}")["d"]


@pytest.mark.parametrize("name", ["gather", "star", "chain", "on pairs"])
@PROPERTY
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_atoms_and_of_pairs_is_nobodys_business(name, seed):
    table, rng = site_diagram(name, "W[path,u]").checked.table, np.random.default_rng(seed)
    legs, relations = random_inputs(table, SIZES, rng)
    weights = random_weights(table, rng)
    (before,) = evaluate(table, legs, weights, relations=relations)
    orders = {"atoms": rng.permutation(SIZES["atoms"]), "edges": rng.permutation(SIZES["edges"])}
    moved = [leg[:, orders[decl.domain]] for leg, decl in zip(legs, table.graph.legs, strict=True)]
    inverse = np.argsort(orders["atoms"])
    pairs = {"edges": inverse[relations["edges"][:, orders["edges"]]]}
    (after,) = evaluate(table, moved, weights, relations=pairs)
    assert np.allclose(after, before[:, orders[table.graph.outputs[0].domain]], atol=1e-12)


def test_a_factored_star_is_the_square_of_its_density():
    """Two sums on one line, or through an internal edge that keeps its paths: the same trees, the same numbers."""
    header = "diagram d(x: 2x0e + 2x1o[atoms], y: 0e[edges]) -> 2x0e[atoms]"
    one = diagram(header + "{ x[j,u] x[k,u] y[i,j] y[i,k] -> out[i,u] * W[path,u] }").checked.table
    two = diagram(
        header + "{ x[j,u] y[i,j] -> A[i,u]; x[k,u] y[i,k] -> B[i,u]; A[i,u] B[i,u] -> out[i,u] * W[path,u] }"
    )
    legs, relations = random_inputs(one, SIZES, np.random.default_rng(5))
    weights = random_weights(one, np.random.default_rng(5))
    (first,) = evaluate(one, legs, weights, relations=relations)
    (second,) = evaluate(two.checked.table, legs, weights, relations=relations)
    assert np.allclose(first, second)


def test_layouts_agree():
    table, rng = site_diagram("star", "W[path,u]").checked.table, np.random.default_rng(6)
    legs, relations = random_inputs(table, SIZES, rng)
    weights = random_weights(table, rng)
    (plain,) = evaluate(table, legs, weights, "mul_ir", relations)
    other = [np.concatenate([leg[..., :2], leg[..., 2:].reshape(2, -1, 2, 3).swapaxes(2, 3).reshape(2, -1, 6)], -1)
             if leg.shape[-1] == 8 else leg for leg in legs]  # fmt: skip
    (turned,) = evaluate(table, other, weights, "ir_mul", relations)
    back = turned[..., 2:].reshape(2, -1, 3, 2).swapaxes(2, 3).reshape(2, -1, 6)
    assert np.allclose(np.concatenate([turned[..., :2], back], -1), plain)


BODY = """diagram d(x: 2x0e + 2x1o[atoms], y: 0e + 1o[edges], h: 1o[homes], c: 2x0e[cells], r: weights[edges], g: 1o,
          z: index(3)[atoms], q: index(2)[edges]) -> (s: 2x0e[atoms], b: 2x1o[edges], t: 2x0e) {
    x[j,u] y[i,j] -> A[i,u] in lmax 1 * r[i,j,path,u] * V[q,u]
    A[i,u] A[i,u] -> s[i,u] * W[z,path,u]
    c[k,u] h[i,k] g -> s[i,u] * U[i,z,path,u]
    x[i,u] y[i,j] -> e[i,j,u]
    e[i,j,u] g -> b[i,j,u] * P[path,u]
    x[a,u] g -> t[u] * T[path,u]
}"""
WORDS = re.findall(r"\w+|\s+|[^\w\s]", BODY)
SLIPS = ["i", "j", "k", "u", "path", "atoms", "edges", "homes", "cells", "x", "y", "A", "e", "z", "q", "r", ""]


@settings(max_examples=300, deadline=None)
@given(
    slips=st.lists(
        st.tuples(st.sampled_from([k for k, word in enumerate(WORDS) if word.isidentifier()]), st.sampled_from(SLIPS)),
        max_size=3,
    )
)
def test_a_wrong_word_is_reported_or_means_something(slips):
    words = list(WORDS)
    for place, slip in slips:
        words[place] = slip
    checked = check_source(Source("slips.fus", DECLARED + "".join(words)))
    for one in () if checked.has_errors else checked.diagrams:
        assert not one.graph.poisoned
        legs, relations = random_inputs(one.table, SIZES, np.random.default_rng(0), batch=1)
        weights = random_weights(one.table, np.random.default_rng(0))
        results = evaluate(one.table, legs, weights, relations=relations, sizes=SIZES)
        for output, value in zip(one.graph.outputs, results, strict=True):
            assert value.shape[1:-1] == (() if output.domain is None else (SIZES[output.domain],))


def test_random_legs_without_sites_need_no_sizes():
    table = fusionc.parse("diagram d(x: 1o) -> 1o { x -> out }")["d"].checked.table
    assert random_legs(table, 3, np.random.default_rng(0))[0].shape == (3, 3)

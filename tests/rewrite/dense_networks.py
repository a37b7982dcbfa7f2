"""The oracle: networks contracted as dense tensors of 3j symbols and metrics, and random networks to try it on.

It shares nothing with `fusionc.rewrite` but the value types.
"""

from __future__ import annotations

import random
from functools import cache

import networkx as nx
import numpy as np
import opt_einsum

from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.wigner import six_j, three_j, triangle
from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.factors import Factors
from fusionc.rewrite.network import Edge, SpinNetwork, Spot

Edges = list[tuple[int, Spot, Spot]]
"""Doubled spin, tail, head."""


@cache
def vertex_tensor(a: int, b: int, c: int) -> np.ndarray:
    """The 3j symbols of doubled spins, projections ascending."""
    tensor = np.zeros((a + 1, b + 1, c + 1))
    for i in range(a + 1):
        for k in range(b + 1):
            third = a + b - 2 * i - 2 * k
            if abs(third) <= c and (a + b + c) % 2 == 0:
                tensor[i, k, (third + c) // 2] = float(three_j(a, b, c, 2 * i - a, 2 * k - b, third))
    return tensor


@cache
def metric(j: int) -> np.ndarray:
    """E[m, m'] = (-1)^{j-m} for m' = -m."""
    return np.fliplr(np.diag([(-1.0) ** (j - row) for row in range(j + 1)]))


def contract(edges: Edges) -> float:
    """The value of a network in float64; opt_einsum chooses the order."""
    if not edges:
        return 1.0
    ends = {}
    for number, (_, tail, head) in enumerate(edges):
        ends[tail], ends[head] = (number, False), (number, True)
    operands: list[object] = []
    for vertex in sorted({spot[0] for spot in ends}):
        here = [ends[vertex, slot] for slot in range(3)]
        tensor = vertex_tensor(*(edges[number][0] for number, _ in here))
        for axis, (number, is_head) in enumerate(here):
            if is_head:
                tensor = np.moveaxis(np.tensordot(metric(edges[number][0]), tensor, axes=(1, axis)), 0, axis)
        operands += [tensor, [number for number, _ in here]]
    return float(opt_einsum.contract(*operands, [], optimize="auto"))


def contract_exactly(edges: Edges) -> Surd:
    """The same, projection by projection in exact numbers; for a handful of small edges."""
    vertices = sorted({spot[0] for _, tail, head in edges for spot in (tail, head)})

    def total(number: int, projection: dict[Spot, int], sign: int) -> Surd:
        if number == len(edges):
            product = ONE * sign
            for vertex in vertices:
                al, be, ga = (projection[vertex, slot] for slot in range(3))
                product = product * three_j(*(spin[vertex, slot] for slot in range(3)), al, be, ga)
            return product
        j, tail, head = edges[number]
        found = ZERO
        for m in range(-j, j + 1, 2):
            chosen = projection | {tail: m, head: -m}
            if all(conserved(chosen, vertex) for vertex in (tail[0], head[0])):
                found = found + total(number + 1, chosen, -sign if (j - m) // 2 % 2 else sign)
        return found

    spin = {spot: j for j, tail, head in edges for spot in (tail, head)}
    return total(0, {}, 1)


def conserved(projection: dict[Spot, int], vertex: int) -> bool:
    here = [projection.get((vertex, slot)) for slot in range(3)]
    return None in here or sum(m for m in here if m is not None) == 0


def edges_of(network: SpinNetwork) -> Edges:
    return [(edge.twice_j, edge.tail, edge.head) for edge in network.edges]


def edges_of_diagram(diagram: Diagram, spins: dict[int, int]) -> Edges:
    return [(spins[line.label], line.tail, line.head) for line in diagram.lines]


def dense_value(network: SpinNetwork) -> float:
    circles = float(np.prod([circle.value for circle in network.circles]))
    return float(network.prefactor) * circles * contract(edges_of(network))


def factor_value(factors: Factors, spins: dict[int, int]) -> Surd:
    """The product (not the sum) at given doubled spins, from the symbols themselves."""
    met = all(triangle(*(spins[label] for label in triad)) for triad in factors.triads)
    same = all(spins[a] == spins[b] for a, b in factors.equal) and all(spins[label] == 0 for label in factors.zero)
    result = ONE if met and same else ZERO
    for six in factors.sixes:
        result = result * six_j(*(spins[label] for label in six))
    for label, power in factors.dims:
        result = result * Surd.root(spins[label] + 1) ** power
    quarters = sum(power * spins[label] for label, power in factors.phase) % 4
    assert not result or quarters % 2 == 0
    return -result if quarters == 2 else result


# -- random networks -------------------------------------------------------------------------------------------


def random_network(rng: random.Random, vertices: int, largest: int, simple: bool = False) -> SpinNetwork:
    """A random cubic multigraph (a simple, connected graph if so asked), random slots and arrows, admissible spins."""
    while True:
        spots = [(vertex, slot) for vertex in range(vertices) for slot in range(3)]
        rng.shuffle(spots)
        pairs = list(zip(spots[::2], spots[1::2], strict=True))
        if simple and not is_simple(pairs):
            continue
        spins = random_spins(rng, [(tail[0], head[0]) for tail, head in pairs], vertices, largest)
        return SpinNetwork(tuple(Edge(j, tail, head) for j, (tail, head) in zip(spins, pairs, strict=True)))


def is_simple(pairs: list[tuple[Spot, Spot]]) -> bool:
    ends = [tuple(sorted((one[0], two[0]))) for one, two in pairs]
    return len(set(ends)) == len(ends) and all(a != b for a, b in ends) and nx.is_connected(nx.Graph(ends))


def random_spins(rng: random.Random, ends: list[tuple[int, int]], vertices: int, largest: int) -> list[int]:
    """A random walk from all zero: single edges by a whole spin, cycles by halves, never through a broken triangle."""
    at: list[list[int]] = [[] for _ in range(vertices)]
    for number, pair in enumerate(ends):
        for vertex in pair:
            at[vertex].append(number)
    spins = [0] * len(ends)
    for _ in range(60 * len(ends)):
        moves = [(rng.randrange(len(ends)), rng.choice((-2, 2)))]
        if rng.random() < 0.3:
            moves = [(number, rng.choice((-1, 1))) for number in random_cycle(rng, ends, at)]
        trial = list(spins)
        for number, step in moves:
            trial[number] += step
        if all(0 <= trial[number] <= largest for number, _ in moves) and all(meets(trial, names) for names in at):
            spins = trial
    return spins


def meets(spins: list[int], names: list[int]) -> bool:
    a, b, c = (spins[number] for number in names)
    return (a + b + c) % 2 == 0 and abs(a - b) <= c <= a + b


def random_cycle(rng: random.Random, ends: list[tuple[int, int]], at: list[list[int]]) -> list[int]:
    """A walk that does not turn back, until it meets itself; the part since then."""
    vertex, path, last = rng.randrange(len(at)), [], -1
    seen = {vertex: 0}
    while True:
        choices = [number for number in at[vertex] if number != last]
        if not choices:
            return []
        last = rng.choice(choices)
        one, two = ends[last]
        vertex = two if one == vertex else one
        path.append(last)
        if vertex in seen:
            return path[seen[vertex] :]
        seen[vertex] = len(path)


def network_of(graph: nx.Graph, twice_j: int) -> SpinNetwork:
    """A cubic graph with the same spin everywhere."""
    graph = nx.convert_node_labels_to_integers(graph, ordering="sorted")
    used = dict.fromkeys(graph, 0)
    edges = []
    for pair in sorted(tuple(sorted(edge)) for edge in graph.edges()):
        tail, head = ((vertex, used[vertex]) for vertex in pair)
        for vertex in pair:
            used[vertex] += 1
        edges.append(Edge(twice_j, tail, head))
    return SpinNetwork(tuple(edges))

"""The oracle: networks contracted as dense tensors of 3j symbols and metrics, and random networks to try it on.

It shares nothing with `fusionc.rewrite` but the value types.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import opt_einsum

from fusionc.algebra.wigner import three_j
from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.factors import Factors
from fusionc.rewrite.network import Edge, SpinNetwork


@cache
def vertex_tensor(a: int, b: int, c: int) -> np.ndarray:
    """The 3j symbols of doubled spins, projections ascending."""
    tensor = np.zeros((a + 1, b + 1, c + 1))
    for i in range(a + 1):
        for k in range(b + 1):
            third = -(2 * i - a) - (2 * k - b)
            if abs(third) <= c and (a + b + c) % 2 == 0:
                tensor[i, k, (third + c) // 2] = float(three_j(a, b, c, 2 * i - a, 2 * k - b, third))
    return tensor


@cache
def metric(j: int) -> np.ndarray:
    """E[m, m'] = (-1)^{j-m} for m' = -m."""
    return np.array(
        [[float((-1) ** (j - row)) if row + column == j else 0.0 for column in range(j + 1)] for row in range(j + 1)]
    )


def contract(edges: list[tuple[int, tuple[int, int], tuple[int, int]]]) -> float:
    """The value of the network of edges (doubled spin, tail, head)."""
    if not edges:
        return 1.0
    at = {}
    for number, (_, tail, head) in enumerate(edges):
        at[tail], at[head] = (number, 0), (number, 1)
    operands: list[object] = []
    for vertex in sorted({spot[0] for spot in at}):
        ends = [at[vertex, slot] for slot in range(3)]
        labels = [edges[number][0] for number, _ in ends]
        tensor = vertex_tensor(*labels)
        for axis, (number, side) in enumerate(ends):
            if side:  # the head's end carries the metric
                tensor = np.moveaxis(np.tensordot(metric(edges[number][0]), tensor, axes=(1, axis)), 0, axis)
        operands += [tensor, [number for number, _ in ends]]
    return float(opt_einsum.contract(*operands, [], optimize="auto"))


def value(network: SpinNetwork) -> float:
    """The dense value of a network."""
    circles = float(np.prod([circle.value for circle in network.circles]))
    return float(network.prefactor) * circles * contract([(e.twice_j, e.tail, e.head) for e in network.edges])


def value_of_diagram(diagram: Diagram, spins: dict[int, int]) -> float:
    return contract([(spins[line.label], line.tail, line.head) for line in diagram.lines])


def random_network(rng: random.Random, vertices: int, largest: int, simple: bool = False) -> SpinNetwork:
    """A random cubic multigraph (a simple, connected one if so asked) with random arrows and admissible spins."""
    while True:
        spots = [(vertex, slot) for vertex in range(vertices) for slot in range(3)]
        rng.shuffle(spots)
        pairs = list(zip(spots[::2], spots[1::2], strict=True))
        if simple and not _is_simple(pairs):
            continue
        spins = random_spins(rng, [(tail[0], head[0]) for tail, head in pairs], vertices, largest)
        if spins is not None:
            return SpinNetwork(tuple(Edge(j, tail, head) for j, (tail, head) in zip(spins, pairs, strict=True)))


def random_spins(rng: random.Random, ends: list[tuple[int, int]], vertices: int, largest: int) -> list[int] | None:
    """Admissible doubled spins: a random element of the cycle space for the parities, then single-edge moves."""
    at: list[list[int]] = [[] for _ in range(vertices)]
    for number, pair in enumerate(ends):
        for vertex in pair:
            at[vertex].append(number)
    spins = [0] * len(ends)
    for _ in range(60 * len(ends)):
        if rng.random() < 0.3:
            moved = _random_cycle(rng, ends, at)
            steps = [rng.choice((-1, 1)) for _ in moved]
        else:
            moved, steps = [rng.randrange(len(ends))], [rng.choice((-2, 2))]
        trial = list(spins)
        for number, step in zip(moved, steps, strict=True):
            trial[number] += step
        if all(0 <= trial[number] <= largest for number in moved) and all(
            _meets(trial, at, v) for v in range(vertices)
        ):
            spins = trial
    return spins


def _meets(spins: list[int], at: list[list[int]], vertex: int) -> bool:
    a, b, c = (spins[number] for number in at[vertex])
    return (a + b + c) % 2 == 0 and abs(a - b) <= c <= a + b


def _random_cycle(rng: random.Random, ends: list[tuple[int, int]], at: list[list[int]]) -> list[int]:
    """The edges of a cycle, by a walk that does not turn back until it meets itself."""
    vertex, path, last = rng.randrange(len(at)), [], -1
    seen = {vertex: 0}
    while True:
        choices = [
            number for number in at[vertex] if number != last or (at[vertex].count(number) == 2 and number not in path)
        ]
        if not choices:
            return []
        last = rng.choice(choices)
        one, two = ends[last]
        vertex = two if one == vertex else one
        path.append(last)
        if vertex in seen:
            return path[seen[vertex] :]
        seen[vertex] = len(path)


def _is_simple(pairs: list[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    import networkx as nx

    ends = [tuple(sorted((one[0], two[0]))) for one, two in pairs]
    return len(set(ends)) == len(ends) and all(a != b for a, b in ends) and nx.is_connected(nx.Graph(ends))


def factor_value(factors: Factors, spins: dict[int, int]) -> float:
    """The product (not the sum) at given doubled spins, in floating point."""
    from fusionc.algebra.wigner import six_j, triangle

    result = 1.0 + 0j
    for label, power in factors.phase:
        result *= 1j ** (power * spins[label] % 4)
    for label, power in factors.dims:
        result *= (spins[label] + 1) ** (power / 2)
    for six in factors.sixes:
        result *= float(six_j(*(spins[label] for label in six)))
    met = all(triangle(*(spins[label] for label in triad)) for triad in factors.triads)
    same = all(spins[a] == spins[b] for a, b in factors.equal) and all(spins[label] == 0 for label in factors.zero)
    if not (met and same):
        return 0.0
    assert abs(result.imag) < 1e-12
    return result.real

"""Exact values against known symbols, against exact and dense contraction, and against themselves."""

from __future__ import annotations

import random
import time

import networkx as nx
import pytest
from dense_networks import contract_exactly, dense_value, edges_of, network_of, random_network

from fusionc.algebra.surds import ONE, Surd
from fusionc.algebra.wigner import nine_j, six_j, theta, triangle
from fusionc.rewrite import Circle, Edge, NetworkBuilder, SpinNetwork, evaluate, formula, value_of
from fusionc.rewrite.tetrahedron import tetrahedron, triad_number

THETA = ((0, 0), (1, 0)), ((0, 1), (1, 1)), ((0, 2), (1, 2))


def theta_net(*spins: int) -> SpinNetwork:
    return SpinNetwork(tuple(Edge(j, tail, head) for j, (tail, head) in zip(spins, THETA, strict=True)))


def test_theta_is_one_and_zero_where_it_cannot_be() -> None:
    assert evaluate(theta_net(2, 3, 5)) == 1
    assert evaluate(theta_net(0, 3, 3)) == 1
    assert evaluate(theta_net(2, 2, 6)) == 0
    assert evaluate(theta_net(1, 1, 1)) == 0


def test_a_theta_with_one_odd_vertex_or_one_turned_arrow() -> None:
    for spins in ((2, 2, 2), (1, 2, 3), (3, 3, 4)):
        odd = [((0, 0), (1, 1)), ((0, 1), (1, 0)), ((0, 2), (1, 2))]
        network = SpinNetwork(
            tuple(Edge(j, *spots) for j, spots in zip((spins[0], spins[0], spins[2]), odd, strict=True))
        )
        if triangle(spins[0], spins[0], spins[2]):
            assert evaluate(network) == (-1) ** ((2 * spins[0] + spins[2]) // 2)
        edges = theta_net(*spins).edges
        turned = SpinNetwork((Edge(spins[0], edges[0].head, edges[0].tail), *edges[1:]))
        assert evaluate(turned) == evaluate(theta_net(*spins)) * (-1) ** spins[0]


def test_circles_and_the_empty_network() -> None:
    assert evaluate(SpinNetwork()) == 1
    assert evaluate(SpinNetwork((), (Circle(3), Circle(3, twisted=True), Circle(2, twisted=True)))) == -4 * 4 * 3
    network = SpinNetwork(theta_net(2, 2, 2).edges, (Circle(1),), Surd.root(3))
    assert evaluate(network) == Surd.root(12)
    assert value_of(formula(network)) == Surd.root(12)


def tetrahedron_net(j: tuple[int, ...]) -> SpinNetwork:
    """The einsum of reference: 'aeF,Dbf,dEc,abc,Dd,Ee,Ff' with metrics, and the triangle's outer vertex (1 2 3)."""
    builder = NetworkBuilder()
    a, e, f2 = builder.add_vertex(j[0], j[4], j[5])
    d2, b, f = builder.add_vertex(j[3], j[1], j[5])
    d, e2, c = builder.add_vertex(j[3], j[4], j[2])
    outer = builder.add_vertex(j[0], j[1], j[2])
    for tail, head in ((d2, d), (e2, e), (f2, f), (a, outer[0]), (b, outer[1]), (c, outer[2])):
        builder.connect(tail, head)
    return builder.build()


def test_the_tetrahedron_is_the_6j_symbol() -> None:
    rng, seen = random.Random(1), 0
    while seen < 60:
        j = tuple(rng.randrange(8) for _ in range(6))
        value = six_j(*j)
        seen += bool(value)
        assert evaluate(tetrahedron_net(j)) == value


def test_six_plain_3j_symbols_are_the_9j_symbol() -> None:
    rng, seen = random.Random(2), 0
    while seen < 40:
        j = [rng.randrange(6) for _ in range(9)]
        value = nine_j(*j)
        seen += bool(value)
        builder = NetworkBuilder()
        rows = [builder.add_vertex(*j[3 * k : 3 * k + 3]) for k in range(3)]
        columns = [builder.add_vertex(*j[k::3]) for k in range(3)]
        for row in range(3):
            for column in range(3):
                builder.join(rows[row][column], columns[column][row])
        network = builder.build()
        assert evaluate(network) == value
        assert formula(network).summations == 1


def test_integers_of_a_6j_symbol() -> None:
    rng, seen = random.Random(3), 0
    while seen < 100:
        a, b, c, d, e, f = labels = tuple(rng.randrange(12) for _ in range(6))
        if not tetrahedron(*labels):
            assert six_j(*labels) == 0
            continue
        seen += 1
        square = ONE * tetrahedron(*labels)
        for triad in ((a, b, c), (a, e, f), (d, b, f), (d, e, c)):
            square = square / Surd.root(triad_number(*triad))
        assert square == six_j(*labels)


@pytest.mark.parametrize(
    ("vertices", "largest", "number"), [(2, 6, 60), (4, 5, 120), (6, 5, 120), (8, 4, 80), (10, 5, 40)]
)
def test_random_multigraphs_against_dense_contraction(vertices: int, largest: int, number: int) -> None:
    rng, nonzero = random.Random(vertices), 0
    for _ in range(number):
        network = random_network(rng, vertices, largest)
        value = evaluate(network)
        nonzero += bool(value)
        assert float(value) == pytest.approx(dense_value(network), abs=1e-12)
    assert nonzero > number // 8


def test_small_networks_against_exact_contraction() -> None:
    rng = random.Random(4)
    for _ in range(60):
        network = random_network(rng, 4, 3)
        assert evaluate(network) == contract_exactly(edges_of(network))


def test_the_value_times_the_roots_of_the_thetas_is_rational() -> None:
    rng = random.Random(5)
    for _ in range(30):
        network = random_network(rng, 10, 6)
        value = evaluate(network)
        for triad in network.triads:
            value = value * Surd.root(theta(*(network.edges[k].twice_j for k in triad)))
        assert value.is_rational


def test_zero_lines_folded_or_not() -> None:
    rng = random.Random(6)
    for _ in range(60):
        network = random_network(rng, 8, 3)
        assert value_of(formula(network)) == evaluate(network)


@pytest.mark.parametrize(("vertices", "seconds"), [(12, 5), (16, 10), (20, 10), (24, 30), (30, 60)])
def test_large_random_networks(vertices: int, seconds: float) -> None:
    rng, nonzero = random.Random(vertices), 0
    for _ in range(3 if vertices < 30 else 2):
        network = random_network(rng, vertices, 6, simple=True)
        start = time.process_time()
        value = evaluate(network)
        assert time.process_time() - start < seconds
        nonzero += bool(value)
        # Dense contraction keeps a relative accuracy: its largest intermediate results are of the value's own size.
        assert float(value) == pytest.approx(dense_value(network), rel=1e-12, abs=1e-25)
    assert nonzero


@pytest.mark.parametrize(("vertices", "seed", "seconds"), [(20, 40, 10), (20, 22, 10), (30, 20, 60), (30, 43, 60)])
def test_spin_three_on_every_line(vertices: int, seed: int, seconds: float) -> None:
    network = network_of(nx.random_regular_graph(3, vertices, seed=seed), 6)
    start = time.process_time()
    value = evaluate(network)
    assert time.process_time() - start < seconds
    assert float(value) == pytest.approx(dense_value(network), rel=1e-12)


@pytest.mark.parametrize("twice_j", [2, 4, 6])
def test_named_graphs_against_dense_contraction(twice_j: int) -> None:
    graphs = [
        nx.petersen_graph(),
        nx.hypercube_graph(3),
        nx.heawood_graph(),
        nx.moebius_kantor_graph(),
        nx.dodecahedral_graph(),
    ]
    for graph in graphs:
        network = network_of(graph, twice_j)
        assert float(evaluate(network)) == pytest.approx(dense_value(network), rel=1e-12, abs=1e-20)


def test_large_spins() -> None:
    assert evaluate(network_of(nx.complete_bipartite_graph(3, 3), 62)) == 0  # odd under the exchange of two rows
    assert evaluate(network_of(nx.complete_bipartite_graph(3, 3), 60)) == nine_j(*[60] * 9)
    assert evaluate(network_of(nx.hypercube_graph(3), 60)).is_single
    assert evaluate(network_of(nx.petersen_graph(), 40))


def test_parts_multiply() -> None:
    rng = random.Random(13)
    one, two = random_network(rng, 6, 4, simple=True), random_network(rng, 8, 4, simple=True)
    shifted = tuple(
        Edge(edge.twice_j, (edge.tail[0] + 6, edge.tail[1]), (edge.head[0] + 6, edge.head[1])) for edge in two.edges
    )
    assert evaluate(SpinNetwork(one.edges + shifted)) == evaluate(one) * evaluate(two)


def test_constructors_refuse() -> None:
    with pytest.raises(ValueError, match="never negative"):
        Edge(-1, (0, 0), (1, 0))
    with pytest.raises(ValueError, match="two different slots"):
        Edge(1, (0, 0), (0, 0))
    with pytest.raises(ValueError, match="do not fill the slots"):
        SpinNetwork(theta_net(2, 2, 2).edges[:2])


def test_tetrahedra_of_large_spins() -> None:
    """A 6j symbol and the roots of its triads, numbers of thousands of digits that are never factored."""
    a, b, c, d, e, f = 1400, 1402, 1406, 1410, 1392, 1414
    builder = NetworkBuilder()
    one, two, three, four = (builder.add_vertex(*spins) for spins in ((a, b, c), (a, e, f), (d, b, f), (d, e, c)))
    for end, other in (
        (one[0], two[0]),
        (one[1], three[1]),
        (one[2], four[2]),
        (two[1], four[1]),
        (two[2], three[2]),
        (three[0], four[0]),
    ):
        builder.connect(end, other)
    start = time.process_time()
    value = evaluate(builder.build())
    assert time.process_time() - start < 2
    assert abs(value) == abs(six_j(a, b, c, d, e, f)) != 0

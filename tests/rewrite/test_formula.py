"""What a formula counts and how it is written; the reduction depends on the shape alone and is the same every time."""

from __future__ import annotations

import random

import networkx as nx
import pytest
from dense_networks import network_of, random_network

from fusionc.rewrite import Edge, SpinNetwork, evaluate, formula, value_of
from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.factors import Factors
from fusionc.rewrite.formula import Formula
from fusionc.rewrite.reduce import RULES, reduce
from fusionc.rewrite.search import plans
from fusionc.rewrite.skeleton import Skeleton

GRAPHS = [
    ("tetrahedron", nx.complete_graph(4), 0),
    ("prism", nx.circular_ladder_graph(3), 0),
    ("K33", nx.complete_bipartite_graph(3, 3), 1),
    ("cube", nx.hypercube_graph(3), 1),
    ("Petersen", nx.petersen_graph(), 3),
]


@pytest.mark.parametrize(("name", "graph", "sums"), GRAPHS, ids=[name for name, _, _ in GRAPHS])
def test_summations_and_6j_symbols(name: str, graph: nx.Graph, sums: int) -> None:
    """#6j = (n-2)/2 - B + S; none of these graphs has a bubble before the last theta."""
    found = formula(network_of(graph, 2))
    assert found.summations == sums
    assert found.six_js == (len(graph) - 2) // 2 + sums
    assert len(found.ranges) == sums


def test_every_plan_keeps_the_count_of_6j_symbols() -> None:
    rng = random.Random(1)
    for _ in range(20):
        diagram = Diagram.of(random_network(rng, 12, 4, simple=True))
        for plan in plans(Skeleton.of(diagram)):
            sums = sum(move.rule in ("square", "flip") for move in plan)
            bubbles = sum(move.rule == "bubble" for move in plan)
            thetas = 1 + sum(move.rule in ("cut_two", "cut_three") for move in plan)
            vertices = 12 + 2 * sum(move.rule == "cut_three" for move in plan)
            factors = reduce_along(plan, diagram)
            assert len(factors.sixes) == vertices // 2 - bubbles + sums
            assert bubbles >= thetas


def reduce_along(plan: tuple, diagram: Diagram) -> Factors:
    factors = Factors()
    for move in plan:
        step = RULES[move.rule](diagram, *move.names)
        factors, diagram = factors * step.factors, step.diagram
    assert not diagram.lines
    return factors


def test_all_finalists_have_the_same_value() -> None:
    rng = random.Random(2)
    for _ in range(6):
        network = random_network(rng, 12, 4, simple=True)
        diagram, spins = Diagram.of(network), tuple(edge.twice_j for edge in network.edges)
        values = [value_of(Formula(spins, reduce_along(plan, diagram))) for plan in plans(Skeleton.of(diagram))]
        assert values == [evaluate(network)] * len(values)


def test_the_plan_is_deterministic_and_knows_no_spins() -> None:
    network = random_network(random.Random(3), 14, 6, simple=True)
    other = SpinNetwork(tuple(Edge(2, edge.tail, edge.head) for edge in network.edges))
    first = formula(network).factors
    reduce.cache_clear()
    assert formula(other).factors == first


def test_text() -> None:
    cube = network_of(nx.hypercube_graph(3), 2)
    assert str(formula(cube)) == "Σ_x (2x+1) {1 1 x; 1 1 1} {1 1 x; 1 1 1} {x 1 1; 1 1 1} {1 1 1; 1 x 1}"
    assert str(formula(network_of(nx.complete_graph(4), 2))) == "{1 1 1; 1 1 1}"
    halves = SpinNetwork((Edge(1, (0, 0), (1, 0)), Edge(2, (0, 1), (1, 1)), Edge(3, (0, 2), (1, 2))))
    assert str(formula(halves)) == "1"
    assert str(formula(halves, ("a", "b", "c"))) == "[a b c]"
    assert str(formula(SpinNetwork(tuple(Edge(1, e.tail, e.head) for e in halves.edges)))) == "0"


def test_text_with_names_and_latex() -> None:
    prism = network_of(nx.circular_ladder_graph(3), 1)
    names = tuple("abcdefghi")
    assert str(formula(prism, names)).count("{") == 3  # a phase and two symbols
    tetrahedron = SpinNetwork(
        tuple(Edge(1 + (k % 2), e.tail, e.head) for k, e in enumerate(network_of(nx.complete_graph(4), 2).edges))
    )
    assert r"\begin{Bmatrix}" in formula(tetrahedron, tuple("abcdef")).latex()
    k33 = formula(network_of(nx.complete_bipartite_graph(3, 3), 2))
    assert k33.latex().startswith(r"-\sum_{x} (2x+1) \begin{Bmatrix}")


def test_names_must_fit() -> None:
    with pytest.raises(ValueError, match="as many names"):
        formula(network_of(nx.complete_graph(4), 2), ("a",))

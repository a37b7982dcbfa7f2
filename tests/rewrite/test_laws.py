"""Each rewrite alone against the oracle: the diagram equals the factors, summed, times what is left."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import permutations

import pytest
from dense_networks import (
    contract,
    contract_exactly,
    edges_of,
    edges_of_diagram,
    factor_value,
    is_simple,
    random_network,
)

from fusionc.algebra.surds import ZERO, Surd
from fusionc.rewrite.bubble import bubble
from fusionc.rewrite.cut import cut_one, cut_three, cut_two
from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.flip import flip_slots
from fusionc.rewrite.network import SpinNetwork
from fusionc.rewrite.sketch import Sketch, Step
from fusionc.rewrite.square import square
from fusionc.rewrite.tadpole import tadpole
from fusionc.rewrite.triangle import triangle
from fusionc.rewrite.zero_edge import zero_edge

Rule = Callable[..., Step]
LAWS: list[tuple[Rule, int]] = [
    (tadpole, 1),
    (bubble, 2),
    (triangle, 3),
    (square, 4),
    (cut_one, 1),
    (cut_two, 2),
    (cut_three, 3),
]
LARGEST_SUM = 16


def steps(rule: Rule, arity: int, network: SpinNetwork) -> Iterator[Step]:
    """The rule at every place where it matches."""
    diagram = Diagram.of(network)
    for names in permutations(range(len(network.edges)), arity):
        try:
            yield rule(diagram, *names)
        except ValueError:
            continue


def expanded(step: Step, network: SpinNetwork) -> list[tuple[Surd, dict[int, int]]]:
    """The factors at every value of the summation variable that do not vanish."""
    spins = {k: edge.twice_j for k, edge in enumerate(network.edges)}
    cases = [spins]
    if step.factors.sums:
        cases = [spins | {step.factors.sums[0]: x} for x in range(LARGEST_SUM)]
    values = ((factor_value(step.factors, case), case) for case in cases)
    return [(value, case) for value, case in values if value]


def assert_equal(network: SpinNetwork, step: Step) -> bool:
    """Float64 comparison; returns whether the value was not zero."""
    left = contract(edges_of(network))
    right = sum(float(f) * contract(edges_of_diagram(step.diagram, case)) for f, case in expanded(step, network))
    assert right == pytest.approx(left, abs=1e-12)
    return abs(left) > 1e-9


def assert_exactly_equal(network: SpinNetwork, step: Step) -> None:
    right = ZERO
    for factor, case in expanded(step, network):
        right = right + factor * contract_exactly(edges_of_diagram(step.diagram, case))
    assert right == contract_exactly(edges_of(network))


@pytest.mark.parametrize(("rule", "arity"), LAWS, ids=lambda value: getattr(value, "__name__", None))
def test_law_holds_on_random_networks(rule: Rule, arity: int) -> None:
    rng, seen, nonzero = random.Random(7), 0, 0
    while seen < 60 or nonzero < 12:
        network = random_network(rng, rng.choice((2, 4, 6)), 5)
        found = list(steps(rule, arity, network))
        for step in rng.sample(found, min(len(found), 6)):
            seen += 1
            nonzero += assert_equal(network, step)


@pytest.mark.parametrize(("rule", "arity"), LAWS, ids=lambda value: getattr(value, "__name__", None))
def test_law_is_exact(rule: Rule, arity: int) -> None:
    rng, seen = random.Random(8), 0
    while seen < 5:
        network = random_network(rng, 4, 2)
        found = list(steps(rule, arity, network))
        for step in found[:1]:
            seen += 1
            assert_exactly_equal(network, step)


def test_zero_edge() -> None:
    rng, seen, nonzero = random.Random(9), 0, 0
    while seen < 80 or nonzero < 20:
        network = random_network(rng, rng.choice((2, 4, 6)), 4)
        empty = [k for k, edge in enumerate(network.edges) if not edge.twice_j and edge.tail[0] != edge.head[0]]
        for step in (zero_edge(Diagram.of(network), name) for name in empty):
            seen += 1
            nonzero += assert_equal(network, step)
            if seen < 6 and len(network.edges) < 7:
                assert_exactly_equal(network, step)


@pytest.mark.parametrize("at_tail", [1, 2])
@pytest.mark.parametrize("at_head", [1, 2])
def test_flip_in_all_positions(at_tail: int, at_head: int) -> None:
    rng, seen, nonzero = random.Random(10), 0, 0
    while seen < 60 or nonzero < 20:
        network = random_network(rng, rng.choice((2, 4, 6)), 4)
        number = rng.randrange(len(network.edges))
        edge = network.edges[number]
        if edge.tail[0] == edge.head[0]:
            continue
        step = flip_slots(Diagram.of(network), number, (edge.tail[1] + at_tail) % 3, (edge.head[1] + at_head) % 3)
        seen += 1
        nonzero += assert_equal(network, step)
        if seen < 4 and len(network.edges) < 7:
            assert_exactly_equal(network, step)


def test_arrows_and_orders() -> None:
    rng = random.Random(11)
    for _ in range(60):
        network = random_network(rng, 4, 5)
        sketch = Sketch(Diagram.of(network))
        for number, edge in enumerate(network.edges):
            if rng.random() < 0.5:
                sketch.aim(number, head=edge.tail)
        for vertex in range(4):
            slots = [0, 1, 2]
            rng.shuffle(slots)
            sketch.reslot(vertex, (slots[0], slots[1], slots[2]))
        assert_equal(network, sketch.done())


def test_a_rule_refuses_what_it_does_not_match() -> None:
    network = random_network(random.Random(12), 8, 4, simple=True)
    assert is_simple([(edge.tail, edge.head) for edge in network.edges])
    diagram = Diagram.of(network)
    with pytest.raises(ValueError, match="no loop"):
        tadpole(diagram, 0)
    with pytest.raises(ValueError, match="same two vertices"):
        bubble(diagram, 0, 1)
    with pytest.raises(ValueError, match="no cut"):
        cut_two(diagram, 0, 1)

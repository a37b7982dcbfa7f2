"""From a network to its formula: plan on the shape, then carry the plan out law by law.

    network --> diagram (labels for spins) --> skeleton --> moves --> factors --> formula

The moves depend on the shape only, so they are searched once for each shape and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fusionc.rewrite.bubble import bubble
from fusionc.rewrite.cut import cut_one, cut_three, cut_two
from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.factors import Factors
from fusionc.rewrite.flip import flip
from fusionc.rewrite.formula import Formula
from fusionc.rewrite.network import SpinNetwork
from fusionc.rewrite.schedule import best_order, order_cost
from fusionc.rewrite.search import LARGE, Plan, first_plan, plans
from fusionc.rewrite.skeleton import Skeleton
from fusionc.rewrite.sketch import Step
from fusionc.rewrite.square import square
from fusionc.rewrite.tadpole import tadpole
from fusionc.rewrite.triangle import triangle

RULES: dict[str, Callable[..., Step]] = {
    "tadpole": tadpole,
    "bubble": bubble,
    "cut_one": cut_one,
    "cut_two": cut_two,
    "triangle": triangle,
    "cut_three": cut_three,
    "square": square,
    "flip": flip,
}
"""Every rewrite that a plan can ask for: from a diagram and names of lines to a step."""


TYPICAL_RANGE = 5
"""How many values a summation variable is taken to have when plans are compared."""


def formula(network: SpinNetwork, names: tuple[str, ...] = ()) -> Formula:
    """The value of a closed network as a sum of products of 6j symbols.

    With `names`, one for each edge and then each circle, the formula is printed for arbitrary spins.
    """
    diagram = Diagram.of(network)
    spins = tuple(edge.twice_j for edge in network.edges) + tuple(circle.twice_j for circle in network.circles)
    circles = Factors(
        tuple((len(network.edges) + k, 2) for k, circle in enumerate(network.circles) if circle.twisted),
        tuple((len(network.edges) + k, 2) for k in range(len(network.circles))),
    )
    vertices = Factors(triads=network.triads)
    return Formula(spins, reduce(diagram) * circles * vertices, network.prefactor, names)


@lru_cache(maxsize=256)
def reduce(diagram: Diagram) -> Factors:
    """The factors that a diagram equals, once nothing is left of it; depends on no spin."""
    first = first_reduction(diagram)
    if first is not None and len(first.sums) < 2:
        return first
    finalists = [carried_out(plan, diagram) for plan in plans(Skeleton.of(diagram))]
    return min(finalists, key=lambda factors: (len(factors.sums), _price(factors)))


class NoReduction(Exception):
    """A network so large, with so few short loops, that no reduction of it is looked for. `loops`: how many it has."""

    def __init__(self, loops: int) -> None:
        super().__init__(f"a network with {loops} loops, most of them long")
        self.loops = loops


@lru_cache(maxsize=256)
def first_reduction(diagram: Diagram) -> Factors | None:
    """What is quickly found for a large diagram, to see whether its sum can be done at all; None for a small one.
    Raises `NoReduction`."""
    skeleton = Skeleton.of(diagram)
    if len(skeleton.star) <= LARGE:
        return None
    plan = first_plan(skeleton)
    if plan is None:
        raise NoReduction(len(skeleton.ends) - len(skeleton.star) + 1)
    return carried_out(plan, diagram)


def carried_out(plan: Plan, diagram: Diagram) -> Factors:
    """Rewrite a diagram move by move until nothing is left."""
    factors = Factors()
    for move in plan:
        step = RULES[move.rule](diagram, *move.names)
        factors, diagram = factors * step.factors, step.diagram
    if diagram.lines:
        raise AssertionError("a plan ended before its diagram did")
    return unified(factors)


def _price(factors: Factors) -> int:
    """What the nested sum costs when every variable takes a typical number of values."""
    inside = set(factors.sums)
    scopes = [tuple(label for label in six if label in inside) for six in factors.sixes]
    sizes = dict.fromkeys(factors.sums, TYPICAL_RANGE)
    return order_cost(scopes, sizes, best_order(scopes, sizes))


def unified(factors: Factors) -> Factors:
    """Labels that must be equal to a summation variable replace it, and its sum is gone."""
    sums = set(factors.sums)
    names: dict[int, int] = {}

    def root(label: int) -> int:
        while label in names:
            label = names[label]
        return label

    for pair in factors.equal:
        one, two = sorted(map(root, pair))
        if two in sums:
            names[two] = one
    return factors.relabelled({label: root(label) for label in sorted(names)})

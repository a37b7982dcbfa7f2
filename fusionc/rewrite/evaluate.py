"""The exact value of a network or of a formula.

The contract, decided once: a network with a vertex whose three spins cannot meet, or with a cut that its spins cannot
cross, has the exact value 0. A spin that is negative is refused by the network's constructor. A sum that would take
more than `WORK_LIMIT` steps is refused before it is begun: `TooMuchWork`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import prod

from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.algebra.wigner import triangle
from fusionc.rewrite.diagram import Diagram
from fusionc.rewrite.eliminate import total
from fusionc.rewrite.factors import Factors, Triad, triads_of
from fusionc.rewrite.formula import Formula
from fusionc.rewrite.network import SpinNetwork
from fusionc.rewrite.reduce import NoReduction, first_reduction, reduce
from fusionc.rewrite.schedule import Schedule, best_order, order_cost, schedule
from fusionc.rewrite.tables import tables
from fusionc.rewrite.tetrahedron import inverse_root_of_triad, tetrahedron, triad_number
from fusionc.rewrite.zero_edge import zero_edge

WORK_LIMIT = 500_000_000
"""Steps of the sums behind one number: a minute or two of them."""

LOOPS_OF_A_TABLE = 3
"""Random cubic graphs have about so many times as many loops as their widest partial sum has variables."""

HOPELESS = 1_000
"""A large network is not reduced further where the first reduction takes so many times as many steps: the best that was
seen for random cubic graphs takes a few hundred times fewer."""


class TooMuchWork(OverflowError):
    """The sum behind a network is too long: about `steps` of them."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"a sum of about 10^{len(str(steps)) - 1} steps; {WORK_LIMIT:.0e} are done at most")
        self.steps = steps


def evaluate(network: SpinNetwork) -> Surd:
    """The exact value of a closed network: its prefactor times a signed root of a rational number.

    Lines of spin 0 are folded before the shape is looked at; the rest is `reduce` and a sum over integers. Raises
    `TooMuchWork`.
    """
    reduced = _reduced(network)
    if reduced is None:
        return ZERO
    value = network.prefactor * value_of(reduced)
    for circle in network.circles:
        value = value * circle.value
    return value


def work(network: SpinNetwork) -> int:
    """About how many steps `evaluate` takes, known without doing any of them; of a large network that is far too long a
    sum, how many a reduction took that was quickly found."""
    try:
        reduced = _reduced(network)
    except TooMuchWork as refused:
        return refused.steps
    if reduced is None or reduced.vanishes or not all(reduced.ranges):
        return 0
    return _steps(reduced, _schedule(reduced))


def _reduced(network: SpinNetwork) -> Formula | None:
    """The formula without prefactor and circles; None where a vertex is zero."""
    spins = tuple(edge.twice_j for edge in network.edges)
    if not all(triangle(spins[a], spins[b], spins[c]) for a, b, c in network.triads):
        return None
    diagram, folded = without_zeros(Diagram.of(network), spins)
    _refuse_hopeless(diagram, spins)
    return Formula(_padded(spins, diagram), folded * reduce(diagram))


def _refuse_hopeless(diagram: Diagram, spins: tuple[int, ...]) -> None:
    """Raise `TooMuchWork` for a large network whose first reduction is so long a sum that a better one does not help,
    or that has none."""
    try:
        first = first_reduction(diagram)
    except NoReduction as found:
        estimate = max(*spins, 2) ** (found.loops // LOOPS_OF_A_TABLE)
        raise TooMuchWork(max(estimate, HOPELESS * WORK_LIMIT)) from None  # (small spins would make it look short)
    if first is None:
        return
    formula = Formula(_padded(spins, diagram), first)
    if formula.vanishes or not all(formula.ranges):
        return
    steps = _greedy_steps(*_scopes(formula))
    if steps > HOPELESS * WORK_LIMIT:
        raise TooMuchWork(steps)


@lru_cache(maxsize=256)
def _greedy_steps(scopes: tuple[tuple[int, ...], ...], sizes: tuple[tuple[int, int], ...]) -> int:
    """About how long a sum is, in the order that is found at once; asked before its value, and again for it."""
    return order_cost(scopes, dict(sizes), best_order(scopes, dict(sizes)))


def _padded(spins: tuple[int, ...], diagram: Diagram) -> tuple[int, ...]:
    """One spin for each label that is not a summation variable; those of circles are not looked at here."""
    return spins + (0,) * (diagram.next_label - len(spins))


def without_zeros(diagram: Diagram, spins: tuple[int, ...]) -> tuple[Diagram, Factors]:
    """Fold every line of spin 0 that joins two vertices; one that does not hangs on a stem and goes with it."""
    factors = Factors()
    while True:
        empty = (line for line in diagram.lines if not spins[line.label] and line.tail[0] != line.head[0])
        line = next(empty, None)
        if line is None:
            return diagram, factors
        step = zero_edge(diagram, line.name)
        diagram, factors = step.diagram, factors * step.factors


def value_of(formula: Formula) -> Surd:
    """The exact value of a formula at its spins. Raises `TooMuchWork`."""
    if formula.vanishes:
        return ZERO
    factors, spins = formula.factors, dict(enumerate(formula.spins))
    ranges = dict(zip(factors.sums, formula.ranges, strict=True))
    if not all(ranges.values()):
        return ZERO
    plan = _schedule(formula)
    if (steps := _steps(formula, plan)) > WORK_LIMIT:
        raise TooMuchWork(steps)
    under, scale = tables(factors, spins, ranges)
    rational = scale * total(under, _sizes(ranges), plan)
    first = spins | {label: values[0] for label, values in ranges.items()}
    for six in factors.sixes:
        if not any(label in ranges for label in six):
            rational *= tetrahedron(*(spins[label] for label in six))
    if not rational:
        return ZERO
    return formula.prefactor * _roots(factors, spins) * (rational * _sign(factors, first))


def _sizes(ranges: Mapping[int, range]) -> dict[int, int]:
    return {label: len(values) for label, values in ranges.items()}


def _schedule(formula: Formula) -> Schedule:
    """How the sum of a formula is done."""
    return _scheduled(*_scopes(formula))


def _scopes(formula: Formula) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, int], ...]]:
    """The summation variables of each table, and how many values each of them takes."""
    sums = formula.factors.sums
    scopes = [tuple(label for label in six if label in sums) for six in formula.factors.sixes]
    scopes += [(label,) for label in sums]
    return tuple(scopes), tuple(zip(sums, map(len, formula.ranges), strict=True))


def _steps(formula: Formula, plan: Schedule) -> int:
    """Multiplications of the sum and of its tables, those of long integers as several."""
    factors = formula.factors
    ranges = dict(zip(factors.sums, formula.ranges, strict=True))
    largest = max([0, *formula.spins, *(values[-1] for values in ranges.values())])
    entries = sum(prod(len(ranges[label]) for label in set(six) if label in ranges) for six in factors.sixes)
    digits = 1 + 3 * largest * len(factors.sixes) // DIGIT
    return plan.work * digits + entries * (1 + largest // 4) * (1 + largest // DIGIT)


DIGIT = 500
"""Integers of this many bits more take about one step more to multiply."""


@lru_cache(maxsize=256)
def _scheduled(scopes: tuple[tuple[int, ...], ...], sizes: tuple[tuple[int, int], ...]) -> Schedule:
    return schedule(scopes, dict(sizes))


def _sign(factors: Factors, spins: dict[int, int]) -> int:
    """The phase at given spins: a sign, since phases of half-integers come in pairs."""
    quarters = sum(power * spins[label] for label, power in factors.phase) % 4
    if quarters % 2:
        raise AssertionError("a phase that is not real")
    return 1 - quarters


def _roots(factors: Factors, spins: dict[int, int]) -> Surd:
    """The square roots that stand outside the sum: N^{-1/2} of fixed triads and (2j+1)^{p/2} of fixed labels."""
    count: Counter[Triad] = Counter()
    for six in factors.sixes:
        for triad in triads_of(six):
            if all(label in spins for label in triad):
                a, b, c = sorted(spins[label] for label in triad)
                count[a, b, c] += 1
    value = ONE
    for (a, b, c), number in count.items():
        value = value * Surd.of(Fraction(1, triad_number(a, b, c)) ** (number // 2))
        if number % 2:
            value = value * inverse_root_of_triad(a, b, c)
    for label, power in factors.dims:
        if label in spins:
            value = value * _power(Fraction(spins[label] + 1), power)
    return value


def _power(base: Fraction, halves: int) -> Surd:
    """base^{halves/2}."""
    whole = Surd.of(base ** (halves // 2))
    return whole * Surd.root(base) if halves % 2 else whole

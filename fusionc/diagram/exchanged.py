"""Weights of operands that are equal but for their channels: exchanging the channels gives the same products, so
weights count together, or cancel (a warning, with the rank).

    x[u] x[v] -> out * W[path,u,v]      T(x_u, x_v) = ± T(x_v, x_u):  W[u,v] and W[v,u] are one number, and where the
                                        sign is a minus, W[u,u] is none

What matters is how many of the products T_p(x_u, x_v, …) are linearly independent, over all paths p and all channels.
Products of different channels (of which each block of an operand is a set of its own) are independent, so the rank is
that of products with given channels, for every pattern of equal ones, times the number of ways to choose such channels.
The ranks are those of trees at random points modulo a prime, as in `dependent`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import factorial, perm, prod
from typing import TYPE_CHECKING

from fusionc.algebra.modular import field_for
from fusionc.diagram.dependent import MAX_COMPARED, Meaning, TreeValues, few, leaves_in_order, on_the_right, tree_primes
from fusionc.diagram.fusion import Fusion
from fusionc.diagram.independent import Vector, extends, flat
from fusionc.diagram.ir import FusionGraph, Line, Weight
from fusionc.diagram.paths import PathTable, Tree
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")

MAX_WORK = 150_000  # products of one pattern squared, all patterns added up: about a second; beyond it nothing is said

Unit = tuple[str, ...]
"""The channel indices of a leaf that are summed with the weight, and stand on no other leaf."""


Class = tuple[int, int]
"""Leaves whose channels are of one set: the number of their group, and their block."""


@dataclass(frozen=True)
class Exchange:
    """Leaves of a line's whole tree that are equal but for their units: `groups` are the places of such leaves, `units`
    what is summed at each. `keeps`: paths are not added up."""

    line: Line
    weight: Weight
    keeps: bool
    groups: tuple[tuple[int, ...], ...]
    units: Mapping[int, Unit]


def exchanges(graph: FusionGraph) -> tuple[Exchange, ...]:
    """The lines of which the weight of equal operands is redundant, or may be."""
    names = Counter(weight.name for line in graph.lines for weight in line.weights)
    found = []
    for line in graph.lines:
        keeps = line.keeps or graph.keeps_paths(line.target)
        for weight in line.weights:
            groups, units = _equal_leaves(graph, line, weight)
            if groups and names[weight.name] == 1:
                found.append(Exchange(line, weight, keeps, groups, units))
    return tuple(found)


def _equal_leaves(
    graph: FusionGraph, line: Line, weight: Weight
) -> tuple[tuple[tuple[int, ...], ...], dict[int, Unit]]:
    """Which leaves of a line's tree are equal but for what a weight sums, and what that is."""
    summed = [index for index in weight.channels if index not in line.channels]
    leaves = leaves_in_order(graph, line, on_the_right(line) | {index: index for index in summed})
    counts = Counter(index for _, indices in leaves or () for index in dict.fromkeys(indices))
    free = {index for index in summed if counts[index] == 1}
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    units: dict[int, Unit] = {}
    for place, (edge, indices) in enumerate(leaves or ()):
        unit = tuple(index for index in indices if index in free)
        if unit:
            units[place] = unit
            groups.setdefault((edge, tuple("*" if index in free else index for index in indices)), []).append(place)
    return tuple(tuple(places) for places in groups.values() if len(places) > 1), units


def exchangeable(graph: FusionGraph, fusion: Fusion) -> bool:
    """Whether there is an exchange to look at, with few enough trees."""
    return any(few(graph, fusion, (found.line,)) for found in exchanges(graph))


def redundant_weights(table: PathTable) -> Iterator[Diagnostic]:
    """A warning for each weight of which equal operands make some numbers redundant."""
    for exchange in exchanges(table.graph):
        trees = table.lines[exchange.line.number].trees
        if len(trees) <= MAX_COMPARED:
            rank, total = _rank(table, exchange), table.weights[exchange.weight.name].numel
            if rank is not None and rank < total:
                yield _redundant(exchange, total, rank)


def _redundant(exchange: Exchange, total: int, rank: int) -> Diagnostic:
    weight = exchange.weight
    units = [exchange.units[place] for group in exchange.groups for place in group]
    shown = ", ".join(f"`{index}`" for unit in units for index in unit)
    return diagnose(
        "F2009",
        f"`{weight.name}` has {total:,} numbers, and {rank:,} combinations of them matter",
        weight.span,
        label=f"{shown}: channels of equal operands",
        notes=[
            "exchanging the channels of equal operands gives the same products, or minus these: such weights count "
            "together, or not at all"
        ],
        help="nothing is wrong with the values; products of one channel index, of operands that a linear map has "
        "mixed, have independent weights only",
    )


# --- the rank ------------------------------------------------------------------------------------------------------


Columns = list[tuple[Tree, dict[int, int]]]
"""Products: a tree, and the channel of each exchangeable leaf."""


def _rank(table: PathTable, exchange: Exchange) -> int | None:
    """How many combinations of the weight's numbers matter; None where that takes too long to find out."""
    sectors: dict[Hashable, list[Tree]] = {}
    for tree in table.lines[exchange.line.number].trees:
        sectors.setdefault(_sector(exchange, tree), []).append(tree)
    patterns, work = [], 0
    for trees in sectors.values():
        for often, columns in _patterns(table, exchange, trees):
            work += len(columns) ** 2
            if work > MAX_WORK:
                return None
            patterns.append((often, columns))
    return sum(often * _pattern_rank(table, exchange, columns) for often, columns in patterns)


def _classes(exchange: Exchange, tree: Tree) -> dict[Class, list[int]]:
    """The exchangeable leaves whose channels are of one set: the same block of equal operands (any block, for a weight
    that all paths share)."""
    found: dict[Class, list[int]] = {}
    for number, group in enumerate(exchange.groups):
        for place in group:
            block = tree.leaves[place][0] if exchange.weight.has_path else 0
            found.setdefault((number, block), []).append(place)
    return found


def _sector(exchange: Exchange, tree: Tree) -> Hashable:
    """What trees have in common whose products may be dependent: the right edge's block, the leaves' blocks up to
    exchanges, and where paths are kept all."""
    if not exchange.weight.has_path:
        return None
    exchanged = {place for group in exchange.groups for place in group}
    others = tuple(block for place, (block, _) in enumerate(tree.leaves) if place not in exchanged)
    counts = tuple(sorted((key, len(places)) for key, places in _classes(exchange, tree).items()))
    return tree.place, others, counts, tree if exchange.keeps else None


def _patterns(table: PathTable, exchange: Exchange, trees: Sequence[Tree]) -> Iterator[tuple[int, Columns]]:
    """The products of some trees with given channels, for every pattern of equal ones, and how often each occurs."""
    sizes = table.lines[exchange.line.number].sizes(trees[0])
    exchanged = {index for group in exchange.groups for place in group for index in exchange.units[place]}
    others = prod(sizes[index] for index in exchange.weight.channels if index not in exchanged)
    classes = _classes(exchange, trees[0])
    muls = {key: prod(sizes[index] for index in exchange.units[places[0]]) for key, places in classes.items()}
    for pattern in product(*(_partitions(len(places)) for places in classes.values())):
        counts = dict(zip(classes, pattern, strict=True))
        often = others * prod(_choices(muls[key], parts) for key, parts in counts.items())
        if often:
            labelings = ((tree, labels) for tree in trees for labels in _labelings(_classes(exchange, tree), counts))
            yield often, list(islice(labelings, MAX_COMPARED))


def _partitions(count: int, most: int = 0) -> list[tuple[int, ...]]:
    """How many leaves have the same channel: the partitions of a number, largest parts first."""
    if not count:
        return [()]
    top = min(count, most or count)
    return [(part, *rest) for part in range(top, 0, -1) for rest in _partitions(count - part, part)]


def _choices(mul: int, parts: tuple[int, ...]) -> int:
    """How many sets of channels, so many of each, there are among `mul`."""
    return perm(mul, len(parts)) // prod(factorial(count) for count in Counter(parts).values())


def _pattern_rank(table: PathTable, exchange: Exchange, columns: Columns) -> int:
    """The rank of some products, by what the weight has a number for."""
    line = exchange.line
    primes = {prime for tree in dict.fromkeys(tree for tree, _ in columns) for prime in tree_primes(table, line, tree)}
    values = TreeValues(table, field_for(sorted(primes)), len(columns) + 4)
    found: dict[Hashable, list[Vector]] = {}
    for number, (tree, labels) in enumerate(columns):
        key = number if exchange.weight.has_path else tuple(sorted(labels.items()))
        meaning = on_the_right(line) | _labelled(exchange, labels)
        found.setdefault(key, []).append(flat(values.of(line, tree, meaning), values.field))
    echelon: list[tuple[int, Vector]] = []
    return sum(extends(echelon, np.concatenate(parts), values.field) for parts in found.values())


def _labelings(
    classes: Mapping[Class, Sequence[int]], counts: Mapping[Class, tuple[int, ...]]
) -> Iterator[dict[int, int]]:
    """All ways to give the leaves of each class their channels."""
    options = [_arrangements(counts[key]) for key in classes]
    for chosen in product(*options):
        yield {
            place: label
            for places, labels in zip(classes.values(), chosen, strict=True)
            for place, label in zip(places, labels, strict=True)
        }


def _arrangements(counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All orders of so many zeros, ones, …"""
    if not any(counts):
        return [()]
    found = []
    for label, count in enumerate(counts):
        if count:
            rest = (*counts[:label], count - 1, *counts[label + 1 :])
            found += [(label, *after) for after in _arrangements(rest)]
    return found


def _labelled(exchange: Exchange, labels: Mapping[int, int]) -> Meaning:
    """Indices of a unit by the channel that they stand for: leaves with one channel are one operand."""
    return {
        index: f"channel {label} at {position}"
        for place, label in labels.items()
        for position, index in enumerate(exchange.units[place])
    }

"""Which coupling order a product gets: each that a search proposes is lowered by itself, and the cheapest is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram.paths import PathTable
from fusionc.plan.expand import EdgePlan, Expander, Expansion, closing
from fusionc.plan.order import GREEDY_LEAVES, best_shape, problem_of
from fusionc.plan.products import Product, ProductPath, products
from fusionc.plan.states import StateTable
from fusionc.plan.ties import ties_of
from fusionc.program.build import Builder
from fusionc.program.cost import Sizes
from fusionc.program.fuse import Side
from fusionc.program.ir import BATCH, LegBlock
from fusionc.program.roots import Root
from fusionc.program.values import Values
from fusionc.program.weigh import weigh
from fusionc.rewrite.recouple import Shape, shape_of

WRITTEN, RECOUPLED = "written", "recoupled"
STRATEGIES = (WRITTEN, RECOUPLED)
APART_PATHS = 32
"""Products of up to so many paths may have an order for each of them."""

MOST_COEFFICIENTS = 400_000
"""A product whose recoupling has more coefficients than this over the square of its leaves keeps the order in which it
was written: they are exact, each takes the longer the more leaves there are, and nobody waits for so many."""


@dataclass(frozen=True)
class Order:
    """The order that a product got: None as it was written. `saving`: how many times less it costs by itself;
    `too_many`: the number of coefficients for which nothing was searched; `apart`: an order for every path, where that
    is cheaper than one for all."""

    product: Product
    shape: Shape | None
    saving: float = 1.0
    too_many: int = 0
    apart: tuple[Shape | None, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All products of a diagram, expanded into states, and the orders that were chosen."""

    edges: tuple[EdgePlan, ...]
    orders: tuple[Order, ...]

    @property
    def changes(self) -> bool:
        """Whether any product meets in another order than the written one."""
        return any(order.shape is not None or order.apart for order in self.orders)


def plan(table: PathTable, strategy: str, sizes: Sizes) -> Plan:
    """The products of a diagram, each expanded in the coupling order that a strategy gives it.

    `written`: as the text couples. `recoupled`: in the cheapest order that the search found.
    """
    selector = _Selector(table, Expander(table, StateTable(table.graph.group)), sizes)
    edges = tuple(
        EdgePlan(edge.edge, tuple(selector.expansion(product, strategy) for product in edge.products))
        for edge in products(table)
    )
    return Plan(edges, tuple(selector.orders))


@dataclass
class _Selector:
    table: PathTable
    expander: Expander
    sizes: Sizes
    orders: list[Order] = field(default_factory=list)
    _chosen: dict[Any, Order] = field(default_factory=dict)
    _expansions: dict[tuple[int, Shape | None], Expansion] = field(default_factory=dict)

    def expansion(self, product: Product, strategy: str) -> Expansion:
        if strategy == WRITTEN or len(product.leaves) < 3:
            return self._written(product)
        key = _make(product)
        if key not in self._chosen:
            self._chosen[key] = self._choose(product)
        order = self._chosen[key]
        self.orders.append(replace(order, product=product))
        if order.apart:
            return self.expander.expand(product, order.apart)
        return self._written(product) if order.shape is None else self._expand(product, order.shape)

    def _written(self, product: Product) -> Expansion:
        """In the written order; where no relation ties what would meet, in one that the search finds."""
        try:
            return self._expand(product, None)
        except ValueError:
            return self._expand(product, self._searched(product))

    def _expand(self, product: Product, shape: Shape | None) -> Expansion:
        if (key := (product.line.number, shape)) not in self._expansions:
            self._expansions[key] = self.expander.expand(product, [shape] * len(product.paths))
        return self._expansions[key]

    def _searched(self, product: Product) -> Shape:
        """The order that the search finds."""
        graph = self.table.graph
        irreps = [
            {path.blocks[n]: leaf.irrep(self.table, path.blocks[n]) for path in product.paths}
            for n, leaf in enumerate(product.leaves)
        ]
        domains = {name: float(size) for name, size in self.sizes.domains.items()}
        per_site = min(domains.values(), default=1.0)
        elements = {name: size / per_site for name, size in domains.items()}
        ties, closed = ties_of(product.line), closing(product)
        return best_shape(problem_of(product, graph.group, graph.basis, irreps, ties, elements, closed))

    def _choose(self, product: Product) -> Order:
        coefficients = _coefficients(self.table, product)
        leaves = len(product.leaves)
        if leaves > GREEDY_LEAVES or coefficients * leaves**2 > MOST_COEFFICIENTS:
            return Order(product, None, too_many=coefficients)
        first = shape_of(product.paths[0].trees[0][0])
        searched = self._searched(product)
        found = dict.fromkeys(
            (searched, scalars_inside(self.table, product, first), scalars_inside(self.table, product, searched))
        )
        prices = {shape: self._price(product, shape) for shape in found if shape != first}
        written = self._price(product, None) if prices else 0.0
        best = min(prices, key=prices.__getitem__, default=first)
        cheaper = prices and prices[best] < written
        chosen = Order(product, best, _saving(written, prices[best])) if cheaper else Order(product, None)
        if prices and 1 < len(product.paths) <= APART_PATHS:
            apart = tuple(self._cheapest(product, path, (None, *prices)) for path in product.paths)
            if len(set(apart)) > 1 and (price := self._price_of(self.expander.expand(product, apart))) < min(
                written, prices[best]
            ):
                return Order(product, best, _saving(written, price), apart=apart)
        return chosen

    def _cheapest(self, product: Product, path: ProductPath, shapes: Sequence[Shape | None]) -> Shape | None:
        """The order in which one path by itself costs least."""
        alone = replace(product, paths=(path,))
        prices = []
        for shape in shapes:
            try:
                prices.append(self._price_of(self.expander.expand(alone, (shape,))))
            except ValueError:
                prices.append(float("inf"))
        return shapes[prices.index(min(prices))]

    def _price(self, product: Product, shape: Shape | None) -> float:
        """What a product costs by itself in an order."""
        try:
            expansion = self._expand(product, shape)
        except ValueError:  # no relation ties what would meet
            return float("inf")
        return self._price_of(expansion)

    def _price_of(self, expansion: Expansion) -> float:
        product, builder = expansion.product, Builder(self.sizes)
        values = _Alone(self.table, builder)
        values.demand(use.state for path in expansion.paths for use, _ in path)
        groups: dict[tuple[int, ...], list[int]] = {}
        for position, path in enumerate(product.paths):
            groups.setdefault(path.sizes, []).append(position)
        for positions in groups.values():
            weigh(Root(self.table, builder, values, expansion, tuple(positions)), None)
        return builder.spent


def scalars_inside(table: PathTable, product: Product, shape: Shape) -> Shape:
    """The order with every leaf that is a number (trivial irreps, no channels) multiplied into the smallest leaf that
    has no channels: it costs least there, and recouples without a coefficient."""
    group = table.graph.group
    irreps = [
        [leaf.irrep(table, b) for b in sorted({p.blocks[n] for p in product.paths})]
        for n, leaf in enumerate(product.leaves)
    ]
    plain = [number for number, leaf in enumerate(product.leaves) if not leaf.channels]
    numbers = [n for n in plain if all(irrep == group.trivial for irrep in irreps[n])]
    dims = {n: sum(group.dim(irrep) for irrep in irreps[n]) for n in plain if n not in numbers}
    if not numbers or not dims:
        return shape
    host = min(dims, key=lambda n: (dims[n], n))
    joined: Shape = numbers[0]
    for number in numbers[1:]:
        joined = (joined, number)
    return _replaced(shape, frozenset(numbers), host, (host, joined))


def _replaced(shape: Shape, without: frozenset[int], leaf: int, by: Shape) -> Shape:
    """A shape without some leaves, and with another shape in place of one."""
    if isinstance(shape, int):
        return by if shape == leaf else shape
    left, right = (part if part in without else _replaced(part, without, leaf, by) for part in shape)
    gone = [isinstance(part, int) and part in without for part in (left, right)]
    if all(gone):
        return left
    return right if gone[0] else left if gone[1] else (left, right)


def _saving(written: float, price: float) -> float:
    """How many times less an order costs than the written one; one that is free shows that the product vanishes."""
    return written / price if price else 1.0


def _coefficients(table: PathTable, product: Product) -> int:
    """How many coefficients recoupling has at most: for all paths the number of trees between their leaves."""
    group, counts, total = table.graph.group, dict[Any, int](), 0
    for path in product.paths:
        irreps = tuple(leaf.irrep(table, block) for leaf, block in zip(product.leaves, path.blocks, strict=True))
        key = (irreps, path.trees[0][0].irrep)
        if key not in counts:
            counts[key] = _trees(group, irreps).get(key[1], 0)
        total += counts[key]
    return total


def _trees(group: Group, irreps: Sequence[Irrep]) -> dict[Irrep, int]:
    """In how many ways some irreps couple to each irrep."""
    found = {irreps[0]: 1}
    for irrep in irreps[1:]:
        after: dict[Irrep, int] = {}
        for before, number in found.items():
            for c, multiplicity in group.product(before, irrep):
                after[c] = after.get(c, 0) + number * multiplicity
        found = after
    return found


class _Alone(Values):
    """Values of a product by itself: internal edges stand there as if they were legs."""

    def _leg(self, name: str, sizes: tuple[int, ...]) -> Side:
        graph = self.table.graph
        if name in graph.tensor_legs:
            return super()._leg(name, sizes)
        starts, total, dims = {}, 0, []
        for place, block in enumerate(self.table.blocks[name]):
            if tuple(size for size in block.sizes if size != 1) == sizes:
                starts[place] = total
                dims.append(graph.group.dim(block.irrep))
                total += dims[-1]
        op = LegBlock(name, 0, tuple(dims))
        return Side(self.builder.emit(op, total, sizes, graph.domain(name) or BATCH), (), starts)


def _make(product: Product) -> object:
    """What a product is like, names aside: products of one make get one order."""
    names: dict[str, int] = {}

    def spelled(parts: Iterator[str]) -> tuple[int, ...]:
        return tuple(names.setdefault(part, len(names)) for part in parts)

    leaves = tuple(
        (spelled(iter((leaf.edge,))), spelled(iter(leaf.channels)), spelled(iter(leaf.sites)))
        for leaf in product.leaves
    )
    factors = tuple(
        (f.has_path, bool(f.rows), spelled(iter(f.channels)), spelled(iter(f.sites))) for f in product.factors
    )
    paths = tuple((path.place, path.blocks, path.trees, path.sizes) for path in product.paths)
    ties: Mapping[str, str] = dict(product.line.site_sets)
    return leaves, spelled(iter(product.channels)), factors, paths, tuple(ties.values()), product.keeps

"""The paths of a product that are lowered together, the parts of their states, and the domains where things meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fusionc.algebra.surds import ONE, Surd
from fusionc.diagram.ir import Weight
from fusionc.diagram.paths import PathTable
from fusionc.plan.expand import Expansion, without_units
from fusionc.plan.products import Product, ProductPath
from fusionc.plan.states import Pair, Summed, Use
from fusionc.plan.ties import Names
from fusionc.plan.vertices import Entries, vertex
from fusionc.program.build import Builder
from fusionc.program.fuse import Meeting, Side, starts_of
from fusionc.program.ir import Linear, Zeros
from fusionc.program.values import Values


@dataclass(frozen=True)
class Root:
    """The paths of a product that have the same channel sizes (`positions` among its paths)."""

    table: PathTable
    builder: Builder
    values: Values
    expansion: Expansion
    positions: tuple[int, ...]

    @property
    def product(self) -> Product:
        return self.expansion.product

    @cached_property
    def paths(self) -> tuple[tuple[ProductPath, tuple[tuple[Use, Surd], ...]], ...]:
        return tuple((self.product.paths[p], self.expansion.paths[p]) for p in self.positions)

    @cached_property
    def extents(self) -> dict[str, int]:
        """The sizes of the channel indices, those of size one left out (`without_units`)."""
        names, sizes = without_units(self.product.indices, self.paths[0][0].sizes)
        return dict(zip(names, sizes, strict=True))

    @property
    def target(self) -> Names:
        """The channels of the right edge."""
        return self.live(self.product.channels)

    def live(self, channels: Iterable[str]) -> Names:
        """Channels without those of size one."""
        return tuple(name for name in channels if name in self.extents)

    def dim(self, use: Use) -> int:
        return self.table.graph.group.dim(use.irrep)

    def path_dim(self, path: ProductPath) -> int:
        return self.table.graph.group.dim(path.trees[0][0].irrep)


@dataclass(frozen=True)
class Placed:
    """A side with its site indices."""

    side: Side
    sites: Names


@dataclass(frozen=True)
class Opened:
    """The two parts of the states of a node, on one domain."""

    root: Root
    left: Side
    right: Side
    sites: Names

    def pair(self, use: Use) -> Pair:
        found = opened_pair(use)
        assert found is not None
        assert isinstance(found.state.what, Pair)
        return found.state.what

    def entries(self, use: Use) -> Entries:
        graph, pair = self.root.table.graph, self.pair(use)
        return vertex(graph.group, graph.basis, pair.left.irrep, pair.right.irrep, use.irrep, pair.copy).entries

    def scale(self, use: Use) -> Surd:
        found = opened_pair(use)
        assert found is not None
        return self.root.values.scale(found.state)

    def meeting(self, use: Use, coefficient: Surd, exact: bool = True) -> Meeting:
        pair = self.pair(use)
        factor = self.root.builder.codes.product(coefficient, self.scale(use)) if exact else coefficient
        return Meeting(pair.left.state.number, pair.right.state.number, self.entries(use), factor)


def prepared(root: Root, use: Use) -> None:
    """Make the parts of a state's node, which every way needs: they are not taken back with a way that is tried."""
    opened = opened_pair(use)
    if opened is not None:
        root.values.node(part_of(opened, 0).state)
        root.values.node(part_of(opened, 1).state)


def part_of(use: Use, which: int) -> Use:
    """The left or the right part of a state."""
    opened = opened_pair(use)
    assert opened is not None
    assert isinstance(opened.state.what, Pair)
    return opened.state.what.right if which else opened.state.what.left


def opened_pair(use: Use) -> Use | None:
    """The pair that a state is, with its sums not yet done; None where it is none."""
    state, sites = use.state, use.sites
    while isinstance(state.what, Summed):
        state = state.what.inner
        sites = ()
    return Use(state, use.channels, sites) if isinstance(state.what, Pair) else None


def open_parts(root: Root, uses: Iterable[Use], more_sites: Names) -> Opened:
    """The parts of states of one node, moved to the domain where they and the weights meet."""
    use = next(iter(uses))
    found = opened_pair(use)
    assert found is not None
    state, values = found.state, root.values
    pair = state.what
    assert isinstance(pair, Pair)
    inner_sites = _inner_sites(root, use)
    sites = union(root, inner_sites, more_sites)
    domain = domain_of(root, sites)
    number = channel_names(use)
    place = {str(at): name for at, name in enumerate(inner_sites)}

    def side(part: Use) -> Side:
        value = values.node(part.state)
        names, own = tuple(number[c] for c in part.channels), tuple(place[s] for s in part.sites)
        return values.at(value, part.state.node.domain, names, own, domain, sites)

    return Opened(root, side(pair.left), side(pair.right), sites)


def channel_names(use: Use) -> dict[str, str]:
    """What the numbered channels of a pair's parts are called: those that end in the pair have a name of their own."""
    opened = opened_pair(use)
    assert opened is not None
    assert isinstance(opened.state.what, Pair)
    names = {str(number): name for number, name in enumerate(use.channels)}
    for number in (*opened.state.what.left.channels, *opened.state.what.right.channels):
        names.setdefault(number, f"summed {number}")
    return names


def _inner_sites(root: Root, use: Use) -> Names:
    """The site indices of a state before its sums: those of the domain of its pair."""
    state, known = use.state, use.sites
    while isinstance(state.what, Summed):
        state = state.what.inner
    ties = root.expansion.ties
    if state is use.state:
        return known
    for relation, ends in ties.joins:
        if relation == state.node.domain and set(known) <= set(ends):
            return ends
    (name,) = [name for name, sites in ties.sets.items() if sites == state.node.domain][:1]
    return (name,)


def meets_inside(root: Root, use: Use, factor: Weight) -> bool:
    """Whether a weight can meet the parts of a pair before its sums are done: where a relation ties all their sites."""
    if opened_pair(use) is None:
        return False
    return root.expansion.ties.domain((*_inner_sites(root, use), *factor.all_sites)) is not None


def union(root: Root, one: Names, two: Names) -> Names:
    found = root.expansion.ties.domain((*one, *two))
    assert found is not None, "weights that no relation ties to the others are leaves"
    return found[1]


def domain_of(root: Root, sites: Names) -> str:
    found = root.expansion.ties.domain(sites)
    assert found is not None
    return found[0]


def moved(root: Root, placed: Placed, sites: Names) -> Side:
    side, builder = placed.side, root.builder
    value = root.values.moved(side.value, builder[side.value].domain, placed.sites, domain_of(root, sites), sites)
    return Side(value, side.names, side.starts)


def weights_of(root: Root, factor: Weight, numbers: Sequence[int]) -> Placed:
    sites = union(root, factor.all_sites, ())
    return Placed(root.values.weight(factor, numbers, domain_of(root, sites), sites), sites)


def summed_to(root: Root, placed: Placed, sites: Names, factor: Weight | None = None) -> Placed:
    """Sum the site indices that neither the states nor the weight keep."""
    kept = {*sites, *(factor.all_sites if factor else ())}
    for index in [name for name in placed.sites if name not in kept]:
        placed = _sum_site(root, placed, index)
    return placed


def _sum_site(root: Root, placed: Placed, index: str) -> Placed:
    kept = tuple(name for name in placed.sites if name != index)
    row = placed.sites.index(kept[0]) if kept else None
    value = root.values.summed(placed.side.value, row, domain_of(root, kept))
    return Placed(Side(value, placed.side.names, placed.side.starts), kept)


def at_target(root: Root, placed: Placed) -> Side:
    """Sum what is left to be summed; what the right edge has more is the same there."""
    for index in [name for name in placed.sites if name not in root.product.line.sites]:
        placed = _sum_site(root, placed, index)
    return moved(root, placed, root.product.line.sites)


def _nothing(root: Root, starts: dict[Any, int], total: int, names: Names) -> Placed:
    """Zeros, where every path vanishes: on the domain of a leaf, without the sites that are summed anyway."""
    product, extents = root.product, root.extents
    kept = {*product.line.sites, *(site for factor in product.factors for site in factor.all_sites)}
    wanted = set(product.line.sites)
    leaf = min(
        (leaf for leaf in product.leaves if leaf.weight is None),
        key=lambda leaf: (not wanted <= set(leaf.sites), bool(wanted) and not leaf.sites),
    )
    side = root.values.edge(leaf.edge, tuple(extents[index] for index in root.live(leaf.channels)))
    source = root.builder[side.value]
    sizes = tuple(extents[name] for name in names)
    value = root.builder.emit(Zeros(side.value), total, sizes, source.domain, "zero")
    return summed_to(root, Placed(Side(value, names, starts), leaf.sites), tuple(kept))


def added(root: Root, parts: Sequence[Placed], dims: dict[Any, int], names: Names) -> Placed:
    """Partial results added up, block by block; a block that nothing reaches is zero."""
    sites: Names = ()
    for part in parts:
        sites = union(root, sites, part.sites)
    if len(parts) == 1 and set(parts[0].side.starts) == set(dims):
        return parts[0]
    builder = root.builder
    sides = [moved(root, part, sites) for part in parts]
    starts, total = starts_of(sorted(dims), dims)
    if not parts:
        return _nothing(root, starts, total, names)
    entries = [
        (source, start + k, starts[key] + k, ONE)
        for source, side in enumerate(sides)
        for key, start in side.starts.items()
        for k in range(dims[key])
    ]
    first = builder[sides[0].value]
    op = Linear(tuple(side.value for side in sides), tuple(sorted(entries, key=lambda e: (e[2], e[0]))))
    value = builder.emit(op, total, first.channels, first.domain, root.product.target)
    return Placed(Side(value, sides[0].names, starts), sites)


def cheapest(root: Root, ways: Mapping[str, Callable[[], Placed]]) -> tuple[str, Placed]:
    """The way whose instructions cost least, the first of those that cost the same, and its result. All are tried and
    taken back, the first, which should be the most promising one, at the end: where it is the cheapest it stays."""
    prices: dict[str, float] = {}
    mark, before = root.values.mark(), root.builder.spent
    for name, way in reversed([*ways.items()]):
        root.values.back_to(mark)
        placed = way()
        prices[name] = root.builder.spent - before
    best = min(ways, key=prices.__getitem__)
    if best != name:
        root.values.back_to(mark)
        placed = ways[best]()
    return best, placed


def key_dims(root: Root, by_place: bool) -> dict[Any, int]:
    return {(path.place if by_place else path.number): root.path_dim(path) for path, _ in root.paths}

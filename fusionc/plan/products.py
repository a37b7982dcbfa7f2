"""The products of a diagram: what stands between plain edges, as one multilinear map with a list of weighed trees.

    x[u] ─┐
    a ────┤  trees T_p,   out += Σ_p  W[p] s_p T_p(x, a, b)
    b ────┘

A product runs on through internal edges that keep their paths and carry no weight, so that a plan may couple its leaves
in any order. What the text says of a path is exact here: a sum of coupling trees with exact coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial, reduce

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import Surd
from fusionc.diagram.ir import FusionGraph, Line, Weight
from fusionc.diagram.normalize import PathScales, vertex_scale
from fusionc.diagram.paths import LinePaths, PathTable, Tree
from fusionc.plan.ties import Ties, ties_of
from fusionc.rewrite.fragments import expand
from fusionc.rewrite.recouple import CouplingTree, Fused, Leaf


@dataclass(frozen=True)
class LeafEdge:
    """A leaf of a product: a leg or an internal edge, with the names of its site and channel indices; or a weight that
    is coupled as a number, one for each path (`edge` is its name)."""

    edge: str
    channels: tuple[str, ...]
    sites: tuple[str, ...] = ()
    weight: Weight | None = None

    def irrep(self, table: PathTable, block: int) -> Irrep:
        """The irrep of a block: a weight is a scalar."""
        if self.weight is not None:
            return table.graph.group.trivial
        return table.blocks[self.edge][block].irrep


@dataclass(frozen=True)
class ProductPath:
    """One path: its number (the part of the weights that is its own), its block on the right edge, the block of every
    leaf, and the coupling trees that it is a sum of; leaves of the trees are positions in `Product.leaves`."""

    number: int
    place: int
    blocks: tuple[int, ...]
    trees: tuple[tuple[CouplingTree, Surd], ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """The product that ends in one line. `channels` are those of the right edge; `sizes` of each path are those of
    `indices`, all channel names. `keeps`: each path is a block of its own."""

    line: Line
    leaves: tuple[LeafEdge, ...]
    channels: tuple[str, ...]
    indices: tuple[str, ...]
    factors: tuple[Weight, ...]
    paths: tuple[ProductPath, ...]
    keeps: bool

    @property
    def target(self) -> str:
        return self.line.target


@dataclass(frozen=True)
class EdgeProducts:
    """All products that are added up in one edge."""

    edge: str
    products: tuple[Product, ...]


def products(table: PathTable) -> tuple[EdgeProducts, ...]:
    """The products of every plain internal edge and every output, each edge after those that it is made of."""
    graph, builder = table.graph, _Builder(table, PathScales(table))
    done: dict[str, list[Product]] = {}
    for line in graph.ordered():
        builder.grow(line)
        if not builder.runs_on(line):
            done.setdefault(line.target, []).append(builder.product(line))
    order = {line.number: place for place, line in enumerate(graph.ordered())}
    ready = sorted(done, key=lambda edge: max(order[product.line.number] for product in done[edge]))
    return tuple(EdgeProducts(edge, tuple(sorted(done[edge], key=_written))) for edge in ready)


def _written(product: Product) -> int:
    return product.line.number


def is_inlined(graph: FusionGraph, line: Line) -> bool:
    """Whether a product runs on through the edge that a line writes: it keeps its paths, and nothing happens there."""
    if line.target in graph.output_table or not graph.keeps_paths(line.target) or line.target not in graph.readers:
        return False
    return not line.weights and line.fragment is None and not line.summed_sites


@dataclass(frozen=True)
class _Grown:
    """The trees of one line, down to the leaves: for each path the blocks of its leaves, its tree and its scale."""

    leaves: tuple[LeafEdge, ...]
    paths: tuple[tuple[tuple[int, ...], CouplingTree, Surd], ...]


@dataclass
class _Builder:
    table: PathTable
    scales: PathScales
    _grown: dict[str, _Grown] = field(default_factory=dict)
    _lines: dict[int, _Grown] = field(default_factory=dict)

    def runs_on(self, line: Line) -> bool:
        return is_inlined(self.table.graph, line)

    def grow(self, line: Line) -> None:
        """Make the trees of a line out of those of the lines below it."""
        paths = self.table.lines[line.number]
        grown = _Grown(self._leaves(paths), () if line.fragment else tuple(self._path(paths, t) for t in paths.trees))
        self._lines[line.number] = grown
        if self.runs_on(line):
            self._grown[line.target] = grown

    def _leaves(self, paths: LinePaths) -> tuple[LeafEdge, ...]:
        leaves: list[LeafEdge] = []
        for operand in paths.line.operands:
            below = self._grown.get(operand.edge)
            if below is None:
                leaves.append(LeafEdge(operand.edge, operand.channels, operand.sites))
                continue
            (writer,) = self.table.graph.writers[operand.edge]
            names = dict(zip(writer.channels, operand.channels, strict=True))
            names |= dict(zip(writer.sites, operand.sites, strict=True))
            names = {own: name for own, name in names.items() if own != name}
            leaves += [_renamed(leaf, names) for leaf in below.leaves] if names else below.leaves
        return tuple(leaves)

    def _path(self, paths: LinePaths, tree: Tree) -> tuple[tuple[int, ...], CouplingTree, Surd]:
        """The path's leaves, its coupling tree and the product of all its scales."""
        graph, line = self.table.graph, paths.line
        scale = self.scales.scale(paths, tree) * Surd.of(line.factor)
        blocks: tuple[int, ...] = ()
        current: CouplingTree | None = None
        for position, (operand, block) in enumerate(zip(line.operands, tree.blocks, strict=True)):
            below = self._grown.get(operand.edge)
            if below is not None:
                own, part, factor = below.paths[block]
                part, scale = _shifted(part, len(blocks)), scale * factor
            else:
                own, part = (block,), Leaf(len(blocks), self.table.blocks[operand.edge][block].irrep)
            blocks += own
            if current is None:
                current = part
                continue
            irrep, copy = tree.steps[position - 1]
            scale = scale * vertex_scale(graph.group, graph.settings.normalize, current.irrep, part.irrep, irrep)
            current = Fused(current, part, irrep, copy)
        assert current is not None
        return blocks, current, scale

    def product(self, line: Line) -> Product:
        paths, grown = self.table.lines[line.number], self._lines[line.number]
        found = [
            ProductPath(number, tree.place, blocks, trees, tree.sizes)
            for number, tree in enumerate(paths.trees)
            for blocks, trees in [self._trees(paths, grown, number, tree)]
        ]
        graph = self.table.graph
        factors, coupled = _met_and_coupled(line)
        keeps = line.keeps if line.target in graph.output_table else graph.keeps_paths(line.target)
        plain = Product(line, grown.leaves, line.channels, paths.indices, tuple(factors), tuple(found), keeps)
        return reduce(partial(_with_scalar, graph.group, ties_of(line)), coupled, plain)

    def _trees(
        self, paths: LinePaths, grown: _Grown, number: int, tree: Tree
    ) -> tuple[tuple[int, ...], tuple[tuple[CouplingTree, Surd], ...]]:
        line = paths.line
        if line.fragment is None:
            blocks, coupled, scale = grown.paths[number]
            return blocks, ((coupled, scale),)
        scale = self.scales.scale(paths, tree) * Surd.of(line.factor)
        irreps = [self.table.blocks[o.edge][b].irrep for o, b in zip(line.operands, tree.blocks, strict=True)]
        found = []
        for steps, coefficient in expand(self.table.graph, line.fragment, tree):
            chain: CouplingTree = Leaf(0, irreps[0])
            for position, (irrep, copy) in enumerate(steps, start=1):
                chain = Fused(chain, Leaf(position, irreps[position]), irrep, copy)
            found.append((chain, scale * coefficient))
        return tree.blocks, tuple(found)


def _met_and_coupled(line: Line) -> tuple[list[Weight], list[Weight]]:
    """The weights that what is coupled meets in the end, where their sites and those of the right edge are one domain,
    and those at other sites: what stands there meets them, before these sites are summed."""
    met: list[Weight] = []
    coupled: list[Weight] = []
    kept, ties = line.sites, ties_of(line)
    for weight in line.weights:
        tied = ties.domain((*kept, *weight.all_sites)) is not None
        pair_among_others = len(weight.all_sites) > 1 and len(line.site_sets) > 2
        if tied and not pair_among_others:
            met.append(weight)
            kept = (*kept, *weight.all_sites)
        else:
            coupled.append(weight)
    return met, coupled


def _with_scalar(group: Group, ties: Ties, product: Product, factor: Weight) -> Product:
    """The product with a weight as one more leaf: a scalar at its sites, whose block is the path's part of it."""
    domain = ties.domain(factor.all_sites)
    assert domain is not None, "the front end lets a weight be read at one site or at one pair"
    number = len(product.leaves)
    paths = tuple(
        replace(
            path,
            blocks=(*path.blocks, path.number if factor.has_path else 0),
            trees=tuple((Fused(tree, Leaf(number, group.trivial), tree.irrep, 0), value) for tree, value in path.trees),
        )
        for path in product.paths
    )
    leaf = LeafEdge(factor.name, factor.channels, domain[1], factor)
    return replace(product, leaves=(*product.leaves, leaf), paths=paths)


def _renamed(leaf: LeafEdge, names: dict[str, str]) -> LeafEdge:
    """A leaf with the names that its indices have further up."""
    channels = tuple(names.get(index, index) for index in leaf.channels)
    return replace(leaf, channels=channels, sites=tuple(names.get(index, index) for index in leaf.sites))


def _shifted(tree: CouplingTree, by: int) -> CouplingTree:
    """The tree with all leaf numbers moved up (no recursion: trees may be deep)."""
    if by == 0:
        return tree
    done: dict[int, CouplingTree] = {}
    todo = [tree]
    while todo:
        node = todo[-1]
        if isinstance(node, Leaf):
            done[id(node)] = Leaf(node.number + by, node.irrep)
        elif id(node.left) in done and id(node.right) in done:
            done[id(node)] = Fused(done[id(node.left)], done[id(node.right)], node.irrep, node.copy)
        else:
            todo += [child for child in (node.right, node.left) if id(child) not in done]
            continue
        todo.pop()
    return done[id(tree)]

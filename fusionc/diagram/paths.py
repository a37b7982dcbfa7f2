"""The paths of a diagram, listed: coupling trees in path order, the blocks they run between, and where weights lie.

Path order (DESIGN 1.2) is lexicographic: the leaves' irreps from left to right, then the internal edges from the leaves
to the root, then the right edge. It fixes the layout of every weight, and no plan may change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.coupled_fragments import choices, fragment_labels, inner_wires
from fusionc.diagram.fusion import Fusion, line_indices, lists_paths, target_sizes
from fusionc.diagram.independent import independent_trees
from fusionc.diagram.ir import Block, Fragment, FusionGraph, Line, Space, Weight
from fusionc.language.diagnostics import Diagnostic, Label, diagnose
from fusionc.language.errors import CompileError
from fusionc.language.oneline import fitting

Step = tuple[Irrep, int]  # an irrep on the way, and which copy of it where fusion has several


@dataclass(frozen=True)
class EdgeBlock:
    """What an operand offers to a line: an irrep with its channel sizes."""

    irrep: Irrep
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """One path of one line: the operands' blocks, the irrep after each coupling, the right edge's block.

    `sizes` are those of the line's channel indices (`LinePaths.indices`). In a fragment `labels` are the irreps of
    its wires, and there are no steps. `leaves` and `inner` spell the whole tree,
    down to legs and plain edges, in the order that the contract compares: (place, irrep) of each leaf, steps of each
    internal edge.
    """

    blocks: tuple[int, ...]
    steps: tuple[Step, ...]
    irrep: Irrep
    place: int
    sizes: tuple[int, ...]
    leaves: tuple[tuple[int, Irrep], ...] = field(repr=False)
    inner: tuple[Step, ...] = field(repr=False)
    labels: tuple[tuple[str, Irrep], ...] = field(default=(), repr=False)

    @property
    def last(self) -> Step:
        """The right edge's irrep, and which copy of it the last vertex makes."""
        return self.steps[-1] if self.steps else (self.irrep, 0)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """Every edge of the tree: leaves, internal edges, right edge."""
        return (*(irrep for _, irrep in self.leaves), *(irrep for irrep, _ in self.inner), self.irrep)


@dataclass(frozen=True)
class LinePaths:
    """The paths of one line in path order; `indices` are all its channel indices, new ones of the right edge last."""

    line: Line
    indices: tuple[str, ...]
    trees: tuple[Tree, ...]

    def sizes(self, tree: Tree) -> dict[str, int]:
        return dict(zip(self.indices, tree.sizes, strict=True))


@dataclass(frozen=True)
class WeightLayout:
    """A flat weight: `rows` of path after path, each row-major with the shape of its bracket.

    `shapes` and `offsets` have one entry for each path, or one in all where the weight's bracket has no `path`.
    """

    name: str
    per_path: bool
    rows: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    learned: bool

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        starts = [0]
        for shape in self.shapes[:-1]:
            starts.append(starts[-1] + prod(shape))
        return tuple(starts)

    @cached_property
    def numel(self) -> int:
        return sum(prod(shape) for shape in self.shapes)


@dataclass(frozen=True)
class PathTable:
    """All paths of a diagram; frozen, and the same for every plan."""

    graph: FusionGraph
    lines: dict[int, LinePaths]
    blocks: dict[str, tuple[EdgeBlock, ...]]
    outputs: dict[str, Space]
    weights: dict[str, WeightLayout]


@dataclass(frozen=True)
class Path:
    """A path as a user sees it: irreps of the leaves, the internal edges and the right edge; its weight (None where it
    has none of its own), with the shape and offset of the path's part of that flat weight; the edge it ends in.

    `edges` has each edge with its irrep, in the order in which the lines couple them. An edge between more than two
    operands of one line has no name, and stands as what it couples: `(x y)`. Prints as `x 1o, y 1o, e 0e -> out 0e`.
    """

    irreps: tuple[str, ...]
    weight: str | None
    shape: tuple[int, ...]
    offset: int
    edge: str
    edges: tuple[tuple[str, str], ...]

    def irrep_of(self, edge: str) -> str:
        """The irrep on an edge. Raises KeyError for an edge that the path does not have, ValueError for one that it
        has several times with different irreps."""
        found = dict.fromkeys(irrep for name, irrep in self.edges if name == edge)
        if not found:
            names = ", ".join(f"`{name}`" for name in dict(self.edges))
            raise KeyError(f"the path has no edge `{edge}`; it has {names}")
        if len(found) > 1:
            raise ValueError(f"`{edge}` stands on the path several times, as {' and '.join(found)}: see `edges`")
        return next(iter(found))

    def __str__(self) -> str:
        *left, right = (f"{edge} {irrep}" for edge, irrep in self.edges)
        return f"{', '.join(left)} -> {right}"

    def __repr__(self) -> str:
        weight = "" if self.weight is None else f", {self.weight}[{self.offset}:{self.offset + prod(self.shape)}]"
        return fitting(f"<Path {self}{weight}>")


def list_paths(graph: FusionGraph, fusion: Fusion) -> PathTable:
    """Enumerate the paths of a diagram that passed the checks.

    Raises `CompileError` with F3009 (too many trees of equal operands) or F1028 (a weight with two shapes).
    """
    refuse_large_vertices(graph, fusion)
    builder = _Lister(graph, fusion)
    for line in graph.ordered():
        builder.visit(line)
    return PathTable(graph, builder.lines, builder.blocks, builder.outputs, _weight_layouts(graph, builder.lines))


def refuse_large_vertices(graph: FusionGraph, fusion: Fusion) -> None:
    """Vertex tensors are made exactly, entry by entry; raise F3011 before that takes minutes."""
    vertices: set[tuple[Irrep, Irrep, Irrep]] = set()
    for line in graph.lines:
        if line.fragment is not None:
            continue
        factors = [list(fusion.reachable[operand.edge]) for operand in line.operands]
        reaching = _reaching(graph.group, factors, frozenset(fusion.alive.get(line.target, ())))
        for left, factor, right in zip(reaching[1:], factors[1:], reaching[2:], strict=False):
            vertices |= {(a, b, c) for a in left for b in factor for c, _ in graph.group.product(a, b) if c in right}
    dim = graph.group.dim
    count = sum(dim(a) * dim(b) * dim(c) for a, b, c in vertices)
    if count > limits.MAX_COEFFICIENTS:
        raise CompileError([limits.too_many_coefficients(graph.span, count)])


def refuse_many_trees(graph: FusionGraph, fusion: Fusion) -> None:
    """Raise F3009 for a line of equal operands that has too many trees whatever the lines before it keep: without
    listing one."""
    for line in graph.lines:
        equal = any(len(positions) > 1 for positions in line.identical_operands())
        if line.fragment is None and equal:
            irreps = [_fewest_blocks(graph, fusion, operand.edge) for operand in line.operands]
            if _count_trees(graph.group, irreps, set(fusion.alive.get(line.target, ()))) > limits.MAX_TREES:
                raise CompileError([_too_many_trees(line)])


def _fewest_blocks(graph: FusionGraph, fusion: Fusion, edge: str) -> list[Irrep]:
    """The irreps of a leg's blocks; of an edge that may keep several paths to an irrep, each irrep once."""
    leg = graph.tensor_legs.get(edge)
    return [block.irrep for block in leg.space.blocks] if leg is not None else [*fusion.alive.get(edge, ())]


def public_paths(table: PathTable) -> Iterator[Path]:
    """The paths line by line, each line's in path order, with the first of the weights that tell paths apart."""
    group, edges = table.graph.group, edge_names(table.graph)
    for line in table.graph.lines:
        if not lists_paths(table.graph, line):
            continue
        weights = [weight for weight in line.weights if weight.has_path]
        named = edges[line.number]
        for number, tree in enumerate(table.lines[line.number].trees):
            irreps = tuple(group.format(irrep) for irrep in tree.irreps)
            coupled = tuple((name, irreps[place]) for name, place in named.coupled())
            for weight in weights[:1]:
                layout = table.weights[weight.name]
                yield Path(irreps, weight.name, layout.shapes[number], layout.offsets[number], line.target, coupled)
            if not weights:
                yield Path(irreps, None, (), 0, line.target, coupled)


@dataclass(frozen=True)
class EdgeNames:
    """The edges of a line's trees: leaves and internal edges in the order of `Tree.irreps`, and the order in which they
    couple, as numbers of leaves and (below zero, `~k`) of internal edges."""

    leaves: tuple[str, ...]
    inner: tuple[str, ...]
    target: str
    order: tuple[int, ...]

    def coupled(self) -> Iterator[tuple[str, int]]:
        """Each edge in the order of coupling, with its place in `Tree.irreps`."""
        names = (*self.leaves, *self.inner, self.target)
        for number in (*self.order, len(names) - 1):
            place = number if number >= 0 else len(self.leaves) + ~number
            yield names[place], place


def edge_names(graph: FusionGraph) -> dict[int, EdgeNames]:
    """The edges of every line's trees, which run on through internal edges that keep their paths."""
    found: dict[int, EdgeNames] = {}
    for line in graph.ordered():
        leaves, inner, order = list[str](), list[str](), list[int]()
        if line.fragment is not None:
            leaves += [operand.edge for operand in line.operands]
            inner += inner_wires(line.fragment)
            order += [*range(len(leaves)), *(~number for number in range(len(inner)))]
        for position, operand in enumerate(() if line.fragment is not None else line.operands):
            subtree = graph.subtree(operand.edge)
            if subtree is None:
                order.append(len(leaves))
                leaves.append(operand.edge)
            else:
                below = found[subtree.number]
                order += [n + len(leaves) if n >= 0 else n - len(inner) for n in below.order]
                leaves, inner = [*leaves, *below.leaves], [*inner, *below.inner, operand.edge]
                order.append(~(len(inner) - 1))
            if 0 < position < len(line.operands) - 1:
                inner.append(f"({' '.join(operand.edge for operand in line.operands[: position + 1])})")
                order.append(~(len(inner) - 1))
        found[line.number] = EdgeNames(tuple(leaves), tuple(inner), line.target, tuple(order))
    return found


@dataclass
class _Lister:
    graph: FusionGraph
    fusion: Fusion
    lines: dict[int, LinePaths] = field(default_factory=dict)
    blocks: dict[str, tuple[EdgeBlock, ...]] = field(default_factory=dict)
    outputs: dict[str, Space] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for leg in self.graph.tensor_legs.values():
            self.blocks[leg.name] = tuple(EdgeBlock(block.irrep, (block.mul,)) for block in leg.space.blocks)

    def visit(self, line: Line) -> None:
        trees = self._trees(line)
        indices = (*line_indices(line), *(index for index in line.channels if index not in line_indices(line)))
        self.lines[line.number] = LinePaths(line, indices, trees)
        if all(writer.number in self.lines for writer in self.graph.writers[line.target]):
            self._finish(line.target)

    # --- the trees of one line ---------------------------------------------------------------------------------

    def _trees(self, line: Line) -> tuple[Tree, ...]:
        if line.fragment is not None:
            return self._fragment_trees(line, line.fragment)
        group, places = self.graph.group, self._target_places(line)
        irreps = [[block.irrep for block in self.blocks[operand.edge]] for operand in line.operands]
        equal = any(len(positions) > 1 for positions in line.identical_operands())
        if equal and _count_trees(group, irreps, set(places)) > limits.MAX_TREES:
            raise CompileError([_too_many_trees(line)])
        found = []
        for blocks, steps in left_coupled(group, irreps, frozenset(places)):
            irrep = steps[-1][0] if steps else irreps[0][blocks[0]]
            found += [
                tree for place, mul in places[irrep] if (tree := self._tree(line, blocks, steps, irrep, place, mul))
            ]
        found.sort(key=lambda tree: self._key(tree))
        if equal:
            found = independent_trees(group, self.graph.basis, line, found, irreps)
        return tuple(found)

    def _fragment_trees(self, line: Line, fragment: Fragment) -> tuple[Tree, ...]:
        group, places = self.graph.group, self._target_places(line)
        inner = inner_wires(fragment)
        found = []
        for choice in choices([block.irrep for block in self.blocks[operand.edge]] for operand in line.operands):
            blocks = tuple(block for block, _ in choice)
            for labels in fragment_labels(group, fragment, [irrep for _, irrep in choice]):
                root = labels[fragment.root]
                for place, mul in places.get(root, ()):
                    sizes, wires = self._sizes(line, blocks, mul), tuple((labels[wire], 0) for wire in inner)
                    found.append(Tree(blocks, (), root, place, sizes, choice, wires, tuple(labels.items())))
        return tuple(sorted(found, key=self._key))

    def _target_places(self, line: Line) -> dict[Irrep, list[tuple[int, int | None]]]:
        """For each irrep that the line may end in: its places on the right edge, with declared multiplicities."""
        group, alive = self.graph.group, self.fusion.alive.get(line.target, frozenset())
        output = self.graph.output_table.get(line.target)
        places: dict[Irrep, list[tuple[int, int | None]]] = {}
        if output is not None and output.space is not None:
            for place, block in enumerate(output.space.blocks):
                places.setdefault(block.irrep, []).append((place, None if line.keeps else block.mul))
            return places
        key = group.edge_key if output is None else group.sorted_key
        for place, irrep in enumerate(sorted(alive, key=key)):
            places[irrep] = [(place, self.graph.multiplicity(line, irrep))]
        return places

    def _tree(
        self, line: Line, blocks: tuple[int, ...], steps: tuple[Step, ...], irrep: Irrep, place: int, mul: int | None
    ) -> Tree | None:
        sizes = self._sizes(line, blocks, mul)
        leaves: tuple[tuple[int, Irrep], ...] = ()
        inner: tuple[Step, ...] = ()
        for position, (operand, block) in enumerate(zip(line.operands, blocks, strict=True)):
            subtree = self.graph.subtree(operand.edge)
            if subtree is not None:
                child = self.lines[subtree.number].trees[block]
                leaves, inner = leaves + child.leaves, (*inner, *child.inner, child.last)
            else:
                leaves += ((block, self.blocks[operand.edge][block].irrep),)
            if 0 < position < len(line.operands) - 1:
                inner += (steps[position - 1],)
        return Tree(blocks, steps, irrep, place, sizes, leaves, inner)

    def _sizes(self, line: Line, blocks: tuple[int, ...], mul: int | None) -> tuple[int, ...]:
        known: dict[str, int] = {}
        for operand, block in zip(line.operands, blocks, strict=True):
            known |= zip(operand.channels, self.blocks[operand.edge][block].sizes, strict=False)
        indices = line_indices(line)
        target = target_sizes(line, indices, tuple(known[index] for index in indices), mul)
        assert target is not None, "sizes were checked"
        new = [size for index, size in zip(line.channels, target, strict=True) if index not in known]
        return (*(known[index] for index in indices), *new)

    def _key(self, tree: Tree) -> tuple[object, ...]:
        key = self.graph.group.edge_key
        inner = tuple((key(irrep), copy) for irrep, copy in tree.inner)
        return (tuple(place for place, _ in tree.leaves), inner, tree.place, tree.last[1])

    # --- the right edge ----------------------------------------------------------------------------------------

    def _finish(self, edge: str) -> None:
        """The blocks of an edge, once all lines that end in it are listed."""
        lines = [self.lines[line.number] for line in self.graph.writers[edge]]
        output = self.graph.output_table.get(edge)
        if output is not None:
            self.outputs[edge] = output.space or self._inferred(edge, lines)
        elif self.graph.keeps_paths(edge):
            self.blocks[edge] = tuple(_target_block(lines[0], tree) for tree in lines[0].trees)
        else:
            first: dict[int, EdgeBlock] = {}
            for paths in lines:
                for tree in paths.trees:
                    first.setdefault(tree.place, _target_block(paths, tree))
            self.blocks[edge] = tuple(first[place] for place in sorted(first))

    def _inferred(self, edge: str, lines: list[LinePaths]) -> Space:
        """DESIGN 1.2, `-> *`: e3nn's sorted order, equal irreps merged."""
        muls: dict[Irrep, int] = {}
        for paths in lines:
            for tree in paths.trees:
                size = prod(_target_block(paths, tree).sizes)
                muls[tree.irrep] = muls.get(tree.irrep, 0) + size if paths.line.keeps else size
        span = self.graph.output_table[edge].span
        return Space(tuple(Block(i, muls[i], span) for i in sorted(muls, key=self.graph.group.sorted_key)))


def _target_block(paths: LinePaths, tree: Tree) -> EdgeBlock:
    sizes = paths.sizes(tree)
    return EdgeBlock(tree.irrep, tuple(sizes[index] for index in paths.line.channels))


def left_coupled(
    group: Group, irreps: list[list[Irrep]], wanted: frozenset[Irrep]
) -> Iterator[tuple[tuple[int, ...], tuple[Step, ...]]]:
    """All left-coupled trees over the operands' blocks that end in a wanted irrep: blocks and steps."""
    reaching = _reaching(group, irreps, wanted)
    stack: list[tuple[tuple[int, ...], tuple[Step, ...]]] = [
        ((block,), ()) for block, irrep in enumerate(irreps[0]) if irrep in reaching[1]
    ]
    while stack:
        blocks, steps = stack.pop()
        depth = len(blocks)
        if depth == len(irreps):
            yield blocks, steps
            continue
        current = steps[-1][0] if steps else irreps[0][blocks[0]]
        for block, irrep in enumerate(irreps[depth]):
            for product, multiplicity in group.product(current, irrep):
                if product in reaching[depth + 1]:
                    stack += [((*blocks, block), (*steps, (product, copy))) for copy in range(multiplicity)]


def _reaching(group: Group, irreps: list[list[Irrep]], wanted: frozenset[Irrep]) -> list[frozenset[Irrep]]:
    """`reaching[k]`: irreps of the product of the first k operands from which a wanted irrep is within reach."""
    prefixes: list[set[Irrep]] = [{group.trivial}]
    for factor in irreps:
        prefixes.append({c for a in prefixes[-1] for b in dict.fromkeys(factor) for c, _ in group.product(a, b)})
    reaching = [frozenset(wanted & prefixes[-1])]
    for factor, prefix in zip(reversed(irreps), reversed(prefixes[:-1]), strict=True):
        after, distinct = reaching[0], tuple(dict.fromkeys(factor))
        before = {a for a in prefix for b in distinct if any(c in after for c, _ in group.product(a, b))}
        reaching.insert(0, frozenset(before))
    return reaching


def _count_trees(group: Group, irreps: list[list[Irrep]], wanted: set[Irrep]) -> int:
    counts: dict[Irrep, int] = {group.trivial: 1}
    for factor in irreps:
        after: dict[Irrep, int] = {}
        for irrep, count in counts.items():
            for block in factor:
                for product, multiplicity in group.product(irrep, block):
                    after[product] = after.get(product, 0) + count * multiplicity
        counts = after
    return sum(count for irrep, count in counts.items() if irrep in wanted)


def _too_many_trees(line: Line) -> Diagnostic:
    return diagnose(
        "F3009",
        f"this line has more than {limits.MAX_TREES:,} trees of equal operands",
        line.span,
        notes=["the independent ones among them are found by going through them all"],
        help="couple fewer equal operands, or restrict their irreps",
    )


# --- weights -----------------------------------------------------------------------------------------------------


def _weight_layouts(graph: FusionGraph, lines: dict[int, LinePaths]) -> dict[str, WeightLayout]:
    """The layout of every weight; the same name on two lines is the same weight, and has one shape."""
    layouts: dict[str, WeightLayout] = {}
    first: dict[str, Weight] = {}
    for line in graph.lines:
        for weight in line.weights:
            layout = _layout(graph, lines[line.number], weight)
            if weight.name not in layouts:
                layouts[weight.name], first[weight.name] = layout, weight
            elif layouts[weight.name] != layout:
                raise CompileError([_two_shapes(weight, layout, first[weight.name], layouts[weight.name])])
    return layouts


def _layout(graph: FusionGraph, paths: LinePaths, weight: Weight) -> WeightLayout:
    trees = paths.trees if weight.has_path else paths.trees[:1]
    shapes = tuple(tuple(paths.sizes(tree)[index] for index in weight.channels) for tree in trees)
    rows = tuple(graph.index_legs[row].size for row in weight.rows)
    return WeightLayout(weight.name, weight.has_path, rows, shapes, weight.name not in graph.weights_legs)


def _two_shapes(second: Weight, layout: WeightLayout, first: Weight, other: WeightLayout) -> Diagnostic:
    return diagnose(
        "F1028",
        f"the weight `{second.name}` would need two shapes",
        second.span,
        label=_shape_text(layout),
        related=[Label(first.span, _shape_text(other))],
        notes=["the same weight name on two lines is the same weight"],
        help="give one of them another name",
    )


def _shape_text(layout: WeightLayout) -> str:
    rows = f"{' x '.join(map(str, layout.rows))} rows of " if layout.rows else ""
    count = len(layout.shapes)
    paths = f" in {count:,} path{'s' if count != 1 else ''}" if layout.per_path else ""
    return f"{rows}{layout.numel:,} elements{paths}"

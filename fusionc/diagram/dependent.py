"""Trees that are linearly dependent, or zero: their weights are redundant (a warning, with the rank), and an output
that only they lead to is always zero (an error).

    x a -> e;  e b -> out * V[path]        the same products of x, a and b, coupled in two orders: by recoupling
    x b -> f;  f a -> out * W[path]        each tree of one is a combination of the trees of the other
    x a -> e;  e a -> out * W[path]        the same operand in two lines: for a scalar x, a with a is symmetric

The trees are evaluated at random points modulo a prime, as in `independent`; the rank modulo a prime never exceeds
the true one, and random points miss it with a probability of about one in the prime.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING

from fusionc.algebra.irreps import Irrep
from fusionc.algebra.modular import Field, field_for
from fusionc.diagram.check import without_zeros
from fusionc.diagram.fusion import Fusion, count_line_paths
from fusionc.diagram.independent import Vector, extends, flat, vertex_in, vertex_primes
from fusionc.diagram.ir import FusionGraph, Line, Operand, Output
from fusionc.diagram.line_words import irreps_text
from fusionc.diagram.paths import PathTable, Tree
from fusionc.language.diagnostics import Diagnostic, Label, diagnose
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")

MAX_COMPARED = 2000  # trees of one edge; beyond it nothing is said
MAX_LINES = 100  # lines that one tree runs through, likewise

ACROSS_LINES = (
    "one operand stands in several lines of a tree: what changes sign when it is exchanged with itself is zero"
)

Meaning = dict[str, str]
"""What each index of a line is in the whole tree."""

Leaf = tuple[str, tuple[str, ...]]
"""An operand of a tree, with what becomes of its indices, sites and channels, on the right edge."""

Leaves = tuple[Leaf, ...]
"""The operands of a tree, sorted."""


def rivals(graph: FusionGraph) -> tuple[tuple[Line, ...], ...]:
    """Groups of lines that end in one edge, made of the same operands with the same indices. (Indices that are summed
    differ from line to line, and lines with such indices are not compared.)"""
    groups: dict[tuple[str, Leaves], list[Line]] = {}
    for edge, lines in graph.writers.items():
        if len(lines) > 1:
            for line in lines:
                leaves = _leaves(graph, line)
                if leaves is not None and any(weight.has_path for weight in line.weights):
                    groups.setdefault((edge, leaves), []).append(line)
    return tuple(tuple(lines) for lines in groups.values() if len(lines) > 1)


def repeating(graph: FusionGraph) -> tuple[Line, ...]:
    """Lines at whose ends trees end in which one operand stands in several lines. (Equal operands of one line have
    independent paths already.)"""
    found = []
    for line in graph.lines:
        if graph.subtree(line.target) is None and any(graph.subtree(operand.edge) for operand in line.operands):
            lines_of: dict[tuple[str, tuple[str, ...]], set[int]] = {}
            for number, leaf in _leaves_by_line(graph, line) or ():
                lines_of.setdefault(leaf, set()).add(number)
            if any(len(numbers) > 1 for numbers in lines_of.values()):
                found.append(line)
    return tuple(found)


def comparable(graph: FusionGraph, fusion: Fusion) -> bool:
    """Whether there are trees to compare, and few enough."""
    groups = (*rivals(graph), *((line,) for line in repeating(graph)))
    return any(few(graph, fusion, lines) for lines in groups)


def few(graph: FusionGraph, fusion: Fusion, lines: tuple[Line, ...]) -> bool:
    return sum(count_line_paths(graph, fusion, line) for line in lines) <= MAX_COMPARED


def _leaves(graph: FusionGraph, line: Line) -> Leaves | None:
    """The operands of a line's whole tree, sorted; None where loops are among them, or it runs through many lines."""
    leaves = _leaves_by_line(graph, line)
    return None if leaves is None else tuple(sorted(leaf for _, leaf in leaves))


def _leaves_by_line(graph: FusionGraph, line: Line) -> list[tuple[int, tuple[str, tuple[str, ...]]]] | None:
    """Each operand of a whole tree with the number of the line that it stands in."""
    leaves: list[tuple[int, tuple[str, tuple[str, ...]]]] = []
    seen, todo = 0, [(line, on_the_right(line))]
    while todo:
        current, meaning = todo.pop()
        seen += 1
        if current.fragment is not None or seen > MAX_LINES:
            return None
        for operand in current.operands:
            indices = meant(current, operand, meaning)
            child = graph.subtree(operand.edge)
            if child is not None:
                todo.append((child, dict(zip((*child.sites, *child.channels), indices, strict=True))))
            else:
                leaves.append((current.number, (operand.edge, indices)))
    return leaves


def leaves_in_order(graph: FusionGraph, line: Line, meaning: Meaning, seen: int = 0) -> list[Leaf] | None:
    """The operands of a line's whole tree from left to right, as in `Tree.leaves`, each with what becomes of its
    indices; None where loops are among them, or it runs through many lines."""
    if line.fragment is not None or seen > MAX_LINES:
        return None
    found: list[Leaf] = []
    for operand in line.operands:
        indices, child = meant(line, operand, meaning), graph.subtree(operand.edge)
        if child is None:
            found.append((operand.edge, indices))
            continue
        inside = dict(zip((*child.sites, *child.channels), indices, strict=True))
        below = leaves_in_order(graph, child, inside, seen + 1)
        if below is None:
            return None
        found += below
    return found


def on_the_right(line: Line) -> Meaning:
    return {index: f"{place} on the right" for place, index in enumerate((*line.sites, *line.channels))}


def meant(line: Line, operand: Operand, meaning: Meaning) -> tuple[str, ...]:
    """What the indices of an operand are in the whole tree; those that are summed belong to their line."""
    return tuple(meaning.get(index, f"{index} of {line.number}") for index in operand.indices)


def dependent_trees(table: PathTable) -> Iterator[Diagnostic]:
    """A warning for each group of lines whose trees together are linearly dependent, and an error for each output that
    only trees which vanish lead to."""
    repeated = repeating(table.graph)
    zero = list(_vanishing(table, {line.number for line in repeated}))
    yield from zero
    single = [(line,) for line in repeated if not zero and any(weight.has_path for weight in line.weights)]
    for lines in (*rivals(table.graph), *single):
        trees = [(line, tree) for line in lines for tree in table.lines[line.number].trees]
        if len(trees) <= MAX_COMPARED:
            rank = _rank(table, trees)
            if rank < len(trees):
                yield _redundant(lines, len(trees), rank)


def _vanishing(table: PathTable, repeated: set[int]) -> Iterator[Diagnostic]:
    graph = table.graph
    for output in graph.outputs:
        writers = graph.writers.get(output.name, ())
        if not all(line.number in repeated for line in writers):
            continue
        by_irrep: dict[Irrep, list[tuple[Line, Tree]]] = {}
        for line in writers:
            for tree in table.lines[line.number].trees:
                by_irrep.setdefault(tree.irrep, []).append((line, tree))
        if sum(map(len, by_irrep.values())) <= MAX_COMPARED:
            zero = tuple(irrep for irrep, trees in by_irrep.items() if not _rank(table, trees))
            if zero:
                yield _zero(graph, output, zero, set(by_irrep) - set(zero), writers[0])


def _zero(graph: FusionGraph, output: Output, zero: tuple[Irrep, ...], left: set[Irrep], line: Line) -> Diagnostic:
    names, verb = irreps_text(graph.group, sorted(zero, key=graph.group.edge_key)), "is" if len(zero) == 1 else "are"
    return diagnose(
        "F2002",
        f"{names} of the output `{output.name}` {verb} always zero",
        output.span,
        label="every path that leads here vanishes",
        notes=[ACROSS_LINES],
        help=without_zeros(graph.group, output, zero, left),
        related=[Label(line.span, "written here")],
    )


def _redundant(lines: tuple[Line, ...], count: int, rank: int) -> Diagnostic:
    names = ", ".join(dict.fromkeys(f"`{weight.name}`" for line in lines for weight in line.weights if weight.has_path))
    recoupled = "by recoupling, trees of the same operands in another order are combinations of each other"
    return diagnose(
        "F2008",
        f"{count} trees end in `{lines[0].target}`, and {rank} of them are independent",
        lines[-1].span,
        related=[Label(line.span, "the same operands here") for line in lines[:-1]],
        notes=[recoupled if len(lines) > 1 else ACROSS_LINES],
        help=_repair(lines, names),
    )


def _repair(lines: tuple[Line, ...], names: str) -> str:
    if len(lines) == 1:
        return f"write the equal operands in one line: it has independent paths only; the weights {names} are redundant"
    weights = {tuple(weight.name for weight in line.weights if weight.has_path) for line in lines}
    if len(weights) == 1:  # what is kept has to do what all of them do
        return f"they share {names}: write one line, with what their factors add up to"
    return f"keep one of the lines; the weights {names} are redundant"


def _rank(table: PathTable, trees: list[tuple[Line, Tree]]) -> int:
    """The rank of trees, block by block of the operands and of the right edge."""
    sectors: dict[tuple[object, ...], list[tuple[Line, Tree]]] = {}
    for line, tree in trees:
        names = [operand for operand, _ in _named_leaves(table, line, tree)]
        chosen = tuple(sorted(zip(names, (place for place, _ in tree.leaves), strict=True)))
        sectors.setdefault((tree.place, chosen), []).append((line, tree))
    return sum(_sector_rank(table, members) for members in sectors.values())


def _named_leaves(table: PathTable, line: Line, tree: Tree) -> list[tuple[str, int]]:
    """The leaves of a whole tree from left to right: edge and block."""
    graph, found = table.graph, []
    for operand, block in zip(line.operands, tree.blocks, strict=True):
        child = graph.subtree(operand.edge)
        if child is not None:
            found += _named_leaves(table, child, table.lines[child.number].trees[block])
        else:
            found.append((operand.edge, block))
    return found


def _sector_rank(table: PathTable, members: list[tuple[Line, Tree]]) -> int:
    if len(members) == 1 and not _repeats(table, *members[0]):
        return 1
    primes = sorted({prime for line, tree in members for prime in tree_primes(table, line, tree)})
    values = TreeValues(table, field_for(primes), len(members) + 4)
    echelon: list[tuple[int, Vector]] = []
    return sum(extends(echelon, flat(values.of(line, tree), values.field), values.field) for line, tree in members)


def _repeats(table: PathTable, line: Line, tree: Tree) -> bool:
    leaves = _named_leaves(table, line, tree)
    return len(set(leaves)) < len(leaves)


def _vertices(table: PathTable, line: Line, tree: Tree) -> Iterator[tuple[Irrep, Irrep, Irrep, int]]:
    graph = table.graph
    current = table.blocks[line.operands[0].edge][tree.blocks[0]].irrep
    for position, operand in enumerate(line.operands):
        block = tree.blocks[position]
        child = graph.subtree(operand.edge)
        if child is not None:
            yield from _vertices(table, child, table.lines[child.number].trees[block])
        if position > 0:
            step, copy = tree.steps[position - 1]
            yield current, table.blocks[operand.edge][block].irrep, step, copy
            current = step


def tree_primes(table: PathTable, line: Line, tree: Tree) -> Iterator[int]:
    graph = table.graph
    for a, b, c, copy in _vertices(table, line, tree):
        yield from vertex_primes(graph.group, graph.basis, a, b, c, copy)


@dataclass
class TreeValues:
    """Trees at random points modulo a prime; an operand has one random vector for each block and what its indices
    are, shared by all trees."""

    table: PathTable
    field: Field
    count: int
    _vectors: dict[tuple[str, int, tuple[str, ...]], Vector] = dataclass_field(default_factory=dict)
    _rng: np.random.Generator = dataclass_field(default_factory=lambda: np.random.default_rng(0))

    def of(self, line: Line, tree: Tree, meaning: Meaning | None = None) -> Vector:
        """The value at all points: shape (points, dim)."""
        graph = self.table.graph
        indices = [meant(line, operand, meaning or on_the_right(line)) for operand in line.operands]
        value = self._operand(line.operands[0].edge, tree.blocks[0], indices[0])
        current = self.table.blocks[line.operands[0].edge][tree.blocks[0]].irrep
        for position, (step, copy) in enumerate(tree.steps, start=1):
            edge, block = line.operands[position].edge, tree.blocks[position]
            irrep = self.table.blocks[edge][block].irrep
            vertex = vertex_in(graph.group, graph.basis, current, irrep, step, copy, self.field)
            value, current = vertex.couple(value, self._operand(edge, block, indices[position])), step
        return value

    def _operand(self, edge: str, block: int, indices: tuple[str, ...]) -> Vector:
        graph = self.table.graph
        child = graph.subtree(edge)
        if child is not None:
            meaning = dict(zip((*child.sites, *child.channels), indices, strict=True))
            return self.of(child, self.table.lines[child.number].trees[block], meaning)
        key = edge, block, indices
        if key not in self._vectors:
            dim = graph.group.dim(self.table.blocks[edge][block].irrep)
            self._vectors[key] = self.field.random(self._rng, (self.count, dim))
        return self._vectors[key]

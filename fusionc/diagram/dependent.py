"""Lines that write linearly dependent trees into one edge: their weights are redundant (a warning, with the rank).

    x a -> e;  e b -> out * V[path]        the same products of x, a and b, coupled in two orders: by recoupling
    x b -> f;  f a -> out * W[path]        each tree of one is a combination of the trees of the other

The trees are evaluated at random points modulo a prime, as in `independent`; the rank modulo a prime never exceeds
the true one, and random points miss it with a probability of about one in the prime.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fusionc.algebra.irreps import Irrep
from fusionc.algebra.modular import PrimeField, field_for
from fusionc.diagram.fusion import Fusion, count_line_paths
from fusionc.diagram.independent import Vector, extends, matmul, vertex_matrix, vertex_primes
from fusionc.diagram.ir import FusionGraph, Line
from fusionc.diagram.paths import PathTable, Tree
from fusionc.language.diagnostics import Diagnostic, Label, diagnose

MAX_COMPARED = 2000  # trees of one edge; beyond it nothing is said
MAX_LINES = 100  # lines that one tree runs through, likewise

Leaves = tuple[tuple[str, tuple[str, ...]], ...]
"""The operands of a tree, sorted: each with what becomes of its indices, sites and channels, on the right edge."""


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


def comparable(graph: FusionGraph, fusion: Fusion) -> bool:
    """Whether there are lines to compare, and few enough trees."""
    return any(_few(graph, fusion, lines) for lines in rivals(graph))


def _few(graph: FusionGraph, fusion: Fusion, lines: tuple[Line, ...]) -> bool:
    return sum(count_line_paths(graph, fusion, line) for line in lines) <= MAX_COMPARED


def _leaves(graph: FusionGraph, line: Line) -> Leaves | None:
    """The operands of a line's whole tree, sorted; None where loops are among them, or it runs through many lines."""
    leaves: list[tuple[str, tuple[str, ...]]] = []
    seen = 0
    right = (*line.sites, *line.channels)
    todo = [(line, {index: f"{place} on the right" for place, index in enumerate(right)})]
    while todo:
        current, meaning = todo.pop()
        seen += 1
        if current.fragment is not None or seen > MAX_LINES:
            return None
        for operand in current.operands:
            indices = tuple(meaning.get(index, f"{index} of {current.number}") for index in operand.indices)
            child = graph.subtree(operand.edge)
            if child is not None:
                todo.append((child, dict(zip((*child.sites, *child.channels), indices, strict=True))))
            else:
                leaves.append((operand.edge, indices))
    return tuple(sorted(leaves))


def dependent_trees(table: PathTable) -> Iterator[Diagnostic]:
    """A warning for each group of lines whose trees together are linearly dependent."""
    for lines in rivals(table.graph):
        trees = [(line, tree) for line in lines for tree in table.lines[line.number].trees]
        if len(trees) <= MAX_COMPARED:
            rank = _rank(table, trees)
            if rank < len(trees):
                yield _redundant(lines, len(trees), rank)


def _redundant(lines: tuple[Line, ...], count: int, rank: int) -> Diagnostic:
    names = ", ".join(dict.fromkeys(f"`{weight.name}`" for line in lines for weight in line.weights if weight.has_path))
    return diagnose(
        "F2008",
        f"{count} trees end in `{lines[0].target}`, and {rank} of them are independent",
        lines[-1].span,
        related=[Label(line.span, "the same operands here") for line in lines[:-1]],
        notes=["by recoupling, trees of the same operands in another order are combinations of each other"],
        help=_repair(lines, names),
    )


def _repair(lines: tuple[Line, ...], names: str) -> str:
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
    if len(members) == 1:
        return 1
    primes = sorted({prime for line, tree in members for prime in _primes(table, line, tree)})
    values = _Values(table, field_for(primes), len(members) + 4)
    echelon: list[tuple[int, Vector]] = []
    return sum(extends(echelon, values.of(line, tree).ravel(), values.prime.p) for line, tree in members)


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


def _primes(table: PathTable, line: Line, tree: Tree) -> Iterator[int]:
    graph = table.graph
    for a, b, c, copy in _vertices(table, line, tree):
        yield from vertex_primes(graph.group, graph.basis, a, b, c, copy)


@dataclass
class _Values:
    """Trees at random points modulo a prime; an operand has one random vector for each block, shared by all trees."""

    table: PathTable
    prime: PrimeField
    count: int
    _vectors: dict[tuple[str, int], Vector] = field(default_factory=dict)
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def of(self, line: Line, tree: Tree) -> Vector:
        """The value at all points: shape (points, dim)."""
        graph = self.table.graph
        value = self._operand(line.operands[0].edge, tree.blocks[0])
        current = self.table.blocks[line.operands[0].edge][tree.blocks[0]].irrep
        for position, (step, copy) in enumerate(tree.steps, start=1):
            edge, block = line.operands[position].edge, tree.blocks[position]
            irrep = self.table.blocks[edge][block].irrep
            matrix = vertex_matrix(graph.group, graph.basis, current, irrep, step, copy, self.prime)
            outer = (value[:, :, None] * self._operand(edge, block)[:, None, :] % self.prime.p).reshape(self.count, -1)
            value, current = matmul(outer, matrix, self.prime.p), step
        return value

    def _operand(self, edge: str, block: int) -> Vector:
        graph = self.table.graph
        child = graph.subtree(edge)
        if child is not None:
            return self.of(child, self.table.lines[child.number].trees[block])
        if (edge, block) not in self._vectors:
            dim = graph.group.dim(self.table.blocks[edge][block].irrep)
            self._vectors[edge, block] = self._rng.integers(0, self.prime.p, (self.count, dim), dtype=np.int64)
        return self._vectors[edge, block]

"""The oracle: a diagram evaluated line by line as its text says, with dense vertex tensors and plain einsum.

It shares the paths and the normalisation with the compiler, for they are the diagram's meaning, and nothing of the
plan, the program or the targets. It is slow, and it is what everything else is measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from fusionc.algebra.irreps import Irrep
from fusionc.diagram.ir import FusionGraph, IndexLeg, Line, Operand, Space, Weight
from fusionc.diagram.loops import Coupling, Labels, Pair, Part, Same, Splitting, wires_of
from fusionc.diagram.normalize import PathScales, vertex_scale
from fusionc.diagram.paths import LinePaths, PathTable, Tree
from fusionc.program.ir import Layout

Array = NDArray[Any]


def evaluate(
    table: PathTable,
    legs: Sequence[Array],
    weights: Mapping[str, Array],
    layout: Layout = "mul_ir",
    relations: Mapping[str, Array] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> tuple[Array, ...]:
    """The outputs for legs in declared order and learned weights by name.

    Legs have shape [batch, dim] (index legs [batch]); outputs [batch, dim], all in the given layout. What is over sites
    has their dimension before the last ([batch, N, dim], index legs [batch, N]), what is over a relation that of its
    pairs. `relations` holds each relation as integers [2, E]; `sizes` the number of sites of sets that no leg is over.
    Arithmetic is that of the operands' dtype. Raises ValueError where nothing says how many sites a set has.
    """
    domains = Domains(
        table.graph, dict(zip((leg.name for leg in table.graph.legs), legs, strict=True)), relations, sizes
    )
    oracle = _Oracle(table, legs, weights, layout, domains)
    for line in table.graph.ordered():
        oracle.evaluate(table.lines[line.number])
    return tuple(oracle.output(output.name) for output in table.graph.outputs)


class _Oracle:
    """Values by edge and block: arrays [batch, member, channels…, component], where an edge without a domain has one
    member; a kept path is a block of its own.

    A line is evaluated for all combinations of its site indices at once, as if they were one more batch dimension.
    """

    def __init__(
        self, table: PathTable, legs: Sequence[Array], weights: Mapping[str, Array], layout: Layout, domains: Domains
    ) -> None:
        self.table, self.layout, self.domains = table, layout, domains
        self.scales = PathScales(table)
        self.inputs = dict(zip((leg.name for leg in table.graph.legs), legs, strict=True)) | dict(weights)
        self.batch = max(len(value) for value in legs)
        self.values: dict[tuple[str, int], Array] = {}
        self.kept: dict[tuple[str, int], list[Array]] = {}
        self.combinations = Combinations({}, {}, 1)
        for name, leg in table.graph.tensor_legs.items():
            self._split(name, leg.space)

    def _split(self, name: str, space: Space) -> None:
        group, flat = self.table.graph.group, self.inputs[name]
        members = self.domains.size(self.table.graph.domain(name))
        for place, (block, start) in enumerate(zip(space.blocks, space.offsets(group), strict=False)):
            dim = group.dim(block.irrep)
            piece = flat[..., start : start + block.mul * dim]
            if self.layout == "mul_ir":
                self.values[name, place] = piece.reshape(len(flat), members, block.mul, dim)
            else:
                self.values[name, place] = piece.reshape(len(flat), members, dim, block.mul).swapaxes(2, 3)

    def evaluate(self, paths: LinePaths) -> None:
        line, is_output = paths.line, paths.line.target in self.table.graph.output_table
        apart = line.keeps if is_output else self.table.graph.keeps_paths(line.target)
        self.combinations = self.domains.combinations(line)
        for number, tree in enumerate(paths.trees):
            value = self._scattered(line, self._tree(paths, tree, number))
            if apart and is_output:
                self.kept.setdefault((line.target, tree.place), []).append(value)
                continue
            if is_output:  # lines may write its channels in brackets of different sizes: what adds up is row-major
                value = value.reshape(*value.shape[:2], prod(value.shape[2:-1]), value.shape[-1])
            key = (line.target, number if apart else self._block(line.target, tree.place, is_output))
            self.values[key] = self.values[key] + value if key in self.values else value

    def _gathered(self, value: Array, sites: tuple[str, ...]) -> Array:
        """[batch, member, …] at the members that the combinations of the line choose: [batch * combination, …]."""
        picked = value[:, self.combinations.members(sites)]
        return picked.reshape(len(value) * self.combinations.count, *value.shape[2:])

    def _scattered(self, line: Line, value: Array) -> Array:
        """[batch * combination, …] added up in the members of the right edge: [batch, member, …]."""
        count = self.combinations.count
        batch = len(value) // count if count else self.batch
        parts = value.reshape(batch, count, *value.shape[1:])
        result = np.zeros((batch, self.domains.size(line.domain), *value.shape[1:]), value.dtype)
        for combination, member in enumerate(self.combinations.members(line.sites)):
            result[:, member] += parts[:, combination]
        return result

    def _block(self, edge: str, place: int, is_output: bool) -> int:
        """Blocks of a plain edge are numbered among those that some path reaches."""
        if is_output:
            return place
        lines = (self.table.lines[line.number] for line in self.table.graph.writers[edge])
        return sorted({tree.place for paths in lines for tree in paths.trees}).index(place)

    def _tree(self, paths: LinePaths, tree: Tree, number: int) -> Array:
        """One path: couple operand after operand with dense vertex tensors, then weigh, then sum channels."""
        line = paths.line
        letters = {index: chr(ord("A") + place) for place, index in enumerate(paths.indices)}
        couple = self._coupled if line.fragment is None else self._contracted
        words, value = couple(paths, tree, letters)
        for weight in line.weights:
            part, bracket = self._weight(weight, number if weight.has_path else 0)
            own = "".join(letters[index] for index in weight.channels)
            union = "".join(dict.fromkeys(words + own))
            value = np.einsum(f"z{words}i,{bracket}{own}->z{union}i", value, part)
            words = union
        right = "".join(letters[index] for index in line.channels)
        factor = float(line.factor) * float(self.scales.scale(paths, tree))
        result: Array = np.einsum(f"z{words}i->z{right}i", value) * factor
        return result

    def _coupled(self, paths: LinePaths, tree: Tree, letters: dict[str, str]) -> tuple[str, Array]:
        """The operands coupled from the left, with the letters of the channels that the value has."""
        line = paths.line
        words, value = self._operand(line.operands[0], tree.blocks[0], letters)
        current = self.table.blocks[line.operands[0].edge][tree.blocks[0]].irrep
        for position, (step, copy) in enumerate(tree.steps, start=1):
            operand, block = line.operands[position], tree.blocks[position]
            irrep = self.table.blocks[operand.edge][block].irrep
            own, other = self._operand(operand, block, letters)
            union = "".join(dict.fromkeys(words + own))
            value = np.einsum(
                f"z{words}i,z{own}j,ijk->z{union}k", value, other, self._vertex(current, irrep, step, copy)
            )
            words, current = union, step
        return words, value

    def _vertex(self, a: Irrep, b: Irrep, c: Irrep, copy: int = 0) -> Array:
        graph = self.table.graph
        scale = float(vertex_scale(graph.group, graph.settings.normalize, a, b, c))
        return graph.group.vertex(a, b, c, copy, graph.basis).to_numpy() * scale

    def _contracted(self, paths: LinePaths, tree: Tree, letters: dict[str, str]) -> tuple[str, Array]:
        """A fragment: its wires contracted as they stand, loops and all."""
        line, fragment, labels = paths.line, paths.line.fragment, dict(tree.labels)
        assert fragment is not None
        made = {wire: 2 * number for number, wire in enumerate(labels)}
        batch = 2 * len(labels)
        channel = {letter: batch + 1 + number for number, letter in enumerate(letters.values())}
        arguments: list[Any] = []
        words = ""
        for operand, block, wire in zip(line.operands, tree.blocks, fragment.leaves, strict=True):
            own, value = self._operand(operand, block, letters)
            words = "".join(dict.fromkeys(words + own))
            arguments += [value, [batch, *(channel[letter] for letter in own), made[wire]]]
        for wire in labels:
            dim = self.table.graph.group.dim(labels[wire])
            if wire != fragment.root:
                arguments += [np.eye(dim), [made[wire], made[wire] + 1]]
        for part in fragment.wiring.parts:
            arguments += self._part(part, labels, made)
        output = [batch, *(channel[letter] for letter in words), made[fragment.root]]
        return words, np.asarray(opt_einsum.contract(*arguments, output, optimize="greedy"))

    def _part(self, part: Part, labels: Labels, made: dict[str, int]) -> list[Any]:
        """A part of a fragment as a dense tensor with its axes: wires where they are made, and (+1) where used."""
        wires = wires_of(part)
        irreps = [labels[wire] for wire in wires]
        if isinstance(part, Coupling):
            axes = [made[wires[0]] + 1, made[wires[1]] + 1, made[wires[2]]]
        elif isinstance(part, Splitting):
            axes = [made[wires[0]], made[wires[1]], made[wires[2]] + 1]
        elif isinstance(part, Same):
            return [np.eye(self.table.graph.group.dim(irreps[0])), [made[wires[0]] + 1, made[wires[1]]]]
        else:
            used = 0 if isinstance(part, Pair) else 1
            pair = self._vertex(irreps[0], irreps[1], self.table.graph.group.trivial)[:, :, 0]
            return [pair, [made[wires[0]] + used, made[wires[1]] + used]]
        return [self._vertex(irreps[0], irreps[1], irreps[2]), axes]

    def _operand(self, operand: Operand, block: int, letters: dict[str, str]) -> tuple[str, Array]:
        value = self._gathered(self.values[operand.edge, block], operand.sites)
        if operand.edge in self.table.graph.tensor_legs and not operand.channels:
            value = value[:, 0]  # multiplicity one, written without a bracket
        return "".join(letters[index] for index in operand.channels), value

    def _weight(self, weight: Weight, part: int) -> tuple[Array, str]:
        """A path's part of a weight, with the letter of its batch dimension: learned weights without rows have none."""
        layout, graph = self.table.weights[weight.name], self.table.graph
        start, shape = layout.offsets[part], layout.shapes[part]
        table, letter = self.inputs[weight.name], ""
        if weight.name in graph.weights_legs and table.ndim > 1:
            members = self.domains.size(graph.weights_legs[weight.name].domain)
            table, letter = self._gathered(table.reshape(len(table), members, table.shape[-1]), weight.sites), "z"
        elif weight.rows:
            places = zip(weight.rows, weight.row_sites, strict=True)
            table, letter = table[tuple(self._row(row, sites) for row, sites in places)], "z"
        piece = table[..., start : start + prod(shape)]
        return piece.reshape((*piece.shape[:-1], *shape)), letter

    def _row(self, row: str, sites: tuple[str, ...]) -> Array:
        members = self.domains.size(self.table.graph.index_legs[row].domain)
        return self._gathered(self.inputs[row].reshape(len(self.inputs[row]), members), sites)

    def output(self, name: str) -> Array:
        pieces = []
        domain = self.table.graph.domain(name)
        lead = (self.batch, self.domains.size(domain))
        for place, _ in enumerate(self.table.outputs[name].blocks):
            parts = self.kept.get((name, place)) or [self.values[name, place]]
            channels = [part.reshape(*lead, prod(part.shape[2:-1]), part.shape[-1]) for part in parts]
            joined = np.concatenate(channels, axis=2)
            if self.layout == "ir_mul":
                joined = joined.swapaxes(2, 3)
            pieces.append(joined.reshape(*lead, prod(joined.shape[2:])))
        whole = np.concatenate(pieces, axis=2)
        return whole if domain is not None else whole[:, 0]


@dataclass(frozen=True)
class Combinations:
    """The values that a line's site indices take together, one after the other: `sites[letter][n]` is the site of the
    n-th combination, `pairs[letters][n]` the number of the pair where a relation ties letters."""

    sites: Mapping[str, Array]
    pairs: Mapping[tuple[str, str], Array]
    count: int

    def members(self, letters: tuple[str, ...]) -> Array:
        """Which member of an edge's domain each combination reads or writes; [combination]."""
        if not letters:
            return np.zeros(self.count, dtype=np.int64)
        return self.sites[letters[0]] if len(letters) == 1 else self.pairs[letters[0], letters[1]]


class Domains:
    """The sizes of site sets and the pairs of relations, of one evaluation."""

    def __init__(
        self,
        graph: FusionGraph,
        legs: Mapping[str, Array],
        relations: Mapping[str, Array] | None,
        sizes: Mapping[str, int] | None,
    ) -> None:
        self.relations = dict(relations or {})
        self._sizes = dict(sizes or {})
        for leg in graph.legs:
            if leg.domain in graph.sites:
                self._sizes[leg.domain] = legs[leg.name].shape[1]

    def size(self, domain: str | None) -> int:
        """The number of members: of sites, of pairs, one where there is no domain."""
        if domain is None:
            return 1
        if domain in self.relations:
            return int(self.relations[domain].shape[1])
        if domain not in self._sizes:
            raise ValueError(f"nothing says how many {domain} there are")
        return self._sizes[domain]

    def combinations(self, line: Line) -> Combinations:
        """All of them, found by trying: every pair of every relation with every site of every index that none ties,
        and of these the ones in which an index has one value. A pair that is listed twice counts twice."""
        tied = {letter for _, letters in line.joins for letter in letters}
        free = [(letter, site_set) for letter, site_set in line.site_sets if letter not in tied]
        choices = [range(self.size(relation)) for relation, _ in line.joins]
        choices += [range(self.size(site_set)) for _, site_set in free]
        found: list[tuple[dict[str, int], tuple[int, ...]]] = []
        for choice in product(*choices):
            chosen = [(letter, choice[len(line.joins) + place]) for place, (letter, _) in enumerate(free)]
            for (relation, letters), pair in zip(line.joins, choice, strict=False):
                chosen += zip(letters, map(int, self.relations[relation][:, pair]), strict=True)
            sites = dict(chosen)
            if all(sites[letter] == site for letter, site in chosen):
                found.append((sites, choice))
        return Combinations(
            {letter: np.array([sites[letter] for sites, _ in found], np.int64) for letter, _ in line.site_sets},
            {
                letters: np.array([choice[place] for _, choice in found], np.int64)
                for place, (_, letters) in enumerate(line.joins)
            },
            len(found),
        )


def random_legs(
    table: PathTable, batch: int, rng: np.random.Generator, sizes: Mapping[str, int] | None = None
) -> list[Array]:
    """Standard normal operands in float64 (complex128 in the complex basis), random rows for index legs. `sizes` are
    the numbers of sites and of pairs, by name, for legs that are over them."""
    normal = _normal(table, rng)
    legs: list[Array] = []
    for leg in table.graph.legs:
        lead = (batch,) if leg.domain is None else (batch, (sizes or {})[leg.domain])
        if isinstance(leg, IndexLeg):
            legs.append(rng.integers(0, leg.size, lead))
        elif leg.name in table.graph.tensor_legs:
            legs.append(normal((*lead, table.graph.tensor_legs[leg.name].space.dim(table.graph.group))))
        else:
            numel = table.weights[leg.name].numel if leg.name in table.weights else 0
            legs.append(normal((*lead, numel)))
    return legs


def random_inputs(
    table: PathTable, sizes: Mapping[str, int], rng: np.random.Generator, batch: int = 2
) -> tuple[list[Array], dict[str, Array]]:
    """Random legs and relations; `sizes` are the numbers of sites and of pairs, by name.

    Relations are hard on a compiler: unsorted, the last site of each set is in no pair (where there are two or more),
    and the last pair is the first one again.
    """
    relations: dict[str, Array] = {}
    for relation in table.graph.relations:
        ends = [max(sizes[end] - 1, min(sizes[end], 1)) for end in (relation.first, relation.second)]
        count = sizes[relation.name]
        pairs = np.stack([rng.integers(0, end, count) for end in ends]).astype(np.int64)
        if count > 1:
            pairs[:, -1] = pairs[:, 0]
        relations[relation.name] = pairs
    return random_legs(table, batch, rng, sizes), relations


def _normal(table: PathTable, rng: np.random.Generator) -> Callable[[tuple[int, ...]], Array]:
    if table.graph.basis == "real":
        return rng.standard_normal
    return lambda shape: rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def random_weights(table: PathTable, rng: np.random.Generator) -> dict[str, Array]:
    """Standard normal learned weights, by name: shape (*rows, numel)."""
    normal = _normal(table, rng)
    return {layout.name: normal((*layout.rows, layout.numel)) for layout in table.weights.values() if layout.learned}

"""The oracle: a diagram evaluated line by line as its text says, with dense vertex tensors and plain einsum.

It shares the paths and the normalisation with the compiler, for they are the diagram's meaning, and nothing of the
plan, the program or the targets. It is slow, and it is what everything else is measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from fusionc.algebra.irreps import Irrep
from fusionc.diagram.ir import IndexLeg, Space
from fusionc.diagram.loops import Coupling, Labels, Pair, Part, Same, Splitting, wires_of
from fusionc.diagram.normalize import PathScales, vertex_scale
from fusionc.diagram.paths import LinePaths, PathTable, Tree
from fusionc.program.ir import Layout

Array = NDArray[Any]


def evaluate(
    table: PathTable, legs: Sequence[Array], weights: Mapping[str, Array], layout: Layout = "mul_ir"
) -> tuple[Array, ...]:
    """The outputs for legs in declared order and learned weights by name.

    Legs have shape [batch, dim] (index legs [batch]); outputs [batch, dim], all in the given layout. Arithmetic is
    that of the operands' dtype.
    """
    oracle = _Oracle(table, legs, weights, layout)
    for line in table.graph.ordered():
        oracle.evaluate(table.lines[line.number])
    return tuple(oracle.output(output.name) for output in table.graph.outputs)


class _Oracle:
    """Values by edge and block: arrays [batch, channels…, component]; a kept path is a block of its own."""

    def __init__(self, table: PathTable, legs: Sequence[Array], weights: Mapping[str, Array], layout: Layout) -> None:
        self.table, self.layout = table, layout
        self.scales = PathScales(table)
        self.inputs = dict(zip((leg.name for leg in table.graph.legs), legs, strict=True)) | dict(weights)
        self.batch = max(len(value) for value in legs)
        self.values: dict[tuple[str, int], Array] = {}
        self.kept: dict[tuple[str, int], list[Array]] = {}
        for name, leg in table.graph.tensor_legs.items():
            self._split(name, leg.space)

    def _split(self, name: str, space: Space) -> None:
        group, flat = self.table.graph.group, self.inputs[name]
        for place, (block, start) in enumerate(zip(space.blocks, space.offsets(group), strict=False)):
            dim = group.dim(block.irrep)
            piece = flat[:, start : start + block.mul * dim]
            if self.layout == "mul_ir":
                self.values[name, place] = piece.reshape(-1, block.mul, dim)
            else:
                self.values[name, place] = piece.reshape(-1, dim, block.mul).swapaxes(1, 2)

    def evaluate(self, paths: LinePaths) -> None:
        line, is_output = paths.line, paths.line.target in self.table.graph.output_table
        apart = line.keeps if is_output else self.table.graph.keeps_paths(line.target)
        for number, tree in enumerate(paths.trees):
            value = self._tree(paths, tree, number)
            if apart and is_output:
                self.kept.setdefault((line.target, tree.place), []).append(value)
                continue
            key = (line.target, number if apart else self._block(line.target, tree.place, is_output))
            self.values[key] = self.values[key] + value if key in self.values else value

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
            part, bracket = self._weight(weight.name, weight.rows, number if weight.has_path else 0)
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
        words, value = self._operand(line.operands[0].edge, line.operands[0].channels, tree.blocks[0], letters)
        current = self.table.blocks[line.operands[0].edge][tree.blocks[0]].irrep
        for position, (step, copy) in enumerate(tree.steps, start=1):
            operand, block = line.operands[position], tree.blocks[position]
            irrep = self.table.blocks[operand.edge][block].irrep
            own, other = self._operand(operand.edge, operand.channels, block, letters)
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
            own, value = self._operand(operand.edge, operand.channels, block, letters)
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

    def _operand(self, edge: str, channels: tuple[str, ...], block: int, letters: dict[str, str]) -> tuple[str, Array]:
        value = self.values[edge, block]
        if edge in self.table.graph.tensor_legs and not channels:
            value = value[:, 0]  # multiplicity one, written without a bracket
        return "".join(letters[index] for index in channels), value

    def _weight(self, name: str, rows: tuple[str, ...], part: int) -> tuple[Array, str]:
        layout = self.table.weights[name]
        start, shape = layout.offsets[part], layout.shapes[part]
        table = self.inputs[name]
        if rows:
            table = table[tuple(self.inputs[row] for row in rows)]
        piece = table[..., start : start + prod(shape)]
        return piece.reshape((*piece.shape[:-1], *shape)), "z" if piece.ndim > 1 else ""

    def output(self, name: str) -> Array:
        pieces = []
        for place, _ in enumerate(self.table.outputs[name].blocks):
            parts = self.kept.get((name, place)) or [self.values[name, place]]
            joined = np.concatenate([part.reshape(self.batch, -1, part.shape[-1]) for part in parts], axis=1)
            if self.layout == "ir_mul":
                joined = joined.swapaxes(1, 2)
            pieces.append(joined.reshape(self.batch, -1))
        return np.concatenate(pieces, axis=1)


def random_legs(table: PathTable, batch: int, rng: np.random.Generator) -> list[Array]:
    """Standard normal operands in float64 (complex128 in the complex basis), random rows for index legs."""
    normal = _normal(table, rng)
    legs: list[Array] = []
    for leg in table.graph.legs:
        if isinstance(leg, IndexLeg):
            legs.append(rng.integers(0, leg.size, batch))
        elif leg.name in table.graph.tensor_legs:
            legs.append(normal((batch, table.graph.tensor_legs[leg.name].space.dim(table.graph.group))))
        else:
            numel = table.weights[leg.name].numel if leg.name in table.weights else 0
            legs.append(normal((batch, numel)))
    return legs


def _normal(table: PathTable, rng: np.random.Generator) -> Callable[[tuple[int, ...]], Array]:
    if table.graph.basis == "real":
        return rng.standard_normal
    return lambda shape: rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def random_weights(table: PathTable, rng: np.random.Generator) -> dict[str, Array]:
    """Standard normal learned weights, by name: shape (*rows, numel)."""
    normal = _normal(table, rng)
    return {layout.name: normal((*layout.rows, layout.numel)) for layout in table.weights.values() if layout.learned}

"""The slow interpreter of programs, in numpy: what every target is compared with, instruction by instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionc.program.ir import (
    Instruction,
    LegBlock,
    Linear,
    OutputBlock,
    Pool,
    Product,
    Program,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
)

Array = NDArray[Any]


def interpret(
    program: Program,
    legs: Sequence[Array],
    weights: Mapping[str, Array],
    relations: Mapping[str, Array] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> tuple[Array, ...]:
    """The outputs of a program for operands in declared order and learned weights by name.

    Legs have shape [..., dim] (index legs [...]) with leading dimensions that broadcast, and before `dim` the sites or
    pairs where they are over any; relations are [2, E]; `sizes` are the numbers of sites that no leg tells. Each output
    has shape [..., dim].
    """
    return _Run(program, legs, weights, dict(relations or {}), dict(sizes or {})).outputs()


class _Run:
    """Values have shape [..., (domain), components, channels…]."""

    def __init__(
        self,
        program: Program,
        legs: Sequence[Array],
        weights: Mapping[str, Array],
        relations: dict[str, Array],
        sizes: dict[str, int],
    ) -> None:
        self.program, self.relations = program, relations
        self.inputs = {leg.name: np.asarray(value) for leg, value in zip(program.legs, legs, strict=True)}
        self.inputs |= {name: np.asarray(value) for name, value in weights.items()}
        self.sizes = sizes
        for leg, value in zip(program.legs, legs, strict=True):
            if leg.domain:
                self.sizes.setdefault(leg.domain, value.shape[-1] if leg.kind == "index" else value.shape[-2])
        self.sizes |= {name: relation.shape[1] for name, relation in relations.items()}
        leading = [
            np.shape(value)[: np.ndim(value) - (leg.kind != "index") - bool(leg.domain)]
            for leg, value in zip(program.legs, legs, strict=True)
        ]
        self.batch = np.broadcast_shapes(*leading)
        self.values: list[Array] = []

    def outputs(self) -> tuple[Array, ...]:
        for instruction in self.program.instructions:
            self.values.append(self._evaluate(instruction))
        return tuple(
            np.concatenate([self._block(block) for block in output.blocks], axis=-1) for output in self.program.outputs
        )

    def _evaluate(self, instruction: Instruction) -> Array:
        op = instruction.op
        if isinstance(op, LegBlock):
            return self._leg(op, instruction)
        if isinstance(op, WeightBlock):
            table = self.inputs[op.weight]
            table = table[self._rows(op, instruction)] if op.rows else table
            flat = table[..., op.start : op.start + instruction.size]
            return flat.reshape((*flat.shape[:-1], instruction.components, *instruction.channels))
        if isinstance(op, Product):
            return self._product(op, instruction)
        if isinstance(op, Linear):
            return self._linear(op, instruction)
        if isinstance(op, Zeros):
            source = self.values[op.value]
            leading = source.shape[: source.ndim - 1 - len(self.program.instructions[op.value].channels)]
            return np.zeros((*leading, instruction.components, *instruction.channels), dtype=source.dtype)
        value, axis = self.values[op.value], -2 - len(instruction.channels)
        if isinstance(op, Total):
            return self._total(op, value, instruction)
        if isinstance(op, Spread):
            return self._spread(value, axis, instruction)
        if isinstance(op, Pool):
            pooled: Array = value.sum(axis)
            return pooled
        index = self.relations[op.relation][op.row]
        if isinstance(op, Scatter):
            return self._scatter(value, index, axis, instruction)
        gathered: Array = np.take(value, index, axis)
        return gathered

    def _rows(self, op: WeightBlock | Total, instruction: Instruction) -> tuple[Array, ...]:
        """Which rows are selected, on the domain of the instruction."""
        legs, found = {leg.name: leg for leg in self.program.legs}, []
        for name, read in zip(op.rows, op.reads, strict=True):
            value = self.inputs[name]
            if read is not None:
                value = np.take(value, self.relations[read[0]][read[1]], -1)
            elif instruction.domain and not legs[name].domain:
                value = value[..., None]
            found.append(value)
        return tuple(found)

    def _leg(self, op: LegBlock, instruction: Instruction) -> Array:
        value, parts, start = self.inputs[op.leg], [], op.start
        mul = instruction.channels[0] if instruction.channels else 1
        for dim in op.dims:
            block = value[..., start : start + mul * dim]
            start += mul * dim
            if self.program.layout == "mul_ir":
                parts.append(block.reshape((*block.shape[:-1], mul, dim)).swapaxes(-1, -2))
            else:
                parts.append(block.reshape((*block.shape[:-1], dim, mul)))
        joined = np.concatenate(parts, axis=-2)
        return joined if instruction.channels else joined[..., 0]

    def _product(self, op: Product, instruction: Instruction) -> Array:
        left, right = self.values[op.left], self.values[op.right]
        i, j, k, sign = (np.array(column) for column in zip(*op.terms, strict=True))
        one = np.take(left, i, -1 - len(op.left_axes))
        two = np.take(right, j, -1 - len(op.right_axes))
        one = one * sign.reshape((-1, *(1 for _ in op.left_axes)))
        # (ellipses of different lengths align at the right: a value without a domain is the same everywhere)
        products = np.einsum(f"...T{op.left_axes},...T{op.right_axes}->...T{op.axes}", one, two)
        return self._added(products, k, instruction)

    def _linear(self, op: Linear, instruction: Instruction) -> Array:
        channels = len(instruction.channels)
        total: Array | None = None
        for source, number in enumerate(op.values):
            entries = [(i, k, float(c)) for s, i, k, c in op.entries if s == source]
            value = self.values[number]
            if op.order:
                first = value.ndim - channels
                value = value.transpose((*range(first), *(first + axis for axis in op.order)))
            own = len(self.program.instructions[number].channels)
            value = value.reshape((*value.shape[: value.ndim - own], *instruction.channels))
            if entries:
                i, k, c = (np.array(column) for column in zip(*entries, strict=True))
                value = np.take(value, i, -1 - channels) * c.reshape((-1, *(1 for _ in instruction.channels)))
                part = self._added(value, k, instruction)
            else:
                part = self._added(np.take(value, [], -1 - channels), np.array([], dtype=int), instruction)
            total = part if total is None else total + part
        assert total is not None
        return total

    def _added(self, terms: Array, k: Array, instruction: Instruction) -> Array:
        """Terms added up in the components that they belong to."""
        axis = terms.ndim - 1 - len(instruction.channels)
        result = np.zeros((*terms.shape[:axis], instruction.components, *terms.shape[axis + 1 :]), dtype=terms.dtype)
        np.add.at(np.moveaxis(result, axis, 0), k, np.moveaxis(terms, axis, 0))
        return result

    def _scatter(self, value: Array, index: Array, axis: int, instruction: Instruction) -> Array:
        place = value.ndim + axis
        shape = list(value.shape)
        assert instruction.domain
        shape[place] = self.sizes[instruction.domain]
        result = np.zeros(shape, dtype=value.dtype)
        np.add.at(np.moveaxis(result, place, 0), index, np.moveaxis(value, place, 0))
        return result

    def _spread(self, value: Array, axis: int, instruction: Instruction) -> Array:
        sites = (self.sizes[instruction.domain],) if instruction.domain else ()
        if value.ndim == 1 + len(instruction.channels):  # no domain
            everywhere: Array = np.broadcast_to(value, (*self.batch, *sites, *value.shape))
            return everywhere
        one = np.expand_dims(value, axis)
        repeated: Array = one.take([0] * sum(sites), axis)
        return repeated

    def _total(self, op: Total, value: Array, instruction: Instruction) -> Array:
        own = value.shape[value.ndim - 1 - len(instruction.channels) :]
        flat = value.reshape((-1, *own))
        if not op.rows:
            everything: Array = flat.sum(0)
            return everything
        extents = {leg.name: leg.dim for leg in self.program.legs}
        result = np.zeros((*(extents[row] for row in op.rows), *own), dtype=value.dtype)
        leading = value.shape[: value.ndim - len(own)]
        found = self._rows(op, self.program.instructions[op.value])
        index = tuple(np.broadcast_to(row, leading).reshape(-1) for row in found)
        np.add.at(result, index, flat)
        return result

    def _block(self, block: OutputBlock) -> Array:
        """A block of an output, flat; channels of several pieces stand one behind the other."""
        parts = []
        for value, places in block.places:
            channels = self.program.instructions[value].channels
            array = self.values[value]
            part = np.take(array, places, array.ndim - 1 - len(channels))
            parts.append(part.reshape((*part.shape[: part.ndim - 1 - len(channels)], block.dim, -1)))
        joined = np.concatenate(parts, axis=-1)
        if self.program.layout == "mul_ir":
            joined = joined.swapaxes(-1, -2)
        return joined.reshape((*joined.shape[:-2], -1))

"""The slow interpreter of programs, in numpy: what every target is compared with, instruction by instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionc.program.ir import (
    Constant,
    Contract,
    Instruction,
    LegBlock,
    OutputBlock,
    Program,
    Rearrange,
    Scale,
    Sum,
    WeightBlock,
)

Array = NDArray[Any]


def interpret(program: Program, legs: Sequence[Array], weights: Mapping[str, Array]) -> tuple[Array, ...]:
    """The outputs of a program for operands in declared order and learned weights by name.

    Legs have shape [..., dim] (index legs [...]) with leading dimensions that broadcast; each output [..., dim].
    """
    inputs = {leg.name: np.asarray(value) for leg, value in zip(program.legs, legs, strict=True)}
    inputs |= {name: np.asarray(value) for name, value in weights.items()}
    values: list[Array] = []
    for instruction in program.instructions:
        values.append(_evaluate(program, instruction, values, inputs))
    return tuple(
        np.concatenate([_block(program, block, values) for block in output.blocks], axis=-1)
        for output in program.outputs
    )


def _evaluate(program: Program, instruction: Instruction, values: list[Array], inputs: dict[str, Array]) -> Array:
    op, shape = instruction.op, instruction.shape
    if isinstance(op, LegBlock):
        return _view(inputs[op.leg], op.start, shape)
    if isinstance(op, WeightBlock):
        table = inputs[op.weight]
        return _view(table[tuple(inputs[row] for row in op.rows)] if op.rows else table, op.start, shape)
    if isinstance(op, Constant):
        return op.tensor.to_numpy()
    if isinstance(op, Scale):
        scaled: Array = values[op.value] * float(op.factor)
        return scaled
    if isinstance(op, Sum):
        return sum((values[value] for value in op.values[1:]), start=values[op.values[0]])
    if isinstance(op, Rearrange):
        return _einsum(f"...{op.value_axes}->...{op.axes}", values[op.value])
    assert isinstance(op, Contract)
    left, right = program.instructions[op.left], program.instructions[op.right]
    dots = ["..." if part.batched else "" for part in (left, right, instruction)]
    spec = f"{dots[0]}{op.left_axes},{dots[1]}{op.right_axes}->{dots[2]}{op.axes}"
    return _einsum(spec, values[op.left], values[op.right])


def _einsum(spec: str, *values: Array) -> Array:
    result: Array = np.einsum(spec, *values)
    return result


def _view(value: Array, start: int, shape: tuple[int, ...]) -> Array:
    size = int(np.prod(shape, dtype=np.int64))
    return value[..., start : start + size].reshape((*value.shape[:-1], *shape))


def _block(program: Program, block: OutputBlock, values: list[Array]) -> Array:
    """The components of one block, flat; kept paths one behind the other on the channel axis."""
    parts = []
    for number in block.values:
        value = values[number]
        batch = value.shape[: value.ndim - len(program.instructions[number].shape)]
        shape = (-1, block.dim) if program.layout == "mul_ir" else (block.dim, -1)
        parts.append(value.reshape(*batch, *shape))
    joined = np.concatenate(parts, axis=-2 if program.layout == "mul_ir" else -1)
    return joined.reshape(*joined.shape[:-2], -1)

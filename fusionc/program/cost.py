"""What a program costs, counted instruction by instruction from the list that is emitted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from fusionc.program.ir import VIEWS, Contract, Instruction, Program, Rearrange, Scale, Sum, operands


@dataclass(frozen=True)
class Cost:
    """Multiplications and additions; bytes read and written by all instructions; the most bytes that are alive at once
    in intermediate results and outputs (operands, weights and constants not counted). For a whole batch."""

    multiplications: int
    additions: int
    bytes: int
    peak_bytes: int

    @property
    def operations(self) -> int:
        return self.multiplications + self.additions


def count(program: Program, batch: int = 1, itemsize: int = 4) -> Cost:
    """Count a program for `batch` elements of `itemsize` bytes a number."""
    counts = [_count(program, instruction, batch) for instruction in program.instructions]
    multiplications = sum(one for one, _ in counts)
    additions = sum(two for _, two in counts)
    moved = sum(_moved(program, instruction, batch) for instruction in program.instructions)
    return Cost(multiplications, additions, moved * itemsize, _peak(program, batch) * itemsize)


def _numel(instruction: Instruction, batch: int) -> int:
    return prod(instruction.shape) * (batch if instruction.batched else 1)


def _count(program: Program, instruction: Instruction, batch: int) -> tuple[int, int]:
    """Multiplications and additions of one instruction."""
    op, result = instruction.op, _numel(instruction, batch)
    if isinstance(op, Contract):
        sizes = _letter_sizes(program, op)
        products = prod(sizes.values()) * (batch if instruction.batched else 1)
        return products, products - result
    if isinstance(op, Scale):
        return result, 0
    if isinstance(op, Sum):
        return 0, (len(op.values) - 1) * result
    if isinstance(op, Rearrange):
        return 0, _numel(program.instructions[op.value], batch) - result
    return 0, 0


def _letter_sizes(program: Program, op: Contract) -> dict[str, int]:
    left, right = program.instructions[op.left], program.instructions[op.right]
    return dict(zip(op.left_axes, left.shape, strict=True)) | dict(zip(op.right_axes, right.shape, strict=True))


def _moved(program: Program, instruction: Instruction, batch: int) -> int:
    """Elements that an instruction reads and writes; views move nothing."""
    if isinstance(instruction.op, VIEWS):
        return 0
    read = sum(_numel(program.instructions[value], batch) for value in operands(instruction.op))
    return read + _numel(instruction, batch)


def _peak(program: Program, batch: int) -> int:
    """The largest sum of values that are computed and still needed; outputs are needed to the end."""
    last = {value: number for number, ins in enumerate(program.instructions) for value in operands(ins.op)}
    for value in _results(program):
        last[value] = len(program.instructions)
    alive = peak = 0
    ends: dict[int, int] = {}
    for number, instruction in enumerate(program.instructions):
        if isinstance(instruction.op, VIEWS):
            continue
        size = _numel(instruction, batch)
        alive += size
        peak = max(peak, alive)
        end = last.get(number, number)
        ends[end] = ends.get(end, 0) + size
        alive -= ends.pop(number, 0)
    return peak + sum(output.dim for output in program.outputs) * batch


def _results(program: Program) -> Iterable[int]:
    return (value for output in program.outputs for block in output.blocks for value in block.values)

"""Which of two ways to run a program takes less: matrices for every element, zeros included, or sums of rows.

A matrix product multiplies everything, but many numbers at once; sums of rows multiply what is not zero, and every
number is read for it. So matrices win where they are not too empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from fusionc.program.ir import Instruction, Linear, Product, Program
from fusionc.program.patterns import applies_matrix
from fusionc.program.thresholds import now


def suits_rows(program: Program) -> bool:
    """Whether a program is to run in rows: where it can, and no operand has to become a matrix for every element of the
    batch, or these matrices are so empty that sums of rows take less."""
    products = [i for i in program.instructions if isinstance(i.op, Product)]
    if not products or any(_mixes_by_element(program, i.op) for i in products if isinstance(i.op, Product)):
        return False
    if not any(_is_matrix_product(program, instruction) for instruction in products):
        return True
    return now().emptiness * _by_rows(program) < _by_matrices(program)


def _mixes_by_element(program: Program, op: Product) -> bool:
    """Whether channels are mixed by weights that every element has of its own."""
    return any(len(own) > 1 and set(own) & set(other) - set(op.axes) for own, other in _sides(program, op))


def _is_matrix_product(program: Program, instruction: Instruction) -> bool:
    """Whether one operand, which every element has of its own, has no channels, and the other has some."""
    op = instruction.op
    return isinstance(op, Product) and any(not own and other for own, other in _sides(program, op))


def _sides(program: Program, op: Product) -> Iterator[tuple[str, str]]:
    """The channels of each operand that every element has of its own, and those of the other."""
    for value, own, other in ((op.left, op.left_axes, op.right_axes), (op.right, op.right_axes, op.left_axes)):
        if program.instructions[value].domain is not None:
            yield own, other


def _by_rows(program: Program) -> float:
    """Numbers that sums of rows read, for one element."""
    read = 0
    for instruction in program.instructions:
        op, channels = instruction.op, prod(instruction.channels)
        if _is_matrix_product(program, instruction) and isinstance(op, Product):
            read += len(op.terms) * channels
        elif isinstance(op, Linear) and instruction.domain is not None:
            read += len(op.entries) * channels
    return read


def _by_matrices(program: Program) -> float:
    """The same time for matrices: their multiplications, by how many run in the time in which one number is read."""
    time = 0.0
    for instruction in program.instructions:
        op, channels = instruction.op, prod(instruction.channels)
        if _is_matrix_product(program, instruction) and isinstance(op, Product):
            flip = not applies_matrix(op, False)
            source, other = (op.left, op.right) if flip else (op.right, op.left)
            size = instruction.components * program.instructions[other].components
            time += size * (_base(program, source) / now().one_matrix + channels / now().many_matrices)
        elif isinstance(op, Linear) and instruction.domain is not None:
            columns = sum(program.instructions[value].components for value in op.values)
            if len(op.entries) > instruction.components:
                rate = now().many_matrices if instruction.channels else now().one_matrix
                time += instruction.components * columns * channels / rate
    return time


def _base(program: Program, value: int) -> int:
    """How many components a matrix is made of: those of an operand, before a linear map of it."""
    op = program.instructions[value].op
    if isinstance(op, Linear) and len(op.values) == 1 and not op.order:
        return program.instructions[op.values[0]].components
    return program.instructions[value].components

"""Components in the order in which outputs need them, so that an output is a view of what was computed.

Kept paths of a block lie side by side in memory: component after component, in each all paths (`ir_mul`), or path after
path (`mul_ir`). The value that holds them gets that order, and so does what it is computed from element by element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fusionc.program.grids import layers
from fusionc.program.ir import (
    MOVES,
    Instruction,
    Linear,
    OutputBlock,
    Product,
    Program,
    Unary,
    operands,
)
from fusionc.program.thresholds import now


def arranged(program: Program) -> Program:
    """The program with the components of its outputs' values in the outputs' order (`OutputBlock.strides`)."""
    readers: dict[int, int] = {}
    for instruction in program.instructions:
        for value in operands(instruction.op):
            readers[value] = readers.get(value, 0) + 1
    orders: dict[int, list[int]] = {}
    for output in program.outputs:
        for block in output.blocks:
            for components in _wanted(program, block):
                for value, component in components:
                    orders.setdefault(value, []).append(component)
    moves: dict[int, list[int]] = {}
    for value, order in orders.items():
        op = program.instructions[value].op
        complete = sorted(order) == list(range(program.instructions[value].components))
        if not complete or order == sorted(order) or readers.get(value):
            continue
        found = {value: order}
        while isinstance(op, MOVES) and readers.get(op.value) == 1:  # what is moved between domains keeps its order
            value, op = op.value, program.instructions[op.value].op
            found[value] = order
        if isinstance(op, Product | Linear):
            moves |= found
            _follow(program, value, order, readers, moves)
    return _moved(program, moves) if moves else program


def grouped(program: Program) -> Program:
    """The program with the components of operands in the order in which sums of elementwise products take them, so that
    each layer of a sum finds what it needs side by side."""
    moved_elsewhere = {value for one in program.instructions if isinstance(one.op, Unary) for value in operands(one.op)}
    moves: dict[int, list[int]] = {}
    for instruction in program.instructions:
        op = instruction.op
        if not isinstance(op, Product) or not op.left_axes == op.right_axes == op.axes or not op.axes:
            continue
        if len(op.terms) < 2 * instruction.components or program.instructions[op.left].domain is None:
            continue
        found = layers(op.terms, now().most_layers)
        source = program.instructions[op.left]
        if (
            found is None
            or op.left in program.returned
            or op.left in moved_elsewhere
            or not isinstance(source.op, Product | Linear)
        ):
            continue
        by_place = sorted(found.found, key=lambda layer: layer.start)
        order = list(dict.fromkeys(place for layer in by_place for place in layer.lefts(found.lefts)))
        if sorted(order) == list(range(source.components)) and order != sorted(order):
            moves.setdefault(op.left, order)
    return _moved(program, moves) if moves else program


def _wanted(program: Program, block: OutputBlock) -> list[list[tuple[int, int]]]:
    """The components of a block in the order of memory."""
    if program.layout == "mul_ir":
        return [[(value, start + k) for k in range(block.dim)] for value, start in block.pieces]
    return [[(value, start + k) for value, start in block.pieces] for k in range(block.dim)]


def _follow(
    program: Program, value: int, order: Sequence[int], readers: dict[int, int], moves: dict[int, list[int]]
) -> None:
    """An operand from which a product takes one component for each of its own is put in the same order."""
    op = program.instructions[value].op
    if not isinstance(op, Product):
        return
    n = program.instructions[value].components
    for operand, side in ((op.left, 0), (op.right, 1)):
        source = program.instructions[operand]
        taken = {term[2]: term[side] for term in op.terms}
        alone = readers.get(operand) == 1 and isinstance(source.op, Product | Linear)
        if alone and len(op.terms) == n == source.components and sorted(taken.values()) == list(range(n)):
            moves[operand] = [taken[k] for k in order]


def _moved(program: Program, moves: dict[int, list[int]]) -> Program:
    """`moves[value]`: the old component at each new place."""
    place = {value: {old: new for new, old in enumerate(order)} for value, order in moves.items()}
    instructions = tuple(_instruction(i, number, place) for number, i in enumerate(program.instructions))
    outputs = []
    for output in program.outputs:
        blocks = []
        for block in output.blocks:
            pieces = tuple((value, place.get(value, {}).get(start, start)) for value, start in block.pieces)
            strides = tuple(_stride(place.get(value), start, block.dim) for value, start in block.pieces)
            blocks.append(replace(block, pieces=pieces, strides=strides))
        outputs.append(replace(output, blocks=tuple(blocks)))
    return replace(program, instructions=instructions, outputs=tuple(outputs))


def _stride(place: dict[int, int] | None, start: int, dim: int) -> int:
    return 1 if place is None or dim == 1 else place[start + 1] - place[start]


def _instruction(instruction: Instruction, number: int, place: dict[int, dict[int, int]]) -> Instruction:
    op = instruction.op

    def at(value: int, component: int) -> int:
        return place[value][component] if value in place else component

    if isinstance(op, Product):
        terms = ((at(op.left, i), at(op.right, j), at(number, k), sign) for i, j, k, sign in op.terms)
        return replace(instruction, op=replace(op, terms=tuple(sorted(terms, key=lambda term: (term[2], term[0])))))
    if isinstance(op, Linear):
        entries = ((s, at(op.values[s], i), at(number, k), c) for s, i, k, c in op.entries)
        return replace(instruction, op=replace(op, entries=tuple(sorted(entries, key=lambda e: (e[2], e[0], e[1])))))
    assert not isinstance(op, Unary) or place.get(op.value) == place.get(number)
    return instruction

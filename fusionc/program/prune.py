"""Leave out what no output needs: whole instructions, and components of values that stand beside others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fusionc.program.ir import (
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Op,
    Pool,
    Product,
    Program,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
    operands,
    renumbered,
)

Needed = list[set[int]]
WHOLE = (Gather, Scatter, Pool, Total, Spread)


def pruned(program: Program) -> Program:
    """The program without dead instructions and dead components. Views of legs stay whole: they cost nothing. What is
    made of nothing but zeros is left out of products and sums too; where it is an output, it is `Zeros`."""
    program = _without_zeros(program)
    needed = _needed(program)
    kept = [number for number, components in enumerate(needed) if components]
    place = {number: at for at, number in enumerate(kept)}
    moved: list[dict[int, int]] = []
    for number, instruction in enumerate(program.instructions):
        moved.append(_renumbering(instruction, needed[number], moved))
    instructions = tuple(_pruned(program, moved, number, place) for number in kept)
    outputs = tuple(
        replace(
            output,
            blocks=tuple(
                replace(block, pieces=tuple((place[value], moved[value][start]) for value, start in block.pieces))
                for block in output.blocks
            ),
        )
        for output in program.outputs
    )
    return replace(program, instructions=instructions, outputs=outputs)


def _without_zeros(program: Program) -> Program:
    """The program without the terms that have a zero among their factors."""
    zero: list[set[int]] = []
    instructions = []
    for one in program.instructions:
        op: Op = one.op
        made = set(range(one.components))
        if isinstance(op, Product):
            op = replace(
                op, terms=tuple(t for t in op.terms if t[0] not in zero[op.left] and t[1] not in zero[op.right])
            )
            made = {k for _, _, k, _ in op.terms}
        elif isinstance(op, Linear):
            op = replace(op, entries=tuple(e for e in op.entries if e[1] not in zero[op.values[e[0]]]))
            made = {k for _, _, k, _ in op.entries}
        elif isinstance(op, WHOLE):
            made -= zero[op.value]
        elif isinstance(op, Zeros):
            made = set()
        zero.append(set(range(one.components)) - made)
        instructions.append(one if op == one.op else replace(one, op=op))
    return replace(program, instructions=tuple(instructions))


def _like(program: Program, number: int) -> int:
    """The operand whose domain a value has: what a value without any terms is `Zeros` of."""
    one = program.instructions[number]
    return next(value for value in operands(one.op) if program.instructions[value].domain == one.domain)


def _needed(program: Program) -> Needed:
    """The components of every value that something needs."""
    needed: Needed = [set() for _ in program.instructions]
    for output in program.outputs:
        for block in output.blocks:
            for value, places in block.places:
                needed[value].update(places)
    for number in range(len(needed) - 1, -1, -1):
        if not needed[number]:
            continue
        op = program.instructions[number].op
        if isinstance(op, Product | Linear) and not needed[number] & op.by_result.keys():
            needed[_like(program, number)].add(0)
        elif isinstance(op, Product):
            for i, j, k, _ in op.terms:
                if k in needed[number]:
                    needed[op.left].add(i)
                    needed[op.right].add(j)
        elif isinstance(op, Linear):
            for source, i, k, _ in op.entries:
                if k in needed[number]:
                    needed[op.values[source]].add(i)
        elif isinstance(op, Zeros):
            needed[op.value].add(0)
        else:
            for value in operands(op):
                needed[value] |= needed[number]
    return needed


def _renumbering(instruction: Instruction, needed: set[int], moved: list[dict[int, int]]) -> dict[int, int]:
    """Where components are after pruning; what is moved between domains whole keeps what its operand keeps."""
    if isinstance(instruction.op, LegBlock | WeightBlock):
        return {k: k for k in range(instruction.components)}
    if isinstance(instruction.op, WHOLE) and needed:
        return moved[instruction.op.value]
    return {k: at for at, k in enumerate(sorted(needed))}


def _pruned(program: Program, moved: list[dict[int, int]], number: int, place: Mapping[int, int]) -> Instruction:
    instruction = program.instructions[number]
    op: Op = instruction.op
    own = moved[number]
    if isinstance(op, Product | Linear) and not own.keys() & op.by_result.keys():
        op = Zeros(_like(program, number))
    elif isinstance(op, Product):
        terms = tuple((moved[op.left][i], moved[op.right][j], own[k], sign) for i, j, k, sign in op.terms if k in own)
        op = replace(op, terms=terms)
    elif isinstance(op, Linear):
        entries = [(source, i, k, c) for source, i, k, c in op.entries if k in own]
        used = sorted({source for source, *_ in entries})
        at = {source: position for position, source in enumerate(used)}
        op = replace(
            op,
            values=tuple(op.values[source] for source in used),
            entries=tuple((at[s], moved[op.values[s]][i], own[k], c) for s, i, k, c in entries),
        )
    return replace(instruction, op=renumbered(op, place), components=len(own))

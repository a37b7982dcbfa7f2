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
    """The program without dead instructions and dead components. Views of legs stay whole: they cost nothing."""
    needed = _needed(program)
    kept = [number for number, components in enumerate(needed) if components]
    place = {number: at for at, number in enumerate(kept)}
    moved: list[dict[int, int]] = []
    for number, instruction in enumerate(program.instructions):
        moved.append(_renumbering(instruction, needed[number], moved))
    instructions = tuple(_pruned(program.instructions[number], moved, number, place) for number in kept)
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
        if isinstance(op, Product):
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


def _pruned(
    instruction: Instruction, moved: list[dict[int, int]], number: int, place: Mapping[int, int]
) -> Instruction:
    op: Op = instruction.op
    own = moved[number]
    if isinstance(op, Product):
        terms = tuple((moved[op.left][i], moved[op.right][j], own[k], sign) for i, j, k, sign in op.terms if k in own)
        op = replace(op, terms=terms)
    elif isinstance(op, Linear):
        entries = [(source, i, k, c) for source, i, k, c in op.entries if k in own]
        used = sorted({source for source, *_ in entries})
        values = tuple(op.values[source] for source in used) or op.values[:1]
        at = {source: position for position, source in enumerate(used)}
        op = replace(
            op,
            values=values,
            entries=tuple((at[s], moved[op.values[s]][i], own[k], c) for s, i, k, c in entries),
        )
    return replace(instruction, op=renumbered(op, _Defaults(place)), components=len(own))


class _Defaults(dict[int, int]):
    """Places of values; one that was dropped (a combination of nothing) stands for any."""

    def __missing__(self, key: int) -> int:
        return 0

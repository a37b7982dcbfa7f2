"""Channels mixed behind a vertex rather than before it, where that costs no more.

    before   P[c,p] = x[c] R[p]              out[k] = Σ M[k,(c,p)] P[c,p]      R[p]: channels [u, w], for each element
    behind   A[k,p] = Σ M[k,(c,p)] x[c]      out[k] = Σ A[k,p] R[p]

The matrix product that mixes, [k, p u] · [p u, w], then adds up the paths too: it is one for all paths whose weights
stand side by side, where there was one for each, and their results were put together and added up.
"""

from __future__ import annotations

from dataclasses import replace

from fusionc.program.ir import Instruction, Product, Program, Term, moved_output, renumbered
from fusionc.program.patterns import applies_matrix, contraction
from fusionc.program.thresholds import now


def mixed_behind(program: Program) -> Program:
    """The program with every mixing that only a matrix reads behind that matrix."""
    for number, instruction in enumerate(program.instructions):
        found = _behind(program, number, instruction)
        if found is not None:
            return mixed_behind(found)
    return program


def _behind(program: Program, number: int, instruction: Instruction) -> Program | None:
    """The program with the mixing that an instruction reads behind it; None where there is none, or it would cost."""
    op = instruction.op
    if not isinstance(op, Product):
        return None
    flip = not applies_matrix(op, False)
    if flip and not applies_matrix(op, True):
        return None
    inner, matrix = (op.right, op.left) if flip else (op.left, op.right)
    mixing = program.instructions[inner].op
    if not isinstance(mixing, Product) or not program.is_alone(inner, number):
        return None
    found = contraction(mixing)
    if found is None or found.summed != 1 or found.turned:
        return None
    mixer, value = (program.instructions[one] for one in (found.mixer, found.value))
    if {mixer.domain, value.domain, program.instructions[matrix].domain} != {instruction.domain}:
        return None
    sources = {k: (j, i) if found.flip else (i, j) for i, j, k, sign in mixing.terms if sign > 0}
    parts, rows = mixer.components, instruction.components
    if len(sources) != len(mixing.terms) or {part for _, part in sources.values()} != set(range(parts)):
        return None
    if parts < 2 or rows * parts > now().mixed_zeros * len(sources):
        return None
    terms = list[Term]()
    for i, j, k, sign in op.terms:
        at, by = (j, i) if flip else (i, j)
        component, part = sources[at]
        terms.append((component, by, k * parts + part, sign))
    terms.sort(key=lambda term: (term[2], term[0]))
    axes = mixing.right_axes if found.flip else mixing.left_axes
    first = Product(found.value, matrix, axes, "", axes, tuple(terms))
    made = replace(instruction, op=first, components=rows * parts, channels=value.channels)
    grid = tuple((k * parts + part, part, k, 1) for k in range(rows) for part in range(parts))
    second = Product(inner, found.mixer, axes, axes + mixing.axes, mixing.axes, grid)
    return _rewritten(program, inner, made, number, replace(instruction, op=second))


def _rewritten(program: Program, gone: int, made: Instruction, number: int, reader: Instruction) -> Program:
    """The program with one instruction gone, and one made in its stead right before the only one that reads it."""
    instructions, place = list[Instruction](), dict[int, int]()
    for at, instruction in enumerate(program.instructions):
        mine = [(gone, made), (number, reader)] if at == number else [(at, instruction)] if at != gone else []
        for old, one in mine:
            place[old] = len(instructions)
            instructions.append(replace(one, op=renumbered(one.op, place)))
    outputs = tuple(moved_output(output, place) for output in program.outputs)
    return replace(program, instructions=tuple(instructions), outputs=outputs)

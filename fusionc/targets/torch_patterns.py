"""What large operations there are in a program: patterns in its instructions, each with what printing it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd, prod

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.grids import Grid, Layer
from fusionc.program.ir import (
    Instruction,
    Layout,
    LegBlock,
    Linear,
    Op,
    OutputBlock,
    Product,
    Program,
    ProgramLeg,
    Spread,
    Total,
    WeightBlock,
    operands,
)
from fusionc.program.patterns import applies_matrix
from fusionc.program.thresholds import now
from fusionc.targets.torch_tables import MatrixEntries


def joined(blocks: Sequence[OutputBlock], layout: Layout) -> list[OutputBlock]:
    """Blocks of an output, those together that are one piece of memory: of `ir_mul` components that stand side by side
    in one value, of `mul_ir` blocks of one dimension."""
    found: list[OutputBlock] = []
    for block in blocks:
        whole = (_over if layout == "ir_mul" else _behind)(found[-1], block) if found else None
        if whole is not None:
            found.pop()
        found.append(block if whole is None else whole)
    return found


def _over(before: OutputBlock, block: OutputBlock) -> OutputBlock | None:
    """More components of the same channels."""
    if not len(before.pieces) == len(block.pieces) == 1 or before.mul != block.mul:
        return None
    (value, first), (other, start) = before.pieces[0], block.pieces[0]
    plain = not before.strides and not block.strides
    return (
        replace(before, dim=before.dim + block.dim) if plain and (value, first + before.dim) == (other, start) else None
    )


def _behind(before: OutputBlock, block: OutputBlock) -> OutputBlock | None:
    """More channels of the same dimension."""
    if before.dim != block.dim:
        return None
    strides = tuple(places.step for one in (before, block) for _, places in one.places)
    return OutputBlock(before.pieces + block.pieces, before.mul + block.mul, block.dim, strides)


def origin(program: Program, value: int) -> int:
    """The value of whose memory a value may be a view, in whatever way it is printed: what only renames components,
    repeats, or sums over nothing may be one."""
    op = program.instructions[value].op
    if isinstance(op, Linear) and len(op.values) == 1:
        moved = len({k for _, _, k, _ in op.entries}) == len(op.entries) and all(c == ONE for *_, c in op.entries)
        return origin(program, op.values[0]) if moved else value
    return origin(program, op.value) if isinstance(op, Spread | Total) else value


def is_operand(program: Program, value: int) -> bool:
    """Whether a value is a part of an operand as it was given."""
    op = program.instructions[value].op
    return isinstance(op, LegBlock) or (isinstance(op, WeightBlock) and not op.rows)


def by_result(form: Linear) -> dict[int, list[tuple[int, Surd]]]:
    """The entries of a linear map of one value, by component of the result."""
    found: dict[int, list[tuple[int, Surd]]] = {}
    for _, i, k, c in form.entries:
        found.setdefault(k, []).append((i, c))
    return found


def is_matrix_of(number: int, instruction: Instruction) -> bool:
    op = instruction.op
    if not isinstance(op, Product):
        return False
    return (op.right == number and applies_matrix(op, False)) or (
        op.left == number and not applies_matrix(op, False) and applies_matrix(op, True)
    )


def gathering(program: Program, op: Op, instruction: Instruction) -> tuple[ProgramLeg, int, list[int]] | None:
    """Of a selection from many views of one leg: the leg, the largest unit that all of them are made of, and the places
    of the units that are selected."""
    if not isinstance(op, Linear) or len(op.values) < now().few_views or not is_side_by_side(op):
        return None
    views = [program.instructions[value].op for value in op.values]
    first = views[0]
    if program.layout != "ir_mul" or len(instruction.channels) != 1 or not isinstance(first, LegBlock):
        return None
    mul, ordered = instruction.channels[0], sorted(op.entries, key=lambda entry: entry[2])
    starts = [view.start for view in views if isinstance(view, LegBlock) and view.leg == first.leg]
    leg = program.leg(first.leg)
    alike = all(program.instructions[value].channels == instruction.channels for value in op.values)
    if len(starts) < len(views) or not alike:
        return None
    unit = gcd(mul, leg.dim, *starts)
    if unit < now().least_unit:
        return None
    steps = range(mul // unit)
    return leg, unit, [(starts[source] + i * mul) // unit + step for source, i, _, _ in ordered for step in steps]


def grid(program: Program, op: Product, components: int, sides: str) -> tuple[int, int] | None:
    """The rows and parts (K, P), several, of a product whose terms are a whole grid, each once: `sides` says which of
    left, right and result (so many components) is the row k ("k"), the part p ("p"), or both, k P + p ("b")."""
    counts = (program.instructions[op.left].components, program.instructions[op.right].components, components)
    rows, parts = counts[sides.index("k")], counts[sides.index("p")]
    if parts < 2 or not rows * parts == counts[sides.index("b")] == len(op.terms):
        return None
    places = [{"k": k, "p": p, "b": k * parts + p} for k in range(rows) for p in range(parts)]
    whole = {(*(place[side] for side in sides), 1) for place in places}
    return (rows, parts) if whole == set(op.terms) else None


def is_side_by_side(op: Linear) -> bool:
    """Whether a linear map only puts components of values side by side."""
    places = sorted(k for _, _, k, _ in op.entries)
    return not op.order and places == list(range(len(places))) and all(c == ONE for *_, c in op.entries)


def is_dots(program: Program, op: Product) -> bool:
    """Whether a product sums all channels of two operands of the batch."""
    both = None not in (program.instructions[op.left].domain, program.instructions[op.right].domain)
    return both and bool(op.left_axes) and op.left_axes == op.right_axes and not op.axes


def contiguous(found: Sequence[Layer], picks: Sequence[int], side: str) -> list[int] | None:
    """Where the components that each layer picks start, if all of them stand side by side."""
    starts = []
    for layer in found:
        start, kind = layer.left if side == "left" else layer.right
        count = layer.count(kind)
        if list(picks[start : start + count]) != list(range(picks[start], picks[start] + count)):
            return None
        starts.append(picks[start])
    return starts


def by_pairs(op: Product) -> tuple[Product, MatrixEntries]:
    """A product with one term for each pair of components, and how these add up: (result, term) -> coefficient."""
    places: dict[tuple[int, int], int] = {}
    entries: MatrixEntries = {}
    for i, j, k, sign in op.terms:
        at = places.setdefault((i, j), len(places))
        entries[k, at] = entries[k, at] + Surd.of(sign) if (k, at) in entries else Surd.of(sign)
    return replace(op, terms=tuple((i, j, at, 1) for (i, j), at in places.items())), entries


def grids_text(found: Sequence[Grid]) -> str:
    return "(" + ", ".join(f"({grid.rows}, {grid.columns}, {grid.across})" for grid in found) + ",)"


def users(program: Program) -> list[set[int]]:
    """For each value the outputs that are computed from it."""
    found: list[set[int]] = [set() for _ in program.instructions]
    for number, output in enumerate(program.outputs):
        for value in output.values:
            found[value].add(number)
    for number in range(len(found) - 1, -1, -1):
        for value in operands(program.instructions[number].op):
            found[value] |= found[number]
    return found


def piece_size(program: Program, operations: int, worth: int, phase: Sequence[int] | None = None) -> int:
    """How many elements are computed at a time, by so many operations, of a phase over pairs or of the whole program:
    what is in between should fit into a cache, and every operation should have enough to do to be worth its call: so
    many numbers. No result of a piece is so large that its memory would come from the system at every call."""
    numbers, mixers, largest = 0, set[int](), max([1, *(one.dim for one in program.outputs if one.domain is not None)])
    for number in range(len(program.instructions)) if phase is None else phase:
        one = program.instructions[number]
        views = isinstance(one.op, Linear) and mixers.issuperset(one.op.values)
        if len(one.channels) > 1 and (views or isinstance(one.op, WeightBlock)):
            mixers.add(number)  # read where they are, once: they need no cache
        elif one.domain is not None:
            terms = len(one.op.terms) if isinstance(one.op, Product) and one.op.left_axes == one.op.right_axes else 0
            numbers += max(one.size, terms * prod(one.channels) // 2)
            largest = max(largest, one.size)
    return min(max(now().cache, worth * operations) // max(1, numbers), now().largest // largest) + 1

"""Derivatives of programs along tangents of their operands, as programs: value by value, in the order of the program.

Product   out' = left' · right + left · right'     all else is linear: it takes the tangent for the operand
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fusionc.algebra.surds import ONE
from fusionc.program.derive import Derivative, Names, differentiable, opened, operand_of
from fusionc.program.ir import (
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Pool,
    Product,
    Program,
    ProgramLeg,
    ProgramOutput,
    ProgramWeight,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
)
from fusionc.program.prune import pruned


def jvp(program: Program, wrt: Sequence[str] | None = None) -> Derivative:
    """The program of the tangents of all outputs for given tangents of operands."""
    return _Forward(program, tuple(differentiable(program) if wrt is None else wrt)).derivative()


@dataclass
class _Forward:
    program: Program
    wrt: tuple[str, ...]
    tangents: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = Names(self.program)
        self.program, self.builder = opened(self.program)

    def derivative(self) -> Derivative:
        given = {name: self.names.fresh(f"tangent_{name}") for name in self.wrt}
        for number, instruction in enumerate(self.program.instructions):
            tangent = self._tangent(instruction, given)
            if tangent is not None:
                self.tangents[number] = tangent
        outputs = tuple(self._output(output) for output in self.program.outputs)
        legs = [(leg, given[leg.name]) for leg in self.program.legs if leg.name in given]
        weights = [(weight, given[weight.name]) for weight in self.program.weights if weight.name in given]
        derived = Program(
            name=self.names.fresh(f"{self.program.name}_jvp"),
            layout=self.program.layout,
            is_complex=self.program.is_complex,
            legs=(
                *self.program.legs,
                *(
                    ProgramLeg(name, leg.kind, leg.dim, f"like {leg.name}", leg.domain, leg.blocks)
                    for leg, name in legs
                ),
            ),
            weights=(*self.program.weights, *(ProgramWeight(name, w.rows, w.numel) for w, name in weights)),
            instructions=tuple(self.builder.instructions),
            outputs=outputs,
            sites=self.program.sites,
            relations=self.program.relations,
        )
        results = tuple((a.name, b.name) for a, b in zip(self.program.outputs, outputs, strict=True))
        return Derivative(pruned(derived), tuple(given.items()), results)

    def _tangent(self, one: Instruction, given: dict[str, str]) -> int | None:
        op = one.op
        moved: LegBlock | WeightBlock | Linear | Gather | Scatter | Pool | Spread | Total
        if isinstance(op, LegBlock | WeightBlock):
            name = given.get(operand_of(one))
            if name is None:
                return None
            if isinstance(op, LegBlock):
                moved = LegBlock(name, op.start, op.dims)
            else:
                moved = WeightBlock(name, op.start, op.rows, op.reads)
            return self.builder.emit(moved, one.components, one.channels, one.domain, f"tangent of {one.note}")
        if isinstance(op, Product):
            return self._product(op, one)
        if isinstance(op, Zeros):
            return None
        if isinstance(op, Linear):
            kept = [source for source, value in enumerate(op.values) if value in self.tangents]
            if not kept:
                return None
            entries = tuple((kept.index(s), i, k, c) for s, i, k, c in op.entries if s in kept)
            moved = Linear(tuple(self.tangents[op.values[source]] for source in kept), entries, op.order)
        elif op.value not in self.tangents:
            return None
        elif isinstance(op, Gather | Scatter):
            moved = type(op)(self.tangents[op.value], op.relation, op.row)
        elif isinstance(op, Total):
            moved = Total(self.tangents[op.value], op.rows, op.reads)
        else:
            moved = type(op)(self.tangents[op.value])
        return self.builder.emit(moved, one.components, one.channels, one.domain, f"tangent of {one.note}")

    def _product(self, op: Product, one: Instruction) -> int | None:
        """left' · right + left · right'."""
        pairs = []
        if op.left in self.tangents:
            pairs.append((self.tangents[op.left], op.right))
        if op.right in self.tangents:
            pairs.append((op.left, self.tangents[op.right]))
        note = f"tangent of {one.note}"
        parts = [
            self.builder.emit(
                Product(left, right, op.left_axes, op.right_axes, op.axes, op.terms),
                one.components,
                one.channels,
                one.domain,
                note,
            )
            for left, right in pairs
        ]
        if len(parts) < 2:
            return parts[0] if parts else None
        entries = tuple((source, k, k, ONE) for k in range(one.components) for source in range(2))
        return self.builder.emit(Linear(tuple(parts), entries), one.components, one.channels, one.domain, note)

    def _output(self, output: ProgramOutput) -> ProgramOutput:
        blocks = tuple(
            replace(block, pieces=tuple(self._piece(value, start) for value, start in block.pieces))
            for block in output.blocks
        )
        return ProgramOutput(self.names.fresh(f"tangent_{output.name}"), blocks, output.domain, output.rows)

    def _piece(self, value: int, start: int) -> tuple[int, int]:
        if value in self.tangents:
            return self.tangents[value], start
        one = self.program.instructions[value]
        return self.builder.emit(Zeros(value), one.components, one.channels, one.domain, "does not depend"), start

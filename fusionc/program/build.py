"""Instructions under construction: each operation once, with marks to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from fusionc.algebra.surd_codes import Codes
from fusionc.program.cost import Sizes, nonunit
from fusionc.program.ir import Instruction, Linear, Op, Pool, Product, Scatter, Total


@dataclass
class Builder:
    """`spent` is what the instructions cost so far, in the units that alternatives are compared in; `notes` say what
    was decided, in words."""

    sizes: Sizes
    instructions: list[Instruction] = field(default_factory=list)
    spent: float = 0.0
    notes: list[str] = field(default_factory=list)
    codes: Codes = field(default_factory=Codes)
    """The exact numbers that occur, by code."""
    _known: dict[tuple[object, ...], int] = field(default_factory=dict)
    _keys: list[tuple[tuple[object, ...], float]] = field(default_factory=list)

    def emit(self, op: Op, components: int, channels: tuple[int, ...], domain: str | None, note: str = "") -> int:
        """The number of the value that an operation gives; the same operation is never emitted twice."""
        key = (op, components, channels, domain)
        known = self._known.get(key)
        if known is not None:
            return known
        number = len(self.instructions)
        self._known[key] = number
        self.instructions.append(Instruction(op, components, channels, domain, note))
        self._keys.append((key, self.spent))
        self.spent += self._price(self.instructions[-1])
        return number

    def __getitem__(self, value: int) -> Instruction:
        return self.instructions[value]

    def mark(self) -> int:
        return len(self.instructions)

    def back_to(self, mark: int) -> None:
        """Forget everything since a mark."""
        while len(self.instructions) > mark:
            key, self.spent = self._keys.pop()
            del self._known[key]
            self.instructions.pop()

    def _price(self, instruction: Instruction) -> float:
        """Multiplications count one, additions a quarter, a number written a sixteenth: of two ways with as many
        multiplications the one with less to move is cheaper."""
        op, elements = instruction.op, self.sizes.of(instruction.domain)
        width = prod(instruction.channels) * elements
        if isinstance(op, Product):
            products = len(op.terms) * prod(self.extents(op).values()) * elements
            return products * 1.25 - instruction.components * width * 0.1875
        if isinstance(op, Linear):
            return (
                nonunit(entry[3] for entry in op.entries) + len(op.entries) * 0.25 - instruction.components * 0.1875
            ) * width
        if isinstance(op, Scatter | Pool | Total):
            value = self.instructions[op.value]
            return value.size * self.sizes.of(value.domain) * 0.25
        return 0.0

    def extents(self, op: Product) -> Mapping[str, int]:
        left, right = self.instructions[op.left], self.instructions[op.right]
        return dict(zip(op.left_axes, left.channels, strict=True)) | dict(
            zip(op.right_axes, right.channels, strict=True)
        )

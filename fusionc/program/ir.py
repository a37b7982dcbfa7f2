"""The program: straight-line, target-neutral, each instruction one tensor.

A value has *axes* (their sizes are its shape) and, where it depends on an operand, the batch dimensions before them.
What a target prints is one statement for each instruction; what a diagram costs is counted from the same list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from fusionc.algebra.surds import Surd
from fusionc.algebra.tensors import ExactTensor

Layout = Literal["mul_ir", "ir_mul"]
LAYOUTS: tuple[Layout, ...] = ("mul_ir", "ir_mul")


@dataclass(frozen=True)
class LegBlock:
    """A view: `leg[..., start : start + size]` with the value's shape."""

    leg: str
    start: int


@dataclass(frozen=True)
class WeightBlock:
    """A view: `weight[..., start : start + size]` with the value's shape; `rows` are the index legs that select it."""

    weight: str
    start: int
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Constant:
    """An exact tensor; rounded once, when it is printed."""

    tensor: ExactTensor
    label: str = field(compare=False)


@dataclass(frozen=True)
class Contract:
    """The product of two values, summed over the letters that the result lacks: `left,right->result` as in einsum."""

    left: int
    right: int
    left_axes: str
    right_axes: str
    axes: str


@dataclass(frozen=True)
class Rearrange:
    """A value with its axes permuted, those that the result lacks summed."""

    value: int
    value_axes: str
    axes: str


@dataclass(frozen=True)
class Scale:
    """A value times an exact number."""

    value: int
    factor: Surd


@dataclass(frozen=True)
class Sum:
    """Values of one shape, added up."""

    values: tuple[int, ...]


Op = LegBlock | WeightBlock | Constant | Contract | Rearrange | Scale | Sum
VIEWS = (LegBlock, WeightBlock, Constant)


def operands(op: Op) -> tuple[int, ...]:
    """The values that an operation reads."""
    if isinstance(op, Contract):
        return (op.left, op.right)
    if isinstance(op, Rearrange | Scale):
        return (op.value,)
    return op.values if isinstance(op, Sum) else ()


def renumbered(op: Op, place: Mapping[int, int]) -> Op:
    """The same operation on values that have moved."""
    if isinstance(op, Contract):
        return replace(op, left=place[op.left], right=place[op.right])
    if isinstance(op, Rearrange | Scale):
        return replace(op, value=place[op.value])
    return Sum(tuple(place[value] for value in op.values)) if isinstance(op, Sum) else op


@dataclass(frozen=True)
class Instruction:
    """`value[number] = op`, with the shape of its axes. `note` says what the value is, `path` for which path it is
    computed first."""

    op: Op
    shape: tuple[int, ...]
    batched: bool
    note: str = field(default="", compare=False)
    path: str = field(default="", compare=False)


@dataclass(frozen=True)
class OutputBlock:
    """One block of an output: values whose channels stand one behind the other (one value, unless paths are kept)."""

    values: tuple[int, ...]
    mul: int
    dim: int


@dataclass(frozen=True)
class ProgramOutput:
    name: str
    blocks: tuple[OutputBlock, ...]

    @property
    def dim(self) -> int:
        return sum(block.mul * block.dim for block in self.blocks)


@dataclass(frozen=True)
class ProgramLeg:
    """A leg as a caller sees it. `kind` "tensor": [..., dim]; "weights": [..., dim]; "index": [...], integers below
    dim. `text` spells the space."""

    name: str
    kind: Literal["tensor", "weights", "index"]
    dim: int
    text: str


@dataclass(frozen=True)
class ProgramWeight:
    """A learned weight of shape (*rows, numel)."""

    name: str
    rows: tuple[int, ...]
    numel: int


@dataclass(frozen=True)
class Program:
    """A diagram, ready to be printed: legs and weights in, instructions in order, outputs out.

    `is_complex` where the basis is complex: operands and outputs are complex numbers then, constants still real.
    """

    name: str
    layout: Layout
    is_complex: bool
    legs: tuple[ProgramLeg, ...]
    weights: tuple[ProgramWeight, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[ProgramOutput, ...]

"""The program: straight-line, target-neutral, sparse by construction.

A value is a list of *components*, each an array over the value's channel axes (and over its domain: the batch, the
sites, the pairs). Two instructions do all arithmetic,

    Product   out[k] = Σ ± left[i] * right[j]      over listed triples (i, j, k), channels as in einsum
    Linear    out[k] = Σ c * value[i]              over listed pairs (i, k), with exact constants c

so that what a program costs is counted from the lists, and a target is free to run them as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Literal

from fusionc.algebra.surds import Surd
from fusionc.program.memory import LAYOUTS as LAYOUTS
from fusionc.program.memory import Layout as Layout

BATCH = ""
"""The domain of what has the batch dimensions and no sites. The domain None: one value for all (learned weights)."""

Term = tuple[int, int, int, int]
"""(i, j, k, sign): left component, right component, component of the result, +1 or -1."""

Entry = tuple[int, int, int, Surd]
"""(source, i, k, c): which value, its component, component of the result, coefficient."""


@dataclass(frozen=True)
class LegBlock:
    """A view: blocks of a leg that stand side by side from `start` on, with equal multiplicities; `dims` are their
    dimensions. The value has all their components; its channel axis is the multiplicity (none where it is not
    bracketed)."""

    leg: str
    start: int
    dims: tuple[int, ...]


@dataclass(frozen=True)
class WeightBlock:
    """A view: parts of a weight that stand side by side from `start` on, one component for each path, with equal
    shapes; `rows` are the index legs that select them, and `reads` says for each where a value over pairs reads it, as
    a relation and the row of it that names the site (None: on the value's own domain, or the same everywhere)."""

    weight: str
    start: int
    rows: tuple[str, ...]
    reads: tuple[tuple[str, int] | None, ...] = ()


@dataclass(frozen=True)
class Product:
    """The sparse bilinear map; `left_axes`, `right_axes`, `axes` name channels, what the result lacks is summed."""

    left: int
    right: int
    left_axes: str
    right_axes: str
    axes: str
    terms: tuple[Term, ...]

    @cached_property
    def by_result(self) -> Mapping[int, tuple[tuple[int, int, int], ...]]:
        """The terms (left, right, sign) of each component that has any."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        for i, j, k, sign in self.terms:
            found.setdefault(k, []).append((i, j, sign))
        return {k: tuple(terms) for k, terms in found.items()}


@dataclass(frozen=True)
class Linear:
    """The sparse linear map of one or several values with the same channels; `order`: the channel axes of the result
    are these of the values (empty: as they are). Values of as many channels in other axes are reshaped first."""

    values: tuple[int, ...]
    entries: tuple[Entry, ...]
    order: tuple[int, ...] = ()

    @cached_property
    def by_result(self) -> Mapping[int, Mapping[tuple[int, int], Surd]]:
        """For each component that has any entries the coefficients of the components (value, place) it is made of."""
        found: dict[int, dict[tuple[int, int], Surd]] = {}
        for source, i, k, c in self.entries:
            row, at = found.setdefault(k, {}), (self.values[source], i)
            row[at] = row[at] + c if at in row else c
        return found


@dataclass(frozen=True)
class Gather:
    """A value over sites, read at the sites that one row of a relation names: a value over its pairs."""

    value: int
    relation: str
    row: int


@dataclass(frozen=True)
class Scatter:
    """A value over the pairs of a relation, summed into the sites that one row of it names."""

    value: int
    relation: str
    row: int


@dataclass(frozen=True)
class Pool:
    """A value over sites or pairs, summed over all of them."""

    value: int


@dataclass(frozen=True)
class Total:
    """A value summed over all elements of its domain and of the batch: a value without a domain. With `rows` every
    element is added to the row of a table that index legs select (the reverse of `WeightBlock`): a value of shape
    [*table, components, channels…], for outputs only."""

    value: int
    rows: tuple[str, ...] = ()
    reads: tuple[tuple[str, int] | None, ...] = ()


@dataclass(frozen=True)
class Spread:
    """A value without sites, the same at every site; or one without a domain, the same everywhere: a view."""

    value: int


@dataclass(frozen=True)
class Zeros:
    """Nothing, on the domain of a value: what a diagram that vanishes gives."""

    value: int


Op = LegBlock | WeightBlock | Product | Linear | Gather | Scatter | Pool | Total | Spread | Zeros
Unary = Gather | Scatter | Pool | Total | Spread | Zeros
VIEWS = (LegBlock, WeightBlock, Spread)
MOVES = (Gather, Scatter, Pool)


def operands(op: Op) -> tuple[int, ...]:
    """The values that an operation reads."""
    if isinstance(op, Product):
        return (op.left, op.right)
    if isinstance(op, Linear):
        return op.values
    return (op.value,) if isinstance(op, Unary) else ()


def renumbered(op: Op, place: Mapping[int, int]) -> Op:
    """The same operation on values that have moved."""
    if isinstance(op, Product):
        return replace(op, left=place[op.left], right=place[op.right])
    if isinstance(op, Linear):
        return replace(op, values=tuple(place[value] for value in op.values))
    return replace(op, value=place[op.value]) if isinstance(op, Unary) else op


@dataclass(frozen=True)
class Instruction:
    """`value[number] = op`: its components, the sizes of its channel axes, its domain; `note` says what it is."""

    op: Op
    components: int
    channels: tuple[int, ...]
    domain: str | None
    note: str = field(default="", compare=False)

    @property
    def size(self) -> int:
        """Numbers in one element of the domain."""
        return self.components * prod(self.channels)


@dataclass(frozen=True)
class OutputBlock:
    """One block of an output: pieces (value, first component), each with `dim` components, whose channels stand one
    behind the other (one piece, unless paths are kept). `strides`: how far apart the components of each piece are
    (empty: side by side)."""

    pieces: tuple[tuple[int, int], ...]
    mul: int
    dim: int
    strides: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[tuple[int, range], ...]:
        """Every piece as its value and the places of its components there."""
        strides = self.strides or (1,) * len(self.pieces)
        return tuple(
            (value, range(start, start + self.dim * stride, stride))
            for (value, start), stride in zip(self.pieces, strides, strict=True)
        )


@dataclass(frozen=True)
class ProgramOutput:
    """What a caller gets: blocks one behind the other, [..., dim]; without a domain (derivatives by learned weights)
    [*rows, dim]."""

    name: str
    blocks: tuple[OutputBlock, ...]
    domain: str | None = BATCH
    rows: tuple[int, ...] = ()

    @property
    def dim(self) -> int:
        return sum(block.mul * block.dim for block in self.blocks)

    @property
    def values(self) -> tuple[int, ...]:
        """The values that it is made of, each once."""
        return tuple(dict.fromkeys(value for block in self.blocks for value, _ in block.pieces))


def moved_output(output: ProgramOutput, place: Mapping[int, int]) -> ProgramOutput:
    """The same output of values that have moved."""
    blocks = (
        replace(block, pieces=tuple((place[value], first) for value, first in block.pieces)) for block in output.blocks
    )
    return replace(output, blocks=tuple(blocks))


@dataclass(frozen=True)
class ProgramLeg:
    """A leg as a caller sees it. `kind` "tensor": [..., dim]; "weights": [..., dim]; "index": [...], integers below
    dim; over sites or pairs their dimension stands before the last one. `text` spells the space. `blocks` are the
    (multiplicity, dimension) of a tensor leg's blocks."""

    name: str
    kind: Literal["tensor", "weights", "index"]
    dim: int
    text: str
    domain: str = BATCH
    blocks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ProgramWeight:
    """A learned weight of shape (*rows, numel)."""

    name: str
    rows: tuple[int, ...]
    numel: int


@dataclass(frozen=True)
class ProgramRelation:
    """A relation, given at every call as int64 [2, E]: row 0 are sites of `first`, row 1 of `second`."""

    name: str
    first: str
    second: str


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
    sites: tuple[str, ...] = ()
    relations: tuple[ProgramRelation, ...] = ()

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For each value the instructions that read it, one that reads it twice (`x x`) once."""
        found: list[list[int]] = [[] for _ in self.instructions]
        for number, instruction in enumerate(self.instructions):
            for value in dict.fromkeys(operands(instruction.op)):
                found[value].append(number)
        return tuple(map(tuple, found))

    @cached_property
    def returned(self) -> frozenset[int]:
        """The values that outputs are made of."""
        return frozenset(value for output in self.outputs for value in output.values)

    def is_alone(self, value: int, reader: int) -> bool:
        """Whether nothing but one instruction needs a value."""
        return self.readers[value] == (reader,) and value not in self.returned

    def leg(self, name: str) -> ProgramLeg:
        """A leg by its name. Raises KeyError."""
        return self._legs[name]

    @cached_property
    def _legs(self) -> Mapping[str, ProgramLeg]:
        return {leg.name: leg for leg in self.legs}


def channel_sizes(program: Program, op: Product) -> dict[str, int]:
    """The size of every channel letter of a product."""
    left, right = program.instructions[op.left], program.instructions[op.right]
    return dict(zip(op.left_axes, left.channels, strict=True)) | dict(zip(op.right_axes, right.channels, strict=True))

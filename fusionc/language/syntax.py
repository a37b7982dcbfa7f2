"""The abstract syntax of a `.fus` file: frozen nodes with spans, as written and not yet checked.

Spans do not take part in comparison: two texts that differ in white space and comments have equal trees.
Irreps stay text here (`1o`, `3/2`); which of them exist is the group's business, later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from fusionc.language.source import Span


@dataclass(frozen=True)
class Node:
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Name(Node):
    text: str


# --- spaces ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IrrepTerm(Node):
    """`64x1o`: `mul` is None where no multiplicity was written."""

    mul: int | None
    irrep: str


@dataclass(frozen=True)
class SphericalTerm(Node):
    """`spherical(3)`, with the factor of `2 * spherical(3)` in `repeat`, and that of `64xspherical(3)` in `mul`."""

    lmax: int
    repeat: int | None = None
    mul: int | None = None


@dataclass(frozen=True)
class NameTerm(Node):
    """`H`, with the factor of `3 * H` in `repeat` and the multiplicity of `64xY` in `mul`; one of the two at most."""

    name: Name
    repeat: int | None = None
    mul: int | None = None


@dataclass(frozen=True)
class SumTerm(Node):
    """`64x(0e + 1o)`: a sum of blocks, each of multiplicity `mul`."""

    mul: int
    terms: tuple[IrrepTerm | SphericalTerm | NameTerm, ...]


Term = IrrepTerm | SphericalTerm | NameTerm | SumTerm


@dataclass(frozen=True)
class Space(Node):
    """A direct sum, term by term as written."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class LMax(Node):
    """The restriction `lmax 3` (`lmax 3/2` for SU(2)); `value` is the text after `lmax`."""

    value: str


Restriction = Space | LMax


# --- declarations ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group(Node):
    """`group O(3)`; `name` has no blanks."""

    name: str


@dataclass(frozen=True)
class Irreps(Node):
    """`irreps NAME = space`."""

    name: Name
    space: Space


@dataclass(frozen=True)
class Sites(Node):
    """`sites NAME`."""

    name: Name


@dataclass(frozen=True)
class Pairs(Node):
    """`pairs NAME(first, second)`."""

    name: Name
    first: Name
    second: Name


@dataclass(frozen=True)
class Import(Node):
    """`import "other.fus"`; `path` is the text between the quotes."""

    path: str


@dataclass(frozen=True)
class Setting(Node):
    """`normalize component`, `paths element`, `basis complex`: before diagrams, or as a statement in one."""

    kind: Literal["normalize", "paths", "basis"]
    value: Name


# --- diagrams --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightsType(Node):
    """The type of a leg `r: weights`."""


@dataclass(frozen=True)
class IndexType(Node):
    """The type of a leg `z: index(89)`."""

    size: int


@dataclass(frozen=True)
class Inferred(Node):
    """The output space `*`, inferred from what the diagram can reach."""


@dataclass(frozen=True)
class Leg(Node):
    """`x: H[atoms]`."""

    name: Name
    type: Space | WeightsType | IndexType
    sites: Name | None = None


@dataclass(frozen=True)
class Output(Node):
    """`-> H`, `-> H[atoms]`, `-> * in lmax 3`, or one of `-> (s: 64x0e, v: 64x1o)`; `name` is None for the single
    unnamed output, which is called `out`."""

    name: Name | None
    type: Space | Inferred
    sites: Name | None = None
    restriction: Restriction | None = None


@dataclass(frozen=True)
class EdgeRef(Node):
    """An edge where a vertex mentions it; `indices` is None where no bracket was written."""

    name: Name
    indices: tuple[Name, ...] | None = None


@dataclass(frozen=True)
class Target(Node):
    """An edge on the right of a vertex, with its restriction."""

    edge: EdgeRef
    restriction: Restriction | None = None


@dataclass(frozen=True)
class Number(Node):
    """A fixed factor: an integer, a decimal or a fraction, with a sign; exact."""

    value: Fraction


@dataclass(frozen=True)
class WeightRef(Node):
    """`W[path, u]`, or `W` without a bracket."""

    name: Name
    indices: tuple[Name, ...] | None = None


Factor = Number | WeightRef


@dataclass(frozen=True)
class Vertex(Node):
    """`a b -> c * W[path]`. Either side may be empty, though not both."""

    left: tuple[EdgeRef, ...]
    right: tuple[Target, ...]
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True)
class EdgeLabel(Node):
    """`a: 1/2` in an `edge` statement."""

    name: Name
    space: Space


@dataclass(frozen=True)
class Edges(Node):
    """`edge a: 1/2, b: 1/2`."""

    labels: tuple[EdgeLabel, ...]


Statement = Vertex | Edges | Setting


@dataclass(frozen=True)
class Diagram(Node):
    """`diagram NAME(legs) -> outputs { statements }`; no outputs where no arrow was written."""

    name: Name
    legs: tuple[Leg, ...]
    outputs: tuple[Output, ...]
    body: tuple[Statement, ...]


Item = Group | Irreps | Sites | Pairs | Import | Setting | Diagram


@dataclass(frozen=True)
class Comment(Node):
    """A comment, from `#` to the end of its line; `text` has the `#` and no trailing blanks. `own_line` when nothing
    but blanks stands before it."""

    text: str
    own_line: bool


@dataclass(frozen=True)
class File(Node):
    """A whole file: its items in order, and its comments in order (which do not take part in comparison).

    `broken` has what declarations with a mistake declare, `is_partial` says that one of them may declare anything.
    """

    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False)
    broken: tuple[str, ...] = field(default=(), compare=False)
    is_partial: bool = field(default=False, compare=False)

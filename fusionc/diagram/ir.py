"""The graph IR: what a diagram is once every name is resolved and every index has its place.

    legs --> line --> internal edge --> line --> output

A *line* is one vertex statement. Edges (legs, internal edges, outputs) and lines are the nodes of a directed graph,
kept behind the thin wall of `FusionGraph`, so that no other module needs to know networkx.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram.loops import Wiring
from fusionc.language.resolve import Settings
from fusionc.language.source import Span
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import networkx as nx
else:
    nx = LazyModule("networkx")


@dataclass(frozen=True)
class Block:
    """One term of a space: `mul` copies of an irrep. `span` is where it was written (or its name was used)."""

    irrep: Irrep
    mul: int
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Space:
    """A direct sum of blocks, in declared order; the place of a block in it is the block's name everywhere. `span` is
    where it is written out, or its name stands."""

    blocks: tuple[Block, ...]
    span: Span | None = field(default=None, compare=False, repr=False)

    def offsets(self, group: Group) -> tuple[int, ...]:
        """Start of each block in the flat irreps dimension, and behind the last one the total dimension."""
        starts = [0]
        for block in self.blocks:
            starts.append(starts[-1] + block.mul * group.dim(block.irrep))
        return tuple(starts)

    def dim(self, group: Group) -> int:
        return self.offsets(group)[-1]


@dataclass(frozen=True)
class Relation:
    """`pairs edges(atoms, atoms)`: a sparse relation between two site sets, given at run time. `span` is its name's."""

    name: str
    first: str
    second: str
    span: Span = field(compare=False, repr=False)


Join = tuple[str, tuple[str, str]]
"""A relation that ties two site indices of a line, in the relation's order: `("edges", ("i", "j"))`."""


@dataclass(frozen=True)
class TensorLeg:
    """A leg that carries a space: an operand of the diagram. `domain` is the site set, or the relation, that it has a
    value for each member of."""

    name: str
    space: Space
    span: Span = field(compare=False, repr=False)
    domain: str | None = None


@dataclass(frozen=True)
class WeightsLeg:
    """A leg `r: weights`: path weights that are given at every call; with a `domain`, for each of its members."""

    name: str
    span: Span = field(compare=False, repr=False)
    domain: str | None = None


@dataclass(frozen=True)
class IndexLeg:
    """A leg `z: index(89)`: an integer that selects a row of weights; with a `domain`, one for each of its members."""

    name: str
    size: int
    span: Span = field(compare=False, repr=False)
    domain: str | None = None


Leg = TensorLeg | WeightsLeg | IndexLeg


@dataclass(frozen=True)
class Restriction:
    """Which irreps an edge may carry: `allowed` maps an irrep to the multiplicity written beside it (None: no word on
    it), or `lmax` bounds the spin. `named` lists the irreps that were written out, with their places."""

    allowed: tuple[tuple[Irrep, int | None], ...] | None
    lmax: Fraction | None
    named: tuple[tuple[Irrep, Span], ...] = field(compare=False)
    span: Span = field(compare=False, repr=False)

    def admits(self, group: Group, irrep: Irrep) -> bool:
        if self.lmax is not None:
            return group.l_at_most(irrep, self.lmax)
        return irrep in self.multiplicities

    @cached_property
    def multiplicities(self) -> dict[Irrep, int | None]:
        return dict(self.allowed or ())


@dataclass(frozen=True)
class Output:
    """An output; `space` is None where it is inferred. `domain` is as for legs. `type_span` is where its space, or
    the `*`, is written."""

    name: str
    space: Space | None
    restriction: Restriction | None
    span: Span = field(compare=False, repr=False)
    domain: str | None = None
    type_span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Operand:
    """An edge on the left of a line: the site indices at the head of its bracket, and its channel indices."""

    edge: str
    channels: tuple[str, ...]
    span: Span = field(compare=False, repr=False)
    sites: tuple[str, ...] = ()

    @property
    def indices(self) -> tuple[str, ...]:
        """The whole bracket."""
        return (*self.sites, *self.channels)


@dataclass(frozen=True)
class Weight:
    """`W[z, path, u]`: `rows` are index legs, `channels` the channel indices in the bracket's order.

    `sites` are the site indices of weights that are given over sites, `row_sites` for each row those that it is read
    at (none for an index leg without a domain). `head` is what was written before `path` and the channels.
    """

    name: str
    channels: tuple[str, ...]
    has_path: bool
    rows: tuple[str, ...]
    span: Span = field(compare=False, repr=False)
    sites: tuple[str, ...] = ()
    row_sites: tuple[tuple[str, ...], ...] = ()
    head: tuple[str, ...] = field(default=(), compare=False)

    @property
    def name_span(self) -> Span:
        return self.span.source.span(self.span.start, self.span.start + len(self.name))

    @property
    def all_sites(self) -> tuple[str, ...]:
        """Every site index that it or one of its rows is read at."""
        return tuple(dict.fromkeys((*self.sites, *(site for row in self.row_sites for site in row))))

    def with_indices(self, *indices: str, path: bool = False) -> str:
        """The weight as it would be written with more in its bracket."""
        head = ("path",) if path or self.has_path else ()
        return f"{self.name}[{', '.join(dict.fromkeys((*self.head, *head, *self.channels, *indices)))}]"


@dataclass(frozen=True)
class Fragment:
    """What stands between the operands of a line and its right edge when lines with splits and loops became one: wires.
    `leaves` are the wires of the operands, `root` that of the right edge."""

    wiring: Wiring
    leaves: tuple[str, ...]
    root: str


@dataclass(frozen=True)
class Line:
    """One vertex statement `operands -> target * weights * factor`. `keeps` when `path` stands in the right bracket.

    `sites` are the site indices of the right edge, `site_sets` all of the line's, each with the set that it ranges
    over, `joins` the relations that tie them; a relation ties two indices once, however many edges of the line are
    over it.
    """

    number: int
    operands: tuple[Operand, ...]
    target: str
    channels: tuple[str, ...]
    keeps: bool
    weights: tuple[Weight, ...]
    factor: Fraction
    span: Span = field(compare=False, repr=False)
    target_span: Span = field(compare=False, repr=False)
    fragment: Fragment | None = None
    sites: tuple[str, ...] = ()
    site_sets: tuple[tuple[str, str], ...] = ()
    joins: tuple[Join, ...] = ()

    @property
    def indices(self) -> tuple[str, ...]:
        """The whole bracket of the right edge."""
        return (*self.sites, *(("path",) if self.keeps else ()), *self.channels)

    @property
    def domain(self) -> str | None:
        """The site set or the relation that the right edge is over."""
        if len(self.sites) == 1:
            return dict(self.site_sets)[self.sites[0]]
        return next((relation for relation, tied in self.joins if tied == self.sites), None)

    @property
    def summed_sites(self) -> tuple[str, ...]:
        """Site indices that are summed: over the pairs of the relations that tie them, or over all sites."""
        return tuple(index for index, _ in self.site_sets if index not in self.sites)

    @property
    def sums_paths(self) -> bool:
        """`path` is carried by a weight and not by the right edge: the einsum rule sums it."""
        return not self.keeps and any(weight.has_path for weight in self.weights)

    @property
    def summed(self) -> tuple[str, ...]:
        """Channel indices that are summed, in the order in which they appear."""
        seen = dict.fromkeys(index for operand in self.operands for index in operand.channels)
        return tuple(index for index in seen if index not in self.channels)

    def identical_operands(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the operands, grouped: one group for each edge with its indices, in order of appearance.
        One edge at two site indices is two operands."""
        if self.fragment is not None:  # wires tell the operands apart
            return tuple((position,) for position in range(len(self.operands)))
        groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[int]] = {}
        for position, operand in enumerate(self.operands):
            groups.setdefault((operand.edge, operand.sites, operand.channels), []).append(position)
        return tuple(tuple(positions) for positions in groups.values())


@dataclass(frozen=True)
class FusionGraph:
    """A diagram whose names and indices are in order. Angular momentum is not checked yet.

    `poisoned` are edges about which a mistake was already reported: nothing more is said of what depends on them.
    `excused` are names that a line with a mistake uses, or may have meant: nobody says that they are unused.
    `sites` and `relations` are those that legs and outputs are over, in declared order.
    """

    name: str
    group: Group
    settings: Settings
    legs: tuple[Leg, ...]
    outputs: tuple[Output, ...]
    restrictions: tuple[tuple[str, Restriction], ...]
    lines: tuple[Line, ...]
    poisoned: frozenset[str]
    excused: frozenset[str]
    span: Span = field(compare=False, repr=False)
    sites: tuple[str, ...] = ()
    relations: tuple[Relation, ...] = ()

    @property
    def basis(self) -> Basis:
        """The basis that the diagram's numbers are in; in the complex one they are complex."""
        return self.settings.basis or self.group.default_basis

    @cached_property
    def tensor_legs(self) -> dict[str, TensorLeg]:
        return {leg.name: leg for leg in self.legs if isinstance(leg, TensorLeg)}

    @cached_property
    def weights_legs(self) -> dict[str, WeightsLeg]:
        return {leg.name: leg for leg in self.legs if isinstance(leg, WeightsLeg)}

    @cached_property
    def index_legs(self) -> dict[str, IndexLeg]:
        return {leg.name: leg for leg in self.legs if isinstance(leg, IndexLeg)}

    @cached_property
    def output_table(self) -> dict[str, Output]:
        return {output.name: output for output in self.outputs}

    @property
    def told_sites(self) -> tuple[str, ...]:
        """Site sets that no leg is over: a caller has to say how many sites there are."""
        return tuple(name for name in self.sites if all(leg.domain != name for leg in self.legs))

    def domain(self, edge: str) -> str | None:
        """The site set or the relation that an edge is over: a leg or an output as declared, an internal edge as
        written (all lines that end in it agree)."""
        declared = self.tensor_legs.get(edge) or self.output_table.get(edge)
        if declared is not None:
            return declared.domain
        return next((line.domain for line in self.writers.get(edge, ())), None)

    @cached_property
    def restriction_table(self) -> dict[str, Restriction]:
        return dict(self.restrictions)

    @cached_property
    def lines_by_number(self) -> dict[int, Line]:
        return {line.number: line for line in self.lines}

    @cached_property
    def writers(self) -> dict[str, tuple[Line, ...]]:
        """The lines that end in each edge, in written order."""
        table: dict[str, list[Line]] = {}
        for line in self.lines:
            table.setdefault(line.target, []).append(line)
        return {edge: tuple(lines) for edge, lines in table.items()}

    @cached_property
    def readers(self) -> dict[str, tuple[tuple[Line, int], ...]]:
        """Where each edge stands on a left side: the line and the operand's position."""
        table: dict[str, list[tuple[Line, int]]] = {}
        for line in self.lines:
            for position, operand in enumerate(line.operands):
                table.setdefault(operand.edge, []).append((line, position))
        return {edge: tuple(uses) for edge, uses in table.items()}

    def restriction(self, edge: str) -> Restriction | None:
        """What restricts an internal edge, or an inferred output."""
        output = self.output_table.get(edge)
        return output.restriction if output is not None else self.restriction_table.get(edge)

    def multiplicity(self, line: Line, irrep: Irrep) -> int | None:
        """The multiplicity that a restriction names for an irrep of a line's right edge. Kept paths share it: it says
        nothing of a single one."""
        restriction = self.restriction(line.target)
        return None if restriction is None or line.keeps else restriction.multiplicities.get(irrep)

    def keeps_paths(self, edge: str) -> bool:
        """An internal edge keeps its paths apart unless a weight sums them, or several lines add up in it."""
        if edge in self.tensor_legs or edge in self.output_table:
            return False
        writers = self.writers.get(edge, ())
        return len(writers) == 1 and not writers[0].sums_paths

    def subtree(self, edge: str) -> Line | None:
        """The line below an edge that keeps its paths: a tree runs on through it. None where a tree has a leaf."""
        return self.writers[edge][0] if self.keeps_paths(edge) else None

    @cached_property
    def digraph(self) -> nx.DiGraph:
        """Bipartite: edges by name, lines by number."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.tensor_legs)
        for line in self.lines:
            graph.add_edges_from((operand.edge, line.number) for operand in line.operands)
            graph.add_edge(line.number, line.target)
        return graph

    def cycle(self) -> tuple[Line, ...]:
        """The lines of one directed cycle, or nothing."""
        if self._is_in_order:
            return ()
        try:
            arcs = nx.find_cycle(self.digraph)
        except nx.NetworkXNoCycle:
            return ()
        return tuple(self.lines_by_number[tail] for tail, _ in arcs if isinstance(tail, int))

    @cached_property
    def _is_in_order(self) -> bool:
        """Whether each line, as written, comes after the lines that write its operands: most diagrams are."""
        last = {line.target: place for place, line in enumerate(self.lines)}
        return all(
            last.get(operand.edge, -1) < place for place, line in enumerate(self.lines) for operand in line.operands
        )

    @cached_property
    def _ordered(self) -> tuple[Line, ...]:
        if self._is_in_order:
            return self.lines
        key = {node: place for place, node in enumerate(self.digraph)}
        nodes = nx.lexicographical_topological_sort(self.digraph, key=key.__getitem__)
        return tuple(self.lines_by_number[node] for node in nodes if isinstance(node, int))

    def ordered(self) -> tuple[Line, ...]:
        """Lines so that each comes after the lines that write its operands; ties in written order."""
        return self._ordered

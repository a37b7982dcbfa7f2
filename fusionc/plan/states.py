"""States: what a plan computes once and uses wherever it is needed.

A state is a coupled value of some leaves: an atom (a block of an edge), a scalar (a part of a weight), two states
fused into an irrep, or a state summed over a site index. States with the same leaves in the same tree stand side by
side in one *node*. Indices are numbered in order of appearance and named where a state is used, so that equal functions
are one state however their indices are called and in whichever order the operands of a vertex were written.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import ONE, ZERO, Surd
from fusionc.diagram.ir import Weight
from fusionc.plan.ties import Names, Ties


@dataclass(frozen=True, eq=False)
class Node:
    """A place in a plan: the states that differ in labels only. `channels`, `sites`: how many indices they have;
    `domain`: what they live on ("" the batch, or the name of sites or pairs)."""

    number: int
    channels: int
    domain: str
    leaves: tuple[str, ...] = field(repr=False)
    """The edges that meet in it, from left to right (for words)."""


@dataclass(frozen=True, eq=False)
class Atom:
    """A block of an edge."""

    edge: str
    block: int


@dataclass(frozen=True, eq=False)
class Scalar:
    """A path's part of a weight that is coupled like an edge. `sites`: the names that the sites of its domain have in
    it."""

    weight: Weight
    path: int
    sites: Names


@dataclass(frozen=True, eq=False)
class Pair:
    """Two states fused by an isometric vertex. Channels of theirs whose numbers the pair does not have are summed."""

    left: Use
    right: Use
    copy: int


@dataclass(frozen=True, eq=False)
class Summed:
    """A state over pairs summed into the sites of the other row, or a state over sites or pairs into one value:
    `row` is the one that is kept, None where none is."""

    inner: State
    row: int | None


What = Atom | Scalar | Pair | Summed


@dataclass(frozen=True, eq=False)
class State:
    """`sizes` are those of the channels, by number. States are made once (`StateTable`) and compared by identity."""

    number: int
    node: Node
    irrep: Irrep
    sizes: tuple[int, ...]
    what: What


@dataclass(frozen=True)
class Use:
    """A state with names for its indices: `channels` by number; `sites` none, one, or two in the relation's order."""

    state: State
    channels: Names
    sites: Names

    @property
    def extents(self) -> dict[str, int]:
        return dict(zip(self.channels, self.state.sizes, strict=True))

    @property
    def irrep(self) -> Irrep:
        return self.state.irrep


@dataclass
class StateTable:
    """Makes states, each once."""

    group: Group
    states: list[State] = field(default_factory=list)
    _known: dict[Any, State] = field(default_factory=dict)
    _nodes: dict[Any, Node] = field(default_factory=dict)

    def atom(self, edge: str, block: int, irrep: Irrep, sizes: tuple[int, ...], domain: str) -> State:
        # (a block of multiplicity 1 may stand with and without a bracket: with one channel axis, and with none)
        node = self._node((edge, len(sizes)), len(sizes), domain, (edge,))
        return self._state((edge, block, sizes), node, irrep, sizes, Atom(edge, block))

    def scalar(self, weight: Weight, path: int, sites: Names, sizes: tuple[int, ...], ties: Ties) -> State:
        """A weight's part for a path; weights of one name are apart where their rows are read at other sites."""
        found = ties.domain(sites)
        assert found is not None
        domain, places = found[0], {name: number for number, name in enumerate(found[1])}
        reads = tuple(tuple(places[site] for site in row) for row in weight.row_sites)
        key = ("weight", weight.name, weight.rows, reads, domain)
        node = self._node((key, len(sizes)), len(sizes), domain, (weight.name,))
        what = Scalar(weight, path, sites)
        return self._state((key, path, sizes), node, self.group.trivial, sizes, what)

    def pair(
        self, left: Use, right: Use, irrep: Irrep, copy: int, ties: Ties, summed: Container[str] = ()
    ) -> tuple[Use, Surd]:
        """Two states fused, and the factor that the canonical order of the two brings: zero where equal operands
        cancel. Channels among `summed` end here; they have the last numbers. Raises ValueError where no relation ties
        their sites."""
        sign, first, second = ONE, _rank(left), _rank(right)
        if second < first:
            sign = self.group.r_symbol(right.irrep, left.irrep, irrep)  # vertex(l, r) = R vertex(r, l), and R = 1/R
            left, right = right, left
        elif left == right and self.group.r_symbol(left.irrep, right.irrep, irrep) != ONE:
            sign = ZERO
        found = ties.domain((*left.sites, *right.sites))
        if found is None:
            raise ValueError(f"no relation ties {left.sites} and {right.sites}")
        domain, sites = found
        everything = left.extents | right.extents
        extents = {name: size for name, size in everything.items() if name not in summed}
        names = {name: str(number) for number, name in enumerate(extents | everything)}
        places = {name: str(number) for number, name in enumerate(sites)}
        one, two = _bound(left, names, places), _bound(right, names, places)
        shape = (one.state.node.number, one.channels, one.sites, two.state.node.number, two.channels, two.sites, domain)
        edges = (*left.state.node.leaves, *right.state.node.leaves)
        node = self._node((*shape, len(extents)), len(extents), domain, edges)
        key = (
            one.state.number,
            one.channels,
            one.sites,
            two.state.number,
            two.channels,
            two.sites,
            irrep,
            copy,
            domain,
            len(extents),
        )
        state = self._state(key, node, irrep, tuple(extents.values()), Pair(one, two, copy))
        return Use(state, tuple(extents), sites), sign

    def summed(self, use: Use, index: str, ties: Ties) -> Use:
        """A state summed over one of its site indices."""
        kept = tuple(name for name in use.sites if name != index)
        row = use.sites.index(kept[0]) if kept else None
        domain = ties.sets[kept[0]] if kept else ""
        inner = use.state
        node = self._node(("sum", inner.node.number, row), inner.node.channels, domain, inner.node.leaves)
        state = self._state(("sum", inner.number, row), node, inner.irrep, inner.sizes, Summed(inner, row))
        return Use(state, use.channels, kept)

    def _node(self, key: Any, channels: int, domain: str, leaves: tuple[str, ...]) -> Node:
        if key not in self._nodes:
            shown = leaves if len(leaves) <= 12 else (*leaves[:12], "…")
            self._nodes[key] = Node(len(self._nodes), channels, domain, shown)
        return self._nodes[key]

    def _state(self, key: Any, node: Node, irrep: Irrep, sizes: tuple[int, ...], what: What) -> State:
        if key not in self._known:
            state = State(len(self.states), node, irrep, sizes, what)
            self.states.append(state)
            self._known[key] = state
        return self._known[key]


def _rank(use: Use) -> tuple[int, int, int]:
    """What orders two operands of a vertex: more channels first, then by node and number."""
    return -len(use.channels), use.state.node.number, use.state.number


def _bound(use: Use, names: Mapping[str, str], places: Mapping[str, str]) -> Use:
    return Use(use.state, tuple(names[c] for c in use.channels), tuple(places[s] for s in use.sites))

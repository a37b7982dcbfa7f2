"""Where the values of a diagram are while it is lowered: blocks of edges, states of nodes, parts of weights.

Everything stands in wide values, side by side, one for each set of channel sizes: what is alike is computed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fusionc.algebra.surds import ONE, Surd
from fusionc.diagram.ir import Weight
from fusionc.diagram.paths import PathTable
from fusionc.plan.expand import without_units
from fusionc.plan.states import Atom, Node, Pair, Scalar, State, Summed
from fusionc.plan.ties import Names
from fusionc.plan.vertices import vertex
from fusionc.program.build import Builder
from fusionc.program.fuse import Meeting, Side, fuse
from fusionc.program.ir import BATCH, Gather, LegBlock, Linear, Pool, Scatter, Spread, WeightBlock

Sizes = tuple[int, ...]


@dataclass
class Values:
    """Values by what they are; sizes of channels are those without ones. `demand` has to name every state before the
    first is made: a node is made at once."""

    table: PathTable
    builder: Builder
    _edges: dict[tuple[str, Sizes], Side] = field(default_factory=dict)
    _wanted: dict[tuple[int, Sizes], dict[int, State]] = field(default_factory=dict)
    _nodes: dict[tuple[int, Sizes], Side] = field(default_factory=dict)
    _scales: dict[int, Surd] = field(default_factory=dict)

    def mark(self) -> tuple[int, int, int]:
        return self.builder.mark(), len(self._edges), len(self._nodes)

    def back_to(self, mark: tuple[int, int, int]) -> None:
        """Forget every value that was made since a mark."""
        self.builder.back_to(mark[0])
        for table, size in ((self._edges, mark[1]), (self._nodes, mark[2])):
            while len(table) > size:
                table.popitem()

    # --- states ------------------------------------------------------------------------------------------------

    def demand(self, states: Iterable[State]) -> None:
        """States that will be asked for, with all that they are made of."""
        todo = list(states)
        while todo:
            state = todo.pop()
            known = self._wanted.setdefault((state.node.number, state.sizes), {})
            if state.number in known:
                continue
            known[state.number] = state
            if isinstance(state.what, Pair):
                todo += [state.what.left.state, state.what.right.state]
            elif isinstance(state.what, Summed):
                todo.append(state.what.inner)

    def scale(self, state: State) -> Surd:
        """The factor between a state and the value that stands for it (gauges are taken out of vertices)."""
        todo = [] if state.number in self._scales else [state]
        while todo:
            node = todo[-1]
            below = _below(node)
            missing = [child for child in below if child.number not in self._scales]
            if missing:
                todo += missing
                continue
            todo.pop()
            scale = self._gauge(node)
            for child in below:
                scale = scale * self._scales[child.number]
            self._scales[node.number] = scale
        return self._scales[state.number]

    def _gauge(self, state: State) -> Surd:
        if not isinstance(state.what, Pair):
            return ONE
        graph, what = self.table.graph, state.what
        return vertex(graph.group, graph.basis, what.left.irrep, what.right.irrep, state.irrep, what.copy).gauge

    def node(self, state: State) -> Side:
        """The value in which a state stands, with all others of its node that are wanted; channels by number."""
        todo = [state]
        while todo:  # no recursion: trees may be deep
            last = todo[-1]
            key = (last.node.number, last.sizes)
            missing = [s for s in _below(last) if (s.node.number, s.sizes) not in self._nodes]
            if key in self._nodes:
                todo.pop()
            elif missing:
                todo += missing
            else:
                self._nodes[key] = self._make(last.node, sorted(self._wanted[key].items()))
                todo.pop()
        return self._nodes[state.node.number, state.sizes]

    def _make(self, node: Node, wanted: Sequence[tuple[int, State]]) -> Side:
        states = [state for _, state in wanted]
        names = tuple(str(number) for number in range(node.channels))
        first = states[0].what
        if isinstance(first, Atom):
            side = self.edge(first.edge, states[0].sizes)
            starts = {s.number: side.starts[s.what.block] for s in states if isinstance(s.what, Atom)}
            return Side(side.value, names, starts)
        if isinstance(first, Scalar):
            paths = {s.number: s.what.path for s in states if isinstance(s.what, Scalar)}
            side = self.weight(first.weight, [*paths.values()], node.domain, first.sites)
            return Side(side.value, names, {number: side.starts[path] for number, path in paths.items()})
        if isinstance(first, Summed):
            inner = self.node(first.inner)
            starts = {s.number: inner.starts[s.what.inner.number] for s in states if isinstance(s.what, Summed)}
            return Side(self.summed(inner.value, first.row, node.domain), names, starts)
        assert isinstance(first, Pair)
        left, right = self.sides(first, node)
        graph = self.table.graph
        meetings, dims = {}, {}
        for state in states:
            assert isinstance(state.what, Pair)
            one, two = state.what.left.state, state.what.right.state
            entries = vertex(graph.group, graph.basis, one.irrep, two.irrep, state.irrep, state.what.copy).entries
            meetings[state.number] = [Meeting(one.number, two.number, entries)]
            dims[state.number] = graph.group.dim(state.irrep)
        return fuse(self.builder, left, right, meetings, dims, names, " ".join(node.leaves))

    def sides(self, pair: Pair, node: Node) -> tuple[Side, Side]:
        """The two operands of a pair on the domain of its node."""
        sites = tuple(str(number) for number in range(len({*pair.left.sites, *pair.right.sites})))
        return (
            self.at(
                self.node(pair.left.state),
                pair.left.state.node.domain,
                pair.left.channels,
                pair.left.sites,
                node.domain,
                sites,
            ),
            self.at(
                self.node(pair.right.state),
                pair.right.state.node.domain,
                pair.right.channels,
                pair.right.sites,
                node.domain,
                sites,
            ),
        )

    # --- domains -----------------------------------------------------------------------------------------------

    def at(self, side: Side, domain: str | None, names: Names, sites: Names, target: str, target_sites: Names) -> Side:
        """A value on another domain: read at one end of each pair, or the same for all sites."""
        return Side(self.moved(side.value, domain, sites, target, target_sites), names, side.starts)

    def moved(self, value: int, domain: str | None, sites: Names, target: str, target_sites: Names) -> int:
        if domain is None or (domain == target and sites == target_sites):
            return value
        source = self.builder[value]
        if not sites:
            return (
                self.builder.emit(Spread(value), source.components, source.channels, target) if target_sites else value
            )
        row = target_sites.index(sites[0])
        op = Gather(value, target, row)
        return self.builder.emit(op, source.components, source.channels, target, f"at row {row} of {target}")

    def summed(self, value: int, row: int | None, domain: str) -> int:
        """A value over pairs summed into the sites of a row, or over all sites."""
        source = self.builder[value]
        if row is None:
            return self.builder.emit(Pool(value), source.components, source.channels, domain, "summed over all sites")
        assert source.domain
        op = Scatter(value, source.domain, row)
        return self.builder.emit(
            op, source.components, source.channels, domain, f"summed into row {row} of {source.domain}"
        )

    # --- edges -------------------------------------------------------------------------------------------------

    def edge(self, edge: str, sizes: Sizes) -> Side:
        """All blocks of an edge with these channel sizes in one value, by their places."""
        key = (edge, sizes)
        if key not in self._edges:
            self._edges[key] = self._leg(edge, sizes)
        return self._edges[key]

    def set_edge(self, edge: str, sizes: Sizes, side: Side) -> None:
        self._edges[edge, sizes] = side

    def _leg(self, name: str, sizes: Sizes) -> Side:
        """The runs of blocks with one multiplicity that stand side by side are views; several runs are joined."""
        graph = self.table.graph
        leg = graph.tensor_legs[name]
        offsets, dim = leg.space.offsets(graph.group), graph.group.dim
        runs: list[list[int]] = []
        for place, block in enumerate(leg.space.blocks):
            if (block.mul,) != sizes and not (sizes == () and block.mul == 1):
                continue
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
        views, starts, total = [], {}, 0
        for run in runs:
            dims = tuple(dim(leg.space.blocks[place].irrep) for place in run)
            op = LegBlock(name, offsets[run[0]], dims)
            views.append(self.builder.emit(op, sum(dims), sizes, leg.domain or BATCH, f"{name}"))
            for place, size in zip(run, dims, strict=True):
                starts[place] = total
                total += size
        return Side(joined(self.builder, views), (), starts)

    # --- weights -----------------------------------------------------------------------------------------------

    def weight(self, factor: Weight, numbers: Sequence[int], over: str, sites: Names) -> Side:
        """The parts of a weight that belong to some paths, of one shape, one component each. `over` is the domain where
        all that selects its rows is known, `sites` are the site indices there."""
        layout, graph = self.table.weights[factor.name], self.table.graph
        parts = list(dict.fromkeys(number if factor.has_path else 0 for number in numbers))
        runs: list[list[int]] = []
        for part in parts:
            if runs and runs[-1][-1] == part - 1:
                runs[-1].append(part)
            else:
                runs.append([part])
        domain: str | None = None
        if factor.name in graph.weights_legs:
            domain = graph.weights_legs[factor.name].domain or BATCH
        elif factor.rows:
            domain = over
        reads = tuple(
            (over, sites.index(own[0])) if len(own) == 1 and len(sites) == 2 else None for own in factor.row_sites
        )
        names, shape = without_units(factor.channels, layout.shapes[parts[0]])
        views = [
            self.builder.emit(
                WeightBlock(factor.name, layout.offsets[run[0]], factor.rows, reads),
                len(run),
                shape,
                domain,
                factor.name,
            )
            for run in runs
        ]
        starts = {part: at for at, part in enumerate(parts)}
        by_path = {number: starts[number if factor.has_path else 0] for number in numbers}
        return Side(joined(self.builder, views), names, by_path)


def joined(builder: Builder, values: Sequence[int], note: str = "") -> int:
    """Values of equal channels one behind the other."""
    if len(values) == 1:
        return values[0]
    entries, total = [], 0
    for source, value in enumerate(values):
        entries += [(source, i, total + i, ONE) for i in range(builder[value].components)]
        total += builder[value].components
    first = builder[values[0]]
    return builder.emit(Linear(tuple(values), tuple(entries)), total, first.channels, first.domain, note)


def _below(state: State) -> tuple[State, ...]:
    if isinstance(state.what, Pair):
        return state.what.left.state, state.what.right.state
    return (state.what.inner,) if isinstance(state.what, Summed) else ()

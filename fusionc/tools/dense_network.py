"""Each path of a diagram as a tensor network: blocks of operands, vertex tensors and weights, with named axes.

    x --i--[vertex]--k--[vertex]--m-->        every tree between plain edges becomes one `Term`;
    a --j----'            |                   terms that end in the same block are added up
              b ----l-----'

A tree that runs through internal edges that keep their paths is one network, so that a plan may cross those edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import Surd
from fusionc.algebra.tensors import ExactTensor
from fusionc.diagram.ir import Line
from fusionc.diagram.normalize import PathScales, vertex_scale
from fusionc.diagram.paths import LinePaths, PathTable, Tree
from fusionc.rewrite.fragments import expand

COMPONENT = "."
"""What the names of component axes start with; the names of channel axes start with the index's name."""


@dataclass(frozen=True)
class EdgeSource:
    """A block of a leg or of a plain internal edge; axes: its channels, then its component."""

    edge: str
    place: int


@dataclass(frozen=True)
class WeightSource:
    """The part of a weight that belongs to one path; axes: its bracket's channels."""

    weight: str
    rows: tuple[str, ...]
    part: int


@dataclass(frozen=True)
class ConstantSource:
    """A vertex tensor, scaled; axes: one for each coupled edge."""

    tensor: ExactTensor
    label: str


@dataclass(frozen=True)
class ScaleSource:
    """A number; no axes."""

    value: Surd


Source = EdgeSource | WeightSource | ConstantSource | ScaleSource


@dataclass(frozen=True)
class Factor:
    """One tensor of a network; two factors that share an axis are contracted over it, unless the output keeps it."""

    source: Source
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """One path's contribution to a block of an edge.

    `written` contracts the factors two by two as the diagram was written: pairs of numbers, where 0 … n-1 are the
    factors
    and n + k is the result of step k. `stages` is the same in larger steps, one for each vertex with its weights; a
    plan may order the inside of a stage.
    """

    edge: str
    place: int
    factors: tuple[Factor, ...]
    axes: tuple[str, ...]
    sizes: dict[str, int] = field(hash=False)
    written: tuple[tuple[int, int], ...]
    stages: tuple[tuple[int, ...], ...]
    batched_weights: frozenset[str]
    note: str


@dataclass(frozen=True)
class EdgeTerms:
    """All terms of one plain edge or output, lines in written order and paths in path order; `keeps`: not added up."""

    edge: str
    terms: tuple[Term, ...]
    keeps: bool


def networks(table: PathTable) -> tuple[EdgeTerms, ...]:
    """The networks of every plain internal edge and every output, each edge after those it is made of."""
    expander = _Expander(table, PathScales(table))
    graph, done = table.graph, []
    for line in graph.ordered():
        is_tree = line.target not in graph.output_table and graph.keeps_paths(line.target)
        writers = graph.writers[line.target]
        if is_tree or line.number != _last(writers, table):
            continue
        terms = [
            term
            for writer in writers
            for number in range(len(table.lines[writer.number].trees))
            for term in expander.terms(table.lines[writer.number], number)
        ]
        if line.keeps:
            terms.sort(key=lambda term: term.place)  # stable: path-major inside each block
        done.append(EdgeTerms(line.target, tuple(terms), line.keeps))
    return tuple(done)


def _last(writers: tuple[Line, ...], table: PathTable) -> int:
    """The writer that comes last in the order of the graph: behind it all lines of the edge are known."""
    order = {number: place for place, number in enumerate(table.lines)}
    return max((writer.number for writer in writers), key=order.__getitem__)


@dataclass
class _Draft:
    """A network under construction."""

    factors: list[Factor] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    scale: Surd = field(default_factory=lambda: Surd.of(1))
    vertices: list[int] = field(default_factory=list)

    def add(self, source: Source, axes: tuple[str, ...]) -> int:
        self.factors.append(Factor(source, axes))
        return len(self.factors) - 1

    def axis(self, name: str, size: int) -> str:
        """A fresh axis."""
        label = f"{name}{len(self.sizes)}"
        self.sizes[label] = size
        return label


@dataclass(frozen=True)
class _Place:
    """A path of a line: its number, and its tree (in a fragment, one of those that it is a sum of)."""

    paths: LinePaths
    number: int
    tree: Tree


@dataclass(frozen=True)
class _Frame:
    """One line's path inside a tree: its axes, the axis of each operand's component, and the frames of its subtrees."""

    place: _Place
    channels: dict[str, str]
    component: str
    components: tuple[str, ...]
    children: tuple[int | None, ...]

    @property
    def paths(self) -> LinePaths:
        return self.place.paths

    @property
    def tree(self) -> Tree:
        return self.place.tree


@dataclass(frozen=True)
class _Expander:
    table: PathTable
    scales: PathScales

    def terms(self, paths: LinePaths, number: int) -> Iterator[Term]:
        """One term for a path, or in a fragment one for each coupling tree that its loops leave."""
        tree, fragment = paths.trees[number], paths.line.fragment
        if fragment is None:
            yield self._term(paths, number, tree, Surd.of(1))
            return
        for steps, coefficient in expand(self.table.graph, fragment, tree):
            yield self._term(paths, number, replace(tree, steps=steps), coefficient)

    def _term(self, paths: LinePaths, number: int, tree: Tree, coefficient: Surd) -> Term:
        draft = _Draft(scale=coefficient)
        sizes, line = paths.sizes(tree), paths.line
        channels = {index: draft.axis(index, sizes[index]) for index in line.channels}
        component = draft.axis(COMPONENT, self._dim(tree.irrep))
        frames = self._frames(draft, _Place(paths, number, tree), channels, component)
        pieces: dict[int, int] = {}
        groups: list[tuple[list[int], list[int]]] = []
        for place in range(len(frames) - 1, -1, -1):
            self._fill(draft, frames, place, pieces, groups)
        if draft.vertices:
            _scale_last(draft)
        elif draft.scale != Surd.of(1):
            groups[-1][0].append(draft.add(ScaleSource(draft.scale), ()))
        written, stages = _numbered(len(draft.factors), groups)
        axes = (*channels.values(), component)
        return Term(
            edge=line.target,
            place=tree.place,
            factors=tuple(draft.factors),
            axes=axes,
            sizes=draft.sizes,
            written=written,
            stages=stages,
            batched_weights=frozenset(self.table.graph.weights_legs),
            note=self._note(frames),
        )

    def _dim(self, irrep: Irrep) -> int:
        return self.table.graph.group.dim(irrep)

    def _frames(self, draft: _Draft, root: _Place, channels: dict[str, str], component: str) -> list[_Frame]:
        """The lines of a tree from the root to the leaves, with all axes named (no recursion: trees may be deep)."""
        frames: list[_Frame | None] = [None]
        todo = [(0, root, channels, component)]
        while todo:
            place, path, channels, component = todo.pop()
            paths, tree, operands = path.paths, path.tree, path.paths.line.operands
            sizes = paths.sizes(tree)
            channels = channels | {i: draft.axis(i, sizes[i]) for i in paths.indices if i not in channels}
            components, children = [], []
            for operand, block in zip(operands, tree.blocks, strict=True):
                irrep = self.table.blocks[operand.edge][block].irrep
                axis = component if len(operands) == 1 else draft.axis(COMPONENT, self._dim(irrep))
                components.append(axis)
                child = self._subtree(operand.edge)
                children.append(len(frames) if child else None)
                if child is not None:
                    own = (channels[index] for index in operand.channels)
                    inner = dict(zip(child.line.channels, own, strict=True))
                    todo.append((len(frames), _Place(child, block, child.trees[block]), inner, axis))
                    frames.append(None)
            frames[place] = _Frame(path, channels, component, tuple(components), tuple(children))
        return [frame for frame in frames if frame is not None]

    def _subtree(self, edge: str) -> LinePaths | None:
        line = self.table.graph.subtree(edge)
        return None if line is None else self.table.lines[line.number]

    def _fill(
        self,
        draft: _Draft,
        frames: list[_Frame],
        place: int,
        pieces: dict[int, int],
        groups: list[tuple[list[int], list[int]]],
    ) -> None:
        """Add the factors of one line; a group collects the factors and the earlier groups that meet in a vertex."""
        frame, graph = frames[place], self.table.graph
        line, tree, normalize = frame.paths.line, frame.tree, graph.settings.normalize
        draft.scale = draft.scale * self.scales.scale(frame.paths, tree) * Surd.of(line.factor)
        group: tuple[list[int], list[int]] = ([], [])
        left_axis, left = frame.components[0], self.table.blocks[line.operands[0].edge][tree.blocks[0]].irrep
        for position, (operand, block) in enumerate(zip(line.operands, tree.blocks, strict=True)):
            child, axis = frame.children[position], frame.components[position]
            if child is not None:
                group[1].append(pieces[child])
            else:
                own = tuple(frame.channels[index] for index in operand.channels)
                group[0].append(draft.add(EdgeSource(operand.edge, block), (*own, axis)))
            if position == 0:
                continue
            irrep, (step, copy) = self.table.blocks[operand.edge][block].irrep, tree.steps[position - 1]
            is_last = position == len(line.operands) - 1
            out = frame.component if is_last else draft.axis(COMPONENT, self._dim(step))
            if line.fragment is None:  # the coefficients of a fragment hold its normalisation
                draft.scale = draft.scale * vertex_scale(graph.group, normalize, left, irrep, step)
            vertex = draft.add(self._vertex(left, irrep, step, copy), (left_axis, axis, out))
            draft.vertices.append(vertex)
            group[0].append(vertex)
            left_axis, left = out, step
            if not is_last:
                groups.append(group)
                group = ([], [len(groups) - 1])
        for weight in line.weights:
            source = WeightSource(weight.name, weight.rows, frame.place.number if weight.has_path else 0)
            group[0].append(draft.add(source, tuple(frame.channels[index] for index in weight.channels)))
        groups.append(group)
        pieces[place] = len(groups) - 1

    def _vertex(self, a: Irrep, b: Irrep, c: Irrep, copy: int) -> ConstantSource:
        graph = self.table.graph
        names = [graph.group.format(irrep) for irrep in (a, b, c)]
        tensor = graph.group.vertex(a, b, c, copy, graph.basis)
        return ConstantSource(tensor, f"{names[0]} x {names[1]} -> {names[2]}")

    def _note(self, frames: list[_Frame]) -> str:
        """The path in words: `x 1o, a 2e -> e 1o; e 1o, b 0e -> out 1o`."""
        group, parts = self.table.graph.group, []
        for frame in reversed(frames):
            line, tree = frame.paths.line, frame.tree
            left = ", ".join(
                f"{operand.edge} {group.format(self.table.blocks[operand.edge][block].irrep)}"
                for operand, block in zip(line.operands, tree.blocks, strict=True)
            )
            inner = "".join(f" -> {group.format(irrep)}" for irrep, _ in tree.steps[:-1])
            parts.append(f"{left}{inner} -> {line.target} {group.format(tree.irrep)}")
        return "; ".join(parts) if len(parts) < 8 else "; ".join([*parts[:3], "…", *parts[-3:]])


def _numbered(
    factors: int, groups: list[tuple[list[int], list[int]]]
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, ...], ...]]:
    """Groups as pairwise steps in written order, and as stages.

    A group is (its factors, the earlier groups that it joins); subtrees come first in a pairwise order, then the
    factors.
    """
    written: list[tuple[int, int]] = []
    stages: list[tuple[int, ...]] = []
    result: list[int] = []
    stage_of: list[int] = []
    for own, joined in groups:
        parts = [*(result[group] for group in joined), *own]
        current = parts[0]
        for part in parts[1:]:
            written.append((current, part))
            current = factors + len(written) - 1
        result.append(current)
        members = (*(stage_of[group] for group in joined), *own)
        if len(members) == 1:
            stage_of.append(members[0])
        else:
            stages.append(members)
            stage_of.append(factors + len(stages) - 1)
    return tuple(written), tuple(stages)


def _scale_last(draft: _Draft) -> None:
    """Fold the path's factor into its last vertex tensor: exact, and free at run time."""
    number = draft.vertices[-1]
    factor = draft.factors[number]
    assert isinstance(factor.source, ConstantSource)
    tensor = factor.source.tensor.scaled(draft.scale)
    draft.factors[number] = Factor(ConstantSource(tensor, factor.source.label), factor.axes)

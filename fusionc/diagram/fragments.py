"""Splits, pairs and loops in a diagram with operands: lines that are joined by wires become one line.

    x   -> a b                 x y
    b y -> c          is       | |      a fragment: operands in, one edge out, loops inside
    a c -> out                 out

An internal edge is a wire unless a weight sums its paths. By recoupling, a fragment is for each assignment of irreps
to its wires a sum of coupling trees with exact coefficients (`rewrite.fragments`); no loop is left at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from fusionc.algebra.irreps import Irrep
from fusionc.diagram.ir import Fragment, IndexLeg, Leg, Line, Operand, Restriction, TensorLeg, Weight
from fusionc.diagram.loops import Part, Wiring, parts_of_line
from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, diagnose, write
from fusionc.language.errors import CompileError
from fusionc.language.resolve import unknown_name
from fusionc.language.source import Span
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import networkx as nx
else:
    nx = LazyModule("networkx")


def has_loops(vertices: Sequence[syntax.Vertex]) -> bool:
    """Whether a line splits an edge, makes a pair or closes one."""
    return any(len(vertex.right) != 1 or not vertex.left for vertex in vertices)


def fragments(vertices: Sequence[syntax.Vertex], ends: frozenset[str]) -> list[list[int]]:
    """Lines joined by wires, as lists of their numbers; `ends` are the names of legs and outputs."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(vertices)))
    plain = plain_edges(vertices) | ends
    first: dict[str, int] = {}
    for number, vertex in enumerate(vertices):
        for name in _names(vertex):
            if name not in plain:
                graph.add_edge(first.setdefault(name, number), number)
    return sorted(sorted(component) for component in nx.connected_components(graph))


def plain_edges(vertices: Sequence[syntax.Vertex]) -> frozenset[str]:
    """Edges that are plain spaces: a weight sums their paths, or several lines end in them."""
    writers: dict[str, int] = {}
    summed = set()
    for vertex in vertices:
        for target in vertex.right:
            name = target.edge.name.text
            writers[name] = writers.get(name, 0) + 1
            keeps = any(index.text == "path" for index in target.edge.indices or ())
            if len(vertex.right) == 1 and not keeps and any(_has_path(factor) for factor in vertex.factors):
                summed.add(name)
    return frozenset(summed | {name for name, count in writers.items() if count > 1})


def _has_path(factor: syntax.Factor) -> bool:
    return isinstance(factor, syntax.WeightRef) and any(index.text == "path" for index in factor.indices or ())


def _names(vertex: syntax.Vertex) -> list[str]:
    return [ref.name.text for ref in vertex.left] + [target.edge.name.text for target in vertex.right]


@dataclass
class FragmentBuilder:
    """Makes one line of the lines of a fragment. Raises `CompileError` with what is wrong.

    `weights` are those of the line that ends the fragment, `factor` the product of all fixed factors.
    """

    vertices: Sequence[syntax.Vertex]
    plain: frozenset[str]
    legs: Mapping[str, Leg]
    outputs: frozenset[str]
    restrictions: Mapping[str, Restriction]
    weights: tuple[Weight, ...]
    factor: Fraction
    _operands: list[Operand] = field(default_factory=list)
    _leaves: list[str] = field(default_factory=list)
    _made: dict[str, Span] = field(default_factory=dict)
    _used: dict[str, Span] = field(default_factory=dict)
    _classes: nx.utils.UnionFind = field(default_factory=lambda: nx.utils.UnionFind())
    _channels: dict[str, tuple[tuple[int, str], ...]] = field(default_factory=dict)

    def line(self, number: int) -> Line:
        """The fragment as one line with the given number."""
        parts, spans, root, last = [], list[Span](), None, None
        for place, vertex in enumerate(self.vertices):
            _refuse_forgotten_star(vertex)
            left = [self._operand(place, ref) for ref in vertex.left]
            right = []
            for target in vertex.right:
                name = target.edge.name.text
                self._check_target(target)
                if name in self.outputs or name in self.plain:
                    if root is not None:
                        raise CompileError([_two_ends(root.edge.span, target.edge.span)])
                    root, last = target, (place, vertex)
                    right.append("#root")
                else:
                    right.append(self._wire(place, target.edge, self._made))
            parts += parts_of_line(left, right, vertex.span, f"#{place}.")
            spans += [vertex.span] * (len(parts) - len(spans))
        self._check_wires()
        if root is None or last is None:
            raise CompileError([_no_end(self.vertices[0].span)])
        if not self._operands:
            raise CompileError([_no_operand(root.edge.span)])
        self._check_inner(last[1])
        place = last[0]
        names = self._class_names()
        channels = tuple(i.text for i in root.edge.indices or () if i.text != "path")
        return Line(
            number=number,
            operands=tuple(self._named(operand, names) for operand in self._operands),
            target=root.edge.name.text,
            channels=tuple(names.get(self._classes[place, index], index) for index in channels),
            keeps=any(index.text == "path" for index in root.edge.indices or ()),
            weights=tuple(self._renamed(weight, place, names) for weight in self.weights),
            factor=self.factor,
            span=last[1].span,
            target_span=root.edge.span,
            fragment=Fragment(self._wiring(tuple(parts), tuple(spans)), tuple(self._leaves), "#root"),
        )

    # --- wires and operands ------------------------------------------------------------------------------------

    def _operand(self, place: int, ref: syntax.EdgeRef) -> str:
        name = ref.name.text
        leg = self.legs.get(name)
        if isinstance(leg, IndexLeg) or (leg is not None and not isinstance(leg, TensorLeg)):
            raise CompileError([diagnose("F1008", f"`{name}` is no edge", ref.name.span)])
        if name in self.outputs:
            raise CompileError([diagnose("F1017", f"the output `{name}` stands on the left", ref.name.span)])
        if leg is None and name not in self.plain:
            return self._wire(place, ref, self._used)
        wire = f"{name}#{len(self._leaves)}"
        indices = tuple(index.text for index in ref.indices or ())
        for index in indices:
            self._classes[place, index]
        self._operands.append(Operand(name, tuple(f"{place}:{index}" for index in indices), ref.span))
        self._leaves.append(wire)
        return wire

    def _wire(self, place: int, ref: syntax.EdgeRef, ends: dict[str, Span]) -> str:
        """An end of a wire; its channels are those of its other end."""
        name = ref.name.text
        if name in ends:
            code, what = ("F1014", "used") if ends is self._used else ("F1002", "written")
            raise CompileError(
                [diagnose(code, f"the edge `{name}` is {what} twice", ref.name.span, notes=["a wire has two ends"])]
            )
        ends[name] = ref.name.span
        own = tuple((place, index.text) for index in ref.indices or ())
        other = self._channels.setdefault(name, own)
        if len(own) != len(other):
            message = f"`{name}` has {len(own)} channel indices here and {len(other)} at its other end"
            raise CompileError([diagnose("F1026", message, ref.span)])
        for one, two in zip(own, other, strict=True):
            self._classes.union(one, two)
        return name

    def _check_target(self, target: syntax.Target) -> None:
        if target.edge.name.text in self.legs:
            message = f"the leg `{target.edge.name.text}` stands on the right"
            raise CompileError([diagnose("F1016", message, target.edge.name.span)])

    def _check_wires(self) -> None:
        found: list[Diagnostic] = []
        for name, span in self._used.items():
            if name not in self._made:
                found.append(unknown_name("edge", name, span, [*self.legs, *self._made]))
        for name, span in self._made.items():
            if name not in self._used:
                found.append(diagnose("F1011", f"nothing uses the edge `{name}`", span))
        if found:
            raise CompileError(found)

    def _check_inner(self, last: syntax.Vertex) -> None:
        """Weights and sums over channels belong to the line that ends the fragment."""
        for vertex in self.vertices:
            weights = [factor for factor in vertex.factors if isinstance(factor, syntax.WeightRef)]
            if weights and vertex is not last:
                raise CompileError([_inner_weight(weights[0].span)])
            refs = [(ref.name.text, tuple(i.text for i in ref.indices or ())) for ref in vertex.left]
            if len(refs) > len(set(refs)):
                raise CompileError([_equal_operands(vertex.span)])

    # --- channels: one name for each class of indices that wires make one ----------------------------------------

    def _class_names(self) -> dict[tuple[int, str], str]:
        names: dict[tuple[int, str], str] = {}
        taken: set[str] = set()
        for key in sorted(self._classes):
            root = self._classes[key]
            if root not in names:
                wish, count = root[1], 1
                while wish in taken:
                    wish, count = f"{root[1]}{count}", count + 1
                names[root] = wish
                taken.add(wish)
        return names

    def _named(self, operand: Operand, names: Mapping[tuple[int, str], str]) -> Operand:
        keys = ((int(place), index) for place, index in (channel.split(":", 1) for channel in operand.channels))
        return Operand(operand.edge, tuple(names[self._classes[key]] for key in keys), operand.span)

    def _renamed(self, weight: Weight, place: int, names: Mapping[tuple[int, str], str]) -> Weight:
        channels = tuple(names.get(self._classes[place, index], index) for index in weight.channels)
        return replace(weight, channels=channels)

    def _wiring(self, parts: tuple[Part, ...], spans: tuple[Span, ...]) -> Wiring:
        domains: list[tuple[str, tuple[Irrep, ...]]] = []
        tops: list[tuple[str, Fraction]] = []
        for name in self._made:
            restriction = self.restrictions.get(name)
            if restriction is not None and restriction.lmax is not None:
                tops.append((name, restriction.lmax))
            elif restriction is not None:
                domains.append((name, tuple(restriction.multiplicities)))
        return Wiring(parts, tuple(domains), tuple(tops), self.vertices[0].span, spans)


def _refuse_forgotten_star(vertex: syntax.Vertex) -> None:
    """`-> out[u] W[path, u]` is a split as written, and a weight without its `*` as meant."""
    for target in vertex.right[1:]:
        if any(index.text == "path" for index in target.edge.indices or ()):
            text = target.edge.span.text
            raise CompileError(
                [
                    diagnose(
                        "F1036",
                        f"`{text}` stands on the right as a second edge",
                        target.edge.span,
                        notes=["two edges on the right are a split; a weight is a factor"],
                        help=write(target.edge.span, f"* {text}"),
                    )
                ]
            )


def _two_ends(first: Span, second: Span) -> Diagnostic:
    return diagnose(
        "F4004",
        "wires join two outputs",
        second,
        notes=["lines that are joined by wires end in one edge: a pair of outputs would be one entangled tensor"],
        help="weigh the paths of an internal edge, `* W[path]`: a plain space cuts the wires",
    )


def _no_end(span: Span) -> Diagnostic:
    return diagnose("F4004", "these wires end in no output", span, notes=["a closed part is a number: `fusionc eval`"])


def _no_operand(span: Span) -> Diagnostic:
    return diagnose(
        "F4004",
        "these wires begin at no operand",
        span,
        notes=["what is joined to no operand is a number: `fusionc eval` has it, in a diagram of its own"],
    )


def _inner_weight(span: Span) -> Diagnostic:
    return diagnose(
        "F4004",
        "a weight inside of a loop",
        span,
        notes=["lines that are joined by wires are weighed where they end"],
        help="move the weight to the line that ends in the output",
    )


def _equal_operands(span: Span) -> Diagnostic:
    return diagnose(
        "F4004",
        "equal operands in a line with loops around it",
        span,
        help="couple them in a line of their own and weigh it: `a a -> h * W[path]`",
    )

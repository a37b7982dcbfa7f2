"""Diagrams that are numbers: closed ones, and those from one irrep to itself (DESIGN 1.5).

Every edge is a wire with one end where it is made and one where it is used; there are no channels and no weights. Wires
may form loops. A diagram from one irrep to itself is closed by joining its output to its leg, and divided by the
dimension (Schur's lemma).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import GROUPS, Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.build import term_irreps
from fusionc.diagram.impossible import impossible_vertex
from fusionc.diagram.loops import Labels, Part, Same, Wiring, labelings, parts_of_line
from fusionc.language import syntax
from fusionc.language.diagnostics import CompileError, Diagnostic, diagnose
from fusionc.language.resolve import FlatTerm, ScopedDiagram, declared_twice, unknown_name
from fusionc.language.source import Span


@dataclass(frozen=True)
class WireDiagram:
    """A number: its wires, a fixed factor, and the wire whose dimension divides the result (None for a closed
    diagram)."""

    name: str
    group: Group
    basis: Basis
    wiring: Wiring
    factor: Fraction
    traced: str | None
    span: Span = field(compare=False, repr=False)


def is_number(diagram: syntax.Diagram) -> bool:
    """Whether a diagram can only be a number: without legs and outputs, or with loops between one leg and one output
    and without channels and weights."""
    if not diagram.legs or not diagram.outputs:
        return not diagram.legs and not diagram.outputs
    vertices = [statement for statement in diagram.body if isinstance(statement, syntax.Vertex)]
    loops = any(len(vertex.right) != 1 or not vertex.left for vertex in vertices)
    return loops and len(diagram.legs) == len(diagram.outputs) == 1 and not any(map(_has_channels, vertices))


def _has_channels(vertex: syntax.Vertex) -> bool:
    edges = [*vertex.left, *(target.edge for target in vertex.right)]
    return any(edge.indices for edge in edges) or any(isinstance(f, syntax.WeightRef) for f in vertex.factors)


def wire_diagram(scoped: ScopedDiagram) -> WireDiagram:
    """The wires of a diagram that is a number. Raises `CompileError` with everything that is wrong."""
    builder = _Builder(scoped)
    builder.read()
    if builder.diagnostics:
        raise CompileError(builder.diagnostics)
    group = builder.group
    wiring = Wiring(
        tuple(builder.parts),
        tuple(builder.domains.items()),
        tuple(builder.tops.items()),
        scoped.syntax.name.span,
        tuple(builder.spans),
    )
    if mistake := impossible_vertex(group, wiring, {}):
        raise CompileError([mistake])
    return WireDiagram(
        name=scoped.syntax.name.text,
        group=group,
        basis=scoped.settings.basis or group.default_basis,
        wiring=wiring,
        factor=builder.factor,
        traced=builder.traced,
        span=scoped.syntax.name.span,
    )


@dataclass
class _Builder:
    scoped: ScopedDiagram
    group: Group = field(init=False)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    """Where each part is written."""
    domains: dict[str, tuple[Irrep, ...]] = field(default_factory=dict)
    tops: dict[str, Fraction] = field(default_factory=dict)
    factor: Fraction = Fraction(1)
    traced: str | None = None
    _made: dict[str, Span] = field(default_factory=dict)
    _used: dict[str, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.group = GROUPS[self.scoped.scope.group]

    def read(self) -> None:
        tree = self.scoped.syntax
        self._read_ends(tree)
        for statement in tree.body:
            if isinstance(statement, syntax.Edges):
                for label in statement.labels:
                    self._allow(label.name.text, label.space)
            elif isinstance(statement, syntax.Vertex):
                self._read_vertex(statement)
        self._check_wires()

    def _read_ends(self, tree: syntax.Diagram) -> None:
        """The leg and the output of a diagram from one irrep to itself."""
        for leg in tree.legs:
            if not isinstance(leg.type, syntax.Space) or leg.sites is not None:
                self._refuse("a number has operands without weights, rows and sites", leg.span)
                continue
            self._allow(leg.name.text, leg.type)
            self._made[leg.name.text] = leg.name.span
            self.traced = leg.name.text
        for output in tree.outputs:
            name = "out" if output.name is None else output.name.text
            if isinstance(output.type, syntax.Space):
                self._allow(name, output.type)
            self._used[name] = output.span
            if self.traced is not None:
                self.parts.append(Same(name, self.traced))
                self.spans.append(output.span)
        domains = [self.domains.get(name) for name in (*self._made, *self._used)]
        one_irrep = len(set(domains)) == 1 and all(len(domain or ()) == 1 for domain in domains)
        if tree.legs and not (one_irrep and len(tree.legs) == len(tree.outputs) == 1):
            self.diagnostics.append(_not_one_irrep(tree.name.span))

    def _allow(self, wire: str, space: syntax.Restriction) -> None:
        if isinstance(space, syntax.LMax):
            self.tops[wire] = Fraction(space.value)
            return
        irreps: dict[Irrep, None] = {}
        try:
            terms = self.scoped.scope.flatten(space)
        except CompileError as error:
            self.diagnostics += error.diagnostics
            return
        for flat in terms:
            found = term_irreps(self.group, flat.term)
            if isinstance(found, Diagnostic):
                self.diagnostics.append(found)
            else:
                irreps |= dict.fromkeys(found)
                self._one_channel(flat)
        self.domains[wire] = tuple(irreps)

    def _one_channel(self, flat: FlatTerm) -> None:
        if isinstance(flat.term, syntax.IrrepTerm) and (flat.term.mul or 1) != 1:
            self._refuse("wires of a number have multiplicity one", flat.span)

    def _read_vertex(self, vertex: syntax.Vertex) -> None:
        left = [ref.name.text for ref in vertex.left]
        right = [target.edge.name.text for target in vertex.right]
        edges = [*vertex.left, *(target.edge for target in vertex.right)]
        if any(ref.indices for ref in edges):
            self._refuse("wires of a number have no channels", vertex.span)
        for target in vertex.right:
            if target.restriction is not None:
                self._allow(target.edge.name.text, target.restriction)
        for factor in vertex.factors:
            if isinstance(factor, syntax.Number):
                self.factor *= factor.value
            else:
                self._refuse("a number has no weights", factor.span)
        if vertex.factors and not limits.is_in_range(self.factor):
            self.diagnostics.append(limits.factor_out_of_range(vertex.span))
        for ref in vertex.left:
            self._use(ref.name)
        for target in vertex.right:
            self._make(target.edge.name)
        try:
            self.parts += parts_of_line(left, right, vertex.span, f"#{len(self.parts)}.")
            self.spans += [vertex.span] * (len(self.parts) - len(self.spans))
        except CompileError as error:
            self.diagnostics += error.diagnostics

    def _use(self, name: syntax.Name) -> None:
        if name.text in self._used:
            self.diagnostics.append(
                diagnose("F1014", f"the edge `{name.text}` is used twice", name.span, notes=["a wire has two ends"])
            )
        self._used[name.text] = name.span

    def _make(self, name: syntax.Name) -> None:
        if name.text in self._made:
            self.diagnostics.append(declared_twice(name.text, name.span, self._made[name.text]))
        self._made[name.text] = name.span

    def _refuse(self, reason: str, span: Span) -> None:
        message = f"`{self.scoped.syntax.name.text}` is a number, and this line does not fit one"
        self.diagnostics.append(diagnose("F1036", message, span, notes=[reason]))

    def _check_wires(self) -> None:
        if self.diagnostics:
            return
        for name, span in self._used.items():
            if name not in self._made:
                self.diagnostics.append(unknown_name("edge", name, span, self._made))
        for name, span in self._made.items():
            if name not in self._used:
                self.diagnostics.append(diagnose("F1011", f"nothing uses the edge `{name}`", span))


def _not_one_irrep(span: Span) -> Diagnostic:
    return diagnose(
        "F4004",
        "splits, pairs and loops are not compiled yet in diagrams of this form",
        span,
        notes=["a diagram with loops is a number so far: closed, or from one irrep of multiplicity 1 to itself"],
    )


def all_labelings(diagram: WireDiagram) -> list[Labels]:
    """All labelings as a list. Raises `CompileError` with F1035, or with F3005 where there are too many."""
    found: list[Labels] = []
    for labels in labelings(diagram.group, diagram.wiring, {}):
        found.append(labels)
        if len(found) > limits.MAX_EMITTED_PATHS:
            raise CompileError([limits.too_many_paths(diagram.span, len(found), "this diagram")])
    return found

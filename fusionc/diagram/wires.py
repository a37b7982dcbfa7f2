"""Diagrams that are numbers: closed ones, and those from one irrep to one irrep (DESIGN 1.5).

Every edge is a wire with one end where it is made and one where it is used; there are no channels and no weights. Wires
may form loops. A diagram from one irrep to itself is closed by joining its output to its leg, and divided by the
dimension; between two different irreps it is zero (Schur's lemma).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import GROUPS, Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.build import missing_basis, term_irreps
from fusionc.diagram.fragments import has_loops
from fusionc.diagram.impossible import impossible_vertex
from fusionc.diagram.loops import Labels, Part, Same, Wiring, labelings, parts_of_line
from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.language.errors import CompileError
from fusionc.language.resolve import FlatTerm, ScopedDiagram, declared_twice, unknown_name
from fusionc.language.source import Span


@dataclass(frozen=True)
class WireDiagram:
    """A number: its wires, how their vertices are normalised, a fixed factor, and the wire whose dimension divides the
    result (None for a closed diagram). Between two different irreps the number is zero (`vanishes`)."""

    name: str
    group: Group
    basis: Basis
    normalize: str
    wiring: Wiring
    factor: Fraction
    traced: str | None
    span: Span = field(compare=False, repr=False)
    vanishes: bool = False


def is_number(scoped: ScopedDiagram) -> bool:
    """Whether a diagram can only be a number: without legs and outputs, or with loops between one irrep and one irrep
    and without channels and weights. What is wrong with it is then a mistake in a number."""
    tree = scoped.syntax
    if is_closed(tree):
        return True
    return is_wired(tree) and has_loops(_vertices(tree)) and _joins_irreps(scoped)


def is_closed(tree: syntax.Diagram) -> bool:
    """Whether a diagram has neither legs nor outputs."""
    return not tree.legs and not tree.outputs


def is_wired(tree: syntax.Diagram) -> bool:
    """Whether a diagram has one leg, one output, no channels and no weights."""
    return len(tree.legs) == len(tree.outputs) == 1 and not any(map(_has_channels, _vertices(tree)))


def _vertices(tree: syntax.Diagram) -> list[syntax.Vertex]:
    return [statement for statement in tree.body if isinstance(statement, syntax.Vertex)]


def _has_channels(vertex: syntax.Vertex) -> bool:
    edges = [*vertex.left, *(target.edge for target in vertex.right)]
    return any(edge.indices for edge in edges) or any(isinstance(f, syntax.WeightRef) for f in vertex.factors)


def _joins_irreps(scoped: ScopedDiagram) -> bool:
    """Whether leg and output carry one irrep each, of multiplicity 1; yes where that is not known for a mistake."""
    leg, output = scoped.syntax.legs[0], scoped.syntax.outputs[0]
    if leg.sites is not None or output.sites is not None:
        return False
    for space in (leg.type, output.type):
        if not isinstance(space, syntax.Space):
            return False
        try:
            terms = [flat.term for flat in scoped.scope.flatten(space)]
        except CompileError:
            continue
        if len(terms) != 1 or not isinstance(terms[0], syntax.IrrepTerm) or (terms[0].mul or 1) != 1:
            return False
    return True


def wire_diagram(scoped: ScopedDiagram) -> WireDiagram:
    """The wires of a diagram that is a number. Raises `CompileError` with everything that is wrong."""
    group = GROUPS[scoped.scope.group]
    if scoped.settings.basis not in (None, *group.bases):
        raise CompileError([missing_basis(scoped, group)])
    builder = _Builder(scoped, group)
    builder.read()
    if builder.diagnostics:
        raise CompileError(builder.diagnostics)
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
        normalize=scoped.settings.normalize,
        wiring=wiring,
        factor=builder.factor,
        traced=builder.traced,
        span=scoped.syntax.name.span,
        vanishes=builder.vanishes,
    )


@dataclass
class _Builder:
    scoped: ScopedDiagram
    group: Group
    diagnostics: list[Diagnostic] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    """Where each part is written."""
    domains: dict[str, tuple[Irrep, ...]] = field(default_factory=dict)
    tops: dict[str, Fraction] = field(default_factory=dict)
    factor: Fraction = Fraction(1)
    traced: str | None = None
    vanishes: bool = False
    _made: dict[str, Span] = field(default_factory=dict)
    _used: dict[str, Span] = field(default_factory=dict)

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
        domains = [self.domains.get(name) for name in (*self._made, *self._used)]
        if not tree.legs or self.diagnostics:
            return
        if not (len(domains) == 2 and all(len(domain or ()) == 1 for domain in domains)):
            self.diagnostics.append(_not_one_irrep(tree.name.span))
        elif domains[0] != domains[1]:
            self.vanishes = True
        else:
            self.parts = [Same(name, self.traced) for name in self._used if self.traced is not None]
            self.spans = [output.span for output in tree.outputs]

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
            found = term_irreps(self.group, flat.term, limits.MAX_NUMBER_L)
            if isinstance(found, Diagnostic):
                self.diagnostics.append(found)
            else:
                irreps |= dict.fromkeys(found)
                self._one_channel(flat)
        self.domains[wire] = tuple(irreps)

    def _one_channel(self, flat: FlatTerm) -> None:
        if (flat.term.mul or 1) != 1:
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
        "F1036",
        "a number goes from one irrep to one irrep",
        span,
        notes=["a number is closed, or goes from one irrep of multiplicity 1 to one irrep of multiplicity 1"],
    )


def all_labelings(diagram: WireDiagram) -> list[Labels]:
    """All labelings as a list; none of a number that vanishes. Raises `CompileError` with F1035, or with F3005 where
    there are too many."""
    if diagram.vanishes:
        return []
    found: list[Labels] = []
    for labels in labelings(diagram.group, diagram.wiring, {}):
        found.append(labels)
        if len(found) > limits.MAX_EMITTED_PATHS:
            raise CompileError([limits.too_many_paths(diagram.span, len(found), "this diagram")])
    return found

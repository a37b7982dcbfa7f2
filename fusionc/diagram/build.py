"""Checked syntax to graph IR: edges find their ends, indices their places, irreps their group.

Every mistake becomes one diagnostic; what depends on a mistake is poisoned, not reported again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from fusionc.algebra.groups import GROUPS, Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.fragments import FragmentBuilder, fragments, has_loops, plain_edges
from fusionc.diagram.ir import (
    Block,
    FusionGraph,
    IndexLeg,
    Leg,
    Line,
    Operand,
    Output,
    Relation,
    Restriction,
    Space,
    TensorLeg,
    Weight,
    WeightsLeg,
)
from fusionc.diagram.site_mistakes import name_is_taken
from fusionc.diagram.sites import SiteReader, declared_domain, in_order, relations_of, used_domains
from fusionc.diagram.structure import check_brackets, check_indices, check_line, check_structure
from fusionc.diagram.unsupported import unsupported_features
from fusionc.language import syntax
from fusionc.language.diagnostics import (
    Advice,
    Diagnostic,
    Edit,
    Repair,
    diagnose,
    instead,
    without,
    without_later_term,
    write,
)
from fusionc.language.errors import CompileError
from fusionc.language.resolve import (
    FlatTerm,
    Leaf,
    Scope,
    ScopedDiagram,
    declared_twice,
    meant,
    names_in,
    nearest_name,
    nothing_of_something,
    unknown_name,
)
from fusionc.language.source import Span

MAX_SUGGESTIONS = 100  # unknown names of one diagram for which a near one is searched


def build(diagram: ScopedDiagram, incomplete: bool = False) -> tuple[FusionGraph | None, tuple[Diagnostic, ...]]:
    """The graph of a diagram, with what is wrong with its names, shapes and indices.

    `incomplete` says that some of the diagram's text did not parse: then nothing is said of what is missing. The graph
    is None where a feature is used that is not compiled yet, or where the group is unknown.
    """
    refused = unsupported_features(diagram)
    if refused or diagram.scope.group not in GROUPS:
        return None, refused
    group = GROUPS[diagram.scope.group]
    if diagram.settings.basis not in (None, *group.bases):
        return None, (missing_basis(diagram, group),)
    builder = _Builder(diagram, group, incomplete)
    graph = builder.graph()
    found, broken = check_structure(graph, incomplete)
    return replace(graph, poisoned=graph.poisoned | broken), (*builder.diagnostics, *found)


def missing_basis(diagram: ScopedDiagram, group: Group) -> Diagnostic:
    """F1034."""
    setting = next(
        (one for one in diagram.syntax.body if isinstance(one, syntax.Setting) and one.kind == "basis"), None
    )
    repairs = [without(setting.span, "the basis is the group's own")] if setting is not None else ()
    return diagnose(
        "F1034",
        f"{group.name} has no {diagram.settings.basis} basis",
        diagram.syntax.name.span,
        notes=["a full turn multiplies half-integer spins by -1; no real basis does that with rotations of components"],
        help=f"leave `basis {diagram.settings.basis}` out",
        repairs=repairs,
    )


def check_spaces(scope: Scope, largest: int = limits.MAX_L) -> tuple[Diagnostic, ...]:
    """What is wrong with the irreps of declared spaces, used or not, which have spins up to `largest`."""
    group = GROUPS.get(scope.group)
    if group is None:
        return ()
    terms = [term for space in scope.spaces.values() for term in space.space.terms]
    leaves = [leaf for term in terms for leaf in (term.terms if isinstance(term, syntax.SumTerm) else (term,))]
    found = [term_irreps(group, leaf, largest) for leaf in leaves if not isinstance(leaf, syntax.NameTerm)]
    problems = [problem for problem in found if isinstance(problem, Diagnostic)]
    if problems or largest > limits.MAX_L:  # (numbers make no tensors of their spaces)
        return tuple(problems)
    return tuple(_large_spaces(group, scope))


def _large_spaces(group: Group, scope: Scope) -> Iterator[Diagnostic]:
    """Declared spaces of too many components, where no name in their sums has as many."""
    dims: dict[str, int] = {}
    for name in scope.expanded():
        space = scope.spaces[name].space
        dims[name] = sum(_dim(group, term, dims) for term in space.terms)
        named = any(dims.get(term.name.text, 0) > limits.MAX_DIM for term in names_in(space))
        if dims[name] > limits.MAX_DIM and not named:
            yield limits.space_too_large(space.span, dims[name])


def _dim(group: Group, term: syntax.Term, dims: Mapping[str, int]) -> int:
    """The number of components of a term whose irreps are in order; `dims` has those of names."""
    if isinstance(term, syntax.SumTerm):
        return term.mul * sum(_dim(group, part, dims) for part in term.terms)
    if isinstance(term, syntax.NameTerm):
        return dims.get(term.name.text, 0) * (1 if term.repeat is None else term.repeat) * (term.mul or 1)
    irreps = term_irreps(group, term)
    copies = 1 if isinstance(term, syntax.IrrepTerm) or term.repeat is None else term.repeat
    return 0 if isinstance(irreps, Diagnostic) else (term.mul or 1) * copies * sum(map(group.dim, irreps))


@dataclass
class _Builder:
    diagram: ScopedDiagram
    group: Group
    incomplete: bool
    diagnostics: list[Diagnostic] = field(default_factory=list)
    poisoned: set[str] = field(default_factory=set)
    excused: set[str] = field(default_factory=set)
    legs: dict[str, Leg] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    restrictions: dict[str, Restriction] = field(default_factory=dict)
    _edges: set[str] = field(default_factory=set)  # what lines write: internal edges and outputs
    _unknown: int = 0  # edges on the left that nothing writes
    _doubled: set[str] = field(default_factory=set)  # legs that are declared twice
    _unwritten: set[str] = field(default_factory=set)  # labels of edges that no line writes
    _astray: set[str] = field(default_factory=set)  # legs and outputs over nothing that is known
    _missing: set[str] = field(default_factory=set)  # site sets and relations that nothing declares
    _vertices: dict[int, syntax.Vertex] = field(default_factory=dict)  # what a line stands in, where it is one line

    def graph(self) -> FusionGraph:
        tree = self.diagram.syntax
        self._read_legs()
        self._read_outputs()
        vertices = [statement for statement in tree.body if isinstance(statement, syntax.Vertex)]
        written = {target.edge.name.text for vertex in vertices for target in vertex.right}
        self._read_labels(written)
        self._edges = written - {*self.legs}
        drafts = self._loop_lines(vertices) if has_loops(vertices) else self._lines(vertices)
        lines = self._finished(drafts)
        sites, relations = used_domains(self.diagram.scope, [*self.legs.values()], [*self.outputs.values()])
        self._check_site_names(vertices, sites, relations)
        if self.incomplete:
            self.excused.update(written, self.legs)
        return FusionGraph(
            name=tree.name.text,
            group=self.group,
            settings=self.diagram.settings,
            legs=tuple(self.legs.values()),
            outputs=tuple(self.outputs.values()),
            restrictions=tuple(self.restrictions.items()),
            lines=tuple(lines),
            poisoned=frozenset(self.poisoned),
            excused=frozenset(self.excused),
            span=tree.name.span,
            sites=sites,
            relations=relations,
        )

    def _lines(self, vertices: list[syntax.Vertex]) -> list[Line]:
        return [line for number, vertex in enumerate(vertices) if (line := self._line(number, vertex))]

    def _loop_lines(self, vertices: list[syntax.Vertex]) -> list[Line]:
        """Lines that wires join to loops become one line; the others are as they are elsewhere."""
        lines: list[Line] = []
        for numbers in fragments(vertices, frozenset({*self.legs, *self.outputs})):
            members = [vertices[number] for number in numbers]
            if not has_loops(members):
                lines += [line for number in numbers if (line := self._line(number, vertices[number]))]
            elif (line := self._fragment(numbers[-1], members, plain_edges(vertices))) is not None:
                lines.append(line)
        return sorted(lines, key=lambda line: line.number)

    def _fragment(self, number: int, members: list[syntax.Vertex], plain: frozenset[str]) -> Line | None:
        known = len(self.diagnostics)
        weights: list[Weight] = []
        factor = Fraction(1)
        for vertex in members:
            for target in vertex.right:
                if target.restriction is not None:
                    self._target_restriction(target)
            found, own = self._factors(vertex)
            weights += found
            factor *= own
        if len(self.diagnostics) == known and not limits.is_in_range(factor):
            self.diagnostics.append(limits.factor_out_of_range(members[-1].span))
        builder = FragmentBuilder(
            members, plain, self.legs, frozenset(self.outputs), self.restrictions, tuple(weights), factor
        )
        try:
            line = builder.line(number)
            if len(self.diagnostics) == known:
                self.diagnostics += check_indices(line, self.legs)
        except CompileError as error:
            self.diagnostics += error.diagnostics
        if len(self.diagnostics) == known:
            return line
        for vertex in members:
            self._discard(vertex)
        return None

    def _discard(self, vertex: syntax.Vertex) -> None:
        """Something is wrong with a line: nothing more is said of what it writes."""
        self.poisoned.update(target.edge.name.text for target in vertex.right)
        self.excused.update(_names(vertex))

    # --- sites -------------------------------------------------------------------------------------------------

    def _domain(self, owner: str, name: syntax.Name | None) -> str | None:
        """What a leg or an output is over; where that is not known, its lines are not judged."""
        try:
            return declared_domain(self.diagram.scope, name)
        except CompileError as error:
            if name is not None and name.text not in self._missing:  # once, however many legs are over it
                self.diagnostics += error.diagnostics
                self._missing.add(name.text)
            self._astray.add(owner)
            self.poisoned.add(owner)
        return None

    def _check_site_names(
        self, vertices: Iterable[syntax.Vertex], sites: Iterable[str], relations: Iterable[Relation]
    ) -> None:
        """Sites and relations are given by name beside the legs: no two things have one name."""
        taken = {name: leg.span for name, leg in self.legs.items()}
        taken = {name: output.span for name, output in self.outputs.items()} | taken
        for vertex in vertices:
            for factor in vertex.factors:
                if isinstance(factor, syntax.WeightRef):
                    taken.setdefault(factor.name.text, factor.name.span)
        declared = [(name, "a set of sites", self.diagram.scope.sites[name].name.span) for name in sites]
        declared += [(relation.name, "a relation", relation.span) for relation in relations]
        for name, kind, span in declared:
            if name in taken:
                self.diagnostics.append(name_is_taken(name, kind, taken[name], span))

    def _finished(self, drafts: list[Line]) -> list[Line]:
        """Lines whose indices are in their places and in order; in written order."""
        over_sites = any(edge.domain is not None for edge in (*self.legs.values(), *self.outputs.values()))
        if not over_sites and not self._astray:
            return [line for draft in drafts if (line := self._finish(draft, None))]
        unknown = frozenset({*self._astray, *self._doubled})
        reader = SiteReader(relations_of(self.diagram.scope), self.legs, self.outputs, unknown)
        ordered = in_order(drafts)
        if ordered is None:  # what is wrong is the cycle, and nothing can be said of what its edges are over
            return drafts
        lines = [line for draft in ordered if (line := self._finish(draft, reader))]
        return sorted(lines, key=lambda line: line.number)

    def _finish(self, draft: Line, reader: SiteReader | None) -> Line | None:
        """A line after the rules of names and indices, or None (and a poisoned target) where it breaks one."""
        vertex, found, line = self._vertices.get(draft.number), tuple[Diagnostic, ...](), draft
        legs = self.legs
        if self._doubled:
            legs = {name: leg for name, leg in self.legs.items() if name not in self._doubled}
        try:
            if reader is not None:
                if vertex is not None and (found := check_brackets(vertex, legs)):
                    raise CompileError(found)
                placed = reader.read(draft, vertex)
                if placed is None:
                    raise CompileError([])
                line = placed
            if vertex is not None and (found := check_line(line, vertex, legs)):
                raise CompileError(found)
            if reader is not None:
                reader.accept(line)
        except CompileError as error:
            self.diagnostics += error.diagnostics
            self.poisoned.add(line.target)
            self.excused.update(_names(vertex) if vertex is not None else ())
            return None
        return line

    # --- legs, outputs, labels ---------------------------------------------------------------------------------

    def _read_legs(self) -> None:
        for leg in self.diagram.syntax.legs:
            name = leg.name.text
            if name in self.legs:
                self.diagnostics.append(declared_twice(name, leg.name.span, self.legs[name].span))
                self._doubled.add(name)
                self.poisoned.add(name)
            else:
                self.legs[name] = self._leg(leg)

    def _leg(self, leg: syntax.Leg) -> Leg:
        name, span = leg.name.text, leg.name.span
        domain = self._domain(name, leg.sites)
        if isinstance(leg.type, syntax.WeightsType):
            return WeightsLeg(name, span, domain)
        if isinstance(leg.type, syntax.IndexType):
            if not 0 < leg.type.size <= limits.MAX_ROWS:
                self.diagnostics.append(limits.rows_out_of_range(leg.type))
            return IndexLeg(name, leg.type.size, span, domain)
        space = self._space(leg.type)
        if space is None:
            self.poisoned.add(name)
        return TensorLeg(name, space or Space(()), span, domain)

    def _read_outputs(self) -> None:
        for output in self.diagram.syntax.outputs:
            name = "out" if output.name is None else output.name.text
            span = output.span if output.name is None else output.name.span
            if name in self.outputs:
                self.diagnostics.append(declared_twice(name, span, self.outputs[name].span))
                continue
            if name in self.legs:
                self.diagnostics.append(declared_twice(name, span, self.legs[name].span))
                continue
            space = self._space(output.type) if isinstance(output.type, syntax.Space) else None
            restriction = self._restriction(output.restriction) if output.restriction else None
            broken = (isinstance(output.type, syntax.Space) and space is None) or (
                output.restriction is not None and restriction is None
            )
            if broken:
                self.poisoned.add(name)
            domain = self._domain(name, output.sites)
            self.outputs[name] = Output(name, space, restriction, span, domain, output.type.span)

    def _read_labels(self, written: set[str]) -> None:
        for statement in self.diagram.syntax.body:
            if not isinstance(statement, syntax.Edges):
                continue
            for label in statement.labels:
                name = label.name.text
                if name in self.legs or name in self.outputs:
                    there = self.legs[name].span if name in self.legs else self.outputs[name].span
                    self.diagnostics.append(declared_twice(name, label.name.span, there))
                elif name in self.restrictions:
                    self.diagnostics.append(declared_twice(name, label.name.span, self.restrictions[name].span))
                elif name not in written and not self.incomplete:
                    self._unwritten.add(name)
                    self.diagnostics.append(self._unwritten_edge(label.name, written))
                else:
                    self._restrict(name, label.space)

    def _unwritten_edge(self, name: syntax.Name, written: Iterable[str]) -> Diagnostic:
        message = f"no line writes the edge `{name.text}`"
        near = nearest_name(name.text, sorted({*written} - {*self.legs, *self.outputs}))
        help = f"add a line that ends in `-> {name.text}`, or leave the label out"
        if near is not None:
            self.excused.add(near)
            help = f"did you mean `{near}`?"
        return diagnose("F1013", message, name.span, help=help, repairs=[meant(name.span, near)] if near else ())

    def _restrict(self, edge: str, restriction: syntax.Restriction) -> None:
        value = self._restriction(restriction)
        if value is None:
            self.poisoned.add(edge)
        else:
            self.restrictions[edge] = value

    # --- spaces ------------------------------------------------------------------------------------------------

    def _space(self, space: syntax.Space) -> Space | None:
        """The blocks of a declared space; None (and a diagnostic) where a term is wrong."""
        pairs = self._terms(space)
        if pairs is None:
            return None
        blocks = tuple(Block(irrep, 1 if mul is None else mul, term.span) for irrep, mul, term in pairs)
        value = Space(blocks, space.span)
        if value.dim(self.group) > limits.MAX_DIM:
            if len(space.terms) > 1 or not isinstance(space.terms[0], syntax.NameTerm) or space.terms[0].repeat:
                self.diagnostics.append(limits.space_too_large(space.span, value.dim(self.group)))
            return None  # (that of a name is said where it is declared)
        return value

    def _terms(self, space: syntax.Space) -> list[tuple[Irrep, int | None, FlatTerm]] | None:
        try:
            flat = self.diagram.scope.flatten(space)
        except CompileError as error:
            self._report_once(error)
            return None
        known = len(self.diagnostics)
        found = [entry for term in flat for entry in self._irreps(term)]
        return found if len(self.diagnostics) == known else None

    def _report_once(self, error: CompileError) -> None:
        """A named space that does not flatten was reported where it is declared."""
        inside = self.diagram.syntax.span
        for diagnostic in error.diagnostics:
            span = diagnostic.span
            if span.source is inside.source and inside.start <= span.start < inside.end:
                self.diagnostics.append(diagnostic)

    def _irreps(self, flat: FlatTerm) -> list[tuple[Irrep, int | None, FlatTerm]]:
        found = term_irreps(self.group, flat.term)
        if isinstance(found, Diagnostic):
            self.diagnostics.append(found)
            return []
        return [(irrep, flat.term.mul, flat) for irrep in found]

    def _restriction(self, restriction: syntax.Restriction) -> Restriction | None:
        if isinstance(restriction, syntax.LMax):
            return self._lmax(restriction)
        terms = self._terms(restriction)
        if terms is None:
            return None
        allowed: dict[Irrep, int | None] = {}
        for irrep, mul, flat in terms:
            if allowed.get(irrep) is not None and mul is not None:
                self.diagnostics.append(
                    diagnose(
                        "F1002",
                        f"{self.group.format(irrep)} stands twice in this restriction",
                        flat.span,
                        notes=["an internal edge has one block for each irrep"],
                        help=self._one_block(irrep, terms),
                    )
                )
                return None
            allowed[irrep] = mul if mul is not None else allowed.get(irrep)
        named = tuple((irrep, flat.span) for irrep, _, flat in terms if flat.literal and _names_one(flat))
        return Restriction(tuple(allowed.items()), None, named, restriction.span)

    def _one_block(self, irrep: Irrep, terms: list[tuple[Irrep, int | None, FlatTerm]]) -> Advice:
        """The blocks of one irrep in a restriction as one."""
        text = f"{sum(mul or 0 for other, mul, _ in terms if other == irrep)}x{self.group.format(irrep)}"
        same = [flat.span for other, _, flat in terms if other == irrep]
        literal = all(flat.literal and _names_one(flat) for other, _, flat in terms if other == irrep)
        rest = [without_later_term(span) for span in same[1:]]
        if not literal or None in rest:
            return Advice(f"write `{text}`")
        edits = (Edit(same[0], text), *(edit for repair in rest if repair is not None for edit in repair.edits))
        return Advice(f"write `{text}`", (Repair(edits),))

    def _lmax(self, restriction: syntax.LMax) -> Restriction | None:
        value = Fraction(restriction.value)
        if value.denominator > 2 or (value.denominator == 2 and self.group.name != "SU(2)"):
            message = f"`{restriction.value}` is not a spin of {self.group.name}"
            halves = self.group.name == "SU(2)"
            note = "spins are integers, or halves of integers" if halves else f"spins of {self.group.name} are integers"
            help = write(restriction.span, f"lmax {value.numerator // value.denominator}")
            self.diagnostics.append(diagnose("F1007", message, restriction.span, notes=[note], help=help))
            return None
        return Restriction(None, value, (), restriction.span)

    # --- lines -------------------------------------------------------------------------------------------------

    def _line(self, number: int, vertex: syntax.Vertex) -> Line | None:
        """A line with whole brackets as channels, or None (and a poisoned target) where something in it is wrong."""
        known = len(self.diagnostics)
        target = vertex.right[0]
        name = target.edge.name.text
        operands = [operand for ref in vertex.left if (operand := self._operand(ref))]
        if len(operands) > limits.MAX_OPERANDS:
            self.diagnostics.append(limits.too_many_operands(vertex.span, len(operands)))
        complete = len(operands) == len(vertex.left) and self._writable(target)
        weights, factor = self._factors(vertex)
        channels, keeps = _split_path(target.edge.indices)
        if target.restriction is not None:
            self._target_restriction(target)
        line = Line(
            number=number,
            operands=tuple(operands),
            target=name,
            channels=channels,
            keeps=keeps,
            weights=weights,
            factor=factor,
            span=vertex.span,
            target_span=target.edge.span,
        )
        if complete and len(self.diagnostics) == known:
            self._vertices[number] = vertex
            return line
        self._discard(vertex)
        return None

    def _operand(self, ref: syntax.EdgeRef) -> Operand | None:
        name, span = ref.name.text, ref.name.span
        leg = self.legs.get(name)
        if name in self.outputs:
            message = f"the output `{name}` stands on the left"
            edge = f"h[{', '.join(index.text for index in ref.indices)}]" if ref.indices else "h"
            copy = edge.replace("h", name, 1)
            note = "an output ends where it is written; what is used again is an internal edge"
            space = self.outputs[name].space
            irreps = dict.fromkeys(self.group.format(block.irrep) for block in space.blocks) if space else ()
            line = f"`-> {edge}{' in ' if irreps else ''}{' + '.join(irreps)} * W[path]`"
            help = f"write {line} where `{name}` is written, use `{edge}` here, and add `{edge} -> {copy}`"
            self.diagnostics.append(diagnose("F1017", message, span, notes=[note], help=help))
        elif isinstance(leg, WeightsLeg):
            help = f"weights are factors: write `* {name}[path]` at the end of the line"
            self.diagnostics.append(diagnose("F1008", f"`{name}` is a leg of weights, not an edge", span, help=help))
        elif isinstance(leg, IndexLeg):
            help = f"write it into a weight's bracket: `* W[{name}, path]`"
            self.diagnostics.append(diagnose("F1030", f"`{name}` is an index, not an edge", span, help=help))
        elif name not in self._edges and name not in self.legs:
            if not self.incomplete:
                self._unknown_edge(name, span)
            return None
        else:
            indices = tuple(index.text for index in ref.indices or ())
            return Operand(name, indices, ref.span)
        return None

    def _unknown_edge(self, name: str, span: Span) -> None:
        """F1001, unless a label of that name was already reported; the edge that was meant is not unused."""
        if name in self._unwritten:
            self.poisoned.add(name)
            return
        self._unknown += 1
        if self._unknown > MAX_SUGGESTIONS:
            self.diagnostics.append(diagnose("F1001", f"unknown edge `{name}`", span))
            return
        candidates = [*self._tensor_names(), *sorted(self._edges - self.outputs.keys())]
        near = nearest_name(name, candidates)
        if near is not None:
            self.excused.add(near)
        self.diagnostics.append(unknown_name("edge", name, span, candidates if near is None else [near]))

    def _tensor_names(self) -> list[str]:
        return [name for name, leg in self.legs.items() if isinstance(leg, TensorLeg)]

    def _writable(self, target: syntax.Target) -> bool:
        name, span = target.edge.name.text, target.edge.name.span
        if name in self.legs:
            help = "legs are inputs; give the result a name of its own"
            self.diagnostics.append(diagnose("F1016", f"the leg `{name}` stands on the right", span, help=help))
            return False
        return True

    def _target_restriction(self, target: syntax.Target) -> None:
        """The short form `in …`; an edge may be restricted in one place only."""
        assert target.restriction is not None
        name = target.edge.name.text
        if name in self.outputs:
            output = self.outputs[name]
            help = f"declare the output's space in the header, or write `* in {target.restriction.span.text}` there"
            related = "the output's space is declared here"
            self.diagnostics.append(
                limits.misplaced_restriction(name, target.restriction.span, output.span, related, help)
            )
        elif name in self.restrictions:
            first = self.restrictions[name]
            if first != self._restriction(target.restriction):
                help = "restrict the edge on one line; it holds for all lines that end in it"
                self.diagnostics.append(
                    limits.misplaced_restriction(
                        name, target.restriction.span, first.span, "another restriction here", help
                    )
                )
        elif name not in self.legs:
            self._restrict(name, target.restriction)

    def _factors(self, vertex: syntax.Vertex) -> tuple[tuple[Weight, ...], Fraction]:
        weights: list[Weight] = []
        factor = Fraction(1)
        for part in vertex.factors:
            if isinstance(part, syntax.Number):
                factor *= part.value
            elif (weight := self._weight(part)) is not None:
                weights.append(weight)
        if not limits.is_in_range(factor):
            self.diagnostics.append(limits.factor_out_of_range(vertex.factors[0].span.to(vertex.factors[-1].span)))
        return tuple(weights), factor

    def _weight(self, ref: syntax.WeightRef) -> Weight | None:
        name, span = ref.name.text, ref.name.span
        if isinstance(self.legs.get(name), TensorLeg | IndexLeg) or name in self._edges or name in self.outputs:
            text, kind = ref.span.text, "an edge"
            help = f"an edge takes part in a line on its left side: write `{text}` there; or rename the weight"
            if isinstance(self.legs.get(name), IndexLeg):
                kind, inside = "a leg of rows", ", ".join((name, *(index.text for index in ref.indices or ())))
                help = f"it selects a row of a weight: write `W[{inside}]`"
            self.diagnostics.append(diagnose("F1008", f"`{name}` is {kind}, not a weight", span, help=help))
            return None
        indices = tuple(index.text for index in ref.indices or ())
        rows = tuple(index for index in indices if isinstance(self.legs.get(index), IndexLeg))
        if rows and isinstance(self.legs.get(name), WeightsLeg):
            help = "a leg of weights is given at every call, already selected; leave the index out"
            message = f"`{rows[0]}` selects no row of the leg `{name}`"
            self.diagnostics.append(diagnose("F1030", message, span, help=help))
            return None
        channels = tuple(index for index in indices if index != "path" and index not in rows)
        return Weight(name, channels, "path" in indices, rows, ref.span, row_sites=((),) * len(rows), head=rows)


def term_irreps(group: Group, term: Leaf, largest: int = limits.MAX_L) -> tuple[Irrep, ...] | Diagnostic:
    """The irreps of one term, of spins up to `largest`, or what is wrong with it, at the place where it is written."""
    if term.mul == 0:
        return nothing_of_something(term.span)
    if isinstance(term, syntax.SphericalTerm):
        if term.lmax > largest:
            return limits.spin_too_large(term.span, str(term.lmax), largest)
        return group.spherical(term.lmax)
    try:
        irrep = group.parse(term.irrep)
    except ValueError as error:
        end = term.span.end
        return not_an_irrep(group, term.irrep, term.span.source.span(end - len(term.irrep), end), str(error))
    if group.dim(irrep) > 2 * largest + 1:
        return limits.spin_too_large(term.span, term.irrep, largest)
    return (irrep,)


def not_an_irrep(group: Group, text: str, span: Span, reason: str) -> Diagnostic:
    """F1007, with the group's own words on what is wrong and what to write instead."""
    rule, _, repair = reason.partition(": write ")
    help = f"write {repair}" if repair else None
    texts = re.findall("`([^`]+)`", repair)
    effects = ["" if _same_number(text, other) else f"`{other}` is written for `{text}`" for other in texts]
    repairs = [instead(span, other, effect) for other, effect in zip(texts, effects, strict=True)]
    return diagnose(
        "F1007", f"`{text}` is not an irrep of {group.name}", span, notes=[rule], help=help, repairs=repairs
    )


def _same_number(text: str, other: str) -> bool:
    """`01o` and `1o`."""
    return text.lstrip("0") == other.lstrip("0")


def _names(vertex: syntax.Vertex) -> set[str]:
    """Every name and index in a line."""
    weights = [factor for factor in vertex.factors if isinstance(factor, syntax.WeightRef)]
    refs: list[syntax.EdgeRef | syntax.WeightRef] = [*vertex.left, *(target.edge for target in vertex.right), *weights]
    return {ref.name.text for ref in refs} | {index.text for ref in refs for index in ref.indices or ()}


def _names_one(flat: FlatTerm) -> bool:
    return isinstance(flat.term, syntax.IrrepTerm)


def _split_path(indices: tuple[syntax.Name, ...] | None) -> tuple[tuple[str, ...], bool]:
    texts = [index.text for index in indices or ()]
    return tuple(text for text in texts if text != "path"), "path" in texts

"""Sites (DESIGN 1.4): which indices of a line range over sites, over which, and what ties them.

    x[j, u] y[i, j] -> A[i, u]        x over `atoms`, y over the relation `edges`:
                                      i and j range over atoms, `edges` ties them, and the sum over j goes over pairs

How many entries at the head of a bracket are site indices is said by what the edge is over: legs and outputs declare
it, an internal edge is over what it is written over. So lines are read from the legs to the outputs. What is wrong is
worded in `site_mistakes`; this module finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from fusionc.diagram import site_mistakes as mistakes
from fusionc.diagram.ir import IndexLeg, Join, Leg, Line, Operand, Output, Relation, TensorLeg, Weight, WeightsLeg
from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.errors import CompileError
from fusionc.language.resolve import Scope, unknown_name
from fusionc.language.source import Span


def relations_of(scope: Scope) -> dict[str, Relation]:
    """The relations that a diagram can see, those left out whose site sets are unknown (which was reported)."""
    return {
        name: Relation(name, pairs.first.text, pairs.second.text, pairs.name.span)
        for name, pairs in scope.pairs.items()
        if pairs.first.text in scope.sites and pairs.second.text in scope.sites
    }


def declared_domain(scope: Scope, name: syntax.Name | None) -> str | None:
    """The domain of a leg or an output: the site set or the relation in its bracket, None where it has no bracket.

    Raises `CompileError` with F1001 (nothing of that name) or F1008 (a space); without a diagnostic where what is wrong
    was reported elsewhere.
    """
    if name is None:
        return None
    if name.text in scope.sites or name.text in relations_of(scope):
        return name.text
    ends = {end.text for pairs in scope.pairs.values() for end in (pairs.first, pairs.second)}
    if name.text in scope.pairs or name.text in ends or name.text in scope.broken or scope.incomplete:
        raise CompileError([])
    if name.text in scope.spaces:
        raise CompileError([mistakes.space_as_sites(name, [*scope.sites, *scope.pairs])])
    raise CompileError([unknown_name("index set or relation", name.text, name.span, [*scope.sites, *scope.pairs])])


def used_domains(
    scope: Scope, legs: Sequence[Leg], outputs: Sequence[Output]
) -> tuple[tuple[str, ...], tuple[Relation, ...]]:
    """The site sets and relations that legs and outputs are over, in declared order; a relation uses its ends."""
    domains = {edge.domain for edge in (*legs, *outputs)}
    relations = tuple(relation for name, relation in relations_of(scope).items() if name in domains)
    ends = {end for relation in relations for end in (relation.first, relation.second)}
    return tuple(name for name in scope.sites if name in domains or name in ends), relations


def in_order(lines: Sequence[Line]) -> Sequence[Line] | None:
    """Lines so that each comes after those that write its operands; None where they form a cycle."""
    writers: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        writers.setdefault(line.target, []).append(place)
    before = {
        place: [number for operand in line.operands for number in writers.get(operand.edge, ())]
        for place, line in enumerate(lines)
    }
    try:
        return [lines[place] for place in TopologicalSorter(before).static_order()]
    except CycleError:
        return None


@dataclass(frozen=True)
class Shape:
    """What an edge is over, the least number of its channel indices, and where that is said."""

    domain: str | None
    least: int
    span: Span
    is_leg: bool


@dataclass
class SiteReader:
    """Reads the site indices of one line after the other, from the legs to the outputs (`in_order`).

    `unknown` are legs and outputs about whose declaration a mistake was reported: their lines are not read.
    """

    relations: Mapping[str, Relation]
    legs: Mapping[str, Leg]
    outputs: Mapping[str, Output]
    unknown: frozenset[str]
    _edges: dict[str, Shape] = field(default_factory=dict)

    def read(self, line: Line, vertex: syntax.Vertex | None) -> Line | None:
        """The line with its site indices apart from its channels; None where an edge's domain is not known.

        `vertex` is None for a line that was made of several. Raises `CompileError` with the first mistake.
        """
        shapes = [self.shape(operand.edge) for operand in line.operands]
        known = [shape for shape in shapes if shape is not None]
        if len(known) < len(shapes) or not self.unknown.isdisjoint(_names(line)):
            return None
        if vertex is not None:
            line = _Reading(self, line, vertex, known).line()
        else:
            self._refuse_loops_over_sites(line, known)
        return line

    def accept(self, line: Line) -> None:
        """Remember what the right edge of a line without mistakes is over."""
        if line.target not in self.outputs:
            shape = Shape(line.domain, len(line.channels), line.target_span, is_leg=False)
            self._edges.setdefault(line.target, shape)

    def shape(self, edge: str) -> Shape | None:
        leg = self.legs.get(edge)
        if isinstance(leg, TensorLeg):
            return Shape(leg.domain, int(any(block.mul > 1 for block in leg.space.blocks)), leg.span, is_leg=True)
        return self._edges.get(edge)

    def sets(self, domain: str | None) -> tuple[str, ...]:
        """The site sets that a domain's indices range over: none, one, or a relation's two."""
        if domain is None:
            return ()
        relation = self.relations.get(domain)
        return (domain,) if relation is None else (relation.first, relation.second)

    def written(self, edge: str) -> Shape | None:
        """The shape that an earlier line gave to an internal edge."""
        return self._edges.get(edge)

    def _refuse_loops_over_sites(self, line: Line, shapes: Sequence[Shape]) -> None:
        output = self.outputs.get(line.target)
        legs = [self.legs[name] for weight in line.weights for name in (weight.name, *weight.rows) if name in self.legs]
        domains = [*(shape.domain for shape in shapes), *(leg.domain for leg in legs)]
        if any(domain is not None for domain in (*domains, output.domain if output is not None else None)):
            raise CompileError([mistakes.loop_over_sites(line.span)])


def _names(line: Line) -> Iterator[str]:
    """Every edge, weight and row of a line."""
    yield line.target
    yield from (operand.edge for operand in line.operands)
    yield from (name for weight in line.weights for name in (weight.name, *weight.rows))


def _inside(ref: syntax.EdgeRef | syntax.WeightRef) -> tuple[syntax.Name, ...]:
    """The indices in a bracket, none where there is no bracket."""
    return ref.indices or ()


@dataclass(frozen=True)
class _Bracket:
    """What the reader needs of a bracket over sites: whose it is, its site indices as written, its domain."""

    edge: str
    names: tuple[syntax.Name, ...]
    domain: str
    span: Span

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(name.text for name in self.names)


@dataclass
class _Reading:
    """One line, whose operands and weights still have whole brackets as their channels."""

    reader: SiteReader
    raw: Line
    vertex: syntax.Vertex
    shapes: Sequence[Shape]
    _first: dict[str, mistakes.Use] = field(default_factory=dict)  # each site index where it first stands

    def line(self) -> Line:
        self._refuse_short_brackets()
        given = [*self._weight_brackets()]
        brackets = [*self._operand_brackets(), *given]
        self._collect(brackets)
        operands = tuple(self._operand(*entry) for entry in zip(self.raw.operands, self.shapes, strict=True))
        self._refuse_mixed(operands)
        joins = self._joins(brackets)
        sites, channels = self._target(operands, joins)
        self._refuse_loose_weight_sites(given, operands, sites)
        line = replace(
            self.raw,
            operands=operands,
            channels=channels,
            sites=sites,
            site_sets=tuple((letter, use.site_set) for letter, use in self._first.items()),
            joins=joins,
        )
        self._check_target(line)
        line = replace(line, weights=tuple(self._weight(line, *pair) for pair in self._weight_refs()))
        self._refuse_untied_weights(line)
        return line

    # --- brackets ----------------------------------------------------------------------------------------------

    def _operand_brackets(self) -> Iterator[_Bracket]:
        for ref, shape in zip(self.vertex.left, self.shapes, strict=True):
            if shape.domain is not None:
                names = _inside(ref)[: len(self.reader.sets(shape.domain))]
                yield _Bracket(ref.name.text, names, shape.domain, ref.span)

    def _weight_refs(self) -> Iterator[tuple[Weight, syntax.WeightRef]]:
        refs = [factor for factor in self.vertex.factors if isinstance(factor, syntax.WeightRef)]
        return zip(self.raw.weights, refs, strict=True)

    def _weight_brackets(self) -> Iterator[_Bracket]:
        """The brackets of weights that are given over sites."""
        for weight, ref in self._weight_refs():
            leg = self.reader.legs.get(weight.name)
            if isinstance(leg, WeightsLeg) and leg.domain is not None:
                names = _inside(ref)[: len(self.reader.sets(leg.domain))]
                yield _Bracket(weight.name, names, leg.domain, ref.span)

    def _refuse_short_brackets(self) -> None:
        for ref, shape in zip(self.vertex.left, self.shapes, strict=True):
            arity, names = len(self.reader.sets(shape.domain)), _inside(ref)
            if shape.domain is None or len(names) >= arity + shape.least:
                continue
            if len(names) == arity and names[-1].text in self._certain():
                continue  # its sites are there: what is missing is a channel index
            raise CompileError([self._short_bracket(ref, shape, shape.least)])
        for weight, written in self._weight_refs():
            leg = self.reader.legs.get(weight.name)
            sets = self.reader.sets(leg.domain) if isinstance(leg, WeightsLeg) else ()
            texts = [name.text for name in _inside(written)][: len(sets)]
            if leg is not None and (len(texts) < len(sets) or "path" in texts or self._are_channels(texts)):
                shape = Shape(leg.domain, 0, leg.span, is_leg=True)
                raise CompileError([self._short_bracket(written, shape, len(written.indices or ()))])

    def _certain(self) -> frozenset[str]:
        """Indices that range over sites whatever is missing: those of brackets that are long enough."""
        return frozenset(
            name.text
            for ref, shape in zip(self.vertex.left, self.shapes, strict=True)
            if len(_inside(ref)) >= len(self.reader.sets(shape.domain)) + shape.least
            for name in _inside(ref)[: len(self.reader.sets(shape.domain))]
        )

    def _are_channels(self, texts: Sequence[str]) -> bool:
        channels = {
            name.text
            for ref, shape in zip(self.vertex.left, self.shapes, strict=True)
            for name in _inside(ref)[len(self.reader.sets(shape.domain)) :]
        }
        return any(text in channels for text in texts)

    def _short_bracket(self, ref: syntax.EdgeRef | syntax.WeightRef, shape: Shape, least: int) -> Diagnostic:
        """F1037, with the bracket as it might have been meant: site indices that are there, and new ones."""
        sets, certain = self.reader.sets(shape.domain), self._certain()
        texts = [name.text for name in _inside(ref)]
        split = max(len(texts) - least, 0)
        while split < len(sets) and split < len(texts) and texts[split] in certain:
            split += 1
        meant = [*self._meant_sites(shape.domain or "", texts[:split], texts), *texts[split:]]
        return mistakes.missing_site_index(
            ref, shape.domain or "", len(sets), split, meant, shape.span, self._alike(ref)
        )

    def _alike(self, ref: syntax.EdgeRef | syntax.WeightRef) -> list[Span]:
        """Where the line has the same words once more: `A[u] A[u]`."""
        return [other.span for other in self.vertex.left if other is not ref and other.span.text == ref.span.text]

    def _meant_sites(self, domain: str, there: Sequence[str], taken: Sequence[str]) -> Sequence[str]:
        """The site indices that a bracket over a domain may have been meant to have: those of another edge over it, or
        one that is summed, or new ones."""
        sets = self.reader.sets(domain)
        for ref, shape in zip(self.vertex.left, self.shapes, strict=True):
            texts = [name.text for name in _inside(ref)][: len(sets)]
            if len(sets) > 1 and shape.domain == domain and self._certain().issuperset(texts) and not there:
                return texts
        target = [name.text for name in _inside(self.vertex.right[0].edge)]
        known = sorted(self._certain(), key=lambda letter: (letter in target, letter))
        fresh = [letter for letter in dict.fromkeys((*known, "i", "j", "k", "l")) if letter not in taken]
        return [*there, *fresh[: len(sets) - len(there)]]

    # --- indices -----------------------------------------------------------------------------------------------

    def _collect(self, brackets: Sequence[_Bracket]) -> None:
        for bracket in brackets:
            for name, site_set in zip(bracket.names, self.reader.sets(bracket.domain), strict=True):
                use = mistakes.Use(bracket.edge, site_set, name.span)
                first = self._first.setdefault(name.text, use)
                if first.site_set != site_set:
                    raise CompileError([mistakes.two_site_sets(name, use, first)])

    def _operand(self, operand: Operand, shape: Shape) -> Operand:
        arity = len(self.reader.sets(shape.domain))
        return replace(operand, sites=operand.channels[:arity], channels=operand.channels[arity:])

    def _refuse_mixed(self, operands: Sequence[Operand]) -> None:
        """No letter is a site index here and a channel index there, and nobody has one index too many."""
        for ref, operand, shape in zip(self.vertex.left, operands, self.shapes, strict=True):
            names = _inside(ref)[len(operand.sites) :]
            for name in names:
                if name.text in self._first:
                    raise CompileError([mistakes.site_and_channel(name, self._first[name.text], ref, shape)])
            alone = shape.domain is not None and shape.is_leg and not shape.least
            if alone and len(names) == 1 and self._stands_once(names[0].text):
                raise CompileError([mistakes.one_index_too_many(ref, names[0], shape.domain or "", len(operand.sites))])

    def _stands_once(self, letter: str) -> bool:
        weights = [factor for factor in self.vertex.factors if isinstance(factor, syntax.WeightRef)]
        edges = [*self.vertex.left, *(target.edge for target in self.vertex.right)]
        refs: list[syntax.EdgeRef | syntax.WeightRef] = [*edges, *weights]
        return sum(name.text == letter for ref in refs for name in ref.indices or ()) == 1

    # --- relations ---------------------------------------------------------------------------------------------

    def _joins(self, brackets: Sequence[_Bracket]) -> tuple[Join, ...]:
        """The relations that tie indices, each once. Raises F4003 for two of one pair of indices, and for a cycle."""
        found: dict[Join, _Bracket] = {}
        for bracket in brackets:
            if bracket.domain not in self.reader.relations:
                continue
            join: Join = (bracket.domain, (bracket.letters[0], bracket.letters[1]))
            if join in found:
                continue
            rival = next((one for one in found if set(one[1]) == set(join[1])), None)
            if rival is not None:
                raise CompileError([mistakes.tied_twice(bracket.span, join, rival, found[rival].span)])
            if _connected(join[1], [letters for _, letters in found]):
                raise CompileError([mistakes.cycle_of_relations(bracket.span, [*found, join])])
            found[join] = bracket
        return tuple(found)

    # --- the right edge ----------------------------------------------------------------------------------------

    def _target(self, operands: Sequence[Operand], joins: tuple[Join, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Site indices and channels of the right edge."""
        ref = self.vertex.right[0].edge
        names = _inside(ref)
        count = next((k for k, name in enumerate(names) if name.text not in self._first), len(names))
        for name in names[count:]:
            if name.text in self._first:
                raise CompileError([mistakes.site_index_not_first(ref, name, self._first)])
        letters = tuple(name.text for name in names)
        output = self.reader.outputs.get(ref.name.text)
        if output is not None:
            self._check_output_bracket(output, ref, count, operands, joins)
        if count > 1:
            self._check_tied(ref, letters[:count], joins, output)
        return letters[:count], tuple(letter for letter in letters[count:] if letter != "path")

    def _over(self, names: Sequence[syntax.Name], joins: Sequence[Join]) -> str | None:
        """What a bracket with these site indices is over, if it is over anything."""
        if len(names) == 1:
            return self._first[names[0].text].site_set
        return next((relation for relation, tied in joins if tied == tuple(name.text for name in names)), None)

    def _check_output_bracket(
        self, output: Output, ref: syntax.EdgeRef, count: int, operands: Sequence[Operand], joins: Sequence[Join]
    ) -> None:
        """The bracket has the site indices that the output's domain has, over the same sets."""
        names, sets = _inside(ref), self.reader.sets(output.domain)
        for name, site_set in zip(names[:count], sets, strict=False):
            if self._first[name.text].site_set != site_set:
                raise CompileError([mistakes.other_sites(output, name, self._first[name.text], site_set)])
        if count > len(sets):
            raise CompileError(
                [mistakes.surplus_site_index(output, ref, names[len(sets)], self._over(names[:count], joins))]
            )
        if count < len(sets):
            channels = {letter for operand in operands for letter in operand.channels} | {"path"}
            weighed = {letter for weight in self.raw.weights for letter in weight.channels}
            rest = names[count:]
            if rest and rest[0].text not in channels | weighed:
                raise CompileError([mistakes.site_index_on_the_right_alone(rest[0], output, list(self._first))])
            there = [name.text for name in names[:count]]
            heads = [tied[0] for _, tied in joins]  # what the sums are at, as in `x[j] y[i,j] -> out[i]`
            meant = [letter for letter in dict.fromkeys((*heads, *self._first)) if letter not in there]
            meant = [letter for letter in meant if self._first[letter].site_set in sets[count:]][: len(sets) - count]
            raise CompileError([mistakes.output_without_site_index(output, ref, len(sets), count, meant)])

    def _check_tied(
        self, ref: syntax.EdgeRef, letters: tuple[str, ...], joins: tuple[Join, ...], output: Output | None
    ) -> None:
        """An edge over two indices is over one relation that ties them, in its order."""
        span = ref.span
        if len(letters) > 2:
            raise CompileError([mistakes.too_many_target_sites(span, letters)])
        tied = next((join for join in joins if set(join[1]) == set(letters)), None)
        if tied is None:
            raise CompileError([mistakes.untied_target(span, letters)])
        if tied[1] != letters:
            raise CompileError([mistakes.reversed_target(ref, tied)])
        if output is not None and output.domain != tied[0]:
            raise CompileError([mistakes.other_relation(output, span, tied[0])])

    def _check_target(self, line: Line) -> None:
        """All lines that end in an internal edge agree on what it is over."""
        first = self.reader.written(line.target)
        if first is not None and line.target not in self.reader.outputs and first.domain != line.domain:
            raise CompileError([mistakes.two_domains(line, first.domain, first.span)])

    # --- weights -----------------------------------------------------------------------------------------------

    def _refuse_loose_weight_sites(
        self, brackets: Sequence[_Bracket], operands: Sequence[Operand], sites: tuple[str, ...]
    ) -> None:
        """Given weights are read at sites of the line's edges: an index of theirs alone is a slip of the pen."""
        standing = {*sites, *(letter for operand in operands for letter in operand.sites)}
        for bracket in brackets:
            for name in bracket.names:
                if name.text not in standing:
                    raise CompileError([mistakes.site_index_on_weights_alone(bracket.edge, name, sorted(standing))])

    def _weight(self, line: Line, weight: Weight, ref: syntax.WeightRef) -> Weight:
        leg = self.reader.legs.get(weight.name)
        if isinstance(leg, WeightsLeg):
            arity = len(self.reader.sets(leg.domain))
            self._refuse_site_channels(line, ref, _inside(ref)[arity:])
            sites = weight.channels[:arity]
            return replace(weight, sites=sites, channels=weight.channels[arity:], head=sites)
        return self._learned(line, weight, ref)

    def _refuse_site_channels(
        self, line: Line, ref: syntax.WeightRef, names: Sequence[syntax.Name], row: IndexLeg | None = None
    ) -> None:
        """Raise F1041 for a site index that neither given weights nor a row leg over sites make use of."""
        found = [name for name in names if name.text in self._first]
        if found:
            domain = self._over(found, line.joins) or self._first[found[0].text].site_set
            declared = f"{row.name}: index({row.size})[{domain}]" if row else f"{ref.name.text}: weights[{domain}]"
            raise CompileError([mistakes.site_index_on_a_weight(ref, found[0], self._first, declared)])

    def _learned(self, line: Line, weight: Weight, ref: syntax.WeightRef) -> Weight:
        """A learned weight has sites only through its rows: `W[j, z, path, u]` is read at row z[j]."""
        names, pending = _inside(ref), list[syntax.Name]()
        places: list[tuple[str, ...]] = []
        head: list[str] = []
        for name in names:
            row = self.reader.legs.get(name.text)
            if isinstance(row, IndexLeg):
                places.append(self._row_place(line, ref, name, row, pending))
                head += [*(one.text for one in pending), name.text]
                pending = []
            elif name.text in self._first:
                pending.append(name)
            else:
                self._refuse_site_channels(line, ref, pending)
        self._refuse_site_channels(line, ref, pending)
        channels = tuple(letter for letter in weight.channels if letter not in self._first)
        return replace(weight, channels=channels, row_sites=tuple(places), head=tuple(head))

    def _row_place(
        self, line: Line, ref: syntax.WeightRef, name: syntax.Name, row: IndexLeg, written: Sequence[syntax.Name]
    ) -> tuple[str, ...]:
        """Where a row is read: as written, else at the right edge's index over its sites, else at the only one."""
        if row.domain is None:
            self._refuse_site_channels(line, ref, written, row)
            return ()
        options = self._places(line, row.domain)
        letters = tuple(one.text for one in written)
        if letters:
            if letters not in options:
                span = written[0].span.to(written[-1].span)
                raise CompileError([mistakes.row_read_elsewhere(row, span, letters, options)])
            return letters
        on_target = [option for option in options if set(option) <= set(line.sites)]
        for candidates in (on_target, options):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                raise CompileError([mistakes.ambiguous_row(row, ref, name, candidates)])
        raise CompileError([mistakes.row_without_place(row, name, row.domain in self.reader.relations)])

    def _places(self, line: Line, domain: str) -> list[tuple[str, ...]]:
        if domain in self.reader.relations:
            return [letters for relation, letters in line.joins if relation == domain]
        return [(letter,) for letter, site_set in line.site_sets if site_set == domain]

    def _refuse_untied_weights(self, line: Line) -> None:
        """A weight is read at one site or at one pair: no relation, no value over both."""
        for weight in line.weights:
            own = weight.all_sites
            if len(own) > 1 and not any(set(own) <= set(letters) for _, letters in line.joins):
                raise CompileError([mistakes.untied_weights(weight, own)])


def _connected(ends: tuple[str, str], ties: Sequence[tuple[str, str]]) -> bool:
    """Whether ties lead from one end to the other."""
    reached = {ends[0]}
    while True:
        more = {letter for tie in ties if reached & set(tie) for letter in tie} - reached
        if not more:
            return ends[1] in reached
        reached |= more

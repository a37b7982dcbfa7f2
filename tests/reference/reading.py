"""A diagram as it is written, names replaced by what they stand for.

Lines that splits, pairs and closings join by wires are read as one line with a `wiring`; in every other respect it is
a line like all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from fusionc.language import syntax
from fusionc.language.parser import parse
from fusionc.language.source import Source
from reference.tensors import Irrep, parse_irrep, spherical

Bracket = tuple[str, ...]


@dataclass(frozen=True)
class Block:
    irrep: Irrep
    mul: int


@dataclass(frozen=True)
class Leg:
    """`kind` is "tensor" (with blocks), "weights" or "index" (with rows)."""

    name: str
    kind: str
    domain: str | None
    blocks: tuple[Block, ...] = ()
    rows: int = 0


@dataclass(frozen=True)
class Allowed:
    """A restriction: irreps with their multiplicities (None where none was written), or a largest spin, doubled."""

    irreps: dict[Irrep, int | None] | None
    top: int | None = None

    def admits(self, irrep: Irrep) -> bool:
        return irrep in self.irreps if self.irreps is not None else irrep[0] <= (self.top or 0)

    def mul(self, irrep: Irrep) -> int | None:
        return (self.irreps or {}).get(irrep)


@dataclass(frozen=True)
class Output:
    """`blocks` is None where the space is inferred."""

    name: str
    domain: str | None
    blocks: tuple[Block, ...] | None
    allowed: Allowed | None


@dataclass(frozen=True)
class Operand:
    edge: str
    sites: Bracket
    channels: Bracket


@dataclass(frozen=True)
class Weight:
    """`sites` are those at which given weights are read; `rows` are index legs, each with its sites."""

    name: str
    channels: Bracket
    has_path: bool
    sites: Bracket = ()
    rows: tuple[tuple[str, Bracket], ...] = ()


@dataclass(frozen=True)
class Part:
    """One vertex of a wiring: "couple" (a b -> c), "split" (wires a b c: c -> a b), "pair", "close" or "same"."""

    kind: str
    wires: tuple[str, ...]


@dataclass(frozen=True)
class Wiring:
    """`leaves` are the wires that operands begin, `root` the one that ends in the right edge."""

    parts: tuple[Part, ...]
    leaves: tuple[str, ...]
    root: str | None


@dataclass(frozen=True)
class Line:
    """`letters` maps each site index to the set it ranges over, `ties` each relation's pair of letters to it."""

    operands: tuple[Operand, ...]
    target: str
    sites: Bracket
    keeps: bool
    channels: Bracket
    weights: tuple[Weight, ...]
    factor: Fraction
    letters: dict[str, str] = field(default_factory=dict)
    ties: dict[Bracket, str] = field(default_factory=dict)
    wiring: Wiring | None = None

    @property
    def sums_paths(self) -> bool:
        return not self.keeps and any(weight.has_path for weight in self.weights)

    @property
    def summed(self) -> list[str]:
        left = dict.fromkeys(index for operand in self.operands for index in operand.channels)
        return [index for index in left if index not in self.channels]


@dataclass(frozen=True)
class Diagram:
    group: str
    normalize: str
    paths: str
    basis: str
    legs: dict[str, Leg]
    outputs: dict[str, Output]
    allowed: dict[str, Allowed]
    lines: tuple[Line, ...]
    pairs: dict[str, tuple[str, str]]

    def writers(self, edge: str) -> list[int]:
        return [number for number, line in enumerate(self.lines) if line.target == edge]

    def child(self, edge: str) -> int | None:
        """The line of an internal edge that keeps its paths apart: no weight sums them, and one line ends in it."""
        if edge in self.legs or edge in self.outputs:
            return None
        writers = self.writers(edge)
        return writers[0] if len(writers) == 1 and not self.lines[writers[0]].sums_paths else None

    def domain(self, edge: str) -> str | None:
        if edge in self.legs:
            return self.legs[edge].domain
        if edge in self.outputs:
            return self.outputs[edge].domain
        line = self.lines[self.writers(edge)[0]]
        return domain_of(line.sites, line.letters, line.ties)


def domain_of(sites: Bracket, letters: dict[str, str], ties: dict[Bracket, str]) -> str | None:
    if not sites:
        return None
    return letters[sites[0]] if len(sites) == 1 else ties[sites]


def read_diagram(text: str, name: str = "d", lines: bool = True) -> Diagram:
    """A diagram of a text without imports; without its `lines` where only its spaces and settings are asked for. What
    the compiler would refuse is not looked at."""
    items = parse(Source("<reference>", text)).file.items
    reader = _Reader("O(3)", {}, {}, {"normalize": "component", "paths": "element", "basis": ""})
    for item in items:
        if isinstance(item, syntax.Group):
            reader.group = item.name
        elif isinstance(item, syntax.Irreps):
            reader.spaces[item.name.text] = item.space
        elif isinstance(item, syntax.Pairs):
            reader.pairs[item.name.text] = (item.first.text, item.second.text)
    for item in items:
        if isinstance(item, syntax.Setting):
            reader.settings[item.kind] = item.value.text
        elif isinstance(item, syntax.Diagram) and item.name.text == name:
            return reader.diagram(item, lines)
    raise KeyError(name)


@dataclass
class _Reader:
    group: str
    spaces: dict[str, syntax.Space]
    pairs: dict[str, tuple[str, str]]
    settings: dict[str, str]
    legs: dict[str, Leg] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    domains: dict[str, str | None] = field(default_factory=dict)

    def diagram(self, tree: syntax.Diagram, lines: bool) -> Diagram:
        allowed: dict[str, Allowed] = {}
        vertices = []
        for statement in tree.body:
            if isinstance(statement, syntax.Setting):
                self.settings[statement.kind] = statement.value.text
            elif isinstance(statement, syntax.Edges):
                allowed |= {label.name.text: self._allowed(label.space) for label in statement.labels}
            else:
                vertices.append(statement)
        for leg in tree.legs:
            self.legs[leg.name.text] = self._leg(leg)
        for output in tree.outputs:
            name = "out" if output.name is None else output.name.text
            blocks = self._blocks(output.type) if isinstance(output.type, syntax.Space) else None
            limit = self._allowed(output.restriction) if output.restriction else None
            self.outputs[name] = Output(name, _text(output.sites), blocks, limit)
        for vertex in vertices:
            for target in vertex.right:
                if target.restriction is not None:
                    allowed[target.edge.name.text] = self._allowed(target.restriction)
        basis = self.settings["basis"] or ("complex" if self.group == "SU(2)" else "real")
        return Diagram(
            self.group,
            self.settings["normalize"],
            self.settings["paths"],
            basis,
            self.legs,
            self.outputs,
            allowed,
            tuple(self._lines(vertices)) if lines else (),
            self.pairs,
        )

    # --- spaces ------------------------------------------------------------------------------------------------

    def _terms(self, space: syntax.Space) -> Iterable[tuple[Irrep, int | None]]:
        for term in space.terms:
            if isinstance(term, syntax.IrrepTerm):
                yield parse_irrep(self.group, term.irrep), term.mul
            elif isinstance(term, syntax.SphericalTerm):
                for _ in range(term.repeat or 1):
                    yield from ((irrep, None) for irrep in spherical(self.group, term.lmax))
            else:
                for _ in range(term.repeat or 1):
                    yield from self._terms(self.spaces[term.name.text])

    def _blocks(self, space: syntax.Space) -> tuple[Block, ...]:
        return tuple(Block(irrep, 1 if mul is None else mul) for irrep, mul in self._terms(space))

    def _allowed(self, restriction: syntax.Restriction) -> Allowed:
        if isinstance(restriction, syntax.LMax):
            return Allowed(None, int(2 * Fraction(restriction.value)))
        return Allowed(dict(self._terms(restriction)))

    def _leg(self, leg: syntax.Leg) -> Leg:
        name, domain = leg.name.text, _text(leg.sites)
        if isinstance(leg.type, syntax.WeightsType):
            return Leg(name, "weights", domain)
        if isinstance(leg.type, syntax.IndexType):
            return Leg(name, "index", domain, rows=leg.type.size)
        return Leg(name, "tensor", domain, self._blocks(leg.type))

    def _arity(self, domain: str | None) -> int:
        return 0 if domain is None else 2 if domain in self.pairs else 1

    # --- lines -------------------------------------------------------------------------------------------------

    def _lines(self, vertices: Sequence[syntax.Vertex]) -> list[Line]:
        """The lines in an order in which each comes after those that write its operands."""
        groups = _joined(vertices, frozenset({*self.legs, *self.outputs}))
        waiting = sorted(groups, key=lambda numbers: numbers[-1])
        lines: list[Line] = []
        while waiting:
            for numbers in waiting:
                members = [vertices[number] for number in numbers]
                own = {target.edge.name.text for vertex in members for target in vertex.right}
                needed = {ref.name.text for vertex in members for ref in vertex.left} - {*self.legs} - own
                later = {
                    target.edge.name.text
                    for other in waiting
                    if other is not numbers
                    for number in other
                    for target in vertices[number].right
                }
                if not needed & later:
                    break
            else:
                raise ValueError("the lines form a cycle")
            waiting.remove(numbers)
            simple = len(members) == 1 and len(members[0].right) == 1 and members[0].left
            line = self._line(members[0]) if simple else _wired(members, vertices, self.legs, self.outputs)
            self.domains.setdefault(line.target, domain_of(line.sites, line.letters, line.ties))
            lines.append(line)
        return lines

    def _line(self, vertex: syntax.Vertex) -> Line:
        letters: dict[str, str] = {}
        ties: dict[Bracket, str] = {}
        operands = []
        for ref in vertex.left:
            bracket = _bracket(ref)
            domain = self.legs[ref.name.text].domain if ref.name.text in self.legs else self.domains[ref.name.text]
            sites = bracket[: self._arity(domain)]
            self._range(sites, domain, letters, ties)
            operands.append(Operand(ref.name.text, sites, bracket[len(sites) :]))
        weights = [factor for factor in vertex.factors if isinstance(factor, syntax.WeightRef)]
        for ref in weights:
            leg = self.legs.get(ref.name.text)
            if leg is not None:
                self._range(_bracket(ref)[: self._arity(leg.domain)], leg.domain, letters, ties)
        target = vertex.right[0].edge
        bracket, name = _bracket(target), target.name.text
        count = 0
        while count < len(bracket) and bracket[count] in letters:
            count += 1
        sites, rest = bracket[:count], bracket[count:]
        return Line(
            tuple(operands),
            name,
            sites,
            "path" in rest,
            tuple(index for index in rest if index != "path"),
            tuple(self._weight(ref, letters, ties, sites) for ref in weights),
            _factor(vertex),
            letters,
            ties,
        )

    def _range(self, sites: Bracket, domain: str | None, letters: dict[str, str], ties: dict[Bracket, str]) -> None:
        if domain is None:
            return
        letters.update(zip(sites, self.pairs.get(domain, (domain,)), strict=True))
        if domain in self.pairs:
            ties[sites] = domain

    def _weight(
        self, ref: syntax.WeightRef, letters: dict[str, str], ties: dict[Bracket, str], target: Bracket
    ) -> Weight:
        name, bracket = ref.name.text, _bracket(ref)
        if name in self.legs:
            sites = bracket[: self._arity(self.legs[name].domain)]
            rest = bracket[len(sites) :]
            return Weight(name, tuple(i for i in rest if i != "path"), "path" in rest, sites)
        rows: list[tuple[str, Bracket]] = []
        before: Bracket = ()
        channels: list[str] = []
        for index in bracket:
            leg = self.legs.get(index)
            if leg is not None and leg.kind == "index":
                rows.append((index, before or self._row_sites(leg, letters, ties, target)))
                before = ()
            elif index in letters:
                before += (index,)
            elif index != "path":
                channels.append(index)
        return Weight(name, tuple(channels), "path" in bracket, (), tuple(rows))

    def _row_sites(self, leg: Leg, letters: dict[str, str], ties: dict[Bracket, str], target: Bracket) -> Bracket:
        """A row is read at the right edge's index over its sites, or at the line's only one."""
        if leg.domain is None:
            return ()
        if leg.domain in self.pairs:
            options = [tied for tied, relation in ties.items() if relation == leg.domain]
        else:
            options = [(letter,) for letter, site_set in letters.items() if site_set == leg.domain]
        on_target = [option for option in options if set(option) <= set(target)]
        (chosen,) = on_target if on_target else options
        return chosen


# --- wires ---------------------------------------------------------------------------------------------------------


def _plain(vertices: Sequence[syntax.Vertex]) -> set[str]:
    """Edges that are plain spaces: a weight sums their paths, or several lines end in them."""
    made = [target.edge.name.text for vertex in vertices for target in vertex.right]
    plain = {name for name in made if made.count(name) > 1}
    for vertex in vertices:
        weighed = any("path" in _bracket(f) for f in vertex.factors if isinstance(f, syntax.WeightRef))
        if len(vertex.right) == 1 and weighed and "path" not in _bracket(vertex.right[0].edge):
            plain.add(vertex.right[0].edge.name.text)
    return plain


def _joined(vertices: Sequence[syntax.Vertex], ends: frozenset[str]) -> list[list[int]]:
    """Lines that wires join, where there is a split, a pair or a closing among them; every other line by itself."""
    cut = _plain(vertices) | ends
    names = [
        ({ref.name.text for ref in vertex.left} | {target.edge.name.text for target in vertex.right}) - cut
        for vertex in vertices
    ]
    groups: list[list[int]] = []
    for number in range(len(vertices)):
        touching = [group for group in groups if any(names[number] & names[other] for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append(sorted([number, *(other for group in touching for other in group)]))
    found = []
    for group in groups:
        loops = any(len(vertices[number].right) != 1 or not vertices[number].left for number in group)
        found += [group] if loops else [[number] for number in group]
    return found


def parts_of(left: Sequence[str], right: Sequence[str], hidden: str) -> list[Part]:
    """The vertices of one line; three and more edges are coupled from the left, by way of hidden wires."""
    if not left or not right:
        return [Part("close" if left else "pair", tuple(left or right))]
    many, last = (left, right[0]) if len(right) == 1 else (right, left[0])
    if len(many) == 1:
        return [Part("same", (many[0], last))]
    inner = [f"{hidden}{k}" for k in range(len(many) - 2)]
    chain = zip([many[0], *inner], many[1:], [*inner, last], strict=True)
    parts = [Part("couple" if len(right) == 1 else "split", wires) for wires in chain]
    return parts if len(right) == 1 else parts[::-1]


def _wired(
    members: Sequence[syntax.Vertex],
    vertices: Sequence[syntax.Vertex],
    legs: dict[str, Leg],
    outputs: dict[str, Output],
) -> Line:
    """Lines that are joined by wires as one line; indices of channels that a wire joins are one index."""
    plain = _plain(vertices)
    parts: list[Part] = []
    operands: list[Operand] = []
    leaves: list[str] = []
    joined: dict[str, str] = {}
    ends: dict[str, Bracket] = {}
    last = members[-1]
    place = len(members) - 1

    def find(index: str) -> str:
        while index in joined:
            index = joined[index]
        return index

    def wire(name: str, bracket: Bracket) -> str:
        for one, two in zip(ends.setdefault(name, bracket), bracket, strict=True):
            if find(one) != find(two):
                joined[find(two)] = find(one)
        return name

    for number, vertex in enumerate(members):
        left, right = [], []
        for ref in vertex.left:
            bracket = tuple(f"{number}:{index}" for index in _bracket(ref))
            if ref.name.text in legs or ref.name.text in plain:
                operands.append(Operand(ref.name.text, (), bracket))
                leaves.append(f"{ref.name.text}#{len(leaves)}")
                left.append(leaves[-1])
            else:
                left.append(wire(ref.name.text, bracket))
        for target in vertex.right:
            if target.edge.name.text in outputs or target.edge.name.text in plain:
                last, place = vertex, number
                right.append("#root")
            else:
                right.append(wire(target.edge.name.text, tuple(f"{number}:{i}" for i in _bracket(target.edge))))
        parts += parts_of(left, right, f"#{number}.")
    root = next(t.edge for t in last.right if t.edge.name.text in outputs or t.edge.name.text in plain)

    def own(indices: Iterable[str]) -> Bracket:
        return tuple(find(f"{place}:{index}") for index in indices if index != "path")

    weights = [factor for factor in last.factors if isinstance(factor, syntax.WeightRef)]
    factor = Fraction(1)
    for vertex in members:
        factor *= _factor(vertex)
    rows = {name for name, leg in legs.items() if leg.kind == "index"}
    return Line(
        tuple(Operand(operand.edge, (), tuple(map(find, operand.channels))) for operand in operands),
        root.name.text,
        (),
        "path" in _bracket(root),
        own(_bracket(root)),
        tuple(
            Weight(
                ref.name.text,
                own(index for index in _bracket(ref) if index not in rows),
                "path" in _bracket(ref),
                (),
                tuple((index, ()) for index in _bracket(ref) if index in rows),
            )
            for ref in weights
        ),
        factor,
        wiring=Wiring(tuple(parts), tuple(leaves), "#root"),
    )


def _bracket(ref: syntax.EdgeRef | syntax.WeightRef) -> Bracket:
    return tuple(index.text for index in ref.indices or ())


def _text(name: syntax.Name | None) -> str | None:
    return None if name is None else name.text


def _factor(vertex: syntax.Vertex) -> Fraction:
    value = Fraction(1)
    for factor in vertex.factors:
        if isinstance(factor, syntax.Number):
            value *= factor.value
    return value

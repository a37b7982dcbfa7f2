"""Tokens to syntax nodes: one method for each rule of the grammar, named like it.

A rule's children are the nodes of its parts and the tokens that it names. A node's span runs from its first
child to its last, so a rule names the bracket that closes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lark import Transformer

from fusionc.language import syntax
from fusionc.language.numbers import exact, integer
from fusionc.language.source import Span

if TYPE_CHECKING:
    from fusionc.language.tokens import Token

Children = list[Any]


class Bracket(NamedTuple):
    """`[i, u]`: its names, and where it closes."""

    names: tuple[syntax.Name, ...]
    span: Span


class Opening(NamedTuple):
    """`diagram NAME(legs) -> outputs {`: a diagram without its body."""

    keyword: Token
    name: syntax.Name
    legs: tuple[syntax.Leg, ...]
    outputs: tuple[syntax.Output, ...]
    brace: Token

    def close(self, body: Iterable[syntax.Statement], end: int) -> syntax.Diagram:
        """The diagram with this body, whose brace closes at `end`."""
        span = Span(self.keyword.source, self.keyword.start, end)
        return syntax.Diagram(span, self.name, self.legs, self.outputs, tuple(body))


def _name(token: Token) -> syntax.Name:
    return syntax.Name(Span(token.source, token.start, token.end), token.text)


def _over(children: Children) -> Span:
    first, last = children[0].span, children[-1].span
    return Span(first.source, first.start, last.end)


def _placed(children: Children) -> tuple[syntax.Name | None, syntax.Restriction | None]:
    """The sites and the restriction that follow the space of a leg or an output."""
    sites: syntax.Name | None = None
    restriction: syntax.Restriction | None = None
    for child in children:
        if isinstance(child, Bracket):
            sites = child.names[0]
        else:
            restriction = child
    return sites, restriction


class Build(Transformer):  # type: ignore[misc]
    """The actions that lark calls as it reduces each rule."""

    # --- files ----------------------------------------------------------------------------------------------

    def file(self, children: Children) -> tuple[syntax.Item, ...]:
        return tuple(children)

    def declaration(self, children: Children) -> Any:
        return children[0]

    def group(self, children: Children) -> syntax.Group:
        _, letters, size, _ = children
        return syntax.Group(_over(children), f"{letters.text}({size.text})")

    def irreps(self, children: Children) -> syntax.Irreps:
        _, name, space = children
        return syntax.Irreps(_over(children), _name(name), space)

    def sites(self, children: Children) -> syntax.Sites:
        return syntax.Sites(_over(children), _name(children[1]))

    def pairs(self, children: Children) -> syntax.Pairs:
        _, name, first, second, _ = children
        return syntax.Pairs(_over(children), _name(name), _name(first), _name(second))

    def import_(self, children: Children) -> syntax.Import:
        return syntax.Import(_over(children), children[1].text[1:-1])

    def setting(self, children: Children) -> syntax.Setting:
        keyword, value = children
        return syntax.Setting(_over(children), keyword.text, _name(value))

    # --- diagrams -------------------------------------------------------------------------------------------

    def diagram(self, children: Children) -> syntax.Diagram:
        opening: Opening = children[0]
        return opening.close(children[1:-1], children[-1].end)

    def opening(self, children: Children) -> Opening:
        keyword, name, legs, *outputs, brace = children
        return Opening(keyword, _name(name), legs, outputs[0] if outputs else (), brace)

    def legs(self, children: Children) -> tuple[syntax.Leg, ...]:
        return tuple(children)

    def leg(self, children: Children) -> syntax.Leg:
        sites, _ = _placed(children[2:])
        return syntax.Leg(_over(children), _name(children[0]), children[1], sites)

    def weights_type(self, children: Children) -> syntax.WeightsType:
        return syntax.WeightsType(children[0].span)

    def index_type(self, children: Children) -> syntax.IndexType:
        return syntax.IndexType(_over(children), integer(children[1].text))

    def on(self, children: Children) -> Bracket:
        return Bracket((_name(children[0]),), children[-1].span)

    def outputs(self, children: Children) -> tuple[syntax.Output, ...]:
        return tuple(children)

    def output(self, children: Children) -> syntax.Output:
        return syntax.Output(_over(children), None, children[0], *_placed(children[1:]))

    def named_output(self, children: Children) -> syntax.Output:
        return syntax.Output(_over(children), _name(children[0]), children[1], *_placed(children[2:]))

    def inferred(self, children: Children) -> syntax.Inferred:
        return syntax.Inferred(children[0].span)

    # --- statements -----------------------------------------------------------------------------------------

    def statement(self, children: Children) -> Any:
        return children[0]

    def edges(self, children: Children) -> syntax.Edges:
        return syntax.Edges(_over(children), tuple(children[1:]))

    def edge_label(self, children: Children) -> syntax.EdgeLabel:
        return syntax.EdgeLabel(_over(children), _name(children[0]), children[1])

    def vertex(self, children: Children) -> syntax.Vertex:
        left: list[syntax.EdgeRef] = []
        right: list[syntax.Target] = []
        factors: list[syntax.Factor] = []
        for child in children:
            kind = type(child)
            if kind is syntax.EdgeRef:
                left.append(child)
            elif kind is syntax.Target:
                right.append(child)
            elif kind is syntax.WeightRef or kind is syntax.Number:
                factors.append(child)
        return syntax.Vertex(_over(children), tuple(left), tuple(right), tuple(factors))

    def target(self, children: Children) -> syntax.Target:
        return syntax.Target(_over(children), *children)

    def edge(self, children: Children) -> syntax.EdgeRef:
        return syntax.EdgeRef(*self._reference(children))

    def weight(self, children: Children) -> syntax.WeightRef:
        return syntax.WeightRef(*self._reference(children))

    @staticmethod
    def _reference(children: Children) -> tuple[Span, syntax.Name, tuple[syntax.Name, ...] | None]:
        name = _name(children[0])
        if len(children) == 1:
            return name.span, name, None
        bracket: Bracket = children[1]
        return Span(name.span.source, name.span.start, bracket.span.end), name, bracket.names

    def indices(self, children: Children) -> Bracket:
        close = children.pop()
        return Bracket(tuple([_name(child) for child in children]), close.span)

    def number(self, children: Children) -> syntax.Number:
        return syntax.Number(_over(children), exact("".join(child.text for child in children)))

    # --- spaces ---------------------------------------------------------------------------------------------

    def lmax(self, children: Children) -> syntax.LMax:
        return syntax.LMax(_over(children), children[1].text)

    def space(self, children: Children) -> syntax.Space:
        return syntax.Space(_over(children), tuple(children))

    def repeated(self, children: Children) -> syntax.SphericalTerm | syntax.NameTerm:
        count, term = children
        repeat = integer(count.text)
        if isinstance(term, syntax.SphericalTerm):
            return syntax.SphericalTerm(_over(children), term.lmax, repeat)
        return syntax.NameTerm(_over(children), term.name, repeat)

    def multiple(self, children: Children) -> syntax.SphericalTerm | syntax.NameTerm | syntax.SumTerm:
        times, term = children[:2]
        span, mul = _over(children), integer(times.text[:-1])
        if isinstance(term, syntax.SphericalTerm):
            return syntax.SphericalTerm(span, term.lmax, mul=mul)
        if isinstance(term, syntax.NameTerm):
            return syntax.NameTerm(span, term.name, mul=mul)
        return syntax.SumTerm(span, mul, term.terms)

    def irrep(self, children: Children) -> syntax.IrrepTerm:
        mul, _, irrep = children[0].text.rpartition("x")
        return syntax.IrrepTerm(children[0].span, integer(mul) if mul else None, irrep)

    def name_term(self, children: Children) -> syntax.NameTerm:
        name = _name(children[0])
        return syntax.NameTerm(name.span, name)

    def spherical(self, children: Children) -> syntax.SphericalTerm:
        return syntax.SphericalTerm(_over(children), integer(children[1].text))

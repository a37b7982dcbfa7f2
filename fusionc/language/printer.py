"""Syntax tree to canonical text.

`print_file` is what `fusionc fmt` writes: four blanks of indentation, one blank around operators, an empty
line around every diagram, every comment at its place. The small functions print single nodes, for messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from fusionc.language import syntax
from fusionc.language.numbers import exact

INDENT = "    "
MAX_COLUMNS = 100
MAX_COMMENT_COLUMN = 80

# --- spaces ------------------------------------------------------------------------------------------------


def print_space(space: syntax.Space) -> str:
    """`64x0e + 3 * H + spherical(2)`."""
    return " + ".join(print_term(term) for term in space.terms)


def print_term(term: syntax.Term) -> str:
    match term:
        case syntax.IrrepTerm(mul=mul, irrep=irrep):
            return irrep if mul is None else f"{mul}x{irrep}"
        case syntax.SphericalTerm(lmax=lmax, repeat=repeat, mul=mul):
            return _repeated(repeat, mul, f"spherical({lmax})")
        case syntax.NameTerm(name=name, repeat=repeat, mul=mul):
            return _repeated(repeat, mul, name.text)
        case syntax.SumTerm(mul=mul, terms=terms):
            return f"{mul}x({' + '.join(map(print_term, terms))})"


def _repeated(repeat: int | None, mul: int | None, text: str) -> str:
    text = text if mul is None else f"{mul}x{text}"
    return text if repeat is None else f"{repeat} * {text}"


def print_restriction(restriction: syntax.Restriction) -> str:
    """What stands behind `in`: `0e + 1o`, `lmax 3`."""
    return f"lmax {restriction.value}" if isinstance(restriction, syntax.LMax) else print_space(restriction)


def _restricted(text: str, restriction: syntax.Restriction | None) -> str:
    return text if restriction is None else f"{text} in {print_restriction(restriction)}"


# --- statements --------------------------------------------------------------------------------------------


def print_statement(statement: syntax.Statement) -> str:
    match statement:
        case syntax.Vertex():
            return print_vertex(statement)
        case syntax.Edges(labels=labels):
            return "edge " + ", ".join(f"{each.name.text}: {print_space(each.space)}" for each in labels)
        case syntax.Setting(kind=kind, value=value):
            return f"{kind} {value.text}"


def print_vertex(vertex: syntax.Vertex) -> str:
    """`x[u] a -> e[u] in 0e + 1o * W[path, u]`."""
    sides = [*map(print_edge, vertex.left), "->", *map(print_target, vertex.right)]
    return " ".join(sides) + "".join(f" * {print_factor(factor)}" for factor in vertex.factors)


def print_target(target: syntax.Target) -> str:
    return _restricted(print_edge(target.edge), target.restriction)


def print_edge(edge: syntax.EdgeRef) -> str:
    return edge.name.text + _bracket(edge.indices, ",")


def print_factor(factor: syntax.Factor) -> str:
    if isinstance(factor, syntax.Number):
        return _number(factor)
    return factor.name.text + _bracket(factor.indices, ", ")


def _bracket(indices: tuple[syntax.Name, ...] | None, comma: str) -> str:
    return "" if indices is None else f"[{comma.join(index.text for index in indices)}]"


def _number(number: syntax.Number) -> str:
    """A number as it was written, if its span tells."""
    written = re.sub(r"\s", "", number.span.text)
    if re.fullmatch(r"-?[0-9.][0-9.eE/+-]*", written) and exact(written) == number.value:
        return written
    return print_fraction(number.value)


def print_fraction(value: Fraction) -> str:
    """`3`, `-1/3`, and `1e-30` where numerator or denominator would be too long to read back."""
    if max(abs(value.numerator), value.denominator) < 10**18:
        return str(value)
    places = 0
    while (value * 10**places).denominator != 1 and places < 400:
        places += 1
    digits = str((value * 10**places).numerator)
    zeros = len(digits) - len(digits.rstrip("0"))
    return f"{digits[: len(digits) - zeros]}e{zeros - places}"


# --- declarations ------------------------------------------------------------------------------------------


def print_declaration(item: syntax.Item) -> str:
    """An item on one line; of a diagram, the line that opens it, without the brace."""
    match item:
        case syntax.Group(name=group):
            return f"group {group}"
        case syntax.Irreps(name=name, space=space):
            return f"irreps {name.text} = {print_space(space)}"
        case syntax.Sites(name=name):
            return f"sites {name.text}"
        case syntax.Pairs(name=name, first=first, second=second):
            return f"pairs {name.text}({first.text}, {second.text})"
        case syntax.Import(path=path):
            return f'import "{path}"'
        case syntax.Setting():
            return print_statement(item)
        case syntax.Diagram(name=name, legs=legs):
            return f"diagram {name.text}({', '.join(map(print_leg, legs))}){_outputs(item)}"


def print_leg(leg: syntax.Leg) -> str:
    """`x: H[atoms]`."""
    match leg.type:
        case syntax.WeightsType():
            text = "weights"
        case syntax.IndexType(size=size):
            text = f"index({size})"
        case syntax.Space() as space:
            text = print_space(space)
    return f"{leg.name.text}: {text}{_on(leg.sites)}"


def print_output(output: syntax.Output) -> str:
    """`s: 64x0e`, or `64x0e` where the output has no name."""
    space = "*" if isinstance(output.type, syntax.Inferred) else print_space(output.type)
    text = _restricted(space + _on(output.sites), output.restriction)
    return text if output.name is None else f"{output.name.text}: {text}"


def _on(sites: syntax.Name | None) -> str:
    return "" if sites is None else f"[{sites.text}]"


def _outputs(diagram: syntax.Diagram) -> str:
    """The arrow and what follows it up to the brace; nothing for a diagram without outputs."""
    printed = ", ".join(map(print_output, diagram.outputs))
    if not diagram.outputs:
        return ""
    return f" -> ({printed})" if _has_list(diagram) else f" -> {printed}"


def _has_list(diagram: syntax.Diagram) -> bool:
    return any(output.name is not None for output in diagram.outputs)


# --- files -------------------------------------------------------------------------------------------------


def print_file(file: syntax.File) -> str:
    """The canonical text of a file. It reads back as the same tree, and printing it again changes nothing."""
    layout = _Layout(file.comments)
    for item, until in zip(file.items, _starts(file.items[1:], _END), strict=False):
        layout.item(item, until)
    layout.comments(_END, depth=0)
    return "".join(f"{line}\n" for line in _aligned(layout.lines))


_END = 2**63  # behind every text


def _end(nodes: Sequence[syntax.Node]) -> int:
    return nodes[-1].span.end if nodes else 0


def _starts(nodes: Iterable[syntax.Node], last: int) -> list[int]:
    return [*(node.span.start for node in nodes), last]


@dataclass(frozen=True)
class _Line:
    """A line of output: its indentation, its text, and the comment at its end."""

    depth: int = 0
    text: str = ""
    comment: str = ""


def _aligned(lines: Sequence[_Line]) -> list[str]:
    """The lines as text; the comments at the ends of neighbouring lines stand one below the other."""
    printed: list[str] = []
    for (depth, commented), run in groupby(lines, key=lambda line: (line.depth, bool(line.comment))):
        texts = [(f"{INDENT * depth}{line.text}", line.comment) for line in run]
        column = max(len(text) for text, _ in texts) + 2
        if not commented or column > MAX_COMMENT_COLUMN:
            column = 0
        printed += [f"{text:<{max(column, len(text) + 2)}}{comment}".rstrip() for text, comment in texts]
    return printed


class _Layout:
    """The lines of a file, written item by item; each comment is taken up when its place has come."""

    def __init__(self, comments: Sequence[syntax.Comment]) -> None:
        self.lines: list[_Line] = []
        self._comments = comments
        self._taken = 0
        # Where the last thing written ends in the source; None where no empty line may follow.
        self._source_line: int | None = None
        self._wants_blank = False

    # --- items

    def item(self, item: syntax.Item, until: int) -> None:
        """An item with the comments before it and, as far as `until`, behind it."""
        if not isinstance(item, syntax.Diagram):
            self._node(item, print_declaration(item), until, depth=0)
            return
        first = len(self.lines)
        self.comments(item.span.start, depth=0)
        self._gap(item.span.line)
        if first and not self._wants_blank and _Line() not in self.lines[first:]:
            self.lines.insert(first, _Line())
        self._diagram(item, until)
        self._wants_blank = True

    def _diagram(self, diagram: syntax.Diagram, until: int) -> None:
        close = diagram.span.end - 1
        self._opening(diagram)
        if not diagram.body and not self._has_comment(close):
            last = self.lines.pop()
            self.lines.append(_Line(last.depth, f"{last.text}}}", last.comment))
        else:
            self._end_comment(_starts(diagram.body[:1], close)[0])
            self._source_line = None
            for statement, following in zip(diagram.body, _starts(diagram.body[1:], close), strict=False):
                self._node(statement, print_statement(statement), following, depth=1)
            self.comments(close, depth=1)
            self._write(0, "}")
        self._source_line = diagram.span.end_line
        self._end_comment(until)

    def _opening(self, diagram: syntax.Diagram) -> None:
        """The lines up to the brace.

        Legs and outputs stand one a line where one line would be too long, or comments stand between them.
        """
        legs, outputs = diagram.legs, diagram.outputs
        legs_end = _end(legs)
        head = f"diagram {diagram.name.text}("
        if legs and (self._has_comment(legs_end) or len(f"{print_declaration(diagram)} {{") > MAX_COLUMNS):
            self._write(0, head)
            self._list(legs, [print_leg(leg) for leg in legs], outputs[0].span.start if outputs else legs_end)
            if outputs and not _has_list(diagram):
                self.comments(outputs[0].span.start, depth=1)
            head = ")"
        else:
            head += f"{', '.join(map(print_leg, legs))})"
        line = f"{head}{_outputs(diagram)} {{"
        if _has_list(diagram) and (self._has_comment(_end(outputs)) or len(line) > MAX_COLUMNS):
            self._write(0, f"{head} -> (")
            self._list(outputs, [print_output(output) for output in outputs], _end(outputs))
            line = ") {"
        self._write(0, line)
        if self._has_comment(diagram.span.end):
            self._source_line = self._line_of_brace(diagram)

    def _list(self, nodes: Sequence[syntax.Node], texts: Sequence[str], until: int) -> None:
        """One node a line, with commas between them."""
        for number, (node, text) in enumerate(zip(nodes, texts, strict=True), 1):
            last = number == len(nodes)
            self._source_line = None
            self._node(node, text if last else f"{text},", until if last else nodes[number].span.start, depth=1)
        self._source_line = None

    def _line_of_brace(self, diagram: syntax.Diagram) -> int:
        """The source line of the opening brace, or of a comment that stands before it."""
        source = diagram.span.source
        brace = BRACE.match(source.text, diagram.name.span.end)
        comment = self._comments[self._taken].span
        assert brace is not None
        return comment.line if comment.start < brace.end() else source.position(brace.end())[0]

    # --- lines

    def _node(self, node: syntax.Node, text: str, until: int, depth: int) -> None:
        self.comments(node.span.start, depth)
        if self._has_comment(node.span.end):
            self._gap(node.span.line)
            self._source_line = None
            self.comments(node.span.end, depth)
            self._source_line = None
        self._gap(node.span.line)
        self._write(depth, text)
        self._source_line = node.span.end_line
        self._end_comment(until)

    def comments(self, until: int, depth: int) -> None:
        """The comments before a place, each on a line of its own."""
        while self._has_comment(until):
            comment = self._comments[self._taken]
            self._taken += 1
            self._gap(comment.span.line)
            self._write(depth, comment.text)
            self._source_line = comment.span.line

    def _end_comment(self, until: int) -> None:
        """A comment on the source line that the last thing came from goes to the end of its line."""
        if not self._has_comment(until):
            return
        comment = self._comments[self._taken]
        last = self.lines[-1]
        if not comment.own_line and comment.span.line == self._source_line and not last.comment:
            self.lines[-1] = _Line(last.depth, last.text, comment.text)
            self._taken += 1

    def _has_comment(self, until: int) -> bool:
        return self._taken < len(self._comments) and self._comments[self._taken].span.start < until

    def _gap(self, line: int) -> None:
        """An empty line where the source has at least one."""
        if self._source_line is not None and line > self._source_line + 1:
            self._wants_blank = True

    def _write(self, depth: int, text: str) -> None:
        if self._wants_blank and self.lines and self.lines[-1] != _Line():
            self.lines.append(_Line())
        self._wants_blank = False
        self.lines.append(_Line(depth, text))


BRACE = re.compile(r"(?:[^#{]++|#[^\n]*+)*+\{")

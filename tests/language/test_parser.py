from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest
from texts import (
    CLOSED,
    DENSITY,
    PROGRAMS,
    RECOUPLING,
    THREE_BODY,
    body_of,
    file_of,
    in_body,
    mistake_in,
    mistakes_in,
)

from fusionc.language import syntax
from fusionc.language.errors import CompileError
from fusionc.language.parser import parse, read
from fusionc.language.printer import print_declaration, print_statement
from fusionc.language.source import Source, Span
from fusionc.resources import resource


def test_each_program_parses() -> None:
    assert [len(file_of(text).items) for text in PROGRAMS] == [4, 3, 4, 2, 4]


def test_the_tree_of_a_diagram() -> None:
    diagram = file_of(THREE_BODY).items[-1]
    assert isinstance(diagram, syntax.Diagram)
    assert diagram.name.text == "three_body"
    assert [leg.name.text for leg in diagram.legs] == ["x", "a", "b"]
    first, second = diagram.body
    assert isinstance(first, syntax.Vertex)
    assert isinstance(second, syntax.Vertex)
    assert [edge.name.text for edge in first.left] == ["x", "a"]
    assert isinstance(first.right[0].restriction, syntax.Space)
    assert second.factors == (WEIGHT,)


NOWHERE = Span(Source("", ""), 0, 0)
WEIGHT = syntax.WeightRef(NOWHERE, syntax.Name(NOWHERE, "W"), (syntax.Name(NOWHERE, "path"), syntax.Name(NOWHERE, "u")))


def test_spans_are_the_exact_text() -> None:
    diagram = file_of(DENSITY).items[-1]
    assert isinstance(diagram, syntax.Diagram)
    vertex = diagram.body[0]
    assert isinstance(vertex, syntax.Vertex)
    assert vertex.span.text == "x[j,u] y[i,j] -> A[i,u] in lmax 3 * r[i,j,path,u]"
    assert [edge.span.text for edge in vertex.left] == ["x[j,u]", "y[i,j]"]
    assert vertex.right[0].span.text == "A[i,u] in lmax 3"
    assert vertex.right[0].restriction is not None
    assert vertex.right[0].restriction.span.text == "lmax 3"
    assert vertex.factors[0].span.text == "r[i,j,path,u]"
    assert [leg.span.text for leg in diagram.legs] == ["x: H[atoms]", "y: Y[edges]", "r: weights[edges]"]
    assert diagram.outputs[0].span.text == "M[atoms]"
    assert diagram.span.text.startswith("diagram density_squared(")
    assert diagram.span.text.endswith("}")


def test_comments_are_kept_in_order() -> None:
    comments = file_of(THREE_BODY).comments
    assert [comment.own_line for comment in comments] == [True, False, False, False, False, False]
    assert comments[0].text == "# Two neighbours and a node, fused into a new node feature."


@pytest.mark.parametrize(
    ("line", "terms", "factors"),
    [
        ("a -> e in 0e + 1o * W[path,u]", "0e + 1o", 1),
        ("a -> e in 3 * H", "3 * H", 0),
        ("a -> e in 3 * H * W[u]", "3 * H", 1),
        ("a -> e in 3 * spherical(2) * 2", "3 * spherical(2)", 1),
        ("a -> e in 1 * W[path]", "1", 1),
        ("a -> e in 1 * W  [path]", "1", 1),
        ("a -> e in 1 # one\n  * W [path] # weight", "1", 1),
        ("a -> e in 2 * 0.5", "2", 1),
        ("a -> e in 2 * 3 * W", "2", 2),
        ("a -> e in 3/2 * W", "3/2", 1),
        ("a -> e in 2x3/2 + 1 * H", "2x3/2 + 1 * H", 0),
        ("a -> e in 0e+1o", "0e + 1o", 0),
        ("a -> e in lmax 3 * W", "lmax 3", 1),
    ],
)
def test_a_count_or_an_irrep_and_a_factor(line: str, terms: str, factors: int) -> None:
    (vertex,) = body_of(line)
    assert isinstance(vertex, syntax.Vertex)
    assert print_statement(vertex).split(" in ")[1].startswith(terms)
    assert len(vertex.factors) == factors


@pytest.mark.parametrize(
    ("factor", "value"),
    [
        ("0.5", Fraction(1, 2)),
        ("-1", Fraction(-1)),
        ("- 1", Fraction(-1)),
        ("1/3", Fraction(1, 3)),
        ("-2/3", Fraction(-2, 3)),
        ("1e-3", Fraction(1, 1000)),
        ("2.5e2", Fraction(250)),
        (".25", Fraction(1, 4)),
        ("0.3333333333333333333333", Fraction(3333333333333333333333, 10**22)),
    ],
)
def test_numbers_are_exact(factor: str, value: Fraction) -> None:
    (vertex,) = body_of(f"a -> b * {factor}")
    assert isinstance(vertex, syntax.Vertex)
    assert vertex.factors == (syntax.Number(NOWHERE, value),)


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("a -> b; c -> d", 2),
        (";; a -> b ;\n; c -> d ;", 2),
        ("a -> b\n  * W\n  # why\n\n  * 2", 1),
        ("a -> b\n  in 0e +\n  # more\n  1o", 1),
        ("a[\ni,\n# site\nu] -> b", 1),
        ("edge a:\n 1,\n b: 2", 1),
        ("a b ->\nc -> d", 2),
        ("-> p q\np q ->", 2),
        ("a b -> * 0.5\n-> c", 2),
        ("inner -> b\ninner -> b", 2),
        ("import[u] -> out[path,u]", 1),
        ("a\t->\tb\r\nc -> d\r", 2),
    ],
)
def test_where_statements_end(lines: str, count: int) -> None:
    assert len(body_of(lines)) == count


def test_outputs() -> None:
    many = file_of(CLOSED).items[-1]
    assert isinstance(many, syntax.Diagram)
    assert print_declaration(many) == (
        "diagram many(x: 3 * H[atoms]) -> (s: 64x0e, v: * in lmax 3, out: 2x3/2 + 3 * spherical(2))"
    )
    assert [output.name.text for output in many.outputs if output.name] == ["s", "v", "out"]
    theta = file_of(CLOSED).items[2]
    assert isinstance(theta, syntax.Diagram)
    assert theta.outputs == ()
    (recoupling,) = (item for item in file_of(RECOUPLING).items if isinstance(item, syntax.Diagram))
    assert recoupling.outputs[0].name is None


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "\ufeff", " \t", ";"])
def test_files_without_items(text: str) -> None:
    assert mistakes_in(text.replace(";", "")) == ()
    assert file_of("\ufeffgroup O(3)\r\n").items == file_of("group O( 3 )").items


@pytest.mark.parametrize(
    ("line", "code", "message", "help"),
    [
        ("x a => e", "F0001", "found `=`", "write `->`"),
        ("x a = e", "F0001", "found `=`", "write `->`"),
        ("x a --> e", "F0001", "found `-`", "write `->`"),
        ("x a → e", "F0002", "U+2192", "write `->`"),
        ("x ⊗ a -> e", "F0002", "U+2297", "side by side"),
        ("x a -> e in 64*1o", "F0001", "found `1o`", "write `64x1o`"),
        ("x a -> e in 64 x 1o", "F0001", "found `1o`", "write `64x1o`"),
        ("x a -> e in 64×1o", "F0002", "U+00D7", "write `64x1o`"),
        ("x a -> e in 1p", "F0001", "`1p` is not an irrep", "`1o` or `1e`"),
        ("x a -> e in 64X1O", "F0001", "not an irrep", "write `64x1o`"),
        ("x a -> e // why", "F0002", "`/`", "comments begin with `#`"),
        ("x[u a -> e", "F0001", "expected `,` or `]`, found `a`", None),
        ("x(u) -> e", "F0001", "found `(`", "square brackets"),
        ("x -> a -> e", "F0001", "found `->`", "one `->`"),
        ("->", "F0001", "expected an edge, found the end of the line", "at least one edge"),
        ("-> * 2", "F0001", "expected an edge, found `*`", "at least one edge"),
        ("path -> e", "F0006", "`path` is a keyword", "path_1"),
        ("x[out] -> e", "F0006", "`out` is a keyword", "out_1"),
        ("edge out: 1", "F0006", "`out` is a keyword", "out_1"),
        ("a b -> in 0e", "F0001", "found the keyword `in`", None),
        ("größe -> e", "F0002", "`größe`", "letters"),
        ("x -> e * 1/0", "F0011", "divides by zero", None),
        ("x -> e * 1e999999999", "F0009", "too long", None),
        ("x -> e in 1234567890123456789", "F0009", "too long", None),
        ("x -> e in 1234567890123456789x1o", "F0009", "too long", None),
        ("__import__ -> e", "F0007", "reserved", "import__".strip("_")),
        ("x -> e * ", "F0001", "expected a weight or a number, found the end of the line", "next line"),
        ("x\r -> e", "F0002", "U+000D", "line feed"),
        ("x -> \0", "F0002", "U+0000", "not look like text"),
        ("x\u00a0-> e", "F0002", "U+00A0", "plain space"),
        ("edge a 1", "F0001", "expected `:`, found `1`", "write `a: 1`"),
        ("x { y", "F0001", "found `{`", None),
        ("{", "F0001", "found `{`", None),
        ("x -> e in lmax W", "F0001", "expected a number, found `W`", None),
        ("x -> e in", "F0001", "expected `lmax` or a space", None),
        ("x -> e * W[]", "F0001", "expected an index, found `]`", None),
    ],
)
def test_a_mistake_in_a_body(line: str, code: str, message: str, help: str | None) -> None:
    result = parse(Source("test.fus", in_body(line)))
    (diagnostic,) = result.diagnostics
    assert diagnostic.code == code
    assert message in diagnostic.message
    assert help is None or help in (diagnostic.help or "")
    assert diagnostic.span.line == 3
    (diagram,) = result.file.items
    assert isinstance(diagram, syntax.Diagram)
    assert diagram.body


@pytest.mark.parametrize(
    ("text", "code", "message", "help"),
    [
        ("irreps H = 64*1o", "F0001", "found `1o`", "write `64x1o`"),
        ("irreps H = 64 x 1o\n", "F0001", "found `x`", "write `64x1o`"),
        ("irreps in = 1o\n", "F0006", "`in` is a keyword", "in_1"),
        ("irreps H = 1e999999999\n", "F0009", "too long", None),
        ("irreps " + "a" * 300 + " = 1o\n", "F0009", "300 characters", None),
        ("diagrm f(x: H) -> H {\n x -> out \n}\n", "F0001", "found `diagrm`", "did you mean `diagram`?"),
        ("x -> y\n", "F0001", "expected a declaration", "body of a diagram"),
        ("import other\n", "F0001", "found `import`", "double quotes"),
        ('import "other\n', "F0002", '`"`', "closing quote"),
        ("group O3\n", "F0001", "expected `(`", "SU(2)"),
        ("group O(3) irreps H = 1o\n", "F0001", "keyword `irreps`", "line of its own"),
        ("diagram f() { } group O(3)\n", "F0001", "keyword `group`", "line of its own"),
        ("diagram f(x: H) -> H\n  x -> out\n}\n", "F0001", "expected `{`", "a body"),
        ("diagram f -> H { x -> out }\n", "F0001", "expected `(`", "parentheses"),
        ("diagram f(x H) { }\n", "F0001", "expected `:`", "write `x: H`"),
        ("diagram f(x: H[a,b]) { }\n", "F0001", "expected `]`", "one index set"),
        ("diagram f(x: H) -> H in 0e { }\n", "F0001", "keyword `in`", "-> * in lmax 3"),
        ("diagram f(out: H) { }\n", "F0006", "`out` is a keyword", None),
        ("diagram f() {\n  a }\n", "F0001", "expected `->` or an edge, found `}`", None),
        ("diagram f() {\n}\n}\n", "F0001", "a `}` without a `{`", None),
        ("diagram f() {\n a -> b\n }\n b -> c\n c -> d\n}\n", "F0001", "found `b`", "body of a diagram"),
    ],
)
def test_a_mistake_in_a_declaration(text: str, code: str, message: str, help: str | None) -> None:
    diagnostic = mistake_in(text)
    assert diagnostic.code == code
    assert message in diagnostic.message
    assert help is None or help in (diagnostic.help or "")


@pytest.mark.parametrize(
    ("text", "message", "opened"),
    [
        ("irreps H =\n\n# nothing", "expected a space, found the end of the file", None),
        ("diagram f(x: H", "expected `)` or `,`", "("),
        ("diagram f() -> H", "expected `{`", None),
        ("diagram f() {\n  a -> b\n\n", "expected `}`", "{"),
        ("diagram f() {\n  a[u,", "expected", "["),
    ],
)
def test_the_end_of_the_file(text: str, message: str, opened: str | None) -> None:
    diagnostic = mistakes_in(text)[0]
    end = len(text.rstrip())
    assert diagnostic.code == "F0003"
    assert message in diagnostic.message
    assert (diagnostic.span.start, diagnostic.span.end) == (end, end)
    assert [label.span.text for label in diagnostic.related] == ([opened] if opened else [])


def test_an_unclosed_diagram_ends_at_the_next_declaration() -> None:
    result = parse(Source("test.fus", "diagram f() {\n  a -> b\n\ndiagram g() { }\n"))
    (diagnostic,) = result.diagnostics
    assert diagnostic.message == "expected `}`, found the keyword `diagram`"
    assert diagnostic.related[0].span.line == 1
    assert len(result.file.items) == 2


def test_five_mistakes_give_five_diagnostics_and_the_rest_survives() -> None:
    text = """\
irreps = 64x0e
irreps H = 64x0e + 1o
diagram f(x: H) -> H {
    x = a            # 3
    x -> b
    b[u -> c
    edge p: spherical(3
    c -> out
}
diagram g(x H) { x => y }
"""
    result = parse(Source("test.fus", text))
    assert [found.span.line for found in result.diagnostics] == [1, 4, 6, 8, 10, 10]
    h, f = result.file.items
    assert isinstance(h, syntax.Irreps)
    assert isinstance(f, syntax.Diagram)
    assert [statement.span.line for statement in f.body] == [5, 8]


def test_words_that_are_wrong_by_themselves_stop_nothing() -> None:
    result = parse(Source("test.fus", in_body("__a __b -> c * 1/0")))
    assert [found.code for found in result.diagnostics] == ["F0007", "F0007", "F0011"]
    assert len(result.file.items) == 1


# --- files ------------------------------------------------------------------------------------------


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "a.fus"
    path.write_bytes(THREE_BODY.encode())
    source = read(path)
    assert source.name == str(path)
    assert source.text == THREE_BODY


def _refusal(path: str | Path) -> str:
    with pytest.raises(CompileError) as caught:
        read(path)
    (diagnostic,) = caught.value.diagnostics
    assert str(caught.value).startswith(f"\nerror[{diagnostic.code}]: ")
    return diagnostic.code


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.fus"
    latin.write_bytes(b"irreps H\xe9 = 1o")
    huge = tmp_path / "huge.fus"
    with huge.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    assert _refusal(tmp_path / "missing.fus") == "F0005"
    assert _refusal(tmp_path) == "F0005"
    assert _refusal("nul\0") == "F0005"
    assert _refusal(latin) == "F0004"
    assert _refusal(huge) == "F0010"


def test_the_grammar_is_found() -> None:
    assert (resource("grammar") / "fusion.lark").is_file()


# --- speed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "diagram d(x: H, a: Y) -> H {\n  x[u] a -> e[u] in 0e + 1o  # why\n  e[u] -> out[u] * W[path]\n}\n\n" * 4000,
        "diagram d(x: H) -> H {\n" + "    x[j,u] y[i,j] -> out[i,u] * r[i,j,path,u]\n" * 20000 + "}\n",
    ],
    ids=["many diagrams", "one diagram"],
)
def test_twenty_thousand_lines(text: str) -> None:
    start = time.process_time()
    file_of(text)
    assert time.process_time() - start < 8  # about 1.5 s on a quiet machine

"""Programs, diagrams, paths and reports as values of Python: what they contain, how they print, when they are equal."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import fusionc
from fusionc.cli import main
from fusionc.targets.registry import Options
from fusionc.tools.verify import Measurement, Verification

EXAMPLES = Path(__file__).parent.parent / "examples"
TWO = """
irreps Y = spherical(2)
diagram first(x: 1o, a: Y, b: Y) -> Y { x a -> e; e b -> out * W[path] }
diagram second(a: Y, b: Y, c: Y) -> 1o { a b c -> out * W[path] }
"""


@pytest.fixture(scope="module")
def program():
    return fusionc.parse(TWO, "two.fus")


def test_a_program_is_a_mapping(program):
    assert isinstance(program, Mapping)
    assert list(program) == ["first", "second"] == [*program.keys()]
    assert [diagram.name for diagram in program.values()] == ["first", "second"]
    assert dict(program.items()) == {name: program[name] for name in program}
    assert len(program) == 2
    assert "first" in program
    assert "frist" not in program
    assert 0 not in program
    assert program.get("frist") is None
    assert {**program} == dict(program.diagrams)


@pytest.mark.parametrize(("name", "words"), [("frist", "did you mean `first`"), (0, "known here: `first`, `second`")])
def test_a_name_that_is_not_there(program, name, words):
    with pytest.raises(KeyError, match=words):
        program[name]


@pytest.mark.parametrize("example", ["three_body", "recoupling", "kondo", "neighbours", "message"])
def test_equal_texts_make_equal_programs(example):
    path = EXAMPLES / f"{example}.fus"
    program, other = fusionc.load(path), fusionc.load(path)
    [repr(diagram) for diagram in program.values()]
    for same in (other, pickle.loads(pickle.dumps(program)), copy.deepcopy(program)):
        assert same == program
        assert {same, program} == {program}
        assert [*same.values()] == [*program.values()]


def test_what_is_pickled_does_not_grow_with_use():
    program = fusionc.parse(TWO)
    before = len(pickle.dumps(program))
    program["second"].emit()
    program["second"].paths  # noqa: B018
    assert len(pickle.dumps(program)) < 1.5 * before
    assert pickle.loads(pickle.dumps(program["second"])).emit() == program["second"].emit()


def test_diagrams_are_equal_that_mean_the_same():
    texts = [
        "irreps H = 1o\ndiagram d(x: H) -> H { x -> out }",
        "diagram d(x: 1o) -> 1o {\n    x -> out  # as it is\n}",
    ]
    first, second = (fusionc.parse(text)["d"] for text in texts)
    assert first == second
    assert hash(first) == hash(second)
    assert first != fusionc.parse("diagram d(x: 1o) -> 1o { x -> out * 2 }")["d"]
    assert first != "d"


def test_a_repr_is_a_line(program):
    legs = [f"a_long_name_{number}" for number in range(6)]
    head = ", ".join(f"{leg}: 0e + 1o" for leg in legs)
    long = fusionc.parse(f"diagram d({head}) -> 0e {{ {' '.join(legs)} -> out * W[path] }}")
    number = fusionc.load(EXAMPLES / "kondo.fus")
    cost = program["first"].cost()
    verified = Verification("d", (Measurement("translation", 0.0, 1e-12),))
    values = [
        program, long, number, *program.values(), *long.values(), *number.values(), *program["first"].paths,
        long["d"].paths[0], cost,
        verified, program.checked, program["first"].checked, next(iter(number.values())).source,
    ]  # fmt: skip
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse("\n".join(f"diagram d{n}(x: 1o) -> 1o {{ x -> oit_{n} }}" for n in range(9)))
    values += [caught.value, *caught.value.diagnostics]
    assert repr(caught.value) == "<CompileError: 9 diagnostics, F1011>"
    for value in values:
        assert "\n" not in repr(value)
        assert len(repr(value)) <= 120, repr(value)
    assert repr(program) == "<Program two.fus: first, second>"
    assert repr(program["first"]) == "<Diagram first(x: 1o, a: Y, b: Y) -> Y>"
    assert repr(long["d"]).startswith("<Diagram d(a_long_name_0: 0e + 1o, a_long_name_1")
    assert repr(long["d"]).endswith("…>")


def test_notebooks_show_the_picture(program):
    assert program["first"]._repr_svg_() == program["first"].draw()
    assert program._repr_html_().count("<svg") == 2
    number = fusionc.parse("group SU(2)\ndiagram n() { -> a b in 1/2; a b -> }", "<n>")
    assert number["n"]._repr_svg_() is None
    assert number._repr_html_() == "<h4>n</h4><pre>diagram n() {\n    -&gt; a b in 1/2\n    a b -&gt;\n}\n</pre>"


def test_a_report_prints_as_the_table_of_the_command(program, tmp_path, capsys):
    path = tmp_path / "two.fus"
    path.write_text(TWO)
    assert main(["cost", str(path), "--diagram", "second", "--batch", "7"]) == 0
    assert capsys.readouterr().out == f"{program['second'].cost(7)}\n"


def test_a_path_says_which_edge_carries_what(program):
    path = program["first"].paths[1]
    assert str(path) == "x 1o, a 0e, e 1o, b 1o -> out 0e"
    assert [path.irrep_of(edge) for edge in ("x", "a", "e", "b", "out")] == ["1o", "0e", "1o", "1o", "0e"]
    assert sorted(irrep for _, irrep in path.edges) == sorted(path.irreps)
    assert str(program["second"].paths[0]) == "a 0e, b 0e, (a b) 0e, c 1o -> out 1o"
    with pytest.raises(KeyError, match="no edge `f`; it has `x`, `a`, `e`, `b`, `out`"):
        path.irrep_of("f")


def test_edges_of_subtrees_loops_and_edges_that_stand_twice():
    text = (
        "irreps Y = spherical(2)\ndiagram d(a: Y, b: Y, c: Y, d: 1o) -> 1o "
        "{ a b c -> e in 1o; d a -> f in 1e + 0e; e f -> out * W[path] }\n"
        "diagram l(x: 1o, y: 1o) -> 1o { x y -> e; e -> p q in 1o; p x -> r; r q -> out * W[path] }"
    )
    program = fusionc.parse(text)
    path = next(p for p in program["d"].paths if dict(p.edges)["f"] == "1e" and p.irreps[0] == "0e")
    assert [edge for edge, _ in path.edges] == ["a", "b", "(a b)", "c", "e", "d", "a", "f", "out"]
    assert path.irrep_of("e") == "1o"
    with pytest.raises(ValueError, match="`a` stands on the path several times, as 0e and 1o"):
        path.irrep_of("a")
    for diagram in program.values():
        for path in diagram.paths:
            assert sorted(irrep for _, irrep in path.edges) == sorted(path.irreps)
            assert path.edges[-1] == ("out", path.irreps[-1])


CALLS = [fusionc.Program.emit, fusionc.Diagram.emit, fusionc.Diagram.module, fusionc.Diagram.function]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_options_are_keywords_that_help_knows(call):
    found = {name: value for name, value in inspect.signature(call).parameters.items() if name != "self"}
    assert found.pop("target").default == "torch"
    assert {name: value.default for name, value in found.items()} == {o.name: o.default for o in fields(Options)}
    assert all(value.kind is inspect.Parameter.KEYWORD_ONLY for value in found.values())


@pytest.mark.parametrize("name", ["emit", "module", "function"])
def test_an_unknown_option_names_the_known_ones(program, name):
    known = "it takes target, layout, dtype, sums, style, unroll"
    with pytest.raises(TypeError, match=f"{name} has no option `foo`: {known}"):
        getattr(program["first"], name)(foo=1)
    with pytest.raises(TypeError, match=f"did you mean `layout`. {known}"):
        getattr(program["first"], name)(layuot="ir_mul")
    with pytest.raises(ValueError, match="layout should be one of mul_ir, ir_mul, and is 'mulir'"):
        getattr(program["first"], name)(layout="mulir")


def test_the_command_line_has_the_same_options(capsys):
    with pytest.raises(SystemExit):
        main(["compile", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option in fields(Options):
        assert f"--{option.name} {{{','.join(option.metadata['choices'])}}}" in text


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_dtypes_by_the_names_of_torch(name):
    dtype = getattr(torch, name)
    diagram = fusionc.parse("diagram d(x: 1o) -> 0e { x x -> out }")["d"]
    assert diagram.module(dtype=dtype) is diagram.module(dtype=name)
    with pytest.raises(ValueError, match="and is 'int64'"):
        diagram.module(dtype=torch.int64)


def test_a_cost_takes_torchs_dtypes():
    diagram = fusionc.parse("diagram d(x: 4x0e) -> 4x0e { x[u] -> out[u] * W[u] }")["d"]
    assert diagram.cost(dtype=torch.float64) == diagram.cost(dtype="float64")
    with pytest.raises(ValueError, match="int8"):
        diagram.cost(dtype=torch.int8)

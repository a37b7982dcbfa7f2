"""What has an exact value, what of that is a module too, and what each is told."""

from __future__ import annotations

import json

import pytest

import fusionc
from fusionc.cli import main

BUBBLE = "edge a: 1, b: 1; x -> a b; a b -> out"


@pytest.mark.parametrize("group", ["SU(3)", "su(2)", "SO(2)", "O3", "SU2", "U(1)"])
@pytest.mark.parametrize(
    "diagram",
    [
        "d() { -> p q in 1; p q -> }",
        f"d(x: 1) -> 1 {{ {BUBBLE} }}",
        "d(x: 1) -> 1 { x -> out }",
        "d(x: 8x1o, y: 1o) -> 8x0e { x[u] y -> out[u] * W[path, u] }",
        "d(x: 1o, y: 1o) -> 1o { x -> a b in 1o; b y -> c; a c -> out * W[path] }",
    ],
)
def test_an_unknown_group_is_a_mistake_in_every_form(group, diagram):
    with pytest.raises(fusionc.CompileError) as error:
        fusionc.parse(f"group {group}\ndiagram {diagram}")
    assert error.value.diagnostics[0].code in ("F1001", "F0001")
    if "(" in group:
        assert [found.code for found in error.value.diagnostics] == ["F1001"]


def test_labels_are_summed_whether_there_is_a_leg_or_not():
    labels = "edge a: 1 + 2, b: 1 + 2, c: 2"
    closed = fusionc.parse(f"group SU(2)\ndiagram d() {{ {labels}; -> c k; c -> a b; a b -> l; l k -> }}")["d"]
    traced = fusionc.parse(f"group SU(2)\ndiagram d(x: 2) -> 2 {{ {labels[:-6]}; x -> a b; a b -> out }}")["d"]
    assert traced.evaluate() == closed.evaluate() == 4
    with pytest.raises(fusionc.CompileError, match="F1027"):
        traced.module()


def test_the_summed_number_has_a_term_for_each_labeling(tmp_path, capsys):
    file = tmp_path / "d.fus"
    file.write_text("group SU(2)\ndiagram d(x: 2) -> 2 { edge a: 1 + 2, b: 1 + 2; x -> a b; a b -> out }\n")
    assert main(["check", str(file)]) == 0
    assert main(["eval", str(file), "--json", "--formula"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["value"] == "4"
    assert len(row["formula"]) == 4


@pytest.mark.parametrize(
    ("group", "ends", "body"),
    [
        ("SU(2)", "(x: 1) -> 0", BUBBLE),
        ("SO(3)", "(x: 1) -> 2", BUBBLE),
        ("O(3)", "(x: 1o) -> 2o", "-> p q in 1o; x p -> a in 2e; a q -> out"),
    ],
)
def test_between_two_irreps_there_is_zero(group, ends, body):
    diagram = fusionc.parse(f"group {group}\ndiagram d{ends} {{ {body} }}")["d"]
    assert diagram.evaluate() == 0
    with pytest.raises(fusionc.CompileError):
        diagram.module()


def test_a_vertex_that_nothing_fits_stays_a_mistake_where_schur_says_zero():
    with pytest.raises(fusionc.CompileError, match="F2003"):
        fusionc.parse("group SU(2)\ndiagram d(x: 1) -> 0 { edge a: 1, b: 5; x -> a b; a b -> out }")


def test_a_plain_line_is_a_number_without_being_named(tmp_path, capsys):
    file = tmp_path / "d.fus"
    file.write_text("group SU(2)\ndiagram d(x: 3/2) -> 3/2 { x -> h; h -> out * 1/3 }\n")
    assert main(["eval", str(file)]) == 0
    assert capsys.readouterr().out.startswith("d = 1/3 = ")
    assert fusionc.load(file)["d"].count_paths() == 1


def test_an_ordinary_diagram_with_one_leg_is_still_no_number():
    program = fusionc.parse("group SO(3)\ndiagram d(x: 1) -> 2 { x x -> out }")
    assert not program.checked.numbers
    assert program["d"].count_paths() == 1


def test_loops_between_several_irreps_without_weights_are_a_module():
    diagram = fusionc.parse(f"group SO(3)\ndiagram d(x: 1 + 2) -> 1 + 2 {{ {BUBBLE} }}")["d"]
    assert diagram.count_paths() == 2
    with pytest.raises(fusionc.CompileError, match="F1036"):
        diagram.evaluate()


def test_numbers_have_spins_that_modules_have_not():
    text = "group SU(2)\ndiagram d(x: 300) -> 300 { edge a: 201, b: 250; x -> a b; a b -> out }"
    diagram = fusionc.parse(text)["d"]
    assert diagram.evaluate() == 1
    with pytest.raises(fusionc.CompileError, match="F3001"):
        diagram.module()
    named = "group SU(2)\nirreps H = 300\ndiagram d() { -> p q in H; p q -> }"
    assert fusionc.parse(named)["d"].evaluate() == 1
    with pytest.raises(fusionc.CompileError, match="10,000 are accepted"):
        fusionc.parse("group SU(2)\ndiagram d() { -> p q in 10001; p q -> }")


def test_su2_has_no_real_basis_for_numbers_either():
    with pytest.raises(fusionc.CompileError, match="F1034"):
        fusionc.parse("group SU(2)\nbasis real\ndiagram d() { -> p q in 1/2; p q -> }")


# --- labels of wires that no path uses -----------------------------------------------------------------------------


def test_paths_of_wires_are_those_that_schurs_lemma_leaves():
    """As of a linear map: 1 -> 2 is no path, and the weights and the normalisation do not count it."""
    text = "diagram d(x: 1o + 2e) -> 1o + 2e {{ edge a: 1o, b: 1e + 1o; x -> a b; a b -> c{}; c -> out * W[path] }}"
    program = fusionc.parse(text.format(""))
    assert not program.diagnostics
    assert [path.irreps[0] == path.irreps[-1] for path in program["d"].paths] == [True, True]
    assert [found.code for found in fusionc.parse(text.format(" in 0e + 1o + 2e")).diagnostics] == ["F2004"]


def test_a_choice_that_vanishes_inside_of_the_wires_is_a_path():
    text = (
        "group SU(2)\ndiagram d(x: 1, y: 1) -> 1 {{ edge a: 1, b: 1; x -> a b; a b -> c in {}; c y -> out * W[path] }}"
    )
    program = fusionc.parse(text.format("0 + 1 + 2"))
    assert not program.diagnostics
    assert program["d"].count_paths() == 3
    assert fusionc.parse(text.format("1"))["d"].count_paths() == 1

"""A repair works when it is made: fewer mistakes are left, and no other meaning unless the repair says so."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from repair_cases import check_repairs, draw, meaning, read

import fusionc
from fusionc.cli import main
from fusionc.driver import check_source, late_mistakes
from fusionc.language.parser import read as read_file
from fusionc.language.printer import print_file
from fusionc.language.repair import edited
from fusionc.language.source import Source

FOLDER = Path(__file__).parent / "mistakes"
CASES = sorted(path.name for path in FOLDER.glob("*.fus"))
GENERATED = 30  # `tests/campaigns/repairs.py` makes more


def said(text: str) -> list[tuple[str, str]]:
    return [(one.code, one.help or "") for one in check_source(Source("t.fus", text)).diagnostics]


def mended(text: str) -> str:
    """The text with the first repair of its only diagnostic."""
    source = Source("t.fus", text)
    (found,) = check_source(source).diagnostics
    return edited(source, found.repairs[0].edits)


def test_every_repair_of_every_case_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    assert sum(check_repairs(read_file(case), Path()) for case in CASES) > 100


def test_every_repair_of_random_mistakes_works() -> None:
    made = 0
    for seed in range(GENERATED):
        text, slipped, is_reversible = draw(seed)
        meant = meaning(read(Source("sound.fus", text))[0])
        assert meant is not None
        made += check_repairs(Source("slipped.fus", slipped), None, meant if is_reversible else None)
    assert made > GENERATED // 2


BODY = "irreps H = 8x0e + 8x1o\ndiagram f(x: H, y: 0e + 1o) -> H {{\n    {}\n}}\n"
WAYS = (
    ("x[u] * y -> out[u] * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("x[u] @ y -> out[u] * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("x[u], y -> out[u] * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("x[u] y ->> out[u] * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("x[u] y → out[u] * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("x(u) y -> out(u) * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("x_{u} y -> out_{u} * W[path,u]", "x[u] y -> out[u] * W[path,u]"),
    ("y^2 x[u] -> out[u] * W[path,u]", "y y x[u] -> out[u] * W[path,u]"),
    ("0.5 * x[u] y -> out[u] * W[path,u]", "x[u] y -> out[u] * W[path,u] * 0.5"),
    ("W[path,u] * x[u] y -> out[u]", "x[u] y -> out[u] * W[path,u]"),
    ("x[u] y -> out[u] * W[path,u] // two", "x[u] y -> out[u] * W[path,u] # two"),
    ("x[u] y -> e[u] in {0e, 1o}; e[u] -> out[u] * V[path,u]", "x[u] y -> e[u] in 0e + 1o; e[u] -> out[u] * V[path,u]"),
    ("x[u] y -> e[u] in l<=1; e[u] -> out[u] * V[path,u]", "x[u] y -> e[u] in lmax 1; e[u] -> out[u] * V[path,u]"),
)


@pytest.mark.parametrize(("line", "repaired"), WAYS)
def test_other_ways_of_writing_a_line(line: str, repaired: str) -> None:
    (found,) = check_source(Source("t.fus", BODY.format(line))).diagnostics
    assert found.help
    assert not found.repairs[0].changes_meaning
    assert mended(BODY.format(line)) == BODY.format(repaired)


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("64X0e + 32X1O", "64x0e + 32x1o"),
        ('"64x0e + 2x1o"', "64x0e + 2x1o"),
        ("64x0e ⊕ 2x1o", "64x0e + 2x1o"),
        ("64x0e, 2x1o", "64x0e + 2x1o"),
        ('o3.Irreps("64x0e")', "64x0e"),
        ("Irreps.spherical_harmonics(3)", "spherical(3)"),
        ("sperical(2)", "spherical(2)"),
        ("64 * (0e + 1o)", "64x(0e + 1o)"),
        ("64*1o", "64x1o"),
    ],
)
def test_other_ways_of_writing_a_space(text: str, repaired: str) -> None:
    assert mended(f"irreps H = {text}\n") == f"irreps H = {repaired}\n"


def test_a_space_of_a_leg_and_a_decimal_comma() -> None:
    text = "diagram d(x: {}) -> 0e {{ x x -> out * {} }}\n"
    assert mended(text.format("sperical(1)", "0.5")) == text.format("spherical(1)", "0.5")
    assert mended(text.format("0e", "0,5")) == text.format("0e", "0.5")


def test_a_factor_before_a_sum_says_what_becomes_of_it() -> None:
    """`2 * H` is `H + H`: `2x(…)` has the same blocks, in another order."""
    (found,) = check_source(Source("t.fus", "irreps H = 2 * (0e + 1o)\n")).diagnostics
    assert [repair.edits[0].text for repair in found.repairs] == ["2x(0e + 1o)"]
    assert "so many times" in found.repairs[0].effect


def test_a_spin_is_a_fraction() -> None:
    assert mended("group SU(2)\nirreps H = 4x0.5 + 1.5\n") == "group SU(2)\nirreps H = 4x1/2 + 3/2\n"


def test_there_are_no_functions() -> None:
    ((code, help),) = said(BODY.format("silu(x[u]) -> out[u]"))
    assert code == "F0001"
    assert "no functions" in help
    assert "PyTorch" in help


def test_a_restriction_keeps_what_can_be_reached() -> None:
    text = BODY.format("x[u] y -> e[u] in 0e + 1o + 6e\n    e[u] -> out[u] * W[path, u]")
    ((code, help),) = said(text)
    assert (code, help) == ("F2001", "leave it out: `in 0e + 1o`")


def test_multiplicities_are_those_of_all_irreps() -> None:
    text = BODY.format("x[u] y -> e[w] * W[path, u, w]\n    e[u] -> out[u]")
    repaired = mended(text)
    assert "in 8x0e + 8x1o" in repaired
    assert said(repaired) == []


def test_unequal_multiplicities_are_mended_at_once() -> None:
    text = "diagram f(x: 8x0e + 8x1o, y: 4x0e + 4x1o) -> 8x0e {\n    x[u] y[u] -> out[u] * W[path, u]\n}\n"
    assert said(mended(text)) == []


# --- one mistake, one diagnostic -----------------------------------------------------------------------------------

DECLARATIONS = "irreps H = 8x0e\nirreps Y = 0e\nsites atoms\npairs edges(atoms, atoms)\n"
USES = "diagram d(x: H[atoms], y: Y[edges]) -> H[atoms] {\n    x[j,u] y[i,j] -> out[i,u] * W[path,u]\n}\n"


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ("irreps H = 8x0e", "irreps H = 8x0q"),
        ("irreps H = 8x0e", "irreps H"),
        ("irreps H = 8x0e", "irrep H = 8x0e"),
        ("irreps H = 8x0e", "H = 8x0e"),
        ("irreps H = 8x0e", "irreps H = 999999999999x0e"),
        ("irreps H = 8x0e", "group SO3\nirreps H = 8x0"),
        ("irreps H = 8x0e", "irreps H = Q\nirreps R = Q + 1o"),
        ("sites atoms", "sites atoms, bonds"),
        ("sites atoms", "sites 5"),
        ("sites atoms", "site atoms"),
        ("pairs edges(atoms, atoms)", "pairs edges(atoms)"),
        ("pairs edges(atoms, atoms)", "pairs edges(atoms atoms)"),
        ("irreps H = 8x0e", "import other.fus"),
    ],
)
def test_a_broken_declaration_is_one_mistake(sound: str, broken: str) -> None:
    text = (DECLARATIONS + USES).replace(sound, broken)
    assert len(check_source(Source("t.fus", text)).diagnostics) == 1


def test_an_unknown_space_is_no_loop_that_does_not_compile() -> None:
    codes = [code for code, _ in said("diagram d(x: 1/2) -> 1/2 { edge a: 1/2, b: 1; x -> a b; a b -> out }")]
    assert codes
    assert "F4004" not in codes


def test_check_names_lines_that_nothing_compiles() -> None:
    text = "diagram d(x: spherical(3)) -> spherical(3) { x x x x x x x x -> out * W[path] }"
    assert [one.code for one in late_mistakes(check_source(Source("t.fus", text)))] == ["F3009"]


# --- characters that do not show -----------------------------------------------------------------------------------


@pytest.mark.parametrize("char", ["\u202e", "\u2066", "\u200b", "\u00ad", "\x1b", "\x00", "\u2028"])
@pytest.mark.parametrize("text", ["irreps H = 1o  # {}", "irreps H {}= 1o", 'import "a{}.fus"'])
def test_hidden_characters_are_refused(char: str, text: str) -> None:
    found = check_source(Source("t.fus", text.format(char) + "\n")).diagnostics
    assert found[0].code == "F0002"
    assert f"U+{ord(char):04X}" in found[0].message


def test_writing_that_needs_joiners_is_a_comment() -> None:
    assert said("irreps H = 1o  # می\u200cخواهم\n") == []


# --- a multiplicity for a space ------------------------------------------------------------------------------------


def test_a_space_with_a_multiplicity() -> None:
    text = "irreps Y = spherical(2)\nirreps H = 64xY\ndiagram f(x: H) -> 64x(0e + 1o + 2e) {\n    x[u] -> out[u]\n}\n"
    checked = check_source(Source("t.fus", text))
    assert checked.diagnostics == ()
    assert checked.diagrams[0].graph.legs[0].space == checked.diagrams[0].graph.outputs[0].space
    blank = text.replace("\ndiagram", "\n\ndiagram")
    assert print_file(checked.file) == blank


@pytest.mark.parametrize("space", ["64x(8x0e + 1o)", "64xH", "64x8x0e", "64x(2x(0e))", "64x", "0x(1o)"])
def test_one_multiplicity_only(space: str) -> None:
    found = check_source(Source("t.fus", f"irreps H = 8x0e\nirreps K = {space}\n")).diagnostics
    assert [one.code for one in found] == ["F1029" if "(8" in space or space in ("64xH", "0x(1o)") else "F0001"]


# --- time ----------------------------------------------------------------------------------------------------------

LONG = {
    "blank lines": "DIAGRAM f(x: 1o) -> 1o {\n" + "\n" * 40_000 + "x -> out\n}\n",
    "comments": "DIAGRAM f(x: 1o) -> 1o {\n" + "# a\n" * 40_000 + "x -> out\n}\n",
    "unknown spaces": "".join(f"irreps H{n} = K{n}\n" for n in range(3000)),
    "chains of spaces": "irreps H0 = 1o\n" + "".join(f"irreps H{n + 1} = H{n} + 1o\n" for n in range(3000)),
    "reserved names": "".join(f"irreps __a{n} = 1o\n" for n in range(2000)),
}


@pytest.mark.parametrize("name", LONG)
def test_long_texts_take_no_longer_than_they_are_long(name: str) -> None:
    start = time.process_time()
    assert check_source(Source("t.fus", LONG[name])).diagnostics
    assert time.process_time() - start < 3


# --- the command line ----------------------------------------------------------------------------------------------


def test_check_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, text = tmp_path / "d.fus", BODY.format("x[u] * y → out[u] * W[path,u]").replace("8x1o", "8X1O")
    file.write_text(text, encoding="utf-8")
    assert main(["check", "--diff", str(file)]) == 0
    assert "+    x[u] y -> out[u]" in capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == text
    assert main(["check", "--fix", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == BODY.format("x[u] y -> out[u] * W[path,u]")
    assert len(re.findall("mended", capsys.readouterr().err)) == 3


def test_check_fix_changes_no_meaning(tmp_path: Path) -> None:
    file, text = tmp_path / "d.fus", BODY.format("x[u] y -> out[u]")
    file.write_text(text, encoding="utf-8")
    assert main(["check", "--fix", str(file)]) == 1
    assert file.read_text(encoding="utf-8") == text


def test_repairs_in_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "d.fus"
    file.write_text("irreps H = 8X1O\n", encoding="utf-8")
    assert main(["check", "--format", "json", str(file)]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["repairs"][0]["edits"][0]["text"] == "8x1o"
    assert main(["check", "--format", "sarif", str(file)]) == 1
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["replacements"][0]["insertedContent"]["text"] == "8x1o"
    assert change["replacements"][0]["deletedRegion"]["charLength"] == 4


def test_lines_over_a_broken_space_are_not_compared() -> None:
    text = (
        "irreps X =b4x0e + 4x1o\n\ndiagram twice(x: X, a: 1o, b: 1o) -> 4x0e + 4x1o {\n    x[u] a -> e[u]\n"
        "    e[u] b -> out[u] * V[path, u]\n    x[u] b -> f[u]\n    f[u] a -> out[u] * W[path, u]\n}\n"
    )
    assert [code for code, _ in said(text)] == ["F1001"]


@pytest.mark.parametrize(
    ("space", "repaired"),
    [
        ("64(0e+1o)", "64x(0e + 1o)"),
        ("64 (0e, 1o)", "64x(0e + 1o)"),
        ("(0e+1o)", "0e + 1o"),
        ("64x0e(1o)", None),
        ("x(0e)", None),
    ],
)
def test_brackets_keep_the_multiplicity_before_them(space, repaired):
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse(f"irreps Q = {space}\n")
    repairs = caught.value.diagnostics[0].repairs
    assert [edit.text for repair in repairs for edit in repair.edits] == ([repaired] if repaired else [])


def test_an_irrep_that_stands_three_times_is_one_block():
    text = (
        "diagram f(x: 8x1o) -> 8x1o { x[u] -> h[v] in 4x1o + 44x1o + 4x1o * W[path,u,v]; h[v] -> out[u] * V[path,u,v] }"
    )
    assert "h[v] in 52x1o * W" in mended(text)

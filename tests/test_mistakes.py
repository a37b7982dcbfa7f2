"""Every mistake a user can make has an input file and, beside it, the text that fusionc says about it.

`pytest tests/test_mistakes.py --update-golden` writes the texts anew; read the diff before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusionc import CompileError
from fusionc.cli import main
from fusionc.driver import check_source, emit
from fusionc.language.codes import CODES
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.parser import MAX_BYTES, MAX_DIAGNOSTICS, MAX_LINE, decode, read
from fusionc.language.render import render_text
from fusionc.language.source import Source
from fusionc.targets import registry
from fusionc.tools.explain import page

FOLDER = Path(__file__).parent / "mistakes"
CASES = sorted(path.stem for path in FOLDER.glob("*.fus"))
SEVERAL = {
    "five_in_five_diagrams": ["F1001", "F1007", "F2001", "F1021", "F0001"],
    "five_in_one_diagram": ["F2002", "F1001", "F1027", "F1025", "F1021"],
}
# Codes that no text can show: the tests below provoke them.
WITHOUT_A_TEXT = {"F0004", "F0005", "F0010", "F0012", "F0013", "F4006", "F4007", "F4009"}


def diagnostics_of(source: Source, folder: Path | None = None) -> tuple[Diagnostic, ...]:
    """Everything that compiling a text says, up to the generated file."""
    checked = check_source(source, folder)
    if checked.has_errors or not checked.diagrams:
        return checked.diagnostics
    try:
        emit(checked.diagrams)
    except CompileError as error:
        return (*checked.diagnostics, *error.diagnostics)
    return checked.diagnostics


def codes_of(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in diagnostics_of(Source("page.fus", text))]


@pytest.mark.parametrize("case", CASES)
def test_mistake(case: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.chdir(FOLDER)
    found = diagnostics_of(read(f"{case}.fus"), Path())
    assert [diagnostic.code for diagnostic in found] == SEVERAL.get(case, [case[:5]])
    assert all(diagnostic.severity == CODES[diagnostic.code].severity for diagnostic in found)
    golden = Path(f"{case}.txt")
    text = render_text(found) + "\n"
    if request.config.getoption("--update-golden"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert str(FOLDER.parent) not in text


def test_every_golden_file_has_its_input() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == CASES


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_case(code: str) -> None:
    assert any(case.startswith(code) for case in CASES) != (code in WITHOUT_A_TEXT)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_raised_somewhere(code: str) -> None:
    package = Path(read.__code__.co_filename).parents[1]
    sources = (path for path in package.rglob("*.py") if path.name not in ("codes.py", "reports.py", "render.py"))
    assert any(f'"{code}"' in path.read_text(encoding="utf-8") for path in sources)


# --- the pages of `fusionc explain` --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_page(code: str) -> None:
    found = page(code)
    assert found.code == code
    assert found.text.startswith(f"# {code}: {CODES[code].title}\n")
    assert found.title == CODES[code].title
    assert (found.failing is None) == (found.repaired is None)
    if found.failing is None or found.repaired is None:
        assert "```console" in found.text
    else:
        assert codes_of(found.failing) == [code]
        assert codes_of(found.repaired) == []


def test_pages_refer_to_codes_that_exist() -> None:
    for code in CODES:
        assert set(re.findall(r"F[0-9]{4}", page(code).text)) <= CODES.keys()


def test_explain_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "f2001"]) == 0
    assert capsys.readouterr().out.startswith(page("F2001").text)


# --- codes that no text can show -----------------------------------------------------------------------------------


def code_of(error: pytest.ExceptionInfo[CompileError]) -> str:
    (diagnostic,) = error.value.diagnostics
    return diagnostic.code


def test_not_utf8() -> None:
    with pytest.raises(CompileError) as error:
        decode("latin.fus", "irreps H = 8x1o  # Größe".encode("latin-1"))
    assert code_of(error) == "F0004"


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as error:
        read(tmp_path / "nowhere.fus")
    assert code_of(error) == "F0005"


def test_too_large() -> None:
    with pytest.raises(CompileError) as error:
        decode("large.fus", bytes(MAX_BYTES + 1))
    assert code_of(error) == "F0010"


def test_line_too_long() -> None:
    assert codes_of("irreps H = " + "1o + " * (MAX_LINE // 5) + "1o\n") == ["F0012"]


def test_more_mistakes_than_are_listed() -> None:
    text = "".join(f"irreps H{number} = \n" for number in range(MAX_DIAGNOSTICS + 5))
    found = codes_of(text)
    assert found == ["F0001"] * MAX_DIAGNOSTICS + ["F0013"]


@pytest.mark.parametrize(("name", "code"), [("torhc", "F4006"), ("unbuilt", "F4007")])
def test_target(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unbuilt = registry.Target("unbuilt", None, "a target of this test")
    monkeypatch.setattr(registry, "_TARGETS", {**registry._TARGETS, "unbuilt": unbuilt})
    checked = check_source(Source("f.fus", "diagram f(x: 1o) -> 1o { x -> out }"))
    with pytest.raises(CompileError) as error:
        emit(checked.diagrams, name)
    assert code_of(error) == code

"""What is emitted for small diagrams, to the byte: whoever changes an emission reads the change here as a diff.

`tests/golden/` holds each diagram and beside it its program and the files of two targets.
`pytest tests/targets/test_golden.py --update-golden` writes these anew; read the diff before you commit it.
"""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path

import pytest

import fusionc
from fusionc.program.text import program_text

FOLDER = Path(__file__).parents[1] / "golden"
DIAGRAMS = sorted(path.stem for path in FOLDER.glob("*.fus"))
KINDS = {"program": "program.txt", "torch": "torch.py", "triton": "triton.py"}
"""What is kept of each diagram, and how its file's name ends: the program, and what two targets make of it."""
MOST_LINES = 80
"""Lines of a difference that are shown: enough to see its kind."""
UPDATE = "pytest tests/targets/test_golden.py --update-golden"


def difference(expected: str, emitted: str, name: str) -> str:
    """A unified diff of bounded length."""
    before, after = (text.splitlines() for text in (expected, emitted))
    lines = difflib.unified_diff(before, after, f"{name} (expected)", f"{name} (emitted)", lineterm="", n=2)
    shown = [line if len(line) <= 160 else f"{line[:157]}..." for line in islice(lines, MOST_LINES)]
    rest = sum(1 for _ in lines)
    return "\n".join([*shown, f"... and {rest} lines more"] if rest else shown)


def emission(diagram: str, kind: str) -> str:
    program = fusionc.load(FOLDER / f"{diagram}.fus")
    if kind == "program":
        return "\n".join(program_text(one.checked.program()) for one in program.values())
    return program.emit(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diagram", DIAGRAMS)
def test_golden(diagram: str, kind: str, request: pytest.FixtureRequest) -> None:
    golden = FOLDER / f"{diagram}.{KINDS[kind]}"
    emitted = emission(diagram, kind)
    if request.config.getoption("--update-golden"):
        golden.write_bytes(emitted.encode())
    expected = golden.read_bytes().decode() if golden.exists() else ""
    if emitted != expected:
        pytest.fail(
            f"The {kind} file of `{diagram}` is not the expected one. If the change is meant: {UPDATE}\n\n"
            + difference(expected, emitted, golden.name),
            pytrace=False,
        )


def test_every_golden_file_has_its_diagram() -> None:
    expected = {f"{diagram}.{ending}" for diagram in DIAGRAMS for ending in KINDS.values()}
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".fus"} == expected


def test_a_difference_is_shown_in_bounded_length() -> None:
    before = "".join(f"line {number}\n" for number in range(1000))
    shown = difference(before, before.replace("line 500\n", f"another {'long ' * 100}\n"), "file")
    assert "-line 500\n+another long" in shown
    assert "more" not in shown
    shown = difference(before, before.replace("line", "another"), "file")
    assert shown.count("\n") == MOST_LINES
    assert shown.endswith("lines more")
    assert all(len(line) <= 160 for line in shown.splitlines())

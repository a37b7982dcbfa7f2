"""What is emitted for small diagrams, to the byte: whoever changes an emission reads the change here as a diff.

`tests/golden/` holds each diagram and beside it the file of every target. `pytest tests/targets/test_golden.py
--update-golden` writes these files anew; read the diff before you commit it.
"""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path

import pytest

import fusionc

FOLDER = Path(__file__).parents[1] / "golden"
DIAGRAMS = sorted(path.stem for path in FOLDER.glob("*.fus"))
TARGETS = ("torch", "triton")
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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("diagram", DIAGRAMS)
def test_golden(diagram: str, target: str, request: pytest.FixtureRequest) -> None:
    golden = FOLDER / f"{diagram}.{target}.py"
    emitted = fusionc.load(FOLDER / f"{diagram}.fus").emit(target)
    if request.config.getoption("--update-golden"):
        golden.write_bytes(emitted.encode())
    expected = golden.read_bytes().decode() if golden.exists() else ""
    if emitted != expected:
        pytest.fail(
            f"The {target} file of `{diagram}` is not the expected one. If the change is meant: {UPDATE}\n\n"
            + difference(expected, emitted, golden.name),
            pytrace=False,
        )


def test_every_golden_file_has_its_diagram() -> None:
    expected = {f"{diagram}.{target}.py" for diagram in DIAGRAMS for target in TARGETS}
    assert {path.name for path in FOLDER.glob("*.py")} == expected


def test_a_difference_is_shown_in_bounded_length() -> None:
    before = "".join(f"line {number}\n" for number in range(1000))
    shown = difference(before, before.replace("line 500\n", f"another {'long ' * 100}\n"), "file")
    assert "-line 500\n+another long" in shown
    assert "more" not in shown
    shown = difference(before, before.replace("line", "another"), "file")
    assert shown.count("\n") == MOST_LINES
    assert shown.endswith("lines more")
    assert all(len(line) <= 160 for line in shown.splitlines())

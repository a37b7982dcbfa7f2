"""What each entry imports: counted, because times belong to a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

import fusionc

EXAMPLE = Path(__file__).parent.parent / "examples" / "four_modes.fus"
HEAVY = ("networkx", "sympy", "lark", "torch", "numpy", "jinja2", "opt_einsum", "ase")
OWN = ("fusionc.driver", "fusionc.plan", "fusionc.rewrite", "fusionc.program.ir", "fusionc.algebra")


def imported(code: str) -> list[str]:
    """Which of the heavy packages, and of fusionc's own folders, a program has imported when it ends."""
    text = (
        f"import sys, atexit\n"
        f"names = {(*HEAVY, *OWN)!r}\n"
        f"atexit.register(lambda: print('imported:', *[name for name in names if name in sys.modules]))\n{code}"
    )
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True)
    return run.stdout.splitlines()[-1].split()[1:]


def command(*arguments: str) -> str:
    return f"from fusionc.cli import main\nsys.exit(main({list(arguments)!r}))"


@pytest.mark.parametrize("code", ["import fusionc, fusionc.version; dir(fusionc)", "from fusionc.cli import main"])
def test_an_import_is_light(code):
    assert imported(code) == []


@pytest.mark.parametrize("flags", [["--help"], ["--version"], ["compile", "--help"], ["explain", "F2001"]])
def test_help_imports_nothing(flags):
    assert imported(command(*flags)) == []


def test_a_check_does_not_plan():
    assert imported(command("check", str(EXAMPLE))) == ["lark", "fusionc.driver", "fusionc.algebra"]


def test_code_is_made_without_torch():
    found = imported(command("compile", str(EXAMPLE)))
    assert "jinja2" in found
    assert not {"torch", "sympy", "ase"} & {*found}


def test_every_public_name_is_there():
    assert {*fusionc.__all__} <= {*dir(fusionc)}
    for name in fusionc.__all__:
        assert getattr(fusionc, name) is not None
    assert fusionc.driver.emit is not None
    assert not hasattr(fusionc, "driver.emit")
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        fusionc.lod  # noqa: B018


def test_no_modules_import_each_other():
    """Also where an import stands inside a function: whoever reads one module need not know the other."""
    root = Path(fusionc.__file__).parent
    modules = {
        ".".join(("fusionc", *path.relative_to(root).with_suffix("").parts)): path for path in root.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = nx.DiGraph()
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for one in node.names:
                    inner = f"{node.module}.{one.name}"
                    target = inner if inner in modules else node.module
                    if target in modules and target != name:
                        graph.add_edge(name, target)
    assert graph.number_of_edges() > 300
    assert [circle for circle in nx.strongly_connected_components(graph) if len(circle) > 1] == []


def test_no_test_imports_another():
    """What tests share stands in modules of their own: `*_cases.py`, `strategies.py`."""
    tests = Path(__file__).parent
    texts = {path: path.read_text(encoding="utf-8") for path in tests.rglob("*.py")}
    assert len(texts) > 80
    assert [
        str(path) for path, text in texts.items() if re.search(r"^\s*(from|import) test_\w+", text, re.MULTILINE)
    ] == []

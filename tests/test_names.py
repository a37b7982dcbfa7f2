"""Names in generated code."""

from __future__ import annotations

import ast
import builtins
import symtable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch

import fusionc
from fusionc.targets.names import FILE_NAMES, MODULE_NAMES, Namer, class_name

EXAMPLES = Path(__file__).parents[1] / "examples"
UNEQUAL = (
    "diagram d(x: 4x0e + 2x1o, y: 0e + 1o) -> 6x0e + 6x1o { x[u] y -> out[v] * W[path, u, v] }",
    "diagram d(x: 4x0e + 2x1o, y: 0e + 1o) -> * { x[u] y -> out[path, u] }",
)


def test_every_attribute_of_a_module_is_refused_as_a_weight():
    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert public <= MODULE_NAMES


def test_class_names():
    names = {"three_body": "ThreeBody", "Y3": "Y3", "x": "X", "_a_b": "AB", "messagePassing": "MessagePassing"}
    assert {name: class_name(name) for name in names} == names


def test_fresh_names_never_repeat():
    namer = Namer(["x", "t0"])
    names = [namer.fresh(wish) for wish in ("x", "x", "t0", "for", "1o", "a b", "torch", "x_2")]
    assert len(set(names)) == len(names)
    assert not {"x", "t0", "for", "torch"} & set(names)
    assert all(name.isidentifier() for name in names)


@cache
def files() -> tuple[tuple[str, str], ...]:
    return tuple(_files())


def _files():
    """The text of many generated files with the names of their diagrams: every example, outputs whose channels differ,
    and kernels."""
    programs = [fusionc.load(path) for path in sorted(EXAMPLES.glob("*.fus"))]
    programs += [fusionc.parse(text) for text in UNEQUAL]
    for number, program in enumerate(programs):
        for name, diagram in program.diagrams.items():
            with suppress(fusionc.CompileError):  # (a GPU's kernels do not take every group)
                yield name, diagram.emit("torch", layout=("mul_ir", "ir_mul")[number % 2])
    for name, diagram in programs[-1].diagrams.items():
        yield name, diagram.emit("triton")


def test_what_generated_files_use_is_known():
    """No diagram may be called like a builtin or a module that its file uses."""
    seen = set()
    for name, text in files():
        nodes = list(ast.walk(ast.parse(text)))
        used = {node.id for node in nodes if isinstance(node, ast.Name) and hasattr(builtins, node.id)}
        imports = [one for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for one in node.names]
        seen |= (used | {(one.asname or one.name).split(".")[0] for one in imports}) - {name}
    assert seen
    assert seen <= FILE_NAMES


def test_every_name_is_defined():
    """Also those in functions that a call rarely comes to."""
    for name, text in files():
        top = symtable.symtable(text, name, "exec")
        known = {one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported()}
        todo, used = list(top.get_children()), set()
        while todo:
            table = todo.pop()
            todo += table.get_children()
            used |= {one.get_name() for one in table.get_symbols() if one.is_global() and one.is_referenced()}
        assert used
        assert all(one in known or hasattr(builtins, one) for one in used), name


@pytest.mark.parametrize("name", ["sum", "map"])
def test_a_diagram_is_not_called_like_what_its_file_uses(name):
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse(f"diagram {name}(x: 2x1o, y: 1o) -> * {{ x[u] y -> out[path, u] }}")[name].emit()
    assert caught.value.diagnostics[0].code == "F4008"

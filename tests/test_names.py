"""Names in generated code."""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import symtable
import tokenize
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch

import fusionc
from fusionc.targets.names import FILE_NAMES, MODULE_NAMES, Namer, class_name

BUILTINS = frozenset(dir(builtins)) - {"_"}  # `_` is there after a doctest or a prompt
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
    """No local value is called like a builtin or a module that its file uses."""
    seen = set()
    for name, text in files():
        nodes = list(ast.walk(ast.parse(text)))
        used = {node.id for node in nodes if isinstance(node, ast.Name) and node.id in BUILTINS}
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
        assert all(one in known or one in BUILTINS for one in used), name


SLOTS = """sites {sites}
pairs {relation}({sites}, {sites})
diagram {diagram}({leg}: 2x1o[{sites}], {other}: 0e + 1o[{relation}], {row}: index(3)[{sites}]) -> (
    {output}: 2x1o[{sites}], {last}: 2x0e
) {{
    {leg}[j,u] {other}[i,j] -> {output}[i,u] * {weight}[path,u]
    {leg}[i,u] {leg}[i,u] -> {last}[u] * {second}[{row},path,u]
}}
diagram {plain}({leg}: 2x1o, {other}: 1o) -> 2x0e {{ {leg}[u] {other} -> out[u] * {weight}[u] }}
diagram {told}({other}: 1o[{relation}]) -> 1o[{sites}] {{ {other}[i,j] -> out[i] }}
"""
KINDS = tuple(dict.fromkeys(re.findall(r"{(\w+)}", SLOTS)))
WORDS = {
    "path",
    "index",
    "weights",
    "spherical",
    "lmax",
    "paths",
    "component",
    "element",
    "norm",
    "none",
    "complex",
    "real",
}
WORDS |= {"sites", "pairs", "diagram", "irreps", "group", "normalize", "basis", "edge", "import", "in"}


@cache
def identifiers() -> tuple[str, ...]:
    """Every name in the files of all slots, filled with plain names; some that are no longer there."""
    program = fusionc.parse(SLOTS.format(**{kind: f"{kind}_name" for kind in KINDS}))
    found: dict[str, None] = dict.fromkeys(
        ["needed", "self", "stage", "into", "rows", "r_edges", "_x", "forward", "count"]
    )
    for target in ("triton", "torch"):
        for token in tokenize.generate_tokens(io.StringIO(program.emit(target)).readline):
            if token.type == tokenize.NAME and not token.string.startswith("__"):
                found.setdefault(token.string)
    usable = [name for name in found if not keyword.iskeyword(name) and name not in WORDS and name[0] != "1"]
    return tuple(name for name in usable if not re.fullmatch(r"\w*_name(_\w*)?", name))


def filled(number: int) -> dict[str, str]:
    """A name for each slot, other ones for every number: all names come to all slots."""
    names = identifiers()
    found: dict[str, str] = {}
    for place, kind in enumerate(KINDS):
        at = number + 97 * place
        while not _is_usable(names[at % len(names)], kind, found):
            at += 1
        found[kind] = names[at % len(names)]
    return found


def _is_usable(name: str, kind: str, found: dict[str, str]) -> bool:
    """Whether a slot may have a name: what torch.nn.Module and Python keep for themselves is F4008."""
    if kind in ("weight", "second") and (name in MODULE_NAMES or name.startswith("_")):
        return False
    if kind in ("output", "last") and name.startswith("_"):
        return False
    if kind in ("relation", "sites") and name == "self":
        return False
    if kind in ("diagram", "plain", "told") and class_name(name) in [class_name(other) for other in found.values()]:
        return False
    return name not in found.values() and name != "out"


def check_names(number: int, target: str) -> None:
    names = filled(number)
    text, file = fusionc.parse(SLOTS.format(**names)).emit(target), {"__name__": f"names_{target}_{number}"}
    exec(compile(text, f"<{names}>", "exec"), file)
    made = {kind: file[class_name(names[kind])](dtype=torch.float64) for kind in ("diagram", "plain", "told")}
    pairs = torch.tensor([[0, 1, 2, 2], [1, 0, 0, 2]])
    one, other, bare = (torch.randn(size, dtype=torch.float64) for size in ((3, 6), (4, 4), (4, 3)))
    one.requires_grad_()
    both = made["diagram"](one, other, torch.tensor([0, 2, 1]), **{names["relation"]: pairs})
    assert both._fields == (names["output"], names["last"])
    message = made["told"](bare, **{names["relation"]: pairs, names["sites"]: 3})
    plain = made["plain"](one[:2], bare[:2])
    total = sum(value.square().sum() for value in (*both, message, plain))
    (gradient,) = torch.autograd.grad(total, one, create_graph=True)
    gradient.square().sum().backward()
    assert set(made["diagram"].state_dict()) == {names["weight"], names["second"]}
    # the functions, whose operands have the names that were written
    if class_name(names["plain"]) != names["plain"]:
        function, parameter = file[names["plain"]], getattr(made["plain"], names["weight"])
        given = {names["leg"]: one[:2], names["other"]: bare[:2], names["weight"]: parameter}
        torch.testing.assert_close(function(**given), plain)
    with pytest.raises(ValueError, match=f"leg `{names['other']}` should have shape"):
        made["plain"](one[:2], one[:2])


@pytest.mark.parametrize("number", range(0, 700, 50))
def test_no_name_meets_one_of_the_file(number):
    """Every word of the generated files, in every slot. (All of them: `for number in range(len(identifiers()))`.)"""
    check_names(number, ("torch", "triton")[number // 50 % 2])


def test_names_that_callers_cannot_write():
    """A module is called with `self`: no relation has that name."""
    text = "sites atoms; pairs self(atoms, atoms)\ndiagram d(y: 1o[self]) -> 1o[atoms] { y[i,j] -> out[i] }"
    with pytest.raises(fusionc.CompileError) as caught:
        fusionc.parse(text).emit()
    assert caught.value.diagnostics[0].code == "F4008"

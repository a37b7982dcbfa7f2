"""Copies of the runtime for generated files.

`targets/runtime/` is Python like any other: functions, classes and constants in modules that import each other. A
generated file stands alone, so it holds copies: of the definitions that its own code names, of those that these name,
and so on, as they are written there, in the order of the modules and of the lines. Their imports become the file's.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "runtime"
PACKAGE = f"{__package__}.{FOLDER.name}"
TORCH = (
    "dtypes",
    "tables",
    "checks",
    "stages",
    "modes",
    "calls",
    "exported",
    "autograd",
    "pieces",
    "compiled",
    "operators",
    "batched",
    "rows",
    "sites",
)
"""The modules of the runtime, in the order in which a file has their definitions."""
TRITON = ("optional_triton", "kernels", "pairs", "kernel_stages", "kernel_operators")
"""Those that files with kernels have besides."""
ALWAYS = ("torch", "Tensor", "nn")
"""What every file imports."""
_WORD = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*|(?<![\w.\0])([A-Za-z_]\w*)', re.DOTALL
)


@dataclass(frozen=True)
class Definition:
    """A function, a class or a constant at the top level of a module. `names`: the words that it reads."""

    name: str
    module: str
    text: str
    names: frozenset[str]
    is_constant: bool


@dataclass(frozen=True, order=True)
class Import:
    """`import source`, or `from source import name`; or, where what is imported may be missing, a whole statement."""

    source: str
    name: str = ""
    statement: str = ""


@dataclass(frozen=True)
class Runtime:
    """All definitions in order, and where the other names in them come from."""

    definitions: tuple[Definition, ...]
    imports: dict[str, Import]

    def used(self, names: Iterable[str], modules: Sequence[str]) -> list[Definition]:
        """The definitions that some names have in some modules, and all that these use, in order."""
        known = {definition.name: definition for definition in self.definitions if definition.module in modules}
        todo, reached = [name for name in names if name in known], set[str]()
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += [other for other in known[name].names if other in known]
        return [definition for name, definition in known.items() if name in reached]

    def import_block(self, names: Iterable[str]) -> str:
        """The imports of some names: Python's own, others, those that may be missing."""
        imports = sorted({self.imports[name] for name in names if name in self.imports})
        own, others = list[Import](), list[Import]()
        for one in imports:
            if not one.statement:
                (own if one.source.partition(".")[0] in sys.stdlib_module_names else others).append(one)
        guarded = dict.fromkeys(one.statement for one in imports if one.statement)
        return "\n\n".join(filter(None, [_statements(own), _statements(others), *guarded]))


@dataclass(frozen=True)
class Copies:
    """What a file has of the runtime: its import block, the helpers of all files, those of files with kernels."""

    imports: str
    helpers: str
    kernel_helpers: str = ""


def copies(code: str, with_kernels: bool = False) -> Copies:
    """What a file needs whose own code is given."""
    names = words(code)
    used = runtime().used(names, (*TORCH, *TRITON) if with_kernels else TORCH)
    return Copies(
        runtime().import_block(names.union(ALWAYS, *(definition.names for definition in used))),
        _text([definition for definition in used if definition.module in TORCH]),
        _text([definition for definition in used if definition.module in TRITON]),
    )


def words(code: str) -> set[str]:
    """The words of code outside of strings and comments, but attributes. (Found without parsing: files are long.)"""
    found = {*_WORD.findall(code)}
    found.discard("")
    return found


@cache
def everything() -> str:
    """All that files may have of the runtime."""
    return f"{runtime().import_block(runtime().imports)}\n\n\n{_text(runtime().definitions)}\n"


@cache
def defined_names() -> frozenset[str]:
    """The names of all definitions, and of what they import."""
    return frozenset((*(definition.name for definition in runtime().definitions), *runtime().imports))


@cache
def runtime() -> Runtime:
    """The runtime, read from its sources. (It is not imported: that would import torch.)"""
    definitions: list[Definition] = []
    imports: dict[str, Import] = {}
    for module in (*TORCH, *TRITON):
        some, others = read(module, (FOLDER / f"{module}.py").read_text(encoding="utf-8"))
        definitions += some
        imports |= others
    return Runtime(tuple(definitions), imports)


def read(module: str, text: str) -> tuple[list[Definition], dict[str, Import]]:
    """The definitions and the imports of a module. Raises ValueError for what could not be copied."""
    definitions: list[Definition] = []
    imports: dict[str, Import] = {}
    body, lines = ast.parse(text).body, text.split("\n")
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= _imported(node)
        elif isinstance(node, ast.Try):  # what may be missing
            statement = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            aliases = [one for part in node.body if isinstance(part, ast.Import) for one in part.names]
            imports |= {one.asname or one.name: Import("", "", statement) for one in aliases}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign):
            name, is_constant = _name(node), isinstance(node, ast.Assign)
            if name == "__all__":
                continue
            last = following if following is not None and is_constant and _is_text(following) else node
            first = min((one.lineno for one in getattr(node, "decorator_list", ())), default=node.lineno)
            copied = "\n".join(lines[first - 1 : last.end_lineno])
            names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            definitions.append(Definition(name, module, copied, frozenset(names), is_constant))
        elif not _is_text(node):
            raise ValueError(f"{module}.py, line {node.lineno}: a statement that no copy would have")
    return definitions, imports


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, Import]:
    """What an import statement brings in, but for other modules of the runtime and `__future__`."""
    source = node.module if isinstance(node, ast.ImportFrom) else ""
    if source is None or any(one.asname or "." in one.name for one in node.names):
        raise ValueError(f"line {node.lineno}: not an import that copies could share")
    if source == "__future__" or source.startswith(PACKAGE):
        return {}
    return {one.name: Import(source, one.name) if source else Import(one.name) for one in node.names}


def _name(node: ast.FunctionDef | ast.ClassDef | ast.Assign) -> str:
    """What a statement defines: a name that begins with an underscore, apart from those of diagrams."""
    targets = node.targets if isinstance(node, ast.Assign) else [ast.Name(node.name)]
    if len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id.startswith("_"):
        return targets[0].id
    raise ValueError(f"line {node.lineno}: what the runtime defines has one name, which begins with an underscore")


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a string: what is said of a module, or of the constant before it."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text(definitions: Sequence[Definition]) -> str:
    """Definitions one behind the other. Bare constants stand in a block; around all others are two empty lines."""
    text, before = "", None
    for definition in definitions:
        is_bare = definition.is_constant and "\n" not in definition.text
        if before is not None:
            text += "\n" if is_bare and before else "\n\n\n"
        text, before = text + definition.text, is_bare
    return text


def _statements(imports: Sequence[Import]) -> str:
    """Import statements: modules first, then names by their modules."""
    names: dict[str, list[str]] = {}
    for one in imports:
        if one.name:
            names.setdefault(one.source, []).append(one.name)
    modules = [f"import {one.source}" for one in imports if not one.name]
    return "\n".join([*modules, *(f"from {source} import {', '.join(some)}" for source, some in names.items())])

"""Names of a diagram beside the names that a generated file has for itself: they never meet, whatever a diagram says.

operands, relations, sets of sites   have another name inside the file where the file uses theirs; only the public
                                     function and the module's `forward` have the one that was written
diagrams                             keep their names; the file's own, which they would replace, get others
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from fusionc.program.ir import Gather, LegBlock, Op, Program, Scatter, Total, WeightBlock
from fusionc.resources import resource
from fusionc.targets.inline import everything
from fusionc.targets.names import Namer

MARK = "\0"
"""In front of a diagram's name in a text that is not finished: the file's own name of that spelling is another."""

_STRING = r'"""(?:[^\\]|\\.)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
_TOKEN = re.compile(
    r"(?P<imports>^[ \t]*(?:from[ \t]+[\w.]+[ \t]+)?import[ \t][^\n]*$)"
    rf"|(?P<formatted>f(?:{_STRING}))|(?P<text>(?:{_STRING})|\#[^\n]*)"
    rf"|(?P<attribute>\.[ \t]*[A-Za-z_]\w*)|(?P<marked>{MARK}\w+)|(?P<name>(?<!\w)[A-Za-z_]\w*)",
    re.MULTILINE | re.DOTALL,
)
_FUTURE = "from __future__ import annotations\n"


@cache
def _code() -> tuple[str, ...]:
    """What stands in the templates, without what is filled in, and in the runtime."""
    paths = sorted(resource("templates").rglob("*.jinja"))
    shells = (re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", one.read_text("utf-8"), flags=re.DOTALL) for one in paths)
    return (*shells, everything())


@cache
def own_names() -> frozenset[str]:
    """Every word of that code (but single letters, which are local to a line), and of Python."""
    found = {*dir(builtins), *keyword.kwlist}
    for text in _code():
        for token in _TOKEN.finditer(text):
            code = "".join(re.findall(r"\{[^{}]*\}", token[0])) if token["formatted"] else token[0]
            if not token["text"]:
                found.update(re.findall(r"[A-Za-z_]\w+", code))
    return frozenset(found)


@cache
def global_names() -> frozenset[str]:
    """What files have at their top level, and what Python has everywhere."""
    found = set(dir(builtins))
    for text in _code():
        found.update(re.findall(r"^(?:def[ ]+|class[ ]+)?(\w+)[ ]*[(:=]", text, flags=re.MULTILINE))
        for line in re.findall(r"^[ ]*(?:from [\w.]+ )?import (.*)$", text, flags=re.MULTILINE):
            found.update(one.rpartition(" as ")[2] for one in line.split(", "))
    return frozenset(found)


def private_names(program: Program) -> dict[str, str]:
    """What operands, relations and sets of sites are called inside the file, where that is another name."""
    legs = [*(leg.name for leg in program.legs), *(weight.name for weight in program.weights)]
    relations = [relation.name for relation in program.relations]
    namer = Namer({*own_names(), *legs, *relations, *program.sites})
    met = [name for name in dict.fromkeys((*legs, *relations)) if name in own_names()]
    # (kernels know sets of sites as n_atoms, relations as r_edges, their own numbers of rows as n_rows)
    met += [name for name in program.sites if {name, f"n_{name}"} & own_names() or re.match(r"r_|rows$", name)]
    return {name: namer.fresh(f"of_{name.lstrip('_')}") for name in met}


def renamed(program: Program, names: Mapping[str, str]) -> Program:
    """The program with other names of operands, relations and sets of sites."""

    def called(name: str) -> str:
        return names.get(name, name)

    def domain(name: str | None) -> str | None:
        return names.get(name, name) if name else name

    def op(one: Op) -> Op:
        if isinstance(one, LegBlock):
            return replace(one, leg=called(one.leg))
        if isinstance(one, Gather | Scatter):
            return replace(one, relation=called(one.relation))
        if isinstance(one, WeightBlock | Total):
            reads = tuple(None if read is None else (called(read[0]), read[1]) for read in one.reads)
            one = replace(one, rows=tuple(map(called, one.rows)), reads=reads)
        return replace(one, weight=called(one.weight)) if isinstance(one, WeightBlock) else one

    if not names:
        return program
    return replace(
        program,
        legs=tuple(replace(leg, name=called(leg.name), domain=called(leg.domain)) for leg in program.legs),
        weights=tuple(replace(weight, name=called(weight.name)) for weight in program.weights),
        instructions=tuple(replace(one, op=op(one.op), domain=domain(one.domain)) for one in program.instructions),
        outputs=tuple(replace(one, domain=domain(one.domain)) for one in program.outputs),
        sites=tuple(map(called, program.sites)),
        relations=tuple(
            replace(one, name=called(one.name), first=called(one.first), second=called(one.second))
            for one in program.relations
        ),
    )


def marked(name: str) -> str:
    """A name of a diagram, with a mark where the file has one of that spelling."""
    return f"{MARK}{name}" if name in global_names() else name


def apart(text: str) -> str:
    """A finished file: its own names are others than the marked ones, which lose their marks."""
    names = sorted({found.removeprefix(MARK) for found in re.findall(rf"{MARK}\w+", text)})
    if not names:
        return text
    namer = Namer({*own_names(), *re.findall(r"\w+", text)})
    others = {name: namer.fresh(f"own_{name.lstrip('_')}") for name in names}
    text = _renamed_tokens(text, others)
    used = [name for name in names if hasattr(builtins, name) and re.search(rf"\b{others[name]}\b", text)]
    lines = "".join(f"from builtins import {name} as {others[name]}\n" for name in used)
    return text.replace(_FUTURE, f"{_FUTURE}\n{lines}" if lines else _FUTURE, 1).replace(MARK, "")


def _renamed_tokens(text: str, others: Mapping[str, str]) -> str:
    """A text of Python with other names: not in strings, comments or attributes."""

    def token(found: re.Match[str]) -> str:
        if found["imports"]:
            return _imported(found[0], others)
        if found["formatted"]:
            return re.sub(r"\{[^{}]*\}", lambda part: _renamed_tokens(part[0], others), found[0])
        return others.get(found[0], found[0]) if found["name"] else found[0]

    return _TOKEN.sub(token, text)


def _imported(line: str, others: Mapping[str, str]) -> str:
    head, word, names = re.split(r"(\bimport[ \t]+)", line, maxsplit=1)
    found = []
    for one in names.split(", "):
        known = one.rpartition(" as ")[2]
        changed = others.get(known)
        found.append(f"{one.rpartition(' as ')[0] or one} as {changed}" if changed else one)
    return head + word + ", ".join(found) if "__future__" not in head else line

"""A diagram as a file of its own: what it needs of the declarations around it, in canonical form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from fusionc.language import syntax
from fusionc.language.printer import print_declaration, print_file
from fusionc.language.resolve import ScopedDiagram, Settings


def diagram_text(scoped: ScopedDiagram) -> str:
    """The diagram in canonical form, without comments."""
    tree = scoped.syntax
    return print_file(syntax.File(tree.span, (tree,)))


def standalone_text(scoped: ScopedDiagram) -> str:
    """A text that means the same diagram, imports and settings included: equal for equal diagrams, wherever they stand.

    Site sets and relations are kept all: what a letter in a bracket ranges over depends on them.
    """
    scope, standard = scoped.scope, Settings()
    lines = [f"group {scope.group}"]
    needed = _needed_spaces(scoped)
    lines += [print_declaration(item) for name, item in scope.spaces.items() if name in needed]
    lines += [print_declaration(item) for item in scope.sites.values()]
    lines += [print_declaration(item) for item in scope.pairs.values()]
    for kind in ("normalize", "paths", "basis"):
        chosen = getattr(scoped.settings, kind)
        if chosen != getattr(standard, kind):
            lines.append(f"{kind} {chosen}")
    return "\n".join([*lines, "", diagram_text(scoped)])


def _needed_spaces(scoped: ScopedDiagram) -> frozenset[str]:
    """The spaces that a diagram names, and those that these are sums of."""
    needed, waiting = set[str](), list(_names(scoped.syntax))
    while waiting:
        name = waiting.pop()
        if name not in needed and name in scoped.scope.spaces:
            needed.add(name)
            waiting += _names(scoped.scope.spaces[name])
    return frozenset(needed)


def _names(node: object) -> Iterator[str]:
    """The names of spaces in a tree."""
    if isinstance(node, syntax.NameTerm):
        yield node.name.text
    elif isinstance(node, tuple):
        for part in node:
            yield from _names(part)
    elif isinstance(node, syntax.Node):
        for entry in fields(node):
            if entry.name != "span":
                yield from _names(getattr(node, entry.name))

"""What the language can say and this version does not compile yet: refused by name, never misread."""

from __future__ import annotations

from collections.abc import Iterator

from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.language.resolve import ScopedDiagram


def unsupported_features(diagram: ScopedDiagram) -> tuple[Diagnostic, ...]:
    """One diagnostic for each feature that the diagram uses and the compiler lacks, at its first use."""
    first: dict[str, Diagnostic] = {}
    for found in _uses(diagram.syntax):
        first.setdefault(found.code, found)
    return tuple(first.values())


def _uses(tree: syntax.Diagram) -> Iterator[Diagnostic]:
    if not tree.outputs:
        yield diagnose(
            "F4005",
            f"`{tree.name.text}` has legs and no output",
            tree.name.span,
            help=f"declare what it gives: `diagram {tree.name.text}(…) -> 1o {{ … }}`",
        )

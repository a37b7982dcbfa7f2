"""What the language can say and this version does not compile yet: refused by name, never misread."""

from __future__ import annotations

from collections.abc import Iterator

from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.language.resolve import ScopedDiagram
from fusionc.language.source import Span


def unsupported_features(diagram: ScopedDiagram) -> tuple[Diagnostic, ...]:
    """One diagnostic for each feature that the diagram uses and the compiler lacks, at its first use."""
    first: dict[str, tuple[str, Span]] = {}
    for code, feature, span in _uses(diagram):
        first.setdefault(code, (feature, span))
    return tuple(
        diagnose(code, f"{feature} are not compiled yet", span, notes=["this version only parses and formats them"])
        for code, (feature, span) in first.items()
    )


def _uses(diagram: ScopedDiagram) -> Iterator[tuple[str, str, Span]]:
    tree = diagram.syntax
    if diagram.scope.group == "SU(2)":
        yield "F4001", "diagrams over SU(2)", tree.name.span
    if diagram.settings.basis == "complex":
        yield "F4002", "diagrams in the complex basis", tree.name.span
    for leg in tree.legs:
        if leg.sites is not None:
            yield "F4003", "legs and outputs over sites", leg.sites.span
    for output in tree.outputs:
        if output.sites is not None:
            yield "F4003", "legs and outputs over sites", output.sites.span
    for statement in tree.body:
        if isinstance(statement, syntax.Vertex) and (len(statement.right) != 1 or not statement.left):
            yield "F4004", "splits, pairs and loops", statement.span
    if not tree.outputs or not tree.legs:
        yield "F4005", "closed diagrams", tree.name.span

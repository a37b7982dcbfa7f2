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
        diagnose(code, f"{feature} are not compiled yet", span, notes=[PARSED], help=_help(code, diagram))
        for code, (feature, span) in first.items()
    )


PARSED = "this version only parses and formats them"


def _help(code: str, diagram: ScopedDiagram) -> str | None:
    """What to write instead, where something is near."""
    tree = diagram.syntax
    if code == "F4005" and tree.legs:
        return f"if it has an output, declare it: `diagram {tree.name.text}(…) -> 1o {{ … }}`"
    return None


def _uses(diagram: ScopedDiagram) -> Iterator[tuple[str, str, Span]]:
    tree = diagram.syntax
    closed = not tree.outputs or not tree.legs
    if closed:
        yield "F4005", "closed diagrams", tree.name.span
    for leg in tree.legs:
        if leg.sites is not None:
            yield "F4003", "legs and outputs over sites", leg.sites.span
    for output in tree.outputs:
        if output.sites is not None:
            yield "F4003", "legs and outputs over sites", output.sites.span
    for statement in tree.body:
        split = isinstance(statement, syntax.Vertex) and (len(statement.right) != 1 or not statement.left)
        if split and not closed:
            yield "F4004", "splits, pairs and loops", statement.span

"""What is raised for a text with mistakes."""

from __future__ import annotations

from collections.abc import Iterable

from fusionc.language.diagnostics import Diagnostic
from fusionc.language.oneline import fitting
from fusionc.language.render import render_text


class CompileError(Exception):
    """Raised when a program has at least one error; `diagnostics` holds the errors and the warnings."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n" + render_text(self.diagnostics)

    def __repr__(self) -> str:
        codes = ", ".join(dict.fromkeys(diagnostic.code for diagnostic in self.diagnostics))
        return fitting(f"<CompileError: {len(self.diagnostics)} diagnostics, {codes}>")

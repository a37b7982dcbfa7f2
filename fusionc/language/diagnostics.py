"""What the compiler says about a program: one value for each mistake, and the error that carries them.

How a diagnostic looks as text, JSON, SARIF or GitHub annotations is the business of `render`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fusionc.language.codes import CODES
from fusionc.language.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Label:
    """A second place that a diagnostic points at, with what it says there."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One mistake, or one warning.

    `label` is written beside the carets, `notes` state the rule that was broken, `help` is the repair.
    """

    code: str
    severity: Severity
    message: str
    span: Span
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str | None = None
    related: tuple[Label, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity == "error"


def diagnose(
    code: str,
    message: str,
    span: Span,
    *,
    label: str = "",
    notes: Iterable[str] = (),
    help: str | None = None,
    related: Iterable[Label] = (),
) -> Diagnostic:
    """A diagnostic with the severity that the registry of codes gives it."""
    severity = CODES[code].severity
    return Diagnostic(code, severity, message, span, label, tuple(notes), help, tuple(related))


class CompileError(Exception):
    """Raised when a program has at least one error; `diagnostics` holds the errors and the warnings."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        from fusionc.language.render import render_text  # render imports this module

        return "\n" + render_text(self.diagnostics)

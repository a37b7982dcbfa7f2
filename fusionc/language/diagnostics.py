"""What the compiler says about a program: one value for each mistake, and the error that carries them.

How a diagnostic looks as text, JSON, SARIF or GitHub annotations is the business of `render`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fusionc.language.codes import CODES
from fusionc.language.oneline import fitting
from fusionc.language.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Label:
    """A second place that a diagnostic points at, with what it says there."""

    span: Span
    text: str


@dataclass(frozen=True)
class Edit:
    """A text that takes the place of a span; where the span is empty, it is put there."""

    span: Span
    text: str


@dataclass(frozen=True)
class Repair:
    """Edits that mend a mistake, all of them together.

    `effect` says what they decide, add or leave out; it is empty where nothing else can have been meant, and where a
    diagram computes the same as before.
    """

    edits: tuple[Edit, ...]
    effect: str = ""

    @property
    def changes_meaning(self) -> bool:
        return bool(self.effect)


@dataclass(frozen=True)
class Advice:
    """A help, with the edits that carry it out."""

    text: str
    repairs: tuple[Repair, ...] = ()

    @property
    def spans(self) -> Sequence[Span]:
        """The places that the first repair changes."""
        return [edit.span for edit in self.repairs[0].edits] if self.repairs else []


@dataclass(frozen=True)
class Diagnostic:
    """One mistake, or one warning.

    `label` is written beside the carets, `notes` state the rule that was broken, `help` says in words how to mend it,
    and `repairs` are edits that do: alternatives, the likeliest first.
    """

    code: str
    severity: Severity
    message: str
    span: Span
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str | None = None
    related: tuple[Label, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def __repr__(self) -> str:
        return fitting(f"<Diagnostic {self.code} {self.span!r}: {self.message}>")


def diagnose(
    code: str,
    message: str,
    span: Span,
    *,
    label: str = "",
    notes: Iterable[str] = (),
    help: str | Advice | None = None,
    related: Iterable[Label] = (),
    repairs: Iterable[Repair] = (),
) -> Diagnostic:
    """A diagnostic with the severity that the registry of codes gives it; an advice brings its repairs."""
    severity = CODES[code].severity
    advice = help if isinstance(help, Advice) else Advice(help or "")
    text = advice.text if help is not None else None
    return Diagnostic(
        code, severity, message, span, label, tuple(notes), text, tuple(related), (*advice.repairs, *repairs)
    )


def instead(span: Span, text: str, effect: str = "") -> Repair:
    """The repair that writes `text` where `span` stands."""
    return Repair((Edit(span, text),), effect)


def write(span: Span, text: str, effect: str = "") -> Advice:
    """The advice to write a text where the span stands."""
    return Advice(f"write `{text}`", (instead(span, text, effect),))


def without_term(span: Span, effect: str = "") -> Repair | None:
    """The repair that leaves a term out of a sum, with its `+`; None where it is the only one."""
    text = span.source.text
    if match := re.compile(r"\s*\+\s*").match(text, span.end):
        return instead(span.source.span(span.start, match.end()), "", effect)
    return without_later_term(span, effect)


def without_later_term(span: Span, effect: str = "") -> Repair | None:
    """The repair that leaves a term out with the `+` before it; None where it is the first. Two of one sum do not
    overlap."""
    match = re.search(r"\s*\+\s*\Z", span.source.text[max(0, span.start - 200) : span.start])
    if match is None:
        return None
    return instead(span.source.span(span.start - len(match[0]), span.end), "", effect)


def behind(span: Span, text: str, effect: str = "") -> Repair:
    """The repair that adds a text behind a place."""
    return instead(span.source.span(span.end, span.end), text, effect)


def without(span: Span, effect: str) -> Repair:
    """The repair that leaves something out: with its line where nothing else stands on it, else with the blanks before
    it."""
    text, start, end = span.source.text, span.start, span.end
    while start and text[start - 1] in " \t":
        start -= 1
    rest = end
    while rest < len(text) and text[rest] in " \t\r":
        rest += 1
    alone = (not start or text[start - 1] == "\n") and text[rest : rest + 1] in ("\n", "")
    return instead(span.source.span(start, min(rest + 1, len(text)) if alone else end), "", effect)

"""Repairs put into practice: which edits can be made together, and the text that they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fusionc.language.diagnostics import Diagnostic, Edit, Repair
from fusionc.language.source import Source

MAX_ROUNDS = 20  # a repair may bring another mistake to light, and that one another repair

Reading = tuple[Sequence[Diagnostic], object]
"""What is said of a text, and what it means (None where it has mistakes): equal meanings compare equal."""


@dataclass(frozen=True)
class Applied:
    """A repair that was made, with the diagnostic that it answers."""

    diagnostic: Diagnostic
    repair: Repair


@dataclass(frozen=True)
class Mended:
    """A text after its repairs, with what is left to be said of it."""

    source: Source
    applied: tuple[Applied, ...]
    diagnostics: tuple[Diagnostic, ...]


def edited(source: Source, edits: Iterable[Edit]) -> str:
    """The text with some edits made. Raises ValueError where two of them overlap or are of another text."""
    text, end = source.text, len(source.text) + 1
    for edit in sorted(edits, key=lambda edit: (edit.span.start, edit.span.end), reverse=True):
        if edit.span.source is not source or edit.span.end > end:
            raise ValueError("edits that overlap, or that are of another text")
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
        end = edit.span.start
    return text


def mend(source: Source, read: Callable[[Source], Reading]) -> Mended:
    """Make every repair that changes no meaning, and those that come to light by them.

    `read` says what is wrong with a text, and what it means. A repair that does not do what it promises is not made:
    it must leave fewer mistakes, or in its place the next of the line, and a text that has a meaning keeps it.
    """
    applied: list[Applied] = []
    diagnostics, meaning = read(source)
    for _ in range(MAX_ROUNDS):
        chosen = _together(source, diagnostics)
        for attempt in (chosen, *([one] for one in chosen if len(chosen) > 1)):
            edits = [edit for one in attempt for edit in one.repair.edits]
            after = Source(source.name, edited(source, edits))
            left, means = read(after) if attempt else (diagnostics, meaning)
            gone = not {one.diagnostic.message for one in attempt} & {found.message for found in left}
            count, before = _count(left), _count(diagnostics)
            if attempt and (count < before or (gone and count <= before)) and meaning in (None, means):
                applied += attempt
                source, diagnostics, meaning = after, left, means
                break
        else:
            break
    return Mended(source, tuple(applied), tuple(diagnostics))


def _count(diagnostics: Iterable[Diagnostic]) -> tuple[int, int]:
    """Errors weigh more than warnings."""
    severities = [diagnostic.is_error for diagnostic in diagnostics]
    return sum(severities), len(severities)


def _together(source: Source, diagnostics: Iterable[Diagnostic]) -> list[Applied]:
    """Repairs without an effect that do not touch each other, in the order of the text."""
    chosen: list[Applied] = []
    taken: list[tuple[int, int]] = []
    for diagnostic in diagnostics:
        repair = next((repair for repair in diagnostic.repairs if not repair.changes_meaning), None)
        if repair is None or any(edit.span.source is not source for edit in repair.edits):
            continue
        places = [(edit.span.start, edit.span.end) for edit in repair.edits]
        if all(end < start or stop < begin for begin, end in places for start, stop in taken):
            taken += places
            chosen.append(Applied(diagnostic, repair))
    return chosen

"""Diagnostics for programs: JSON, SARIF and the annotations of GitHub Actions.

Lines and columns are counted from one, columns in Unicode code points; ends are exclusive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from fusionc.language.codes import CODES
from fusionc.language.diagnostics import Diagnostic, Edit, Repair
from fusionc.language.display import visible
from fusionc.language.source import Span

IN_MESSAGE = "%\r\n"
IN_PROPERTY = IN_MESSAGE + ":,"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """A list with one object for each diagnostic.

        {"code": "F2001", "severity": "error", "message": …, "label": …, "file": …,
         "range": {"start": {"line": 9, "column": 23, "offset": 310}, "end": {…}},
         "notes": […], "help": … or null, "related": [{"message": …, "file": …, "range": {…}}],
         "repairs": [{"changes_meaning": true, "effect": …, "edits": [{"text": …, "file": …, "range": {…}}]}]}

    Repairs are alternatives, the edits of one belong together; a range that is empty is where the text goes.

    Offsets are code points from the start of the text. Fields may be added, none will be renamed.
    """
    return json.dumps([_object(diagnostic) for diagnostic in diagnostics], indent=2)


def _object(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "label": diagnostic.label,
        **_location(diagnostic.span),
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
        "related": [{"message": label.text, **_location(label.span)} for label in diagnostic.related],
        "repairs": [_repair(repair) for repair in diagnostic.repairs],
    }


def _repair(repair: Repair) -> dict[str, Any]:
    edits = [{"text": edit.text, **_location(edit.span)} for edit in repair.edits]
    return {"changes_meaning": repair.changes_meaning, "effect": repair.effect, "edits": edits}


def _location(span: Span) -> dict[str, Any]:
    start = {"line": span.line, "column": span.column, "offset": span.start}
    end = {"line": span.end_line, "column": span.end_column, "offset": span.end}
    return {"file": span.source.name, "range": {"start": start, "end": end}}


def render_sarif(diagnostics: Iterable[Diagnostic]) -> str:
    """A SARIF 2.1.0 log with one run; every code is a rule."""
    rules = [
        {
            "id": code.id,
            "shortDescription": {"text": code.title},
            "defaultConfiguration": {"level": code.severity},
        }
        for code in CODES.values()
    ]
    run = {
        "tool": {"driver": {"name": "fusionc", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic) for diagnostic in diagnostics],
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(diagnostic: Diagnostic) -> dict[str, Any]:
    fixes = {"fixes": [_fix(repair) for repair in diagnostic.repairs]} if diagnostic.repairs else {}
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": list(CODES).index(diagnostic.code),
        "level": diagnostic.severity,
        "message": {"text": _full_text(diagnostic)},
        "locations": [{"physicalLocation": _physical(diagnostic.span)}],
        "relatedLocations": [
            {"id": number, "physicalLocation": _physical(label.span), "message": {"text": label.text}}
            for number, label in enumerate(diagnostic.related, 1)
        ],
        **fixes,
    }


def _fix(repair: Repair) -> dict[str, Any]:
    """A SARIF fix: the edits file by file. What it decides stands in its description."""
    changes: dict[str, list[Edit]] = {}
    for edit in repair.edits:
        changes.setdefault(_uri(edit.span.source.name), []).append(edit)
    return {
        "description": {"text": repair.effect or "the same, as the language writes it"},
        "artifactChanges": [
            {
                "artifactLocation": {"uri": uri},
                "replacements": [
                    {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}} for edit in edits
                ],
            }
            for uri, edits in changes.items()
        ],
    }


def _physical(span: Span) -> dict[str, Any]:
    return {"artifactLocation": {"uri": _uri(span.source.name)}, "region": _region(span)}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
        "charOffset": span.start,
        "charLength": span.end - span.start,
    }


def _uri(name: str) -> str:
    path = PurePath(name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix(), errors="replace")


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """One workflow command a line (`::error file=…,line=…::…`), which GitHub shows beside the code."""
    return "\n".join(_command(diagnostic) for diagnostic in diagnostics)


def _command(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    properties = {"file": span.source.name, "line": span.line, "endLine": span.end_line}
    if span.line == span.end_line:  # GitHub takes columns of a single line only, and its ends are inclusive
        properties |= {"col": span.column, "endColumn": max(span.column, span.end_column - 1)}
    properties["title"] = f"fusionc {diagnostic.code}: {CODES[diagnostic.code].title}"
    listed = ",".join(f"{key}={_escaped(str(value), IN_PROPERTY)}" for key, value in properties.items())
    return f"::{diagnostic.severity} {listed}::{_escaped(_full_text(diagnostic), IN_MESSAGE)}"


def _escaped(text: str, special: str) -> str:
    return visible("".join(f"%{ord(char):02X}" if char in special else char for char in text))


def _full_text(diagnostic: Diagnostic) -> str:
    parts = [diagnostic.message, diagnostic.label, *diagnostic.notes]
    if diagnostic.help is not None:
        parts.append(f"help: {diagnostic.help}")
    return "\n".join(part for part in parts if part)

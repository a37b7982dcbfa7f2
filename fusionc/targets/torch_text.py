"""Python text: lines of bounded length, calls cut at their arguments, values given up where they are used last."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

WIDTH = 108
"""A statement that is longer is printed in several lines."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_MADE = re.compile(r"([tpm](?:_[0-9]+)?) = ")
"""Statements that make a value, rather than a view of an operand or a sum over pieces."""


def listed(tokens: Iterable[str], width: int) -> list[str]:
    """Tokens in lines no longer than the width, none broken."""
    rows: list[str] = []
    for token in tokens:
        if rows and len(rows[-1]) + 1 + len(token) <= width:
            rows[-1] += f" {token}"
        else:
            rows.append(token)
    return rows


def is_call(text: str) -> bool:
    """Whether a text is one call: its first bracket closes at its end."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == ")" and depth == 0:
            return at == len(text) - 1 and text.partition("(")[0].replace(".", "").isidentifier()
    return False


def arguments(text: str) -> list[str]:
    """The arguments of a call: what stands between its commas, those inside brackets and quotes left out."""
    found, depth, start, quoted = [], 0, 0, False
    for at, character in enumerate(text):
        quoted ^= character == '"'
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and not quoted:
            found.append(text[start:at].strip())
            start = at + 1
    return [part for part in (*found, text[start:].strip()) if part]


def unflattened(value: str, dim: int, shape: object) -> str:
    """A value with one dimension in several. (As a function: a compiler cannot look into the method of that name where
    a default device is set.)"""
    return f"torch.unflatten({value}, {dim}, {shape})"


def freed(statements: Sequence[tuple[str, str]], kept: Iterable[str]) -> list[tuple[str, str]]:
    """Statements, each after a condition, with a `del` where a value was used for the last time: its memory, still in a
    cache, goes to the next one. What stands in `kept` is needed later."""
    later = set(_NAME.findall(" ".join(kept)))
    made: dict[str, int] = {}
    last: dict[str, int] = {}
    for at, (_, text) in enumerate(statements):
        found = _MADE.match(text)
        for name in _NAME.findall(text):
            if name in made:
                last[name] = at
        if found and found[1] not in made:
            made[found[1]] = at
    ends: dict[int, list[str]] = {}
    for name, at in last.items():
        if name not in later and statements[at][0] == statements[made[name]][0]:
            ends.setdefault(at, []).append(name)
    result = []
    for at, statement in enumerate(statements):
        result.append(statement)
        if at in ends:
            result.append((statement[0], f"del {', '.join(ends[at])}"))
    return result

"""Python text in lines of bounded length."""

from __future__ import annotations

from collections.abc import Iterable


def listed(tokens: Iterable[str], width: int) -> list[str]:
    """Tokens in lines no longer than the width, none broken."""
    rows: list[str] = []
    for token in tokens:
        if rows and len(rows[-1]) + 1 + len(token) <= width:
            rows[-1] += f" {token}"
        else:
            rows.append(token)
    return rows

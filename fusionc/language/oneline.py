"""One line of text for what would take many."""

from __future__ import annotations

WIDTH = 118


def fitting(line: str) -> str:
    """A line that fits on a screen: what is too long ends in `…`, and in the bracket that it had."""
    line = " ".join(line.split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 2].rstrip()}…{line[-1]}"


def diagram_line(text: str) -> str:
    """The head of a diagram in canonical form: its name, legs and outputs."""
    head = " ".join(text.split("{", 1)[0].split()).removeprefix("diagram ")
    return head.replace("( ", "(").replace(", )", ")").replace(" )", ")")

"""Patterns in lists of components: what a gather picks, as a few regular pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """`count` components from `start` on as a grid: `rows` x `columns`. The list that goes with it names `columns`
    components, the same in every row (`across`), or `rows` components, each for a whole row."""

    start: int
    rows: int
    columns: int
    across: bool
    picks: tuple[int, ...]


def grids(places: Sequence[int]) -> list[Grid]:
    """A list cut into grids, each as long as it can be."""
    found: list[Grid] = []
    start = 0
    while start < len(places):
        across, along = _repeated(places, start), _runs(places, start)
        best = max(across, along, key=lambda grid: grid.rows * grid.columns)
        found.append(best)
        start += best.rows * best.columns
    return found


def _repeated(places: Sequence[int], start: int) -> Grid:
    """The longest stretch that repeats its distinct beginning."""
    period = 1
    while start + period < len(places) and places[start + period] != places[start]:
        period += 1
    if len(set(places[start : start + period])) < period:
        period = 1
    rows = 1
    picks = tuple(places[start : start + period])
    while tuple(places[start + rows * period : start + (rows + 1) * period]) == picks:
        rows += 1
    return Grid(start, rows, period, True, picks)


def _runs(places: Sequence[int], start: int) -> Grid:
    """The longest stretch of runs of one length."""
    length = _run(places, start)
    rows = 1
    if length == 1:  # nothing runs: a grid of one
        return Grid(start, 1, 1, False, (places[start],))
    while start + rows * length < len(places) and _run(places, start + rows * length) == length:
        rows += 1
    picks = tuple(places[start + row * length] for row in range(rows))
    return Grid(start, rows, length, False, picks)


def _run(places: Sequence[int], start: int) -> int:
    length = 1
    while start + length < len(places) and places[start + length] == places[start]:
        length += 1
    return length

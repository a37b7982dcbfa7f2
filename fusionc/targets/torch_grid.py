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
    """A list cut into grids: stretches that repeat, stretches of runs, and what is between them."""
    found: list[Grid] = []
    start = plain = 0
    while start < len(places):
        best = max(_repeated(places, start), _runs(places, start), key=lambda grid: grid.rows * grid.columns)
        if best.rows * best.columns == 1:
            start += 1
            continue
        found += _single(places, plain, start)
        found.append(best)
        start = plain = start + best.rows * best.columns
    return [*found, *_single(places, plain, start)]


def _single(places: Sequence[int], start: int, end: int) -> list[Grid]:
    """A stretch in which nothing repeats: one row."""
    return [Grid(start, 1, end - start, True, tuple(places[start:end]))] if end > start else []


def _repeated(places: Sequence[int], start: int) -> Grid:
    """The stretch that repeats its beginning at least once, the longest of all periods."""
    best = Grid(start, 1, 1, True, (places[start],))
    for period in range(2, (len(places) - start) // 2 + 1):
        picks = tuple(places[start : start + period])
        if places[start + period] != picks[0] or len(set(picks)) < period:
            continue
        rows = 1
        while tuple(places[start + rows * period : start + (rows + 1) * period]) == picks:
            rows += 1
        if rows > 1 and rows * period > best.rows * best.columns:
            best = Grid(start, rows, period, True, picks)
    return best


def _runs(places: Sequence[int], start: int) -> Grid:
    """The longest stretch of runs of one length, longer than one."""
    length = _run(places, start)
    rows = 1
    if length == 1:
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

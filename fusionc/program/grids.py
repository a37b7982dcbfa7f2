"""Patterns in lists of components: what a gather picks, as a few regular pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fusionc.program.thresholds import now


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


@dataclass(frozen=True)
class Rectangle:
    """Every one of some neighbouring components of one operand with every one of another's: pairs, row after row."""

    left: range
    right: range

    @property
    def size(self) -> int:
        return len(self.left) * len(self.right)

    def place(self, i: int, j: int) -> int:
        """Which of the pairs (i, j) is."""
        return (i - self.left.start) * len(self.right) + j - self.right.start


def rectangles(pairs: Sequence[tuple[int, int]], alike: bool) -> tuple[list[Rectangle], list[int]]:
    """Rectangles that cover some pairs (i, j) with as few others as it takes to have few of them, and where among all
    of theirs each pair is. `alike`: (i, j) is as good as (j, i)."""
    turned = [(min(pair), max(pair)) if alike else pair for pair in pairs]
    ends: dict[int, tuple[int, int]] = {}
    for i, j in turned:
        first, last = ends.get(i, (j, j))
        ends[i] = min(first, j), max(last, j)
    found, starts, total = _cheapest_cover(ends), list[int](), 0
    for one in found:
        starts.append(total)
        total += one.size
    home = {i: at for at, one in enumerate(found) for i in one.left}
    return found, [starts[home[i]] + found[home[i]].place(i, j) for i, j in turned]


def _cheapest_cover(ends: Mapping[int, tuple[int, int]]) -> list[Rectangle]:
    """Rectangles over neighbouring rows, of each of which the first and last column are given."""
    rows = sorted(ends)
    best = [_Cover(0, 0, range(0))]
    for end in range(1, len(rows) + 1):
        best.append(_last_rectangle(rows[:end], ends, best))
    found, at = list[Rectangle](), len(rows)
    while at:
        found.append(Rectangle(range(rows[best[at].start], rows[at - 1] + 1), best[at].columns))
        at = best[at].start
    return found[::-1]


class _Cover(NamedTuple):
    """The cheapest way to cover some first rows: its price, the row that its last rectangle starts with, and what
    columns that has."""

    price: int
    start: int
    columns: range


def _last_rectangle(rows: Sequence[int], ends: Mapping[int, tuple[int, int]], best: Sequence[_Cover]) -> _Cover:
    """The cheapest way to cover some rows, of which the cheapest ways for fewer are known."""
    found: _Cover | None = None
    low, high = ends[rows[-1]]
    heights: dict[int, int] = {}  # of the rectangles that end here, for each number of columns
    for start in range(len(rows) - 1, -1, -1):
        low, high = min(low, ends[rows[start]][0]), max(high, ends[rows[start]][1])
        height, width = rows[-1] + 1 - rows[start], high + 1 - low
        heights[width] = height
        price = height * width + now().call
        if found is not None and price >= found.price:
            break  # (with more rows it only grows)
        if any(own * (width - columns) >= now().call for columns, own in heights.items()):
            break  # (cut there, these rows and any that also take some before them cost no more)
        if found is None or best[start].price + price < found.price:
            found = _Cover(best[start].price + price, start, range(low, high + 1))
    assert found is not None
    return found


@dataclass(frozen=True)
class Layer:
    """Products that go to `rows` x `columns` components from `start` on, one to each. `left` and `right`: where the
    operands' components are picked from a list, and whether those of a row are the same in every row ("across"), those
    of a column the same in every column ("along"), or all different ("all")."""

    start: int
    rows: int
    columns: int
    left: tuple[int, str]
    right: tuple[int, str]

    def count(self, kind: str) -> int:
        """How many components an operand of a kind gives."""
        return {"across": self.columns, "along": self.rows, "all": self.rows * self.columns}[kind]

    def lefts(self, picks: Sequence[int]) -> Sequence[int]:
        """The components of the left operand."""
        start, kind = self.left
        return picks[start : start + self.count(kind)]


@dataclass(frozen=True)
class Layers:
    """Layers whose sum is a product, the `first` of which reach every component once; what is picked of the left and of
    the right operand."""

    found: tuple[Layer, ...]
    first: int
    lefts: tuple[int, ...]
    rights: tuple[int, ...]


def layers(terms: Sequence[tuple[int, int, int, int]], most: int) -> Layers | None:
    """Terms (i, j, k, sign) as layers, each adding to some components at once; None where they are not regular enough
    for `most` of them."""
    by_result: dict[int, list[tuple[int, int]]] = {}
    for i, j, k, sign in sorted(terms):
        if sign < 0:
            return None
        by_result.setdefault(k, []).append((i, j))
    found: list[Layer] = []
    lefts, rights, first = list[int](), list[int](), 0
    for depth in range(max(map(len, by_result.values()))):
        for run in _neighbours([k for k in sorted(by_result) if len(by_result[k]) > depth]):
            pairs = [by_result[k][depth] for k in run]
            found += _layers_of(pairs, run[0], lefts, rights)
            if len(found) > most:
                return None
        first = first or len(found)
    return Layers(tuple(found), first, tuple(lefts), tuple(rights))


def _neighbours(numbers: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _layers_of(pairs: Sequence[tuple[int, int]], start: int, lefts: list[int], rights: list[int]) -> list[Layer]:
    """Pairs for neighbouring components: grids, and what is between them; what they pick is appended to the lists."""
    found, at, plain = list[Layer](), 0, 0
    while at < len(pairs):
        rows, columns, one, two = _best_grid(pairs[at:])
        if rows == 1:
            at += 1
            continue
        if at > plain:
            found.append(_layer(pairs[plain:at], start + plain, (1, at - plain, "all", "all"), lefts, rights))
        found.append(_layer(pairs[at:], start + at, (rows, columns, one, two), lefts, rights))
        at = plain = at + rows * columns
    if at > plain:
        found.append(_layer(pairs[plain:at], start + plain, (1, at - plain, "all", "all"), lefts, rights))
    return found


def _best_grid(pairs: Sequence[tuple[int, int]]) -> tuple[int, int, str, str]:
    """The largest grid that a list of pairs begins with; a single pair if there is none."""
    left, right = [i for i, _ in pairs], [j for _, j in pairs]
    best = (1, 1, "all", "all")
    for columns in range(1, len(pairs) // 2 + 1):
        for one, two in (("across", "along"), ("along", "across")):
            rows = min(_rows_of(left, columns, one), _rows_of(right, columns, two))
            if rows > 1 and rows * columns > best[0] * best[1]:
                best = (rows, columns, one, two)
    return best


def _layer(
    pairs: Sequence[tuple[int, int]], start: int, grid: tuple[int, int, str, str], lefts: list[int], rights: list[int]
) -> Layer:
    rows, columns, one, two = grid
    places = []
    for values, kind, picks in (([i for i, _ in pairs], one, lefts), ([j for _, j in pairs], two, rights)):
        count = rows * columns
        step = {"across": values[:columns], "along": values[:count:columns], "all": values[:count]}
        places.append((len(picks), kind))
        picks += step[kind]
    return Layer(start, rows, columns, places[0], places[1])


def _rows_of(values: Sequence[int], columns: int, kind: str) -> int:
    """How many rows of a grid a list begins with."""
    rows = 0
    while (rows + 1) * columns <= len(values):
        row = values[rows * columns : (rows + 1) * columns]
        if row != values[:columns] if kind == "across" else len(set(row)) > 1:
            break
        rows += 1
    return rows


@dataclass(frozen=True)
class Group:
    """Components of a result (`results`) that are sums of products with the same `columns` components of one operand
    (`shared`); `own` are those of the other, row after row."""

    results: tuple[int, ...]
    columns: int
    own: tuple[int, ...]
    shared: tuple[int, ...]


def correlations(terms: Sequence[tuple[int, int, int, int]]) -> tuple[bool, list[Group]]:
    """Terms (i, j, k, sign) in groups of results that share the components of one operand: the right one, or (`flip`)
    the left one, whichever makes fewer. No groups where a sign is negative."""
    if any(sign < 0 for *_, sign in terms):
        return False, []
    candidates = []
    for flip in (False, True):
        by_result: dict[int, list[tuple[int, int]]] = {}
        for i, j, k, _ in sorted(terms):
            by_result.setdefault(k, []).append((j, i) if flip else (i, j))
        by_shared: dict[tuple[int, ...], list[int]] = {}
        for k in sorted(by_result):
            by_result[k].sort()
            by_shared.setdefault(tuple(two for _, two in by_result[k]), []).append(k)
        groups = []
        for shared, results in by_shared.items():
            own = tuple(one for k in results for one, _ in by_result[k])
            groups.append(Group(tuple(results), len(shared), own, shared))
        candidates.append((len(groups), flip, groups))
    _, flip, groups = min(candidates, key=lambda found: found[:2])
    return flip, groups

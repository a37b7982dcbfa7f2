"""What stands under the sum, as tables of integers over the summation variables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm

import numpy as np
from numpy.typing import NDArray

from fusionc.rewrite.factors import Factors, Triad, triads_of
from fusionc.rewrite.tetrahedron import tetrahedron, triad_number

Integers = NDArray[np.object_]
"""Python integers of any size."""


@dataclass(frozen=True, eq=False)
class Table:
    """A function of some labels, ascending: `values` has one axis for each, along the label's range."""

    labels: tuple[int, ...]
    values: Integers


def tables(factors: Factors, spins: Mapping[int, int], ranges: Mapping[int, range]) -> tuple[list[Table], Fraction]:
    """Tables whose product, summed, times the number returned is the sum without its roots.

    That is the sum of all that depends on summation variables, each 6j of these as its integer W, their inner triads
    as 1/N. `spins` are the fixed labels, `ranges` those summed over; phases and dimensions of the latter are included.
    """
    found, scale = [], Fraction(1)
    for six in factors.sixes:
        if any(label in ranges for label in six):
            found.append(_table(six, spins, ranges, tetrahedron))
    for triad, number in inner_triads(factors, ranges):
        table, common = _inverse(_table(triad, spins, ranges, triad_number))
        found += [table] * (number // 2)
        scale /= common ** (number // 2)
    for label in factors.sums:
        table, common = _weights(factors, label, ranges[label])
        found.append(table)
        scale /= common
    return found, scale


def inner_triads(factors: Factors, inside: Mapping[int, range]) -> Iterator[tuple[Triad, int]]:
    """The triads that hold a summation variable, with the even number of 6j symbols that hold them."""
    count: Counter[Triad] = Counter()
    for six in factors.sixes:
        for triad in triads_of(six):
            if any(label in inside for label in triad):
                a, b, c = sorted(triad)
                count[a, b, c] += 1
    for triad, number in count.items():
        if number % 2:
            raise AssertionError(f"the triad {triad} under the sum stands in {number} 6j symbols")
        yield triad, number


def _inverse(table: Table) -> tuple[Table, int]:
    """1/N as an integer over a common denominator, which is returned too; 0 where N is 0."""
    numbers: list[int] = table.values.ravel().tolist()
    common = lcm(*(number for number in numbers if number))
    values = [common // number if number else 0 for number in numbers]
    return Table(table.labels, _integers(values, table.values.shape)), common


def _table(
    labels: tuple[int, ...], spins: Mapping[int, int], ranges: Mapping[int, range], function: Callable[..., int]
) -> Table:
    axes = tuple(sorted({label for label in labels if label in ranges}))
    place = {label: number for number, label in enumerate(axes)}
    values = [
        function(*(point[place[label]] if label in place else spins[label] for label in labels))
        for point in product(*(ranges[label] for label in axes))
    ]
    return Table(axes, _integers(values, tuple(len(ranges[label]) for label in axes)))


def _weights(factors: Factors, label: int, values: range) -> tuple[Table, int]:
    """(-1)^{n x} (2x+1)^{p/2} relative to the phase of the first x, times a common denominator, which is returned."""
    phase = dict(factors.phase).get(label, 0)
    power = dict(factors.dims).get(label, 0)
    if power % 2:
        raise AssertionError(f"the root of a dimension under the sum over label {label}")
    sign = [-1 if phase * (value - values[0]) // 2 % 2 else 1 for value in values]
    sizes = [Fraction(value + 1) ** (power // 2) for value in values]
    common = lcm(*(size.denominator for size in sizes))
    numbers = [one * size.numerator * (common // size.denominator) for one, size in zip(sign, sizes, strict=True)]
    return Table((label,), _integers(numbers, (len(values),))), common


def _integers(values: list[int], shape: tuple[int, ...]) -> Integers:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)

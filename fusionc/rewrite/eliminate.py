"""A nested sum, one variable at a time.

A variable is eliminated by multiplying the tables that hold it and summing over it: the new table is a partial sum,
kept for all values of its other variables. Which order that takes and what is held fixed meanwhile is a `Schedule`, of
`schedule`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import product
from math import prod

import numpy as np

from fusionc.rewrite.schedule import Schedule
from fusionc.rewrite.tables import Integers, Table


def total(tables: Sequence[Table], sizes: Mapping[int, int], schedule: Schedule) -> int:
    """The sum over all labels of the product of the tables; `sizes` are the lengths of the labels' ranges."""
    return sum(_summed_up(pending, schedule.order) for pending in _fixed(tables, sizes, schedule.fixed))


def _fixed(tables: Sequence[Table], sizes: Mapping[int, int], labels: Sequence[int]) -> Iterator[list[Table]]:
    """The tables at every choice of values of some labels, which they do not hold any more."""
    for values in product(*(range(sizes[label]) for label in labels)):
        chosen = dict(zip(labels, values, strict=True))
        yield [_at(table, chosen) for table in tables]


def _at(table: Table, chosen: Mapping[int, int]) -> Table:
    index = tuple(chosen.get(label, slice(None)) for label in table.labels)
    values = np.asarray(table.values[index], dtype=object)
    return Table(tuple(label for label in table.labels if label not in chosen), values)


def _summed_up(tables: list[Table], order: Sequence[int]) -> int:
    pending = tables
    for label in order:
        holding = [table for table in pending if label in table.labels]
        pending = [table for table in pending if label not in table.labels]
        pending.append(_summed(holding, label))
    return prod(int(table.values) for table in pending)


def _summed(tables: list[Table], label: int) -> Table:
    """The product of tables, summed over a label they all hold, one value of it at a time."""
    axes = tuple(sorted({other for table in tables for other in table.labels if other != label}))
    size = next(table.values.shape[table.labels.index(label)] for table in tables)
    tables = sorted(tables, key=lambda table: (len(table.labels), table.labels))
    terms = (reduce(np.multiply, [_slice(table, label, k, axes) for table in tables]) for k in range(size))
    return Table(axes, np.asarray(sum(terms), dtype=object))


def _slice(table: Table, label: int, k: int, axes: tuple[int, ...]) -> Integers:
    """The table at one value of a label, ready to be multiplied with others over `axes`."""
    rest = np.asarray(np.take(table.values, k, axis=table.labels.index(label)), dtype=object)
    shape = iter(rest.shape)
    return rest.reshape([next(shape) if axis in table.labels else 1 for axis in axes])

"""A nested sum, one variable at a time.

A variable is eliminated by multiplying the tables that hold it and summing over it: the new table is a partial sum,
kept for all values of its other variables. The order decides the size of these tables; it is the best one for few
variables (dynamic programming over sets; Dechter, Artif. Intell. 113 (1999) 41), and greedy beyond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import prod

import numpy as np

from fusionc.rewrite.tables import Integers, Table

EXHAUSTIVE = 11
"""Up to this many variables the best order is found."""

TABLE_LIMIT = 20_000_000
"""A partial sum over more entries than this is refused: its integers would not fit in memory."""

Scopes = Sequence[tuple[int, ...]]


def total(tables: Sequence[Table], sizes: Mapping[int, int]) -> int:
    """The sum over all labels of the product of the tables; `sizes` are the lengths of the labels' ranges.

    Raises OverflowError where a partial sum would have more than `TABLE_LIMIT` entries.
    """
    pending = list(tables)
    for label in best_order([table.labels for table in tables], sizes):
        holding = [table for table in pending if label in table.labels]
        pending = [table for table in pending if label not in table.labels]
        pending.append(_summed(holding, label))
    return prod(int(table.values) for table in pending)


def _summed(tables: list[Table], label: int) -> Table:
    """The product of tables, summed over a label they all hold, one value of it at a time."""
    axes = tuple(sorted({other for table in tables for other in table.labels if other != label}))
    shape = {other: size for table in tables for other, size in zip(table.labels, table.values.shape, strict=True)}
    if prod(shape[other] for other in axes) > TABLE_LIMIT:
        raise OverflowError(f"a partial sum over {len(axes)} spins at once is too large to keep")
    tables = sorted(tables, key=lambda table: (len(table.labels), table.labels))
    terms = (reduce(np.multiply, [_slice(table, label, k, axes) for table in tables]) for k in range(shape[label]))
    return Table(axes, np.asarray(sum(terms), dtype=object))


def _slice(table: Table, label: int, k: int, axes: tuple[int, ...]) -> Integers:
    """The table at one value of a label, ready to be multiplied with others over `axes`."""
    rest = np.asarray(np.take(table.values, k, axis=table.labels.index(label)), dtype=object)
    shape = iter(rest.shape)
    return rest.reshape([next(shape) if axis in table.labels else 1 for axis in axes])


def best_order(scopes: Scopes, sizes: Mapping[int, int]) -> tuple[int, ...]:
    """An order of elimination for tables with these labels."""
    labels = tuple(sorted({label for scope in scopes for label in scope}))
    near = {label: sorted({other for scope in scopes if label in scope for other in scope}) for label in labels}
    masks = {label: sum(1 << labels.index(other) for other in near[label]) for label in labels}
    logs = [sizes[label] for label in labels]
    if len(labels) <= EXHAUSTIVE:
        return tuple(labels[k] for k in _exhaustive([masks[label] for label in labels], logs))
    return tuple(labels[k] for k in _greedy([masks[label] for label in labels], logs))


def order_cost(scopes: Scopes, sizes: Mapping[int, int], order: Sequence[int]) -> int:
    """Multiplications, up to the number of tables: the sum over variables of the size of the table each makes."""
    pending, cost = [frozenset(scope) for scope in scopes], 0
    for label in order:
        joint = frozenset().union(*(scope for scope in pending if label in scope))
        cost += prod(sizes[other] for other in sorted(joint))
        pending = [scope for scope in pending if label not in scope] + [joint - {label}]
    return cost


def _joint(near: list[int], label: int, gone: int) -> int:
    """The variables that share a table with `label` once those of `gone` are eliminated, itself included."""
    seen, stack, found = 1 << label, [label], 1 << label
    while stack:
        fresh = near[stack.pop()] & ~seen
        seen |= fresh
        found |= fresh & ~gone
        inner = fresh & gone
        while inner:
            low = inner & -inner
            stack.append(low.bit_length() - 1)
            inner ^= low
    return found


def _size(mask: int, sizes: list[int]) -> int:
    return prod(size for k, size in enumerate(sizes) if mask >> k & 1)


def _exhaustive(near: list[int], sizes: list[int]) -> list[int]:
    """Dynamic programming: the price of eliminating a variable depends on the set gone before, not on its order."""
    best: dict[int, tuple[int, int]] = {0: (0, -1)}
    for gone in range(1, 1 << len(near)):
        best[gone] = min(
            (best[gone ^ (1 << k)][0] + _size(_joint(near, k, gone ^ (1 << k)), sizes), k)
            for k in range(len(near))
            if gone >> k & 1
        )
    order: list[int] = []
    gone = (1 << len(near)) - 1
    while gone:
        order.append(best[gone][1])
        gone ^= 1 << best[gone][1]
    return order[::-1]


def _greedy(near: list[int], sizes: list[int]) -> list[int]:
    """The variable whose table is smallest goes first."""
    order: list[int] = []
    gone = 0
    while len(order) < len(near):
        left = [k for k in range(len(near)) if not gone >> k & 1]
        _, label = min((_size(_joint(near, k, gone), sizes), k) for k in left)
        order.append(label)
        gone |= 1 << label
    return order

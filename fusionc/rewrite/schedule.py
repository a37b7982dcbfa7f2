"""In which order the variables of a nested sum are eliminated, and which are held fixed because tables would be too
large.

The best order is found for few variables (dynamic programming over sets; Dechter, Artif. Intell. 113 (1999) 41).
Beyond, greedy orders are compared: by the smallest table first, by the fewest new neighbours (min-fill), and both again
with seeded noise wherever the sum is long enough to be worth it. A variable that is held fixed cuts all tables in
slices: the sum is done once for each of its values, in less memory and more time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, prod

EXHAUSTIVE = 11
"""Up to this many variables the best order is found."""

TABLE_LIMIT = 4_000_000
"""Partial sums over more entries than this are cut in slices: their integers would not fit in memory."""

LONG = 1_000_000
"""Multiplications from which on more orders are tried."""

HOPELESS = 10**18
"""Multiplications from which on no order is looked for: what the best of many takes is too long still."""

ATTEMPTS = 15
"""Orders tried at each level of noise."""

NOISE = (0.3, 0.7, 1.5)

Scopes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Schedule:
    """How a nested sum is done: for all values of the labels `fixed`, the others are eliminated in `order`.

    `work` is the number of multiplications, up to the number of tables, `largest` the most entries of a partial sum.
    """

    fixed: tuple[int, ...]
    order: tuple[int, ...]
    work: int
    largest: int


def schedule(scopes: Scopes, sizes: Mapping[int, int]) -> Schedule:
    """The schedule for tables with these labels; `sizes` are the lengths of the labels' ranges. Always the same for the
    same arguments. Beyond HOPELESS its tables may be too large: it says how long the sum is, and nobody does it."""
    fixed: tuple[int, ...] = ()
    order = _searched(scopes, sizes)
    while (largest := largest_table(scopes, sizes, order)) > TABLE_LIMIT and largest < HOPELESS:
        cut, fixed, order = _cut(scopes, sizes, fixed, order)
        scopes = cut
    work = order_cost(scopes, sizes, order) * prod(sizes[label] for label in fixed)
    return Schedule(fixed, order, work, largest)


def _cut(
    scopes: Scopes, sizes: Mapping[int, int], fixed: tuple[int, ...], order: tuple[int, ...]
) -> tuple[Scopes, tuple[int, ...], tuple[int, ...]]:
    """Hold one more label fixed: the one that leaves least to do while it makes tables smaller."""
    choices = []
    for label in order:
        left = [tuple(other for other in scope if other != label) for scope in scopes]
        rest = tuple(other for other in order if other != label)
        cost = order_cost(left, sizes, rest) * sizes[label]
        choices.append((largest_table(left, sizes, rest) > TABLE_LIMIT, cost, label, left, rest))
    _, _, label, left, _ = min(choices, key=lambda choice: choice[:3])
    return left, (*fixed, label), _searched(left, sizes)


def _searched(scopes: Scopes, sizes: Mapping[int, int]) -> tuple[int, ...]:
    order = best_order(scopes, sizes)
    if len(order) <= EXHAUSTIVE or not LONG <= order_cost(scopes, sizes, order) < HOPELESS:
        return order
    return min([order, *_noisy(scopes, sizes)], key=lambda found: order_cost(scopes, sizes, found))


def _noisy(scopes: Scopes, sizes: Mapping[int, int]) -> Iterator[tuple[int, ...]]:
    """Greedy orders whose choices are blurred, seeded."""
    rng, logs = random.Random(0), {label: log(size) for label, size in sizes.items() if size}
    near = _neighbours(scopes)
    for fill in (0.0, 0.3, 1.0):
        yield _blurred(near, logs, fill, 0.0, rng)
        for noise in NOISE:
            for _ in range(ATTEMPTS):
                yield _blurred(near, logs, fill, noise, rng)


def _neighbours(scopes: Scopes) -> dict[int, list[int]]:
    near: dict[int, dict[int, None]] = {label: {} for label in sorted({label for scope in scopes for label in scope})}
    for scope in scopes:
        for label in scope:
            near[label].update((other, None) for other in scope if other != label)
    return {label: sorted(others) for label, others in near.items()}


def _blurred(
    neighbours: Mapping[int, Sequence[int]], logs: Mapping[int, float], fill: float, noise: float, rng: random.Random
) -> tuple[int, ...]:
    """The label with the smallest table goes first, `fill` a pair of neighbours that it would join; plus noise."""
    near = {label: set(others) for label, others in neighbours.items()}
    price = {label: _price_of(label, near, logs, fill) for label in near}
    order: list[int] = []
    while near:
        label = min(price, key=lambda one: (price[one] + (noise * rng.gauss(0, 1) if noise else 0.0), one))
        others = near.pop(label)
        del price[label]
        order.append(label)
        touched = dict.fromkeys(sorted(others))
        for other in touched:
            near[other] |= others
            near[other] -= {label, other}
        if fill:
            touched |= dict.fromkeys(sorted({one for other in sorted(others) for one in near[other]}))
        for other in touched:
            price[other] = _price_of(other, near, logs, fill)
    return tuple(order)


def _price_of(label: int, near: Mapping[int, set[int]], logs: Mapping[int, float], fill: float) -> float:
    others = sorted(near[label])
    size = sum(logs[other] for other in others) + logs[label]
    if not fill:
        return size
    missing = sum(two not in near[one] for k, one in enumerate(others) for two in others[k + 1 :])
    return size + fill * missing


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
    return sum(cost for cost, _ in _partial_sums(scopes, sizes, order))


def largest_table(scopes: Scopes, sizes: Mapping[int, int], order: Sequence[int]) -> int:
    """The most entries that a partial sum has."""
    return max((size for _, size in _partial_sums(scopes, sizes, order)), default=1)


def _partial_sums(scopes: Scopes, sizes: Mapping[int, int], order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """For each label of an order its multiplications, and the entries that are left when it is summed."""
    pending = [frozenset(scope) for scope in scopes]
    for label in order:
        joint = frozenset().union(*(scope for scope in pending if label in scope))
        size = prod(sizes[other] for other in sorted(joint))
        yield size, size // max(1, sizes[label])
        pending = [scope for scope in pending if label not in scope] + [joint - {label}]


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

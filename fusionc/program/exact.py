"""Combinations of states with exact coefficients, and blocks times weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fusionc.algebra.surds import ONE, Surd
from fusionc.diagram.ir import Weight
from fusionc.plan.states import Use
from fusionc.plan.ties import Names
from fusionc.program.fuse import Side, fuse, product, starts_of
from fusionc.program.ir import Linear
from fusionc.program.roots import (
    Placed,
    Root,
    added,
    cheapest,
    key_dims,
    moved,
    open_parts,
    opened_pair,
    prepared,
    summed_to,
    union,
    weights_of,
)


def exact(root: Root, wanted: dict[Any, list[tuple[Use, Surd]]], names: Names, by_place: bool = True) -> Placed:
    """Combinations of states with their exact coefficients."""
    dims = {key: dim for key, dim in key_dims(root, by_place).items() if key in wanted}
    parts = []
    for group in _by_node(wanted):
        prepared(root, next(use for uses in group.values() for use, _ in uses))
        ways: dict[str, Callable[[], Placed]] = {"states": partial(_of_states, root, group, dims, names)}
        if all(opened_pair(use) is not None for uses in group.values() for use, _ in uses):
            ways["parts"] = partial(_of_parts, root, group, dims, names)
        parts.append(cheapest(root, ways)[1])
    return added(root, parts, dims, names)


def _by_node(wanted: dict[Any, list[tuple[Use, Surd]]]) -> list[dict[Any, list[tuple[Use, Surd]]]]:
    """Combinations split by the node (and the names) of their states; a key without states stands in the first."""
    groups: dict[object, dict[Any, list[tuple[Use, Surd]]]] = {}
    for key, uses in wanted.items():
        for use, coefficient in uses:
            group = groups.setdefault((use.state.node.number, use.channels, use.sites), {})
            group.setdefault(key, []).append((use, coefficient))
    return list(groups.values())


def _of_states(root: Root, wanted: dict[Any, list[tuple[Use, Surd]]], dims: dict[Any, int], names: Names) -> Placed:
    """Fused states, then constants."""
    values, first = root.values, next(use for uses in wanted.values() for use, _ in uses)
    side = values.node(first.state)
    starts, total = starts_of(wanted, dims)
    rows: list[dict[int, Surd]] = [{} for _ in range(total)]
    for key, uses in wanted.items():
        for use, coefficient in uses:
            factor = root.builder.codes.product(coefficient, values.scale(use.state))
            at = side.starts[use.state.number]
            for k in range(dims[key]):
                row = rows[starts[key] + k]
                row[at + k] = row[at + k] + factor if at + k in row else factor
    order = tuple(first.channels.index(name) for name in names)
    entries = tuple((0, i, k, c) for k, row in enumerate(rows) for i, c in row.items() if c)
    source = root.builder[side.value]
    if order == tuple(range(len(order))):
        if all(len(row) == 1 and next(iter(row.values())) == ONE for row in rows):
            at_once = {key: next(iter(rows[start])) for key, start in starts.items()}
            return Placed(Side(side.value, names, at_once), first.sites)
        order = ()
    sizes = tuple(source.channels[axis] for axis in order) if order else source.channels
    value = root.builder.emit(Linear((side.value,), entries, order), total, sizes, source.domain, root.product.target)
    return Placed(Side(value, names, starts), first.sites)


def _of_parts(root: Root, wanted: dict[Any, list[tuple[Use, Surd]]], dims: dict[Any, int], names: Names) -> Placed:
    """Fused with the constants inside."""
    opened = open_parts(root, [use for uses in wanted.values() for use, _ in uses], ())
    meetings = {key: [opened.meeting(use, coefficient) for use, coefficient in uses] for key, uses in wanted.items()}
    side = fuse(root.builder, opened.left, opened.right, meetings, dims, names, root.product.target)
    return summed_to(root, Placed(side, opened.sites), _sites_of(wanted))


def _sites_of(wanted: dict[Any, list[tuple[Use, Surd]]]) -> Names:
    return next(use.sites for uses in wanted.values() for use, _ in uses)


def times(
    root: Root,
    placed: Placed,
    factor: Weight,
    part: Mapping[Any, int],
    names: Names,
    dims: Mapping[Any, int],
    into: Mapping[Any, int] | None = None,
) -> Placed:
    """Blocks times a weight: `part` says which path's part of it each block takes; `into`: blocks are added up in these
    places."""
    weights = weights_of(root, factor, sorted(set(part.values())))
    sites = union(root, placed.sites, weights.sites)
    left, right = moved(root, placed, sites), moved(root, weights, sites)
    goal = {key: into[key] if into else key for key in placed.side.starts}
    goal_dims = {goal[key]: dims[key] for key in placed.side.starts}
    starts, total = starts_of(sorted(goal_dims), goal_dims)
    terms = [
        (start + k, right.starts[part[key]], starts[goal[key]] + k, 1)
        for key, start in left.starts.items()
        for k in range(dims[key])
    ]
    value = product(root.builder, left, right, names, terms, total, root.product.target)
    return Placed(Side(value, names, starts), sites)

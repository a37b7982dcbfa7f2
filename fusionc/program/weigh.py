"""How a product meets its weights: without any, path by path, or one weight for each path in the cheapest way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionc.algebra.surds import Surd
from fusionc.diagram.ir import Weight
from fusionc.plan.products import ProductPath
from fusionc.plan.states import Use
from fusionc.plan.ties import Names
from fusionc.program.exact import exact, times
from fusionc.program.fuse import Side
from fusionc.program.roots import Placed, Root, added, at_target, cheapest, key_dims, prepared
from fusionc.program.ways import Weighing


def weigh(root: Root, mode: str | None) -> Side:
    """The blocks of a product, by place (by path number where paths are kept), with the channels of the right edge on
    its domain."""
    product, by_path, late = root.product, *_in_order(root)
    if product.keeps or len(by_path) > 1:
        found = _apart(root, by_path)
    elif not by_path:
        found = exact(root, _wanted(root, by_place=True), _needed(root, 0))
    else:
        found = _weighed(root, by_path[0], _needed(root, 1), mode)
    for position, factor in enumerate(late, start=len(by_path) + 1):
        part: dict[Any, int] = dict.fromkeys(found.side.starts, 0)
        found = times(root, found, factor, part, _needed(root, position), key_dims(root, not product.keeps))
    return at_target(root, found)


def _in_order(root: Root) -> tuple[list[Weight], list[Weight]]:
    """The weights in the order in which a product meets them: those that differ from path to path, then the others."""
    factors = root.product.factors
    return [factor for factor in factors if factor.has_path], [factor for factor in factors if not factor.has_path]


def _needed(root: Root, met: int) -> Names:
    """Channels that are there once so many weights are met, and that the right edge or weights to come still need.
    (Weights go by their places: one weight may stand several times on a line.)"""
    by_path, late = _in_order(root)
    order = [*by_path, *late]
    if met == len(order):
        return root.target
    seen = dict.fromkeys((*root.target, *(index for factor in order[met:] for index in root.live(factor.channels))))
    held = {index for leaf in root.product.leaves for index in leaf.channels}
    held |= {index for factor in order[:met] for index in factor.channels}
    return tuple(index for index in seen if index in held)


def _wanted(root: Root, by_place: bool) -> dict[Any, list[tuple[Use, Surd]]]:
    """What is to be added up: into places, or path by path."""
    wanted: dict[Any, list[tuple[Use, Surd]]] = {}
    for path, combination in root.paths:
        wanted.setdefault(path.place if by_place else path.number, []).extend(combination)
    return wanted


def _apart(root: Root, factors: Sequence[Weight]) -> Placed:
    """Every path by itself, weighed one weight after the other; added up at the end unless paths are kept."""
    product, dims = root.product, key_dims(root, by_place=False)
    part: dict[Any, int] = {path.number: path.number for path, _ in root.paths}
    found = exact(root, _wanted(root, by_place=False), _needed(root, 0), by_place=False)
    for position, factor in enumerate(factors, start=1):
        is_last = position == len(factors)
        into = {path.number: path.place for path, _ in root.paths} if is_last and not product.keeps else None
        found = times(root, found, factor, part, _needed(root, position), dims, into)
    return found


def _weighed(root: Root, factor: Weight, names: Names, mode: str | None) -> Placed:
    """The ways of weighing, node by node."""
    parts = []
    groups: dict[object, list[tuple[ProductPath, list[tuple[Use, Surd]]]]] = {}
    for path, combination in root.paths:
        apart: dict[object, list[tuple[Use, Surd]]] = {}
        for use, coefficient in combination:
            apart.setdefault((use.state.node.number, use.channels, use.sites), []).append((use, coefficient))
        for node, uses in apart.items():
            groups.setdefault(node, []).append((path, uses))
    for group in groups.values():
        weighing = Weighing(root, factor, names, tuple((path, tuple(uses)) for path, uses in group))
        prepared(root, weighing.uses[0])
        ways = weighing.ways()
        chosen = {name: ways[name] for name in ways if mode and name.startswith(mode)} or weighing.promising()
        name, placed = cheapest(root, chosen)
        root.builder.notes.append(weighing.reason(name))
        parts.append(placed)
    return added(root, parts, {p.place: root.path_dim(p) for p, _ in root.paths}, names)

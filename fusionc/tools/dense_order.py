"""In which order others would contract a path: as it is written, or in opt_einsum's order, on dense tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import opt_einsum

from fusionc.tools.dense_network import EdgeSource, Term, WeightSource

Steps = tuple[tuple[int, int], ...]
Axes = frozenset[str]

BATCH = "batch"
TYPICAL_BATCH = 1000
EXHAUSTIVE = 7  # opt_einsum's optimal search, up to this many factors
DYNAMIC = 14  # its dynamic programming; beyond it greedy


def written(term: Term) -> Steps:
    """The order of the text: operands outer first, then the vertex tensor, then the weights."""
    return term.written


def whole(term: Term) -> Steps:
    """opt_einsum's order of the whole tree, each path by itself."""
    inputs = _factor_axes(term)
    return _canonical_search(inputs, _output(term, inputs), term.sizes)


ORDERS: dict[str, Callable[[Term], Steps]] = {"written": written, "whole": whole}


def is_batched(source: object, weights_legs: frozenset[str]) -> bool:
    """Whether a factor has the batch dimensions: edges, weights given at every call, and rows selected by an index."""
    if isinstance(source, WeightSource):
        return bool(source.rows) or source.weight in weights_legs
    return isinstance(source, EdgeSource)


def _factor_axes(term: Term) -> tuple[Axes, ...]:
    return tuple(
        frozenset(factor.axes) | ({BATCH} if is_batched(factor.source, term.batched_weights) else frozenset())
        for factor in term.factors
    )


def _output(term: Term, inputs: tuple[Axes, ...]) -> Axes:
    return frozenset(term.axes) | (frozenset().union(*inputs) & {BATCH})


def _canonical_search(inputs: tuple[Axes, ...], output: Axes, sizes: dict[str, int]) -> Steps:
    """Search with axes renamed in order of appearance, so that equal shapes are searched once."""
    names: dict[str, str] = {}
    for axes in inputs:
        for axis in sorted(axes):
            names.setdefault(axis, f"{len(names):03d}")
    renamed = tuple(tuple(sorted(names[axis] for axis in axes)) for axes in inputs)
    extents = tuple((names[axis], TYPICAL_BATCH if axis == BATCH else sizes[axis]) for axis in names)
    return _search(renamed, tuple(sorted(names[axis] for axis in output)), extents)


@lru_cache(maxsize=65536)
def _search(
    inputs: tuple[tuple[str, ...], ...], output: tuple[str, ...], extents: tuple[tuple[str, int], ...]
) -> Steps:
    if len(inputs) == 1:
        return ()
    if len(inputs) == 2:
        return ((0, 1),)
    finder = _finder(len(inputs))
    path = finder([frozenset(axes) for axes in inputs], frozenset(output), dict(extents), None)
    return tuple((a, b) for a, b in opt_einsum.paths.linear_to_ssa(path))


def _finder(factors: int) -> Callable[..., list[tuple[int, ...]]]:
    if factors <= EXHAUSTIVE:
        return opt_einsum.paths.optimal  # type: ignore[no-any-return]
    if factors <= DYNAMIC:
        return opt_einsum.DynamicProgramming(minimize="flops")  # type: ignore[no-any-return]
    return opt_einsum.paths.greedy  # type: ignore[no-any-return]

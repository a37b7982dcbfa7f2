"""Sums over pairs into sites."""

from __future__ import annotations

import math

from torch import Tensor

from fusionc.targets.runtime.modes import _is_recorded


def _scatter(sums: Tensor | None, value: Tensor, index: Tensor, size: int, dim: int) -> Tensor:
    """Rows along a dimension, added into `size` places: of the sums of the pieces before, if there are any."""
    if sums is not None:
        return sums.index_add_(dim, index, value)
    shape = list(value.shape)
    shape[dim] = size
    zeros = value.new_zeros(shape)
    recorded = _is_recorded()
    return zeros.index_add(dim, index, value) if recorded else zeros.index_add_(dim, index, value)


def _spread(value: Tensor, dim: int, size: int) -> Tensor:
    """A value that is the same at every site or pair."""
    value = value.unsqueeze(dim)
    shape = [-1] * value.ndim
    shape[dim] = size
    return value.expand(shape)


def _everywhere(value: Tensor, dim: int, batch: tuple[int, ...]) -> Tensor:
    """A value without a batch, the same for all elements of one; `dim` is the axis of its components."""
    if dim == 0:
        return value[:, *[None] * len(batch)].expand(-1, *batch, *value.shape[1:])
    return value.expand(*batch, *value.shape)


def _tabulated(value: Tensor, rows: tuple[Tensor, ...], sizes: tuple[int, ...], own: int, front: int = 0) -> Tensor:
    """Elements added into the rows of a table [*sizes, ...] that indices name; `own` dimensions belong to an element,
    `front` stand before the elements, and then before the table."""
    place = rows[0]
    for index, size in zip(rows[1:], sizes[1:]):
        place = place * size + index
    first, shape = value.shape[:front], value.shape[value.ndim - own :]
    place = place.expand(value.shape[front : value.ndim - own]).reshape(-1)
    table = value.new_zeros((*first, math.prod(sizes), *shape))
    return table.index_add(front, place, value.reshape(*first, -1, *shape)).view(*first, *sizes, *shape)

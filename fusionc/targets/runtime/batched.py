"""Large operations on values with the batch in front: [..., components, channels]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusionc.targets.runtime.modes import _is_recorded


def _combined(matrix: Tensor, value: Tensor) -> Tensor:
    """A matrix [r, c] applied to the components of [..., c, channels]: [..., r, channels]."""
    if value.ndim == 2:
        return matrix @ value
    flat = value.flatten(0, -3)
    result = torch.bmm(matrix.expand(flat.shape[0], -1, -1), flat)
    return result.view(*value.shape[:-2], matrix.shape[0], value.shape[-1])


def _weighed(
    value: Tensor,
    weights: Tensor,
    grids: tuple[tuple[int, int, bool], ...],
    dim: int,
    fresh: bool,
    into: Tensor | None = None,
) -> Tensor:
    """Components times weights, in grids [rows, columns] of components: a weight for each column, or for each row.
    Where nothing is recorded, a fresh value is weighed in place: new memory is slower than arithmetic."""
    parts = []
    out = None if into is None else into.view(*into.shape[:-1], *value.shape[dim:])
    if out is None and not _is_recorded():
        out = value if fresh else value.new_empty(value.shape)
    sizes = [rows * columns for rows, columns, _ in grids]
    used = [columns if across else rows for rows, columns, across in grids]
    places = (value if out is None else out).split(sizes, dim)
    pieces = zip(grids, value.split(sizes, dim), weights.split(used, dim), places)
    for (rows, columns, across), part, factor, place in pieces:
        part = torch.unflatten(part, dim, (rows, columns))
        factor = factor.unsqueeze(dim - 1 if across else dim)
        if out is None:
            parts.append((part * factor).flatten(dim - 1, dim))
        else:
            torch.mul(part, factor, out=torch.unflatten(place, dim, (rows, columns)))
    if not parts:
        return out
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _layered(
    left: Tensor, right: Tensor, layers: tuple[tuple[Any, ...], ...], first: int, count: int, dim: int
) -> Tensor:
    """Products of components, added up layer by layer. A layer (start, rows, columns, left, right) goes to a grid of
    the result; an operand (start, kind) gives the same row of components to all rows ("across"), one component to a
    whole row ("along"), or one to each ("all"). The `first` layers fill the result, the others add to it."""
    batch = torch.broadcast_shapes(left.shape[:dim], right.shape[:dim])
    shape = [*batch, count, *left.shape[left.ndim + dim + 1 :]]
    plain = _is_recorded()
    # (`vmap` may map either operand: memory for the sum is made like a product)
    sums = (left.narrow(dim, 0, 1) * right.narrow(dim, 0, 1)).new_zeros(shape) if plain else left.new_empty(shape)
    for number, (start, rows, columns, *sides) in enumerate(layers):
        factors = []
        for value, (place, kind) in zip((left, right), sides):
            size = {"across": (1, columns), "along": (rows, 1), "all": (rows, columns)}[kind]
            factors.append(torch.unflatten(value.narrow(dim, place, size[0] * size[1]), dim, size))
        grid = torch.unflatten(sums.narrow(dim, start, rows * columns), dim, (rows, columns))
        if plain:
            grid.add_(factors[0] * factors[1])
        elif number < first:
            torch.mul(*factors, out=grid)
        else:
            grid.addcmul_(*factors)
    return sums


def _correlated(own: Tensor, shared: Tensor, groups: tuple[tuple[int, int, int, int], ...], dim: int) -> Tensor:
    """Products summed over all elements: in each group (place, place, rows, columns) rows of components of one operand
    meet the same row of the other, and are added up along it. (Over the elements first: memory is read in order.)"""
    parts = []
    for first, second, rows, columns in groups:
        part = torch.unflatten(own.narrow(dim, first, rows * columns), dim, (rows, columns))
        part = part * shared.narrow(dim, second, columns).unsqueeze(dim - 1)
        parts.append(_summed_up(part, 1 - dim).sum(dim))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _added_products(left: Tensor, right: Tensor, grids: tuple[tuple[int, int, bool], ...], dim: int) -> Tensor:
    """Products of components, added up, in grids [rows, columns] of components: those of each column, or of each row.
    Where nothing is recorded, row by row into the sums: the products themselves are never in memory."""
    sizes = [rows * columns for rows, columns, _ in grids]
    if right.shape[dim] < sum(sizes):  # one component that meets all
        right = right.expand(*[-1] * (right.ndim + dim), sum(sizes), *[-1] * (-1 - dim))
    if _is_recorded() or left.dtype != right.dtype:
        parts = []
        for (rows, columns, across), part in zip(grids, (left * right).split(sizes, dim)):
            parts.append(torch.unflatten(part, dim, (rows, columns)).sum(dim - 1 if across else dim))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    counts = [columns if across else rows for rows, columns, across in grids]
    shape = list(torch.broadcast_shapes(left.shape, right.shape))
    shape[dim] = sum(counts)
    sums = left.new_empty(shape)
    pieces = zip(grids, left.split(sizes, dim), right.split(sizes, dim), sums.split(counts, dim))
    for (rows, columns, across), one, other, place in pieces:
        along = dim - 1 if across else dim
        ones, others = (torch.unflatten(side, dim, (rows, columns)).unbind(along) for side in (one, other))
        torch.mul(ones[0], others[0], out=place)
        for pair in zip(ones[1:], others[1:]):
            place.addcmul_(*pair)
    return sums


def _selected(value: Tensor, places: Tensor, dim: int) -> Tensor:
    """Components, along a dimension that stands before their channels. Element after element: torch would go through
    all elements for the first component, then for the next one."""
    batch, rest = value.shape[:dim], value.shape[dim:]
    if not batch or _is_recorded() or not value.is_contiguous():
        return value.index_select(dim, places)
    starts = torch.arange(0, batch.numel() * rest[0], rest[0], device=value.device)
    rows = value.view(-1, *rest[1:]).index_select(0, (starts[:, None] + places).flatten())
    return rows.view(*batch, places.shape[0], *rest[1:])


def _summed_up(value: Tensor, own: int) -> Tensor:
    """A sum over all dimensions but the last `own`."""
    return value.flatten(0, -1 - own).sum(0) if value.ndim > own else value


def _interleaved(blocks: tuple[tuple[tuple[Tensor, Tensor | None], ...], ...], into: Tensor | None = None) -> Tensor:
    """Blocks of an output, in each of them parts [dim, paths, channels] side by side, each times its weights [paths,
    channels] if there are any."""
    if _is_recorded():
        columns = [
            [(part if weights is None else part * weights.unsqueeze(-3)).flatten(-2) for part, weights in block]
            for block in blocks
        ]
        rows = [block[0] if len(block) == 1 else torch.cat(block, -1) for block in columns]
        return torch.cat([row.flatten(-2) for row in rows], -1)
    widths = [[part.shape[-2] * part.shape[-1] for part, _ in block] for block in blocks]
    sizes = [block[0][0].shape[-3] * sum(width) for block, width in zip(blocks, widths)]
    first, _ = blocks[0][0]
    out = first.new_empty((*first.shape[:-3], sum(sizes))) if into is None else into
    for block, width, view in zip(blocks, widths, out.split(sizes, -1)):
        rows = torch.unflatten(view, -1, (block[0][0].shape[-3], sum(width)))
        for (part, weights), place in zip(block, rows.split(width, -1)):
            place = torch.unflatten(place, -1, part.shape[-2:])
            place.copy_(part) if weights is None else torch.mul(part, weights.unsqueeze(-3), out=place)
    return out


def _behind(parts: tuple[tuple[Tensor, int, Tensor | None], ...], into: Tensor | None = None) -> Tensor:
    """Parts of an output, one behind the other, each times its weights if there are any; the last so many dimensions of
    a part are its numbers."""
    if _is_recorded():
        weighed = [(part if weights is None else part * weights, own) for part, own, weights in parts]
        return torch.cat([part.flatten(-own) for part, own in weighed], -1)
    shapes = [part.shape[-own:] for part, own, _ in parts]
    sizes = [shape.numel() for shape in shapes]
    first, own, _ = parts[0]
    out = first.new_empty((*first.shape[:-own], sum(sizes))) if into is None else into
    for (part, _, weights), shape, view in zip(parts, shapes, out.split(sizes, -1)):
        place = torch.unflatten(view, -1, shape)
        place.copy_(part) if weights is None else torch.mul(part, weights, out=place)
    return out


def _multiplied(one: Tensor, two: Tensor, into: Tensor | None) -> Tensor:
    """A matrix product, written where it belongs; one of the matrices may be the same for all elements."""
    if into is None:
        return one @ two
    return torch.matmul(one, two, out=into.view(*into.shape[:-1], one.shape[-2], two.shape[-1]))

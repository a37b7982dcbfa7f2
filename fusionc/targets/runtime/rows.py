"""Large operations on values whose components stand before the batch: [components, ..., channels]."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionc.targets.runtime.modes import _has_numbers, _is_recorded


def _mixed_up(rows: Tensor, mixers: tuple[Tensor, ...]) -> Tensor:
    """Rows [k, parts, u], those of each part mixed by its matrix [u, w] and added up: [k, w]. `mixers` [parts, u, w]
    hold the matrices, some beside each other."""
    mixed, start = None, 0
    for mixer in mixers:
        one, other = rows.narrow(-2, start, mixer.shape[-3]).flatten(-2), mixer.flatten(-3, -2)
        start += mixer.shape[-3]
        if mixed is None:
            mixed = one @ other
        elif _is_recorded() or mixed.ndim != 3:
            mixed = mixed + one @ other
        else:
            mixed.baddbmm_(one, other)
    return mixed


def _room(count: int, like: Tensor) -> Tensor | None:
    """Memory for so many rows, where nothing is recorded: parts are written side by side into it."""
    return None if _is_recorded() else like.new_empty((count, *like.shape[1:]))


def _place(room: Tensor | None, start: int, count: int) -> Tensor | None:
    """The memory of some rows."""
    return None if room is None else room[start : start + count]


def _joined(room: Tensor | None, *parts: Tensor) -> Tensor:
    """Rows that were written side by side; put there now where something is recorded."""
    return torch.cat(parts) if room is None else room


def _times(fresh: Tensor, other: Tensor) -> Tensor:
    """A product, in the memory of its first factor, which nothing else needs, where nothing is recorded."""
    return fresh * other if _is_recorded() else fresh.mul_(other)


def _few(matrix: Tensor, value: Tensor) -> Tensor:
    """A matrix product in which few numbers are summed: columns times rows. (Small ones take torch's batched product
    several times as long.)"""
    result = matrix[..., :1] * value[..., :1, :]
    plain = _is_recorded()
    for k in range(1, matrix.shape[-1]):
        column, row = matrix[..., k : k + 1], value[..., k : k + 1, :]
        result = result + column * row if plain else result.addcmul_(column, row)
    return result


def _every(one: Tensor, other: Tensor, place: Tensor | None = None) -> Tensor:
    """Every row of one value times every row of another, in a place if there is one."""
    if place is None:
        return (one.unsqueeze(1) * other).flatten(0, 1)
    torch.mul(one.unsqueeze(1), other, out=place.view(one.shape[0], *other.shape))
    return place


def _crossed(fresh: Tensor, rows: Tensor) -> Tensor:
    """Row k of the result is the sum of row [k, i] of a value, which nothing else needs, times row i of another."""
    return _times(fresh.view(fresh.shape[0] // rows.shape[0], *rows.shape), rows).sum(1)


def _sums(value: Tensor, columns: Tensor, starts: Tensor, width: int, factors: Tensor | None = None) -> Tensor:
    """A sparse matrix applied to rows: row k of the result is the sum of the rows `columns[starts[k] : starts[k + 1]]`
    (`width` at most), each times its factor."""
    flat = value.flatten(1) if value.ndim > 1 else value[:, None]
    if not (value.is_complex() or _is_recorded()) and flat.shape[1]:
        result = torch.embedding_bag(flat, columns, starts, mode=0, per_sample_weights=factors)[0]
        return result.view(starts.shape[0], *value.shape[1:])
    places = starts[:, None] + torch.arange(width, device=starts.device)
    inside = places < torch.cat((starts[1:], starts.new_full((1,), columns.shape[0])))[:, None]
    places = places.clamp(max=columns.shape[0] - 1)
    used = inside.to(flat.dtype) if factors is None else inside * factors[places]
    return (flat[columns[places]] * used[..., None]).sum(1).view(starts.shape[0], *value.shape[1:])


def _over(channels: int, *values: Tensor) -> tuple[Tensor, ...]:
    """Numbers [..., 1], the same for so many channels: for a compiler, which sums their gradients over channels."""
    if not torch.compiler.is_compiling():
        return values
    return tuple(value.expand(*value.shape[:-1], channels) for value in values)


def _rows_at(table: Tensor, rows: Tensor, *more: Tensor) -> Tensor:
    """The rows of a table that integers name, one for each of its first dimensions: [*rows.shape, ...]. (Indexing by
    one tensor would count negative ones from the end; an embedding has no derivative for complex numbers. A compiler
    takes tensors without dimensions for integers that it does not know.)"""
    if more:
        return table[tuple(one[None] for one in (rows, *more))][0]
    return table.index_select(0, rows.flatten()).view(*rows.shape, *table.shape[1:])


def _looked_up(table: Tensor, rows: Tensor, picked: Tensor | None = None) -> Tensor:
    """The rows of a table [components, rows, ...] that integers name, of the components that are picked (default: of
    all): [components, *rows.shape, ...]. Where `rows` were checked, all at once: torch does that on all processors."""
    if not _has_numbers(rows):
        some = table if picked is None else table.index_select(0, picked)
        return some.index_select(1, rows.flatten()).view(some.shape[0], *rows.shape, *some.shape[2:])
    picked = torch.arange(table.shape[0], device=rows.device) if picked is None else picked
    places = picked[:, None] * table.shape[1] + rows.flatten()
    return table.flatten(0, 1).index_select(0, places.flatten()).view(picked.shape[0], *rows.shape, *table.shape[2:])


def _mixed(matrix: Tensor, rows: Tensor) -> Tensor:
    """A matrix [r, c] applied to rows [c, ...]: [r, ...]."""
    flat = rows.flatten(1) if rows.ndim > 1 else rows[:, None]
    return torch.mm(matrix, flat).view(matrix.shape[0], *rows.shape[1:])


def _scaled(factors: Tensor, rows: Tensor) -> Tensor:
    """Every row times a number of its own."""
    return rows * factors.view(-1, *[1] * (rows.ndim - 1))


def _unbatched(rows: Tensor, like: Tensor, others: int) -> Tensor:
    """Rows of weights that are the same for all elements of the batch: axes of size one for the batch of `like`."""
    batch = like.ndim - 1 - others
    return rows.reshape(rows.shape[0], *[1] * batch, *rows.shape[1:]) if batch else rows

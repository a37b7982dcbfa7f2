"""Matrix products and sums of products in steps, for `torch.export`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Exported(torch.overrides.TorchFunctionMode):
    """Matrix products and sums of products in what is exported: `torch.export` takes each as a whole, and then does not
    know what its derivative reads. In steps it does."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function in (torch.Tensor.matmul, torch.matmul) and arguments[1].ndim > 1:
            return _matrices_in_steps(*arguments)
        if function is torch.einsum:
            return _sum_in_steps(*arguments)
        return function(*arguments, **(keywords or {}))


def _matrices_in_steps(one: Tensor, two: Tensor) -> Tensor:
    """A product of matrices [..., r, k] and [..., k, c]."""
    if two.ndim == 2:
        return torch.mm(one.reshape(-1, one.shape[-1]), two).view(*one.shape[:-1], two.shape[-1])
    matrix = one if one.ndim > 1 else one.unsqueeze(0)
    batch = torch.broadcast_shapes(matrix.shape[:-2], two.shape[:-2])
    left, right = (side.expand(*batch, *side.shape[-2:]).reshape(-1, *side.shape[-2:]) for side in (matrix, two))
    result = torch.bmm(left, right).view(*batch, matrix.shape[-2], two.shape[-1])
    return result if one.ndim > 1 else result.squeeze(-2)


def _sum_in_steps(text: str, one: Tensor, two: Tensor) -> Tensor:
    """What `torch.einsum` gives for two operands."""
    operands, result = text.split("->")
    sides, batch = [], 0
    for value, letters in zip((one, two), operands.split(",")):
        before, dots, behind = letters.partition("...")
        count = value.ndim - len(before) - len(behind) if dots else 0
        sides.append((value, [*before, *range(-count, 0), *behind]))
        batch = max(batch, count)
    before, dots, behind = result.partition("...")
    kept = [*before, *(range(-batch, 0) if dots else ()), *behind]
    summed = [axis for axis in dict.fromkeys((*sides[0][1], *sides[1][1])) if axis not in kept]
    factors = []
    for value, axes in sides:
        there = [axis in axes for axis in (*kept, *summed)]
        value = value.permute([axes.index(axis) for axis in (*kept, *summed) if axis in axes])
        factors.append(value[tuple(slice(None) if has else None for has in there)])
    product = factors[0] * factors[1]
    return product.sum(tuple(range(len(kept), len(kept) + len(summed)))) if summed else product

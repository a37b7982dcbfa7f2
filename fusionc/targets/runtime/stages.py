"""Stages: functions of tensors, and what differentiates them; what they are called with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Stage(NamedTuple):
    """A function of tensors, and what differentiates it. `kinds`: for each operand how many dimensions stand behind the
    batch (-1: a weight, the same for all). `piece`: how many elements of the batch are evaluated at a time (0: the
    function sees to that itself). `results`: the operands whose gradients it gives (none: it gives the value).
    `width`: the numbers of an element of its value, where the function can write them `into` a place."""

    function: Callable[..., Any]
    kinds: tuple[int, ...]
    piece: int = 0
    results: tuple[int, ...] = ()
    width: int = 0
    derivatives: tuple[_Stage | _Swapped | None, ...] = ()


class _Swapped(NamedTuple):
    """What differentiates the gradient of an operand in which the value is linear: the value and its gradients once
    more, with what is given in the place of the operand. `value` tells the stage of the value."""

    value: Callable[[], _Stage]
    place: int


def _batch(kinds: tuple[int, ...], operands: Sequence[Tensor]) -> torch.Size:
    """The batch dimensions of operands that have so many dimensions behind them (-1: none in front)."""
    first, kind = next((one, kind) for one, kind in zip(operands, kinds) if kind >= 0)
    return first.shape[: first.ndim - kind]


def _in_rows(kinds: tuple[int, ...], operands: Sequence[Tensor]) -> list[Tensor]:
    """Operands with one batch dimension."""
    count = math.prod(_batch(kinds, operands))
    return [
        one if kind < 0 else one.reshape(count, *one.shape[one.ndim - kind :]) for one, kind in zip(operands, kinds)
    ]


def _listed(found: Any) -> list[Any]:
    """What a function returns that returns a tensor or several."""
    return [found] if isinstance(found, Tensor) else list(found)


def _unlisted(results: list[Tensor]) -> Any:
    """A tensor or several, as a function returns them."""
    return results[0] if len(results) == 1 else tuple(results)

"""Dtypes that operands may have."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

_HALVES = (torch.float16, torch.bfloat16)
_REAL = (*_HALVES, torch.float32, torch.float64)
_COMPLEX = (torch.complex64, torch.complex128)


def _widened(*values: Tensor) -> tuple[Tensor, ...]:
    """Halves as float32: under autocast, operands arrive in either."""
    return tuple(value.float() if value.dtype in _HALVES else value for value in values)


def _dtype(operands: Sequence[Tensor]) -> torch.dtype:
    """The dtype of a result: that of its operands together, whatever the first is (rows of a table, real weights)."""
    return functools.reduce(torch.promote_types, (operand.dtype for operand in operands))


def _compute(value: Tensor) -> torch.dtype:
    """The dtype of the arithmetic: halves are computed in float32."""
    return torch.float32 if value.dtype in _HALVES else value.dtype

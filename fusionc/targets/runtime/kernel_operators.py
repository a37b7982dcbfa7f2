"""Stages with kernels as operators, for what records operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fusionc.targets.runtime.kernel_stages import _allocate, _Diagram, _run
from fusionc.targets.runtime.optional_triton import triton


def _register(diagram: _Diagram, name: str, keeps: bool) -> _Diagram:
    """Every stage as an operator, for what records operations. Compilers differentiate the value's; all else that is
    differentiated goes through `_Apply`. Stages that keep tensors are none of a CUDA graph's: these would be its
    own."""
    if triton is None:
        return diagram
    schema = "(Tensor[] operands, Tensor[] fixed, SymInt[] sizes) -> Tensor[]"
    tags = (torch.Tag.cudagraph_unsafe,) if keeps else ()
    for level in range(len(diagram.stages)):
        library = torch.library.custom_op(
            f"NAMESPACE::stage{level}_{name}", partial(_run, diagram, level), mutates_args=(), schema=schema, tags=tags
        )
        library.register_fake(partial(_fake, diagram, level))
        diagram.operators.append(library)
    diagram.operators[0].register_autograd(partial(_backward, diagram), setup_context=_setup)
    return diagram


def _fake(
    diagram: _Diagram, level: int, operands: Sequence[Tensor], fixed: Sequence[Tensor], sizes: Sequence[int]
) -> list[Tensor]:
    return _allocate(diagram, level, operands, sizes)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    operands, fixed, sizes = inputs
    ctx.count, ctx.sizes = len(operands), sizes
    ctx.save_for_backward(*operands, *fixed)


def _backward(diagram: _Diagram, ctx: Any, cotangents: Sequence[Tensor]) -> tuple[Any, ...]:
    operands, fixed = list(ctx.saved_tensors[: ctx.count]), list(ctx.saved_tensors[ctx.count :])
    found: list[Tensor | None] = [None] * len(operands)
    results = diagram.operators[1]([*operands, *(one.contiguous() for one in cotangents)], fixed, ctx.sizes)
    for place, gradient in zip(diagram.results[0], results):
        found[place] = gradient
    return found, [None] * len(fixed), None

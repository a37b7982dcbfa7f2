"""How kernels are launched: on which device, with which sizes, precision and tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionc.targets.runtime.modes import _is_opaque
from fusionc.targets.runtime.optional_triton import tl, triton
from fusionc.targets.runtime.tables import _Kept

_INTERPRETED = triton is not None and triton.knobs.runtime.interpret


def _runs_kernels(value: Tensor) -> bool:
    """Whether operands like this one go to the kernels. While compiling they are operators, where these may stand."""
    if torch.compiler.is_compiling() and not _is_opaque():
        return False
    return triton is not None and (value.is_cuda or _INTERPRETED)


def _jit(**options: object) -> Callable[..., Any]:
    """`triton.jit`, or nothing where triton is not installed."""
    return (lambda function: function) if triton is None else triton.jit(**options)


def _count(rows: int, size: int) -> int:
    """How many programs so many rows need."""
    return -(-rows // size)


def _parts(rows: int, size: int, most: int) -> int:
    """How many parts a sum over all rows is made in."""
    return max(1, min(_count(rows, size), most)) * size


def _precision(compute: torch.dtype) -> str:
    """How kernels multiply matrices: three products of parts have the accuracy of float32, one has what torch calls
    "high" or "medium"."""
    if compute == torch.float64:
        return "ieee"
    # (the older question raises where somebody has answered the newer one)
    chosen = getattr(torch.backends.cuda.matmul, "fp32_precision", None) or torch.get_float32_matmul_precision()
    return "tf32" if chosen in ("tf32", "high", "medium") else "tf32x3"


def _launch(kernel: Any, programs: int, blocks: int, warps: int, compute: torch.dtype, *arguments: Any) -> None:
    """Run a kernel on the device of its operands; nothing to do is nothing done."""
    if programs == 0:
        return
    types = {torch.float32: tl.float32, torch.float64: tl.float64}
    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    more, most = {}, 128 if compute == torch.float32 else None
    if "PRECISION" in kernel.arg_names:
        more, most = {"PRECISION": _precision(compute)}, most or 255
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[(programs, blocks)](
            *arguments,
            COMPUTE=types[compute],
            **more,
            num_warps=warps,
            num_stages=1,
            maxnreg=most,
            enable_fp_fusion=True,
        )


def _is_traced(operands: Sequence[Tensor]) -> bool:
    """Whether something records operations (`make_fx`, `torch.func.linearize`, fake tensors): it cannot see kernels."""
    return torch._C._len_torch_dispatch_stack() > 0 or any(type(one) not in (Tensor, nn.Parameter) for one in operands)


def _terms(rows: Sequence[tuple[int, int, int, float]], places: Sequence[tuple[int, int, int]]) -> _Kept:
    """The table of a kernel that is a loop, as numbers that the kernel takes apart again.

    A row has the cells of two factors, the cell of their sum if it ends here (otherwise -1), and a coefficient. A place
    says where a component starts in a row of an operand, the step between its channels, and the cell that it is moved
    to or from."""
    ends = [left | right << 20 | to << 40 for left, right, to, _ in rows]
    moves = [start | step << 24 | cell << 40 for start, step, cell in places]
    return _Kept(
        torch.tensor(ends, dtype=torch.int64, device="cpu"),
        torch.tensor([row[3] for row in rows], dtype=torch.float64, device="cpu"),
        torch.tensor(moves, dtype=torch.int64, device="cpu"),
    )

"""What torch is doing while a diagram is called: compiling, exporting, recording, transforming, casting."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def _is_transformed() -> bool:
    """Whether torch.func is at work: here, or in what a compiler follows, which understands just this question."""
    return torch._C._are_functorch_transforms_active()


def _is_opaque() -> bool:
    """Whether this is compiled, into code that may have operators which only Python knows: an exported program is to
    run without, and torch.func cannot look into them (tangents would be zero)."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting() and not _is_transformed()


def _is_plain() -> bool:
    """Whether operations have to be plain ones: for a compiler, for torch.func, for forward derivatives, for whatever
    looks at each operation (`make_fx`, `torch.jit.trace`, fake tensors)."""
    if torch.compiler.is_compiling() or torch.autograd.forward_ad._current_level >= 0:
        return True
    if _is_transformed():
        return True
    return torch._C._len_torch_dispatch_stack() > 0 or torch._C._get_tracing_state() is not None


def _is_recorded() -> bool:
    """Whether operations may be recorded: nothing is written into a place then."""
    return torch.is_grad_enabled() or _is_plain()


def _has_numbers(value: Tensor) -> bool:
    """Whether integers can be looked at: not while they are traced, and on a GPU one would wait for the device, whose
    kernels check them."""
    return value.device.type == "cpu" and not _is_plain()


def _is_autocast(kind: str) -> bool:
    """Whether a kind of device chooses the dtypes of its operations (some, like meta, never do)."""
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _uncast(value: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Gradients may be asked for under autocast, forces are where energies are: the arithmetic stays what it is."""
    kind = value.device.type
    return torch.autocast(kind, enabled=False) if _is_autocast(kind) else contextlib.nullcontext()


def _is_batched(values: Sequence[Tensor | None]) -> bool:
    """Whether `is_grads_batched` of `torch.autograd` is at work, whose tensors have no memory of their own."""
    return any(one is not None and torch._C._functorch.is_legacy_batchedtensor(one) for one in values)

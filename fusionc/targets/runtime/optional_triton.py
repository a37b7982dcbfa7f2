"""Triton, where it is installed."""

from __future__ import annotations

try:
    import triton
    import triton.language as tl
except ImportError:  # kernels are for GPUs; plain torch does the same elsewhere
    triton = tl = None

__all__ = ["tl", "triton"]

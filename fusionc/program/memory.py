"""How numbers lie in memory: the layout of a block, the size of a number."""

from __future__ import annotations

from typing import Literal

Layout = Literal["mul_ir", "ir_mul"]
"""For every channel all components (`mul_ir`, e3nn's), or for every component all channels (`ir_mul`)."""
LAYOUTS: tuple[Layout, ...] = ("mul_ir", "ir_mul")

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of a number, of the dtypes that costs are counted in."""

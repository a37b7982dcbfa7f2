"""What compilers get instead of large operations: a statement for each component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fusionc.targets.runtime.stages import _unlisted


def _assembled(parts: tuple[Any, ...]) -> Tensor:
    """An output put together from its parts."""
    return torch.cat([torch.stack(part, -1).flatten(-2) if isinstance(part, tuple) else part for part in parts], -1)


def _compiled(parts: Callable[..., tuple[tuple[Any, ...], ...]], *operands: Tensor) -> Any:
    """The value of a diagram in code that is compiled: plain statements, of which a compiler makes one loop. `parts`
    gives for each output what stands side by side in it (in a tuple: interleaved)."""
    return _unlisted([_assembled(output) for output in parts(*operands)])

"""Constant tensors, cached per device and dtype."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionc.targets.runtime.modes import _is_plain


def _table(size: int, entries: dict[int, float]) -> Tensor:
    """Constant matrices, one behind the other, row-major; what is not listed is zero."""
    table = torch.zeros(size, dtype=torch.float64, device="cpu")
    values = torch.tensor(list(entries.values()), dtype=torch.float64, device="cpu")
    table[torch.tensor(list(entries), dtype=torch.int64, device="cpu")] = values
    return table


class _Kept:
    """Tensors that functions read, or one that is `sizes` lists one behind the other. They stay on every device where
    they were needed, numbers in the dtype of the arithmetic."""

    def __init__(self, *tensors: Tensor, sizes: tuple[int, ...] = ()) -> None:
        self._tensors, self._sizes = tensors, sizes
        self._known: dict[tuple[torch.device, torch.dtype | None], tuple[Tensor, ...]] = {}

    def on(self, device: torch.device, dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
        if _is_plain():  # what is traced is not kept
            return self._moved(device, dtype)
        if (device, dtype) not in self._known:
            with torch.inference_mode(False):
                self._known[device, dtype] = self._moved(device, dtype)
        return self._known[device, dtype]

    def _moved(self, device: torch.device, dtype: torch.dtype | None) -> tuple[Tensor, ...]:
        moved = [one.to(device, dtype if one.is_floating_point() else one.dtype) for one in self._tensors]
        return moved[0].split(self._sizes) if self._sizes else tuple(moved)

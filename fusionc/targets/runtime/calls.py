"""The value of a diagram, in whatever mode torch is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fusionc.targets.runtime.autograd import _recorded
from fusionc.targets.runtime.exported import _Exported
from fusionc.targets.runtime.modes import _is_opaque, _is_plain
from fusionc.targets.runtime.stages import _batch, _in_rows, _listed, _Stage, _unlisted


def _call(stage: _Stage, /, *operands: Tensor, **sites: Tensor | int) -> Any:
    """The value of a diagram. It saves nothing but its operands for the derivative, which computes the rest again."""
    if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
        with _Exported():
            return stage.function(*operands, **sites)
    if _is_plain():
        return stage.function(*operands, **sites)
    if not stage.piece:
        return _recorded(stage, (), sites, operands)
    batch = _batch(stage.kinds, operands)  # (which is cut into pieces along one dimension)
    if len(batch) == 1:
        return _recorded(stage, (), sites, operands)
    results = _listed(_recorded(stage, (), sites, tuple(_in_rows(stage.kinds, operands))))
    return _unlisted([result.reshape(*batch, result.shape[-1]) for result in results])


def _call_looped(looped: Callable[..., Any], stage: _Stage, /, *operands: Tensor, **sites: Tensor | int) -> Any:
    """The value of a diagram over sites: code that is compiled for a CPU has loops over pairs instead of the stage."""
    if _is_opaque() and operands[0].device.type == "cpu":
        return looped(*operands, **sites)
    return _call(stage, *operands, **sites)


def _call_operator(
    operator: Callable[..., list[Tensor]], stage: _Stage, /, *operands: Tensor, **sites: Tensor | int
) -> Any:
    """The value of a diagram over sites: code that is compiled for a CPU has an operator instead of the stage."""
    if _is_opaque() and operands[0].device.type == "cpu":
        relations = [one for one in sites.values() if isinstance(one, Tensor)]
        sizes = [one for one in sites.values() if not isinstance(one, Tensor)]
        return _unlisted(operator(list(operands), relations, sizes))
    return _call(stage, *operands, **sites)

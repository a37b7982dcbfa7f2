"""Instances of generated modules with given weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from fusionc.cache import import_text
from fusionc.driver import CheckedDiagram, emit
from fusionc.program.ir import Layout
from fusionc.targets.names import class_name
from fusionc.targets.registry import Options


def load_module(
    diagram: CheckedDiagram, weights: Mapping[str, NDArray[Any]], layout: Layout = "mul_ir", target: str = "torch"
) -> torch.nn.Module:
    """The diagram's module in float64 or complex128, its learned weights set (a weight has shape (*rows, numel))."""
    generated = import_text(emit([diagram], target, Options(layout)))
    dtype = torch.complex128 if diagram.graph.basis == "complex" else torch.float64
    module: torch.nn.Module = getattr(generated, class_name(diagram.name))(dtype=dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.as_tensor(weights[name]))
    return module

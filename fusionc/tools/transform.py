"""Group elements at work on the operands and outputs of a module."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionc.algebra.basis import Basis
from fusionc.algebra.elements import Element
from fusionc.algebra.groups import Group
from fusionc.diagram.ir import Space
from fusionc.program.ir import Layout

Array = NDArray[Any]


def transform(
    group: Group, space: Space, element: Element, value: Array, layout: Layout = "mul_ir", basis: Basis | None = None
) -> Array:
    """The element's action on a tensor [..., dim] of a space in the given layout and basis (None: the group's own)."""
    result = np.empty_like(value)
    for block, start in zip(space.blocks, space.offsets(group), strict=False):
        dim = group.dim(block.irrep)
        matrix = group.representation(block.irrep, element, basis)
        piece = value[..., start : start + block.mul * dim]
        if layout == "mul_ir":
            turned = piece.reshape(*piece.shape[:-1], block.mul, dim) @ matrix.T
        else:
            turned = matrix @ piece.reshape(*piece.shape[:-1], dim, block.mul)
        result[..., start : start + block.mul * dim] = turned.reshape(piece.shape)
    return result


def probe_elements(group: Group, rng: np.random.Generator, count: int = 3) -> dict[str, Element]:
    """Random elements, and the named ones that random rotations do not reach (the inversion of O(3))."""
    elements = {f"random element {number + 1}": group.random_element(rng) for number in range(count)}
    return elements | {name: element for name, element in group.elements.items() if name != "identity"}

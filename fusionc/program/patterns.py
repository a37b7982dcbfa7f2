"""Products that are large operations: matrices applied to components, channels mixed by weights."""

from __future__ import annotations

from dataclasses import dataclass

from fusionc.program.ir import Product


def applies_matrix(op: Product, flip: bool) -> bool:
    """Whether one operand (the right one, or the left) has no channels and the other has those of the result."""
    own, other = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
    return not own and bool(other) and other == op.axes


@dataclass(frozen=True)
class Contraction:
    """A product that sums channels of a value (so many axes of it) with mixing weights: [summed, others], or `turned`
    around; `flip`: the weights are the left operand."""

    mixer: int
    value: int
    summed: int
    turned: bool
    flip: bool


def contraction(op: Product) -> Contraction | None:
    """A product as a matrix product for each component of its mixing weights."""
    summed = "".join(axis for axis in op.left_axes if axis in op.right_axes and axis not in op.axes)
    flip = len(op.left_axes) > len(op.right_axes)
    mixer_axes, axes = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
    straight, turned = mixer_axes == summed + op.axes, mixer_axes == op.axes + summed
    if not summed or axes != summed or len(op.axes) != 1 or not (straight or (turned and len(summed) == 1)):
        return None
    mixer, value = (op.left, op.right) if flip else (op.right, op.left)
    return Contraction(mixer, value, len(summed), not straight, flip)

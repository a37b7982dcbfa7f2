"""Passes: from a program to an equal one that suits a target better.

    mix-after-vertex     channels mixed behind a vertex, not before it: one matrix product for all paths
    block-diagonal       a wide matrix of an operand cut into its independent blocks
    group-components     components of operands in the order in which sums of products take them
    order-components     components of outputs in the order of memory

A target's pipeline is a list of them. `run` carries it out, and shows the program after each to whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fusionc.program.ir import Program
from fusionc.program.passes.block_diagonal import split
from fusionc.program.passes.component_order import arranged, grouped
from fusionc.program.passes.mix_after_vertex import mixed_behind


@dataclass(frozen=True)
class Pass:
    """A rewrite of programs by its name. The program that it gives computes the same."""

    name: str
    rewrite: Callable[[Program], Program]


MIX_AFTER_VERTEX = Pass("mix-after-vertex", mixed_behind)
BLOCK_DIAGONAL = Pass("block-diagonal", split)
GROUP_COMPONENTS = Pass("group-components", grouped)
ORDER_COMPONENTS = Pass("order-components", arranged)

BATCHED_VALUE = (MIX_AFTER_VERTEX, BLOCK_DIAGONAL, GROUP_COMPONENTS, ORDER_COMPONENTS)
"""What the value of a diagram goes through for targets that have large operations."""

BATCHED_DERIVATIVE = (ORDER_COMPONENTS,)
"""What its derivatives go through."""


def run(program: Program, passes: Sequence[Pass], show: Callable[[str, Program], None] | None = None) -> Program:
    """The program after all passes; `show` gets the name of each and the program after it."""
    for one in passes:
        program = one.rewrite(program)
        if show is not None:
            show(one.name, program)
    return program

"""The functions of a diagram in a torch file: its value, the gradients of its operands, the gradients of each of these.

A derivative is a program of its own (`program.derive`), printed like the value. What is beyond the second order is left
to autograd, and so is what cannot be derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionc.program.derive import Derivative, differentiable, linear, vjp
from fusionc.program.ir import Program
from fusionc.program.passes import BATCHED_DERIVATIVE, BATCHED_VALUE, run


@dataclass(frozen=True)
class Stage:
    """A function of a file. `operands`: its arguments, in order; `results`: for each output the place of the operand
    whose gradient it is (empty: the value). `of` names the operand whose gradient is differentiated (second order)."""

    program: Program
    operands: tuple[str, ...]
    results: tuple[int, ...] = ()
    of: str = ""
    derivatives: tuple[Stage | Swapped | None, ...] = ()
    """Of the value one for all its outputs; of the gradients one for each of them (None: it depends on nothing). Empty
    where autograd does it."""

    @property
    def kinds(self) -> tuple[int, ...]:
        """For each operand how many dimensions stand behind the batch and the sites; -1 where it has neither."""
        legs = {leg.name: leg for leg in self.program.legs}
        return tuple(-1 if name not in legs else int(legs[name].kind != "index") for name in self.operands)


@dataclass(frozen=True)
class Swapped:
    """What differentiates the gradient of an operand in which the value is linear: the value and its gradients, with
    what is given in the operand's place. `place` is the operand's."""

    place: int


def value_stage(program: Program) -> Stage:
    """The value of a program, with the stages that differentiate it."""
    program = run(program, BATCHED_VALUE)
    operands = (*(leg.name for leg in program.legs), *(weight.name for weight in program.weights))
    first = _derived(program, differentiable(program))
    if first is None:
        return Stage(program, operands)
    arguments = (*operands, *(name for _, name in first.given))
    if not first.results:
        return Stage(program, operands)
    alone = linear(program)
    seconds = [
        Swapped(operands.index(operand)) if operand in alone else _second(program, operands, operand)
        for operand, _ in first.results
    ]
    complete = all(one is not None for one in seconds)
    stage = Stage(
        run(first.program, BATCHED_DERIVATIVE),
        arguments,
        tuple(operands.index(operand) for operand, _ in first.results),
        derivatives=tuple(None if isinstance(one, Stage) and not one.results else one for one in seconds)
        if complete
        else (),
    )
    return Stage(program, operands, derivatives=(stage,))


def _second(program: Program, operands: tuple[str, ...], operand: str) -> Stage | None:
    """The derivative of the gradient of one operand; None where that is beyond `derive`."""
    first = _derived(program, (operand,))
    second = None if first is None else _derived(first.program, differentiable(first.program))
    if first is None or second is None:
        return None
    arguments = (*operands, *(name for _, name in first.given), *(name for _, name in second.given))
    results = tuple(arguments.index(name) for name, _ in second.results)
    return Stage(run(second.program, BATCHED_DERIVATIVE), arguments, results, operand)


def _derived(program: Program, wrt: Sequence[str]) -> Derivative | None:
    try:
        return vjp(program, wrt)
    except NotImplementedError:
        return None

"""A stage recorded: its derivatives are other stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionc.targets.runtime.modes import _is_batched, _uncast
from fusionc.targets.runtime.pieces import _evaluated
from fusionc.targets.runtime.stages import _listed, _Stage, _Swapped


def _recorded(stage: _Stage, needed: tuple[bool, ...], sites: dict[str, Any], operands: tuple[Tensor, ...]) -> Any:
    """A stage evaluated, and recorded where a derivative may be asked for."""
    if not torch.is_grad_enabled():
        return _evaluated(stage, needed, sites, operands)
    if any(operand.requires_grad for operand in operands):
        return _Differentiable.apply(stage, needed, sites, *operands)
    with torch.no_grad():  # nothing is recorded, so results may be written where they belong
        found = _evaluated(stage, needed, sites, operands)
    return _detached(found)


def _detached(found: Any) -> Any:
    """Results as tensors of their own: a view that is made where nothing is recorded could not be written into."""
    if isinstance(found, Tensor):
        return found.detach()
    return tuple(None if one is None else one.detach() for one in found)


class _Differentiable(torch.autograd.Function):
    """A stage whose derivative is another stage. (The derivative of the last one is left to autograd.)"""

    @staticmethod
    def forward(stage: _Stage, needed: tuple[bool, ...], sites: dict[str, Any], *operands: Tensor) -> Any:
        return _detached(_evaluated(stage, needed, sites, operands))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.stage, ctx.needed, ctx.sites, *operands = inputs
        ctx.save_for_backward(*operands)
        ctx.set_materialize_grads(not ctx.stage.results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        needed = tuple(
            need and _is_asked(node) for need, (node, _) in zip(ctx.needs_input_grad[3:], ctx.next_functions)
        )
        operands = ctx.saved_tensors  # (checkpoints want to be asked once)
        with _uncast(operands[0]):
            return None, None, None, *_stage_gradients(ctx.stage, ctx.needed, ctx.sites, operands, needed, gradients)


def _stage_gradients(
    stage: _Stage,
    asked: tuple[bool, ...],
    sites: dict[str, Any],
    operands: Sequence[Tensor],
    needed: tuple[bool, ...],
    gradients: tuple[Tensor | None, ...],
) -> list[Tensor | None]:
    """Gradients of a stage's operands, by the stages that compute them (`asked`: which results it had)."""
    if not stage.derivatives or _is_batched(gradients):
        return _by_autograd(stage, asked, sites, operands, needed, gradients)
    found: list[Tensor | None] = [None] * len(operands)
    separate = [(gradient,) for gradient in gradients] if stage.results else [gradients]
    for derivative, given in zip(stage.derivatives, separate):
        if derivative is None or given[0] is None:
            continue
        given = tuple(_conjugate(one) for one in given)
        if isinstance(derivative, _Swapped):
            pairs = _swapped(derivative, stage, sites, operands, needed, *given)
        else:
            pairs = zip(derivative.results, _recorded(derivative, needed, sites, (*operands, *given)))
        for place, part in pairs:
            if part is not None:
                part = _conjugate(part)
                found[place] = part if found[place] is None else found[place] + part
    return found


def _swapped(
    derivative: _Swapped,
    stage: _Stage,
    sites: dict[str, Any],
    operands: Sequence[Tensor],
    needed: tuple[bool, ...],
    given: Tensor,
) -> Iterator[tuple[int, Tensor | None]]:
    """The derivatives of <given, gradient of an operand>, which is <cotangents, value> with the given in its place:
    by the other operands they are gradients, by the cotangents the value. `stage` computes the gradients."""
    value, place = derivative
    count = len(value().kinds)
    moved = (*operands[:place], given, *operands[place + 1 : count])
    others = tuple(need and at != place for at, need in enumerate(needed[:count]))
    if any(others):
        yield from zip(stage.results, _recorded(stage, others, sites, (*moved, *operands[count:])))
    if any(needed[count:]):
        yield from enumerate(_listed(_recorded(value(), (), sites, moved)), start=count)


def _is_asked(node: Any) -> bool:
    """Whether the backward pass that is under way goes on to a node."""
    try:
        return node is not None and torch._C._will_engine_execute_node(node)
    except RuntimeError:  # a leaf whose gradient is returned
        return True


def _conjugate(value: Tensor) -> Tensor:
    """Gradients of complex numbers are conjugates of derivatives."""
    return value.conj().resolve_conj() if value.is_complex() else value


def _by_autograd(
    stage: _Stage, asked: Any, sites: Any, operands: Sequence[Tensor], needed: Sequence[bool], gradients: Sequence[Any]
) -> list[Tensor | None]:
    """The gradients of a stage, recorded statement by statement."""
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        if not recorded:
            operands = tuple(one.detach().requires_grad_(need) for one, need in zip(operands, needed))
        outputs = _listed(stage.function(*operands, **sites, **({"needed": asked} if stage.results else {})))
    pairs = [(output, one) for output, one in zip(outputs, gradients) if one is not None and output is not None]
    pairs = [(output, one) for output, one in pairs if output.requires_grad]
    wanted = [one for one, need in zip(operands, needed) if need]
    if not pairs or not wanted:
        return [None] * len(operands)
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs], wanted, [one for _, one in pairs], create_graph=recorded, allow_unused=True
        )
    )
    return [next(found) if need else None for need in needed]

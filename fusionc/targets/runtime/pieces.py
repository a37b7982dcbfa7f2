"""A stage evaluated, a piece of the batch at a time."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from fusionc.targets.runtime.dtypes import _dtype
from fusionc.targets.runtime.modes import _is_recorded
from fusionc.targets.runtime.stages import _listed, _Stage


def _evaluated(stage: _Stage, needed: tuple[bool, ...], sites: dict[str, Any], operands: tuple[Tensor, ...]) -> Any:
    """A stage, a piece of the batch at a time: what is in between stays in a cache. Results are written where they
    belong; gradients of weights are added up."""
    keywords = {**sites, "needed": needed} if stage.results else dict(sites)
    if not stage.piece:  # over sites operands have batches as they come, and may have none
        return stage.function(*operands, **keywords)
    count = next((operand.shape[0] for operand, kind in zip(operands, stage.kinds) if kind >= 0), 0)
    pieces = _pieces(count, stage.piece, operands[0])
    if len(pieces) < 2:
        return stage.function(*operands, **keywords)
    results: list[Any] = []
    if stage.width:
        results = [operands[0].new_empty((count, stage.width), dtype=_dtype(operands))]
    for piece in pieces:
        if stage.width:
            keywords["into"] = results[0][piece]
        parts = stage.function(
            *(operand if kind < 0 else operand[piece] for operand, kind in zip(operands, stage.kinds)), **keywords
        )
        if stage.width:
            continue
        parts = _listed(parts)
        results = results or [None] * len(parts)
        for place, part in enumerate(parts):
            if part is None:
                continue
            if stage.results and stage.kinds[stage.results[place]] < 0:
                results[place] = _added(results[place], part)
            else:
                results[place] = _placed(results[place], part, piece, count, 0)
    return tuple(results) if stage.results or len(results) > 1 else results[0]


def _pieces(count: int, size: int, like: Tensor) -> list[slice]:
    """So many elements in pieces of about a size (a quarter more is no reason for another one), at least one; all at
    once where a statement may be recorded. A GPU has more memory to fill."""
    if _is_recorded():
        return [slice(None)]
    number = max(1, math.ceil(count / (size if like.device.type == "cpu" else size * 256) - 0.25))
    step = max(1, -(-count // number))
    return [slice(start, start + step) for start in range(0, max(count, 1), step)]


def _placed(whole: Tensor | None, part: Tensor, piece: slice, count: int, dim: int) -> Tensor:
    """A piece put into the whole of `count` elements along a dimension, which the first piece makes."""
    if part.shape[dim] == count:
        return part
    if whole is None:
        shape = list(part.shape)
        shape[dim] = count
        whole = part.new_empty(shape)
    whole.movedim(dim, 0)[piece] = part.movedim(dim, 0)
    return whole


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    """A piece added to the sum of those before it."""
    return part if total is None else total.add_(part)

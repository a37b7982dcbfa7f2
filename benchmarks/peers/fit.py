"""Weights of a peer's symmetric product, from outputs of ours. Needs torch only: it runs in every environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Evaluate = Callable[[list[torch.Tensor]], torch.Tensor]


@dataclass(frozen=True)
class Samples:
    """Inputs, equal in all channels, and outputs of the canonical symmetric product, in float64, for fitting weights.

    `inputs` is [samples, components]; `outputs` [elements, samples, channels, components].
    """

    inputs: torch.Tensor
    outputs: torch.Tensor


def fitted(evaluate: Evaluate, counts: Sequence[int], samples: Samples) -> tuple[list[torch.Tensor], float]:
    """Weights [elements, count, channels] with which a peer's symmetric product equals ours, and the largest residual.

    `evaluate` takes one tensor [count, channels] for each of `counts` and gives [samples, channels, components]. The
    response to every single weight is taken, as many at a time as there are channels; the least-squares solution of
    least norm serves also where a peer's weights are over-complete. The residual is relative to the largest output.
    """
    elements, number, channels, components = samples.outputs.shape
    columns = []
    for place, count in enumerate(counts):
        for start in range(0, count, channels):
            width = min(channels, count - start)
            weights = [torch.zeros(other, channels, dtype=torch.float64) for other in counts]
            weights[place][torch.arange(start, start + width), torch.arange(width)] = 1.0
            columns.append(evaluate(weights)[:, :width])
    matrix = torch.cat(columns, dim=1).transpose(1, 2).reshape(number * components, -1)
    wanted = samples.outputs.permute(1, 3, 0, 2).reshape(number * components, -1)
    solution = torch.linalg.lstsq(matrix, wanted, driver="gelsd").solution
    residual = ((matrix @ solution - wanted).abs().max() / wanted.abs().max()).item()
    parts = solution.view(-1, elements, channels).transpose(0, 1).split(list(counts), dim=1)
    return [part.contiguous() for part in parts], residual

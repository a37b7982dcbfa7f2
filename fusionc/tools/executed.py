"""The multiplications that eager torch runs: counted where they run, operation by operation.

A program lists what it multiplies. Torch has no operation for such lists: what is emitted multiplies matrices with
their zeros, and by ones where that is faster than to pick. So the figure of a program is a floor, and this one is what
its module does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fusionc.driver import CheckedDiagram
from fusionc.program.cost import domain_sizes
from fusionc.program.ir import BATCH
from fusionc.tools.modules import load_module
from fusionc.tools.oracle import random_weights
from fusionc.tools.sites import random_batch


def executed(diagram: CheckedDiagram, batch: int = 1, sizes: Mapping[str, int] | None = None) -> int:
    """The multiplications of one call of the diagram's torch module for a batch (`sizes`: of sites and pairs), those
    with constants and with zeros among them. They are linear in the number of elements, sites and pairs: counted for
    one of each, and for two."""
    rng = np.random.default_rng(0)
    counter = domain_sizes(diagram.graph, batch, sizes)
    wanted = {BATCH: counter.batch, **counter.domains}
    module = load_module(diagram, random_weights(diagram.table, rng))

    def call(twice: str | None) -> int:
        own = {domain: 2 if domain == twice else 1 for domain in wanted}
        inputs = random_batch(diagram.table, own.pop(BATCH), rng, own)
        with torch.no_grad():
            return counted(lambda: module(*map(torch.as_tensor, inputs.legs), **inputs.keywords(diagram.graph)))

    single = call(None)
    return single + sum((call(domain) - single) * (size - 1) for domain, size in wanted.items())


def counted(call: Callable[[], Any]) -> int:
    """The multiplications of a call."""
    with _Multiplications() as counter:
        call()
    return int(counter.total)


class _Counter:
    """Counts what operations multiply. (Torch loads its compiler for a mode with a `__torch_dispatch__` of its own.)"""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        rule = _RULES.get(func.overloadpacket)
        if rule is not None:
            self.total += rule(args, kwargs or {}, result)
        return result


class _Multiplications(_Counter, TorchDispatchMode):  # type: ignore[misc]
    pass


def _matrices(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
    """[..., r, c] times [..., c, n], the last two tensors among the operands."""
    left = [one for one in args if isinstance(one, Tensor)][-2]
    return int(result.numel() * left.shape[-1])


def _elementwise(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
    return int(result.numel())


def _bag(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
    """Sums of rows, each times its factor where there are factors."""
    weights = kwargs.get("per_sample_weights", args[6] if len(args) > 6 else None)
    return int(args[1].numel() * args[0].shape[-1]) if weights is not None else 0


_ATEN = torch.ops.aten
_RULES: dict[Any, Callable[[Sequence[Any], Mapping[str, Any], Any], int]] = {
    **dict.fromkeys((_ATEN.mm, _ATEN.bmm, _ATEN.addmm, _ATEN.baddbmm, _ATEN.mv), _matrices),
    **dict.fromkeys((_ATEN.mul, _ATEN.mul_, _ATEN.addcmul, _ATEN.addcmul_, _ATEN.square), _elementwise),
    _ATEN.dot: lambda args, kwargs, result: int(args[0].numel()),
    **dict.fromkeys((_ATEN._embedding_bag, _ATEN._embedding_bag_forward_only), _bag),
}

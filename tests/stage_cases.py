"""Modules as eager calls run them, against torch's own derivatives of the plain operations: two orders of them."""

from __future__ import annotations

import itertools

import torch
from derivative_cases import Autograd

from fusionc.driver import emit
from fusionc.targets.registry import Options


def shrunk(stage):
    """A stage and those that differentiate it, three elements at a time. (What is swapped is found by its name.)"""
    rest = tuple(shrunk(one) if hasattr(one, "derivatives") else one for one in stage.derivatives)
    return stage._replace(piece=min(stage.piece, 3), derivatives=rest)


class Eager(Autograd):
    """The file as an eager call runs it, three elements or pairs at a time where `small`."""

    def __init__(self, one, small: bool = False) -> None:
        super().__init__(one)
        if small:
            file = dict(self.function.__globals__)
            pieces = file["_pieces"]
            exec(compile(emit([one.diagram.checked], "torch", Options(one.layout)), "small", "exec"), file)
            file["_pieces"] = lambda count, size, like: pieces(count, 3, like)
            file |= {name: shrunk(value) for name, value in file.items() if isinstance(value, file["_Stage"])}
            self.function = file[self.function.__name__]

    def __call__(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        everything = {name: torch.as_tensor(value) for name, value in self.one.operands.items()}
        everything |= dict(zip(self.differentiated, values, strict=True))
        out = self.function(*(everything[name] for name in self.names), **self.relations)
        return (out,) if isinstance(out, torch.Tensor) else tuple(out)

    @property
    def differentiated(self) -> list[str]:
        return [name for name in self.names if self.one.operands[name].dtype.kind in "fc"]


def same(got, wanted) -> None:
    scale = max((float(w.detach().abs().max()) for w in wanted if w is not None and w.numel()), default=0.0) or 1.0
    for one, other in zip(got, wanted, strict=True):
        if one is None or other is None:
            left = other if one is None else one
            assert left is None or float(left.detach().abs().max()) == 0.0
        else:
            assert one.shape == other.shape
            assert float((one - other).detach().abs().max() if one.numel() else 0.0) < 1e-12 * scale


def normal(shapes, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(tuple(shape), generator=generator, dtype=torch.float64) for shape in shapes]


def orders(call, inputs: list[torch.Tensor], wanted: tuple[int, ...]) -> tuple[list, list, list]:
    """Value, gradients by some inputs, and the gradients of a combination of these by all inputs and cotangents."""
    outputs = call(*inputs)
    seeds = [
        seed.to(out.dtype).requires_grad_()
        for seed, out in zip(normal([o.shape for o in outputs], 1), outputs, strict=True)
    ]
    chosen = [inputs[place] for place in wanted]
    first = torch.autograd.grad(outputs, chosen, seeds, create_graph=True, allow_unused=True)
    kept = [one for one in first if one is not None and one.requires_grad]
    if not kept:
        return list(outputs), list(first), []
    directions = [one.to(g.dtype) for one, g in zip(normal([g.shape for g in kept], 2), kept, strict=True)]
    second = torch.autograd.grad(kept, [*inputs, *seeds], directions, allow_unused=True)
    return list(outputs), list(first), list(second)


def check(one, subsets: bool = False) -> None:
    plain, eager = Autograd(one), Eager(one)
    count = len(plain.inputs())
    choices = [tuple(range(count))]
    if subsets:
        choices += [places for size in (1, 2) for places in itertools.combinations(range(count), size) if size < count]
    for wanted in choices:
        for got, other in zip(
            orders(eager, eager.inputs(), wanted), orders(plain, plain.inputs(), wanted), strict=True
        ):
            same(got, other)

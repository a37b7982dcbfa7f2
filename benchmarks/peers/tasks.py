"""What is timed. Needs torch only: the same file runs in the environment of every peer.

With f the product, `probe` a fixed dense tensor like its output, E = <probe, f>:

* forward: f, without recording for gradients.
* backward: f, then dE/d(every floating operand and weight). (forward and backward together)
* double: f, then F = dE/d(the force operand) with create_graph, then L = sum(F^2), then dL/d(every other floating
  operand and weight). (all of it together) The force operand is the spherical harmonics of an edge, y (a for the
  tree), and the node's features a for the symmetric product, where dL/da is taken as well. This is the step of
  training on forces; E has a probe and is not sum(f), because the gradient that arrives in a network is dense.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Leaves = dict[str, torch.Tensor]
Product = Callable[..., torch.Tensor]
TASKS = ("forward", "backward", "double")


def run(task: str, product: Product, leaves: Leaves, force: str, probe: torch.Tensor) -> Leaves:
    """The outcome of a task: `out`, or the gradients by the operand's name."""
    if task == "forward":
        with torch.no_grad():
            return {"out": product(**leaves)}
    out = product(**leaves)
    if task == "backward":
        return dict(zip(leaves, torch.autograd.grad(out, list(leaves.values()), probe), strict=True))
    (forces,) = torch.autograd.grad(out, leaves[force], probe, create_graph=True)
    square = (forces * forces).sum()
    gradients = torch.autograd.grad(square, list(leaves.values()), allow_unused=True)
    if all(one is None for one in gradients):
        raise RuntimeError("the force was not recorded: it cannot be differentiated")
    found = {name: one for name, one in zip(leaves, gradients, strict=True) if one is not None}
    return found | {"forces": forces.detach()}

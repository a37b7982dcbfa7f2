"""What a side gives to the harness: a product in its own layout, which can be run, timed and compared."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import torch

from benchmarks.peers import measure, tasks
from benchmarks.peers.cases import Case
from benchmarks.peers.tasks import Leaves, Product


class Unavailable(Exception):
    """A side that does not take part in a shape, with the sentence that says why."""


class Contestant(Protocol):
    """One library in one configuration on one shape. `build_s` is the time to construct it, in seconds."""

    name: str
    configuration: str
    build_s: float

    def results(self, task: str) -> Leaves:
        """The outcome of a task in the canonical order, where it has one."""

    def seconds(self, task: str, repeats: int) -> float:
        """Seconds for one run of a task, averaged over so many in a row."""

    def peak_bytes(self, task: str) -> int:
        """The most bytes held at a time during one run, beyond the operands."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass
class Local:
    """A contestant in this process.

    `places[name]` says where in the canonical order each of its own numbers stands (None: the order is the same); a
    name without places is not compared.
    """

    name: str
    configuration: str
    build_s: float
    product: Product
    leaves: Leaves
    force: str
    probe: torch.Tensor
    places: Mapping[str, torch.Tensor | None]
    device: str

    def results(self, task: str) -> Leaves:
        found = tasks.run(task, self.product, self.leaves, self.force, self.probe)
        return {
            name: canonical(one.detach(), self.places[self.force if name == "forces" else name])
            for name, one in found.items()
            if (self.force if name == "forces" else name) in self.places
        }

    def seconds(self, task: str, repeats: int) -> float:
        return measure.seconds(lambda: self._run(task), repeats, self.device)

    def peak_bytes(self, task: str) -> int:
        gc.collect()
        return measure.peak_bytes(lambda: self._run(task), self.device)

    def close(self) -> None:
        self.leaves.clear()

    def _run(self, task: str) -> Leaves:
        return tasks.run(task, self.product, self.leaves, self.force, self.probe)


def canonical(value: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
    """A side's numbers in the canonical order."""
    if places is None:
        return value
    ordered = torch.empty_like(value)
    ordered[..., places.to(value.device)] = value
    return ordered


def own(value: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
    """Canonical numbers in a side's order."""
    return value if places is None else value[..., places.to(value.device)].contiguous()


def local(
    case: Case,
    name: str,
    configuration: str,
    build: Callable[[], Product],
    places: Mapping[str, torch.Tensor | None],
    mode: str,
    leaves: Leaves | None = None,
) -> Local:
    """A contestant whose product `build` constructs, which is timed. `leaves` are already in its own order.

    In mode `compile` the product goes through torch.compile; what that costs is in the time of the first call.
    """
    start = perf_counter()
    product = build()
    build_s = perf_counter() - start
    if mode == "compile":
        torch._dynamo.reset()
        product = torch.compile(product, dynamic=False)
        configuration = f"{configuration}, torch.compile"
    if leaves is None:
        leaves = {key: own(value, places[key]) for key, value in case.leaves.items()}
    leaves = {key: value.detach().requires_grad_() for key, value in leaves.items()}
    device = str(case.probe.device)
    return Local(
        name,
        configuration,
        build_s,
        product,
        leaves,
        case.force,
        own(case.probe, places["out"]),
        places,
        device,
    )

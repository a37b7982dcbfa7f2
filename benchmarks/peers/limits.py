"""What the machine allows: bytes that must move, and how fast it copies and multiplies matrices."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

from benchmarks.peers import measure
from benchmarks.peers.cases import Case


def bytes_to_move(case: Case, task: str) -> int:
    """Bytes read and written by a program that keeps everything in between to itself.

    With `in` the operands and weights, `out` the output (or the probe, of the same size), F the force operand:
    forward in + out; backward 3 in + 2 out (in and probe once more, gradients written); double 3 in + 2 out + 2 F (F
    from in and probe, then gradients from in, probe and F). A message counts the gathered features once an edge, its
    output once a node.
    """
    item = case.probe.element_size()
    inward = sum(leaf.numel() for name, leaf in case.leaves.items() if name not in case.gathered)
    inward += sum(case.leaves[name].shape[-1] * case.edges for name in case.gathered)
    if case.elements is not None:  # a row of weights is read for every node
        rows = sum(case.leaves[name][0].numel() for name in case.by_element)
        inward += rows * len(case.elements) - sum(case.leaves[name].numel() for name in case.by_element)
    out = case.probe.numel()
    if task == "forward":
        return item * (inward + out)
    return item * (3 * inward + 2 * out + (2 * case.leaves[case.force].numel() if task == "double" else 0))


def copies(moved: int, device: str) -> dict[str, Callable[[], object]]:
    """Calls that move so many bytes, half of them read and half written: into fresh and into existing memory.

    On a CPU fresh means just mapped: an allocator may hand out again what was freed before, which is not.
    """
    source = torch.zeros(max(1, moved // 8), dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    target.copy_(source)

    def fresh() -> None:
        if device.startswith("cuda"):
            source.clone()
            return
        memory = mmap.mmap(-1, source.numel() * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        torch.frombuffer(memory, dtype=torch.float32).copy_(source)

    return {"copy, fresh": fresh, "copy, existing": lambda: target.copy_(source)}


def multiplication_rate(device: str, dtype: torch.dtype, size: int = 1024, rounds: int = 5) -> float:
    """Operations a second (a multiplication and an addition are two) in the product of two square matrices."""
    one = torch.randn(size, size, dtype=dtype, device=device)
    other, out = torch.randn_like(one), torch.empty_like(one)
    times = []
    for _ in range(rounds + 1):
        measure.synchronize(device)
        start = perf_counter()
        torch.mm(one, other, out=out)
        measure.synchronize(device)
        times.append(perf_counter() - start)
    return float(2 * size**3 / median(times[1:]))

"""How time and memory are measured. Needs torch only: the same file runs in the environment of every peer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import torch


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(call: Callable[[], Any], repeats: int, device: str) -> float:
    """Seconds for one call, averaged over so many in a row. On a GPU by the wall clock, after synchronisation."""
    gc.collect()
    synchronize(device)
    start = perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    return (perf_counter() - start) / repeats


def peak_bytes(call: Callable[[], Any], device: str) -> int:
    """The most bytes that one call holds at a time, beyond what was held before it; its result counts.

    On a GPU the allocator's own statistics. On a CPU the profiler's record of every allocation and release of tensor
    memory, added up in the order of time; memory that a library takes past torch's allocator is not seen.
    """
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles; the least and the most where there are too few for quartiles."""
    low, high = (min(values), max(values)) if len(values) < 3 else quantiles(values, n=4, method="inclusive")[::2]
    return {"median": median(values), "low": low, "high": high}

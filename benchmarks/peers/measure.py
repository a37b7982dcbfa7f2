"""How time and memory are measured. Needs torch only: the same file runs in the environment of every peer."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
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

    On a GPU the allocator's own statistics. On a CPU what the system says of the process: its resident memory before
    the call, when all free memory was given back, and the highest during it. That counts whatever any library takes.
    """
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident memory starts anew
    before = _resident("VmRSS")
    result = call()
    peak = _resident("VmHWM") - before
    del result
    return max(0, peak)


def _resident(field: str) -> int:
    """A line of the process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles; the least and the most where there are too few for quartiles."""
    low, high = (min(values), max(values)) if len(values) < 3 else quantiles(values, n=4, method="inclusive")[::2]
    return {"median": median(values), "low": low, "high": high}

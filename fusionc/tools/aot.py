"""Kernels of a generated file compiled ahead of time, without a GPU: registers, spills, shared memory, seconds.

As many kernels are compiled at a time as there are processors: Triton's compiler lets threads run side by side.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

OPERANDS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)")


class NoTriton(Exception):
    """Triton is not installed."""


@dataclass(frozen=True)
class Compiled:
    """One kernel: registers a thread, bytes a thread spilled to memory, bytes of shared memory, processor seconds to
    compile (without what Triton does once in a process: it loads its compiler and computes the checksum of itself)."""

    kernel: str
    arch: str
    registers: int
    spilled: int
    shared: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kernel}: {self.arch}, {self.registers} registers, {self.spilled} bytes spilled, "
            f"{self.shared} bytes shared, {self.seconds:.2f} s"
        )


def architecture(text: str) -> int:
    """`sm_90` -> 90. Raises ValueError for anything else."""
    found = re.fullmatch(r"sm_(\d{2,3})", text)
    if found is None:
        raise ValueError(f"an architecture reads sm_80 or sm_90, not {text}")
    return int(found[1])


def compile_ahead(
    module: ModuleType, arch: str, dtype: str = "float32", step: Callable[[str], None] = lambda name: None
) -> tuple[Compiled, ...]:
    """Compile every kernel of a generated module for an architecture. Raises `NoTriton`, ValueError."""
    number = architecture(arch)
    if not has_triton():
        raise NoTriton("triton is not installed: pip install triton")
    _start_triton()
    clock, compiled = _Clock(_children_seconds()), dict[str, _Binary]()
    with _always_compiled(), ThreadPoolExecutor(_processors()) as pool:
        work = {
            pool.submit(_compile, kernel, warps, types, number, dtype, clock): name
            for name, (kernel, warps, types) in module.KERNELS.items()
        }
        for done in as_completed(work):
            step(f"{len(compiled) + 1} of {len(work)}")
            compiled[work[done]] = done.result()
    return tuple(_measured(compiled[name], name, arch) for name in module.KERNELS)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_triton() -> None:
    """What Triton does before the first kernel of a process."""
    from triton.runtime import cache

    import_module("triton.compiler.code_generator")
    if hasattr(cache, "triton_key"):  # (older versions have it elsewhere: the first kernel takes half a second more)
        cache.triton_key()


@contextmanager
def _always_compiled() -> Iterator[None]:
    """Nothing is taken from Triton's cache."""
    import triton

    always = triton.knobs.compilation.always_compile
    triton.knobs.compilation.always_compile = True
    try:
        yield
    finally:
        triton.knobs.compilation.always_compile = always


def has_triton() -> bool:
    return find_spec("triton") is not None


def summary_of(kernels: Sequence[Compiled]) -> str:
    """All kernels in one line, with the seconds of stages (0: the value, 1: gradients, 2: theirs, then tangents)."""
    if not kernels:
        return "no kernels"
    most, spilled = max(one.registers for one in kernels), sum(one.spilled for one in kernels)
    stages: dict[str, list[Compiled]] = {}
    for one in kernels:
        stages.setdefault(one.kernel.rpartition("_kernel_")[0].rpartition("_")[2], []).append(one)
    each = ", ".join(f"stage {stage}: {total_seconds(some):.1f}" for stage, some in sorted(stages.items()))
    return (
        f"{len(kernels)} kernels, at most {most} registers, {spilled} bytes spilled, "
        f"{total_seconds(kernels):.1f} s of processor time to compile ({each})"
    )


def total_seconds(kernels: Sequence[Compiled]) -> float:
    return sum(one.seconds for one in kernels)


def _compile(kernel: Any, warps: int, types: dict[str, str], arch: int, dtype: str, clock: _Clock) -> _Binary:
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    operand = OPERANDS[dtype]
    compute = "fp64" if operand == "fp64" else "fp32"
    written = {"*operand": f"*{operand}", "*compute": f"*{compute}"}
    signature = {argument: written.get(kind, kind) for argument, kind in types.items()} | {"COMPUTE": "constexpr"}
    constants = {"COMPUTE": getattr(tl, "float64" if compute == "fp64" else "float32")}
    most = 128 if compute == "fp32" else None
    if "PRECISION" in kernel.arg_names:
        signature["PRECISION"], constants["PRECISION"] = "constexpr", "ieee" if compute == "fp64" else "tf32x3"
        most = most or 255
    aligned = {(place,): [["tt.divisibility", 16]] for place, kind in enumerate(types.values()) if kind[0] == "*"}
    options: dict[str, Any] = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
    options["maxnreg"] = most
    source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=aligned)
    start = time.thread_time()
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    seconds = time.thread_time() - start + clock.children()
    return _Binary(compiled.asm["cubin"], compiled.metadata.shared, seconds)


@dataclass(frozen=True)
class _Binary:
    """A compiled kernel, the shared memory that is asked for at the launch (the file does not know), and seconds."""

    cubin: bytes
    shared: int
    seconds: float


def _measured(binary: _Binary, name: str, arch: str) -> Compiled:
    registers, spilled, shared = _usage(binary.cubin)
    return Compiled(name, arch, registers, spilled, shared + binary.shared, binary.seconds)


@dataclass
class _Clock:
    """The processor time of other programs (the assembler), each second of which goes to one of the kernels."""

    counted: float
    lock: threading.Lock = field(default_factory=threading.Lock)

    def children(self) -> float:
        """What was not counted yet."""
        with self.lock:
            now = _children_seconds()
            new, self.counted = now - self.counted, now
        return new


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _usage(binary: bytes) -> tuple[int, int, int]:
    """Registers, stack and shared memory of a cubin, by the tool in triton's wheel."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    (found,) = USAGE.findall(text)
    return int(found[0]), int(found[1]), int(found[2])

"""The registry of targets, which third parties may extend with `register`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Literal

from fusionc.program.ir import LAYOUTS, Layout, Program


@dataclass(frozen=True)
class Emission:
    """One diagram on its way to a target: its program, its canonical text, how its spaces read, and a fingerprint of
    what its learned weights mean (empty: none)."""

    program: Program
    source: str
    output_texts: tuple[str, ...]
    weights: str = ""


DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


Sums = Literal["sorted", "atomic"]
SUMS: tuple[Sums, ...] = ("sorted", "atomic")


Unroll = Literal["auto", "always", "never"]
UNROLLS: tuple[Unroll, ...] = ("auto", "always", "never")


Style = Literal["auto", "batched", "scalar"]
STYLES: tuple[Style, ...] = ("auto", "batched", "scalar")


@dataclass(frozen=True)
class Options:
    """The options of a generated file: the layout of operands and outputs ("mul_ir" is e3nn's); the dtype of learned
    weights where the module is not told another (None: torch's default); how kernels sum over neighbours: over the
    sorted pairs of each site, always the same way, or by atomic additions; the style of torch code: few large
    operations ("batched"), a statement for each component ("scalar"), or the first for eager calls and the second for
    compilers ("auto"); whether kernels have a statement for each term ("always"), are loops over tables of terms
    wherever they can be ("never"), or are such loops where unrolled code stops paying ("auto"). Raises ValueError for
    an unknown value."""

    layout: Layout = "mul_ir"
    dtype: str | None = None
    sums: Sums = "sorted"
    style: Style = "auto"
    unroll: Unroll = "auto"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout should be one of {', '.join(LAYOUTS)}, and is {self.layout!r}")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"dtype should be one of {', '.join(DTYPES)}, and is {self.dtype!r}")
        if self.sums not in SUMS:
            raise ValueError(f"sums should be one of {', '.join(SUMS)}, and is {self.sums!r}")
        if self.style not in STYLES:
            raise ValueError(f"style should be one of {', '.join(STYLES)}, and is {self.style!r}")
        if self.unroll not in UNROLLS:
            raise ValueError(f"unroll should be one of {', '.join(UNROLLS)}, and is {self.unroll!r}")


Emit = Callable[[Sequence[Emission], Options], str]
Describe = Callable[[Program], Sequence[str]]


@dataclass(frozen=True)
class Target:
    """A target: what it is called, the function that prints a file (None: not built yet), and one that says in lines
    what of a program runs where, if that differs."""

    name: str
    emit: Emit | None
    about: str
    describe: Describe | None = None


class UnknownTarget(Exception):
    """No target has this name, or the target is not built yet; `help` says what to write instead."""

    def __init__(self, message: str, help: str, code: str) -> None:
        super().__init__(message)
        self.help = help
        self.code = code


_TARGETS: dict[str, Target] = {}


def register(target: Target) -> None:
    """Add a target, or replace the one of that name."""
    _TARGETS[target.name] = target


def targets() -> tuple[Target, ...]:
    """All registered targets, in order of registration."""
    return tuple(_TARGETS.values())


def find(name: str) -> Emit:
    """The function that prints a file for a target. Raises `UnknownTarget`."""
    built = [target.name for target in targets() if target.emit is not None]
    if name not in _TARGETS:
        near = get_close_matches(name, built, n=1)
        help = f"did you mean `{near[0]}`?" if near else "targets: " + ", ".join(f"`{known}`" for known in built)
        raise UnknownTarget(f"unknown target `{name}`", help, "F4006")
    emit = _TARGETS[name].emit
    if emit is None:
        raise UnknownTarget(f"the target `{name}` is not built yet", f"use `{built[0]}`", "F4007")
    return emit


def is_own(name: str) -> bool:
    """Whether a target is one of fusionc's own, whose text depends on nothing but diagrams, options and version."""
    return name in _TARGETS and _TARGETS[name] in _OWN


def described(name: str, program: Program) -> tuple[str, ...]:
    """What of a program runs where, in a target's words; nothing where all is in one place. Raises `UnknownTarget`."""
    find(name)
    describe = _TARGETS[name].describe
    return () if describe is None else tuple(describe(program))


def _torch(emissions: Sequence[Emission], options: Options) -> str:
    module = import_module("fusionc.targets.torch")  # jinja2 is not needed until something is printed
    text: str = module.emit(emissions, options)
    return text


def _triton(emissions: Sequence[Emission], options: Options) -> str:
    module = import_module("fusionc.targets.triton")
    text: str = module.emit(emissions, options)
    return text


def _triton_kernels(program: Program) -> Sequence[str]:
    lines: Sequence[str] = import_module("fusionc.targets.triton").description(program)
    return lines


register(Target("torch", _torch, "a PyTorch module of plain tensor operations"))
register(Target("triton", _triton, "fused kernels for GPUs, with plain torch beside them", _triton_kernels))
register(Target("cpu", None, "native kernels"))
_OWN = targets()

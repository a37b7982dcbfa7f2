"""The registry of targets, which third parties may extend with `register`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from fusionc.program.memory import LAYOUTS, Layout

if TYPE_CHECKING:
    from fusionc.program.ir import Program


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
    """The options of a generated file; each field says what it may be and what it is for, and the command line is made
    from that. Raises ValueError for an unknown value."""

    layout: Layout = field(
        default="mul_ir",
        metadata={"choices": LAYOUTS, "about": "of operands and outputs (default: mul_ir, e3nn's)"},
    )
    dtype: str | None = field(
        default=None,
        metadata={"choices": DTYPES, "about": "of learned weights (default: torch's, when a module is made)"},
    )
    sums: Sums = field(
        default="sorted",
        metadata={
            "choices": SUMS,
            "about": "how kernels sum over neighbours: over sorted pairs, always the same way, or by atomic additions "
            "(default: sorted)",
        },
    )
    style: Style = field(
        default="auto",
        metadata={
            "choices": STYLES,
            "about": "of torch code: few large operations (batched), a statement for each component, which "
            "torch.compile makes one loop of (scalar), or the first for eager calls and the second under a "
            "compiler (default: auto)",
        },
    )
    unroll: Unroll = field(
        default="auto",
        metadata={
            "choices": UNROLLS,
            "about": "of kernels: a statement for each term (always), loops over tables of terms, which compile in "
            "seconds whatever their size and run more slowly (never), or such loops only where statements would take "
            "too long to compile (auto, the default); `fusionc cost --target triton` says which were chosen",
        },
    )

    def __post_init__(self) -> None:
        if self.dtype is not None:  # (torch.float64 by its own name)
            object.__setattr__(self, "dtype", dtype_name(self.dtype))
        for option in fields(self):
            value, choices = getattr(self, option.name), option.metadata["choices"]
            if value not in choices and not (value is None and option.default is None):
                raise ValueError(f"{option.name} should be one of {', '.join(choices)}, and is {value!r}")


Emit = Callable[[Sequence[Emission], Options], str]
Describe = Callable[["Program"], Sequence[str]]


def dtype_name(dtype: object) -> object:
    """`float64` for `torch.float64`, without an import of torch; anything else as it is."""
    return str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype


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
    """The targets that are built, in order of registration."""
    return tuple(target for target in _TARGETS.values() if target.emit is not None)


def find(name: str) -> Emit:
    """The function that prints a file for a target. Raises `UnknownTarget`."""
    from difflib import get_close_matches

    built = [target.name for target in targets()]
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

"""The public API: programs and their diagrams."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from fusionc.algebra.surds import Surd
from fusionc.cache import module_of
from fusionc.diagram.paths import Path as TreePath
from fusionc.diagram.paths import public_paths
from fusionc.driver import Checked, CheckedDiagram, CheckedNumber, as_number, check_source, emit, number_not_module
from fusionc.language.diagnostics import CompileError, Diagnostic
from fusionc.language.parser import read
from fusionc.language.resolve import unknown_name
from fusionc.language.source import Source
from fusionc.program.ir import Layout
from fusionc.targets.names import class_name
from fusionc.targets.registry import Options, Style, Sums, Unroll
from fusionc.tools.report import CostReport, cost_report

if TYPE_CHECKING:
    from fusionc.tools.verify import Verification


class Choices(TypedDict, total=False):
    """The options of a generated file by name; see `Program.emit`."""

    layout: Layout
    dtype: str | None
    sums: Sums
    style: Style
    unroll: Unroll


@dataclass(frozen=True, eq=False)
class Program:
    """A checked `.fus` file: its diagrams by name, in order, and the warnings about it. Equal where the diagrams are."""

    checked: Checked

    @property
    def name(self) -> str:
        return self.checked.source.name

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Warnings; a program with errors is never made."""
        return self.checked.diagnostics

    @cached_property
    def diagrams(self) -> Mapping[str, Diagram]:
        """The diagrams by name, in the order of the file."""
        modules = {diagram.name for diagram in self.checked.diagrams}
        closed = [number for number in self.checked.numbers if number.name not in modules]
        everything: list[CheckedDiagram | CheckedNumber] = [*self.checked.diagrams, *closed]
        everything.sort(key=lambda diagram: diagram.scoped.syntax.span.start)
        return MappingProxyType({diagram.name: Diagram(diagram) for diagram in everything})

    def __getitem__(self, name: str) -> Diagram:
        """The diagram of that name. Raises KeyError, with the nearest name that exists."""
        if name not in self.diagrams:
            span = self.checked.source.span(0, 0)
            found = unknown_name("diagram", name, span, self.diagrams)
            raise KeyError(f"{found.message}; {found.help or '; '.join(found.notes)}")
        return self.diagrams[name]

    def emit(self, target: str = "torch", **options: Unpack[Choices]) -> str:
        """The generated file for all diagrams.

        `layout` is "mul_ir" (e3nn's) or "ir_mul", for operands and outputs alike; `dtype` ("float64", …) is that of
        learned weights where the module is not told another; `style` of torch code is "auto", "batched" (few large
        operations) or "scalar" (a statement for each component, where that is possible: for torch.compile). Of Triton
        kernels, `sums` over neighbours are "sorted" (always the same bits) or "atomic", and `unroll` is "auto",
        "always" (a statement for each term) or "never" (loops over tables of terms, which compile sooner and run more
        slowly).
        Raises `CompileError` with an F4xxx diagnostic where the target cannot, ValueError for an unknown value.
        """
        if self.checked.closed:
            raise CompileError([number_not_module(number) for number in self.checked.closed])
        return emit(self.checked.diagrams, target, Options(**options))

    def __eq__(self, other: object) -> bool:
        return dict(self.diagrams) == dict(other.diagrams) if isinstance(other, Program) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.diagrams.items()))

    def __reduce__(self) -> tuple[type[Program], tuple[Checked]]:
        return Program, (self.checked,)

    def __deepcopy__(self, memo: object) -> Program:
        return self  # nothing in it changes


@dataclass(frozen=True, eq=False)
class Diagram:
    """One diagram of a program. What needs a module raises `CompileError` with F4009 for a diagram that is a number.

    Diagrams are equal where they say the same, with equal declarations and settings, wherever they are written."""

    source: CheckedDiagram | CheckedNumber

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def checked(self) -> CheckedDiagram:
        """The checked diagram, for everything but its value as a number."""
        if isinstance(self.source, CheckedNumber):
            raise CompileError([number_not_module(self.source)])
        return self.source

    @cached_property
    def paths(self) -> tuple[TreePath, ...]:
        """All paths, in path order: irreps, weight, shape and offset in the flat weight, edge."""
        return tuple(public_paths(self.checked.table))

    def count_paths(self) -> int:
        """The number of paths, without listing them."""
        return self.checked.count_paths()

    def cost(
        self,
        batch: int = 1,
        dtype: str = "float32",
        sizes: Mapping[str, int] | None = None,
        target: str = "torch",
    ) -> CostReport:
        """What the emitted program costs for a whole batch, with the written order and opt_einsum's beside it.

        For a diagram over sites `sizes` are the numbers of sites and pairs, by name: `{"atoms": 100, "edges": 2000}`. A
        set of sites that it does not name has `batch` of them, a relation 20 pairs for each site.
        For the target `triton` the report says what runs in which kernel, and what in torch (`runs`).
        Raises ValueError for a negative batch, an unknown dtype, or a size that the diagram has no use for, and
        `CompileError` for an unknown target.
        """
        return cost_report(self.checked, batch, dtype, sizes, target)

    def emit(self, target: str = "torch", **options: Unpack[Choices]) -> str:
        """The generated file for this diagram alone; see `Program.emit`."""
        return emit([self.checked], target, Options(**options))

    def module(self, target: str = "torch", **options: Unpack[Choices]) -> type[Any]:
        """The nn.Module class of the generated file, imported from the cache. Options as for `emit`.

        The class, its instances and their results pickle, and load wherever fusionc is installed (docs/modules.md).
        """
        module = module_of(self.checked, target, Options(**options))
        found: type[Any] = getattr(module, class_name(self.name))
        return found

    def function(self, target: str = "torch", **options: Unpack[Choices]) -> Callable[..., Any]:
        """The pure function of the generated file: legs in order, then the learned weights.

        It pickles as `module` does. Options as for `emit`.
        """
        module = module_of(self.checked, target, Options(**options))
        found: Callable[..., Any] = getattr(module, module.__all__[1])
        return found

    def evaluate(self) -> Surd:
        """The exact value of a closed diagram, or of one from an irrep to an irrep: prints as `√3/2`, `float()` works.

        Raises `CompileError` where the diagram is no number.
        """
        number = self.source if isinstance(self.source, CheckedNumber) else as_number(self.source.scoped)
        return number.value

    def verify(self, seed: int = 0) -> Verification:
        """Measured errors: equivariance, agreement with the dense einsum of the diagram, gradients."""
        from fusionc.tools.verify import verify  # imports torch

        return verify(self.checked, seed)

    def draw(self) -> str:
        """The diagram as SVG text."""
        from fusionc.tools.draw import draw

        return draw(self.checked)

    def _repr_svg_(self) -> str:
        return self.draw()

    def __eq__(self, other: object) -> bool:
        return self.source.standalone == other.source.standalone if isinstance(other, Diagram) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.source.standalone)

    def __reduce__(self) -> tuple[type[Diagram], tuple[CheckedDiagram | CheckedNumber]]:
        return Diagram, (self.source,)

    def __deepcopy__(self, memo: object) -> Diagram:
        return self  # nothing in it changes


def load(path: str | os.PathLike[str]) -> Program:
    """Read and check a `.fus` file. Raises `CompileError` with every mistake in it."""
    source = read(Path(path))
    return _program(source, Path(path).parent)


def parse(text: str, name: str = "<string>") -> Program:
    """Check a text; imports need a file. Raises `CompileError` with every mistake in it, TypeError if it is no text."""
    if not isinstance(text, str):
        raise TypeError(f"parse takes the text of a diagram, not {type(text).__name__}; `load` reads a file")
    return _program(Source(name, text), None)


def _program(source: Source, folder: Path | None) -> Program:
    checked = check_source(source, folder)
    if checked.has_errors:
        raise CompileError(checked.diagnostics)
    return Program(checked)

"""The public API: programs and their diagrams."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from html import escape
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fusionc.cache import module_of
from fusionc.diagram.paths import Path as TreePath
from fusionc.diagram.paths import public_paths
from fusionc.driver import Checked, CheckedDiagram, CheckedNumber, as_number, check_source, emit, number_not_module
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.errors import CompileError
from fusionc.language.oneline import diagram_line, fitting
from fusionc.language.parser import read
from fusionc.language.resolve import unknown_name
from fusionc.language.source import Source
from fusionc.program.memory import Layout
from fusionc.targets.names import class_name
from fusionc.targets.registry import Options, Style, Sums, Unroll

if TYPE_CHECKING:
    import torch

    from fusionc.algebra.surds import Surd
    from fusionc.tools.report import CostReport
    from fusionc.tools.verify import Verification

P = ParamSpec("P")
R = TypeVar("R")


def _with_options(function: Callable[P, R]) -> Callable[P, R]:
    """A keyword that a function does not have is a TypeError which names those that it has."""
    known = [name for name in signature(function).parameters if name != "self"]

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        for name in keywords:
            if name not in known:
                from difflib import get_close_matches

                near = get_close_matches(name, known, n=1)
                help = f"did you mean `{near[0]}`? " if near else ""
                raise TypeError(f"{function.__name__} has no option `{name}`: {help}it takes {', '.join(known)}")
        return function(*arguments, **keywords)

    return call


@dataclass(frozen=True, repr=False, eq=False)
class Program(Mapping[str, "Diagram"]):
    """A checked `.fus` file: a mapping from names to diagrams, in the order of the file, and the warnings about it."""

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
            found = unknown_name("diagram", str(name), span, self.diagrams)
            raise KeyError(f"{found.message}; {found.help or '; '.join(found.notes)}")
        return self.diagrams[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.diagrams)

    def __len__(self) -> int:
        return len(self.diagrams)

    def __contains__(self, name: object) -> bool:
        return name in self.diagrams

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Program) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.checked,)  # without what is computed when it is asked for

    def __deepcopy__(self, memo: object) -> Program:
        return self  # nothing in it changes

    def __repr__(self) -> str:
        names = ", ".join(self.diagrams) or "no diagrams"
        return fitting(f"<Program {self.name}: {names}>")

    def _repr_html_(self) -> str:
        """The diagrams as pictures, numbers as their text."""
        parts = [f"<h4>{escape(name)}</h4>{diagram._repr_html_()}" for name, diagram in self.items()]
        return "\n".join(parts) or escape(repr(self))

    @_with_options
    def emit(
        self,
        target: str = "torch",
        *,
        layout: Layout = "mul_ir",
        dtype: str | None = None,
        sums: Sums = "sorted",
        style: Style = "auto",
        unroll: Unroll = "auto",
    ) -> str:
        """The generated file for all diagrams.

        `layout` is "mul_ir" (e3nn's) or "ir_mul", for operands and outputs alike; `dtype` ("float64", …) is that of
        learned weights where the module is not told another; `style` of torch code is "auto", "batched" (few large
        operations) or "scalar" (a statement for each component, where that is possible: for torch.compile). Of Triton
        kernels, `sums` over neighbours are "sorted" (always the same bits) or "atomic", and `unroll` is "auto",
        "always" (a statement for each term) or "never" (loops over tables of terms, which compile sooner and run more
        slowly).
        Raises `CompileError` with an F4xxx diagnostic where the target cannot, ValueError for an unknown value and
        TypeError for an unknown option.
        """
        if self.checked.closed:
            raise CompileError([number_not_module(number) for number in self.checked.closed])
        return emit(self.checked.diagrams, target, Options(layout, dtype, sums, style, unroll))


@dataclass(frozen=True, repr=False, eq=False)
class Diagram:
    """One diagram of a program. What needs a module raises `CompileError` with F4009 for a diagram that is a number.

    Diagrams are equal that mean the same, whatever names their spaces have and wherever they were read."""

    source: CheckedDiagram | CheckedNumber

    def __eq__(self, other: object) -> bool:
        return self.source.content == other.source.content if isinstance(other, Diagram) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Diagram, (self.source,)  # without what is computed when it is asked for

    def __deepcopy__(self, memo: object) -> Diagram:
        return self  # nothing in it changes

    def __repr__(self) -> str:
        return fitting(f"<Diagram {diagram_line(self.text)}>")

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def text(self) -> str:
        """The diagram in canonical form, without comments."""
        return self.source.text

    @property
    def checked(self) -> CheckedDiagram:
        """The checked diagram, for everything but its value as a number."""
        if isinstance(self.source, CheckedNumber):
            raise CompileError([number_not_module(self.source)])
        return self.source

    @cached_property
    def paths(self) -> tuple[TreePath, ...]:
        """All paths, in path order: irreps by edge, weight, shape and offset in the flat weight."""
        return tuple(public_paths(self.checked.table))

    def count_paths(self) -> int:
        """The number of paths, without listing them."""
        return self.checked.count_paths()

    def cost(
        self,
        batch: int = 1,
        dtype: str | torch.dtype = "float32",
        sizes: Mapping[str, int] | None = None,
        target: str = "torch",
    ) -> CostReport:
        """What the emitted program costs for a whole batch, with the written order and opt_einsum's beside it.

        For a diagram over sites `sizes` are the numbers of sites and pairs, by name: `{"atoms": 100, "edges": 2000}`. A
        set of sites that it does not name has `batch` of them, a relation 20 pairs for each site.
        `dtype` is torch's, or its name. For the target `triton` the report says what runs in which kernel, and what in
        torch (`runs`); for `torch` what its module multiplies in all (`executed`).
        Raises ValueError for a negative batch, an unknown dtype, or a size that the diagram has no use for, and
        `CompileError` for an unknown target.
        """
        from fusionc.tools.report import cost_report  # the planner

        return cost_report(self.checked, batch, str(dtype).removeprefix("torch."), sizes, target)

    @_with_options
    def emit(
        self,
        target: str = "torch",
        *,
        layout: Layout = "mul_ir",
        dtype: str | None = None,
        sums: Sums = "sorted",
        style: Style = "auto",
        unroll: Unroll = "auto",
    ) -> str:
        """The generated file for this diagram alone; see `Program.emit`."""
        return emit([self.checked], target, Options(layout, dtype, sums, style, unroll))

    @_with_options
    def module(
        self,
        target: str = "torch",
        *,
        layout: Layout = "mul_ir",
        dtype: str | None = None,
        sums: Sums = "sorted",
        style: Style = "auto",
        unroll: Unroll = "auto",
    ) -> type[Any]:
        """The nn.Module class of the generated file, imported from the cache. Options as for `emit`.

        The class, its instances and their results pickle, and load wherever fusionc is installed (docs/modules.md).
        """
        module = module_of(self.checked, target, Options(layout, dtype, sums, style, unroll))
        found: type[Any] = getattr(module, class_name(self.name))
        return found

    @_with_options
    def function(
        self,
        target: str = "torch",
        *,
        layout: Layout = "mul_ir",
        dtype: str | None = None,
        sums: Sums = "sorted",
        style: Style = "auto",
        unroll: Unroll = "auto",
    ) -> Callable[..., Any]:
        """The pure function of the generated file: legs in order, then the learned weights.

        It pickles as `module` does. Options as for `emit`.
        """
        module = module_of(self.checked, target, Options(layout, dtype, sums, style, unroll))
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

    def _repr_svg_(self) -> str | None:
        return None if isinstance(self.source, CheckedNumber) else self.draw()

    def _repr_html_(self) -> str:
        """The picture; a number, which has none, as its text."""
        return self._repr_svg_() or f"<pre>{escape(self.text)}</pre>"


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

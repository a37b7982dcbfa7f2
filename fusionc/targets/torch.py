"""The torch target: each instruction is one statement of plain tensor operations.

Plain aten code needs no registration: autograd, double backward, `torch.func`, `torch.compile` and `torch.export` see
through it. The template holds the shell of the file; every line of arithmetic is printed here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from fusionc.program.ir import Program, ProgramLeg
from fusionc.program.phases import Phase
from fusionc.targets.names import Namer, class_name
from fusionc.targets.own_names import marked, own_names, private_names, renamed
from fusionc.targets.registry import Emission, Options
from fusionc.targets.shell import WIDTH, file_text
from fusionc.targets.torch_ops import Arithmetic
from fusionc.targets.torch_pairs import LoopedArithmetic, PairLoop, pair_loops
from fusionc.targets.torch_patterns import piece_size
from fusionc.targets.torch_prices import suits_rows
from fusionc.targets.torch_rows import RowArithmetic
from fusionc.targets.torch_scalars import ScalarArithmetic, why_not_scalar
from fusionc.targets.torch_stages import Stage, Swapped, value_stage
from fusionc.targets.torch_tables import Tables
from fusionc.targets.torch_text import listed


def emit(emissions: Sequence[Emission], options: Options) -> str:
    """The text of a file with one module and one function for each diagram."""
    diagrams = [
        _Printer(emission, names, options).diagram()
        for emission, names in zip(emissions, file_names(emissions), strict=True)
    ]
    return file_text("torch", diagrams, options)


@dataclass(frozen=True)
class FileNames:
    """What one diagram is called at the top level of the file; `result` is the class of several outputs."""

    module: str
    function: str
    inner: str
    scalar: str
    looped: str
    gradients: str
    stages: str
    operator: str
    weights: str
    table: str
    indices: str
    checked: str
    result: str
    private: dict[str, str]
    """Names that operands, relations and sets of sites have inside the file only."""
    namer: Namer
    """What hands out more."""

    @property
    def all(self) -> list[str]:
        return [name for name in vars(self).values() if isinstance(name, str)]


def file_names(emissions: Sequence[Emission]) -> list[FileNames]:
    """Top-level names, none twice: classes and functions as the contract has them, the others around all of these, and
    around every leg and weight, which would hide them."""
    programs = [emission.program for emission in emissions]
    arguments = {leg.name for program in programs for leg in program.legs}
    arguments |= {weight.name for program in programs for weight in program.weights}
    arguments |= {name for program in programs for name in _by_keyword(program)}
    modules = [class_name(program.name) for program in programs]
    kept = {program.name for program in programs}
    private = [private_names(program) for program in programs]
    arguments |= {name for each in private for name in each.values()}
    namer = Namer({*modules, *kept, *arguments, *own_names()})
    names = []
    for program, module, inside in zip(programs, modules, private, strict=True):
        function = program.name if program.name not in modules else namer.fresh(f"{program.name}_function")
        bare = program.name.lstrip("_")  # (a class takes a name with two in front for one of its own)
        upper, inner = bare.upper(), namer.fresh(f"_{bare}")
        own = {
            "scalar": f"{inner}_scalar",
            "looped": f"{inner}_looped",
            "gradients": f"{inner}_gradients",
            "stages": f"_{upper}",
            "operator": f"_{upper}_OPERATOR",
            "weights": f"_{upper}_WEIGHTS",
            "table": f"_{upper}_CONSTANTS",
            "indices": f"_{upper}_INDICES",
            "checked": f"{inner}_checked",
            "result": f"{module}Output",
        }
        fresh = {key: namer.fresh(wish) for key, wish in own.items()}
        module, function = marked(module), marked(function)
        names.append(FileNames(module=module, function=function, inner=inner, private=inside, namer=namer, **fresh))
    return names


@dataclass
class _Printer:
    """Prints one diagram; `diagram` gives the values that the template asks for."""

    emission: Emission
    file: FileNames
    options: Options
    tables: Tables = field(default_factory=Tables)

    def __post_init__(self) -> None:
        self.written = self.emission.program
        """The program with all names as they were written."""
        self.emission = replace(self.emission, program=renamed(self.written, self.file.private))
        program = self.program
        arguments = [leg.name for leg in program.legs] + [weight.name for weight in program.weights]
        arguments += _by_keyword(program)
        self.class_name, self.function = self.file.module, self.file.function
        self.reserved = [*arguments, *self.file.all]
        self.namer = Namer(self.reserved)
        self.dtype, self.compute = map(self.namer.fresh, ("dtype", "compute"))
        self.sizes = {name: self.namer.fresh(f"n_{name}") for name in self.program.sites}

    @cached_property
    def stage(self) -> Stage:
        return value_stage(self.emission.program)

    @property
    def program(self) -> Program:
        return self.stage.program

    @cached_property
    def is_scalar(self) -> bool:
        """Whether there is a statement for each component beside the large operations, for compilers."""
        return self.options.style != "batched" and not why_not_scalar(self.program)

    @cached_property
    def loops(self) -> dict[Phase, tuple[PairLoop, str]]:
        """What is computed for pairs, as loops for compilers, and what each is called."""
        found = [] if self.options.style == "batched" else pair_loops(self.program, self.reserved)
        return {loop.phase: (loop, self.file.namer.fresh(f"{self.file.stages}_PAIRS")) for loop in found}

    @property
    def is_opaque(self) -> bool:
        """Whether compilers get all of it as an operator: it ranges over sites, and has no loops for them. (Nothing is
        recorded inside an operator, so what has no derivatives of its own is left to the compiler.)"""
        return bool(self.program.sites) and not self.loops and bool(self.stage.derivatives)

    def diagram(self) -> dict[str, Any]:
        program = self.program
        functions, tree = self._functions()
        tables = self.tables
        legs = [leg.name for leg in self.written.legs]
        weights = [weight.name for weight in self.written.weights]
        signature = f"{', '.join(leg.text for leg in program.legs)} -> {', '.join(self.emission.output_texts)}"
        this = Namer([*legs, *_by_keyword(self.written)]).fresh("module") if "self" in legs else "self"
        body = [*self._checks(), "", *self._calls()]
        if self.file.private:
            functions.append(self._checked(body))
            body = [f"return {self.function_inside}({', '.join((*legs, *weights, *self._passed()))})"]
        return {
            "class_name": self.class_name,
            "function": self.function,
            "table": self.file.table,
            "table_size": tables.size,
            "constants": self._constant_table(),
            "index_table": self.file.indices,
            "indices": listed([f"{place}," for place in tables.indices], WIDTH - 12),
            "index_sizes": listed([f"{size}," for size in tables.index_sizes], WIDTH - 8),
            "sizes": listed([f"{size}," for size in tables.sizes], WIDTH - 8),
            "result": self.file.result if len(program.outputs) > 1 else "",
            "outputs": [
                {"name": output.name, "dim": output.dim, "text": text}
                for output, text in zip(program.outputs, self.emission.output_texts, strict=True)
            ],
            "arguments": ", ".join(_arguments((*legs, *weights), self.written)),
            "inside_arguments": ", ".join(_arguments(self._operands(), program)),
            "forward_arguments": ", ".join((this, *_arguments(legs, self.written))),
            "call": ", ".join((*legs, *(f"{this}.{name}" for name in weights), *self._passed(self.written))),
            "callee": f"{this}._evaluate" if program.name in (*legs, *_by_keyword(self.written)) else self.function,
            "is_hidden": program.name in (*legs, *_by_keyword(self.written)),
            "name": program.name,
            "is_complex": program.is_complex,
            "class_headline": f"The diagram `{program.name}`"
            + (f", with its learned weights {', '.join(weights)}." if weights else "."),
            "source": self.emission.source.rstrip("\n").split("\n"),
            "legs_text": self._legs_text(),
            "body": body,
            "definitions": functions,
            "tree": tree,
            "weights_name": self.file.weights,
            "fingerprint": self.emission.weights,
            "weights": [
                {"name": weight.name, "shape": ", ".join(map(str, (*weight.rows, weight.numel)))}
                for weight in self.written.weights
            ],
            "signature": signature if len(signature) < 200 else signature[:197] + "...",
        }

    @property
    def function_inside(self) -> str:
        """The function with the names that operands have inside the file."""
        return self.file.checked if self.file.private else self.function

    def _operands(self) -> list[str]:
        return [leg.name for leg in self.program.legs] + [weight.name for weight in self.program.weights]

    def _said(self, name: str) -> str:
        """A name as messages have it."""
        return next((said for said, inside in self.file.private.items() if inside == name), name)

    # --- functions -----------------------------------------------------------------------------------------------

    def _checked(self, body: Sequence[str]) -> dict[str, Any]:
        """What the public function does, with the names that operands have inside the file."""
        returns = self.file.result if len(self.program.outputs) > 1 else "Tensor"
        about = f"The diagram `{self.program.name}`: other names for what is called like something in this file."
        return {
            "name": self.file.checked,
            "signature": _signature(self.file.checked, _arguments(self._operands(), self.program), returns),
            "about": textwrap.wrap(about, WIDTH),
            "body": body,
            "piece": 0,
            "width": 0,
        }

    def _functions(self) -> tuple[list[dict[str, Any]], list[str]]:
        """All functions of the diagram, and the stages that they form, as a tree of text."""
        program = self.program
        about, reason = f"The arithmetic of `{program.name}`.", why_not_scalar(program)
        if self.is_opaque:
            about += " Code that is compiled for a CPU calls it as an operator."
        elif self.loops:
            about += " Code that is compiled for a CPU has loops over pairs instead."
        elif self.options.style != "batched" and reason:
            about += f" Compilers get it as it stands: {reason}."
        functions = [self._function(self.stage, self.file.inner, about)]
        if self.is_scalar:
            about = f"The arithmetic of `{program.name}` component by component: what a compiler makes one loop of."
            functions.append(self._scalar(program, self.file.scalar, self.stage.operands, about))
        tree = self._looped(functions)
        tree.append(f"{self.file.stages} = _Stage(")
        self._branch(functions, self.stage, functions[0], tree, "    ")
        tree.append(")")
        if self.is_opaque:
            tree.append(self._as_operator())
        return functions, tree

    def _looped(self, functions: list[dict[str, Any]]) -> list[str]:
        """The value once more, in a function that calls loops over pairs; what is computed for a pair; these loops."""
        calls = []
        for loop, called in self.loops.values():
            about = f"The arithmetic of a pair of `{loop.phase.relation}`, component by component."
            name = self.file.namer.fresh(f"{self.file.inner}_pair")
            functions.append(self._scalar(loop.program, name, [source.name for source in loop.sources], about))
            calls.append(self._over_pairs(loop, name, called))
        if self.loops:
            about = f"The arithmetic of `{self.program.name}` in code that is compiled for a CPU."
            functions.append(self._function(self.stage, self.file.looped, about, self.loops))
        return calls

    def _over_pairs(self, loop: PairLoop, name: str, called: str) -> str:
        """A loop over pairs, as what code that is compiled calls."""
        reads, ends = (_tuple_text(rows) for rows in ([source.row for source in loop.sources], loop.ends))
        widths = _tuple_text([output.dim for output in loop.program.outputs])
        about = f'"{name.lstrip("_")}", {name}, {reads}, {ends}, {widths}, {loop.piece}'
        return f"{called} = _over_pairs({about})"

    def _as_operator(self) -> str:
        """The stage of a diagram over sites as an operator, for compiled code."""
        program, first = self.program, self.program.legs[0]
        keywords = ", ".join(f'"{name}"' for name in (*(one.name for one in program.relations), *self.sizes.values()))
        behind = int(first.kind != "index") + bool(first.domain)
        domains = [self.sizes.get(one.domain or "", one.domain) for one in program.outputs]
        outputs = ", ".join(f'("{domain}", {one.dim})' for domain, one in zip(domains, program.outputs, strict=True))
        call = f'_as_operator({self.file.stages}, "{program.name}", ({keywords},), {behind}, ({outputs},))'
        return f"{self.file.operator} = {call}"

    def _branch(
        self, functions: list[dict[str, Any]], stage: Stage, own: dict[str, Any], tree: list[str], indent: str
    ) -> None:
        """A stage's arguments, those that differentiate it printed on the way."""
        tree.append(f"{indent}{own['name']},")
        tree.append(f"{indent}kinds={_tuple_text(stage.kinds)},")
        tree += [f"{indent}{key}={own[key]}," for key in ("piece", "width") if own[key]]
        if stage.results:
            tree.append(f"{indent}results={_tuple_text(stage.results)},")
        if not stage.derivatives:
            return
        tree.append(f"{indent}derivatives=(")
        for one in stage.derivatives:
            if one is None:
                tree.append(f"{indent}    None,")
                continue
            if isinstance(one, Swapped):
                tree.append(f"{indent}    _Swapped(lambda: {self.file.stages}, {one.place}),")
                continue
            about = f"The gradients of `{self.program.name}`: of <grad, value> by every operand that is needed."
            called = self.file.gradients
            if one.of:
                about = f"The gradients of one of those gradients, that of `{one.of}`, by every operand that is needed."
                called = self.file.namer.fresh(f"{self.file.gradients}_{one.of}")
            function = self._function(one, called, about)
            functions.append(function)
            tree.append(f"{indent}    _Stage(")
            self._branch(functions, one, function, tree, f"{indent}        ")
            tree.append(f"{indent}    ),")
        tree.append(f"{indent}),")

    def _function(
        self, stage: Stage, name: str, about: str, loops: Mapping[Phase, tuple[PairLoop, str]] | None = None
    ) -> dict[str, Any]:
        """A function of a stage: large operations; a call for each phase over pairs, where `loops` are given."""
        program, is_value = stage.program, not stage.results
        namer = Namer([*self.reserved, *stage.operands, *self.sizes.values()])
        needed = "" if is_value else "needed"
        namer.take("needed", "into")  # (what stages are called with; no operand has such a name)
        constants, index = map(namer.fresh, ("constants", "index"))
        kind: Callable[..., Arithmetic | RowArithmetic] = RowArithmetic if suits_rows(program) else Arithmetic
        if loops:
            kind = partial(LoopedArithmetic, loops=loops)
        single = is_value and len(program.outputs) == 1
        into = "into" if single and not program.sites else ""
        arithmetic = kind(program, namer.fresh, constants, index, self.sizes, self.tables, needed, stage.results, into)
        body = arithmetic.run()
        first, heads = next(leg.name for leg in program.legs if leg.kind == "tensor"), []
        if any(f"{constants}[" in line for line in body):
            heads.append(f"{constants} = {self.file.table}.on({first}.device, {first}.dtype)")
        if any(f"{index}[" in line for line in body):
            heads.append(f"{index} = {self.file.indices}.on({first}.device)")
        keywords = [] if is_value else [f"{needed}: tuple[bool, ...]"]
        keywords += [f"{relation.name}: Tensor" for relation in program.relations]
        keywords += [f"{self.sizes[site]}: int" for site in program.sites]
        arguments = [f"{operand}: Tensor" for operand in stage.operands] + (["*", *keywords] if keywords else [])
        writes = bool(into) and any(re.search(rf"\b{into}\b", line) for line in body)
        if writes:
            arguments.append(f"{into}: Tensor | None = None")
        return {
            "name": name,
            "signature": _signature(
                name,
                arguments,
                "Tensor" if single else "tuple[Tensor, ...]" if is_value else "tuple[Tensor | None, ...]",
            ),
            "about": textwrap.wrap(about, WIDTH),
            "body": [*heads, *body],
            "piece": 0 if program.sites else piece_size(program, arithmetic.said, arithmetic.worth),
            "width": program.outputs[0].dim if writes else 0,
        }

    def _scalar(self, program: Program, name: str, operands: Sequence[str], about: str) -> dict[str, Any]:
        """A program with a statement for each component."""
        namer, lines = Namer([*self.reserved, *operands]), list[str]()
        ScalarArithmetic(program, namer.fresh, lines.append).run()
        return {
            "name": name,
            "signature": _signature(
                name, [f"{operand}: Tensor" for operand in operands], "tuple[tuple[Any, ...], ...]"
            ),
            "about": textwrap.wrap(about, WIDTH),
            "body": lines,
        }

    # --- the shell's lists ---------------------------------------------------------------------------------------

    def _passed(self, called: Program | None = None) -> list[str]:
        """Relations and numbers of sites, as arguments of a function that has the names of a program (default: of what
        is inside), called where they are as they were written, or in that function itself."""
        if called is None:
            return [f"{self.file.private.get(name, name)}={name}" for name in _by_keyword(self.written)]
        return [f"{name}={name}" for name in _by_keyword(called)]

    def _legs_text(self) -> list[str]:
        lines = []
        for leg in self.written.legs:
            over = f"{leg.domain}, " if leg.domain else ""
            if leg.kind == "index":
                lines.append(
                    f"{leg.name}: [...{', ' + leg.domain if leg.domain else ''}], integers from 0 to {leg.dim - 1}"
                )
            else:
                lines.append(f"{leg.name}: [..., {over}{leg.dim}], {leg.text}")
        for relation in self.written.relations:
            lines.append(
                f"{relation.name}: integers [2, E], for each pair its places in {relation.first} and {relation.second}"
            )
        for name in _told(self.written):
            lines.append(f"{name}: how many there are")
        for weight in self.written.weights:
            lines.append(f"{weight.name}: {[*weight.rows, weight.numel]}, learned")
        for output, text in zip(self.written.outputs, self.emission.output_texts, strict=True):
            over = f"{output.domain}, " if output.domain else ""
            lines.append(f"-> {output.name}: [..., {over}{output.dim}], {text}")
        return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ")]

    def _checks(self) -> list[str]:
        legs = self.program.legs
        first = next(leg.name for leg in legs if leg.kind == "tensor")
        ordered = sorted(legs, key=lambda leg: leg.name != first)
        lines = [*self._leg_checks(ordered[0], first), *self._without_autocast(first)]
        lines += [line for leg in ordered[1:] for line in self._leg_checks(leg, first)]
        for weight in self.program.weights:
            shape = ", ".join(map(str, (*weight.rows, weight.numel))) + ("" if weight.rows else ",")
            said = self._said(weight.name)
            lines.append(f'_check_weight("{said}", {weight.name}, ({shape}))')
            lines.append(f'_check_like("weight `{said}`", {weight.name}, "{self._said(first)}", {first})')
        if len(legs) > 1:
            names = ", ".join(leg.name for leg in legs)
            quoted = ", ".join(f'"{self._said(leg.name)}"' for leg in legs)
            last = ", ".join(str((leg.kind != "index") + bool(leg.domain)) for leg in legs)
            lines.append(f"{names} = _broadcast(({quoted}), ({names}), ({last}))")
        return [*lines, *self._site_checks(first), *self._conversions(first)]

    def _without_autocast(self, first: str) -> list[str]:
        """Under autocast the arithmetic stays what it is; what arrives in halves is widened."""
        program = self.program
        if program.is_complex:
            return []
        arguments = ", ".join((f"*_widened({', '.join(self._operands())})", *self._passed(program)))
        return [
            f"if _is_autocast({first}.device.type):",
            f"    with torch.autocast({first}.device.type, enabled=False):",
            f"        return {self.function_inside}({arguments})",
        ]

    def _site_checks(self, first: str) -> list[str]:
        """The number of sites of every set, and relations that stay inside them."""
        lines, sizes = [], self.sizes
        for name in self.program.sites:
            over = [leg for leg in self.program.legs if leg.domain == name]
            if over:
                found = ", ".join(f'("{self._said(leg.name)}", {leg.name}.shape[{_site_axis(leg)}])' for leg in over)
                lines.append(f'{sizes[name]} = _check_sites("{self._said(name)}", {found})')
            else:
                lines.append(f'{sizes[name]} = _check_count("{self._said(name)}", {name})')
        for relation in self.program.relations:
            name, ends = relation.name, f"{sizes[relation.first]}, {sizes[relation.second]}"
            over = [leg for leg in self.program.legs if leg.domain == name]
            found = "".join(f', ("{self._said(leg.name)}", {leg.name}.shape[{_site_axis(leg)}])' for leg in over)
            lines.append(f'{name} = _check_relation("{self._said(name)}", {name}, {ends}, {first}{found})')
        return lines

    def _leg_checks(self, leg: ProgramLeg, first: str) -> list[str]:
        said = self._said(leg.name)
        if leg.kind == "index":
            over = f', "{self._said(leg.domain)}"' if leg.domain else ""
            first_said = self._said(first)
            return [f'{leg.name} = _check_index("{said}", {leg.name}, {leg.dim}, "{first_said}", {first}{over})']
        text = leg.text if len(leg.text) < 60 else leg.text[:57] + "..."
        kinds = "_COMPLEX" if self.program.is_complex else "_REAL"
        if leg.kind == "weights" and self.program.is_complex:
            kinds = "(*_COMPLEX, torch.float32, torch.float64)"
        over = f', "{self._said(leg.domain)}"' if leg.domain else ""
        lines = [f'_check_leg("{said}", {leg.name}, {leg.dim}, "{text}", {kinds}{over})']
        if leg.name != first:
            what = "weights" if leg.kind == "weights" else "leg"
            lines.append(f'_check_like("{what} `{said}`", {leg.name}, "{self._said(first)}", {first})')
        return lines

    def _conversions(self, first: str) -> list[str]:
        """Halves are computed in float32, weights of complex diagrams may be real: from here on there is one dtype."""
        weights = [leg.name for leg in self.program.legs if leg.kind == "weights"]
        weights += [weight.name for weight in self.program.weights]
        floats = [leg.name for leg in self.program.legs if leg.kind == "tensor"] + weights
        lines = [f"{self.dtype} = {first}.dtype"]
        if self.program.is_complex:
            self.compute = self.dtype
            converted, condition = weights, ""
        else:
            lines.append(f"{self.compute} = torch.float32 if {self.dtype} in _HALVES else {self.dtype}")
            lines.append(f"if {self.dtype} in _HALVES:")
            converted, condition = floats, "    "
        if converted:
            names = ", ".join(f"{name}.to({self.compute})" for name in converted)
            lines.append(f"{condition}{', '.join(converted)} = {names}")
        return lines

    def _calls(self) -> list[str]:
        """The call of the inner function, and what the caller gets."""
        program, result = self.program, self.namer.fresh("result")
        arguments = [leg.name for leg in program.legs] + [weight.name for weight in program.weights]
        passed = [f"{relation.name}={relation.name}" for relation in program.relations]
        passed += [f"{self.sizes[name]}={self.sizes[name]}" for name in program.sites]
        call = f"_call({', '.join((self.file.stages, *arguments, *passed))})"
        if self.loops:
            call = f"_call_looped({', '.join((self.file.looped, self.file.stages, *arguments, *passed))})"
        elif self.is_opaque:
            call = f"_call_operator({', '.join((self.file.operator, self.file.stages, *arguments, *passed))})"
        scalar = f"_compiled({', '.join((self.file.scalar, *arguments))})"
        if self.is_scalar and self.options.style == "scalar":
            call = scalar
        elif self.is_scalar:
            call = f"{scalar} if torch.compiler.is_compiling() else {call}"
        lines = [f"{result} = {call}"]
        if len(program.outputs) == 1:
            return [*lines, f"return {result}.to({self.dtype}).contiguous()"]
        parts = ", ".join(f"{result}[{number}].to({self.dtype}).contiguous()" for number in range(len(program.outputs)))
        return [*lines, f"return {self.file.result}({parts})"]

    def _constant_table(self) -> list[dict[str, object]]:
        """The nonzero entries of every constant matrix, by place, as rows of a dict literal."""
        entries: list[dict[str, object]] = []
        for label, flat in self.tables.constants:
            rows = listed([f"{place}: {float(value)!r}," for place, value in flat.items()], WIDTH - 12)
            entries.append({"label": label, "rows": rows})
        return entries


def _told(program: Program) -> list[str]:
    """Site sets that no leg is over: their size has to be told."""
    return [name for name in program.sites if all(leg.domain != name for leg in program.legs)]


def _by_keyword(program: Program) -> list[str]:
    """What a caller gives by keyword: relations, and the numbers of sites that no leg tells."""
    return [*(relation.name for relation in program.relations), *_told(program)]


def _arguments(operands: Sequence[str], program: Program) -> list[str]:
    """The arguments of a function: operands; by keyword relations, and the numbers of sites that no leg tells."""
    names = [f"{relation.name}: Tensor" for relation in program.relations]
    names += [f"{name}: int" for name in _told(program)]
    return [*(f"{name}: Tensor" for name in operands), *(["*", *names] if names else [])]


def _site_axis(leg: ProgramLeg) -> int:
    """The axis of a leg's sites or pairs."""
    return -1 if leg.kind == "index" else -2


def _tuple_text(values: Sequence[int | None]) -> str:
    return f"({', '.join(map(str, values))}{',' if len(values) == 1 else ''})"


def _signature(name: str, arguments: Sequence[str], returns: str) -> list[str]:
    """The head of a function, in several lines where it is long."""
    line = f"def {name}({', '.join(arguments)}) -> {returns}:"
    if len(line) <= WIDTH:
        return [line]
    return [
        f"def {name}(",
        *(f"    {row}" for row in listed([f"{one}," for one in arguments], WIDTH)),
        f") -> {returns}:",
    ]

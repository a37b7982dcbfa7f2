"""The torch target: each instruction is one statement of plain tensor operations.

Plain aten code needs no registration: autograd, double backward, `torch.func`, `torch.compile` and `torch.export` see
through it. The template holds the shell of the file; every line of arithmetic is printed here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import jinja2

from fusionc.program.ir import Program, ProgramLeg, ProgramOutput
from fusionc.resources import resource
from fusionc.targets.names import Namer, class_name
from fusionc.targets.registry import Emission, Options
from fusionc.targets.torch_arrange import arranged
from fusionc.targets.torch_ops import Arithmetic
from fusionc.targets.torch_rows import RowArithmetic, suits_rows
from fusionc.targets.torch_split import split
from fusionc.version import __version__

WIDTH = 112
LEAST_PIECE = 64
MOSTLY_OUTPUT = 8
CACHE = 2**19
"""Numbers that fit into a cache: a piece of the batch with so many intermediate results is differentiated at once."""


def emit(emissions: Sequence[Emission], options: Options) -> str:
    """The text of a file with one module and one function for each diagram."""
    diagrams = [
        _Printer(emission, names).diagram() for emission, names in zip(emissions, _file_names(emissions), strict=True)
    ]
    names = ", ".join(str(diagram["class_name"]) for diagram in diagrams)
    summary = f"Fusion diagram{'s' if len(diagrams) > 1 else ''}: {names}."
    summary = "\n".join(textwrap.wrap(summary, WIDTH))
    in_rows = any(suits_rows(emission.program) for emission in emissions)
    recorded = any(not emission.program.sites for emission in emissions)
    over_sites = any(emission.program.sites for emission in emissions)
    text = _template().render(
        version=__version__,
        options=options,
        summary=summary,
        diagrams=diagrams,
        over_sites=over_sites,
        in_rows=in_rows,
        recorded=recorded,
    )
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n") + "\n"


@dataclass(frozen=True)
class FileNames:
    """What one diagram is called at the top level of the file; `result` is the class of several outputs."""

    module: str
    function: str
    inner: str
    table: str
    indices: str
    result: str


def _file_names(emissions: Sequence[Emission]) -> list[FileNames]:
    """Top-level names, none twice: classes and functions as the contract has them, the others around all of these, and
    around every leg and weight, which would hide them."""
    programs = [emission.program for emission in emissions]
    arguments = {leg.name for program in programs for leg in program.legs}
    arguments |= {weight.name for program in programs for weight in program.weights}
    arguments |= {name for program in programs for name in _by_keyword(program)}
    modules = [class_name(program.name) for program in programs]
    kept = {program.name for program in programs}
    namer = Namer({*modules, *kept, *arguments})
    names = []
    for program, module in zip(programs, modules, strict=True):
        function = program.name if program.name not in modules else namer.fresh(f"{program.name}_function")
        upper, inner = program.name.upper(), namer.fresh(f"_{program.name}")
        table, indices = namer.fresh(f"_{upper}_CONSTANTS"), namer.fresh(f"_{upper}_INDICES")
        names.append(FileNames(module, function, inner, table, indices, namer.fresh(f"{module}Output")))
    return names


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(resource("templates") / "torch")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    return environment.get_template("module.py.jinja")


@dataclass
class _Printer:
    """Prints one program; `diagram` gives the values that the template asks for."""

    emission: Emission
    file: FileNames
    lines: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        program = self.program
        arguments = [leg.name for leg in program.legs] + [weight.name for weight in program.weights]
        arguments += _by_keyword(program)
        self.class_name, self.function = self.file.module, self.file.function
        self.namer = Namer(
            [*arguments, self.class_name, self.function, self.file.table, self.file.indices, self.file.result]
        )
        self.dtype, self.compute, self.constants, self.index = map(
            self.namer.fresh, ("dtype", "compute", "constants", "index")
        )
        sizes = {name: self.namer.fresh(f"n_{name}") for name in self.program.sites}
        kind = RowArithmetic if suits_rows(self.program) else Arithmetic
        self.arithmetic = kind(self.program, self.namer.fresh, self.lines.append, self.constants, self.index, sizes)

    @cached_property
    def program(self) -> Program:
        return arranged(split(self.emission.program))

    def diagram(self) -> dict[str, object]:
        program = self.program
        self.arithmetic.run()
        self.names = self.arithmetic.names
        self._return()
        tables = self.arithmetic.tables
        legs = [leg.name for leg in program.legs]
        weights = [weight.name for weight in program.weights]
        signature = f"{', '.join(leg.text for leg in program.legs)} -> {', '.join(self.emission.output_texts)}"
        return {
            "class_name": self.class_name,
            "function": self.function,
            "table": self.file.table,
            "table_size": tables.size,
            "constants": self._constant_table(),
            "index_table": self.file.indices,
            "indices": _rows([f"{place}," for place in tables.indices], WIDTH - 8),
            "result": self.file.result if len(program.outputs) > 1 else "",
            "outputs": [
                {"name": output.name, "dim": output.dim, "text": text}
                for output, text in zip(program.outputs, self.emission.output_texts, strict=True)
            ],
            "arguments": ", ".join((*(f"{name}: Tensor" for name in (*legs, *weights)), *self._keywords())),
            "forward_arguments": ", ".join(("self", *(f"{name}: Tensor" for name in legs), *self._keywords())),
            "call": ", ".join((*legs, *(f"self.{name}" for name in weights), *self._passed())),
            "callee": "self._evaluate" if self.function in (*legs, *_by_keyword(program)) else self.function,
            "name": program.name,
            "is_complex": program.is_complex,
            "class_headline": f"The diagram `{program.name}`"
            + (f", with its learned weights {', '.join(weights)}." if weights else "."),
            "source": self.emission.source.rstrip("\n").split("\n"),
            "legs_text": self._legs_text(),
            "body": [*self._checks(), "", *self._calls()],
            "inner": self.file.inner,
            "inner_body": [*self._tables(), *self.lines],
            "inner_arguments": ", ".join((*(f"{name}: Tensor" for name in (*legs, *weights)), *self._inner_keywords())),
            "weights": [
                {"name": weight.name, "shape": ", ".join(map(str, (*weight.rows, weight.numel)))}
                for weight in program.weights
            ],
            "signature": signature if len(signature) < 200 else signature[:197] + "...",
        }

    # --- the shell's lists ---------------------------------------------------------------------------------------

    def _keywords(self) -> list[str]:
        """Arguments given by keyword: relations, and the numbers of sites that no leg tells."""
        names = [f"{relation.name}: Tensor" for relation in self.program.relations]
        names += [f"{name}: int" for name in _told(self.program)]
        return ["*", *names] if names else []

    def _passed(self) -> list[str]:
        return [f"{name}={name}" for name in _by_keyword(self.program)]

    def _legs_text(self) -> list[str]:
        lines = []
        for leg in self.program.legs:
            over = f"{leg.domain}, " if leg.domain else ""
            if leg.kind == "index":
                lines.append(
                    f"{leg.name}: [...{', ' + leg.domain if leg.domain else ''}], integers from 0 to {leg.dim - 1}"
                )
            else:
                lines.append(f"{leg.name}: [..., {over}{leg.dim}], {leg.text}")
        for relation in self.program.relations:
            lines.append(
                f"{relation.name}: int64 [2, E], for every pair its place in {relation.first} and in {relation.second}"
            )
        for name in _told(self.program):
            lines.append(f"{name}: how many there are")
        for weight in self.program.weights:
            lines.append(f"{weight.name}: {[*weight.rows, weight.numel]}, learned")
        for output, text in zip(self.program.outputs, self.emission.output_texts, strict=True):
            over = f"{output.domain}, " if output.domain else ""
            lines.append(f"-> {output.name}: [..., {over}{output.dim}], {text}")
        return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ")]

    def _checks(self) -> list[str]:
        legs = self.program.legs
        first = next(leg.name for leg in legs if leg.kind == "tensor")
        lines = [
            line for leg in sorted(legs, key=lambda leg: leg.name != first) for line in self._leg_checks(leg, first)
        ]
        for weight in self.program.weights:
            shape = ", ".join(map(str, (*weight.rows, weight.numel))) + ("" if weight.rows else ",")
            lines.append(f'_check_weight("{weight.name}", {weight.name}, ({shape}))')
            lines.append(f'_check_like("weight `{weight.name}`", {weight.name}, "{first}", {first})')
        if len(legs) > 1:
            names = ", ".join(leg.name for leg in legs)
            quoted = ", ".join(f'"{leg.name}"' for leg in legs)
            last = ", ".join(str((leg.kind != "index") + bool(leg.domain)) for leg in legs)
            lines.append(f"{names} = _broadcast(({quoted}), ({names}), ({last}))")
        return [*lines, *self._site_checks(first), *self._conversions(first)]

    def _site_checks(self, first: str) -> list[str]:
        """The number of sites of every set, and relations that stay inside them."""
        lines, sizes = [], self.arithmetic.sizes
        for name in self.program.sites:
            over = [leg for leg in self.program.legs if leg.domain == name]
            if over:
                found = ", ".join(f'("{leg.name}", {leg.name}.shape[{_site_axis(leg)}])' for leg in over)
                lines.append(f'{sizes[name]} = _check_sites("{name}", {found})')
            else:
                lines.append(f'{sizes[name]} = _check_count("{name}", {name})')
        for relation in self.program.relations:
            name, ends = relation.name, f"{sizes[relation.first]}, {sizes[relation.second]}"
            over = [leg for leg in self.program.legs if leg.domain == name]
            found = "".join(f', ("{leg.name}", {leg.name}.shape[{_site_axis(leg)}])' for leg in over)
            lines.append(f'_check_relation("{name}", {name}, {ends}, {first}{found})')
        return lines

    def _leg_checks(self, leg: ProgramLeg, first: str) -> list[str]:
        if leg.kind == "index":
            over = f', "{leg.domain}"' if leg.domain else ""
            return [f'_check_index("{leg.name}", {leg.name}, {leg.dim}, "{first}", {first}{over})']
        text = leg.text if len(leg.text) < 60 else leg.text[:57] + "..."
        kinds = "_COMPLEX" if self.program.is_complex else "_REAL"
        if leg.kind == "weights" and self.program.is_complex:
            kinds = "(*_COMPLEX, torch.float32, torch.float64)"
        over = f', "{leg.domain}"' if leg.domain else ""
        lines = [f'_check_leg("{leg.name}", {leg.name}, {leg.dim}, "{text}", {kinds}{over})']
        if leg.name != first:
            what = "weights" if leg.kind == "weights" else "leg"
            lines.append(f'_check_like("{what} `{leg.name}`", {leg.name}, "{first}", {first})')
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

    def _tables(self) -> list[str]:
        """The file's tables, where and in the type in which they are needed."""
        first = next(leg.name for leg in self.program.legs if leg.kind == "tensor")
        lines = []
        if self.arithmetic.tables.size:
            lines.append(f"{self.constants} = {self.file.table}.to(device={first}.device, dtype={first}.dtype)")
        if self.arithmetic.tables.indices:
            lines.append(f"{self.index} = {self.file.indices}.to({first}.device)")
        return lines

    def _inner_keywords(self) -> list[str]:
        """What the inner function is told of sites: relations, and the sizes of all sets."""
        names = [f"{relation.name}: Tensor" for relation in self.program.relations]
        names += [f"{self.arithmetic.sizes[name]}: int" for name in self.program.sites]
        return ["*", *names] if names else []

    def _calls(self) -> list[str]:
        """The call of the inner function, and what the caller gets."""
        program, result = self.program, self.namer.fresh("result")
        arguments = [leg.name for leg in program.legs] + [weight.name for weight in program.weights]
        if program.sites:
            passed = [f"{relation.name}={relation.name}" for relation in program.relations]
            passed += [f"{self.arithmetic.sizes[name]}={self.arithmetic.sizes[name]}" for name in program.sites]
            call = f"{self.file.inner}({', '.join((*arguments, *passed))})"
        else:
            kinds = ["0" if leg.kind == "index" else "1" for leg in program.legs] + ["-1"] * len(program.weights)
            kinds_text = ", ".join(kinds) + ("," if len(kinds) == 1 else "")
            pieces = f"({kinds_text}), {self._piece()}, {self._is_whole()}"
            call = f"_recorded({self.file.inner}, {pieces}, {', '.join(arguments)})"
        lines = [f"{result} = {call}"]
        if len(program.outputs) == 1:
            return [*lines, f"return {result}.to({self.dtype})"]
        parts = ", ".join(f"{result}[{number}].to({self.dtype})" for number in range(len(program.outputs)))
        return [*lines, f"return {self.file.result}({parts})"]

    def _is_whole(self) -> bool:
        """Whether the batch is evaluated at once: where most of what is written is the output."""
        numbers = sum(i.size for i in self.program.instructions if i.domain is not None)
        return numbers <= MOSTLY_OUTPUT * sum(output.dim for output in self.program.outputs)

    def _piece(self) -> int:
        """How many elements of the batch are differentiated at a time: their intermediate results fit into a cache."""
        numbers = sum(i.size for i in self.program.instructions if i.domain is not None)
        return max(LEAST_PIECE, CACHE // max(1, numbers))

    def _constant_table(self) -> list[dict[str, object]]:
        """The nonzero entries of every constant matrix, by place, as rows of a dict literal."""
        entries: list[dict[str, object]] = []
        for label, _, flat in self.arithmetic.tables.constants:
            rows = _rows([f"{place}: {float(value)!r}," for place, value in flat.items()], WIDTH - 8)
            entries.append({"label": label, "rows": rows})
        return entries

    # --- outputs -------------------------------------------------------------------------------------------------

    def _return(self) -> None:
        self.lines.append("")
        results = [self._output(output) for output in self.program.outputs]
        self.lines.append(f"return {', '.join(results)}")

    def _output(self, output: ProgramOutput) -> str:
        return self.arithmetic.output(output)


def _told(program: Program) -> list[str]:
    """Site sets that no leg is over: their size has to be told."""
    return [name for name in program.sites if all(leg.domain != name for leg in program.legs)]


def _by_keyword(program: Program) -> list[str]:
    """What a caller gives by keyword: relations, and the numbers of sites that no leg tells."""
    return [*(relation.name for relation in program.relations), *_told(program)]


def _site_axis(leg: ProgramLeg) -> int:
    """The axis of a leg's sites or pairs."""
    return -1 if leg.kind == "index" else -2


def _rows(tokens: list[str], width: int) -> list[str]:
    """Tokens in lines no longer than the width, none broken."""
    rows: list[str] = []
    for token in tokens:
        if rows and len(rows[-1]) + 1 + len(token) <= width:
            rows[-1] += f" {token}"
        else:
            rows.append(token)
    return rows

"""The torch target: each instruction is one statement of plain tensor operations.

Plain aten code needs no registration: autograd, double backward, `torch.func`, `torch.compile` and `torch.export` see
through it. The template holds the shell of the file; every line of arithmetic is printed here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

import jinja2

from fusionc.program.ir import (
    Constant,
    Contract,
    Instruction,
    LegBlock,
    OutputBlock,
    Program,
    ProgramLeg,
    ProgramOutput,
    Rearrange,
    Scale,
    Sum,
    WeightBlock,
)
from fusionc.resources import resource
from fusionc.targets.names import Namer, class_name
from fusionc.targets.registry import Emission, Options
from fusionc.version import __version__

WIDTH = 112


def emit(emissions: Sequence[Emission], options: Options) -> str:
    """The text of a file with one module and one function for each diagram."""
    diagrams = [
        _Printer(emission, names).diagram() for emission, names in zip(emissions, _file_names(emissions), strict=True)
    ]
    names = ", ".join(str(diagram["class_name"]) for diagram in diagrams)
    summary = f"Fusion diagram{'s' if len(diagrams) > 1 else ''}: {names}."
    summary = "\n".join(textwrap.wrap(summary, WIDTH))
    text = _template().render(version=__version__, options=options, summary=summary, diagrams=diagrams)
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n") + "\n"


@dataclass(frozen=True)
class FileNames:
    """What one diagram is called at the top level of the file; `result` is the class of several outputs."""

    module: str
    function: str
    table: str
    result: str


def _file_names(emissions: Sequence[Emission]) -> list[FileNames]:
    """Top-level names, none twice: classes and functions as the contract has them, the others around all of these, and
    around every leg and weight, which would hide them."""
    programs = [emission.program for emission in emissions]
    arguments = {leg.name for program in programs for leg in program.legs}
    arguments |= {weight.name for program in programs for weight in program.weights}
    modules = [class_name(program.name) for program in programs]
    kept = {program.name for program in programs}
    namer = Namer({*modules, *kept, *arguments})
    names = []
    for program, module in zip(programs, modules, strict=True):
        function = program.name if program.name not in modules else namer.fresh(f"{program.name}_function")
        table, result = namer.fresh(f"_{program.name.upper()}_VERTICES"), namer.fresh(f"{module}Output")
        names.append(FileNames(module, function, table, result))
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
        self.class_name, self.function = self.file.module, self.file.function
        self.namer = Namer([*arguments, self.class_name, self.function, self.file.table, self.file.result])
        self.dtype, self.compute, self.constants = map(self.namer.fresh, ("dtype", "compute", "constants"))
        self._rows: dict[tuple[str, tuple[str, ...]], str] = {}
        self._constants: dict[int, int] = {}
        self._path = ""

    @property
    def program(self) -> Program:
        return self.emission.program

    def diagram(self) -> dict[str, object]:
        program = self.program
        constants = self._constant_table()
        for number, instruction in enumerate(program.instructions):
            self._statement(number, instruction)
        self._return()
        legs = [leg.name for leg in program.legs]
        weights = [weight.name for weight in program.weights]
        signature = f"{', '.join(leg.text for leg in program.legs)} -> {', '.join(self.emission.output_texts)}"
        return {
            "class_name": self.class_name,
            "function": self.function,
            "table": self.file.table,
            "table_size": sum(prod(program.instructions[number].shape) for number in self._constants),
            "constants": constants,
            "result": self.file.result if len(program.outputs) > 1 else "",
            "outputs": [
                {"name": output.name, "dim": output.dim, "text": text}
                for output, text in zip(program.outputs, self.emission.output_texts, strict=True)
            ],
            "arguments": ", ".join(f"{name}: Tensor" for name in (*legs, *weights)),
            "forward_arguments": ", ".join(("self", *(f"{name}: Tensor" for name in legs))),
            "call": ", ".join((*legs, *(f"self.{name}" for name in weights))),
            "callee": "self._evaluate" if self.function in legs else self.function,
            "name": program.name,
            "is_complex": program.is_complex,
            "class_headline": f"The diagram `{program.name}`"
            + (f", with its learned weights {', '.join(weights)}." if weights else "."),
            "source": self.emission.source.rstrip("\n").split("\n"),
            "legs_text": self._legs_text(),
            "body": [*self._checks(), *self.lines],
            "weights": [
                {"name": weight.name, "shape": ", ".join(map(str, (*weight.rows, weight.numel)))}
                for weight in program.weights
            ],
            "signature": signature if len(signature) < 200 else signature[:197] + "...",
        }

    # --- the shell's lists ---------------------------------------------------------------------------------------

    def _legs_text(self) -> list[str]:
        lines = []
        for leg in self.program.legs:
            if leg.kind == "index":
                lines.append(f"{leg.name}: [...], integers from 0 to {leg.dim - 1}")
            else:
                lines.append(f"{leg.name}: [..., {leg.dim}], {leg.text}")
        for weight in self.program.weights:
            lines.append(f"{weight.name}: {[*weight.rows, weight.numel]}, learned")
        for output, text in zip(self.program.outputs, self.emission.output_texts, strict=True):
            lines.append(f"-> {output.name}: [..., {output.dim}], {text}")
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
            last = ", ".join("0" if leg.kind == "index" else "1" for leg in legs)
            lines.append(f"{names} = _broadcast(({quoted}), ({names}), ({last}))")
        return [*lines, *self._conversions(first)]

    def _leg_checks(self, leg: ProgramLeg, first: str) -> list[str]:
        if leg.kind == "index":
            return [f'_check_index("{leg.name}", {leg.name}, {leg.dim}, "{first}", {first})']
        text = leg.text if len(leg.text) < 60 else leg.text[:57] + "..."
        kinds = "_COMPLEX" if self.program.is_complex else "_REAL"
        if leg.kind == "weights" and self.program.is_complex:
            kinds = "(*_COMPLEX, torch.float32, torch.float64)"
        lines = [f'_check_leg("{leg.name}", {leg.name}, {leg.dim}, "{text}", {kinds})']
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
        if self._constants:
            lines.append(f"{self.constants} = {self.file.table}.to(device={first}.device, dtype={self.compute})")
        return lines

    def _constant_table(self) -> list[dict[str, object]]:
        """Every vertex tensor's place in the table, and its nonzero entries as rows of a dict literal."""
        start, entries = 0, list[dict[str, object]]()
        for number, instruction in enumerate(self.program.instructions):
            if not isinstance(instruction.op, Constant):
                continue
            tensor = instruction.op.tensor
            self._constants[number] = start
            pairs = [f"{start + _flat(index, tensor.shape)}: {float(value)!r}," for index, value in tensor.entries]
            rows = _rows(pairs, WIDTH - 8)
            entries.append({"label": instruction.op.label, "rows": rows})
            start += prod(tensor.shape)
        return entries

    # --- statements ----------------------------------------------------------------------------------------------

    def _statement(self, number: int, instruction: Instruction) -> None:
        op = instruction.op
        if instruction.path and instruction.path != self._path:
            self._path = instruction.path
            self.lines += ["", *(f"# {row}" for row in textwrap.wrap(self._path, WIDTH - 2))]
        if isinstance(op, LegBlock):
            text, wish = _block(op.leg, op.start, instruction.shape), instruction.note.replace(" ", "_")
        elif isinstance(op, WeightBlock):
            text, wish = self._weight(op, instruction), f"{op.weight}_{op.start}"
        elif isinstance(op, Constant):
            text, wish = self._constant(number, instruction), f"c{len(self.names)}"
        elif isinstance(op, Contract):
            text, wish = self._contract(op), f"t{number}"
        elif isinstance(op, Rearrange):
            text = f'torch.einsum("...{op.value_axes}->...{op.axes}", {self.names[op.value]})'
            wish = f"t{number}"
        elif isinstance(op, Scale):
            text, wish = f"{self.names[op.value]} * {float(op.factor)!r}", f"t{number}"
        else:
            self._sum(number, op, instruction)
            return
        self.names[number] = self.namer.fresh(wish)
        note = f"  # {instruction.note}" if isinstance(op, Constant) else ""
        self.lines.append(f"{self.names[number]} = {text}{note}")

    def _weight(self, op: WeightBlock, instruction: Instruction) -> str:
        if not op.rows:
            return _block(op.weight, op.start, instruction.shape, batched=instruction.batched)
        key = (op.weight, op.rows)
        if key not in self._rows:
            self._rows[key] = self.namer.fresh(f"{op.weight}_rows")
            self.lines.append(f"{self._rows[key]} = {_selected(op)}")
        return _block(self._rows[key], op.start, instruction.shape)

    def _constant(self, number: int, instruction: Instruction) -> str:
        start, shape = self._constants[number], instruction.shape
        return f"{self.constants}[{start}:{start + prod(shape)}].view({', '.join(map(str, shape))})"

    def _contract(self, op: Contract) -> str:
        left, right = self.names[op.left], self.names[op.right]
        product = _broadcast_product(self.program, op, left, right)
        if product is not None:
            return product
        parts = (self.program.instructions[op.left], self.program.instructions[op.right])
        dots = ["..." if part.batched else "" for part in parts]
        result = "..." if any(part.batched for part in parts) else ""
        spec = f"{dots[0]}{op.left_axes},{dots[1]}{op.right_axes}->{result}{op.axes}"
        return f'torch.einsum("{spec}", {left}, {right})'

    def _sum(self, number: int, op: Sum, instruction: Instruction) -> None:
        name = self.names[number] = self.namer.fresh(instruction.note.replace(" ", "_"))
        terms = [self.names[value] for value in op.values]
        line = f"{name} = {' + '.join(terms)}"
        if len(line) <= WIDTH:
            self.lines.append(line)
            return
        wrapped = _rows([terms[0], *(f"+ {term}" for term in terms[1:])], WIDTH - 4)
        self.lines += [f"{name} = (", *(f"    {row}" for row in wrapped), ")"]

    # --- outputs -------------------------------------------------------------------------------------------------

    def _return(self) -> None:
        self.lines.append("")
        results = [self._output(output) for output in self.program.outputs]
        if len(results) == 1:
            self.lines.append(f"return {results[0]}")
        else:
            self.lines.append(f"return {self.file.result}({', '.join(results)})")

    def _output(self, output: ProgramOutput) -> str:
        parts = [part for block in output.blocks for part in self._output_parts(block)]
        joined = parts[0] if len(parts) == 1 else self._cat(output.name, parts)
        return f"{joined}.to({self.dtype})"

    def _cat(self, name: str, parts: list[str]) -> str:
        line = f"torch.cat([{', '.join(parts)}], dim=-1)"
        if len(line) <= WIDTH - 20:
            return line
        value = self.namer.fresh(name)
        wrapped = _rows([f"{part}," for part in parts], WIDTH - 8)
        self.lines += [
            f"{value} = torch.cat(",
            "    [",
            *(f"        {row}" for row in wrapped),
            "    ],",
            "    dim=-1,",
            ")",
        ]
        return value

    def _output_parts(self, block: OutputBlock) -> list[str]:
        """The flat pieces of a block. In `mul_ir` kept paths lie one behind the other; in `ir_mul` they interleave."""
        if self.program.layout == "mul_ir" or len(block.values) == 1:
            return [self._flattened(value, len(self.program.instructions[value].shape)) for value in block.values]
        columns = []
        for value in block.values:
            channels = len(self.program.instructions[value].shape) - 1
            name = self.names[value]
            columns.append(f"{name}.unsqueeze(-1)" if channels == 0 else self._flattened(value, channels))
        joined = self.namer.fresh("kept")
        self.lines.append(f"{joined} = torch.cat([{', '.join(columns)}], dim=-1)")
        return [f"{joined}.flatten(-2)"]

    def _flattened(self, value: int, axes: int) -> str:
        return self.names[value] if axes < 2 else f"{self.names[value]}.flatten(-{axes})"


def _selected(op: WeightBlock) -> str:
    """The rows that index legs select. An embedding refuses negative rows, which indexing would count from the end."""
    if len(op.rows) == 1:
        return f"torch.nn.functional.embedding({op.rows[0]}, {op.weight})"
    return f"{op.weight}[{', '.join(op.rows)}]"


def _rows(tokens: list[str], width: int) -> list[str]:
    """Tokens in lines no longer than the width, none broken."""
    rows: list[str] = []
    for token in tokens:
        if rows and len(rows[-1]) + 1 + len(token) <= width:
            rows[-1] += f" {token}"
        else:
            rows.append(token)
    return rows


def _flat(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    place = 0
    for coordinate, size in zip(index, shape, strict=True):
        place = place * size + coordinate
    return place


def _block(name: str, start: int, shape: tuple[int, ...], batched: bool = True) -> str:
    """A slice of the last dimension, with the shape of its axes."""
    size, dots = prod(shape), "..., " if batched else ""
    if not shape:
        return f"{name}[{dots}{start}]"
    piece = f"{name}[{dots}{start}:{start + size}]"
    return piece if len(shape) == 1 else f"{piece}.unflatten(-1, ({', '.join(map(str, shape))}))"


def _broadcast_product(program: Program, op: Contract, left: str, right: str) -> str | None:
    """A product without a sum, written with `*`: where one operand's axes are those of the result."""
    one, two = program.instructions[op.left], program.instructions[op.right]
    for full, axes, name, part, part_axes, other in (
        (one, op.left_axes, left, two, op.right_axes, right),
        (two, op.right_axes, right, one, op.left_axes, left),
    ):
        places = [axes.find(letter) for letter in part_axes]
        if axes != op.axes or -1 in places or places != sorted(places) or (part.batched and not full.batched):
            continue
        if not part_axes and not part.batched:
            return f"{name} * {other}"
        slots = [":" if letter in part_axes else "None" for letter in axes]
        if not part.batched:
            while slots and slots[0] == "None":
                slots.pop(0)
        if "None" not in slots:
            return f"{name} * {other}"
        return f"{name} * {other}[{', '.join(['...'] * part.batched + slots)}]"
    return None

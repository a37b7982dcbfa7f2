"""Statements of a function: which there are, under which condition, in which loop; operands, and moves between sites.

A value has shape [..., components, channels…]: components stand before channels, so that rows of channels are
contiguous and a sparse matrix over components is one matrix product. Constants and indices are slices of two tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fusionc.program.ir import (
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Pool,
    Product,
    Program,
    ProgramOutput,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
)
from fusionc.program.phases import Phase, phases
from fusionc.program.thresholds import now
from fusionc.targets.torch_patterns import piece_size, users
from fusionc.targets.torch_tables import Tables
from fusionc.targets.torch_text import WIDTH, arguments, freed, is_call, unflattened


@dataclass
class Statements:
    """Prints the instructions of a program; `fresh` makes names. `needed`: what the tuple is called that says which
    outputs are asked for (empty: all), and `asked` where each output looks into it."""

    program: Program
    fresh: Callable[[str], str]
    constants: str
    index: str
    sizes: dict[str, str]
    """What the number of sites of a set is called."""
    tables: Tables = field(default_factory=Tables)
    needed: str = ""
    asked: tuple[int, ...] = ()
    into: str = ""
    """What the place is called that the single output may be written into (empty: there is none)."""
    lines: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    said: int = 0
    """How many statements there are so far."""
    _said: list[tuple[str, str]] = field(default_factory=list)
    """Statements, each with the condition under which it is needed."""
    _condition: str = ""
    _aliases: dict[str, str] = field(default_factory=dict)
    """What an operand or a row of a relation is called inside a loop."""
    _rows: dict[object, str] = field(default_factory=dict)
    _matrices: dict[object, str] = field(default_factory=dict)
    _readers: dict[int, list[Instruction]] = field(default_factory=dict)
    _results: frozenset[int] = frozenset()
    _forms: dict[int, Linear] = field(default_factory=dict)
    _dots: dict[int, Product] = field(default_factory=dict)
    _sides: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Mixing weights that stand in several values: where each component is."""
    _returned: set[int] = field(default_factory=set)
    """Values whose memory is that of a result."""
    _weighing: dict[int, Product] = field(default_factory=dict)
    """Values that are multiplied by their weights where they are written into an output."""
    _summed_early: list[Instruction] = field(default_factory=list)
    """Values of which the sum over everything was taken before they were combined."""

    @property
    def worth(self) -> int:
        """Numbers that are worth the call of an operation."""
        return now().worth

    def run(self) -> list[str]:
        """All statements, in order; the last one returns the outputs."""
        instructions = self.program.instructions
        self._readers = {at: [instructions[one] for one in found] for at, found in enumerate(self.program.readers)}
        self._results = self._kept()
        using = users(self.program)
        written: dict[int, str] = {}
        for phase in phases(self.program):
            if phase.relation:
                self._loop(phase, using, written)
                continue
            for number in phase.instructions:
                self._condition = self._when(using[number])
                self._instruction(number)
        results = []
        for number, output in enumerate(self.program.outputs):
            self._condition = self._when({number})
            result = written.get(number) or self.output(output)
            results.append(f"{result} if {self._condition} else None" if self._condition else result)
        self._condition = ""
        self._flush(kept=results)
        if self.lines:
            self.lines.append("")
        several = self.needed and len(results) == 1  # a tuple of one
        self.lines.append(f"return {', '.join(results)}{',' if several else ''}")
        return self.lines

    def _kept(self) -> frozenset[int]:
        """Values that something else than an instruction reads."""
        return self.program.returned

    def say(self, text: str) -> None:
        self.said += 1
        self._said.append((self._condition, text))

    def _flush(self, indent: str = "", kept: Iterable[str] = ()) -> None:
        """Statements that are needed under one condition stand under one `if`; what is used no more is given up."""
        before = ""
        for condition, text in freed(self._said, kept):
            if condition != before and condition:
                self.lines.append(f"{indent}if {condition}:")
            before = condition
            self.lines += [f"{indent}{'    ' if condition else ''}{line}" for line in text.split("\n")]
        self._said.clear()

    def _when(self, outputs: set[int]) -> str:
        """The condition under which some outputs are asked for; empty where that is always so."""
        if not self.needed or len(outputs) == len(self.program.outputs):
            return ""
        return " or ".join(f"{self.needed}[{self.asked[one]}]" for one in sorted(outputs))

    def _instruction(self, number: int) -> None:
        instruction = self.program.instructions[number]
        if isinstance(instruction.op, LegBlock | WeightBlock):
            self._condition = ""  # views; what is read once is used under several conditions
        if not self._postponed(number, instruction):
            self.names[number] = self._statement(number, instruction)

    def _loop(self, phase: Phase, using: Sequence[set[int]], written: dict[int, str]) -> None:
        """A phase over pairs, piece by piece: what leaves it is accumulated, what it returns is put in place."""
        ends = set().union(*(using[n] for n in phase.leaving), phase.outputs)
        self._condition = self._when(ends)
        before = "    " if self._condition else ""
        results = {n: self.fresh("s") for n in phase.leaving}
        written |= {n: self.fresh("out") for n in phase.outputs}
        for name in (*results.values(), *(written[n] for n in phase.outputs)):
            self.say(f"{name} = None")
        piece, rest = self.fresh("piece"), self._aliases
        self._aliases = dict(rest)
        head = [f"for {piece} in _pieces({phase.relation}.shape[1], ?, {self._first}):"]
        rows = sorted({row for n in phase.instructions for row in self._relation_rows(n, phase.relation)})
        for row in rows:
            name = self.fresh(f"{phase.relation}_{row}")
            head.append(f"    {name} = {phase.relation}[{row}, {piece}]")
            self._aliases[f"{phase.relation}[{row}]"] = name
        for leg in self.program.legs:
            if leg.domain == phase.relation and any(leg.name in self._read_by(n) for n in phase.instructions):
                name = self.fresh(f"{leg.name}_piece")
                head.append(f"    {name} = {leg.name}[..., {piece}{'' if leg.kind == 'index' else ', :'}]")
                self._aliases[leg.name] = name
        for line in head:
            self.say(line)
        start, said = len(self.lines), self.said
        known, matrices = dict(self._rows), dict(self._matrices)
        outside = [*self.names.values(), *known.values(), *matrices.values()]  # what may be used again
        self._flush(kept=outside)
        for number in phase.instructions:
            self._condition = self._when(using[number])
            if number in results:
                self.say(f"{results[number]} = {self._accumulated(number, results[number])}")
            else:
                self._instruction(number)
        for n in phase.outputs:
            self._condition, name = self._when({n}), written[n]
            part, count = self.output(self.program.outputs[n]), f"{phase.relation}.shape[1]"
            self.say(f"{name} = _placed({name}, {part}, {piece}, {count}, -2)")
        size = piece_size(self.program, self.said - said, self.worth, phase.instructions)
        self.lines[start:] = [line.replace("?", str(size)) for line in self.lines[start:]]
        self._flush(f"{before}    ", kept=outside)
        self._rows, self._matrices, self._aliases = known, matrices, rest
        self.names |= results

    def _number_of(self, instruction: Instruction) -> int:
        """The number of the value that an instruction makes."""
        return self._numbers[id(instruction)]

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return {id(one): number for number, one in enumerate(self.program.instructions)}

    @property
    def _first(self) -> str:
        return next(leg.name for leg in self.program.legs if leg.kind == "tensor")

    def _relation_rows(self, number: int, relation: str) -> list[int]:
        """The rows of a relation that an instruction reads."""
        op = self.program.instructions[number].op
        if isinstance(op, Spread):
            return [0] if self.program.instructions[number].domain == relation else []
        if isinstance(op, Gather | Scatter):
            return [op.row] if op.relation == relation else []
        reads = op.reads if isinstance(op, WeightBlock | Total) else ()
        return [read[1] for read in reads if read is not None and read[0] == relation]

    def _read_by(self, number: int) -> tuple[str, ...]:
        """The operands that an instruction reads."""
        op = self.program.instructions[number].op
        if isinstance(op, LegBlock):
            return (op.leg,)
        return (op.weight, *op.rows) if isinstance(op, WeightBlock) else op.rows if isinstance(op, Total) else ()

    def _called(self, name: str) -> str:
        """What an operand, or a row of a relation, is called here."""
        return self._aliases.get(name, name)

    def _accumulated(self, number: int, name: str) -> str:
        instruction = self.program.instructions[number]
        op = instruction.op
        assert isinstance(op, Scatter | Pool | Total)
        if isinstance(op, Total):
            return f"_added({name}, {self._total(op, instruction)})"
        value, dim = self.names[op.value], self.site_dim(len(instruction.channels))
        if isinstance(op, Scatter):
            assert instruction.domain
            index = self._called(f"{op.relation}[{op.row}]")
            return f"_scatter({name}, {value}, {index}, {self.sizes[instruction.domain]}, {dim})"
        return f"_added({name}, {value}.sum({dim}))"

    def site_dim(self, channels: int) -> int:
        """The axis of sites or pairs of a value."""
        return -2 - channels

    def component_dim(self, channels: int) -> int:
        """The axis of components of a value."""
        return -1 - channels

    def _extent(self, domain: str) -> str:
        """How many sites, or pairs in the piece at hand, there are."""
        return self.sizes.get(domain) or f"{self._called(f'{domain}[0]')}.shape[0]"

    def _statement(self, number: int, instruction: Instruction) -> str:
        op = instruction.op
        if isinstance(op, LegBlock):
            return self._let(op.leg, self._leg(op, instruction))
        if isinstance(op, WeightBlock):
            return self._let(op.weight, self._weight(op, instruction))
        if isinstance(op, Linear):
            return self._linear(op, instruction)
        if isinstance(op, Product):
            return self._product(op, instruction)
        if isinstance(op, Total):
            return self._let("s", self._total(op, instruction))
        value, dim = self.names[op.value], self.site_dim(len(instruction.channels))
        if isinstance(op, Gather):
            return self._let("g", f"{value}.index_select({dim}, {self._called(f'{op.relation}[{op.row}]')})")
        if isinstance(op, Pool):
            return self._let("s", f"{value}.sum({dim})")
        if isinstance(op, Spread):
            return self._let("s", self._spread(op, instruction))
        assert isinstance(op, Zeros)
        return self._let("zero", self._zeros(op, instruction))

    def _total(self, op: Total, instruction: Instruction) -> str:
        """A sum over everything that stands before components and channels, or into the rows of a table."""
        if any(one is self.program.instructions[op.value] for one in self._summed_early):
            return self.names[op.value]
        value, own = self._in_place(op.value), 1 + len(instruction.channels)
        if not op.rows:
            return f"_summed_up({value}, {own})"
        return self._tabulated(op, value, own)

    def _tabulated(self, op: Total, value: str, own: int, front: int = 0) -> str:
        """Elements added into the rows of a table, which stand behind `front` dimensions."""
        dims = {leg.name: leg.dim for leg in self.program.legs}
        rows = self._row_indices(op.rows, op.reads, self.program.instructions[op.value].domain)
        sizes = ", ".join(str(dims[name]) for name in op.rows)
        more = f", {front}" if front else ""
        return f"_tabulated({value}, ({', '.join(rows)},), ({sizes},), {own}{more})"

    def _spread(self, op: Spread, instruction: Instruction) -> str:
        """A value that is the same at every site or pair, or everywhere."""
        value, dim = self.program.instructions[op.value], self.site_dim(len(instruction.channels))
        size = f", {self._extent(instruction.domain)}" if instruction.domain else ""
        if value.domain is not None:
            return f"_spread({self.names[op.value]}, {dim}{size})"
        leg = next(leg for leg in self.program.legs if leg.kind == "tensor")
        batch = f"{self._called(leg.name)}.shape[:{-2 if leg.domain else -1}]"
        return (
            f"_everywhere({self.names[op.value]}, {self.component_dim(len(instruction.channels))}, (*{batch}{size},))"
        )

    def _zeros(self, op: Zeros, instruction: Instruction) -> str:
        value, shape = self.names[op.value], ", ".join(map(str, (instruction.components, *instruction.channels)))
        keep = -1 - len(self.program.instructions[op.value].channels)
        return f"{value}.new_zeros((*{value}.shape[:{keep}], {shape}))"

    def _let(self, wish: str, text: str) -> str:
        """A statement that names a value; what is a name already stays what it is."""
        if text.isidentifier():
            return text
        name = self.fresh(wish)
        function, _, rest = text.partition("(")
        if len(name) + len(text) < WIDTH or not is_call(text):
            self.say(f"{name} = {text}")
            return name
        lines = [f"{name} = {function}("]
        for argument in arguments(rest[:-1]):
            if len(argument) < WIDTH or not argument.startswith("("):
                lines.append(f"    {argument},")
            else:
                lines += ["    (", *(f"        {part}," for part in arguments(argument[1:-1])), "    ),"]
        self.say("\n".join([*lines, ")"]))
        return name

    def _leg(self, op: LegBlock, instruction: Instruction) -> str:
        mul, start = (instruction.channels or (1,))[0], op.start
        total = sum(op.dims)
        leg, name = self.program.leg(op.leg), self._called(op.leg)
        whole = name if start == 0 and total * mul == leg.dim else f"{name}[..., {start}:{start + total * mul}]"
        if not instruction.channels:
            return whole
        if mul == 1:
            return f"{whole}.unsqueeze(-1)"
        if self.program.layout == "ir_mul":
            return unflattened(whole, -1, (total, mul))
        parts = []
        for dim in op.dims:
            piece = f"{name}[..., {start}:{start + dim * mul}]"
            start += dim * mul
            turned = f"{unflattened(piece, -1, (mul, dim))}.transpose(-1, -2)"
            parts.append(f"{piece}.unsqueeze(-2)" if dim == 1 else turned)
        return parts[0] if len(parts) == 1 else f"torch.cat(({', '.join(parts)}), dim=-2)"

    def _weight(self, op: WeightBlock, instruction: Instruction) -> str:
        name, size, dots = self._called(op.weight), instruction.size, "..., "
        if op.rows:
            key = (op.weight, op.rows, op.reads)
            if key not in self._rows:
                self._rows[key] = self._let(f"{op.weight}_rows", self._row(op, instruction))
            name = self._rows[key]
        elif instruction.domain is None:
            dots = ""
        shape = (instruction.components, *instruction.channels)
        whole = self._numbers_of(op.weight) == size
        piece = name if whole else f"{name}[{dots}{op.start}:{op.start + size}]"
        return piece if not instruction.channels else unflattened(piece, -1, shape)

    def _numbers_of(self, weight: str) -> int:
        """How many numbers stand in a row of weights."""
        learned = {one.name: one.numel for one in self.program.weights}
        return learned[weight] if weight in learned else next(o.dim for o in self.program.legs if o.name == weight)

    def _row(self, op: WeightBlock, instruction: Instruction) -> str:
        """The rows that index legs select."""
        return f"_rows_at({op.weight}, {', '.join(self._row_indices(op.rows, op.reads, instruction.domain))})"

    def _row_indices(
        self, rows: Sequence[str], reads: Sequence[tuple[str, int] | None], domain: str | None
    ) -> list[str]:
        """Index legs as they select the rows of a value over a domain."""
        found, domains = [], {leg.name: leg.domain for leg in self.program.legs}
        for name, read in zip(rows, reads, strict=True):
            if read is not None:
                found.append(f"{name}.index_select(-1, {self._called(f'{read[0]}[{read[1]}]')})")
            else:
                found.append(f"{name}.unsqueeze(-1)" if domain and not domains[name] else self._called(name))
        return found

    # --- what others print -----------------------------------------------------------------------------------------

    def _postponed(self, number: int, instruction: Instruction) -> bool:
        """Whether an instruction is taken over by those that read it."""
        raise NotImplementedError

    def _linear(self, op: Linear, instruction: Instruction) -> str:
        raise NotImplementedError

    def _product(self, op: Product, instruction: Instruction) -> str:
        raise NotImplementedError

    def _in_place(self, value: int) -> str:
        """A value with its components in front of its channels."""
        return self.names[value]

    def output(self, output: ProgramOutput) -> str:
        """An output, flat."""
        raise NotImplementedError

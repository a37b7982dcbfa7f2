"""The arithmetic of the torch target: each instruction of a program as a few large tensor operations.

A value has shape [..., components, channels…]: components stand before channels, so that rows of channels are
contiguous and a sparse matrix over components is one matrix product. Constants and indices are slices of two tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import gcd, prod

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import (
    Entry,
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Op,
    OutputBlock,
    Pool,
    Product,
    Program,
    ProgramLeg,
    ProgramOutput,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
    operands,
)
from fusionc.targets.torch_arrange import MOST_LAYERS, Run, runs
from fusionc.targets.torch_grid import Grid, Layer, correlations, grids, layers
from fusionc.targets.torch_loops import Phase, phases

WIDTH = 108
"""A statement that is longer is printed in several lines."""

CACHE = 2**20
"""Numbers that fit into a cache."""

WORTH = 2**16
"""Numbers that are worth the call of an operation."""

FEW_VIEWS = 9
"""Fewer views of an operand are put side by side; more are gathered at once."""

LEAST_UNIT = 8
"""What is gathered should be so many numbers wide."""

MOST_GRIDS = 12
"""A product with weights is printed in so many regular pieces at most."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_MADE = re.compile(r"([tpm](?:_[0-9]+)?) = ")
"""Statements that make a value, rather than a view of an operand or a sum over pieces."""

MatrixEntries = dict[tuple[int, int], Surd]


@dataclass
class Tables:
    """Constants and indices of a file's function, one behind the other."""

    constants: list[tuple[str, int, dict[int, Surd]]] = field(default_factory=list)
    """(what it is, its start, nonzero entries by place)."""
    indices: list[int] = field(default_factory=list)
    size: int = 0
    _known: dict[object, int] = field(default_factory=dict)

    def matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> int:
        """The start of a matrix, row-major."""
        key = (rows, columns, tuple(sorted(entries.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self.size
            flat = {self.size + i * columns + j: value for (i, j), value in sorted(entries.items(), key=lambda e: e[0])}
            self.constants.append((label, self.size, flat))
            self.size += rows * columns
        return self._known[key]

    def flat(self, size: int, entries: dict[int, Surd], label: str) -> int:
        """The start of a list of constants, given by its nonzero entries."""
        key = ("flat", size, tuple(sorted(entries.items(), key=lambda item: item[0])))
        if key not in self._known:
            self._known[key] = self.size
            self.constants.append(
                (label, self.size, {self.size + at: value for at, value in sorted(entries.items(), key=lambda e: e[0])})
            )
            self.size += size
        return self._known[key]

    def index(self, values: Sequence[int]) -> int:
        """The start of a list of indices."""
        key = ("index", tuple(values))
        if key not in self._known:
            self._known[key] = len(self.indices)
            self.indices += values
        return self._known[key]


@dataclass
class Arithmetic:
    """Prints the instructions of a program; `fresh` makes names. `needed`: what the tuple is called that says which
    outputs are asked for (empty: all), and `places` where each output looks into it."""

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
    writes: bool = False
    """Whether the output is written there."""
    lines: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    _said: list[tuple[str, str]] = field(default_factory=list)
    """Statements, each with the condition under which it is needed."""
    _condition: str = ""
    _aliases: dict[str, str] = field(default_factory=dict)
    """What an operand or a row of a relation is called inside a loop."""
    _rows: dict[object, str] = field(default_factory=dict)
    _matrices: dict[object, str] = field(default_factory=dict)
    _readers: dict[int, list[Instruction]] = field(default_factory=dict)
    _results: set[int] = field(default_factory=set)
    _forms: dict[int, Linear] = field(default_factory=dict)
    _dots: dict[int, Product] = field(default_factory=dict)
    _sides: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Mixing weights that stand in several values: where each component is."""
    _summed_early: list[Instruction] = field(default_factory=list)
    """Values of which the sum over everything was taken before they were combined."""

    def run(self) -> list[str]:
        """All statements, in order; the last one returns the outputs."""
        for instruction in self.program.instructions:
            for value in dict.fromkeys(operands(instruction.op)):
                self._readers.setdefault(value, []).append(instruction)
        self._results = {v for o in self.program.outputs for block in o.blocks for v, _ in block.pieces}
        users = _users(self.program)
        written: dict[int, str] = {}
        for phase in phases(self.program):
            if phase.relation:
                self._loop(phase, users, written)
                continue
            for number in phase.instructions:
                self._condition = self._when(users[number])
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

    def say(self, text: str) -> None:
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

    # --- loops over pairs ------------------------------------------------------------------------------------------

    def _loop(self, phase: Phase, users: Sequence[set[int]], written: dict[int, str]) -> None:
        """A phase over pairs, piece by piece: what leaves it is accumulated, what it returns is put in place."""
        ends = set().union(*(users[n] for n in phase.leaving), phase.outputs)
        self._condition = self._when(ends)
        before = "    " if self._condition else ""
        results = {n: self.fresh("s") for n in phase.leaving}
        written |= {n: self.fresh("out") for n in phase.outputs}
        for name in (*results.values(), *(written[n] for n in phase.outputs)):
            self.say(f"{name} = None")
        piece, rest = self.fresh("piece"), self._aliases
        self._aliases = dict(rest)
        numbers = held(self.program, phase.instructions)
        head = [
            f"for {piece} in _pieces({phase.relation}.shape[1], {piece_size(numbers, len(phase.instructions))}, {{like}}):"
        ]
        head[0] = head[0].format(like=self._first)
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
        self._flush(kept=self.names.values())
        known, matrices, outside = dict(self._rows), dict(self._matrices), list(self.names.values())
        for number in phase.instructions:
            self._condition = self._when(users[number])
            if number in results:
                self.say(f"{results[number]} = {self._accumulated(number, results[number])}")
            else:
                self._instruction(number)
        for n in phase.outputs:
            self._condition, name = self._when({n}), written[n]
            self.say(
                f"{name} = _placed({name}, {self.output(self.program.outputs[n])}, {piece}, {phase.relation}.shape[1], -2)"
            )
        self._flush(f"{before}    ", kept=outside)
        self._rows, self._matrices, self._aliases = known, matrices, rest
        self.names |= results

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
        value, dim = self.names[op.value], self.site_dim(len(instruction.channels))
        if isinstance(op, Scatter):
            assert instruction.domain
            index = self._called(f"{op.relation}[{op.row}]")
            return f"_scatter({name}, {value}, {index}, {self.sizes[instruction.domain]}, {dim})"
        text = f"{value}.sum({dim})" if isinstance(op, Pool) else self._total(op, instruction)
        return f"_added({name}, {text})"

    def _postponed(self, number: int, instruction: Instruction) -> bool:
        """Whether an instruction is taken over by those that read it: a matrix made of an operand that is applied to
        others; products summed over channels that a linear map combines."""
        op, readers = instruction.op, self._readers.get(number, [])
        if number in self._results or not readers:
            return False
        if isinstance(op, LegBlock):
            return all(_gathering(self.program, reader.op, reader) is not None for reader in readers)
        if isinstance(op, Linear) and len(instruction.channels) > 1:
            if _is_side_by_side(op) and all(self._mixes(number, reader.op) for reader in readers):
                self._sides[number] = [(op.values[source], i) for source, i, _, _ in sorted(op.entries, key=_result)]
                return True
        if instruction.channels:
            return False
        if isinstance(op, Linear) and len(op.values) == 1 and not op.order:
            if all(_is_matrix_of(number, reader) for reader in readers):
                self._forms[number] = op
                return True
        if isinstance(op, Product) and _is_dots(self.program, op) and len(readers) == 1:
            if self._combines_dots(readers[0].op):
                self._dots[number] = op
                return True
        return False

    def _mixes(self, number: int, op: Op) -> bool:
        """Whether a value is the mixing weights of a product, whose components are used one by one."""
        if not isinstance(op, Product) or _is_dots(self.program, op):
            return False
        found = _contraction(op)
        return found is not None and found.mixer == number

    def _combines_dots(self, op: Op) -> bool:
        """Whether a linear map combines nothing but products summed over channels, which nothing else reads."""
        if not isinstance(op, Linear) or op.order:
            return False
        makes = [self.program.instructions[value].op for value in op.values]
        alone = all(len(self._readers[value]) == 1 and value not in self._results for value in op.values)
        return alone and all(isinstance(make, Product) and _is_dots(self.program, make) for make in makes)

    def site_dim(self, channels: int) -> int:
        """The axis of sites or pairs of a value."""
        return -2 - channels

    # --- statements ----------------------------------------------------------------------------------------------

    def _statement(self, number: int, instruction: Instruction) -> str:
        op = instruction.op
        if isinstance(op, LegBlock):
            return self._let(op.leg, self._leg(op, instruction), f"{op.leg}[")
        if isinstance(op, WeightBlock):
            return self._let(op.weight, self._weight(op, instruction), f"{op.weight}[")
        if isinstance(op, Linear):
            return self._linear(op, instruction)
        if isinstance(op, Product):
            return self._product(op, instruction)
        value, dim = self.names[op.value], self.site_dim(len(instruction.channels))
        if isinstance(op, Gather):
            return self._let("g", f"{value}.index_select({dim}, {self._called(f'{op.relation}[{op.row}]')})")
        if isinstance(op, Pool):
            return self._let("s", f"{value}.sum({dim})")
        if isinstance(op, Total):
            return self._let("s", self._total(op, instruction))
        if isinstance(op, Spread):
            return self._let("s", self._spread(op, instruction))
        assert isinstance(op, Zeros)
        return self._let("zero", self._zeros(op, instruction))

    def _total(self, op: Total, instruction: Instruction) -> str:
        """A sum over everything that stands before components and channels, or into the rows of a table."""
        value, own = self._in_place(op.value), 1 + len(instruction.channels)
        if any(one is self.program.instructions[op.value] for one in self._summed_early):
            return self.names[op.value]
        if not op.rows:
            return f"_summed_up({value}, {own})"
        dims = {leg.name: leg.dim for leg in self.program.legs}
        rows = self._row_indices(op.rows, op.reads, self.program.instructions[op.value].domain)
        sizes = ", ".join(str(dims[name]) for name in op.rows)
        return f"_tabulated({value}, ({', '.join(rows)},), ({sizes},), {own})"

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

    def _extent(self, domain: str) -> str:
        """How many sites, or pairs in the piece at hand, there are."""
        return self.sizes.get(domain) or f"{self._called(f'{domain}[0]')}.shape[0]"

    def component_dim(self, channels: int) -> int:
        """The axis of components of a value."""
        return -1 - channels

    def _zeros(self, op: Zeros, instruction: Instruction) -> str:
        value, shape = self.names[op.value], ", ".join(map(str, (instruction.components, *instruction.channels)))
        keep = -1 - len(self.program.instructions[op.value].channels)
        return f"{value}.new_zeros((*{value}.shape[:{keep}], {shape}))"

    def _let(self, wish: str, text: str, view: str = "") -> str:
        """A statement that names a value; what is a name already stays what it is."""
        if text.isidentifier():
            return text
        name = self.fresh(wish)
        function, _, rest = text.partition("(")
        if len(name) + len(text) < WIDTH or not _is_call(text):
            self.say(f"{name} = {text}")
            return name
        lines = [f"{name} = {function}("]
        for argument in _arguments(rest[:-1]):
            if len(argument) < WIDTH or not argument.startswith("("):
                lines.append(f"    {argument},")
            else:
                lines += ["    (", *(f"        {part}," for part in _arguments(argument[1:-1])), "    ),"]
        self.say("\n".join([*lines, ")"]))
        return name

    def _leg(self, op: LegBlock, instruction: Instruction) -> str:
        mul, start = (instruction.channels or (1,))[0], op.start
        total = sum(op.dims)
        leg, name = next(leg for leg in self.program.legs if leg.name == op.leg), self._called(op.leg)
        whole = name if start == 0 and total * mul == leg.dim else f"{name}[..., {start}:{start + total * mul}]"
        if not instruction.channels:
            return whole
        if mul == 1:
            return f"{whole}.unsqueeze(-1)"
        if self.program.layout == "ir_mul":
            return f"{whole}.unflatten(-1, ({total}, {mul}))"
        parts = []
        for dim in op.dims:
            piece = f"{name}[..., {start}:{start + dim * mul}]"
            start += dim * mul
            parts.append(
                f"{piece}.unsqueeze(-2)" if dim == 1 else f"{piece}.unflatten(-1, ({mul}, {dim})).transpose(-1, -2)"
            )
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
        shape = ", ".join(map(str, (instruction.components, *instruction.channels)))
        piece = f"{name}[{dots}{op.start}:{op.start + size}]"
        return piece if not instruction.channels else f"{piece}.unflatten(-1, ({shape}))"

    def _row(self, op: WeightBlock, instruction: Instruction) -> str:
        """The rows that index legs select. An embedding refuses negative rows, which indexing would count from the
        end."""
        rows = self._row_indices(op.rows, op.reads, instruction.domain)
        if len(rows) == 1:
            return f"torch.nn.functional.embedding({rows[0]}, {op.weight})"
        return f"{op.weight}[{', '.join(rows)}]"

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

    # --- linear maps -----------------------------------------------------------------------------------------------

    def _linear(self, op: Linear, instruction: Instruction) -> str:
        channels, n = len(instruction.channels), instruction.components
        dim, wish = -1 - channels, "t"
        if op.values[0] in self._dots:
            parts = [self._combined_dots(op, source, instruction) for source in range(len(op.values))]
            return self._let(wish, " + ".join(parts))
        gathered = self._gathered(op, instruction)
        if gathered is not None:
            return self._let(wish, gathered)
        values = [self._shaped(value, instruction, op) for value in op.values]
        if all(c == ONE for *_, c in op.entries):
            plain = self._rearranged(op, instruction, values, dim)
            if plain is not None:
                return self._let(wish, plain)
        starts, total = [], 0
        for value in op.values:
            starts.append(total)
            total += self.program.instructions[value].components
        entries: MatrixEntries = {}
        for source, i, k, c in op.entries:
            place = (k, starts[source] + i)
            entries[place] = entries[place] + c if place in entries else c
        joined = values[0] if len(values) == 1 else self._let(wish, f"torch.cat(({', '.join(values)}), dim={dim})")
        return self._let(wish, self._applied(entries, n, total, joined, instruction))

    def _shaped(self, value: int, instruction: Instruction, op: Linear) -> str:
        """An operand with the channel axes of the result."""
        name, own = self.names[value], self.program.instructions[value].channels
        if op.order:
            axes = tuple(axis - len(own) for axis in op.order)
            places = tuple(place - len(own) for place in range(len(own)))
            return f"{name}.movedim({axes}, {places})"
        if own == instruction.channels:
            return name
        flat = f"{name}.flatten({-len(own)})" if len(own) > 1 else name
        if len(instruction.channels) < 2:
            return flat
        return f"{flat}.unflatten(-1, {instruction.channels})"

    def _rearranged(self, op: Linear, instruction: Instruction, values: list[str], dim: int) -> str | None:
        """A linear map whose coefficients are all one, without a matrix: a selection, or a sum of whole values."""
        n, entries = instruction.components, sorted(op.entries, key=lambda entry: (entry[2], entry[0]))
        if [k for _, _, k, _ in entries] == list(range(n)):
            runs: list[list[int]] = []  # source, start, length
            for source, i, _, _ in entries:
                if runs and runs[-1][0] == source and runs[-1][1] + runs[-1][2] == i:
                    runs[-1][2] += 1
                else:
                    runs.append([source, i, 1])
            if len(runs) > 8 and len(values) == 1:
                return self._selected(values[0], [i for _, i, _, _ in entries], dim)
            if len(runs) <= 8 * len(values):
                parts = [self._narrowed(values[s], op.values[s], start, length, dim) for s, start, length in runs]
                return parts[0] if len(parts) == 1 else f"torch.cat(({', '.join(parts)}), dim={dim})"
            return None
        whole = all(self.program.instructions[value].components == n for value in op.values)
        if whole and len(entries) == n * len(values) and all(i == k for _, i, k, _ in entries):
            return " + ".join(values)
        return None

    def _gathered(self, op: Linear, instruction: Instruction) -> str | None:
        """A selection from many views of one operand, each a component by itself: one gather from the operand."""
        found = _gathering(self.program, op, instruction)
        if found is None:
            return None
        leg, unit, units = found
        name = self._selected(f"{self._called(leg.name)}.unflatten(-1, ({leg.dim // unit}, {unit}))", units, -2)
        mul, count = instruction.channels[0], instruction.components
        return name if unit == mul else f"{name}.flatten(-2).unflatten(-1, ({count}, {mul}))"

    def _narrowed(self, name: str, value: int, start: int, length: int, dim: int) -> str:
        if start == 0 and length == self.program.instructions[value].components:
            return name
        return f"{name}.narrow({dim}, {start}, {length})"

    def _selected(self, name: str, places: Sequence[int], dim: int) -> str:
        start = self.tables.index(places)
        return f"{name}.index_select({dim}, {self.index}[{start}:{start + len(places)}])"

    def _matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> str:
        start = self.tables.matrix(rows, columns, entries, label)
        return f"{self.constants}[{start}:{start + rows * columns}].view({rows}, {columns})"

    def _applied(self, entries: MatrixEntries, rows: int, columns: int, value: str, instruction: Instruction) -> str:
        """A constant matrix [rows, columns] over the components of a value."""
        channels = instruction.channels
        if not channels:
            turned = {(j, i): c for (i, j), c in entries.items()}
            return f"{value} @ {self._matrix(columns, rows, turned, instruction.note)}"
        matrix = self._matrix(rows, columns, entries, instruction.note)
        if len(channels) == 1:
            return f"_combined({matrix}, {value})"
        return f"_combined({matrix}, {value}.flatten({-len(channels)})).unflatten(-1, {channels})"

    # --- products --------------------------------------------------------------------------------------------------

    def _product(self, op: Product, instruction: Instruction) -> str:
        for flip in (False, True):
            if _applies_matrix(op, flip):
                return self._let("t", self._matrix_applied(op, instruction, flip))
        if _is_dots(self.program, op):
            return self._let("t", self._dotted(op, instruction))
        if set(op.left_axes) & set(op.right_axes) - set(op.axes):
            return self._contracted(op, instruction)
        outer = self._outer(op, instruction)
        if outer is not None:
            return self._let("t", outer)
        regular = self._weighed(op, instruction) or self._summed(op, instruction) or self._layered(op, instruction)
        regular = regular or self._correlated(op, instruction)
        if regular is not None:
            return self._let("t", regular)
        op, entries = by_pairs(op)
        left, right = self._picked(op, False), self._picked(op, True)
        if op.left_axes == op.right_axes == op.axes:
            text = f"{left} * {right}"
        elif not op.right_axes and op.left_axes == op.axes:
            text = f"{left} * {right}[{_new_axes(len(op.axes))}]"
        elif not op.left_axes and op.right_axes == op.axes:
            text = f"{left}[{_new_axes(len(op.axes))}] * {right}"
        else:
            text = self._einsum(op, left, right)
        return self._let("t", self._added(entries, len(op.terms), instruction, text))

    def _weighed(self, op: Product, instruction: Instruction) -> str | None:
        """A value times weights, component by component, in a few regular pieces: nothing is gathered, and a value that
        nobody else reads is weighed where it is."""
        n = instruction.components
        plain = [term[2] for term in op.terms] == list(range(n)) and all(term[3] == 1 for term in op.terms)
        if not plain or op.left_axes != op.axes or op.right_axes != op.axes or not op.axes:
            return None
        if [term[0] for term in op.terms] != list(range(n)) or self.program.instructions[op.left].components != n:
            return None
        found = grids([term[1] for term in op.terms])
        if len(found) > MOST_GRIDS or self.program.instructions[op.right].domain is None:
            return None
        order = [pick for grid in found for pick in grid.picks]
        weights, dim = self.names[op.right], -1 - len(op.axes)
        if order != list(range(self.program.instructions[op.right].components)):
            weights = self._selected(weights, order, dim)
        fresh = len(self._readers.get(op.left, [])) == 1 and op.left not in self._results
        fresh = fresh and isinstance(self.program.instructions[op.left].op, Product)
        into = f", {self._into(op)}" if self._into(op) else ""
        return f"_weighed({self.names[op.left]}, {weights}, {_grids_text(found)}, {dim}, {fresh}{into})"

    def _layered(self, op: Product, instruction: Instruction) -> str | None:
        """Elementwise products that are added up in few regular layers: each is one operation, and nothing but the sum
        is held."""
        if not (op.left_axes == op.right_axes == op.axes and op.axes) or len(op.terms) < 2 * instruction.components:
            return None
        if len({term[2] for term in op.terms}) < instruction.components or self._is_totaled(instruction):
            return None
        found = layers(op.terms, MOST_LAYERS)
        if found is None:
            return None
        dim, sides = -1 - len(op.axes), []
        for value, picks, side in ((op.left, found[1], "left"), (op.right, found[2], "right")):
            starts = _contiguous(found[0], picks, side)
            if starts is None:
                sides.append((self._selected(self.names[value], picks, dim), None))
            else:
                sides.append((self.names[value], starts))
        parts = []
        for number, layer in enumerate(found[0]):
            texts = []
            for (start, kind), (_, starts) in zip((layer.left, layer.right), sides, strict=True):
                texts.append(f'({start if starts is None else starts[number]}, "{kind}")')
            parts.append(f"({layer.start}, {layer.rows}, {layer.columns}, {', '.join(texts)})")
        left, right = (name if name.isidentifier() else self._let("p", name) for name, _ in sides)
        return f"_layered({left}, {right}, ({', '.join(parts)},), {instruction.components}, {dim})"

    def _correlated(self, op: Product, instruction: Instruction) -> str | None:
        """Elementwise products of which nothing but the sum over everything is used, in groups that share components of
        one operand: no product outlives its group."""
        if not (op.left_axes == op.right_axes == op.axes and op.axes) or not self._is_totaled(instruction):
            return None
        flip, groups = correlations(op.terms)
        if not 0 < len(groups) <= MOST_LAYERS or len({term[2] for term in op.terms}) < instruction.components:
            return None
        own, shared = (
            (self.names[op.right], self.names[op.left]) if flip else (self.names[op.left], self.names[op.right])
        )
        dim = -1 - len(op.axes)
        for number, picks in enumerate(zip(*((group.own, group.shared) for group in groups), strict=True)):
            if any(list(part) != list(range(part[0], part[0] + len(part))) for part in picks):
                listed = [place for part in picks for place in part]
                chosen = self._let("p", self._selected((own, shared)[number], listed, dim))
                starts = [sum(map(len, picks[:at])) for at in range(len(picks))]
                own, shared = (chosen, shared) if number == 0 else (own, chosen)
            else:
                starts = [part[0] for part in picks]
            groups = [
                replace(group, **{("own", "shared")[number]: (start,)})
                for group, start in zip(groups, starts, strict=True)
            ]
        texts = [f"({group.own[0]}, {group.shared[0]}, {len(group.results)}, {group.columns})" for group in groups]
        self._summed_early.append(instruction)
        text = f"_correlated({own}, {shared}, ({', '.join(texts)},), {dim})"
        order = [k for group in groups for k in group.results]
        if order == list(range(len(order))):
            return text
        return self._selected(self._let("s", text), [order.index(k) for k in range(len(order))], dim)

    def _is_totaled(self, instruction: Instruction) -> bool:
        """Whether nothing but a sum over everything reads a value: then its terms are summed before they are combined."""
        number = next(n for n, one in enumerate(self.program.instructions) if one is instruction)
        readers = self._readers.get(number, [])
        if len(readers) != 1 or number in self._results or instruction.domain is None or not instruction.channels:
            return False
        return isinstance(readers[0].op, Total) and not readers[0].op.rows

    def _into(self, op: Op) -> str:
        """The place of the output, for the last operation that makes it as it stands."""
        last = self.program.instructions[-1]
        if not self.into or last.op is not op or self.whole_value(self.program.outputs[0].blocks) is None:
            return ""
        self.writes = True
        return self.into

    def _einsum(self, op: Product, left: str, right: str) -> str:
        """One product for every term, T, with channels as they are spelled."""
        one, two = (_dots(self.program, value) for value in (op.left, op.right))
        return f'torch.einsum("{one}T{op.left_axes},{two}T{op.right_axes}->...T{op.axes}", {left}, {right})'

    def _picked(self, op: Product, right: bool) -> str:
        """An operand's component for every term."""
        value = op.right if right else op.left
        places = [term[1] if right else term[0] for term in op.terms]
        name, components = self.names[value], self.program.instructions[value].components
        dim = -1 - len(op.right_axes if right else op.left_axes)
        if components == 1 or places == list(range(components)):
            return name
        if places == list(range(places[0], places[0] + len(places))):
            return f"{name}.narrow({dim}, {places[0]}, {len(places)})"
        return self._selected(name, places, dim)

    def _added(self, entries: MatrixEntries, count: int, instruction: Instruction, products: str) -> str:
        """So many products, added up with coefficients in the components that they belong to."""
        n = instruction.components
        if list(entries.items()) == [((k, k), ONE) for k in range(n)]:
            return products
        if self._is_totaled(instruction):
            self._summed_early.append(instruction)
            products = f"_summed_up({products}, {1 + len(instruction.channels)})"
        return self._applied(entries, n, count, self._let("p", products), instruction)

    def _matrix_applied(self, op: Product, instruction: Instruction, flip: bool) -> str:
        """One operand has no channels: it becomes a matrix over components, and is applied to the other."""
        source, other = (op.left, op.right) if flip else (op.right, op.left)
        form = self._forms.get(source)
        rows, columns = instruction.components, self.program.instructions[other].components
        entries: MatrixEntries = {}
        inner = {} if form is None else _by_result(form)
        for i, j, k, sign in op.terms:
            at, row = (j, i) if flip else (i, j)
            for place, c in inner.get(row, ()) if form is not None else ((row, ONE),):
                key = (place, k * columns + at)
                value = c if sign > 0 else -c
                entries[key] = entries[key] + value if key in entries else value
        base = source if form is None else form.values[0]
        matrix = self._made_of(base, rows, columns, entries, instruction.note)
        name, channels = self.names[other], instruction.channels
        if len(channels) > 1:
            return f"({matrix} @ {name}.flatten({-len(channels)})).unflatten(-1, {channels})"
        into = self._into(op) if self.program.instructions[other].domain is not None else ""
        return f"_multiplied({matrix}, {name}, {into})" if into else f"{matrix} @ {name}"

    def _made_of(self, base: int, rows: int, columns: int, entries: MatrixEntries, note: str) -> str:
        """A matrix [rows, columns] for every element, made of the components of an operand; made once, whichever way
        round it is used."""
        before, source = self._condition, self.program.instructions[base].op
        self._condition = "" if isinstance(source, LegBlock) else before
        name = self._made_once(base, rows, columns, entries, note)
        self._condition = before
        return name

    def _made_once(self, base: int, rows: int, columns: int, entries: MatrixEntries, note: str) -> str:
        straight = (self._condition, base, rows, columns, frozenset(entries.items()))
        if straight in self._matrices:
            return self._matrices[straight]
        turned = {(at, place % columns * rows + place // columns): c for (at, place), c in entries.items()}
        mirrored = (self._condition, base, columns, rows, frozenset(turned.items()))
        if mirrored in self._matrices:
            return f"{self._matrices[mirrored]}.mT"
        size = self.program.instructions[base].components
        made = f"({self.names[base]} @ {self._matrix(size, rows * columns, entries, note)})"
        self._matrices[straight] = name = self._let("m", f"{made}.unflatten(-1, ({rows}, {columns}))")
        return name

    def _combined_dots(self, op: Linear, source: int, instruction: Instruction) -> str:
        """Products summed over channels, combined: one small matrix product for every element, and a constant one."""
        dots = self._dots[op.values[source]]
        left, right = (self.program.instructions[value] for value in (dots.left, dots.right))
        inner: dict[int, list[tuple[int, int]]] = {}
        for i, j, k, sign in dots.terms:
            inner.setdefault(k, []).append((i * right.components + j, sign))
        entries: MatrixEntries = {}
        for one, k, result, c in op.entries:
            for place, sign in inner.get(k, ()) if one == source else ():
                key, value = (place, result), c if sign > 0 else -c
                entries[key] = entries[key] + value if key in entries else value
        size = left.components * right.components
        matrix = self._matrix(size, instruction.components, entries, instruction.note)
        return f"{self._dots_of(dots)} @ {matrix}"

    def _dots_of(self, op: Product) -> str:
        """All components of one operand with all of another, summed over channels, flat."""
        left, right = self.names[op.left], self.names[op.right]
        if len(op.left_axes) > 1:
            left, right = f"{left}.flatten({-len(op.left_axes)})", f"{right}.flatten({-len(op.left_axes)})"
        return f"({left} @ {right}.mT).flatten(-2)"

    def _dotted(self, op: Product, instruction: Instruction) -> str:
        """Products summed over channels, by themselves."""
        columns = self.program.instructions[op.right].components
        size = self.program.instructions[op.left].components * columns
        entries = {(i * columns + j, k): Surd.of(sign) for i, j, k, sign in op.terms}
        return f"{self._dots_of(op)} @ {self._matrix(size, instruction.components, entries, instruction.note)}"

    def _summed(self, op: Product, instruction: Instruction) -> str | None:
        """An elementwise product, its components added up in a few regular pieces."""
        n = len(op.terms)
        terms = sorted(op.terms)
        if op.left_axes != op.right_axes or op.left_axes != op.axes or not op.axes or n == instruction.components:
            return None
        if [term[0] for term in terms] != list(range(n)) or any(term[3] < 0 for term in terms):
            return None
        if self.program.instructions[op.left].components != n:
            return None
        found = grids([term[2] for term in terms])
        order = [pick for grid in found for pick in grid.picks]
        if len(found) > MOST_GRIDS or sorted(order) != list(range(instruction.components)):
            return None
        dim = -1 - len(op.axes)
        right = self._picked(replace(op, terms=tuple(terms)), True)
        product = self._let("p", f"{self.names[op.left]} * {right}")
        name = f"_added_up({product}, {_grids_text(found)}, {dim})"
        if order == list(range(len(order))):
            return name
        return self._selected(self._let("t", name), [order.index(k) for k in range(len(order))], dim)

    def _contracted(self, op: Product, instruction: Instruction) -> str:
        """Channels are summed: for each component of one operand one matrix product, or an einsum in general."""
        found = _contraction(op)
        if found is None:
            op, summands = by_pairs(op)
            text = self._einsum(op, self._picked(op, False), self._picked(op, True))
            return self._let("t", self._added(summands, len(op.terms), instruction, text))
        by_part: dict[int, list[tuple[int, int, int]]] = {}
        for i, j, k, sign in op.terms:
            part, at = (i, j) if found.flip else (j, i)
            by_part.setdefault(part, []).append((at, k, sign))
        pieces: list[str] = []
        order: list[tuple[int, int]] = []
        for part, terms in by_part.items():
            rows = self._some(found.value, [at for at, _, _ in terms], -1 - found.summed)
            if found.summed > 1:
                rows = f"{rows}.flatten({-found.summed})"
            pieces.append(f"{rows} @ {self._mixing(found, part)}")
            order += [(k, sign) for _, k, sign in terms]
        joined = pieces[0] if len(pieces) == 1 else self._let("p", self._tuple("torch.cat", pieces, "dim=-2"))
        n = instruction.components
        if [k for k, _ in order] == list(range(n)) and all(sign == 1 for _, sign in order):
            return self._let("t", joined)
        joined = self._let("p", joined)
        entries = {(k, at): Surd.of(sign) for at, (k, sign) in enumerate(order)}
        return self._let("t", self._applied(entries, n, len(order), joined, instruction))

    def _mixing(self, found: Contraction, part: int) -> str:
        """One component of mixing weights, as a matrix [summed channels, others]."""
        value, at = self._sides[found.mixer][part] if found.mixer in self._sides else (found.mixer, part)
        axes = found.summed + 1
        dots = "" if self.program.instructions[value].domain is None else "..., "
        weight = f"{self.names[value]}[{dots}{at}, {', '.join(':' * axes)}]"
        if found.summed > 1:
            weight = f"{weight}.flatten({-axes}, -2)"
        return f"{weight}.mT" if found.turned else weight

    def _some(self, value: int, places: Sequence[int], dim: int) -> str:
        """Some components of a value."""
        name = self.names[value]
        if list(places) == list(range(self.program.instructions[value].components)):
            return name
        if list(places) == list(range(places[0], places[0] + len(places))):
            return f"{name}.narrow({dim}, {places[0]}, {len(places)})"
        return self._selected(name, places, dim)

    def _outer(self, op: Product, instruction: Instruction) -> str | None:
        """Every channel of one operand times every channel of the other, added up over components: a matrix product for
        each component of the result."""
        pair = len(op.left_axes) == len(op.right_axes) == 1 and op.axes in (
            op.left_axes + op.right_axes,
            op.right_axes + op.left_axes,
        )
        domains = (self.program.instructions[op.left].domain, self.program.instructions[op.right].domain)
        if not pair or op.left_axes == op.right_axes or None in domains or any(term[3] < 0 for term in op.terms):
            return None
        by_result: dict[int, tuple[list[int], list[int]]] = {}
        for i, j, k, _ in sorted(op.terms):
            lefts, rights = by_result.setdefault(k, ([], []))
            lefts.append(i)
            rights.append(j)
        if sorted(by_result) != list(range(instruction.components)):
            return None
        pieces = []
        for k in range(instruction.components):
            left, right = self._some(op.left, by_result[k][0], -2), self._some(op.right, by_result[k][1], -2)
            if op.axes != op.left_axes + op.right_axes:
                left, right = right, left
            pieces.append(f"{left}.mT @ {right}")
        return f"({pieces[0]}).unsqueeze(-3)" if len(pieces) == 1 else self._tuple("torch.stack", pieces, "dim=-3")

    # --- outputs -----------------------------------------------------------------------------------------------------

    def whole_value(self, blocks: Sequence[OutputBlock]) -> int | None:
        """The value that is the output as it stands: its components in the order of memory."""
        if self.program.layout != "ir_mul":
            return None
        at, value = 0, blocks[0].pieces[0][0]
        for block in blocks:
            for run in runs(block):
                apart = run.paths > 1 and not run.interleaved and block.dim > 1
                if run.value != value or run.start != at or run.stride > 1 or apart or len(runs(block)) > 1:
                    return None
                at += run.paths * block.dim
        return value if at == self.program.instructions[value].components else None

    def _in_place(self, value: int) -> str:
        """A value with its components in front of its channels."""
        return self.names[value]

    def output(self, output: ProgramOutput) -> str:
        """An output, flat. In `mul_ir` kept paths lie one behind the other; in `ir_mul` they interleave."""
        whole = self.whole_value(output.blocks)
        if whole is not None:
            name, channels = self._in_place(whole), len(self.program.instructions[whole].channels)
            return f"{name}.flatten({-1 - channels})" if channels else name
        if self.program.layout == "mul_ir":
            parts = [
                self._turned(self._run(block, run), run, block.dim) for block in output.blocks for run in runs(block)
            ]
            return parts[0] if len(parts) == 1 else self._wide("torch.cat", parts, "dim=-1")
        blocks = []
        for block in _joined(output.blocks):
            columns = [self._columns(self._run(block, run), run, block.dim) for run in runs(block)]
            blocks.append(f"({', '.join(columns)},)")
        self.writes |= bool(self.into)
        return self._wide("_interleaved", blocks, self.into)

    def _wide(self, function: str, parts: Sequence[str], rest: str) -> str:
        """A call with a list of many parts, a line for each."""
        name = self.fresh("out")
        lines = [f"{name} = {function}(", "    (", *(f"        {part}," for part in parts), "    ),"]
        if rest:
            lines.append(f"    {rest},")
        self.say("\n".join([*lines, ")"]))
        return name

    def _run(self, block: OutputBlock, run: Run) -> str:
        """The components of some paths."""
        instruction, name, count = self.program.instructions[run.value], self.names[run.value], block.dim * run.paths
        dim = -1 - len(instruction.channels)
        if run.stride > 1:
            return self._let("p", self._selected(name, [run.start + k * run.stride for k in range(block.dim)], dim))
        if run.start == 0 and count == instruction.components:
            return name
        return f"{name}.narrow({dim}, {run.start}, {count})"

    def _flat(self, piece: str, value: int) -> str:
        """With one channel axis."""
        channels = len(self.program.instructions[value].channels)
        return f"{piece}.unsqueeze(-1)" if not channels else f"{piece}.flatten({-channels})" if channels > 1 else piece

    def _columns(self, piece: str, run: Run, dim: int) -> str:
        """Components [dim · paths, channels] as [dim, paths · channels]."""
        flat = self._flat(piece, run.value)
        if run.paths == 1:
            return flat
        if run.interleaved:
            return f"{flat}.unflatten(-2, ({dim}, {run.paths})).flatten(-2)"
        return f"{flat}.unflatten(-2, ({run.paths}, {dim})).transpose(-3, -2).flatten(-2)"

    def _turned(self, piece: str, run: Run, dim: int) -> str:
        """Components [paths · dim, channels] as [paths · channels · dim]."""
        if run.paths == 1 and not self.program.instructions[run.value].channels:
            return piece
        flat = self._flat(piece, run.value)
        if dim == 1:
            return f"{flat}.flatten(-2)" if run.paths > 1 else f"{flat}.squeeze(-2)"
        if run.paths == 1:
            return f"{flat}.transpose(-1, -2).flatten(-2)"
        if run.interleaved:
            return f"{flat}.unflatten(-2, ({dim}, {run.paths})).movedim(-3, -1).flatten(-3)"
        return f"{flat}.unflatten(-2, ({run.paths}, {dim})).transpose(-1, -2).flatten(-3)"

    def _tuple(self, function: str, parts: Sequence[str], rest: str) -> str:
        names = [part if part.isidentifier() else self._let("p", part) for part in parts]
        return f"{function}(({', '.join(names)}), {rest})"


def _joined(blocks: Sequence[OutputBlock]) -> list[OutputBlock]:
    """Blocks of an output in `ir_mul`, those together that stand side by side in one value."""
    found: list[OutputBlock] = []
    for block in blocks:
        before = found[-1] if found else None
        if before is not None and len(before.pieces) == len(block.pieces) == 1 and before.mul == block.mul:
            (value, first), (other, start) = before.pieces[0], block.pieces[0]
            plain = not before.strides and not block.strides
            if plain and value == other and start == first + before.dim:
                found[-1] = replace(before, dim=before.dim + block.dim)
                continue
        found.append(block)
    return found


def _is_call(text: str) -> bool:
    """Whether a text is one call: its first bracket closes at its end."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == ")" and depth == 0:
            return at == len(text) - 1 and text.partition("(")[0].replace(".", "").isidentifier()
    return False


def _arguments(text: str) -> list[str]:
    """The arguments of a call: what stands between its commas, those inside brackets and quotes left out."""
    found, depth, start, quoted = [], 0, 0, False
    for at, character in enumerate(text):
        quoted ^= character == '"'
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and not quoted:
            found.append(text[start:at].strip())
            start = at + 1
    return [part for part in (*found, text[start:].strip()) if part]


def _by_result(form: Linear) -> dict[int, list[tuple[int, Surd]]]:
    """The entries of a linear map of one value, by component of the result."""
    found: dict[int, list[tuple[int, Surd]]] = {}
    for _, i, k, c in form.entries:
        found.setdefault(k, []).append((i, c))
    return found


def _applies_matrix(op: Product, flip: bool) -> bool:
    """Whether one operand (the right one, or the left) has no channels and the other has those of the result."""
    own, other = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
    return not own and bool(other) and other == op.axes


def _is_matrix_of(number: int, instruction: Instruction) -> bool:
    op = instruction.op
    if not isinstance(op, Product):
        return False
    return (op.right == number and _applies_matrix(op, False)) or (
        op.left == number and not _applies_matrix(op, False) and _applies_matrix(op, True)
    )


def _gathering(program: Program, op: Op, instruction: Instruction) -> tuple[ProgramLeg, int, list[int]] | None:
    """Of a selection from many views of one leg: the leg, the largest unit that all of them are made of, and the places
    of the units that are selected."""
    if not isinstance(op, Linear) or len(op.values) < FEW_VIEWS or op.order or len(instruction.channels) != 1:
        return None
    views = [program.instructions[value].op for value in op.values]
    first, mul = views[0], instruction.channels[0]
    if program.layout != "ir_mul" or not isinstance(first, LegBlock) or any(c != ONE for *_, c in op.entries):
        return None
    starts = [view.start for view in views if isinstance(view, LegBlock) and view.leg == first.leg]
    leg = next((leg for leg in program.legs if leg.name == first.leg), None)
    ordered = sorted(op.entries, key=lambda entry: entry[2])
    alike = all(program.instructions[value].channels == instruction.channels for value in op.values)
    if (
        leg is None
        or len(starts) < len(views)
        or [k for _, _, k, _ in ordered] != list(range(len(ordered)))
        or not alike
    ):
        return None
    unit = gcd(mul, leg.dim, *starts)
    if unit < LEAST_UNIT:
        return None
    steps = range(mul // unit)
    return leg, unit, [(starts[source] + i * mul) // unit + step for source, i, _, _ in ordered for step in steps]


@dataclass(frozen=True)
class Contraction:
    """A product that sums channels of a value (so many axes of it) with mixing weights: [summed, others], or `turned`
    around; `flip`: the weights are the left operand."""

    mixer: int
    value: int
    summed: int
    turned: bool
    flip: bool


def _contraction(op: Product) -> Contraction | None:
    """A product as a matrix product for each component of its mixing weights."""
    summed = "".join(axis for axis in op.left_axes if axis in op.right_axes and axis not in op.axes)
    flip = len(op.left_axes) > len(op.right_axes)
    mixer_axes, axes = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
    straight, turned = mixer_axes == summed + op.axes, mixer_axes == op.axes + summed
    if not summed or axes != summed or len(op.axes) != 1 or not (straight or (turned and len(summed) == 1)):
        return None
    mixer, value = (op.left, op.right) if flip else (op.right, op.left)
    return Contraction(mixer, value, len(summed), not straight, flip)


def _is_side_by_side(op: Linear) -> bool:
    """Whether a linear map only puts components of values side by side."""
    places = sorted(k for _, _, k, _ in op.entries)
    return not op.order and places == list(range(len(places))) and all(c == ONE for *_, c in op.entries)


def _result(entry: Entry) -> int:
    return entry[2]


def _is_dots(program: Program, op: Product) -> bool:
    """Whether a product sums all channels of two operands of the batch."""
    both = None not in (program.instructions[op.left].domain, program.instructions[op.right].domain)
    return both and bool(op.left_axes) and op.left_axes == op.right_axes and not op.axes


def _contiguous(found: Sequence[Layer], picks: Sequence[int], side: str) -> list[int] | None:
    """Where the components that each layer picks start, if all of them stand side by side."""
    starts = []
    for layer in found:
        start, kind = layer.left if side == "left" else layer.right
        count = layer.count(kind)
        if picks[start : start + count] != list(range(picks[start], picks[start] + count)):
            return None
        starts.append(picks[start])
    return starts


def by_pairs(op: Product) -> tuple[Product, MatrixEntries]:
    """A product with one term for each pair of components, and how these add up: (result, term) -> coefficient."""
    places: dict[tuple[int, int], int] = {}
    entries: MatrixEntries = {}
    for i, j, k, sign in op.terms:
        at = places.setdefault((i, j), len(places))
        entries[k, at] = entries[k, at] + Surd.of(sign) if (k, at) in entries else Surd.of(sign)
    return replace(op, terms=tuple((i, j, at, 1) for (i, j), at in places.items())), entries


def _grids_text(found: Sequence[Grid]) -> str:
    return "(" + ", ".join(f"({grid.rows}, {grid.columns}, {grid.across})" for grid in found) + ",)"


def _users(program: Program) -> list[set[int]]:
    """For each value the outputs that are computed from it."""
    users: list[set[int]] = [set() for _ in program.instructions]
    for number, output in enumerate(program.outputs):
        for block in output.blocks:
            for value, _ in block.pieces:
                users[value].add(number)
    for number in range(len(users) - 1, -1, -1):
        for value in operands(program.instructions[number].op):
            users[value] |= users[number]
    return users


def freed(statements: Sequence[tuple[str, str]], kept: Iterable[str]) -> list[tuple[str, str]]:
    """Statements, each after a condition, with a `del` where a value was used for the last time: its memory, still in a
    cache, goes to the next one. What stands in `kept` is needed later."""
    later = set(_NAME.findall(" ".join(kept)))
    made: dict[str, int] = {}
    last: dict[str, int] = {}
    for at, (_, text) in enumerate(statements):
        found = _MADE.match(text)
        for name in _NAME.findall(text):
            if name in made:
                last[name] = at
        if found and found[1] not in made:
            made[found[1]] = at
    ends: dict[int, list[str]] = {}
    for name, at in last.items():
        if name not in later and statements[at][0] == statements[made[name]][0]:
            ends.setdefault(at, []).append(name)
    result = []
    for at, statement in enumerate(statements):
        result.append(statement)
        if at in ends:
            result.append((statement[0], f"del {', '.join(ends[at])}"))
    return result


def held(program: Program, numbers: Sequence[int] | None = None) -> int:
    """Numbers that some instructions (all of them) hold for each element, those of single products included."""
    total = 0
    for number in range(len(program.instructions)) if numbers is None else numbers:
        one = program.instructions[number]
        if one.domain is not None:
            terms = len(one.op.terms) if isinstance(one.op, Product) and one.op.left_axes == one.op.right_axes else 0
            total += max(one.size, terms * prod(one.channels) // 2)
    return total


def piece_size(numbers: int, operations: int) -> int:
    """How many elements are computed at a time: what is in between should fit into a cache, and every operation should
    have enough to do to be worth its call."""
    return max(CACHE, WORTH * operations) // max(1, numbers) + 1


def _dots(program: Program, value: int) -> str:
    return "" if program.instructions[value].domain is None else "..."


def _new_axes(count: int) -> str:
    return ", ".join(["..."] + ["None"] * count)

"""One order of derivatives: its kernels and the function that launches them, with what runs in torch in between.

A stage takes operands [rows, dim] (rows are the elements of the domain, the batch in front; weights as they are), and
gives results of the same form. `batch` and the sizes of sites and relations are whole numbers of the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fusionc.program.ir import (
    BATCH,
    Gather,
    LegBlock,
    Op,
    OutputBlock,
    Product,
    Program,
    ProgramOutput,
    Scatter,
    Total,
    WeightBlock,
    Zeros,
    operands,
)
from fusionc.targets.registry import Options, Sums
from fusionc.targets.torch_tables import Tables
from fusionc.targets.torch_text import unflattened
from fusionc.targets.triton_dot import Dot, in_output, mixed, outer
from fusionc.targets.triton_keep import Planned, planned
from fusionc.targets.triton_kernel import Kernel, Table, kernel
from fusionc.targets.triton_loop import loop
from fusionc.targets.triton_mix import Mixed, everywhere
from fusionc.targets.triton_outside import Statements
from fusionc.targets.triton_plan import Cut, Group, Outside, Store, cut, in_torch, split_sums, steps

Rows = tuple[str, ...]
Reads = tuple[tuple[str, int] | None, ...]
MANY_TERMS = 2000
"""Where a stage has more, that is said: a loop over a table of terms would compile faster."""


@dataclass(frozen=True)
class Stage:
    """A printed stage: kernels, the lines of its function, constants; for each result the operand that it is like
    (in dtype), its domain and its shape behind the rows."""

    name: str
    program: Program
    kernels: tuple[Kernel, ...]
    outside: tuple[Outside, ...]
    lines: tuple[str, ...]
    tables: Tables
    shapes: tuple[tuple[int, str | None, tuple[int, ...]], ...]
    splits: tuple[str, ...]
    """Why there are several kernels where there could be one, and what is kept between them."""

    def description(self) -> tuple[str, ...]:
        """What runs where, one line for each kernel and for each instruction that no kernel runs."""
        lines = [f"{one.name}: {one.about}" for one in self.kernels]
        written = [one.terms for one in self.kernels if not one.table]
        if sum(written) > MANY_TERMS:
            lines.append(f"{self.name}: {sum(written)} terms written out in {len(written)} kernels, slow to compile")
        lines += [f"{self.name}: {line}" for line in self.splits]
        return (*lines, *(f"{self.name}: value {one.value} in torch, it {one.why}" for one in self.outside))


def stage(program: Program, name: str, names: Sequence[str], like: Sequence[int], options: Options) -> Stage:
    """Print a stage. `names` are its operands in order, `like` says which operand each result is like."""
    prefixed = tuple(f"p_{operand}" for operand in names)
    return _Printer(split_sums(_prefixed(program)), name, prefixed, tuple(like), options).stage()


def _prefixed(program: Program) -> Program:
    """The program with names that cannot meet others in a kernel: operands p_x, results q_out, relations r_edges."""
    relations = {relation.name: f"r_{relation.name}" for relation in program.relations}

    def domain(name: str | None) -> str | None:
        return relations.get(name, name) if name else name

    def prefixed(rows: Rows) -> Rows:
        return tuple(f"p_{row}" for row in rows)

    def moved(reads: Reads) -> Reads:
        return tuple(None if read is None else (relations[read[0]], read[1]) for read in reads)

    def op(one: Op) -> Op:
        if isinstance(one, LegBlock):
            return replace(one, leg=f"p_{one.leg}")
        if isinstance(one, WeightBlock):
            return replace(one, weight=f"p_{one.weight}", rows=prefixed(one.rows), reads=moved(one.reads))
        if isinstance(one, Total):
            return replace(one, rows=prefixed(one.rows), reads=moved(one.reads))
        if isinstance(one, Gather | Scatter):
            return replace(one, relation=relations[one.relation])
        return one

    return replace(
        program,
        legs=tuple(replace(leg, name=f"p_{leg.name}", domain=domain(leg.domain) or BATCH) for leg in program.legs),
        weights=tuple(replace(weight, name=f"p_{weight.name}") for weight in program.weights),
        instructions=tuple(replace(one, op=op(one.op), domain=domain(one.domain)) for one in program.instructions),
        outputs=tuple(replace(one, name=f"q_{one.name}", domain=domain(one.domain)) for one in program.outputs),
        relations=tuple(replace(relation, name=f"r_{relation.name}") for relation in program.relations),
    )


def sorted_rows(program: Program, sums: Sums) -> tuple[tuple[str, int], ...]:
    """The (relation, row) pairs that sums run over in any kernel of a program."""
    found = cut(split_sums(program), sums)
    keys = [one.key for one in steps(found) if isinstance(one, Group) and one.key is not None]
    return tuple(dict.fromkeys(keys))


@dataclass
class _Printer:
    program: Program
    name: str
    names: tuple[str, ...]
    like: tuple[int, ...]
    options: Options
    lines: list[str] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    allocated: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    """Mixed values that a kernel has written where they stand in an output: they have no memory of their own."""
    used: set[str] = field(default_factory=set)
    """Operands that torch reads: they have the dtype of the arithmetic."""

    def stage(self) -> Stage:
        plan = planned(self.program, self.options.sums, self.options.unroll, self._group)
        self.cut: Cut = plan.cut
        self.totalled = self._totalled() | self.cut.mixing.inside
        self.body: list[str] = []
        self.torch = Statements(self.program, self.body.append)
        for one in plan.steps:
            if isinstance(one, Group):
                parts = [self._kernel(part, n) for n, part in enumerate(plan.parts[one])]
                for part in parts:
                    self._launch(part)
                self._sum_parts(parts)
            elif one.value in self.cut.mixing.found:
                self._mixed(one.value)
            elif one.value not in self.totalled:
                self._outside(one)
        for number, output in enumerate(self.program.outputs):
            self._copies(number, output)
        inside = {*self.cut.mixing.found, *self.cut.mixing.inside}
        outside = [one for one in plan.steps if isinstance(one, Outside) and one.value not in inside]
        outside = [one for one in outside if not self._is_view(one)]
        return Stage(
            self.name,
            self.program,
            tuple(self.kernels),
            tuple(outside),
            (*self._opening(), *self.body, self._closing()),
            self.torch.tables,
            tuple(self._shape(number, output) for number, output in enumerate(self.program.outputs)),
            _splits(plan),
        )

    def _totalled(self) -> set[int]:
        """Products that only a total reads, where channels mix: they are one matrix product with it."""
        found = set()
        for value in self.cut.outside:
            one = self.program.instructions[value]
            into = [self.program.instructions[reader].op for reader in self.program.readers[value]]
            if isinstance(one.op, Product) and len(into) == 1 and isinstance(into[0], Total) and not into[0].rows:
                domains = [self.program.instructions[v].domain for v in operands(one.op)]
                if None not in domains:
                    found.add(value)
        return found

    # --- kernels -------------------------------------------------------------------------------------------------

    def _group(self, group: Group, stores: tuple[Store, ...]) -> Group:
        """Some stores of a group; where none of them is a sum over neighbours, over the pairs as they come."""
        if group.key is None or any(not self._of_pairs(group, store) for store in stores):
            return Group(group.domain, group.key, group.lanes, stores)
        return Group(group.key[0], None, group.lanes, stores)

    def _of_pairs(self, group: Group, store: Store) -> bool:
        assert group.key is not None
        op = self.program.instructions[store.value].op
        source = op.value if isinstance(op, Total) else store.value
        return self.program.instructions[source].domain == group.key[0]

    def _kernel(self, group: Group, more: int) -> Kernel:
        name = self._kernel_name(more)
        return loop(self.cut, group, name) if group.looped else kernel(self.cut, group, name)

    def _kernel_name(self, more: int) -> str:
        """The name of a kernel behind those that there are and so many more."""
        return f"{self.name}_kernel_{len(self.kernels) + more}"

    def _launch(self, one: Kernel) -> None:
        rows, tile = self._rows_of(one), one.tile
        self._allocate(one, f"_parts({rows}, {tile.rows}, {one.most_programs})")
        programs = f"_count({rows}, {tile.rows})"
        if one.most_programs:
            programs = f"min({programs}, {one.most_programs})"
        if one.totals:
            programs = f"max(1, {programs})"
        if one.table:
            self._tabulate(one, one.table, programs)
        self._run(one, programs, tile.blocks)

    def _run(self, one: Kernel, programs: str, blocks: int) -> None:
        """So many programs, with so many for each block of rows."""
        self.kernels.append(one)
        arguments = ", ".join(self._argument(name, one) for name in one.arguments)
        self.body.append(f"_launch({one.name}, {programs}, {blocks}, {one.tile.warps}, compute, {arguments})")

    def _tabulate(self, one: Kernel, table: Table, programs: str) -> None:
        """The table of a kernel, and memory for its programs."""
        size = " * ".join(str(factor) for factor in (table.cells, one.tile.blocks) if factor > 1)
        like = self.names[0]
        self.body.append(f"terms, coefficients, places = {one.name.upper()}_TABLE.on({like}.device, compute)")
        self.body.append(f"cells = {like}.new_empty({programs} * {size}, dtype=compute)")

    def _sum_parts(self, parts: Sequence[Kernel]) -> None:
        """What blocks of channels and programs left to be added up, once all parts of a group have run."""
        for buffer in {buffer.value: buffer for one in parts for buffer in one.buffers}.values():
            name = f"b{buffer.value}"
            dims = [axis for axis, summed in enumerate((buffer.blocks > 1, buffer.programs)) if summed]
            if buffer.blocks == 1:
                dims = [0] if buffer.programs else []
            if dims:
                total = f"{name}.sum({dims[0] if len(dims) == 1 else tuple(dims)})"
                self.body.append(f"{name} = {total}  # in torch: programs and blocks of channels have summed in parts")
            if buffer.value in self.cut.kept:
                self.torch.names[buffer.value] = name

    def _argument(self, name: str, one: Kernel) -> str:
        if name == "n_rows":
            return self._rows_of(one)
        own = [f"b{buffer.value}" for buffer in one.buffers]
        if name[0] == "b" and name[1:].isdigit() and int(name[1:]) in self.cut.outside and name not in own:
            return f"{name}.contiguous()"
        return name

    def _rows_of(self, one: Kernel) -> str:
        domain = one.group.domain
        if one.group.key is not None:
            relation = next(r for r in self.program.relations if r.name == one.group.key[0])
            domain = (relation.first, relation.second)[one.group.key[1]]
        return _rows(domain)

    def _allocate(self, one: Kernel, parts: str) -> None:
        """Memory for what a kernel is the first to write: a row for each of the domain, or the parts of a sum."""
        for buffer in one.buffers:
            if buffer.value in self.allocated:
                continue
            self.allocated.add(buffer.value)
            value = self.program.instructions[buffer.value]
            assert buffer.programs or value.domain is not None
            rows = parts if buffer.programs else _rows(value.domain or "")
            shape = [rows, *(str(size) for size in (value.components, *value.channels))]
            if buffer.blocks > 1:
                shape = [str(buffer.blocks), *shape]
            make = "zeros" if buffer.atomic else "empty"
            self.body.append(f"b{buffer.value} = {self.names[0]}.new_{make}(({', '.join(shape)}), dtype=compute)")

    def _mixed(self, value: int) -> None:
        """A matrix product; what nothing else reads goes straight into its output."""
        mix = self.cut.mixing.found[value]
        if not isinstance(mix, Mixed):
            self._dot(outer(self.program, mix, self._kernel_name))
            return
        output = None if self.program.readers[value] else in_output(self.program, value)
        if output is not None:
            self.written.add(value)
        self._dot(mixed(self.program, mix, self._kernel_name, output))

    def _dot(self, dots: Sequence[Dot]) -> None:
        for one in dots:
            programs = one.programs.format(rows=self._rows_of(one.kernel))
            self._allocate(one.kernel, programs)
            self._run(one.kernel, programs, one.blocks)
        self._sum_parts([one.kernel for one in dots])

    # --- torch -----------------------------------------------------------------------------------------------------

    def _outside(self, one: Outside) -> None:
        op = self.program.instructions[one.value].op
        if isinstance(op, Total) and op.value in self.totalled:
            instruction = self.program.instructions[op.value]
            product = instruction.op
            assert isinstance(product, Product)
            self._read_operands(operands(product))
            self._name(one.value, self.torch.contracted(product, instruction), one.why)
            return
        self._read_operands(operands(op))
        text = self.torch.expression(one.value)
        if self._is_view(one):
            self.torch.names[one.value] = text
        else:
            self._name(one.value, text, one.why)

    def _is_view(self, one: Outside) -> bool:
        """Weights that mix channels, told to be the same everywhere: those who read them know."""
        instruction = self.program.instructions[one.value]
        return len(instruction.channels) > 1 and everywhere(self.program, one.value) != one.value

    def _name(self, value: int, text: str, why: str) -> None:
        self.body.append(f"b{value} = {text}  # in torch: {why}")
        self.torch.names[value] = f"b{value}"

    def _read_operands(self, values: Sequence[int]) -> None:
        """Views that torch reads, made before they are used."""
        for value in values:
            one = self.program.instructions[value]
            if value in self.torch.names:
                continue
            assert isinstance(one.op, LegBlock | WeightBlock), one
            self.used.add(one.op.leg if isinstance(one.op, LegBlock) else one.op.weight)
            self.torch.names[value] = self.torch.let(self.torch.expression(value))

    # --- results ---------------------------------------------------------------------------------------------------

    def _copies(self, number: int, output: ProgramOutput) -> None:
        """Pieces of an output that no kernel wrote."""
        start = 0
        runs: list[tuple[int, int, int, int]] = []  # start, value, first, components: for flat weights
        for block in output.blocks:
            if output.domain is None and len(block.pieces) == 1 and block.dim == 1:
                value, first = block.pieces[0]
                if runs and runs[-1][1] == value and runs[-1][2] + runs[-1][3] == first:
                    runs[-1] = (*runs[-1][:3], runs[-1][3] + 1)
                else:
                    runs.append((start, value, first, 1))
            else:
                self._copy_block(output, block, start)
            start += block.mul * block.dim
        for start, value, first, count in runs:
            one = self.program.instructions[value]
            if isinstance(one.op, Zeros):
                continue
            self._read_operands([value])
            size = one.size // one.components * count
            axes = len(one.channels)
            part = self.torch.names[value]
            if count != one.components:
                part = f"{part}.narrow({-1 - axes}, {first}, {count})"
            flat = f"{part}.flatten({-1 - axes})" if axes else part
            self.body.append(f"{output.name}[..., {start}:{start + size}] = {flat}")

    def _copy_block(self, output: ProgramOutput, block: OutputBlock, start: int) -> None:
        channel = 0
        for value, first in block.pieces:
            one = self.program.instructions[value]
            width = one.size // one.components
            if in_torch(self.cut, value) and not isinstance(one.op, Zeros) and value not in self.written:
                self._read_operands([value])
                axes = len(one.channels)
                part = self.torch.names[value]
                if one.components != block.dim:
                    part = f"{part}.narrow({-1 - axes}, {first}, {block.dim})"
                part = f"{part}.flatten({-axes})" if axes > 1 else f"{part}.unsqueeze(-1)" if not axes else part
                self._copy(output, block, start, channel, width, part)
            channel += width

    def _copy(self, output: ProgramOutput, block: OutputBlock, start: int, channel: int, width: int, part: str) -> None:
        target, dim = f"{output.name}", block.dim
        if self.program.layout == "mul_ir":
            first = start + channel * dim
            turned = f"{part}.transpose(-1, -2).flatten(-2)"
            self.body.append(f"{target}[..., {first}:{first + width * dim}] = {turned}")
        else:
            whole = unflattened(f"{target}[..., {start}:{start + block.mul * dim}]", -1, (dim, block.mul))
            self.body.append(f"{whole}[..., {channel}:{channel + width}] = {part}")

    def _shape(self, number: int, output: ProgramOutput) -> tuple[int, str | None, tuple[int, ...]]:
        if output.domain is None:
            return self.like[number], None, (*output.rows, output.dim)
        return self.like[number], output.domain, (output.dim,)

    def _opening(self) -> list[str]:
        names = ", ".join(self.names) + ("," if len(self.names) == 1 else "")
        lines = [f"{names} = [operand.contiguous() for operand in operands]", f"compute = _compute({self.names[0]})"]
        converted = [name for name in self.names if name in self.used]
        lines += [f"{name} = {name}.to(compute)" for name in converted]
        zeros = [self._has_gaps(output) for output in self.program.outputs]
        outputs = ", ".join(f"{output.name}" for output in self.program.outputs)
        outputs += "," if len(self.program.outputs) == 1 else ""
        if outputs:  # (derivatives may all be zero)
            lines.append(f"{outputs} = results")
        lines += [f"{output.name}.zero_()" for output, gap in zip(self.program.outputs, zeros, strict=True) if gap]
        if self.torch.tables.size:
            lines.append(f"constants = {self.name.upper()}_CONSTANTS.on({self.names[0]}.device, compute)")
        if self.torch.tables.indices:
            lines.append(f"index = {self.name.upper()}_INDICES.on({self.names[0]}.device, compute)")
        return lines

    def _has_gaps(self, output: ProgramOutput) -> bool:
        values = [value for block in output.blocks for value, _ in block.pieces]
        return any(isinstance(self.program.instructions[value].op, Zeros) for value in values)

    def _closing(self) -> str:
        return "return results"


def _splits(plan: Planned) -> tuple[str, ...]:
    """Why kernels are split, and which values are kept to save work."""
    lines = []
    for group, why in plan.why.items():
        many = len(plan.parts[group])
        lines.append(why if many == 1 else f"{why}: {many} kernels")
    for value in sorted(plan.cut.extra):
        many = plan.cut.program.instructions[value].components
        lines.append(f"value {value} ({many} components) is kept: many kernels would compute it")
    return tuple(lines)


def _rows(domain: str) -> str:
    return "batch" if domain == BATCH else f"batch * n_{domain}"

"""Derivatives of programs, as programs.

A program is a chain of maps that are linear in each operand, so a derivative needs no new arithmetic. Backwards, with
x̄ the cotangent of a value x,

    Product   out = left · right      left̄ = out̄ · right,  right̄ = out̄ · left      (the same triples, a leg opened)
    Linear    out = C value           valuē = Cᵀ out̄
    Gather  <->  Scatter              Pool  <->  Spread              rows of a weight  <->  Total into rows

and what has no domain (a learned weight) gets the `Total` over the domain that it was used in. Operands that are used
twice get the sum. A derivative is a program like any other: derive it again for second derivatives. `tangents` goes
forwards.

For a complex program these are the transposed maps, without conjugation: conj(vjp(…, conj(cotangent))) is the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.build import Builder
from fusionc.program.cost import domain_sizes
from fusionc.program.ir import (
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
    ProgramWeight,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
    moved_output,
    operands,
    renumbered,
)
from fusionc.program.prune import pruned

SIZE = 1000


@dataclass(frozen=True)
class Derivative:
    """A derived program. Its legs and weights are those of the program it comes from, then `given`: cotangents, one for
    each output (of `vjp`), or tangents, one for each operand of `wrt` (of `jvp`). `results` pairs what is
    differentiated (an operand; an output of `jvp`) with the name of the derived output; what does not matter has none.
    """

    program: Program
    given: tuple[tuple[str, str], ...]
    results: tuple[tuple[str, str], ...]


def differentiable(program: Program) -> tuple[str, ...]:
    """Legs and learned weights that are numbers, in order."""
    legs = tuple(leg.name for leg in program.legs if leg.kind != "index")
    return (*legs, *(weight.name for weight in program.weights))


def vjp(program: Program, wrt: Sequence[str] | None = None) -> Derivative:
    """The program of all cotangents of operands: [..., dim] as the leg, [*rows, numel] as the weight.

    Cotangents of outputs are given as legs of the output's space; of outputs without a domain as learned weights.
    """
    return _Reverse(program, tuple(differentiable(program) if wrt is None else wrt)).derivative()


def linear(program: Program) -> tuple[str, ...]:
    """The operands in which every output is linear: with the tangent in its place, the program gives the output's."""
    return tuple(name for name in differentiable(program) if _is_linear(program, name))


def _is_linear(program: Program, name: str) -> bool:
    """Whether every product that reaches an output has the operand once; decided value by value, never component by
    component. The degree None is that of zero, which has any."""
    degrees: list[int | None] = []
    for one in program.instructions:
        op = one.op
        if isinstance(op, LegBlock | WeightBlock):
            degrees.append(int(operand_of(one) == name))
        elif isinstance(op, Zeros):
            degrees.append(None)
        elif isinstance(op, Product):
            left, right = degrees[op.left], degrees[op.right]
            degrees.append(None if left is None or right is None else left + right)
        else:
            found = {degrees[value] for value in operands(op)} - {None}
            if len(found) > 1:
                return False
            degrees.append(next(iter(found), None))
    reached = {degrees[value] for value in program.returned}
    return reached <= {1, None}


class Names:
    """Names that no leg, weight, output, relation or set of sites has."""

    def __init__(self, program: Program) -> None:
        self.taken = {program.name, *program.sites}
        for named in (program.legs, program.weights, program.outputs, program.relations):
            self.taken.update(one.name for one in named)

    def fresh(self, wish: str) -> str:
        while wish in self.taken:
            wish += "_"
        self.taken.add(wish)
        return wish


def opened(program: Program) -> tuple[Program, Builder]:
    """A program that computes nothing twice, and its instructions, to be continued."""
    builder, place = Builder(domain_sizes(program, SIZE)), dict[int, int]()
    for number, one in enumerate(program.instructions):
        op = renumbered(one.op, place)
        place[number] = builder.emit(op, one.components, one.channels, one.domain, one.note)
    outputs = tuple(moved_output(output, place) for output in program.outputs)
    return replace(program, instructions=tuple(builder.instructions), outputs=outputs), builder


Part = tuple[int, tuple[tuple[int, int, Surd], ...] | None]
"""What a value contributes to a cotangent: (value, (i, k, c) …), or None for component by component."""


@dataclass(frozen=True)
class Cell:
    """A flat interval of an operand that a view sees as `dim` components of `mul` channels, from `first` on."""

    start: int
    mul: int
    dim: int
    view: int
    first: int

    @property
    def end(self) -> int:
        return self.start + self.mul * self.dim


@dataclass(frozen=True)
class Table:
    """Where in the rows of a table the cotangents of `count` components of a total stand, those from `first` on."""

    name: str
    start: int
    first: int
    count: int
    factor: Surd = ONE


@dataclass
class _Reverse:
    program: Program
    wrt: tuple[str, ...]
    parts: dict[int, list[Part]] = field(default_factory=dict)
    tables: dict[int, list[Table]] = field(default_factory=dict)
    """Totals into rows, whose cotangents are parts of tables."""

    def __post_init__(self) -> None:
        self.names = Names(self.program)
        self.program, self.builder = opened(self.program)
        self.active = self._active()
        self.legs, self.weights = list(self.program.legs), list(self.program.weights)

    def _active(self) -> list[bool]:
        """Which values depend on what is differentiated."""
        active: list[bool] = []
        for one in self.program.instructions:
            op = one.op
            if isinstance(op, LegBlock | WeightBlock):
                active.append((op.leg if isinstance(op, LegBlock) else op.weight) in self.wrt)
            elif isinstance(op, Product):
                active.append(active[op.left] or active[op.right])
            elif isinstance(op, Linear):
                active.append(any(active[value] for value in op.values))
            else:
                active.append(active[op.value] and not isinstance(op, Zeros))
        return active

    def derivative(self) -> Derivative:
        given = tuple((output.name, self._given(output)) for output in self.program.outputs)
        totals: dict[int, int] = {}
        for number in range(len(self.program.instructions) - 1, -1, -1):
            if not self.active[number] or (number not in self.parts and number not in self.tables):
                continue
            instruction = self.program.instructions[number]
            if isinstance(instruction.op, LegBlock | WeightBlock):
                totals[number] = self._sum(number)
            else:
                self._transposed(number, instruction)
        found = [(name, self._result(name, totals)) for name in self.wrt]
        results = tuple((name, output.name) for name, output in found if output is not None)
        outputs = tuple(output for _, output in found if output is not None)
        derived = Program(
            name=self.names.fresh(f"{self.program.name}_vjp"),
            layout=self.program.layout,
            is_complex=self.program.is_complex,
            legs=tuple(self.legs),
            weights=tuple(self.weights),
            instructions=tuple(self.builder.instructions),
            outputs=outputs,
            sites=self.program.sites,
            relations=self.program.relations,
        )
        return Derivative(pruned(derived), given, results)

    # --- cotangents of outputs -----------------------------------------------------------------------------------

    def _given(self, output: ProgramOutput) -> str:
        name = self.names.fresh(f"grad_{output.name}")
        if output.domain is None:
            self.weights.append(ProgramWeight(name, output.rows, output.dim))
        else:
            blocks = tuple((block.mul, block.dim) for block in output.blocks)
            self.legs.append(ProgramLeg(name, "tensor", output.dim, f"like {output.name}", output.domain, blocks))
        start = 0
        if output.domain is None:
            for run in _runs(self.program, output):
                start = self._read_weight(name, output, run, start)
            return name
        for run in _runs(self.program, output):
            start = self._read(name, run, start)
        return name

    def _read(self, name: str, run: Run, start: int) -> int:
        """The cotangent of components that stand side by side in the output, as one wide view."""
        view = self._leg_view(name, start, run.dims, run.value)
        self._add(run.value, view, tuple((i, component, ONE) for i, component in enumerate(run.components)))
        return start + prod(self.program.instructions[run.value].channels) * len(run.components)

    def _leg_view(self, name: str, start: int, dims: tuple[int, ...], value: int) -> int:
        own = self.program.instructions[value]
        channels = (prod(own.channels),) if own.channels else ()
        view = self.builder.emit(LegBlock(name, start, dims), sum(dims), channels, own.domain, f"grad of {own.note}")
        return self._reshaped(view, own.channels)

    def _read_weight(self, name: str, output: ProgramOutput, run: Run, start: int) -> int:
        """The cotangents of components that stand side by side in a weight's gradient."""
        own, count = self.program.instructions[run.value], len(run.components)
        width = prod(own.channels)
        if output.rows:
            for at, component in enumerate(run.components):
                self._read_table(run.value, Table(name, start + at * width, component, 1))
            return start + count * width
        view = self.builder.emit(WeightBlock(name, start, ()), count, own.channels, None, f"grad of {own.note}")
        self._add(run.value, view, tuple((i, component, ONE) for i, component in enumerate(run.components)))
        return start + count * width

    def _read_table(self, value: int, part: Table) -> None:
        """The cotangent of one component of a table: of a total, or of totals added up, whose rows are selected in
        different ways."""
        own = self.program.instructions[value]
        if isinstance(own.op, Linear):
            for source, i, k, c in own.op.entries:
                if k == part.first:
                    self._read_table(own.op.values[source], replace(part, first=i, factor=part.factor * c))
        elif isinstance(own.op, Total):
            parts, width = self.tables.setdefault(value, []), prod(own.channels)
            if parts and _continues(parts[-1], part, width):
                part = replace(parts[-1], count=parts[-1].count + 1)
                parts.pop()
            parts.append(part)
        else:
            assert isinstance(own.op, Zeros), own

    # --- through the instructions --------------------------------------------------------------------------------

    def _add(self, value: int, part: int, entries: Iterable[tuple[int, int, Surd]] | None = None) -> None:
        if not self.active[value]:
            return
        listed = None if entries is None else tuple(entries)
        count = self.program.instructions[value].components
        if listed == tuple((i, i, ONE) for i in range(count)) and self.builder[part].components == count:
            listed = None
        self.parts.setdefault(value, []).append((part, listed))

    def _sum(self, number: int) -> int:
        """The cotangent of a value: all contributions added up."""
        own, parts = self.program.instructions[number], self.parts[number]
        if len(parts) == 1 and parts[0][1] is None:
            return parts[0][0]
        values = tuple(dict.fromkeys(value for value, _ in parts))
        entries = []
        for value, listed in parts:
            source = values.index(value)
            each = ((i, i, ONE) for i in range(own.components)) if listed is None else listed
            entries += [(source, i, k, c) for i, k, c in each]
        entries.sort(key=lambda entry: (entry[2], entry[0], entry[1]))
        op = Linear(values, tuple(entries))
        return self.builder.emit(op, own.components, own.channels, own.domain, f"grad of {own.note}")

    def _transposed(self, number: int, instruction: Instruction) -> None:
        op = instruction.op
        if isinstance(op, Total):
            self._total(number, op)
            return
        cotangent = self._sum(number)
        if isinstance(op, Product):
            self._product(op, cotangent, instruction)
        elif isinstance(op, Linear):
            self._linear(op, cotangent, instruction)
        else:
            assert isinstance(op, Gather | Scatter | Pool | Spread)
            self._add(op.value, self._moved(op, cotangent))

    def _moved(self, op: Gather | Scatter | Pool | Spread, cotangent: int) -> int:
        """The reverse of a move between domains."""
        into = self.program.instructions[op.value]
        if isinstance(op, Spread) and into.domain is None:
            return self._emit_like(op.value, Total(cotangent))
        if isinstance(op, Gather):
            return self._emit_like(op.value, Scatter(cotangent, op.relation, op.row))
        if isinstance(op, Scatter):
            return self._emit_like(op.value, Gather(cotangent, op.relation, op.row))
        return self._emit_like(op.value, Spread(cotangent) if isinstance(op, Pool) else Pool(cotangent))

    def _emit_like(self, value: int, op: Gather | Scatter | Pool | Spread | Total) -> int:
        own = self.program.instructions[value]
        return self.builder.emit(op, own.components, own.channels, own.domain, f"grad of {own.note}")

    def _total(self, number: int, op: Total) -> None:
        inner = self.program.instructions[op.value]
        if op.rows:
            for part in self.tables[number]:
                view = WeightBlock(part.name, part.start, op.rows, op.reads)
                read = self.builder.emit(view, part.count, inner.channels, inner.domain, f"grad of {inner.note}")
                self._add(op.value, read, ((i, part.first + i, part.factor) for i in range(part.count)))
        else:
            self._add(op.value, self._emit_like(op.value, Spread(self._sum(number))))

    def _product(self, op: Product, cotangent: int, instruction: Instruction) -> None:
        if op.left == op.right and op.left_axes == op.right_axes:
            opened = ((k, j, i, s) for i, j, k, s in op.terms)
            turned = ((k, i, j, s) for i, j, k, s in op.terms)
            self._opened(op.left, cotangent, op.axes, op.right, op.right_axes, op.left_axes, (*opened, *turned))
            return
        terms = ((k, j, i, s) for i, j, k, s in op.terms)
        self._opened(op.left, cotangent, op.axes, op.right, op.right_axes, op.left_axes, terms)
        terms = ((k, i, j, s) for i, j, k, s in op.terms)
        self._opened(op.right, cotangent, op.axes, op.left, op.left_axes, op.right_axes, terms)

    def _opened(
        self,
        into: int,
        cotangent: int,
        axes: str,
        other: int,
        other_axes: str,
        into_axes: str,
        terms: Iterable[tuple[int, int, int, int]],
    ) -> None:
        """A product with one leg opened: cotangent · other, of the shape of `into`."""
        if not self.active[into]:
            return
        if not set(into_axes) <= {*axes, *other_axes}:
            raise NotImplementedError("a product that sums a channel of one operand alone cannot be differentiated")
        own, domain = self.program.instructions[into], self.builder[cotangent].domain
        domain = self.builder[other].domain if domain is None else domain
        ordered = tuple(sorted(terms, key=lambda term: (term[2], term[0], term[1])))
        op = Product(cotangent, other, axes, other_axes, into_axes, ordered)
        note = f"grad of {own.note}"
        value = self.builder.emit(op, own.components, own.channels, domain, note)
        if own.domain is None and domain is not None:
            value = self.builder.emit(Total(value), own.components, own.channels, None, note)
        self._add(into, value)

    def _linear(self, op: Linear, cotangent: int, instruction: Instruction) -> None:
        for source, value in enumerate(op.values):
            if not self.active[value]:
                continue
            own = self.program.instructions[value]
            turned = self._unordered(cotangent, op.order, own.channels)
            if own.domain is None and self.builder[turned].domain is not None:
                one = self.builder[turned]
                turned = self.builder.emit(Total(turned), one.components, one.channels, None, one.note)
            self._add(value, turned, ((k, i, c) for s, i, k, c in op.entries if s == source))

    def _unordered(self, value: int, order: tuple[int, ...], channels: tuple[int, ...]) -> int:
        """A cotangent with the channel axes that the value had before they were ordered and reshaped."""
        if not order:
            return self._reshaped(value, channels)
        value = self._reshaped(value, tuple(channels[axis] for axis in order))
        inverse = tuple(order.index(axis) for axis in range(len(order)))
        one = self.builder[value]
        op = Linear((value,), tuple((0, i, i, ONE) for i in range(one.components)), inverse)
        return self.builder.emit(op, one.components, channels, one.domain, one.note)

    def _reshaped(self, value: int, channels: tuple[int, ...]) -> int:
        one = self.builder[value]
        if one.channels == channels:
            return value
        op = Linear((value,), tuple((0, i, i, ONE) for i in range(one.components)))
        return self.builder.emit(op, one.components, channels, one.domain, one.note)

    # --- cotangents of operands ------------------------------------------------------------------------------------

    def _result(self, name: str, totals: dict[int, int]) -> ProgramOutput | None:
        """The flat cotangent of a leg or weight: its cells, one behind the other, zero where no view looks."""
        leg = next((leg for leg in self.program.legs if leg.name == name), None)
        weight = next((weight for weight in self.program.weights if weight.name == name), None)
        views = [n for n in sorted(totals) if operand_of(self.program.instructions[n]) == name]
        if not views:
            return None
        cells: dict[tuple[int, int, int], list[Cell]] = {}
        for view in views:
            for cell in _cells(self.program.instructions[view], view):
                cells.setdefault((cell.start, cell.mul, cell.dim), []).append(cell)
        ordered, called = [cells[key] for key in sorted(cells)], self.names.fresh(f"grad_{name}")
        if leg is not None:
            return ProgramOutput(called, tuple(self._blocks(ordered, totals, leg.dim, False)), leg.domain)
        assert weight is not None
        blocks = self._blocks(ordered, totals, weight.numel, bool(weight.rows))
        return ProgramOutput(called, tuple(blocks), None, weight.rows)

    def _blocks(
        self, cells: Sequence[Sequence[Cell]], totals: dict[int, int], size: int, rows: bool
    ) -> Iterable[OutputBlock]:
        done, found = 0, []
        like = self._value([cells[0][0].view], totals, rows)
        for group in cells:
            cell = group[0]
            if cell.start < done:
                raise NotImplementedError("parts of an operand that overlap cannot be differentiated")
            if cell.start > done:
                found.append(self._gap(like, cell.start - done))
            value = self._value([one.view for one in group], totals, rows, group)
            first = cell.first if len(group) == 1 else 0
            found.append(OutputBlock(((value, first),), cell.mul, cell.dim))
            done = cell.end
        if done < size:
            found.append(self._gap(like, size - done))
        return found

    def _gap(self, like: int, size: int) -> OutputBlock:
        zero = self.builder.emit(Zeros(like), 1, (size,), self.builder[like].domain, "no path")
        return OutputBlock(((zero, 0),), size, 1)

    def _value(self, views: Sequence[int], totals: dict[int, int], rows: bool, cells: Sequence[Cell] = ()) -> int:
        """The cotangent that some views share; of a table of rows, its total."""
        makes = {view: self.program.instructions[view].op for view in views}
        kinds = {(op.rows, op.reads) for op in makes.values() if isinstance(op, WeightBlock)}
        values = [totals[view] for view in views]
        if rows and len(kinds) > 1:  # rows are selected in different ways
            values = [self._rows(value, makes[view]) for value, view in zip(values, views, strict=True)]
        value = values[0] if len(values) == 1 else self._added(values, cells, views[0])
        return self._rows(value, makes[views[0]]) if rows and len(kinds) == 1 else value

    def _added(self, values: Sequence[int], cells: Sequence[Cell], view: int) -> int:
        first, one = cells[0], self.program.instructions[view]
        entries = [(source, cell.first + i, i, ONE) for i in range(first.dim) for source, cell in enumerate(cells)]
        op, domain = Linear(tuple(values), tuple(entries)), self.builder[values[0]].domain
        return self.builder.emit(op, first.dim, one.channels, domain, one.note)

    def _rows(self, value: int, op: Op) -> int:
        """A cotangent of selected rows, added into the table."""
        assert isinstance(op, WeightBlock)
        one = self.builder[value]
        return self.builder.emit(Total(value, op.rows, op.reads), one.components, one.channels, None, one.note)


def _continues(before: Table, part: Table, width: int) -> bool:
    """Whether a component stands behind those before it, in the total and in the table."""
    places = (before.start + before.count * width, before.first + before.count)
    return (part.name, part.start, part.first, part.factor) == (before.name, *places, before.factor)


def operand_of(instruction: Instruction) -> str:
    op = instruction.op
    return op.leg if isinstance(op, LegBlock) else op.weight if isinstance(op, WeightBlock) else ""


def _cells(instruction: Instruction, view: int) -> list[Cell]:
    """The intervals that a view is made of."""
    op, mul, cells, first = instruction.op, prod(instruction.channels), [], 0
    assert isinstance(op, LegBlock | WeightBlock)
    start = op.start
    for dim in op.dims if isinstance(op, LegBlock) else (1,) * instruction.components:
        cells.append(Cell(start, mul, dim, view, first))
        first, start = first + dim, start + mul * dim
    return cells


@dataclass(frozen=True)
class Run:
    """Components of a value that stand side by side in an output, in that order; `dims` are those of their blocks."""

    value: int
    components: tuple[int, ...]
    dims: tuple[int, ...]


def _runs(program: Program, output: ProgramOutput) -> list[Run]:
    """An output in the order of memory: in `ir_mul` the pieces of a block interleave, component by component."""
    runs: list[Run] = []
    for block in output.blocks:
        pieces = [(value, tuple(places)) for value, places in block.places]
        if program.layout == "ir_mul" and len(pieces) > 1:
            pieces = [(value, (places[k],)) for k in range(block.dim) for value, places in pieces]
        for value, places in pieces:
            if runs and runs[-1].value == value:
                before = runs.pop()
                runs.append(Run(value, before.components + places, (*before.dims, len(places))))
            else:
                runs.append(Run(value, places, (len(places),)))
    return [replace(run, dims=(sum(run.dims),)) for run in runs] if program.layout == "ir_mul" else runs

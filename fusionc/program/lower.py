"""Plan to program: each contraction becomes one instruction, and what two terms have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fusionc.algebra.tensors import contract
from fusionc.diagram.ir import IndexLeg, Space, TensorLeg
from fusionc.diagram.paths import PathTable
from fusionc.plan.network import (
    COMPONENT,
    ConstantSource,
    EdgeSource,
    EdgeTerms,
    Factor,
    ScaleSource,
    Source,
    Term,
    WeightSource,
)
from fusionc.plan.order import Steps, is_batched
from fusionc.program.ir import (
    Constant,
    Contract,
    Instruction,
    Layout,
    LegBlock,
    Op,
    OutputBlock,
    Program,
    ProgramLeg,
    ProgramOutput,
    ProgramWeight,
    Rearrange,
    Scale,
    Sum,
    WeightBlock,
    operands,
    renumbered,
)

CHANNEL_LETTERS = "uvwxyzabcdefgh"
COMPONENT_LETTERS = "ijklmnopqrst"


def lower(
    table: PathTable, edges: tuple[EdgeTerms, ...], order: Callable[[Term], Steps], layout: Layout = "mul_ir"
) -> Program:
    """The program that contracts every term in the given order and adds the terms up."""
    lowering = _Lowering(table, layout)
    for edge in edges:
        lowering.edge(edge, order)
    return lowering.program()


@dataclass
class _Lowering:
    table: PathTable
    layout: Layout
    instructions: list[Instruction] = field(default_factory=list)
    _path: str = ""
    _known: dict[tuple[Op, tuple[int, ...]], int] = field(default_factory=dict)
    _blocks: dict[tuple[str, int], int] = field(default_factory=dict)
    _outputs: dict[str, tuple[OutputBlock, ...]] = field(default_factory=dict)

    # --- instructions ------------------------------------------------------------------------------------------

    def emit(self, op: Op, shape: tuple[int, ...], batched: bool, note: str = "") -> int:
        """The number of the value that an operation gives; the same operation is never emitted twice."""
        key = (op, shape)
        if key not in self._known:
            self._known[key] = len(self.instructions)
            self.instructions.append(Instruction(op, shape, batched, note, self._path))
        return self._known[key]

    def shape(self, value: int) -> tuple[int, ...]:
        return self.instructions[value].shape

    def ordered(self, channels: Iterable[str], components: Iterable[str]) -> tuple[str, ...]:
        """Axes in the order of the layout."""
        if self.layout == "mul_ir":
            return (*channels, *components)
        return (*components, *channels)

    # --- terms -------------------------------------------------------------------------------------------------

    def edge(self, edge: EdgeTerms, order: Callable[[Term], Steps]) -> None:
        """All blocks of an edge."""
        values: dict[int, list[int]] = {}
        for term in edge.terms:
            values.setdefault(term.place, []).append(self.term(term, order(term)))
        graph = self.table.graph
        if edge.edge not in graph.output_table:
            for place, parts in values.items():
                self._blocks[edge.edge, place] = self.sum(parts, f"{edge.edge} {self._irrep(edge.edge, place)}")
            return
        blocks = []
        for place, block in enumerate(self.table.outputs[edge.edge].blocks):
            parts = values[place]
            if not edge.keeps:
                parts = [self.sum(parts, f"{edge.edge} {graph.group.format(block.irrep)}")]
            blocks.append(OutputBlock(tuple(parts), block.mul, graph.group.dim(block.irrep)))
        self._outputs[edge.edge] = tuple(blocks)

    def _irrep(self, edge: str, place: int) -> str:
        return self.table.graph.group.format(self.table.blocks[edge][place].irrep)

    def sum(self, values: list[int], note: str) -> int:
        if len(values) == 1:
            return values[0]
        self._path = ""
        first = self.instructions[values[0]]
        batched = any(self.instructions[value].batched for value in values)
        return self.emit(Sum(tuple(values)), first.shape, batched, note)

    def term(self, term: Term, steps: Steps) -> int:
        """Contract a term's factors in the order of the steps."""
        self._path = term.note
        pool: list[tuple[int, tuple[str, ...]] | ScaleSource] = [self.factor(factor, term) for factor in term.factors]
        alive = set(range(len(pool)))
        for left, right in steps:
            alive -= {left, right}
            needed = set(term.axes).union(*(_axes(pool[number]) for number in alive))
            is_last = not alive
            pool.append(self._pair(pool[left], pool[right], needed, term, is_last))
            alive.add(len(pool) - 1)
        last = pool[-1]
        assert not isinstance(last, ScaleSource)
        return self._as_target(last, term)

    def factor(self, factor: Factor, term: Term) -> tuple[int, tuple[str, ...]] | ScaleSource:
        source, axes = factor.source, factor.axes
        if isinstance(source, ScaleSource):
            return source
        if isinstance(source, EdgeSource):
            axes = self._layout_axes(axes)
        shape = tuple(term.sizes[axis] for axis in axes)
        return self._source(source, shape), axes

    def _layout_axes(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        channels = [axis for axis in axes if not axis.startswith(COMPONENT)]
        return self.ordered(channels, [axis for axis in axes if axis.startswith(COMPONENT)])

    def _source(self, source: Source, shape: tuple[int, ...]) -> int:
        graph = self.table.graph
        if isinstance(source, WeightSource):
            start = self.table.weights[source.weight].offsets[source.part]
            batched = is_batched(source, frozenset(graph.weights_legs))
            return self.emit(WeightBlock(source.weight, start, source.rows), shape, batched)
        if isinstance(source, ConstantSource):
            return self.emit(Constant(source.tensor, source.label), shape, False, source.label)
        assert isinstance(source, EdgeSource)
        if source.edge in graph.tensor_legs:
            leg = graph.tensor_legs[source.edge]
            start = leg.space.offsets(graph.group)[source.place]
            note = f"{leg.name} {graph.group.format(leg.space.blocks[source.place].irrep)}"
            return self.emit(LegBlock(leg.name, start), shape, True, note)
        return self._blocks[source.edge, source.place]

    def _pair(
        self,
        left: tuple[int, tuple[str, ...]] | ScaleSource,
        right: tuple[int, tuple[str, ...]] | ScaleSource,
        needed: set[str],
        term: Term,
        is_last: bool,
    ) -> tuple[int, tuple[str, ...]]:
        if isinstance(right, ScaleSource):
            left, right = right, left
        assert not isinstance(right, ScaleSource)
        if isinstance(left, ScaleSource):
            value, axes = right
            instruction = self.instructions[value]
            return self.emit(Scale(value, left.value), instruction.shape, instruction.batched), axes
        (one, one_axes), (two, two_axes) = left, right
        union = tuple(dict.fromkeys((*one_axes, *two_axes)))
        kept = [axis for axis in union if axis in needed]
        axes = self._layout_axes(tuple(kept))
        if is_last and set(axes) == set(term.axes):
            axes = self._layout_axes(term.axes)
        letters = _letters(union)
        op = Contract(one, two, _word(letters, one_axes), _word(letters, two_axes), _word(letters, axes))
        batched = self.instructions[one].batched or self.instructions[two].batched
        shape = tuple(term.sizes[axis] for axis in axes)
        return self._folded(op, shape) or self.emit(op, shape, batched), axes

    def _folded(self, op: Contract, shape: tuple[int, ...]) -> int | None:
        """Two vertex tensors that are contracted with each other are one, exactly, and cost nothing at run time."""
        left, right = self.instructions[op.left].op, self.instructions[op.right].op
        if not (isinstance(left, Constant) and isinstance(right, Constant)):
            return None
        tensor = contract(f"{op.left_axes},{op.right_axes}->{op.axes}", left.tensor, right.tensor)
        label = f"({left.label}), ({right.label})"
        return self.emit(Constant(tensor, label), shape, False, label)

    def _as_target(self, value: tuple[int, tuple[str, ...]], term: Term) -> int:
        number, axes = value
        wanted = self._layout_axes(term.axes)
        if axes == wanted:
            return number
        letters = _letters(axes)
        op = Rearrange(number, _word(letters, axes), _word(letters, wanted))
        shape = tuple(term.sizes[axis] for axis in wanted)
        return self.emit(op, shape, self.instructions[number].batched)

    # --- the whole ---------------------------------------------------------------------------------------------

    def program(self) -> Program:
        graph = self.table.graph
        legs = tuple(self._leg(leg) for leg in graph.legs)
        weights = tuple(
            ProgramWeight(layout.name, layout.rows, layout.numel)
            for layout in self.table.weights.values()
            if layout.learned
        )
        outputs = tuple(ProgramOutput(output.name, self._outputs[output.name]) for output in graph.outputs)
        return without_dead_code(
            Program(
                name=graph.name,
                layout=self.layout,
                is_complex=graph.basis == "complex",
                legs=legs,
                weights=weights,
                instructions=tuple(self.instructions),
                outputs=outputs,
            )
        )

    def _leg(self, leg: object) -> ProgramLeg:
        group = self.table.graph.group
        if isinstance(leg, TensorLeg):
            return ProgramLeg(leg.name, "tensor", leg.space.dim(group), space_text(self.table, leg.space))
        if isinstance(leg, IndexLeg):
            return ProgramLeg(leg.name, "index", leg.size, f"index({leg.size})")
        name: str = leg.name  # type: ignore[attr-defined]
        numel = self.table.weights[name].numel if name in self.table.weights else 0
        return ProgramLeg(name, "weights", numel, "weights")


def space_text(table: PathTable, space: Space) -> str:
    """`64x0e + 64x1o`, as in the language."""
    group = table.graph.group
    return " + ".join(f"{block.mul}x{group.format(block.irrep)}" for block in space.blocks)


def _axes(value: tuple[int, tuple[str, ...]] | ScaleSource) -> tuple[str, ...]:
    return () if isinstance(value, ScaleSource) else value[1]


def _letters(axes: tuple[str, ...]) -> dict[str, str]:
    """One letter for each axis, channels from one alphabet and components from another, in order of appearance."""
    channels = [axis for axis in axes if not axis.startswith(COMPONENT)]
    components = [axis for axis in axes if axis.startswith(COMPONENT)]
    letters = dict(zip(channels, CHANNEL_LETTERS, strict=False)) | dict(
        zip(components, COMPONENT_LETTERS, strict=False)
    )
    spare = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return {axis: letters.get(axis) or next(spare) for axis in axes}


def _word(letters: dict[str, str], axes: tuple[str, ...]) -> str:
    return "".join(letters[axis] for axis in axes)


def without_dead_code(program: Program) -> Program:
    """The program without the instructions that no output needs (vertex tensors that were folded into others)."""
    alive = {value for output in program.outputs for block in output.blocks for value in block.values}
    for number in range(len(program.instructions) - 1, -1, -1):
        if number in alive:
            alive.update(operands(program.instructions[number].op))
    place = {number: position for position, number in enumerate(sorted(alive))}
    instructions = tuple(
        replace(program.instructions[number], op=renumbered(program.instructions[number].op, place)) for number in place
    )
    outputs = tuple(
        replace(
            output,
            blocks=tuple(replace(b, values=tuple(place[value] for value in b.values)) for b in output.blocks),
        )
        for output in program.outputs
    )
    return replace(program, instructions=instructions, outputs=outputs)

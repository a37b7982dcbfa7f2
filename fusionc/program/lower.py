"""Plan to program: states become wide values, weights meet them in the cheapest way, and nothing is computed twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from fusionc.algebra.surds import ONE
from fusionc.diagram.ir import IndexLeg, Leg, Space, TensorLeg
from fusionc.diagram.paths import PathTable
from fusionc.plan.expand import EdgePlan, Expansion
from fusionc.program.build import Builder
from fusionc.program.fuse import Side
from fusionc.program.ir import (
    BATCH,
    Layout,
    Linear,
    OutputBlock,
    Program,
    ProgramLeg,
    ProgramOutput,
    ProgramRelation,
    ProgramWeight,
)
from fusionc.program.prune import pruned
from fusionc.program.roots import Root
from fusionc.program.values import Sizes, Values
from fusionc.program.weigh import weigh

Mode = str | None
"""How weights meet states; None: in the cheapest way, product by product."""


@dataclass(frozen=True)
class Lowered:
    """A program, and in words how weights met states."""

    program: Program
    notes: tuple[str, ...]


def lower(
    table: PathTable, plans: Sequence[EdgePlan], builder: Builder, layout: Layout = "mul_ir", mode: Mode = None
) -> Lowered:
    """The program of a plan."""
    values = Values(table, builder)
    values.demand(
        use.state for plan in plans for expansion in plan.expansions for path in expansion.paths for use, _ in path
    )
    lowering = _Lowering(table, builder, values, mode)
    for plan in plans:
        lowering.edge(plan)
    program = pruned(_program(table, builder, lowering.outputs, layout))
    return Lowered(program, tuple(dict.fromkeys(builder.notes)))


Placed = dict[Any, tuple[int, int]]
"""Where blocks are: (value, first component), by place or by path."""


@dataclass
class _Lowering:
    table: PathTable
    builder: Builder
    values: Values
    mode: Mode
    outputs: dict[str, tuple[OutputBlock, ...]] = field(default_factory=dict)

    def edge(self, plan: EdgePlan) -> None:
        """All blocks of an edge: the products that end in it, added up."""
        keeps, is_output = plan.expansions[0].product.keeps, plan.edge in self.table.graph.output_table
        sides: dict[Sizes, list[Side]] = {}
        for expansion in sorted(plan.expansions, key=lambda one: -len(one.product.leaves)):
            for sizes, side in self.product(expansion):
                flat = is_output and not keeps  # brackets of one output may differ: only their products have to agree
                sides.setdefault((prod(sizes),) if flat else sizes, []).append(side)
        summed = {sizes: self.sum(parts, plan.edge) for sizes, parts in sides.items()}
        if is_output:
            self.outputs[plan.edge] = tuple(self._blocks(plan, summed, keeps))
            return
        for sizes, side in summed.items():
            self.values.set_edge(plan.edge, sizes, side if keeps else self._numbered(plan, side))

    def _numbered(self, plan: EdgePlan, side: Side) -> Side:
        """Blocks of a plain edge are numbered among those that some path reaches."""
        places = sorted({path.place for expansion in plan.expansions for path in expansion.product.paths})
        number = {place: at for at, place in enumerate(places)}
        return Side(side.value, side.names, {number[place]: start for place, start in side.starts.items()})

    def product(self, expansion: Expansion) -> list[tuple[Sizes, Side]]:
        """The values of a product, one for each set of channel sizes: blocks by place (by path where they are kept)."""
        product, found = expansion.product, []
        groups: dict[tuple[int, ...], list[int]] = {}
        for position, path in enumerate(product.paths):
            groups.setdefault(path.sizes, []).append(position)
        for positions in groups.values():
            root = Root(self.table, self.builder, self.values, expansion, tuple(positions))
            side = weigh(root, self.mode)
            found.append((tuple(root.extents[index] for index in root.target), side))
        return found

    def sum(self, sides: Sequence[Side], note: str) -> Side:
        """Sides of as many channels, block by block added up; where their brackets differ, row-major in one axis."""
        if len(sides) == 1:
            return sides[0]
        builder = self.builder
        dims = {key: dim for side in sides for key, dim in self._dims(side).items()}
        starts, total = {}, 0
        for key in sorted(dims):
            starts[key] = total
            total += dims[key]
        entries = [
            (source, start + i, starts[key] + i, ONE)
            for source, side in enumerate(sides)
            for key, start in side.starts.items()
            for i in range(dims[key])
        ]
        brackets = dict.fromkeys(builder[side.value].channels for side in sides)
        channels = next(iter(brackets)) if len(brackets) == 1 else (prod(next(iter(brackets))),)
        op = Linear(tuple(side.value for side in sides), tuple(sorted(entries, key=lambda e: (e[2], e[0]))))
        value = builder.emit(op, total, channels, self._domain(sides), note)
        return Side(value, sides[0].names, starts)

    def _domain(self, sides: Sequence[Side]) -> str | None:
        return next((d for side in sides if (d := self.builder[side.value].domain) is not None), None)

    def _dims(self, side: Side) -> dict[Any, int]:
        """The dimension of every block: up to where the next one starts."""
        ordered = sorted(side.starts.items(), key=lambda item: item[1])
        ends = [start for _, start in ordered[1:]] + [self.builder[side.value].components]
        return {key: end - start for (key, start), end in zip(ordered, ends, strict=True)}

    def _blocks(self, plan: EdgePlan, sides: Mapping[Sizes, Side], keeps: bool) -> Iterable[OutputBlock]:
        graph = self.table.graph
        where: dict[Any, list[tuple[int, int]]] = {}
        if keeps:
            order = [path for expansion in plan.expansions for path in expansion.product.paths]
            found = {key: (side.value, start) for side in sides.values() for key, start in side.starts.items()}
            for path in order:
                where.setdefault(path.place, []).append(found[path.number])
        else:
            for side in sides.values():
                for place, start in side.starts.items():
                    where[place] = [(side.value, start)]
        for place, block in enumerate(self.table.outputs[plan.edge].blocks):
            yield OutputBlock(tuple(where[place]), block.mul, graph.group.dim(block.irrep))


# --- the whole -----------------------------------------------------------------------------------------------------


def _program(
    table: PathTable, builder: Builder, outputs: Mapping[str, tuple[OutputBlock, ...]], layout: Layout
) -> Program:
    graph = table.graph
    return Program(
        name=graph.name,
        layout=layout,
        is_complex=graph.basis == "complex",
        legs=tuple(_leg(table, leg) for leg in graph.legs),
        weights=tuple(
            ProgramWeight(found.name, found.rows, found.numel) for found in table.weights.values() if found.learned
        ),
        instructions=tuple(builder.instructions),
        outputs=tuple(ProgramOutput(o.name, outputs[o.name], o.domain or BATCH) for o in graph.outputs),
        sites=graph.sites,
        relations=tuple(ProgramRelation(r.name, r.first, r.second) for r in graph.relations),
    )


def _leg(table: PathTable, leg: Leg) -> ProgramLeg:
    group = table.graph.group
    if isinstance(leg, TensorLeg):
        blocks = tuple((block.mul, group.dim(block.irrep)) for block in leg.space.blocks)
        return ProgramLeg(
            leg.name, "tensor", leg.space.dim(group), space_text(table, leg.space), leg.domain or BATCH, blocks
        )
    if isinstance(leg, IndexLeg):
        return ProgramLeg(leg.name, "index", leg.size, f"index({leg.size})", leg.domain or BATCH)
    numel = table.weights[leg.name].numel if leg.name in table.weights else 0
    return ProgramLeg(leg.name, "weights", numel, "weights", leg.domain or BATCH)


def space_text(table: PathTable, space: Space) -> str:
    """`64x0e + 64x1o`, as in the language."""
    group = table.graph.group
    return " + ".join(f"{block.mul}x{group.format(block.irrep)}" for block in space.blocks)

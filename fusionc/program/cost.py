"""What a program costs, counted instruction by instruction from the list that is emitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from fusionc.algebra.surds import Surd
from fusionc.program.ir import (
    BATCH,
    VIEWS,
    Instruction,
    Linear,
    Pool,
    Product,
    Program,
    Scatter,
    Total,
    channel_sizes,
    operands,
)

PAIRS_PER_SITE = 20
"""How many pairs a site has where nobody says: what a cutoff of 5 to 6 Angstrom gives in a molecule."""


@dataclass(frozen=True)
class Cost:
    """Multiplications of values with each other; additions; bytes read and written by all instructions, tables of
    constants included; the most bytes that are alive at once in intermediate results and outputs (operands, weights and
    constants not counted). For a whole batch.

    `scalings` are multiplications with a constant other than 1 and -1: each belongs to an addition, and runs with it as
    one fused instruction, so they are counted apart.
    """

    multiplications: int
    additions: int
    bytes: int
    peak_bytes: int
    scalings: int

    @property
    def operations(self) -> int:
        return self.multiplications + self.additions


@dataclass(frozen=True)
class Work:
    """One step, for the whole batch: arithmetic, and numbers read and written; `size` of its result, the steps that it
    reads."""

    multiplications: int
    additions: int
    moved: int
    size: int
    reads: tuple[int, ...]
    scalings: int = 0


@dataclass(frozen=True)
class Sizes:
    """How many elements each domain has: `batch` of them, and in each so many sites and pairs."""

    batch: int
    domains: Mapping[str, int]

    def of(self, domain: str | None) -> int:
        if domain is None:
            return 1
        return self.batch * (1 if domain == BATCH else self.domains[domain])


class Relation(Protocol):
    """A relation, as graphs and programs have it."""

    @property
    def name(self) -> str: ...
    @property
    def first(self) -> str: ...


class OverSites(Protocol):
    """What has sites and relations: a graph, a program."""

    @property
    def sites(self) -> tuple[str, ...]: ...
    @property
    def relations(self) -> Sequence[Relation]: ...


def domain_sizes(diagram: OverSites, batch: int, sizes: Mapping[str, int] | None = None) -> Sizes:
    """Sizes of all domains. In a diagram over sites the batch is the number of sites of every set that `sizes` does
    not name, and a relation has `PAIRS_PER_SITE` pairs for each site."""
    given = dict(sizes or {})
    if not diagram.sites:
        return Sizes(batch, {})
    domains = {name: given.get(name, batch) for name in diagram.sites}
    domains |= {r.name: given.get(r.name, PAIRS_PER_SITE * domains[r.first]) for r in diagram.relations}
    return Sizes(1, domains)


def count(program: Program, batch: int = 1, itemsize: int = 4, sizes: Mapping[str, int] | None = None) -> Cost:
    """Count a program for `batch` elements of `itemsize` bytes a number."""
    counter = domain_sizes(program, batch, sizes)
    works = [_work(program, instruction, counter) for instruction in program.instructions]
    written = sum(output.dim * counter.of(output.domain) for output in program.outputs)
    return total(works, program.returned, written, itemsize)


def total(works: Sequence[Work], kept: Iterable[int], written: int, itemsize: int) -> Cost:
    """The cost of steps; `kept` are those whose results are needed to the end, `written` the numbers of the outputs."""
    return Cost(
        sum(work.multiplications for work in works),
        sum(work.additions for work in works),
        sum(work.moved for work in works) * itemsize,
        (_peak(works, kept) + written) * itemsize,
        sum(work.scalings for work in works),
    )


def _work(program: Program, instruction: Instruction, sizes: Sizes) -> Work:
    op, elements = instruction.op, sizes.of(instruction.domain)
    if isinstance(op, VIEWS):
        return Work(0, 0, 0, 0, operands(op))
    result = instruction.size * elements
    read = sum(program.instructions[v].size * sizes.of(program.instructions[v].domain) for v in operands(op))
    tables = len(op.entries) if isinstance(op, Linear) else 0
    arithmetic = _arithmetic(program, instruction, elements, result, sizes)
    return Work(arithmetic[0], arithmetic[1], read + result + tables, result, operands(op), arithmetic[2])


def _arithmetic(
    program: Program, instruction: Instruction, elements: int, result: int, sizes: Sizes
) -> tuple[int, int, int]:
    """Multiplications, additions and scalings."""
    op, width = instruction.op, prod(instruction.channels) * elements
    if isinstance(op, Product):
        products = len(op.terms) * prod(channel_sizes(program, op).values()) * elements
        return products, products - reached(term[2] for term in op.terms) * width, 0
    if isinstance(op, Linear):
        added = len(op.entries) - reached(entry[2] for entry in op.entries)
        return 0, added * width, nonunit(entry[3] for entry in op.entries) * width
    if isinstance(op, Scatter | Pool | Total):
        value = program.instructions[op.value]
        return 0, max(value.size * sizes.of(value.domain) - result, 0), 0
    return 0, 0, 0


def reached(components: Iterable[int]) -> int:
    """How many components some terms add up in; what no term reaches is zero."""
    return len(set(components))


def nonunit(coefficients: Iterable[Surd]) -> int:
    """How many of some coefficients are neither 1 nor -1: only those have to be multiplied with."""
    return sum(not value.is_unit for value in coefficients)


def _peak(works: Sequence[Work], kept: Iterable[int]) -> int:
    """The largest sum of results that are computed and still needed."""
    last = {value: number for number, work in enumerate(works) for value in _roots(works, work.reads)}
    for value in _roots(works, kept):
        last[value] = len(works)
    alive = peak = 0
    ends: dict[int, int] = {}
    for number, work in enumerate(works):
        if not work.size:
            continue
        alive += work.size
        peak = max(peak, alive)
        end = last.get(number, number)
        ends[end] = ends.get(end, 0) + work.size
        alive -= ends.pop(number, 0)
    return peak


def _roots(works: Sequence[Work], values: Iterable[int]) -> Iterator[int]:
    """Values, seen through views."""
    for value in values:
        while not works[value].size and works[value].reads:
            value = works[value].reads[0]
        yield value

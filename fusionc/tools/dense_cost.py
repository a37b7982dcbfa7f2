"""What a diagram costs on dense tensors: path after path, two factors at a time, what paths share computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

from fusionc.diagram.paths import PathTable
from fusionc.program.cost import Cost, Sizes, Work, total
from fusionc.tools.dense_network import ConstantSource, EdgeSource, EdgeTerms, Factor, ScaleSource, Term, WeightSource
from fusionc.tools.dense_order import Steps, is_batched


def dense_cost(
    table: PathTable, edges: Iterable[EdgeTerms], order: Callable[[Term], Steps], sizes: Sizes, itemsize: int
) -> Cost:
    """The cost of contracting every term in an order. Constants that meet constants are free; additions of terms that
    end in one block are counted."""
    counter = _Counter(table, sizes)
    for edge in edges:
        counter.edge(edge, order)
    graph = table.graph
    written = sum(
        table.outputs[output.name].dim(graph.group) * sizes.of(output.domain or "") for output in graph.outputs
    )
    return total(counter.works, counter.kept, written, itemsize)


@dataclass(frozen=True)
class _Value:
    """A tensor on the way: its step (None: an input or a constant), its axes in an order that names nothing, whether
    it is a constant, and the domain that it lives on."""

    key: Any
    step: int | None
    axes: tuple[str, ...]
    domain: str | None
    constant: bool = False


@dataclass
class _Counter:
    table: PathTable
    sizes: Sizes
    works: list[Work] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    _known: dict[Any, int] = field(default_factory=dict)
    _blocks: dict[tuple[str, int], _Value] = field(default_factory=dict)

    def edge(self, edge: EdgeTerms, order: Callable[[Term], Steps]) -> None:
        blocks: dict[int, list[tuple[_Value, int]]] = {}
        for term in edge.terms:
            value = self._term(term, order(term))
            blocks.setdefault(term.place, []).append((value, prod(term.sizes[axis] for axis in term.axes)))
        for place, values in blocks.items():
            self._finish(edge, place, values)

    def _finish(self, edge: EdgeTerms, place: int, values: list[tuple[_Value, int]]) -> None:
        parts, size = [value for value, _ in values], values[0][1] * self.sizes.of(values[0][0].domain)
        if len(parts) > 1 and not edge.keeps:
            reads = tuple(part.step for part in parts if part.step is not None)
            self.works.append(Work(0, (len(parts) - 1) * size, (len(parts) + 1) * size, size, reads))
            parts = [_Value((edge.edge, place), len(self.works) - 1, (), parts[0].domain)]
        self._blocks[edge.edge, place] = parts[0]
        if edge.edge in self.table.graph.output_table:
            self.kept += [part.step for part in parts if part.step is not None]

    def _term(self, term: Term, steps: Steps) -> _Value:
        pool = [self._factor(factor, term) for factor in term.factors]
        alive = set(range(len(pool)))
        for left, right in steps:
            alive -= {left, right}
            needed = set(term.axes).union(*(pool[number].axes for number in alive))
            pool.append(self._pair(pool[left], pool[right], needed, term))
            alive.add(len(pool) - 1)
        return pool[-1]

    def _factor(self, factor: Factor, term: Term) -> _Value:
        source = factor.source
        if isinstance(source, EdgeSource):
            found = self._blocks.get((source.edge, source.place))
            key = ("edge", source.edge, source.place)
            return _Value(key, found.step if found else None, factor.axes, self.table.graph.domain(source.edge) or "")
        constant = isinstance(source, ConstantSource | ScaleSource)
        domain = None
        if isinstance(source, WeightSource) and is_batched(source, term.batched_weights):
            domain = self._weight_domain(source)
        return _Value(source, None, factor.axes, domain, constant)

    def _weight_domain(self, source: WeightSource) -> str:
        graph = self.table.graph
        if source.weight in graph.weights_legs:
            return graph.weights_legs[source.weight].domain or ""
        return self._larger(*(graph.index_legs[row].domain or "" for row in source.rows)) or ""

    def _larger(self, *domains: str | None) -> str | None:
        """The domain where values meet: of sites and pairs that of the pairs. (Where several relations meet this is
        less than what the written order takes: it goes through all their combinations.)"""
        return max((domain for domain in domains if domain is not None), key=self.sizes.of, default=None)

    def _pair(self, left: _Value, right: _Value, needed: set[str], term: Term) -> _Value:
        union = tuple(dict.fromkeys((*left.axes, *right.axes)))
        axes = tuple(axis for axis in union if axis in needed)
        place = {axis: number for number, axis in enumerate(union)}
        spelled = tuple(tuple(place[axis] for axis in part) for part in (left.axes, right.axes, axes))
        sizes = tuple(term.sizes[axis] for axis in union)
        key = (left.key, right.key, spelled, sizes)
        domain = self._larger(left.domain, right.domain)
        if left.constant and right.constant:
            return _Value(key, None, axes, None, constant=True)
        if key not in self._known:
            self._known[key] = len(self.works)
            self.works.append(self._work(left, right, axes, term, domain))
        return _Value(key, self._known[key], axes, domain)

    def _work(self, left: _Value, right: _Value, axes: tuple[str, ...], term: Term, domain: str | None) -> Work:
        def size(names: Iterable[str], on: str | None) -> int:
            return prod(term.sizes[name] for name in names) * self.sizes.of(on)

        products, result = size({*left.axes, *right.axes}, domain), size(axes, domain)
        moved = size(left.axes, left.domain) + size(right.axes, right.domain) + result
        reads = tuple(part.step for part in (left, right) if part.step is not None)
        return Work(products, products - result, moved, result, reads)

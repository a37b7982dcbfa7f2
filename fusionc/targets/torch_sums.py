"""Products channel by channel, and their sums: in regular pieces, so that nothing is gathered and little is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from fusionc.algebra.surds import ONE
from fusionc.program.grids import correlations, grids, layers
from fusionc.program.ir import Instruction, Op, OutputBlock, Product, Total
from fusionc.program.runs import Run, runs
from fusionc.program.thresholds import now
from fusionc.targets.torch_maps import Maps
from fusionc.targets.torch_patterns import contiguous, grids_text
from fusionc.targets.torch_tables import MatrixEntries


@dataclass
class Sums(Maps):
    """Prints products of values with the same channels."""

    def _is_weighing(self, op: Product, instruction: Instruction) -> bool:
        """Whether every component of a value is multiplied by one component of weights that each element has."""
        n = instruction.components
        if not op.left_axes == op.right_axes == op.axes or not op.axes:
            return False
        if [(term[0], term[2], term[3]) for term in op.terms] != [(k, k, 1) for k in range(n)]:
            return False
        left, right = self.program.instructions[op.left], self.program.instructions[op.right]
        return left.components == n and right.domain is not None

    def _weighed(self, op: Product, instruction: Instruction) -> str | None:
        """A value times weights, component by component, in a few regular pieces: nothing is gathered, and a value that
        nobody else reads is weighed where it is."""
        if not self._is_weighing(op, instruction):
            return None
        found = grids([term[1] for term in op.terms])
        if len(found) > now().most_grids:
            return None
        order = [pick for grid in found for pick in grid.picks]
        weights, dim = self.names[op.right], -1 - len(op.axes)
        if order != list(range(self.program.instructions[op.right].components)):
            weights = self._selected(weights, order, dim)
        fresh = self._is_fresh(op.left) and op.left != op.right
        parts = [self.names[op.left], weights, grids_text(found), str(dim), str(fresh), self._into(op)]
        return f"_weighed({', '.join(part for part in parts if part)})"

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
        if len(found) > now().most_grids or sorted(order) != list(range(instruction.components)):
            return None
        dim = -1 - len(op.axes)
        right = self._picked(replace(op, terms=tuple(terms)), True)
        right = right if right.isidentifier() else self._let("p", right)
        name = f"_added_products({self.names[op.left]}, {right}, {grids_text(found)}, {dim})"
        if order == list(range(len(order))):
            return name
        return self._selected(self._let("t", name), [order.index(k) for k in range(len(order))], dim)

    def _is_fresh(self, value: int) -> bool:
        """Whether a value has memory of its own, which nothing needs behind the instruction at hand."""
        alone = len(self._readers.get(value, [])) == 1 and value not in self._results
        return alone and isinstance(self.program.instructions[value].op, Product)

    def _layered(self, op: Product, instruction: Instruction) -> str | None:
        """Elementwise products that are added up in few regular layers: each is one operation, and nothing but the sum
        is held."""
        if not (op.left_axes == op.right_axes == op.axes and op.axes) or len(op.terms) < 2 * instruction.components:
            return None
        if len({term[2] for term in op.terms}) < instruction.components or self._is_totaled(instruction):
            return None
        found = layers(op.terms, now().most_layers)
        if found is None:
            return None
        dim, sides = -1 - len(op.axes), list[tuple[str, list[int] | None]]()
        for value, picks, side in ((op.left, found.lefts, "left"), (op.right, found.rights, "right")):
            starts = contiguous(found.found, picks, side)
            if starts is None:
                sides.append((self._selected(self.names[value], picks, dim), None))
            else:
                sides.append((self.names[value], starts))
        parts = []
        for number, layer in enumerate(found.found):
            texts = []
            for (start, kind), (_, starts) in zip((layer.left, layer.right), sides, strict=True):
                texts.append(f'({start if starts is None else starts[number]}, "{kind}")')
            parts.append(f"({layer.start}, {layer.rows}, {layer.columns}, {', '.join(texts)})")
        left, right = (name if name.isidentifier() else self._let("p", name) for name, _ in sides)
        return f"_layered({left}, {right}, ({', '.join(parts)},), {found.first}, {instruction.components}, {dim})"

    def _correlated(self, op: Product, instruction: Instruction) -> str | None:
        """Elementwise products of which nothing but the sum over everything is used, in groups that share components of
        one operand: no product outlives its group."""
        if not (op.left_axes == op.right_axes == op.axes and op.axes) or not self._is_totaled(instruction):
            return None
        flip, groups = correlations(op.terms)
        if not 0 < len(groups) <= now().most_layers or len({term[2] for term in op.terms}) < instruction.components:
            return None
        dim = -1 - len(op.axes)
        own, first = self._beside_each_other(op.right if flip else op.left, [group.own for group in groups], dim)
        shared, second = self._beside_each_other(op.left if flip else op.right, [group.shared for group in groups], dim)
        texts = [
            f"({one}, {two}, {len(group.results)}, {group.columns})"
            for group, one, two in zip(groups, first, second, strict=True)
        ]
        self._summed_early.append(instruction)
        text = f"_correlated({own}, {shared}, ({', '.join(texts)},), {dim})"
        order = [k for group in groups for k in group.results]
        if order == list(range(len(order))):
            return text
        return self._selected(self._let("s", text), [order.index(k) for k in range(len(order))], dim)

    def _beside_each_other(self, value: int, picks: Sequence[Sequence[int]], dim: int) -> tuple[str, list[int]]:
        """A value in which each of some lists of components stands side by side, and where each starts."""
        if all(list(part) == list(range(part[0], part[0] + len(part))) for part in picks):
            return self.names[value], [part[0] for part in picks]
        chosen = self._selected(self.names[value], [place for part in picks for place in part], dim)
        return self._let("p", chosen), [sum(map(len, picks[:at])) for at in range(len(picks))]

    def _is_totaled(self, instruction: Instruction) -> bool:
        """Whether nothing but a sum over everything reads a value: its terms are summed before they are combined."""
        number = self._number_of(instruction)
        readers = self._readers.get(number, [])
        if len(readers) != 1 or number in self._results or instruction.domain is None or not instruction.channels:
            return False
        return isinstance(readers[0].op, Total) and not readers[0].op.rows

    def _into(self, op: Op) -> str:
        """The place of the output, for the last operation that makes it as it stands."""
        last = self.program.instructions[-1]
        if not self.into or last.op is not op or self.whole_value(self.program.outputs[0].blocks) is None:
            return ""
        return self.into

    def whole_value(self, blocks: Sequence[OutputBlock]) -> int | None:
        """The value that is the output as it stands: its components in the order of memory."""
        at, value = 0, blocks[0].pieces[0][0]
        for block in blocks:
            found = runs(block)
            if self.program.layout == "ir_mul" and len(found) > 1:
                return None
            for run in found:
                if run.value != value or run.start != at or run.stride > 1 or self._is_turned(run, block.dim):
                    return None
                at += run.paths * block.dim
        return value if at == self.program.instructions[value].components else None

    def _is_turned(self, run: Run, dim: int) -> bool:
        """Whether the numbers of some paths, component after component, stand in another order in memory."""
        if dim == 1:
            return False
        if self.program.layout == "ir_mul":
            return run.paths > 1 and not run.interleaved
        return prod(self.program.instructions[run.value].channels) > 1 or run.interleaved

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

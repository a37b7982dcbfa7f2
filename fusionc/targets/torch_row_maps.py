"""Values in rows, of shape [components, ..., channels…]: operands as rows, and linear maps of them.

A row of a linear map is the sum of some rows, each with its factor. Where it is taken depends on who reads it: before
products, where they read it, or after a sum over the batch that leaves fewer rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import Instruction, LegBlock, Linear, Op, Product, Total, WeightBlock, Zeros
from fusionc.program.thresholds import now
from fusionc.targets.torch_ops import Arithmetic
from fusionc.targets.torch_patterns import by_pairs
from fusionc.targets.torch_tables import MatrixEntries
from fusionc.targets.torch_text import unflattened

Sum = Sequence[tuple[int, Surd]]
"""Rows, and their factors."""


@dataclass
class RowMaps(Arithmetic):
    """Prints operands and linear maps, components before the batch."""

    _repeated: dict[int, tuple[int, list[list[tuple[int, Surd]]]]] = field(default_factory=dict)
    """Sums of rows of a value that are taken where they are read: the value, and the rows of each sum."""
    _tabled: dict[int, str] = field(default_factory=dict)
    """Values of shape [components, rows of a table, channels…], and the index by which they are read."""
    _late: dict[int, int] = field(default_factory=dict)
    """Linear maps that are taken after the sum into a table that reads them, and of which value each is."""
    _spots: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    """Values whose components stand in other rows, among others that nobody asked for: how many, and which rows."""

    def site_dim(self, channels: int) -> int:
        return -1 - channels

    def component_dim(self, channels: int) -> int:
        return 0

    def _postponed(self, number: int, instruction: Instruction) -> bool:
        """Whether a linear map is taken over by those that read it. Before that: whether weights are tabled."""
        block = self._table_of(number)
        if block is not None:
            self._tabled[number] = self._row_indices(block.rows, block.reads, instruction.domain)[0]
            return False
        op = instruction.op
        if number in self._results or not isinstance(op, Linear) or not is_of_one(op) or instruction.domain is None:
            return False
        if self.program.instructions[op.values[0]].channels != instruction.channels:
            return False
        return self._is_late(number, op) or self._is_repeated(number, op)

    def _is_late(self, number: int, op: Linear) -> bool:
        """Whether nothing but sums into tables, which have fewer rows than the batch, is made of a linear map."""
        readers = [reader.op for reader in self._readers.get(number, [])]
        if op.values[0] in self._spots or not all(isinstance(one, Total) and bool(one.rows) for one in readers):
            return False
        self._late[number] = op.values[0]
        return True

    def _is_repeated(self, number: int, op: Linear) -> bool:
        """Whether sums of rows are taken where products read them, in their order and as often, so that nothing is
        gathered from them."""
        instruction, source = self.program.instructions[number], self.program.instructions[op.values[0]]
        sums = by_row(_summed(op), instruction.components)
        size = sum(map(len, sums))
        places = [self._gathered_by(number, reader.op) for reader in self._readers.get(number, [])]
        if not all(sums) or size == len(sums) or size * now().dense > len(sums) * source.components or not all(places):
            return False
        rows = [row for some in places for row in some]
        if sum(len(sums[row]) for row in rows) - size > len(rows):
            return False
        _, spots = self._spots.get(op.values[0], (0, range(source.components)))
        self._repeated[number] = op.values[0], [[(spots[i], c) for i, c in row] for row in sums]
        return True

    def _table_of(self, number: int) -> WeightBlock | None:
        """The weights that a value is made of alone, if it is made once for every row of their table, of which there
        are few, and read by an index where products need it."""
        instruction = self.program.instructions[number]
        op = instruction.op
        if isinstance(op, Linear) and is_of_one(op) and op.values[0] in self._tabled:
            return self._table_of(op.values[0])
        if not isinstance(op, WeightBlock) or len(op.rows) != 1 or number in self._results:
            return None
        size = self.program.leg(op.rows[0]).dim
        readers = self._readers.get(number, [])
        return op if size <= now().most_of_a_table and all(self._reads_table(number, one) for one in readers) else None

    def _reads_table(self, number: int, reader: Instruction) -> bool:
        """Whether an instruction takes rows of a value one by one, or is tabled itself."""
        op = reader.op
        if isinstance(op, Product):
            return op.left != op.right and not is_contraction(op)
        if not isinstance(op, Linear) or not is_of_one(op):
            return False
        own = self._number_of(reader)
        further = self._readers.get(own, [])
        alike = reader.channels == self.program.instructions[number].channels and own not in self._results
        return alike and all(self._reads_table(own, one) for one in further)

    def _gathered_by(self, number: int, op: Op) -> list[int]:
        """The rows of a value that a product gathers; none where it does something else with it."""
        if not isinstance(op, Product) or op.left == op.right or is_contraction(op):
            return []
        other = op.right if op.left == number else op.left
        if self.program.instructions[other].domain is None:
            return []
        terms = by_pairs(in_order(op))[0].terms
        rows = [term[0] if op.left == number else term[1] for term in terms]
        return [] if rows == list(range(self.program.instructions[number].components)) else rows

    def _is_totaled(self, instruction: Instruction) -> bool:
        return False

    def _into(self, op: Op) -> str:
        return ""  # components do not stand behind the batch

    # --- inputs --------------------------------------------------------------------------------------------------

    def _leg(self, op: LegBlock, instruction: Instruction) -> str:
        mul, start, total = (instruction.channels or (1,))[0], op.start, sum(op.dims)
        leg = self._called(op.leg)
        size = self.program.leg(op.leg).dim
        whole = leg if total * mul == size else f"{leg}[..., {start}:{start + total * mul}]"
        if not instruction.channels:
            return f"{whole}.movedim(-1, 0).contiguous()"
        if self.program.layout == "ir_mul" or mul == 1:
            return f"{unflattened(whole, -1, (total, mul))}.movedim(-2, 0).contiguous()"
        parts = []
        for dim in op.dims:
            piece = f"{leg}[..., {start}:{start + dim * mul}]"
            parts.append(f"{unflattened(piece, -1, (mul, dim))}.movedim(-1, 0)")
            start += dim * mul
        return f"{parts[0]}.contiguous()" if len(parts) == 1 else f"torch.cat(({', '.join(parts)}))"

    def _weight(self, op: WeightBlock, instruction: Instruction) -> str:
        number = self._number_of(instruction)
        own = replace(op, rows=()) if number in self._tabled else op
        text = super()._weight(own, instruction)
        if instruction.domain is None:
            return text
        return f"{text}.movedim({-1 - len(instruction.channels)}, 0).contiguous()"

    # --- linear maps -----------------------------------------------------------------------------------------------

    def _linear(self, op: Linear, instruction: Instruction) -> str:
        if op.values[0] not in self._spots:
            return super()._linear(op, instruction)
        count, spots = self._spots[op.values[0]]
        entries = {(k, spots[i]): c for (k, i), c in _summed(op).items()}
        value = self.names[op.values[0]]
        return self._let("t", self._applied(entries, instruction.components, count, value, instruction))

    def _gathered(self, op: Linear, instruction: Instruction) -> str | None:
        return None

    def _zeros(self, op: Zeros, instruction: Instruction) -> str:
        value, own = self.names[op.value], len(self.program.instructions[op.value].channels)
        middle = f"*{value}.shape[1:{value}.ndim - {own}]" if own else f"*{value}.shape[1:]"
        shape = ", ".join(map(str, (instruction.components, middle, *instruction.channels)))
        return f"{value}.new_zeros(({shape}))"

    def _rows_of(self, name: str, rows: Sequence[int], count: int) -> str:
        """Some of the `count` rows of a value."""
        if list(rows) == list(range(count)):
            return name
        if list(rows) == list(range(rows[0], rows[0] + len(rows))):
            return f"{name}[{rows[0]}:{rows[0] + len(rows)}]"
        return self._selected(name, rows, 0)

    def _applied(self, entries: MatrixEntries, rows: int, columns: int, value: str, instruction: Instruction) -> str:
        """A sparse matrix [rows, columns] over the rows of a value."""
        if len(entries) * now().dense > rows * columns:
            return f"_mixed({self._matrix(rows, columns, entries, instruction.note)}, {value})"
        return self._sums_of(by_row(entries, rows), value, columns, instruction.note)

    def _sums_of(self, sums: Sequence[Sum], value: str, count: int, note: str) -> str:
        """Sums of some of the `count` rows of a value."""
        if all(len(row) == 1 for row in sums):
            picked = self._rows_of(value, [i for ((i, _),) in sums], count)
            factors = [c for ((_, c),) in sums]
            return picked if all(c == ONE for c in factors) else f"_scaled({self._column(factors, note)}, {picked})"
        columns = [i for row in sums for i, _ in row]
        starts = [sum(map(len, sums[:k])) for k in range(len(sums))]
        factors = [c for row in sums for _, c in row]
        parts = [value, *(f"{self.index}[{self.tables.index(numbers)}]" for numbers in (columns, starts))]
        parts.append(str(max(map(len, sums))))
        parts += [] if all(c == ONE for c in factors) else [self._column(factors, note)]
        return f"_sums({', '.join(parts)})"

    def _total(self, op: Total, instruction: Instruction) -> str:
        """Sums over everything; into the rows of a table before linear maps, for these have fewer rows then."""
        if not op.rows:
            return super()._total(op, instruction)
        own, late = len(instruction.channels), self._late.get(op.value)
        text = self._tabulated(op, self.names[op.value if late is None else late], own, front=1)
        linear = self.program.instructions[op.value]
        if late is not None and isinstance(linear.op, Linear):
            columns = self.program.instructions[late].components
            name = self._let("s", text)
            text = self._applied(_summed(linear.op), linear.components, columns, name, linear)
        return f"{self._let('s', text)}.movedim(0, {-1 - own})"


def is_contraction(op: Product) -> bool:
    """Whether a product sums over channels."""
    return bool(set(op.left_axes) & set(op.right_axes) - set(op.axes))


def in_order(op: Product) -> Product:
    """The terms of a product by the component that they belong to."""
    return replace(op, terms=tuple(sorted(op.terms, key=lambda term: term[2])))


def by_row(entries: MatrixEntries, rows: int) -> list[list[tuple[int, Surd]]]:
    """For each row of a sparse matrix its columns and what stands there."""
    found: list[list[tuple[int, Surd]]] = [[] for _ in range(rows)]
    for (k, i), c in sorted(entries.items(), key=lambda entry: entry[0]):
        found[k].append((i, c))
    return found


def is_of_one(op: Linear) -> bool:
    """Whether a linear map is of one value, whose channels stay where they are."""
    return len(op.values) == 1 and not op.order


def _summed(op: Linear) -> MatrixEntries:
    """The matrix [result, component] of a linear map of one value."""
    return {(k, i): c for k, row in op.by_result.items() for (_, i), c in row.items()}

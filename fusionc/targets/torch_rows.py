"""Arithmetic in rows: values of shape [components, ..., channels…], a row for each component.

Where no operand becomes a matrix of its own for every element, rows are the better layout: what is gathered is
contiguous, and a sparse map over components adds up a few rows for each of its results, with no temporary.

    values  ──index_select──>  [terms, row]  ──  times [terms, row]  ──  sums of terms  ──>  [components, row]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import (
    Instruction,
    LegBlock,
    Linear,
    Op,
    OutputBlock,
    Product,
    Program,
    Total,
    WeightBlock,
    Zeros,
)
from fusionc.targets.torch_arrange import Run
from fusionc.targets.torch_grid import CALL, Rectangle, rectangles
from fusionc.targets.torch_ops import Arithmetic
from fusionc.targets.torch_patterns import by_pairs
from fusionc.targets.torch_tables import MatrixEntries

MOST_ROWS = 256
"""So many products are held at a time: what is held should fit into a cache."""

DENSE = 4
"""A matrix of which more than one entry in so many is not zero is applied whole."""

MOST_OF_A_TABLE = 128
"""Weights that an index leg selects are prepared for the whole table where it has so few rows."""

FULL = 0.6
"""So many of the sums of rows that a grid of products takes have to be there; the others are empty."""

GATHERED = 2
"""A product of rows that are gathered for it takes so many times as long as one of rows where they stand."""


def suits_rows(program: Program) -> bool:
    """Whether no value has to be a matrix, or a set of mixing weights, for every element of the batch."""
    for instruction in program.instructions:
        op = instruction.op
        if not isinstance(op, Product):
            continue
        sides = ((op.left, op.left_axes, op.right_axes), (op.right, op.right_axes, op.left_axes))
        for value, own, other in sides:
            batched = program.instructions[value].domain is not None
            if batched and not own and other:
                return False
            if batched and len(own) > 1 and set(own) & set(other) - set(op.axes):
                return False
    return any(isinstance(instruction.op, Product) for instruction in program.instructions)


@dataclass
class RowArithmetic(Arithmetic):
    """Prints the instructions of a program, components before the batch."""

    WORTH: ClassVar[int] = 170_000  # (what was gathered is read again at once)

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
        """Whether sums of rows are taken where products read them, in their order and as often, so that nothing is
        gathered from them."""
        op, readers = instruction.op, self._readers.get(number, [])
        block = self._table_of(number)
        if block is not None:
            self._tabled[number] = self._row_indices(block.rows, block.reads, instruction.domain)[0]
            return False
        if number in self._results or not isinstance(op, Linear) or not _is_of_one(op):
            return False
        source = self.program.instructions[op.values[0]]
        if source.channels != instruction.channels or instruction.domain is None:
            return False
        if op.values[0] not in self._spots and all(isinstance(r.op, Total) and bool(r.op.rows) for r in readers):
            self._late[number] = op.values[0]
            return True
        sums = _by_row({(k, i): c for _, i, k, c in op.entries}, instruction.components)
        size = sum(map(len, sums))
        places = [self._gathered_by(number, reader.op) for reader in readers]
        if not all(sums) or size == len(sums) or size * DENSE > len(sums) * source.components or not all(places):
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
        if isinstance(op, Linear) and _is_of_one(op) and op.values[0] in self._tabled:
            return self._table_of(op.values[0])
        if not isinstance(op, WeightBlock) or len(op.rows) != 1 or number in self._results:
            return None
        size = next(leg.dim for leg in self.program.legs if leg.name == op.rows[0])
        readers = self._readers.get(number, [])
        return op if size <= MOST_OF_A_TABLE and all(self._reads_table(number, one) for one in readers) else None

    def _reads_table(self, number: int, reader: Instruction) -> bool:
        """Whether an instruction takes rows of a value one by one, or is tabled itself."""
        op = reader.op
        if isinstance(op, Product):
            return op.left != op.right and not _is_contraction(op)
        if not isinstance(op, Linear) or not _is_of_one(op):
            return False
        own = self._number_of(reader)
        further = self._readers.get(own, [])
        alike = reader.channels == self.program.instructions[number].channels and own not in self._results
        return alike and all(self._reads_table(own, one) for one in further)

    def _gathered_by(self, number: int, op: Op) -> list[int]:
        """The rows of a value that a product gathers; none where it does something else with it."""
        if not isinstance(op, Product) or op.left == op.right or _is_contraction(op):
            return []
        other = op.right if op.left == number else op.left
        if self.program.instructions[other].domain is None:
            return []
        terms = by_pairs(_in_order(op))[0].terms
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
        whole = f"{leg}[..., {start}:{start + total * mul}]"
        if not instruction.channels:
            return f"{whole}.movedim(-1, 0).contiguous()"
        if self.program.layout == "ir_mul" or mul == 1:
            return f"{whole}.unflatten(-1, ({total}, {mul})).movedim(-2, 0).contiguous()"
        parts = []
        for dim in op.dims:
            piece = f"{leg}[..., {start}:{start + dim * mul}]"
            parts.append(f"{piece}.unflatten(-1, ({mul}, {dim})).movedim(-1, 0)")
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
        entries: MatrixEntries = {}
        for _, i, k, c in op.entries:
            entries[k, spots[i]] = entries[k, spots[i]] + c if (k, spots[i]) in entries else c
        value = self.names[op.values[0]]
        return self._let("t", self._applied(entries, instruction.components, count, value, instruction))

    def _gathered(self, op: Linear, instruction: Instruction) -> str | None:
        return None

    def _zeros(self, op: Zeros, instruction: Instruction) -> str:
        value, own = self.names[op.value], len(self.program.instructions[op.value].channels)
        middle = f"*{value}.shape[1:{value}.ndim - {own}]" if own else f"*{value}.shape[1:]"
        shape = ", ".join(map(str, (instruction.components, middle, *instruction.channels)))
        return f"{value}.new_zeros(({shape}))"

    def _rows_of(self, name: str, rows: Sequence[int]) -> str:
        """Some rows of a value."""
        if list(rows) == list(range(rows[0], rows[0] + len(rows))):
            return f"{name}[{rows[0]}:{rows[0] + len(rows)}]"
        return self._selected(name, rows, 0)

    def _applied(self, entries: MatrixEntries, rows: int, columns: int, value: str, instruction: Instruction) -> str:
        """A sparse matrix [rows, columns] over the rows of a value."""
        if len(entries) * DENSE > rows * columns:
            return f"_mixed({self._matrix(rows, columns, entries, instruction.note)}, {value})"
        return self._sums_of(entries, rows, value, instruction.note)

    def _sums_of(self, entries: MatrixEntries, rows: int, value: str, note: str) -> str:
        """For each row of the result a sum of some rows of a value, each with its factor."""
        return self._added_rows(_by_row(entries, rows), value, note)

    def _added_rows(self, by_row: Sequence[Sequence[tuple[int, Surd]]], value: str, note: str) -> str:
        if all(len(row) == 1 for row in by_row):
            picked = self._rows_of(value, [i for ((i, _),) in by_row])
            factors = [c for ((_, c),) in by_row]
            return picked if all(c == ONE for c in factors) else f"_scaled({self._column(factors, note)}, {picked})"
        columns = [i for row in by_row for i, _ in row]
        starts = [sum(map(len, by_row[:k])) for k in range(len(by_row))]
        factors = [c for row in by_row for _, c in row]
        parts = [value, *(f"{self.index}[{self.tables.index(numbers)}]" for numbers in (columns, starts))]
        parts.append(str(max(map(len, by_row))))
        parts += [] if all(c == ONE for c in factors) else [self._column(factors, note)]
        return f"_sums({', '.join(parts)})"

    def _column(self, values: Sequence[Surd], note: str) -> str:
        return f"{self.constants}[{self.tables.flat(len(values), dict(enumerate(values)), note)}]"

    def _total(self, op: Total, instruction: Instruction) -> str:
        """Sums over everything; into the rows of a table before linear maps, for these have fewer rows then."""
        if not op.rows:
            return super()._total(op, instruction)
        own, late, value = len(instruction.channels), list[Instruction](), op.value
        while value in self._late:
            late.append(self.program.instructions[value])
            value = self._late[value]
        text = self._tabulated(op, self.names[value], own, front=1)
        for linear in reversed(late):
            assert isinstance(linear.op, Linear)
            entries: MatrixEntries = {}
            for _, i, k, c in linear.op.entries:
                entries[k, i] = entries[k, i] + c if (k, i) in entries else c
            columns = self.program.instructions[linear.op.values[0]].components
            text = self._applied(entries, linear.components, columns, self._let("s", text), linear)
        return f"{self._let('s', text)}.movedim(0, {-1 - own})"

    # --- products --------------------------------------------------------------------------------------------------

    def _product(self, op: Product, instruction: Instruction) -> str:
        if _is_contraction(op):
            return self._contracted(op, instruction)
        crossed = self._crossed(op, instruction)
        if crossed is not None:
            return self._let("t", crossed)
        op, entries = self._signed(*by_pairs(_in_order(op)))
        n, found = len(op.terms), self._covered(op)
        if list(entries.items()) == [((k, k), ONE) for k in range(instruction.components)]:
            number = self._number_of(instruction)
            if found is None or not self._is_only_summed(number):
                return self._let("t", self._multiplied_apart(op))
            self._spots[number] = sum(one.size for one in found[0]), found[1]
            return self._all_pairs(op, found[0])
        results = [[i for i, _ in row] for row in _by_row(entries, instruction.components)]
        if found is not None:
            own = {(k, found[1][i]): c for (k, i), c in entries.items()}
            text = self._sums_of(own, instruction.components, self._all_pairs(op, found[0]), instruction.note)
            return self._let("t", text)
        if len(entries) * DENSE > instruction.components * n and n <= MOST_ROWS:
            text = self._multiplied(op, range(n))
            return self._let("t", self._applied(entries, instruction.components, n, self._let("p", text), instruction))
        parts = []
        for first, last, terms in _chunks(results):
            product = self._let("p", self._multiplied(op, terms))
            place = {term: at for at, term in enumerate(terms)}
            own = {(k - first, place[i]): c for (k, i), c in entries.items() if first <= k < last}
            text = self._sums_of(own, last - first, product, instruction.note)
            parts.append(self._let("t" if len(results) == last - first else "p", text))
        return parts[0] if len(parts) == 1 else self._let("t", self._tuple("torch.cat", parts, "dim=0"))

    def _signed(self, op: Product, entries: MatrixEntries) -> tuple[Product, MatrixEntries]:
        """Terms that are only subtracted get the sign themselves, where an operand (the first such one) is sums of rows
        with factors."""
        if not {op.left, op.right} & set(self._repeated):
            return op, entries
        kept = {at for (_, at), c in entries.items() if c != -ONE}
        turned = {key: c if key[1] in kept else ONE for key, c in entries.items()}
        terms = tuple((i, j, at, 1 if at in kept else -1) for i, j, at, _ in op.terms)
        return replace(op, terms=terms), turned

    def _crossed(self, op: Product, instruction: Instruction) -> str | None:
        """Sums of rows times the rows of another value, added up: where most sums meet most rows, those that do not are
        empty, and nothing is gathered."""
        flip = op.right in self._repeated
        own, other = (op.right, op.left) if flip else (op.left, op.right)
        if own not in self._repeated or not self._is_plain(op, other) or op.left_axes != op.right_axes:
            return None
        source, sums = self._repeated[own]
        met: dict[tuple[int, int], dict[int, Surd]] = {}
        for i, j, k, sign in op.terms:
            one, partner = (j, i) if flip else (i, j)
            row = met.setdefault((k, partner), {})
            for at, c in sums[one]:
                value = c if sign > 0 else -c
                row[at] = row[at] + value if at in row else value
        partners = range(min(j for _, j in met), max(j for _, j in met) + 1)
        if len(met) < FULL * instruction.components * len(partners):
            return None
        rows = [sorted(met.get((k, j), {}).items()) for k in range(instruction.components) for j in partners]
        text = self._added_rows(rows, self.names[source], instruction.note)
        others = self._rows_of(self.names[other], partners)
        whole = len(partners) == self.program.instructions[other].components
        return f"_crossed({text}, {self.names[other] if whole else others})" if _is_fresh(text) else None

    def _is_plain(self, op: Product, value: int) -> bool:
        """Whether an operand of a product stands in rows that have the shape of the result's."""
        return value in self._shaped_alike(op) and value not in (*self._repeated, *self._tabled)

    def _covered(self, op: Product) -> tuple[list[Rectangle], list[int]] | None:
        """The terms of a product as rectangles, if computing all pairs in these is less work than gathering."""
        if not (self._is_plain(op, op.left) and self._is_plain(op, op.right)):
            return None
        found = rectangles([term[:2] for term in op.terms], op.left == op.right)
        work = sum(one.size for one in found[0]) + CALL * len(found[0])
        return found if work < GATHERED * len(op.terms) else None

    def _is_only_summed(self, number: int) -> bool:
        """Whether nothing but sums of its rows is made of a value."""
        readers = [reader.op for reader in self._readers.get(number, [])]
        return number not in self._results and all(isinstance(op, Linear) and _is_of_one(op) for op in readers)

    def _all_pairs(self, op: Product, found: Sequence[Rectangle]) -> str:
        """All products in some rectangles, side by side."""
        left, right = self.names[op.left], self.names[op.right]
        texts = [f"{left}[{o.left.start}:{o.left.stop}], {right}[{o.right.start}:{o.right.stop}]" for o in found]
        if len(found) == 1:
            return self._let("p", f"_every({texts[0]})")
        room, parts, start = self._let("t", f"_room({sum(one.size for one in found)}, {left})"), list[str](), 0
        for one, text in zip(found, texts, strict=True):
            parts.append(self._let("p", f"_every({text}, _place({room}, {start}, {one.size}))"))
            start += one.size
        return self._let("p", f"_joined({', '.join((room, *parts))})")

    def _multiplied_apart(self, op: Product) -> str:
        """A row for every term, a part at a time where that is written into its place."""
        alike = [v for v in self._shaped_alike(op) if v in self.names and v not in self._tabled]
        like, n = self.names[alike[0]] if alike else "", len(op.terms)
        if not like or n <= MOST_ROWS:
            return self._multiplied(op, range(n))
        room, parts = self._let("t", f"_room({n}, {like})"), []
        for start in range(0, n, MOST_ROWS):
            end = min(n, start + MOST_ROWS)
            into = f"_place({room}, {start}, {end - start})"
            parts.append(self._let("p", self._multiplied(op, range(start, end), into)))
        return f"_joined({', '.join((room, *parts))})"

    def _shaped_alike(self, op: Product) -> list[int]:
        """The operands of a product whose rows have the shape of the result's."""
        if self.program.is_complex:  # (and the dtype: weights may be real)
            return []
        sides = ((op.left, op.left_axes), (op.right, op.right_axes))
        return [v for v, axes in sides if axes == op.axes and self.program.instructions[v].domain is not None]

    def _multiplied(self, op: Product, terms: Sequence[int], into: str = "") -> str:
        """Some of the terms of a product, a row for each: in a place, or where rows were gathered for them."""
        chosen = [op.terms[at] for at in terms]
        left, right = self._beside(op, chosen, right=False), self._beside(op, chosen, right=True)
        alike = self._shaped_alike(op)
        if into:
            return f"torch.mul({left}, {right}, out={into})"
        if op.left in alike and _is_fresh(left):
            return f"_times({left}, {right})"
        if op.right in alike and _is_fresh(right):
            return f"_times({right}, {left})"
        return f"{left} * {right}"

    def _beside(self, op: Product, terms: Sequence[tuple[int, int, int, int]], right: bool) -> str:
        """An operand's row for every term, with axes of size one for channels that only the other has."""
        value, axes = (op.right, op.right_axes) if right else (op.left, op.left_axes)
        rows = [term[1] if right else term[0] for term in terms]
        instruction = self.program.instructions[value]
        if value in self._repeated:
            source, sums = self._repeated[value]
            signs = [1 if right and op.left in self._repeated else sign for *_, sign in terms]
            signed = [[(i, c if s > 0 else -c) for i, c in sums[row]] for row, s in zip(rows, signs, strict=True)]
            name = self._added_rows(signed, self.names[source], instruction.note)
        elif value in self._tabled:
            picked = "" if rows == list(range(instruction.components)) else f", {self.index}[{self.tables.index(rows)}]"
            name = f"_looked_up({self.names[value]}, {self._tabled[value]}{picked})"
        elif rows == list(range(instruction.components)) or instruction.components == 1:
            name = self.names[value]
        else:
            name = self._rows_of(self.names[value], rows)
        other = self.program.instructions[op.left if right else op.right]
        if instruction.domain is None and other.domain is not None:
            name = f"_unbatched({name}, {self.names[op.left if right else op.right]}, {len(other.channels)})"
        if axes == op.axes:
            return name
        order = [axes.index(axis) for axis in op.axes if axis in axes]
        if order != sorted(order):
            name = f"{name}.movedim({tuple(at - len(axes) for at in order)}, {tuple(range(-len(axes), 0))})"
        slots = [":" if axis in axes else "None" for axis in op.axes]
        return f"{name}[..., {', '.join(slots)}]"

    def _contracted(self, op: Product, instruction: Instruction) -> str:
        """Channels are summed with weights that are the same for all: one matrix product for each part of them. Where
        both operands have the batch, row by row."""
        if None not in (self.program.instructions[op.left].domain, self.program.instructions[op.right].domain):
            return self._contracted_rows(op, instruction)
        summed = "".join(axis for axis in op.left_axes if axis in op.right_axes and axis not in op.axes)
        flip = self.program.instructions[op.left].domain is None
        mixer, value = (op.left, op.right) if flip else (op.right, op.left)
        mixer_axes, axes = (op.left_axes, op.right_axes) if flip else (op.right_axes, op.left_axes)
        by_part: dict[int, list[tuple[int, int, int]]] = {}
        for i, j, k, sign in op.terms:
            part, at = (i, j) if flip else (j, i)
            by_part.setdefault(part, []).append((at, k, sign))
        plain = mixer_axes == summed + op.axes and axes == summed and len(op.axes) == 1
        pieces: list[str] = []
        order: list[tuple[int, int]] = []
        for part, terms in by_part.items():
            rows, weight = self._rows_of(self.names[value], [at for at, _, _ in terms]), f"{self.names[mixer]}[{part}]"
            if plain and len(summed) > 1:
                rows, weight = f"{rows}.flatten({-len(summed)})", f"{weight}.flatten(0, {len(summed) - 1})"
            if plain:
                pieces.append(f"{rows} @ {weight}")
            else:
                pieces.append(f'torch.einsum("...{axes},{mixer_axes}->...{op.axes}", {rows}, {weight})')
            order += [(k, sign) for _, k, sign in terms]
        joined = self._let("p", pieces[0] if len(pieces) == 1 else self._tuple("torch.cat", pieces, "dim=0"))
        n = instruction.components
        if [k for k, _ in order] == list(range(n)) and all(sign == 1 for _, sign in order):
            return joined
        entries = {(k, at): Surd.of(sign) for at, (k, sign) in enumerate(order)}
        return self._let("t", self._applied(entries, n, len(order), joined, instruction))

    def _contracted_rows(self, op: Product, instruction: Instruction) -> str:
        terms = sorted(op.terms, key=lambda term: term[2])
        left = self._rows_of(self.names[op.left], [term[0] for term in terms])
        right = self._rows_of(self.names[op.right], [term[1] for term in terms])
        text = f'torch.einsum("T...{op.left_axes},T...{op.right_axes}->T...{op.axes}", {left}, {right})'
        n = instruction.components
        if [term[2] for term in terms] == list(range(n)) and all(term[3] == 1 for term in terms):
            return self._let("t", text)
        entries = {(k, at): Surd.of(sign) for at, (_, _, k, sign) in enumerate(terms)}
        return self._let("t", self._applied(entries, n, len(terms), self._let("p", text), instruction))

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _in_place(self, value: int) -> str:
        if self._is_table(value):
            return self.names[value]
        return f"{self.names[value]}.movedim(0, {-1 - len(self.program.instructions[value].channels)})"

    def _is_table(self, value: int) -> bool:
        """Whether a value is a table of rows: its components stand behind them."""
        op = self.program.instructions[value].op
        return isinstance(op, Total) and bool(op.rows)

    def _run(self, block: OutputBlock, run: Run) -> str:
        """The components of some paths, behind the batch as they are in the other arithmetic."""
        instruction, name, count = self.program.instructions[run.value], self.names[run.value], block.dim * run.paths
        if self._is_table(run.value):
            return super()._run(block, run)
        if run.stride > 1:
            name = self._let("p", self._rows_of(name, [run.start + k * run.stride for k in range(block.dim)]))
        elif count != instruction.components:
            name = f"{name}[{run.start}:{run.start + count}]"
        return f"{name}.movedim(0, {-1 - len(instruction.channels)})"


def _is_contraction(op: Product) -> bool:
    """Whether a product sums over channels."""
    return bool(set(op.left_axes) & set(op.right_axes) - set(op.axes))


def _in_order(op: Product) -> Product:
    """The terms of a product by the component that they belong to."""
    return replace(op, terms=tuple(sorted(op.terms, key=lambda term: term[2])))


def _is_fresh(text: str) -> bool:
    """Whether rows were put into memory of their own, which nothing else needs."""
    return text.endswith(")") and (".index_select(" in text or text.startswith(("_sums(", "_looked_up(")))


def _is_of_one(op: Linear) -> bool:
    """Whether a linear map is of one value, whose channels stay where they are."""
    return len(op.values) == 1 and not op.order


def _by_row(entries: MatrixEntries, rows: int) -> list[list[tuple[int, Surd]]]:
    """For each row of a sparse matrix its columns and what stands there."""
    found: list[list[tuple[int, Surd]]] = [[] for _ in range(rows)]
    for (k, i), c in sorted(entries.items(), key=lambda entry: entry[0]):
        found[k].append((i, c))
    return found


def _chunks(results: Sequence[Sequence[int]]) -> list[tuple[int, int, list[int]]]:
    """Neighbouring results (first, last) with the terms that they are sums of: as many as are held at a time."""
    found: list[tuple[int, int, list[int]]] = []
    for k, terms in enumerate(results):
        if found:
            first, _, before = found[-1]
            together = list(dict.fromkeys((*before, *terms)))
            if len(together) <= MOST_ROWS:
                found[-1] = (first, k + 1, together)
                continue
        found.append((k, k + 1, list(terms)))
    return found

"""Arithmetic in rows: values of shape [components, ..., channels…], a row for each component.

Where no operand becomes a matrix of its own for every element, rows are the better layout: what is gathered is
contiguous, and a sparse map over components falls apart into small independent blocks, which one batched product runs
at once.

    values  ──index_select──>  [blocks, c, row]   ──  [blocks, r, c] @  ──>  [blocks, r, row]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

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
from fusionc.targets.torch_ops import Arithmetic
from fusionc.targets.torch_patterns import by_pairs
from fusionc.targets.torch_tables import MatrixEntries

CALL = 40
"""The call of a batched product costs as much as moving so many rows (of a few thousand numbers)."""

MOST_ROWS = 64
"""So many products are held at a time."""

MULTIPLICATION = 0.15
"""What multiplying a row with a constant inside of a matrix product costs, beside moving one."""

WASTE = 3
"""A batched product may do so many times the work of its nonzero entries before it is cut into more than one."""


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
    """`places`: where the components of a value are among its rows (a value without an entry: in order)."""

    places: dict[int, list[int]] = field(default_factory=dict)
    heights: dict[int, int] = field(default_factory=dict)
    """How many rows a value has, where there are more than components."""
    _order: list[int] = field(default_factory=list)
    _rows_made: int = 0

    def site_dim(self, channels: int) -> int:
        return -1 - channels

    def component_dim(self, channels: int) -> int:
        return 0

    def _statement(self, number: int, instruction: Instruction) -> str:
        self._order.clear()
        name = super()._statement(number, instruction)
        if self._order:
            order = list(self._order)
            if number in self._results:
                return self._let("t", self._rows_of(name, order))
            self.places[number], self.heights[number] = order, self._rows_made
        elif not isinstance(instruction.op, Product | Linear) and self._source(instruction) in self.places:
            self.places[number] = self.places[self._source(instruction)]
            self.heights[number] = self._height(self._source(instruction))
        return name

    def _postponed(self, number: int, instruction: Instruction) -> bool:
        return False

    def _is_totaled(self, instruction: Instruction) -> bool:
        return False

    def _into(self, op: Op) -> str:
        return ""  # components do not stand behind the batch

    def _source(self, instruction: Instruction) -> int:
        return getattr(instruction.op, "value", -1)

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
        text = super()._weight(op, instruction)
        if instruction.domain is None:
            return text
        return f"{text}.movedim({-1 - len(instruction.channels)}, 0).contiguous()"

    # --- linear maps -----------------------------------------------------------------------------------------------

    def _linear(self, op: Linear, instruction: Instruction) -> str:
        values = [self._shaped(value, instruction, op) for value in op.values]
        entries = [(s, self._place(op.values[s], i), k, c) for s, i, k, c in op.entries]
        if all(c == ONE for *_, c in entries):
            plain = self._rearranged(Linear(op.values, tuple(entries)), instruction, values, 0)
            if plain is not None:
                return self._let("t", plain)
        starts, total = [], 0
        for value in op.values:
            starts.append(total)
            total += self._height(value)
        matrix: MatrixEntries = {}
        for source, i, k, c in entries:
            place = (k, starts[source] + i)
            matrix[place] = matrix[place] + c if place in matrix else c
        joined = values[0] if len(values) == 1 else self._let("t", f"torch.cat(({', '.join(values)}))")
        return self._let("t", self._applied(matrix, instruction.components, total, joined, instruction))

    def _zeros(self, op: Zeros, instruction: Instruction) -> str:
        value, own = self.names[op.value], len(self.program.instructions[op.value].channels)
        middle = f"*{value}.shape[1:{value}.ndim - {own}]" if own else f"*{value}.shape[1:]"
        shape = ", ".join(map(str, (instruction.components, middle, *instruction.channels)))
        return f"{value}.new_zeros(({shape}))"

    def _height(self, value: int) -> int:
        return self.heights.get(value, self.program.instructions[value].components)

    def _place(self, value: int, component: int) -> int:
        places = self.places.get(value)
        return component if places is None else places[component]

    def _rows_of(self, name: str, rows: Sequence[int]) -> str:
        """Some rows of a value."""
        if list(rows) == list(range(rows[0], rows[0] + len(rows))):
            return f"{name}[{rows[0]}:{rows[0] + len(rows)}]"
        return self._selected(name, rows, 0)

    def _applied(self, entries: MatrixEntries, rows: int, columns: int, value: str, instruction: Instruction) -> str:
        """A sparse matrix [rows, columns] over the rows of a value, in independent blocks of one shape where that saves
        work. The rows of the result stand in the order of the blocks (`_order`)."""
        classes = self._classes_of(entries, rows, columns)
        if classes:

            def picked(used: list[int], into: str) -> str:
                return self._rows_into(value, used, into)

            return self._by_blocks(entries, classes, picked, instruction, value)
        return f"_mixed({self._matrix(rows, columns, entries, instruction.note)}, {value})"

    def _rows_into(self, name: str, rows: Sequence[int], into: str) -> str:
        """Some rows of a value, written into their place if there is one."""
        text = self._rows_of(name, rows)
        if not into:
            return text
        chosen = text.partition(".index_select(")[2]
        return f"torch.index_select({name}, {chosen[:-1]}, out={into})" if chosen else f"_copied({text}, {into})"

    def _classes_of(self, entries: MatrixEntries, rows: int, columns: int) -> list[Class]:
        """The blocks of a sparse matrix by shape; none where it is better applied whole."""
        blocks = independent_blocks(entries, rows)
        whole = _work(blocks) * WASTE * 2 > rows * columns or rows * columns <= 64
        reached = {k for block in blocks for k in block.rows}
        return [] if whole or len(reached) < rows else _classes(blocks)

    def _by_blocks(
        self,
        entries: MatrixEntries,
        classes: Sequence[Class],
        picked_of: Callable[[list[int], str], str],
        instruction: Instruction,
        like: str,
    ) -> str:
        """A sparse matrix, one batched product for each shape of its blocks; `picked_of` says what some columns are and
        writes them into a place. The parts are written side by side into memory for rows `like` those of a value."""
        count = sum(len(group) * height for (height, _), group in classes)
        room = self._let("t", f"_room({count}, {like})") if len(classes) > 1 and like else ""
        parts, order = [], list[int]()
        for (height, width), group in classes:
            start = len(order)
            order += [k for block in group for k in _padded(block.rows, height, -1)]
            into = f"_place({room}, {start}, {len(order) - start})" if room else ""
            columns = [i for block in group for i in _padded(block.columns, width)]
            if height == width == 1:
                scale = [entries[block.rows[0], block.columns[0]] for block in group]
                plain = all(c == ONE for c in scale)
                picked = picked_of(columns, into if plain else "")
                parts.append(picked if plain else f"_scaled({_listed(self._column(scale), picked, into)})")
                continue
            constants = self._matrices_of(entries, group, height, width, instruction.note)
            parts.append(f"_blocks({_listed(constants, picked_of(columns, ''), into)})")
        at = {k: place for place, k in enumerate(order) if k >= 0}
        if order != list(range(len(order))):
            self._order[:] = [at[k] for k in range(instruction.components)]
            self._rows_made = len(order)
        if len(parts) == 1:
            return parts[0]
        if not room:
            return self._tuple("torch.cat", parts, "dim=0")
        return f"_joined({', '.join((room, *(self._let('p', part) for part in parts)))})"

    def _matrices_of(self, entries: MatrixEntries, group: Sequence[Block], height: int, width: int, note: str) -> str:
        """The constants of blocks, one small matrix [height, width] for each."""
        flat: dict[int, Surd] = {}
        for number, block in enumerate(group):
            for a, k in enumerate(block.rows):
                for b, i in enumerate(block.columns):
                    if (k, i) in entries:
                        flat[(number * height + a) * width + b] = entries[k, i]
        size = len(group) * height * width
        start = self.tables.flat(size, flat, note)
        return f"{self.constants}[{start}:{start + size}].view{(len(group), height, width)}"

    def _column(self, values: Sequence[Surd]) -> str:
        start = self.tables.flat(len(values), dict(enumerate(values)), "scales")
        return f"{self.constants}[{start}:{start + len(values)}]"

    # --- products --------------------------------------------------------------------------------------------------

    def _product(self, op: Product, instruction: Instruction) -> str:
        if set(op.left_axes) & set(op.right_axes) - set(op.axes):
            return self._contracted(op, instruction)
        op, entries = by_pairs(replace(op, terms=tuple(sorted(op.terms, key=lambda term: term[2]))))
        classes = self._classes_of(entries, instruction.components, len(op.terms))
        if not classes:
            text = self._multiplied(op, range(len(op.terms)))
            return self._let("t", self._added(entries, len(op.terms), instruction, text))
        # Only as many products are held at a time as fit into a cache, in the order in which blocks add them up.
        chunks = [chunk for one in classes for chunk in _chunks(one)]
        like = next((self.names[value] for value in self._shaped_alike(op)), "")
        text = self._by_blocks(entries, chunks, lambda used, into: self._multiplied(op, used, into), instruction, like)
        return self._let("t", text)

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
        if op.left in alike and left.endswith(")") and ".index_select(" in left:
            return f"_times({left}, {right})"
        if op.right in alike and right.endswith(")") and ".index_select(" in right:
            return f"_times({right}, {left})"
        return f"{left} * {right}"

    def _narrowed(self, name: str, value: int, start: int, length: int, dim: int) -> str:
        if start == 0 and length == self._height(value):
            return name
        return f"{name}.narrow({dim}, {start}, {length})"

    def _beside(self, op: Product, terms: Sequence[tuple[int, int, int, int]], right: bool) -> str:
        """An operand's row for every term, with axes of size one for channels that only the other has."""
        value, axes = (op.right, op.right_axes) if right else (op.left, op.left_axes)
        rows = [self._place(value, term[1] if right else term[0]) for term in terms]
        name, instruction = self.names[value], self.program.instructions[value]
        if rows != list(range(self._height(value))):
            name = self._rows_of(name, rows) if self._height(value) > 1 else name
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
            by_part.setdefault(self._place(mixer, part), []).append((self._place(value, at), k, sign))
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
        left = self._rows_of(self.names[op.left], [self._place(op.left, term[0]) for term in terms])
        right = self._rows_of(self.names[op.right], [self._place(op.right, term[1]) for term in terms])
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


@dataclass(frozen=True)
class Block:
    """Rows of a sparse matrix that share columns, and those columns."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def independent_blocks(entries: MatrixEntries, rows: int) -> list[Block]:
    """The connected parts of a sparse matrix, in the order of their first rows."""
    parent = list(range(rows))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    owner: dict[int, int] = {}
    for k, i in entries:
        if i in owner:
            one, two = sorted((find(k), find(owner[i])))
            parent[two] = one
        else:
            owner[i] = k
    members: dict[int, tuple[list[int], dict[int, None]]] = {}
    for k, i in sorted(entries):
        own = members.setdefault(find(k), ([], {}))
        if not own[0] or own[0][-1] != k:
            own[0].append(k)
        own[1][i] = None
    return [Block(tuple(sorted(rows)), tuple(sorted(columns))) for rows, columns in members.values()]


def _padded(numbers: Sequence[int], size: int, fill: int | None = None) -> list[int]:
    """Numbers, then the first of them (or `fill`) until there are so many."""
    return [*numbers, *[numbers[0] if fill is None else fill] * (size - len(numbers))]


Class = tuple[tuple[int, int], list[Block]]


def _classes(blocks: Sequence[Block]) -> list[Class]:
    """Blocks by shape, for one batched product each. A shape of few is widened to another one where that costs less
    than a call; single numbers stay by themselves."""
    by_shape: dict[tuple[int, int], list[Block]] = {}
    for block in blocks:
        by_shape.setdefault((len(block.rows), len(block.columns)), []).append(block)
    single = [(shape, group) for shape, group in by_shape.items() if shape == (1, 1)]
    found: list[Class] = sorted((shape, group) for shape, group in by_shape.items() if shape != (1, 1))
    while len(found) > 1:
        best, pair = 0.0, None
        for one in range(len(found)):
            for two in range(one + 1, len(found)):
                gain = _price(found[one]) + _price(found[two]) - _price(_merged(found[one], found[two]))
                if gain > best:
                    best, pair = gain, (one, two)
        if pair is None:
            break
        merged = _merged(found[pair[0]], found[pair[1]])
        found = [one for at, one in enumerate(found) if at not in pair] + [merged]
    return single + sorted(found, key=lambda one: one[0])


def _chunks(one: Class) -> list[Class]:
    """A class in parts of so many columns that their rows fit into a cache."""
    (height, width), group = one
    size = max(1, MOST_ROWS // width)
    return [((height, width), group[start : start + size]) for start in range(0, len(group), size)]


def _merged(one: Class, two: Class) -> Class:
    (a, b), (c, d) = one[0], two[0]
    return (max(a, c), max(b, d)), one[1] + two[1]


def _price(one: Class) -> float:
    """What a batched product costs, in rows that are moved."""
    (height, width), group = one
    return CALL + len(group) * (width + height + height * width * MULTIPLICATION)


def _listed(*arguments: str) -> str:
    return ", ".join(argument for argument in arguments if argument)


def _work(blocks: Sequence[Block]) -> int:
    return sum(len(block.rows) * len(block.columns) for block in blocks)

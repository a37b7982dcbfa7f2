"""What runs in torch between kernels: instructions that mix channels, sums over everything, values without a domain.

Values are [rows, components, channels…], those without a domain [components, channels…]; the elements of a batch, their
sites and their pairs are rows, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import (
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Pool,
    Product,
    Program,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
)
from fusionc.targets.torch_tables import MatrixEntries, Tables
from fusionc.targets.torch_text import unflattened
from fusionc.targets.triton_mix import everywhere


@dataclass
class Statements:
    """Prints expressions; `say` takes statements, `names` says what values are called."""

    program: Program
    say: Callable[[str], None]
    tables: Tables = field(default_factory=Tables)
    names: dict[int, str] = field(default_factory=dict)
    _count: int = 0

    def expression(self, number: int) -> str:
        """An instruction, as an expression of the values that it reads."""
        one = self.program.instructions[number]
        op = one.op
        if isinstance(op, LegBlock):
            return self._leg(op, one)
        if isinstance(op, WeightBlock):
            return self._weight(op, one)
        if isinstance(op, Product):
            return self._product(op, one)
        if isinstance(op, Linear):
            return self._linear(op, one)
        return self._moved(op, one)

    def let(self, text: str) -> str:
        """A name for an expression."""
        if text.isidentifier():
            return text
        self._count += 1
        self.say(f"v{self._count} = {text}")
        return f"v{self._count}"

    # --- operands --------------------------------------------------------------------------------------------------

    def _leg(self, op: LegBlock, one: Instruction) -> str:
        start, mul = op.start, (one.channels or (1,))[0]
        if not one.channels:
            return f"{op.leg}[:, {start}:{start + one.components}]"
        if self.program.layout == "ir_mul":
            return unflattened(f"{op.leg}[:, {start}:{start + one.size}]", -1, (one.components, mul))
        parts = []
        for dim in op.dims:
            piece = f"{op.leg}[:, {start}:{start + dim * mul}]"
            parts.append(f"{unflattened(piece, -1, (mul, dim))}.transpose(-1, -2)")
            start += dim * mul
        return parts[0] if len(parts) == 1 else f"torch.cat(({', '.join(parts)}), dim=-2)"

    def _weight(self, op: WeightBlock, one: Instruction) -> str:
        name = f"{op.weight}[{self._rows(op, one)}]" if op.rows else op.weight
        piece = f"{name}[..., {op.start}:{op.start + one.size}]"
        return unflattened(piece, -1, (one.components, *one.channels)) if one.channels else piece

    # --- arithmetic ------------------------------------------------------------------------------------------------

    def _product(self, op: Product, one: Instruction) -> str:
        """A product of channels; weights without a domain are one matrix product for each of their parts."""
        for right in (False, True):
            mixer = everywhere(self.program, op.right if right else op.left)
            if self.program.instructions[mixer].domain is None and one.domain is not None:
                return self._mixed(op, one, right)
        return self.added(op.terms, one, self._einsum(op, "...", "..."))

    def _einsum(self, op: Product, left_dots: str, right_dots: str) -> str:
        left, right = self._picked(op.left, op.left_axes, [t[0] for t in op.terms]), ""
        right = self._picked(op.right, op.right_axes, [t[1] for t in op.terms])
        result = "" if left_dots == "z" else "..."
        spec = f"{left_dots}T{op.left_axes},{right_dots}T{op.right_axes}->{result}T{op.axes}"
        return f'torch.einsum("{spec}", {left}, {right})'

    def contracted(self, op: Product, one: Instruction) -> str:
        """A product summed over all rows, which is one matrix product."""
        return self.added(op.terms, one, self._einsum(op, "z", "z"))

    def _mixed(self, op: Product, one: Instruction, right: bool) -> str:
        mixer, value = (op.right, op.left) if right else (op.left, op.right)
        mixer = everywhere(self.program, mixer)
        mixer_axes, axes = (op.right_axes, op.left_axes) if right else (op.left_axes, op.right_axes)
        by_part: dict[int, list[tuple[int, int, int, int]]] = {}
        for i, j, k, sign in op.terms:
            part, at = (j, i) if right else (i, j)
            by_part.setdefault(part, []).append((at, 0, k, sign))
        pieces, order = [], list[tuple[int, int, int, int]]()
        for part, terms in by_part.items():
            rows = self._picked(value, axes, [term[0] for term in terms])
            pieces.append(f'torch.einsum("...{axes},{mixer_axes}->...{op.axes}", {rows}, {self.names[mixer]}[{part}])')
            order += terms
        dim = -1 - len(op.axes)
        joined = pieces[0] if len(pieces) == 1 else self._cat(pieces, dim)
        return self.added(order, one, joined)

    def _cat(self, pieces: Sequence[str], dim: int) -> str:
        return f"torch.cat(({', '.join(self.let(piece) for piece in pieces)}), dim={dim})"

    def _picked(self, value: int, axes: str, places: Sequence[int]) -> str:
        name, dim = self.names[value], -1 - len(axes)
        if list(places) == list(range(self.program.instructions[value].components)):
            return name
        return self._selected(name, places, dim)

    def _selected(self, name: str, places: Sequence[int], dim: int) -> str:
        if list(places) == list(range(places[0], places[0] + len(places))):
            return f"{name}.narrow({dim}, {places[0]}, {len(places)})"
        return f"{name}.index_select({dim}, index[{self.tables.index(list(places))}])"

    def added(self, terms: Sequence[tuple[int, int, int, int]], one: Instruction, products: str) -> str:
        """Products, each with its sign, added up in the components that they belong to."""
        results = [term[2] for term in terms]
        if results == list(range(one.components)) and all(term[3] == 1 for term in terms):
            return products
        entries = {(k, at): Surd.of(sign) for at, (_, _, k, sign) in enumerate(terms)}
        return self._applied(entries, len(terms), products, one)

    def _linear(self, op: Linear, one: Instruction) -> str:
        dim = -1 - len(one.channels)
        values = [self._shaped(value, one, op) for value in op.values]
        sizes = [self.program.instructions[value].components for value in op.values]
        places = [sum(sizes[:s]) + i for s, i, _, _ in op.entries]
        joined = values[0] if len(values) == 1 else self._cat(values, dim)
        if [k for _, _, k, _ in op.entries] == list(range(one.components)) and all(c == ONE for *_, c in op.entries):
            return joined if places == list(range(sum(sizes))) else self._selected(self.let(joined), places, dim)
        entries: MatrixEntries = {}
        for place, (_, _, k, c) in zip(places, op.entries, strict=True):
            entries[k, place] = entries[k, place] + c if (k, place) in entries else c
        return self._applied(entries, sum(sizes), joined, one)

    def _shaped(self, value: int, one: Instruction, op: Linear) -> str:
        """An operand with the channel axes of the result."""
        name, own = self.names[value], self.program.instructions[value].channels
        if op.order:
            places = tuple(range(-len(own), 0))
            name = f"{name}.movedim({tuple(axis - len(own) for axis in op.order)}, {places})"
            own = tuple(own[axis] for axis in op.order)
        if own == one.channels:
            return name
        flat = name if len(own) == 1 else f"{name}.flatten({-len(own)})" if own else f"{name}.unsqueeze(-1)"
        return unflattened(flat, -1, one.channels) if one.channels else f"{flat}.squeeze(-1)"

    def _applied(self, entries: MatrixEntries, columns: int, value: str, one: Instruction) -> str:
        """A constant matrix over components."""
        rows, axes = one.components, len(one.channels)
        matrix = f"constants[{self.tables.matrix(rows, columns, entries, one.note)}].view({rows}, {columns})"
        if not axes:
            return f"{value} @ {matrix}.T"
        if axes == 1:
            return f"{matrix} @ {value}"
        return unflattened(f"{matrix} @ {value}.flatten({-axes})", -1, one.channels)

    # --- moves -----------------------------------------------------------------------------------------------------

    def _moved(self, op: Gather | Scatter | Pool | Spread | Total | Zeros, one: Instruction) -> str:
        value, inner = self.names[op.value], self.program.instructions[op.value]
        if isinstance(op, Total):
            return self._total(op, value, inner)
        if isinstance(op, Zeros):
            shape = ", ".join(map(str, (one.components, *one.channels)))
            return f"{value}.new_zeros((*{value}.shape[:{-1 - len(inner.channels)}], {shape}))"
        if isinstance(op, Gather):
            return f"{value}.index_select(0, {self._flat(op.relation, op.row)})"
        if isinstance(op, Scatter):
            shape = f"(batch * n_{one.domain}, *{value}.shape[1:])"
            return f"{value}.new_zeros({shape}).index_add(0, {self._flat(op.relation, op.row)}, {value})"
        if isinstance(op, Pool):
            return f"{unflattened(value, 0, f'(batch, n_{inner.domain})')}.sum(1)"
        if inner.domain is None:
            return f"{value}.expand(batch{f' * n_{one.domain}' if one.domain else ''}, *{value}.shape)"
        return f"{value}.repeat_interleave(n_{one.domain}, 0)"

    def _flat(self, name: str, row: int) -> str:
        relation = next(relation for relation in self.program.relations if relation.name == name)
        return f"_flat({name}[{row}], batch, n_{(relation.first, relation.second)[row]})"

    def _rows(self, op: WeightBlock | Total, one: Instruction) -> str:
        """The rows that index legs select, for every element of a domain."""
        legs, found = {leg.name: leg for leg in self.program.legs}, []
        for name, read in zip(op.rows, op.reads or [None] * len(op.rows), strict=True):
            if read is not None:
                name = f"{name}.index_select(0, {self._flat(*read)})"
            elif one.domain and not legs[name].domain:
                name = f"{name}.repeat_interleave(n_{one.domain}, 0)"
            found.append(name)
        return ", ".join(found)

    def _total(self, op: Total, value: str, inner: Instruction) -> str:
        if not op.rows:
            return f"{value}.sum(0)"
        sizes = ", ".join(str(self.program.leg(row).dim) for row in op.rows)
        table = f"{value}.new_zeros(({sizes}, *{value}.shape[1:]))"
        return f"{table}.index_put(({self._rows(op, inner)},), {value}, accumulate=True)"

"""Linear maps over components: selections, sums, constant matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import Instruction, Linear, Product
from fusionc.targets.torch_patterns import gathering
from fusionc.targets.torch_statements import Statements
from fusionc.targets.torch_tables import MatrixEntries
from fusionc.targets.torch_text import unflattened


@dataclass
class Maps(Statements):
    """Prints linear maps."""

    def _linear(self, op: Linear, instruction: Instruction) -> str:
        dim, n, wish = self.component_dim(len(instruction.channels)), instruction.components, "t"
        if op.values[0] in self._dots:
            parts = [self._combined_dots(op, source, instruction) for source in range(len(op.values))]
            return self._let(wish, " + ".join(parts))
        gathered = self._gathered(op, instruction)
        if gathered is not None:
            return self._let(wish, gathered)
        values = [self._shaped(value, instruction, op) for value in op.values]
        if all(c == ONE for *_, c in op.entries):
            plain = self._rearranged(op, instruction, values, dim)
            if plain is not None:
                return self._let(wish, plain)
        starts, total = [], 0
        for value in op.values:
            starts.append(total)
            total += self.program.instructions[value].components
        entries: MatrixEntries = {}
        for source, i, k, c in op.entries:
            place = (k, starts[source] + i)
            entries[place] = entries[place] + c if place in entries else c
        joined = values[0] if len(values) == 1 else self._let(wish, f"torch.cat(({', '.join(values)}), dim={dim})")
        return self._let(wish, self._applied(entries, n, total, joined, instruction))

    def _shaped(self, value: int, instruction: Instruction, op: Linear) -> str:
        """An operand with the channel axes of the result."""
        name, own = self.names[value], self.program.instructions[value].channels
        if op.order:
            axes = tuple(axis - len(own) for axis in op.order)
            places = tuple(place - len(own) for place in range(len(own)))
            return f"{name}.movedim({axes}, {places})"
        if own == instruction.channels:
            return name
        flat = f"{name}.flatten({-len(own)})" if len(own) > 1 else name if own else f"{name}.unsqueeze(-1)"
        if len(instruction.channels) < 2:
            return flat if instruction.channels else f"{flat}.squeeze(-1)"
        return unflattened(flat, -1, instruction.channels)

    def _rearranged(self, op: Linear, instruction: Instruction, values: list[str], dim: int) -> str | None:
        """A linear map whose coefficients are all one, without a matrix: a selection, or a sum of whole values."""
        n, entries = instruction.components, sorted(op.entries, key=lambda entry: (entry[2], entry[0]))
        if [k for _, _, k, _ in entries] == list(range(n)):
            runs: list[list[int]] = []  # source, start, length
            for source, i, _, _ in entries:
                if runs and runs[-1][0] == source and runs[-1][1] + runs[-1][2] == i:
                    runs[-1][2] += 1
                else:
                    runs.append([source, i, 1])
            if len(runs) > 8 and len(values) == 1:
                return self._selected(values[0], [i for _, i, _, _ in entries], dim)
            if len(runs) <= 8 * len(values):
                parts = [self._narrowed(values[s], op.values[s], start, length, dim) for s, start, length in runs]
                return parts[0] if len(parts) == 1 else f"torch.cat(({', '.join(parts)}), dim={dim})"
            return None
        whole = all(self.program.instructions[value].components == n for value in op.values)
        if whole and len(entries) == n * len(values) and all(i == k for _, i, k, _ in entries):
            return " + ".join(values)
        return None

    def _gathered(self, op: Linear, instruction: Instruction) -> str | None:
        """A selection from many views of one operand, each a component by itself: one gather from the operand."""
        found = gathering(self.program, op, instruction)
        if found is None:
            return None
        leg, unit, units = found
        name = self._selected(unflattened(self._called(leg.name), -1, (leg.dim // unit, unit)), units, -2)
        mul, count = instruction.channels[0], instruction.components
        return name if unit == mul else unflattened(f"{name}.flatten(-2)", -1, (count, mul))

    def _narrowed(self, name: str, value: int, start: int, length: int, dim: int) -> str:
        if start == 0 and length == self.program.instructions[value].components:
            return name
        return f"{name}.narrow({dim}, {start}, {length})"

    def _selected(self, name: str, places: Sequence[int], dim: int) -> str:
        index = f"{self.index}[{self.tables.index(places)}]"
        return f"_selected({name}, {index}, {dim})" if dim < -1 else f"{name}.index_select({dim}, {index})"

    def _some(self, value: int, places: Sequence[int], dim: int) -> str:
        """Some components of a value."""
        name = self.names[value]
        if list(places) == list(range(self.program.instructions[value].components)):
            return name
        if list(places) == list(range(places[0], places[0] + len(places))):
            return f"{name}.narrow({dim}, {places[0]}, {len(places)})"
        step = places[1] - places[0]
        if step > 1 and list(places) == list(range(places[0], places[-1] + 1, step)):
            return f"{name}[..., {places[0]}:{places[-1] + 1}:{step}{', :' * (-1 - dim)}]"
        return self._selected(name, places, dim)

    def _matrix(self, rows: int, columns: int, entries: MatrixEntries, label: str) -> str:
        return f"{self.constants}[{self.tables.matrix(rows, columns, entries, label)}].view({rows}, {columns})"

    def _applied(self, entries: MatrixEntries, rows: int, columns: int, value: str, instruction: Instruction) -> str:
        """A constant matrix [rows, columns] over the components of a value: a selection, times factors, where it has
        one entry in every row."""
        channels = instruction.channels
        if len(entries) == rows == len({k for k, _ in entries}):
            return self._picked_rows(entries, columns, value, instruction)
        if not channels:
            turned = {(j, i): c for (i, j), c in entries.items()}
            return f"{value} @ {self._matrix(columns, rows, turned, instruction.note)}"
        matrix = self._matrix(rows, columns, entries, instruction.note)
        if len(channels) == 1:
            return f"_combined({matrix}, {value})"
        return unflattened(f"_combined({matrix}, {value}.flatten({-len(channels)}))", -1, channels)

    def _picked_rows(self, entries: MatrixEntries, columns: int, value: str, instruction: Instruction) -> str:
        own = len(instruction.channels)
        ordered = sorted(entries.items(), key=lambda entry: entry[0][0])
        places, factors = [i for (_, i), _ in ordered], [c for _, c in ordered]
        plain = places == list(range(columns))
        picked = value if plain else self._selected(value, places, self.component_dim(own))
        if all(c == ONE for c in factors):
            return picked
        shape = f".view({', '.join(map(str, (len(factors), *(1,) * own)))})" if own else ""
        return f"{picked} * {self._column(factors, instruction.note)}{shape}"

    def _column(self, values: Sequence[Surd], note: str) -> str:
        return f"{self.constants}[{self.tables.flat(len(values), dict(enumerate(values)), note)}]"

    def _combined_dots(self, op: Linear, source: int, instruction: Instruction) -> str:
        """Products summed over channels, combined: one small matrix product for every element, and a constant one."""
        dots = self._dots[op.values[source]]
        left, right = (self.program.instructions[value] for value in (dots.left, dots.right))
        inner: dict[int, list[tuple[int, int]]] = {}
        for i, j, k, sign in dots.terms:
            inner.setdefault(k, []).append((i * right.components + j, sign))
        entries: MatrixEntries = {}
        for one, k, result, c in op.entries:
            for place, sign in inner.get(k, ()) if one == source else ():
                key, value = (place, result), c if sign > 0 else -c
                entries[key] = entries[key] + value if key in entries else value
        size = left.components * right.components
        matrix = self._matrix(size, instruction.components, entries, instruction.note)
        return f"{self._dots_of(dots)} @ {matrix}"

    def _dots_of(self, op: Product) -> str:
        """All components of one operand with all of another, summed over channels, flat."""
        left, right = self.names[op.left], self.names[op.right]
        if len(op.left_axes) > 1:
            left, right = f"{left}.flatten({-len(op.left_axes)})", f"{right}.flatten({-len(op.left_axes)})"
        return f"({left} @ {right}.mT).flatten(-2)"

    def _tuple(self, function: str, parts: Sequence[str], rest: str) -> str:
        names = [part if part.isidentifier() else self._let("p", part) for part in parts]
        return f"{function}(({', '.join(names)}), {rest})"

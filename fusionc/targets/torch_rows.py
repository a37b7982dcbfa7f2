"""Arithmetic in rows: values of shape [components, ..., channels…], a row for each component.

Where no operand becomes a matrix of its own for every element, rows are the better layout: what is gathered is
contiguous, and a sparse map over components adds up a few rows for each of its results, with no temporary.

    values  ──index_select──>  [terms, row]  ──  times [terms, row]  ──  sums of terms  ──>  [components, row]

Gathering takes as long as multiplying. Where most pairs of rows are asked for, all of them are multiplied where they
stand, in rectangles (`_covered`); where most rows of a value meet sums of rows, each sum is taken once for every row
that it meets (`_crossed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.grids import Rectangle, rectangles
from fusionc.program.ir import Instruction, Linear, OutputBlock, Product, Total
from fusionc.program.runs import Run
from fusionc.program.thresholds import now
from fusionc.targets.torch_patterns import by_pairs
from fusionc.targets.torch_row_maps import RowMaps, by_row, in_order, is_contraction, is_of_one
from fusionc.targets.torch_tables import MatrixEntries


@dataclass
class RowArithmetic(RowMaps):
    """Prints the instructions of a program, components before the batch."""

    @property
    def worth(self) -> int:
        return now().worth_of_rows

    # --- products --------------------------------------------------------------------------------------------------

    def _product(self, op: Product, instruction: Instruction) -> str:
        if is_contraction(op):
            return self._contracted(op, instruction)
        crossed = self._crossed(op, instruction)
        if crossed is not None:
            return self._let("t", crossed)
        op, entries = self._signed(*by_pairs(in_order(op)))
        n, found = len(op.terms), self._covered(op)
        if list(entries.items()) == [((k, k), ONE) for k in range(instruction.components)]:
            number = self._number_of(instruction)
            if found is None or not self._is_only_summed(number):
                return self._let("t", self._multiplied_apart(op))
            self._spots[number] = sum(one.size for one in found[0]), found[1]
            return self._all_pairs(op, found[0])
        if found is not None:
            own = {(k, found[1][i]): c for (k, i), c in entries.items()}
            count, product = sum(one.size for one in found[0]), self._all_pairs(op, found[0])
            sums = by_row(own, instruction.components)
            return self._let("t", self._sums_of(sums, product, count, instruction.note))
        if len(entries) * now().dense > instruction.components * n and n <= now().most_rows:
            text = self._multiplied(op, range(n))
            return self._let("t", self._applied(entries, instruction.components, n, self._let("p", text), instruction))
        results, parts = [[i for i, _ in row] for row in by_row(entries, instruction.components)], []
        for first, last, terms in _chunks(results):
            product = self._let("p", self._multiplied(op, terms))
            place = {term: at for at, term in enumerate(terms)}
            own = {(k - first, place[i]): c for (k, i), c in entries.items() if first <= k < last}
            text = self._sums_of(by_row(own, last - first), product, len(terms), instruction.note)
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
        if len(met) < now().full * instruction.components * len(partners):
            return None
        rows = [sorted(met.get((k, j), {}).items()) for k in range(instruction.components) for j in partners]
        text = self._sums_of(rows, self.names[source], self._count(source), instruction.note)
        others = self._rows_of(self.names[other], partners, self._count(other))
        return f"_crossed({text}, {others})" if _is_fresh(text) else None

    def _count(self, value: int) -> int:
        """How many rows a value has."""
        return self._spots[value][0] if value in self._spots else self.program.instructions[value].components

    def _is_plain(self, op: Product, value: int) -> bool:
        """Whether an operand of a product stands in rows that have the shape of the result's."""
        return value in self._shaped_alike(op) and value not in (*self._repeated, *self._tabled)

    def _covered(self, op: Product) -> tuple[list[Rectangle], list[int]] | None:
        """The terms of a product as rectangles, if computing all pairs in these is less work than gathering."""
        if not (self._is_plain(op, op.left) and self._is_plain(op, op.right)):
            return None
        found = rectangles([term[:2] for term in op.terms], op.left == op.right)
        work = sum(one.size for one in found[0]) + now().call * len(found[0])
        return found if work < now().gathered * len(op.terms) else None

    def _is_only_summed(self, number: int) -> bool:
        """Whether nothing but sums of its rows is made of a value."""
        readers, own = self._readers.get(number, []), self.program.instructions[number].channels
        alike = all(isinstance(r.op, Linear) and is_of_one(r.op) and r.channels == own for r in readers)
        return alike and number not in self._results

    def _all_pairs(self, op: Product, found: Sequence[Rectangle]) -> str:
        """All products in some rectangles, side by side."""
        left = self.names[op.left]
        texts = [
            f"{self._rows_of(left, one.left, self._count(op.left))}, "
            f"{self._rows_of(self.names[op.right], one.right, self._count(op.right))}"
            for one in found
        ]
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
        if not like or n <= now().most_rows:
            return self._multiplied(op, range(n))
        room, parts = self._let("t", f"_room({n}, {like})"), []
        for start in range(0, n, now().most_rows):
            end = min(n, start + now().most_rows)
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
            name = self._sums_of(signed, self.names[source], self._count(source), instruction.note)
        elif value in self._tabled:
            picked = "" if rows == list(range(instruction.components)) else f", {self.index}[{self.tables.index(rows)}]"
            name = f"_looked_up({self.names[value]}, {self._tabled[value]}{picked})"
        elif instruction.components == 1:
            name = self.names[value]
        else:
            name = self._rows_of(self.names[value], rows, instruction.components)
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
            rows = self._rows_of(self.names[value], [at for at, _, _ in terms], self._count(value))
            weight = f"{self.names[mixer]}[{part}]"
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
        left = self._rows_of(self.names[op.left], [term[0] for term in terms], self._count(op.left))
        right = self._rows_of(self.names[op.right], [term[1] for term in terms], self._count(op.right))
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
            rows = [run.start + k * run.stride for k in range(block.dim)]
            name = self._let("p", self._rows_of(name, rows, instruction.components))
        elif count != instruction.components:
            name = f"{name}[{run.start}:{run.start + count}]"
        return f"{name}.movedim(0, {-1 - len(instruction.channels)})"


def _is_fresh(text: str) -> bool:
    """Whether rows were put into memory of their own, which nothing else needs."""
    gathered = text.endswith(")") and ".index_select(" in text
    return gathered or text.startswith(("_sums(", "_looked_up("))


def _chunks(results: Sequence[Sequence[int]]) -> list[tuple[int, int, list[int]]]:
    """Neighbouring results (first, last) with the terms that they are sums of: as many as are held at a time."""
    found: list[tuple[int, int, list[int]]] = []
    for k, terms in enumerate(results):
        if found:
            first, _, before = found[-1]
            if not terms or not before:  # a result that is nothing goes with its neighbour: no rows make no product
                found[-1] = (first, k + 1, [*before, *terms])
                continue
            together = list(dict.fromkeys((*before, *terms)))
            if len(together) <= now().most_rows:
                found[-1] = (first, k + 1, together)
                continue
        found.append((k, k + 1, list(terms)))
    return found

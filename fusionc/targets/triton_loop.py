"""The text of a kernel that is a loop over a table of terms: for what would be too much code if it were written out.

A program has cells in memory, one for each component that is alive, each of the size of its tile. What is read is put
into cells, a loop over the terms fills others, and what is written is taken out of them:

    for term in table:
        so_far += coefficient * cell[left] * cell[right]
        if the term is the last of its sum:
            cell[to] = so_far; so_far = 0

The code is as long as there are loads and stores, whatever the number of terms. A term takes some ten instructions and
reads two cells (from the cache) where unrolled code takes one instruction; but nothing is computed twice, as it is when
kernels are split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fusionc.program.ir import Total
from fusionc.targets import triton_kernel
from fusionc.targets.triton_kernel import ZERO, Kernel, Row, tile
from fusionc.targets.triton_plan import Cut, Group
from fusionc.targets.triton_schedule import Load, Sink, Statement, Sum, Term

ONE, INSIDE = 0, 1
"""The cells of what is one everywhere, and of what is one where there is a row and zero elsewhere."""

MASK = "inside"
"""What the second of them is called."""

ENDS = 1 << 16
"""A row of the table has 16 bits for a cell."""


def loop(cut: Cut, group: Group, name: str) -> Kernel:
    """Print a kernel that walks over a table of terms."""
    return _Printer(cut, group, name).kernel()


# --- the table -----------------------------------------------------------------------------------------------------


@dataclass
class _Table:
    """Rows, and the cell of every value that is read, kept to be written, or summed over all rows of a tile."""

    rows: list[Row] = field(default_factory=list)
    cells: dict[str, int] = field(default_factory=dict)
    free: set[int] = field(default_factory=set)
    size: int = 2

    def give(self, name: str) -> int:
        """A cell for a value: one whose value is not needed any more, if there is one."""
        if self.free:
            cell = min(self.free)
            self.free.remove(cell)
        else:
            cell, self.size = self.size, self.size + 1
        self.cells[name] = cell
        return cell

    def add(self, name: str, terms: Iterable[Term]) -> None:
        """The rows of a sum, whose cell is there already."""
        rows = [
            Row(self.cells[term.left], self.cells[term.right] if term.right else ONE, -1, _coefficient(term))
            for term in terms
        ]
        self.rows += [*rows[:-1], replace(rows[-1], to=self.cells[name])]


def _table(statements: Sequence[Statement], added: Sequence[tuple[str, str]], totals: Iterable[str]) -> _Table:
    """The table of a kernel's statements; `added` says what goes into which total."""
    written = {one.value for one in statements if isinstance(one, Sink)} | {value for _, value in added}
    sums = _inlined([one for one in statements if isinstance(one, Sum)], written)
    found = _Table(cells={MASK: INSIDE})
    for name in totals:
        found.give(name)
    for one in statements:
        if isinstance(one, Load) and one.registers == 1:
            found.give(one.name)
    for one, dying in zip(sums, _last_uses(sums, written), strict=True):
        found.free.update(found.cells[name] for name in dying)
        found.give(one.name)
        found.add(one.name, one.terms)
    for name, value in added:
        found.add(name, (Term("+", "", name), Term("+", "", value, MASK)))
    return found


def _coefficient(term: Term) -> float:
    return float(f"{term.sign}{term.factor or 1}")


def _inlined(sums: Sequence[Sum], written: set[str]) -> list[Sum]:
    """Sums of one term are put in where they are used, if no term gets more than two factors; what is used no more is
    left out."""
    single: dict[str, Term] = {}
    found = []
    for one in sums:
        one = replace(one, terms=tuple(_composed(term, single) for term in one.terms))
        if len(one.terms) == 1:
            single[one.name] = one.terms[0]
        found.append(one)
    needed, used = set(written), []
    for one in reversed(found):
        if one.name in needed:
            needed.update(value for term in one.terms for value in term.values)
            used.append(one)
    return used[::-1]


def _composed(term: Term, single: dict[str, Term]) -> Term:
    """A term with the sums of one term that fit into it."""
    for side, other in ((term.left, term.right), (term.right, term.left)):
        inner = single.get(side)
        if inner is None or (other and inner.right):
            continue
        number = _coefficient(term) * _coefficient(inner)
        factors = [inner.left, inner.right or other]
        return _composed(Term("-" if number < 0 else "+", repr(abs(number)), *factors), single)
    return term


def _last_uses(sums: Sequence[Sum], written: set[str]) -> list[list[str]]:
    """For every sum the values that nothing reads after it."""
    seen, found = set(written), []
    for one in reversed(sums):
        values = dict.fromkeys(value for term in one.terms for value in term.values)
        found.append([value for value in values if value not in seen])
        seen.update(values)
    return found[::-1]


# --- the text ------------------------------------------------------------------------------------------------------


@dataclass
class _Printer(triton_kernel._Printer):
    added: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tile = tile(self.group.lanes, narrow=True)
        self.threads = self.tile.rows * max(1, self.tile.lanes)

    def kernel(self) -> Kernel:
        self.collect()
        self.table = _table(self.head, self.added, self.accumulators)
        return replace(self.printed(), table=tuple(self.table.rows), scratch=self.table.size * self.threads)

    def _how(self) -> str:
        return f"a loop over a table of {len(self.table.rows)} terms"

    def _accumulate(self, name: str, source: int, text: str, out: list[Statement], mask: str) -> None:
        """A sum over everything is a cell: there may be too many for registers."""
        self.accumulators[name] = ""
        if text != ZERO:
            self.added.append((name, text))

    def _assembled(self) -> list[str]:
        for name in ("cells", "terms", "coefficients"):
            self._argument(name)
        start = [*self._lane_lines(), *self._cell_lines()]
        start += [f"tl.store({self._cell(name)}, 0.0)" for name in self.accumulators]
        body = self._over_blocks([*self._cells_filled(), *self._terms_added(), *self._cells_written()])
        return self._defined([*start, *body, *self._totals_written()])

    def _cell_lines(self) -> list[str]:
        """Where the cells of a program stand, and in each of them the number of every thread (and of every row)."""
        program = "tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)"
        lines = [f"cells += ({program}).to(tl.int64) * {self.table.size * self.threads}"]
        rows, lanes = f"tl.arange(0, {self.tile.rows})", f"tl.arange(0, {self.tile.lanes})"
        if not self.tile.lanes:
            lines.append(f"cell = cells + {rows}")
        elif self.tile.rows == 1:
            lines += [f"cell = cells + {lanes}", "cell_of_row = cells"]
        else:
            first = f"cells + {rows}[:, None] * {self.tile.lanes}"
            lines += [f"cell_of_row = {first}", f"cell = cell_of_row + {lanes}[None, :]"]
        return [*lines, f"tl.store(cell + {ONE * self.threads}, 1.0)"]

    def _cell(self, name: str, lane: bool = True) -> str:
        return f"{'cell' if lane or not self.tile.lanes else 'cell_of_row'} + {self.table.cells[name] * self.threads}"

    def _cells_filled(self) -> list[str]:
        """What is read goes into cells; addresses are as they are."""
        inside = "1.0" if self.tile.rows == 1 else "tl.where(inside, 1.0, 0.0)"
        lines = [f"tl.store({self._cell(MASK)}, {inside})"]
        for one in self.head:
            if isinstance(one, Load):
                lines.append(f"{one.name} = {one.text}" if one.registers > 1 else self._put(one))
        return lines

    def _put(self, one: Load) -> str:
        return f"tl.store({self._cell(one.name)}, {one.text})"

    def _terms_added(self) -> list[str]:
        shape = ", ".join(str(size) for size in (self.tile.rows, self.tile.lanes) if size > 1)
        return [
            f"so_far = tl.zeros([{shape}], COMPUTE)",
            f"for term in range(0, {len(self.table.rows)}):",
            "    ends = tl.load(terms + term)",
            f"    left, right = (ends & {ENDS - 1}) * {self.threads}, (ends >> 16 & {ENDS - 1}) * {self.threads}",
            "    so_far += tl.load(coefficients + term) * tl.load(cell + left) * tl.load(cell + right)",
            "    to = ends >> 32",
            "    if to >= 0:",
            f"        tl.store(cell + to * {self.threads}, so_far)",
            f"        so_far = tl.zeros([{shape}], COMPUTE)",
            "tl.debug_barrier()",
        ]

    def _cells_written(self) -> list[str]:
        """What is written is taken out of cells; then these are free for the next rows."""
        lanes = {
            name: (self.cut.lanes[key[0]] if self._writes(key[0]) else self.cut.lane(key[0])) is not None
            for key, name in self.names.items()
            if isinstance(key, tuple) and isinstance(key[0], int)
        }
        lines, there = list[str](), set[str]()
        for one in self.head:
            if isinstance(one, Sink):
                if one.value in self.table.cells and one.value not in there:
                    there.add(one.value)
                    lines.append(f"{one.value} = tl.load({self._cell(one.value, lanes[one.value])})")
                lines.append(one.text)
        return [*lines, "tl.debug_barrier()"]

    def _totals_written(self) -> list[str]:
        lines = []
        for store in self.group.stores:
            op = self.program.instructions[store.value].op
            lane = not isinstance(op, Total) or self.cut.lane(op.value) is not None
            for component in range(store.first, store.first + store.dim):
                name = f"total{store.value}_{component}"
                if name in self.accumulators:
                    lines.append(f"{name} = tl.load({self._cell(name, lane)})")
        return [*lines, *self._total_stores()] if lines else []

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

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fusionc.targets import triton_kernel
from fusionc.targets.triton_kernel import Kernel, Row, Stretch, Table
from fusionc.targets.triton_plan import Cut, Group
from fusionc.targets.triton_schedule import Address, Load, Sink, Statement, Sum, Term
from fusionc.targets.triton_values import ZERO, tile

ONE, INSIDE = 0, 1
"""The cells of what is one everywhere, and of what is one where there is a row and zero elsewhere."""

MASK = "inside"
"""What the second of them is called."""

ENDS, START = 1 << 16, 1 << 32
"""A term has 16 bits for a cell, a place 32 for where it starts and 16 for the step between channels."""

MANY, TOGETHER = 32, 8
"""So many loads or stores of one kind are a loop, with so many of them at a time (which wait for memory together)."""

BARRIER = "tl.debug_barrier()"
"""Between what one thread writes into a cell and what another reads there."""


def loop(cut: Cut, group: Group, name: str) -> Kernel:
    """Print a kernel that walks over a table of terms."""
    return _Printer(cut, group, name).kernel()


# --- the table -----------------------------------------------------------------------------------------------------


@dataclass
class _Terms:
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


def _table(statements: Sequence[Statement], added: Sequence[tuple[str, str]], totals: Iterable[str]) -> _Terms:
    """The table of a kernel's statements; `added` says what goes into which total."""
    written = {one.value for one in statements if isinstance(one, Sink)} | {value for _, value in added}
    sums = _inlined([one for one in statements if isinstance(one, Sum)], written)
    found = _Terms(cells={MASK: INSIDE})
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
        self.places: list[Stretch] = []
        self.has_lane: dict[str, bool] = {}

    def kernel(self) -> Kernel:
        self.collect()
        self.table = _table(self.head, self.added, self.accumulators)
        found, rows = self.printed(), tuple(self.table.rows)
        return replace(found, table=Table(rows, tuple(self.places), self.table.size * self.threads))

    def _how(self) -> str:
        return f"a loop over a table of {len(self.table.rows)} terms"

    def _accumulate(self, name: str, source: int, text: str, out: list[Statement], mask: str) -> None:
        """A sum over everything is a cell: there may be too many for registers."""
        self.accumulators[name] = ""
        self.has_lane[name] = self.cut.lane(source) is not None
        if text != ZERO:
            self.added.append((name, text))

    def _assembled(self) -> list[str]:
        for name in ("cells", "terms", "coefficients", "places"):
            self._argument(name)
        totals = [f"tl.store({self._cell(name)}, 0.0)" for name in self.accumulators]
        sinks = [one for one in self.head if isinstance(one, Sink)]
        block = [*self._cells_filled(), *self._terms_added(), BARRIER, *self._cells_written(sinks), BARRIER]
        start = [*self._lane_lines(), *self._cell_lines(), *totals, *([BARRIER] if totals else [])]
        return self._defined([*start, *self._over_blocks(block), *self._cells_written(self._total_stores())])

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

    def _cell(self, name: str) -> str:
        return f"cell + {self.table.cells[name] * self.threads}"

    # --- reading and writing ---------------------------------------------------------------------------------------

    def _cells_filled(self) -> list[str]:
        """What is read goes into cells; addresses are as they are."""
        inside = "1.0" if self.tile.rows == 1 else "tl.where(inside, 1.0, 0.0)"
        loads = [one for one in self.head if isinstance(one, Load)]
        lines = [f"tl.store({self._cell(MASK)}, {inside})"]
        lines += [f"{one.name} = {one.text}" for one in loads if one.registers > 1]
        moves = [_Move(one.text, one.address, one.name) for one in loads if one.address is not None]
        return [*lines, *self._moved(moves, lambda text, cell: [f"tl.store(cell + {cell}, {text})"])]

    def _cells_written(self, sinks: Iterable[Sink]) -> list[str]:
        """What is written is taken out of cells; then these are free for the next rows."""
        moves, rest = [], []
        for one in sinks:
            if one.address is not None and one.value in self.table.cells:
                side = "cell" if self._has_lane(one.value) or not self.tile.lanes else "cell_of_row"
                text = re.sub(rf"\b{one.value}\b", f"tl.load({side} + CELL)", one.text)
                moves.append(_Move(text, one.address, one.value))
            else:
                rest.append(one.text)
        return [*self._moved(moves, lambda text, cell: [text.replace("CELL", cell)]), *rest]

    def _has_lane(self, name: str) -> bool:
        """Whether a value has channels; the lanes of one without are all the same."""
        if name not in self.has_lane:
            for key, known in self.names.items():
                if isinstance(key, tuple) and isinstance(key[0], int):
                    lanes = self.cut.lanes[key[0]] if self._writes(key[0]) else self.cut.lane(key[0])
                    self.has_lane[known] = lanes is not None
        return self.has_lane[name]

    def _moved(self, moves: Sequence[_Move], put: Callable[[str, str], list[str]]) -> list[str]:
        """Moves between memory and cells: those of one kind in a loop, several at a time."""
        kinds: dict[tuple[str, str, bool], list[_Move]] = {}
        for one in moves:
            kinds.setdefault(one.kind, []).append(one)
        lines = []
        for (text, base, has_lanes), some in kinds.items():
            many = len(some) // TOGETHER * TOGETHER if len(some) >= MANY else 0
            if many:
                lines += self._move_loop(some[:many], text, base, has_lanes, put)
            for one in some[many:]:
                lines += put(one.text, str(self.table.cells[one.value] * self.threads))
        return lines

    def _move_loop(
        self, moves: Sequence[_Move], text: str, base: str, has_lanes: bool, put: Callable[[str, str], list[str]]
    ) -> list[str]:
        first = len(self.places)
        self.places += [(one.address.start, one.address.step, self.table.cells[one.value]) for one in moves]
        inner = [f"at_{k} = tl.load(places + at{f' + {k}' if k else ''})" for k in range(TOGETHER)]
        for k in range(TOGETHER):
            address = f"{base} + (at_{k} & {START - 1})" + f" + u * (at_{k} >> 32 & {ENDS - 1})" * has_lanes
            inner += put(text.replace("ADDRESS", address), f"(at_{k} >> 48) * {self.threads}")
        loop = f"for at in range({first}, {len(self.places)}, {TOGETHER}):"
        return [loop, *triton_kernel._indented(inner)]

    # --- the terms -------------------------------------------------------------------------------------------------

    def _terms_added(self) -> list[str]:
        zero = f"tl.zeros([{', '.join(str(size) for size in (self.tile.rows, self.tile.lanes) if size > 1)}], COMPUTE)"
        return [
            f"so_far = {zero}",
            f"for term in range(0, {len(self.table.rows)}):",
            "    ends = tl.load(terms + term)",
            f"    left, right = (ends & {ENDS - 1}) * {self.threads}, (ends >> 16 & {ENDS - 1}) * {self.threads}",
            "    so_far += tl.load(coefficients + term) * tl.load(cell + left) * tl.load(cell + right)",
            "    to = ends >> 32",
            "    if to >= 0:",
            f"        tl.store(cell + to * {self.threads}, so_far)",
            f"        so_far = {zero}",
        ]


@dataclass(frozen=True)
class _Move:
    """A load or store between memory and the cell of a value."""

    text: str
    address: Address
    value: str

    @property
    def kind(self) -> tuple[str, str, bool]:
        """What moves in one loop have in common: their text without the address, its base, whether lanes differ."""
        return self.text.replace(str(self.address), "ADDRESS", 1), self.address.base, self.address.step > 0

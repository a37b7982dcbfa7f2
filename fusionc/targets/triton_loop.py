"""The text of a kernel that is a loop over a table of terms: for what would be too much code if it were written out.

A program has cells in memory, one for each component that is alive, each of the size of its tile. What is read is put
into cells, a loop over the terms fills others, and what is written is taken out of them:

    for term in table:
        so_far += coefficient * cell[left] * cell[right]
        if the term is the last of its sum:
            cell[to] = so_far; so_far = 0

The code is short, whatever the number of terms, and compiles in a second. A term takes some ten instructions and reads
two cells, from a cache if they are still there, where unrolled code takes one instruction; but nothing is computed
twice, as it is when kernels are split.

A program is one warp, whose threads have one number each of every cell (a *narrow* tile): what a thread writes into a
cell it reads again itself, in order. Barriers stand where another thread reads it (sums over lanes, values of a row).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fusionc.program.thresholds import now
from fusionc.targets import triton_kernel
from fusionc.targets.triton_kernel import TOTAL_PROGRAMS, Kernel, Row, Stretch, Table
from fusionc.targets.triton_plan import Cut, Group
from fusionc.targets.triton_schedule import Address, Load, Sink, Statement, Sum, Term
from fusionc.targets.triton_values import ZERO, tile

ONE, INSIDE = 0, 1
"""The cells of what is one everywhere, and of what is one where there is a row and zero elsewhere."""

MASK = "inside"
"""What the second of them is called."""

CELLS, START, STEP = 1 << 20, 1 << 24, 1 << 16
"""How many cells a term can name (three of them in one number), and where a component can start in a row and how far
apart its channels can be (together with a cell in one number)."""

MOST_BYTES = 1 << 28
"""What the cells of all programs may take together, if these are still as many as a GPU needs."""

LEAST_PROGRAMS = 128

CELL_OF_ROW = "cell_of_row"
"""The first lane of a cell, for what has no channels."""

BARRIER = "tl.debug_barrier()"
"""Between what one thread writes into a cell and what another reads there, and before the cell is written again."""


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
        self.moved = 0
        self.has_lane: dict[str, bool] = {}

    def kernel(self) -> Kernel:
        self.collect()
        self.table = _table(self.head, self.added, self.accumulators)
        found, rows = self.printed(), tuple(self.table.rows)
        assert self.table.size <= CELLS, self.table.size
        size = self.table.size * self.threads
        programs = max(LEAST_PROGRAMS, min(TOTAL_PROGRAMS, MOST_BYTES // (8 * size * self.tile.blocks)))
        return replace(found, table=Table(rows, tuple(self.places), size, programs))

    def _how(self) -> str:
        return f"a loop over a table of {len(self.table.rows)} terms"

    def _address(self, base: str, start: int, step: int) -> Address:
        """The start and the step may be read from a list: the address has no name."""
        return Address(base, start, step)

    def _accumulate(self, name: str, source: int, text: str, out: list[Statement], mask: str) -> None:
        """A sum over everything is a cell: there may be too many for registers."""
        self.accumulators[name] = ""
        self.has_lane[name] = self.cut.lane(source) is not None
        if text != ZERO:
            self.added.append((name, text))

    def _read_elsewhere(self) -> list[str]:
        return [text for _, text in self.added]

    def _assembled(self) -> list[str]:
        for name in ("cells", "terms", "coefficients", "places"):
            self._argument(name)
        totals = [f"tl.store({self._cell(name)}, 0.0)" for name in self.accumulators]
        sinks = [one for one in self.head if isinstance(one, Sink)]
        block = [*self._cells_filled(), BARRIER, *self._terms_added(), BARRIER, *self._cells_written(sinks), BARRIER]
        start = [*totals, *([BARRIER] if totals else [])]
        body = [*start, *self._over_blocks(block), *self._cells_written(self._total_stores())]
        return self._defined([*self._lane_lines(), *self._cell_lines(any(CELL_OF_ROW in line for line in body)), *body])

    def _cell_lines(self, of_row: bool) -> list[str]:
        """Where the cells of a program stand, and in each of them the number of every thread (and of every row)."""
        program = "tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)"
        lines = [f"cells += ({program}).to(tl.int64) * {self.table.size * self.threads}"]
        rows, lanes = f"tl.arange(0, {self.tile.rows})", f"tl.arange(0, {self.tile.lanes})"
        if not self.tile.lanes:
            lines.append(f"cell = cells + {rows}")
        elif self.tile.rows == 1:
            lines += [f"cell = cells + {lanes}", *([f"{CELL_OF_ROW} = cells"] if of_row else [])]
        else:
            first = f"cells + {rows}[:, None] * {self.tile.lanes}"
            lines += [f"cell = {first} + {lanes}[None, :]", *([f"{CELL_OF_ROW} = {first}"] if of_row else [])]
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
        put = "tl.store(cell + CELL, VALUE)"
        moves = [_Move(one.text, put, one.address, one.name) for one in loads if one.address is not None]
        return [*lines, *self._moved(moves)]

    def _cells_written(self, sinks: Iterable[Sink]) -> list[str]:
        """What is written is taken out of cells; then these are free for the next rows."""
        moves, rest = [], []
        for one in sinks:
            if one.address is not None and one.value in self.table.cells:
                get = f"tl.load({'cell' if self._is_spread(one.value) else CELL_OF_ROW} + CELL)"
                moves.append(_Move(get, re.sub(rf"\b{one.value}\b", "VALUE", one.text), one.address, one.value))
            else:
                rest.append(one.text)
        return [*self._moved(moves), *rest]

    def _is_spread(self, name: str) -> bool:
        """Whether the lanes of a value differ: it has channels, or there are none."""
        if name not in self.has_lane:
            for key, known in self.names.items():
                if isinstance(key, tuple) and isinstance(key[0], int):
                    lanes = self.cut.lanes[key[0]] if self._writes(key[0]) else self.cut.lane(key[0])
                    self.has_lane[known] = lanes is not None
        return self.has_lane[name] or not self.tile.lanes

    def _moved(self, moves: Sequence[_Move]) -> list[str]:
        """Moves between memory and cells, many of one kind in a loop. Several are read before the first is written:
        nothing is read ahead of what is written into memory that may be the same."""
        kinds: dict[object, list[_Move]] = {}
        for one in moves:
            kinds.setdefault(one.kind, []).append(one)
        lines, rest = [], []
        for some in kinds.values():
            many = len(some) // now().together * now().together if len(some) >= now().many else 0
            if many:
                lines += self._move_loop(some[:many])
            rest += some[many:]
        for start in range(0, len(rest), now().together):
            some = rest[start : start + now().together]
            cells = [str(self.table.cells[one.value] * self.threads) for one in some]
            lines += self._together([(one, str(one.address), cell) for one, cell in zip(some, cells, strict=True)])
        return lines

    def _move_loop(self, moves: Sequence[_Move]) -> list[str]:
        """Moves of one kind, by a list of places."""
        first = len(self.places)
        self.places += [(one.address.start, one.address.step, self.table.cells[one.value]) for one in moves]
        inner = [f"at_{k} = tl.load(places + at{f' + {k}' if k else ''})" for k in range(now().together)]
        some = []
        for k in range(now().together):
            address = f"{moves[0].address.base} + (at_{k} & {START - 1})"
            if moves[0].address.step:
                address += f" + u * (at_{k} >> {START.bit_length() - 1} & {STEP - 1})"
            some.append((moves[0], address, f"(at_{k} >> {(START * STEP).bit_length() - 1}) * {self.threads}"))
        loop = f"for at in range({first}, {len(self.places)}, {now().together}):"
        return [loop, *triton_kernel._indented([*inner, *self._together(some)])]

    def _together(self, moves: Sequence[tuple[_Move, str, str]]) -> list[str]:
        """Moves, with their addresses and cells, that wait for memory at the same time. No name is used again: one that
        stands for a number before a loop cannot stand for a tile inside."""
        names = [f"moved_{self.moved + k}" for k in range(len(moves))]
        self.moved += len(moves)
        both = [one.at(address, cell, name) for (one, address, cell), name in zip(moves, names, strict=True)]
        return [get for get, _ in both] + [put for _, put in both]

    # --- the terms -------------------------------------------------------------------------------------------------

    def _terms_added(self) -> list[str]:
        sizes = [self.tile.rows] if self.tile.rows > 1 or not self.tile.lanes else []
        sizes += [self.tile.lanes] if self.tile.lanes else []
        zero, bits = f"tl.zeros({sizes}, COMPUTE)", CELLS.bit_length() - 1
        ends = [f"ends & {CELLS - 1}", f"ends >> {bits} & {CELLS - 1}"]
        return [
            f"so_far = {zero}",
            f"for term in range(0, {len(self.table.rows)}):",
            "    ends = tl.load(terms + term)",
            f"    left, right = {', '.join(f'({end}) * {self.threads}' for end in ends)}",
            "    so_far += tl.load(coefficients + term) * tl.load(cell + left) * tl.load(cell + right)",
            f"    to = ends >> {2 * bits}",
            "    if to >= 0:",
            f"        tl.store(cell + to * {self.threads}, so_far)",
            f"        so_far = {zero}",
        ]


@dataclass(frozen=True)
class _Move:
    """A component on its way between memory and the cell of a value: what reads it and what writes it, where ADDRESS,
    CELL and VALUE stand for these."""

    get: str
    put: str
    address: Address
    value: str

    def at(self, address: str, cell: str, name: str) -> tuple[str, str]:
        """Both statements; the value has a name on its way."""
        filled = [
            text.replace(str(self.address), "ADDRESS", 1).replace("ADDRESS", address).replace("CELL", cell)
            for text in (self.get, self.put)
        ]
        return f"{name} = {filled[0]}", filled[1].replace("VALUE", name)

    @property
    def kind(self) -> object:
        """What moves in one loop have in common: all but where the component is, and whether lanes differ."""
        return (*self.at("", "", ""), self.address.base, self.address.step > 0)

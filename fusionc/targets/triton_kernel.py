"""The text of one Triton kernel: components in registers, constants as literals, everything read and written once.

What a kernel computes are `triton_values`, in an order of `triton_schedule`; here they are added up, written, and put
into a function.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fusionc.program.ir import Instruction, LegBlock, Scatter, Total
from fusionc.targets.triton_plan import Cut, Group, Store
from fusionc.targets.triton_schedule import FEW, WIDTH, Address, Load, Ordered, Sink, Statement, Sum, scheduled
from fusionc.targets.triton_simplify import simplified
from fusionc.targets.triton_values import PAIR, ROW, ZERO, Place, Tile, Values, reads

TOTAL_PROGRAMS = 1024
"""How many programs a kernel with a sum over everything has at most: each writes its own part of the sum."""


@dataclass(frozen=True)
class Buffer:
    """The memory of a kept value while a kernel fills it: `blocks` and `programs` have to be summed afterwards."""

    value: int
    blocks: int
    programs: bool
    atomic: bool


@dataclass(frozen=True)
class Row:
    """A term of a table: cells of its two factors, and the cell of its sum if it is the last one (-1: it goes on)."""

    left: int
    right: int
    to: int
    coefficient: float


Stretch = tuple[int, int, int]
"""Where a component starts in a row, the step between its channels, and its cell."""


@dataclass(frozen=True)
class Table:
    """What a kernel that is a loop goes through, how many numbers the cells of a program have, and how many programs
    there are at most."""

    rows: tuple[Row, ...]
    places: tuple[Stretch, ...]
    cells: int
    programs: int


@dataclass(frozen=True)
class Kernel:
    """A printed kernel and how it is launched; one that is a loop has a table."""

    name: str
    about: str
    lines: tuple[str, ...]
    arguments: tuple[str, ...]
    group: Group
    tile: Tile
    totals: bool
    buffers: tuple[Buffer, ...]
    terms: int
    memory: int
    table: Table | None = None

    @property
    def most_programs(self) -> int | None:
        """How many programs it has at most, the others' rows being theirs as well; None if each has rows of its own."""
        return self.table.programs if self.table else TOTAL_PROGRAMS if self.totals else None


def kernel(cut: Cut, group: Group, name: str) -> Kernel:
    """Print a kernel."""
    return _Printer(cut, group, name).kernel()


class Contents:
    """What is in a kernel, before it is printed."""

    def __init__(self, cut: Cut, group: Group) -> None:
        self._printer = _Printer(cut, group, "")
        self._printer.collect()

    @property
    def weight(self) -> tuple[int, int]:
        """Its terms, and its loads and stores."""
        return self._printer.terms, self._printer.memory

    @property
    def size(self) -> int:
        """How much there is to order."""
        return self._printer.terms + self._printer.memory

    def registers(self, enough: int, most: int, searched: bool = True) -> int:
        """The registers of a thread that its values need at the worst place; fewer are not looked for than `enough`,
        nor is it known how many they are above `most`; only the first order is looked at where it is not `searched`
        for another."""
        return self._printer.registers(enough, most, searched)


def sums(cut: Cut, group: Group) -> int:
    """How many components of sums over neighbours a kernel has in registers."""
    return len(_Printer(cut, group, "").scattered())


def computed(cut: Cut, group: Group) -> dict[int, set[int]]:
    """The components of every value that a kernel computes or reads."""
    printer = _Printer(cut, group, "")
    printer.collect()
    found: dict[int, set[int]] = {}
    for key, name in printer.names.items():
        if isinstance(key, tuple) and isinstance(key[0], int) and name != ZERO:
            found.setdefault(key[0], set()).add(key[1])
    return found


@dataclass
class _Printer(Values):
    accumulators: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.totals = any(isinstance(self._op(store), Total) for store in self.group.stores)
        self.buffers: dict[int, Buffer] = {}

    def _op(self, store: Store) -> object:
        return self.program.instructions[store.value].op

    def _summed(self, store: Store) -> bool:
        """Whether a store is of a value that has to be summed over the lanes."""
        return self.cut.pending[store.value]

    # --- the whole -----------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """All statements of the three parts."""
        pairs = [store for store in self.group.stores if self._is_of_pairs(store)]
        for value, component in self.scattered():
            self._accumulate_pairs(value, component)
        for store in pairs:
            self._store(store, PAIR)
        self.in_tail = self.group.key is not None
        for store in self.group.stores:
            if store not in pairs:
                self._store(store, ROW)
        self.head, self.loop, self.tail = simplified((self.head, self.loop, self.tail), self._read_elsewhere())
        parts = (*self.head, *self.loop, *self.tail)
        self.terms = sum(len(one.terms) for one in parts if isinstance(one, Sum))

    def _read_elsewhere(self) -> list[str]:
        """Values that something else than a statement reads."""
        return []

    def kernel(self) -> Kernel:
        self.collect()
        return self.printed()

    def printed(self) -> Kernel:
        """The kernel of what is collected."""
        lines = self._assembled()
        return Kernel(
            self.name,
            self._about(),
            tuple(lines),
            tuple(self.arguments),
            self.group,
            self.tile,
            self.totals,
            tuple(self.buffers.values()),
            self.terms,
            self.memory,
        )

    def _about(self) -> str:
        """What the kernel does, in words."""
        over = self.group.domain.removeprefix("r_") or "the batch"
        if self.group.key is not None:
            relation, row = self.group.key
            over = f"{relation[2:]} by row {row}, the pairs of each site one after the other"
        written = ", ".join(dict.fromkeys(self._target(store) for store in self.group.stores))
        some = ""
        if self.group.share is not None:
            op, many = self.program.instructions[self.group.share.value].op, len(self.group.share.components)
            leaf = op.leg.removeprefix("p_") if isinstance(op, LegBlock) else f"value {self.group.share.value}"
            some = f" (what {many} components of {leaf} give)"
        return f"{written}{some}; over {over}: {self._how()}, {self.memory} loads and stores"

    def _how(self) -> str:
        return f"{self.terms} terms"

    def _target(self, store: Store) -> str:
        if store.output is not None:
            return self.program.outputs[store.output].name.removeprefix("q_")
        return f"value {store.value}"

    def _is_of_pairs(self, store: Store) -> bool:
        if self.group.key is None:
            return False
        op = self._op(store)
        source = store.value if not isinstance(op, Total) else op.value
        return self.program.instructions[source].domain == self.group.key[0]

    def scattered(self) -> list[tuple[int, int]]:
        """Components of sums over neighbours that something needs, found from the stores backwards."""
        if self.group.key is None:
            return []
        needed: set[tuple[int, int]] = set()
        done: set[tuple[int, int]] = set()
        todo = [
            (store.value, store.first + i)
            for store in self.group.stores
            if not self._is_of_pairs(store)
            for i in range(store.dim)
        ]
        first = {store.value for store in self.group.stores}
        while todo:
            value, component = todo.pop()
            if (value, component) in done:
                continue
            done.add((value, component))
            one = self.program.instructions[value]
            if value in self.cut.kept and value not in first:
                continue
            if isinstance(one.op, Scatter):
                needed.add((value, component))
                continue
            todo += reads(one, component)
        return sorted(needed)

    def _assembled(self) -> list[str]:
        lanes = self._lane_lines()
        head, loop, tail = self._parts()
        body = [*head.lines, *self._loop_lines(loop), *tail.lines]
        if not self.totals:
            return self._defined([*lanes, *self._row_lines("tl.program_id(0)"), *body])
        start = [*lanes, *self._zeroed(total=True)]
        return self._defined([*start, *self._over_blocks(body), *(one.text for one in self._total_stores())])

    def _over_blocks(self, body: Sequence[str]) -> list[str]:
        """Lines for all the rows of a program, one block after the other."""
        stop = f"tl.cdiv({self._rows()}, {self.tile.rows})"
        head = f"for block in range(tl.program_id(0), {stop}, tl.num_programs(0)):"
        return [head, *_indented([*self._row_lines("block"), *body])]

    def _row_lines(self, at: str) -> list[str]:
        """Which rows a block is."""
        if self.tile.rows == 1:
            return [f"row = tl.cast({at}, tl.int64)"]
        side = "[:, None]" if self.tile.lanes else ""
        spread = f"tl.arange(0, {self.tile.rows}){side}"
        return [f"row = {at} * {self.tile.rows} + {spread}.to(tl.int64)", f"inside = row < {self._rows()}"]

    def _defined(self, body: Sequence[str]) -> list[str]:
        """The function with these lines."""
        arguments = tuple(self.arguments)
        sizes = [name for name in arguments if name.startswith("n_") or name == "batch"]
        listed = ", ".join(f'"{name}"' for name in sizes)
        arguments_line = ", ".join((*arguments, "COMPUTE: tl.constexpr"))
        return [
            f"@_jit(do_not_specialize=[{listed}])",
            *wrapped_def(self.name, (*arguments, "COMPUTE: tl.constexpr"), arguments_line),
            *_indented(['"""', *textwrap.wrap(self._about(), WIDTH), '"""', *body]),
        ]

    def _parts(self, enough: int = FEW, most: int | None = None) -> tuple[Ordered, Ordered, Ordered]:
        """The three parts, each in order."""
        head = scheduled(self.head, (*self.loop, *self.tail), enough, most)
        return head, scheduled(self.loop, (), enough, most), scheduled(self.tail, (), enough, most)

    def registers(self, enough: int, most: int, searched: bool = True) -> int:
        """The registers of a thread that values need at the worst place; fewer are not looked for than `enough`, nor is
        it known how many they are above `most`."""
        least = sys.maxsize if not searched else enough if self.group.key is None else FEW
        head, loop, tail = self._parts(least, most)
        totals = [name for name in self.accumulators if name.startswith("total")]
        sums = [name for name in self.accumulators if not name.startswith("total")]
        behind = [*tail.before(totals), *sums] if self.group.key is not None else tail.before(totals)
        around = dict.fromkeys([*behind, *loop.before(behind)])
        return max(
            head.registers([name for name in around if name not in sums]),
            loop.registers(around),
            tail.registers(totals),
        )

    def _lane_lines(self) -> list[str]:
        shape = self.tile
        if not shape.lanes:
            return []
        spread = f"tl.arange(0, {shape.lanes})" + ("[None, :]" if shape.rows > 1 else "")
        first = f"tl.program_id(1) * {shape.lanes} + " if shape.blocks > 1 else ""
        lines = [f"u = {first}{spread}"]
        if self._ragged():
            lines.append(f"lane = u < {self.group.lanes}")
        return lines

    def _loop_lines(self, loop: Ordered) -> list[str]:
        if self.group.key is None:
            return []
        relation, row = self.group.key
        pairs, order, starts = f"n_{relation}", f"{relation}_order_{row}", f"{relation}_start_{row}"
        for name in (pairs, order, starts):
            self._argument(name)
        many = self._argument(f"n_{(self.relations[relation].first, self.relations[relation].second)[row]}")
        one_row = self.tile.rows == 1
        mask = "" if one_row else ", mask=inside, other=0"
        lines = [
            f"member = row // {many}",
            f"site = row - member * {many}",
            f"begin = tl.load({starts} + site{mask})",
            f"end = tl.load({starts} + site + 1{mask})",
            *self._zeroed(total=False),
        ]
        if one_row:
            inner = ["at = tl.cast(k, tl.int64)"]
            live = ""
            lines.append("for k in range(begin, end):")
        else:
            inner = ["at = begin + k", "live = at < end"]
            live = ", mask=live, other=0"
            lines.append("for k in range(0, tl.max(end - begin)):")
        inner += [f"local = tl.load({order} + at{live})", f"pair = member * {pairs} + local"]
        return [*lines, *_indented([*inner, *loop.lines])]

    def _zeroed(self, total: bool) -> list[str]:
        return [
            f"{name} = tl.zeros({shape}, COMPUTE)"
            for name, shape in self.accumulators.items()
            if name.startswith("total") == total
        ]

    # --- writing -------------------------------------------------------------------------------------------------

    def _accumulate_pairs(self, value: int, component: int) -> None:
        """A sum over the pairs of a site."""
        op = self.program.instructions[value].op
        assert isinstance(op, Scatter)
        text = self.value(op.value, component, PAIR)
        key = (value, component, ROW)
        if text == ZERO:
            self.names[key] = text
            return
        self.names[key] = f"sum{value}_{component}"
        self._accumulate(self.names[key], op.value, text, self.loop, "live")

    def _accumulate(self, name: str, source: int, text: str, out: list[Statement], mask: str) -> None:
        shape = self.tile
        lane = bool(shape.lanes) and self.cut.lane(source) is not None
        sizes = ([shape.rows] if shape.rows > 1 else []) + ([shape.lanes if lane else 1] if shape.lanes else [])
        if shape.rows == 1 and not lane:
            sizes = []
        self.accumulators[name] = f"[{', '.join(map(str, sizes))}]"
        if text == ZERO:
            return
        if shape.rows == 1:
            out.append(Sink(f"{name} += {text}", text, accumulates=name))
        else:
            out.append(Sink(f"{name} += tl.where({mask}, {text}, 0.0)", text))

    def _store(self, store: Store, place: Place) -> None:
        op = self._op(store)
        for component in range(store.first, store.first + store.dim):
            if isinstance(op, Total):
                self._accumulate_total(store, op, component, place)
            elif isinstance(op, Scatter) and self.cut.sums == "atomic":
                self._add_atomically(store, op, component)
            elif store.output is None:
                self._store_kept(store, component, place)
            else:
                self._store_output(store, component, place)

    def _accumulate_total(self, store: Store, op: Total, component: int, place: Place) -> None:
        text, name = self.value(op.value, component, place), f"total{store.value}_{component}"
        self._buffer(store)
        if store.adds and text == ZERO:
            return
        mask = "live" if place == PAIR else "inside"
        self._accumulate(name, op.value, text, self._part(place), mask)

    def _buffer(self, store: Store) -> str:
        """The argument for the memory of a kept value."""
        op = self._op(store)
        blocks = self.tile.blocks if self._summed(store) else 1
        atomic = isinstance(op, Scatter) and self.cut.sums == "atomic"
        self.buffers[store.value] = Buffer(store.value, 1 if atomic else blocks, isinstance(op, Total), atomic)
        return self._argument(f"b{store.value}")

    def _total_stores(self) -> Iterator[Sink]:
        """Every program writes its part of a sum over everything."""
        for store in self.group.stores:
            if not isinstance(self._op(store), Total):
                continue
            one, base = self.program.instructions[store.value], self._buffer(store)
            summed, lane = self._summed(store), bool(one.channels)
            row = "tl.program_id(0).to(tl.int64)"
            if self.tile.rows > 1:
                side = "[:, None]" if self.tile.lanes else ""
                row = f"({row} * {self.tile.rows} + tl.arange(0, {self.tile.rows}){side})"
            if summed and self.tile.blocks > 1:
                row = f"(tl.program_id(1) * tl.num_programs(0) * {self.tile.rows} + {row})"
            mul = one.channels[0] if one.channels else 1
            mask = "lane" if lane and self._ragged() else ""
            for component in range(store.first, store.first + store.dim):
                name = f"total{store.value}_{component}"
                if name not in self.accumulators:
                    continue
                text = self._lane_sum(name) if summed else name
                address = Address(f"{base} + {row} * {one.size}", component * mul, int(lane))
                if store.adds:
                    text = _both(self._loaded(address, mask), text)
                yield Sink(self._written(address, text, mask), name, address=address)

    def _added(
        self, store: Store, component: int, place: Place, address: Address, text: str
    ) -> tuple[str, tuple[str, ...]]:
        """A value with what kernels before this one have found of it, and the name of that."""
        if not store.adds:
            return text, ()
        name = f"before{store.value}_{component}"
        loaded = self._loaded(address, self._mask(place, bool(address.step)))
        self._part(place).append(Load(name, loaded, (address.base,), address=address))
        return _both(name, text), (name,)

    def _loaded(self, address: Address, mask: str) -> str:
        self.memory += 1
        return f"tl.load({address}{f', mask={mask}, other=0.0' if mask else ''})"

    def _lane_sum(self, text: str) -> str:
        if text == ZERO:
            return text
        return f"tl.sum({text}, 0)" if self.tile.rows == 1 else f"tl.sum({text}, 1)[:, None]"

    def _store_kept(self, store: Store, component: int, place: Place) -> None:
        one, pointer, summed = self.program.instructions[store.value], self._buffer(store), self._summed(store)
        text, out = self.value(store.value, component, place), self._part(place)
        if store.adds and text == ZERO:
            return
        mul, lane = (one.channels[0] if one.channels else 1), bool(one.channels)
        mask, written = self._mask(place, lane), self._lane_sum(text) if summed else text
        base = self._part_base(pointer, one, place) if summed and self.tile.blocks > 1 else ""
        address = self._address(base or self._base(pointer, one.size, place), component * mul, int(lane))
        written, before = self._added(store, component, place, address, written)
        out.append(Sink(self._written(address, written, mask), text, (address.base, *before), address=address))

    def _part_base(self, pointer: str, one: Instruction, place: Place) -> str:
        """The address of a row of what has to be summed over the blocks of lanes: each has all rows."""
        many = self._rows() if place == ROW else f"{self._argument('batch')} * {self._argument(f'n_{one.domain}')}"
        row = self._row(place)
        text = f"{pointer} + (tl.program_id(1).to(tl.int64) * {many} + {row}) * {one.size}"
        return self._at(pointer, text, (row,), place)

    def _written(self, address: Address, text: str, mask: str) -> str:
        self.memory += 1
        return f"tl.store({address}, {text}{f', mask={mask}' if mask else ''})"

    def _store_output(self, store: Store, component: int, place: Place) -> None:
        assert store.output is not None
        output, one = self.program.outputs[store.output], self.program.instructions[store.value]
        base = self._base(output.name, output.dim, place)
        m, lane = store.at + component - store.first, bool(one.channels)
        if self.program.layout == "mul_ir":
            address = self._address(base, store.start + store.channel * store.block + m, store.block * lane)
        else:
            address = self._address(base, store.start + m * store.mul + store.channel, int(lane))
        text, mask = self.value(store.value, component, place), self._mask(place, lane)
        found, before = text, tuple[str, ...]()
        if store.adds:
            kept = self._base(f"b{store.value}", one.size, place)
            own = self._address(kept, component * (one.channels[0] if lane else 1), int(lane))
            found, before = self._added(store, component, place, own, text)
        self._part(place).append(Sink(self._written(address, found, mask), text, (base, *before), address=address))

    def _add_atomically(self, store: Store, op: Scatter, component: int) -> None:
        """Pairs added into their sites as they come."""
        one, pointer = self.program.instructions[store.value], self._buffer(store)
        text = self.value(op.value, component, ROW)
        if text == ZERO:
            return
        mul, lane = (one.channels[0] if one.channels else 1), bool(one.channels)
        added = self._lane_sum(text) if self._summed(store) else text
        mask = self._mask(ROW, lane)
        self.memory += 1
        base = self._base(pointer, one.size, (op.relation, str(op.row), *ROW))
        address = self._address(base, component * mul, int(lane))
        written = f'tl.atomic_add({address}, {added}{f", mask={mask}" if mask else ""}, sem="relaxed")'
        self.head.append(Sink(written, text, (base,), address=address))


def _both(before: str, text: str) -> str:
    return before if text == ZERO else f"{before} + {text}"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def wrapped_def(name: str, arguments: Sequence[str], line: str) -> list[str]:
    text = f"def {name}({line}):"
    if len(text) <= WIDTH:
        return [text]
    return [f"def {name}(", *(f"    {argument}," for argument in arguments), "):"]

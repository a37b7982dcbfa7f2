"""The text of one Triton kernel: components in registers, constants as literals, everything read and written once.

Values are asked for from what is written backwards, component by component, so that nothing is computed in vain. A
kernel has three parts: the head (what belongs to a row), for sums over neighbours the loop over the pairs of the row,
and the tail (what follows from the sums).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from fusionc.algebra.surds import ONE, Surd
from fusionc.program.ir import (
    BATCH,
    Gather,
    Instruction,
    LegBlock,
    Linear,
    Product,
    Program,
    Scatter,
    Spread,
    Total,
    WeightBlock,
    Zeros,
)
from fusionc.targets.triton_plan import Cut, Group, Store
from fusionc.targets.triton_schedule import FEW, WIDTH, Address, Load, Ordered, Sink, Statement, Sum, Term, scheduled

ZERO = "0.0"
TOTAL_PROGRAMS = 1024
"""How many programs a kernel with a sum over everything has at most: each writes its own part of the sum."""

Place = tuple[str, ...]
"""Where a value is asked for: ("row",), ("pair",), ("batch",), or (relation, row, *place): that end of a pair."""

ROW: Place = ("row",)
PAIR: Place = ("pair",)
EVERYWHERE: Place = ("batch", "")


@dataclass(frozen=True)
class Tile:
    """`rows` elements and `lanes` channels a program, one of each a thread; `blocks` programs share a row."""

    rows: int
    lanes: int
    blocks: int
    warps: int


def tile(lanes: int | None, narrow: bool) -> Tile:
    """The tile for a channel axis. `narrow`: one warp, for loops of different lengths and for sums over channels."""
    threads = 32 if narrow else 128
    if lanes is None:
        return Tile(threads, 0, 1, threads // 32)
    width = 1 << max(0, lanes - 1).bit_length()
    width = next((w for w in (128, 64, 32, 16) if w <= threads and -lanes % w * 8 <= lanes), min(width, threads))
    rows = 1 if width >= 32 else threads // width
    return Tile(rows, width, -(-lanes // width), max(1, rows * width // 32))


@dataclass(frozen=True)
class Buffer:
    """The memory of a kept value while a kernel fills it: `blocks` and `programs` have to be summed afterwards."""

    value: int
    blocks: int
    programs: bool
    atomic: bool
    rows: int


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
    """What a kernel that is a loop goes through, and how many numbers the cells of a program have."""

    rows: tuple[Row, ...]
    places: tuple[Stretch, ...]
    cells: int


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


def kernel(cut: Cut, group: Group, name: str) -> Kernel:
    """Print a kernel."""
    return _Printer(cut, group, name).kernel()


def weight(cut: Cut, group: Group) -> tuple[int, int]:
    """The terms of a kernel, and its loads and stores."""
    printer = _Printer(cut, group, "")
    printer.collect()
    return printer.terms, printer.memory


def registers(cut: Cut, group: Group, enough: int, most: int) -> int:
    """The registers of a thread that the values of a kernel need at the worst place; fewer are not looked for than
    `enough`, nor is it known how many they are above `most`."""
    printer = _Printer(cut, group, "")
    printer.collect()
    return printer.registers(enough, most)


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
class _Printer:
    cut: Cut
    group: Group
    name: str
    head: list[Statement] = field(default_factory=list)
    loop: list[Statement] = field(default_factory=list)
    tail: list[Statement] = field(default_factory=list)
    names: dict[object, str] = field(default_factory=dict)
    arguments: dict[str, None] = field(default_factory=dict)
    accumulators: dict[str, str] = field(default_factory=dict)
    zeros: dict[tuple[int, int], bool] = field(default_factory=dict)
    terms: int = 0
    memory: int = 0
    in_tail: bool = False

    def __post_init__(self) -> None:
        program = self.cut.program
        self.relations = {relation.name: relation for relation in program.relations}
        pending = any(self._summed(store) for store in self.group.stores)
        self.totals = any(isinstance(self._op(store), Total) for store in self.group.stores)
        self.tile = tile(self.group.lanes, self.group.key is not None or pending)
        self.buffers: dict[int, Buffer] = {}

    @property
    def program(self) -> Program:
        return self.cut.program

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

    def registers(self, enough: int, most: int) -> int:
        """The registers of a thread that values need at the worst place; fewer are not looked for than `enough`, nor is
        it known how many they are above `most`."""
        head, loop, tail = self._parts(enough if self.group.key is None else FEW, most)
        totals = [name for name in self.accumulators if name.startswith("total")]
        sums = [name for name in self.accumulators if not name.startswith("total")]
        behind = [*tail.before(totals), *sums] if self.group.key is not None else tail.before(totals)
        around = dict.fromkeys([*behind, *loop.before(behind)])
        return max(
            head.registers([name for name in around if name not in sums]),
            loop.registers(around),
            tail.registers(totals),
        )

    def _rows(self) -> str:
        """How many rows there are: an argument."""
        domain = self.group.domain
        if self.group.key is not None:
            relation, row = self.group.key
            domain = (self.relations[relation].first, self.relations[relation].second)[row]
        return self._argument("batch") if domain == BATCH else self._argument("n_rows")

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

    def _ragged(self) -> bool:
        return bool(self.tile.lanes) and (self.group.lanes or 0) % self.tile.lanes != 0

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

    # --- names ---------------------------------------------------------------------------------------------------

    def _argument(self, name: str) -> str:
        self.arguments.setdefault(name)
        return name

    def _part(self, place: Place) -> list[Statement]:
        """Where a value is computed: in the loop over pairs, or before or after it."""
        if self.group.key is not None and place[-1] == "pair":
            return self.loop
        return self.tail if self.in_tail else self.head

    def _mask(self, place: Place, lane: bool) -> str:
        """The condition under which memory is there."""
        parts = []
        if self.tile.rows > 1 and place != EVERYWHERE:
            parts.append("live" if self.group.key is not None and place[-1] == "pair" else "inside")
        if lane and self._ragged():
            parts.append("lane")
        return " & ".join(parts)

    def _row(self, place: Place) -> str:
        """The name of the row of a domain that a place is."""
        if place in (ROW, PAIR):
            return "pair" if place == PAIR and self.group.key is not None else "row"
        key = ("row of", place)
        if key not in self.names:
            out = self._part(place)
            if place[0] == "batch":
                many = self._argument(f"n_{place[1]}")
                self.names[key] = "batch_row"
                out.append(Load("batch_row", f"{self._row(place[2:])} // {many}", (), 2))
            else:
                self.names[key] = self._end(place, out)
        return self.names[key]

    def _end(self, place: Place, out: list[Statement]) -> str:
        """The site at one end of a pair."""
        relation, row = place[0], int(place[1])
        declared = self.relations[relation]
        sites = self._argument(f"n_{(declared.first, declared.second)[row]}")
        pairs = self._argument(f"n_{relation}")
        name, mask = f"{relation}_{row}", self._mask(place, False)
        masked = f", mask={mask}, other=0" if mask else ""
        if self.group.key is None and "local" not in self.names:
            self.names["local"] = "local"
            out += [
                Load("member", f"row // {pairs}", (), 2),
                Load("local", f"row - member * {pairs}", ("member",), 2),
            ]
        start = f" + {pairs}" if row else ""
        index = f"tl.load({self._argument(relation)}{start} + local{masked})"
        out.append(Load(name, f"member * {sites} + {index}", ("member", "local"), 2))
        return name

    # --- values --------------------------------------------------------------------------------------------------

    def value(self, value: int, component: int, place: Place) -> str:
        """The name of a component at a place; statements that it needs are said first."""
        one = self.program.instructions[value]
        if one.domain is None:
            place = EVERYWHERE
        key = (value, component, place)
        if key not in self.names:
            self.names[key] = self._computed(value, component, place, one)
        return self.names[key]

    def _computed(self, value: int, component: int, place: Place, one: Instruction) -> str:
        op, share = one.op, self.group.share
        if share is not None and share.value == value and component not in share.components:
            return ZERO
        if value in self.cut.kept and not self._writes(value):
            return self._load_kept(value, component, place)
        if isinstance(op, LegBlock):
            return self._load_leg(op, value, component, place)
        if isinstance(op, WeightBlock):
            return self._load_weight(op, value, component, place)
        if isinstance(op, Gather):
            return self.value(op.value, component, self._end_of(op.relation, op.row, place))
        if isinstance(op, Spread):
            assert one.domain is not None
            inner = self.program.instructions[op.value]
            return self.value(op.value, component, self._batch_of(place) if inner.domain == BATCH else place)
        if isinstance(op, Zeros):
            return ZERO
        if isinstance(op, Product):
            return self._product(op, value, component, place)
        assert isinstance(op, Linear)
        return self._linear(op, value, component, place)

    def _vanishes(self, value: int, component: int) -> bool:
        """Whether a component is zero: nothing is read for what it is multiplied with."""
        key = (value, component)
        if key not in self.zeros:
            self.zeros[key] = self._is_zero(value, component)
        return self.zeros[key]

    def _is_zero(self, value: int, component: int) -> bool:
        op, share = self.program.instructions[value].op, self.group.share
        if share is not None and share.value == value:
            return component not in share.components
        if isinstance(op, LegBlock | WeightBlock | Zeros) or (value in self.cut.kept and not self._writes(value)):
            return isinstance(op, Zeros)
        if isinstance(op, Product):
            return all(
                self._vanishes(op.left, i) or self._vanishes(op.right, j) for i, j, _ in op.by_result.get(component, ())
            )
        if isinstance(op, Linear):
            return all(self._vanishes(*at) for at in op.by_result.get(component, ()))
        assert isinstance(op, Gather | Scatter | Spread | Total)
        return self._vanishes(op.value, component)

    def _writes(self, value: int) -> bool:
        """Whether a value's own memory is written, not read."""
        return any(store.value == value and store.output is None for store in self.group.stores)

    def _batch_of(self, place: Place) -> Place:
        """The element of the batch that a site or a pair belongs to; a pair belongs where its sites do."""
        relation, row = self.group.key or ("", 0)
        if self.group.key is None:
            return ("batch", self.group.domain, *ROW)
        return ("batch", (self.relations[relation].first, self.relations[relation].second)[row], *ROW)

    def _name(self, value: int, component: int, place: Place) -> str:
        return f"t{value}_{component}" + _suffix(place)

    def _product(self, op: Product, value: int, component: int, place: Place) -> str:
        terms = []
        for i, j, sign in op.by_result.get(component, ()):
            if not (self._vanishes(op.left, i) or self._vanishes(op.right, j)):
                left, right = self.value(op.left, i, place), self.value(op.right, j, place)
                terms.append(Term("-" if sign < 0 else "+", "", left, right))
        return self._sum(value, component, place, terms)

    def _linear(self, op: Linear, value: int, component: int, place: Place) -> str:
        terms = []
        for (source, i), c in op.by_result.get(component, {}).items():
            name = self.value(source, i, place)
            if name == ZERO or not c:
                continue
            terms.append(Term(*_sign_and_factor(c), name))
        if len(terms) == 1 and terms[0].text == terms[0].left and terms[0].sign == "+":
            return terms[0].left
        return self._sum(value, component, place, terms)

    def _sum(self, value: int, component: int, place: Place, terms: Sequence[Term]) -> str:
        if not terms:
            return ZERO
        self.terms += len(terms)
        name = self._name(value, component, place)
        self._part(place).append(Sum(name, tuple(terms)))
        return name

    # --- reading -------------------------------------------------------------------------------------------------

    def _load(self, value: int, component: int, place: Place, address: Address) -> str:
        lane = bool(self.program.instructions[value].channels)
        mask = self._mask(place, lane)
        masked = f", mask={mask}, other=0.0" if mask else ""
        self.memory += 1
        name = self._name(value, component, place)
        needs = () if place == EVERYWHERE else (address.base,)
        self._part(place).append(Load(name, f"tl.load({address}{masked}).to(COMPUTE)", needs, address=address))
        return name

    def _base(self, name: str, size: int, place: Place) -> str:
        """The address of a row of an operand."""
        pointer = self._argument(name)
        if place == EVERYWHERE:
            return pointer
        key = ("base", name, place)
        if key not in self.names:
            at = f"{name}_at" + _suffix(place)
            row = self._row(place)
            self._part(place).append(Load(at, f"{pointer} + {row} * {size}", (row,), 2))
            self.names[key] = at
        return self.names[key]

    def _load_leg(self, op: LegBlock, value: int, component: int, place: Place) -> str:
        leg = next(leg for leg in self.program.legs if leg.name == op.leg)
        channels = self.program.instructions[value].channels
        start, m, mul, dims = op.start, component, (channels or (1,))[0], iter(op.dims)
        dim = next(dims)
        while m >= dim:
            start, m = start + mul * dim, m - dim
            dim = next(dims)
        base, lane = self._base(op.leg, leg.dim, place), bool(channels)
        if self.program.layout == "mul_ir":
            return self._load(value, component, place, Address(base, start + m, dim * lane))
        return self._load(value, component, place, Address(base, start + m * mul, int(lane)))

    def _load_weight(self, op: WeightBlock, value: int, component: int, place: Place) -> str:
        channels, domain = self.program.instructions[value].channels, self.program.instructions[value].domain
        numel = next(
            (w.numel for w in self.program.weights if w.name == op.weight),
            next((leg.dim for leg in self.program.legs if leg.name == op.weight), 0),
        )
        pointer = op.weight
        base = self._table_row(op, pointer, numel, place, domain) if op.rows else self._base(pointer, numel, place)
        mul = channels[0] if channels else 1
        return self._load(value, component, place, Address(base, op.start + component * mul, int(bool(channels))))

    def _table_row(self, op: WeightBlock, pointer: str, numel: int, place: Place, domain: str | None) -> str:
        """The address of the row of a table that index legs select."""
        key = ("table", op.weight, op.rows, op.reads, place)
        if key in self.names:
            return self.names[key]
        self._argument(pointer)
        text, needs = "", list[str]()
        for leg_name, read in zip(op.rows, op.reads or [None] * len(op.rows), strict=True):
            leg = next(leg for leg in self.program.legs if leg.name == leg_name)
            at = place
            if read is not None:
                at = self._end_of(read[0], read[1], place)
            elif domain and not leg.domain:
                at = self._batch_of(place)
            needs.append(self._row(at))
            mask = self._mask(at, False)
            masked = f", mask={mask}, other=0" if mask else ""
            loaded = f"tl.load({self._argument(leg_name)} + {needs[-1]}{masked})"
            text = f"({text}) * {leg.dim} + {loaded}" if text else loaded
        tables = sum(isinstance(other, tuple) and other[0] == "table" for other in self.names)
        name = f"{op.weight}_{'_'.join(op.rows)}_at{tables or ''}" + _suffix(place)
        self._part(place).append(Load(name, f"{pointer} + ({text}) * {numel}", tuple(needs), 2))
        self.names[key] = name
        return name

    def _end_of(self, relation: str, row: int, place: Place) -> Place:
        """One end of a pair; where a kernel runs over the pairs of each site, that site is its row."""
        if self.group.key == (relation, row) and place == PAIR:
            return ROW
        return (relation, str(row), *place)

    def _load_kept(self, value: int, component: int, place: Place) -> str:
        one = self.program.instructions[value]
        mul = one.channels[0] if one.channels else 1
        base = self._base(f"b{value}", one.size, place)
        return self._load(value, component, place, Address(base, component * mul, int(bool(one.channels))))

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
        self.buffers[store.value] = Buffer(
            store.value, 1 if atomic else blocks, isinstance(op, Total), atomic, self.tile.rows
        )
        return self._argument(f"b{store.value}")

    def _total_stores(self) -> Iterator[Sink]:
        """Every program writes its part of a sum over everything."""
        for store in self.group.stores:
            if not isinstance(self._op(store), Total):
                continue
            one, base = self.program.instructions[store.value], self._buffer(store)
            summed, lane = self._summed(store), bool(one.channels)
            row = "tl.program_id(0)"
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
                text = self._added(store, address, text, mask)
                yield Sink(self._written(address, text, mask), name, address=address)

    def _added(self, store: Store, address: Address, text: str, mask: str) -> str:
        """A value with what kernels before this one have found of it."""
        if not store.adds:
            return text
        self.memory += 1
        before = f"tl.load({address}{f', mask={mask}, other=0.0' if mask else ''})"
        return before if text == ZERO else f"{before} + {text}"

    def _lane_sum(self, text: str) -> str:
        if text == ZERO:
            return text
        return f"tl.sum({text}, 0)" if self.tile.rows == 1 else f"tl.sum({text}, 1)[:, None]"

    def _store_kept(self, store: Store, component: int, place: Place) -> None:
        one, pointer, summed = self.program.instructions[store.value], self._buffer(store), self._summed(store)
        text, out = self.value(store.value, component, place), self._part(place)
        if store.adds and text == ZERO:
            return
        row = self._row(place)
        if summed and self.tile.blocks > 1:
            many = self._rows() if place == ROW else f"{self._argument('batch')} * {self._argument(f'n_{one.domain}')}"
            row = f"(tl.program_id(1) * {many} + {row})"
        mul, lane = (one.channels[0] if one.channels else 1), bool(one.channels)
        mask, written = self._mask(place, lane), self._lane_sum(text) if summed else text
        address = Address(f"{pointer} + {row} * {one.size}", component * mul, int(lane))
        written = self._added(store, address, written, mask)
        out.append(Sink(self._written(address, written, mask), text, address=address))

    def _written(self, address: Address, text: str, mask: str) -> str:
        self.memory += 1
        return f"tl.store({address}, {text}{f', mask={mask}' if mask else ''})"

    def _store_output(self, store: Store, component: int, place: Place) -> None:
        assert store.output is not None
        output, one = self.program.outputs[store.output], self.program.instructions[store.value]
        base = self._base(output.name, output.dim, place)
        m, lane = store.at + component - store.first, bool(one.channels)
        if self.program.layout == "mul_ir":
            address = Address(base, store.start + store.channel * store.block + m, store.block * lane)
        else:
            address = Address(base, store.start + m * store.mul + store.channel, int(lane))
        text, mask = self.value(store.value, component, place), self._mask(place, lane)
        found = text
        if store.adds:
            before = f"{self._argument(f'b{store.value}')} + {self._row(place)} * {one.size}"
            own = Address(before, component * (one.channels[0] if lane else 1), int(lane))
            found = self._added(store, own, text, mask)
        self._part(place).append(Sink(self._written(address, found, mask), text, (base,), address=address))

    def _add_atomically(self, store: Store, op: Scatter, component: int) -> None:
        """Pairs added into their sites as they come."""
        one, pointer = self.program.instructions[store.value], self._buffer(store)
        text = self.value(op.value, component, ROW)
        if text == ZERO:
            return
        site = self._row((op.relation, str(op.row), *ROW))
        mul, lane = (one.channels[0] if one.channels else 1), bool(one.channels)
        added = self._lane_sum(text) if self._summed(store) else text
        mask = self._mask(ROW, lane)
        self.memory += 1
        address = Address(f"{pointer} + {site} * {one.size}", component * mul, int(lane))
        written = f'tl.atomic_add({address}, {added}{f", mask={mask}" if mask else ""}, sem="relaxed")'
        self.head.append(Sink(written, text, (site,), address=address))


@cache
def _sign_and_factor(c: Surd) -> tuple[str, str]:
    """A coefficient as text; a factor of one is nothing."""
    number = float(c)
    return "-" if number < 0 else "+", "" if abs(c) == ONE else repr(abs(number))


def _suffix(place: Place) -> str:
    """What names at a place end in; nothing for the place that a kernel runs over."""
    if place in (ROW, PAIR, EVERYWHERE):
        return ""
    return "_b" if place[0] == "batch" else f"_{place[0]}_{place[1]}"


def reads(one: Instruction, component: int) -> Iterator[tuple[int, int]]:
    """The components that a component is made of."""
    op = one.op
    if isinstance(op, Product):
        for i, j, _ in op.by_result.get(component, ()):
            yield from ((op.left, i), (op.right, j))
    elif isinstance(op, Linear):
        yield from op.by_result.get(component, ())
    elif isinstance(op, Gather | Scatter | Spread | Total):
        yield op.value, component


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def wrapped_def(name: str, arguments: Sequence[str], line: str) -> list[str]:
    text = f"def {name}({line}):"
    if len(text) <= WIDTH:
        return [text]
    return [f"def {name}(", *(f"    {argument}," for argument in arguments), "):"]

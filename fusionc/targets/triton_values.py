"""What a kernel computes, component by component.

Values are asked for from what is written backwards, so that nothing is computed in vain; the statements that they need
stand in three parts: the head (what belongs to a row), for sums over neighbours the loop over the pairs of the row, and
the tail (what follows from the sums).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from fusionc.targets.names import Namer
from fusionc.targets.triton_plan import Cut, Group
from fusionc.targets.triton_schedule import Address, Load, Statement, Sum, Term

ZERO = "0.0"

Place = tuple[str, ...]
"""Where a value is asked for: ("row",), ("pair",), ("batch",), or (relation, row, *place): that end of a pair."""

ROW: Place = ("row",)
PAIR: Place = ("pair",)
EVERYWHERE: Place = ("batch", "")


@dataclass(frozen=True)
class Tile:
    """`rows` elements and `lanes` channels a program, one of each a thread (but for tiles of matrix products); `blocks`
    programs share a row."""

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


@dataclass
class Values:
    """The values of one kernel: asked for by `value`, which adds the statements that they need to the parts."""

    cut: Cut
    group: Group
    name: str
    head: list[Statement] = field(default_factory=list)
    loop: list[Statement] = field(default_factory=list)
    tail: list[Statement] = field(default_factory=list)
    names: dict[object, str] = field(default_factory=dict)
    arguments: dict[str, None] = field(default_factory=dict)
    zeros: dict[tuple[int, int], bool] = field(default_factory=dict)
    terms: int = 0
    memory: int = 0
    in_tail: bool = False

    def __post_init__(self) -> None:
        self.relations = {relation.name: relation for relation in self.program.relations}
        pending = any(self.cut.pending[store.value] for store in self.group.stores)
        self.tile = tile(self.group.lanes, self.group.key is not None or pending)
        program = self.program
        self.namer = Namer(one.name for some in (program.legs, program.weights, program.outputs) for one in some)

    @property
    def program(self) -> Program:
        return self.cut.program

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

    def _address(self, base: str, start: int, step: int) -> Address:
        """A place in every lane."""
        key = ("lanes", base, step)
        if step and key not in self.names:
            self.names[key] = self.namer.fresh(f"{base}_u{step if step > 1 else ''}")
        return Address(base, start, step, self.names.get(key, ""))

    def _base(self, name: str, size: int, place: Place) -> str:
        """The address of a row of an operand."""
        pointer = self._argument(name)
        if place == EVERYWHERE:
            return pointer
        row = self._row(place)
        return self._at(name, f"{pointer} + {row} * {size}", (row,), place)

    def _at(self, name: str, text: str, needs: tuple[str, ...], place: Place) -> str:
        """The name of an address that belongs to something, said where it is asked for first."""
        key = ("at", text, place)
        if key not in self.names:
            self.names[key] = self.namer.fresh(f"{name}_at" + _suffix(place))
            self._part(place).append(Load(self.names[key], text, needs, 2))
        return self.names[key]

    def _load_leg(self, op: LegBlock, value: int, component: int, place: Place) -> str:
        leg = self.program.leg(op.leg)
        channels = self.program.instructions[value].channels
        start, m, mul, dims = op.start, component, (channels or (1,))[0], iter(op.dims)
        dim = next(dims)
        while m >= dim:
            start, m = start + mul * dim, m - dim
            dim = next(dims)
        base, lane = self._base(op.leg, leg.dim, place), bool(channels)
        if self.program.layout == "mul_ir":
            return self._load(value, component, place, self._address(base, start + m, dim * lane))
        return self._load(value, component, place, self._address(base, start + m * mul, int(lane)))

    def _load_weight(self, op: WeightBlock, value: int, component: int, place: Place) -> str:
        channels, domain = self.program.instructions[value].channels, self.program.instructions[value].domain
        numel = next(
            (w.numel for w in self.program.weights if w.name == op.weight),
            next((leg.dim for leg in self.program.legs if leg.name == op.weight), 0),
        )
        pointer = op.weight
        base = self._table_row(op, pointer, numel, place, domain) if op.rows else self._base(pointer, numel, place)
        mul = channels[0] if channels else 1
        return self._load(value, component, place, self._address(base, op.start + component * mul, int(bool(channels))))

    def _table_row(self, op: WeightBlock, pointer: str, numel: int, place: Place, domain: str | None) -> str:
        """The address of the row of a table that index legs select."""
        self._argument(pointer)
        text, needs = "", list[str]()
        for leg_name, read in zip(op.rows, op.reads or [None] * len(op.rows), strict=True):
            leg = self.program.leg(leg_name)
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
        return self._at(f"{op.weight}_{'_'.join(op.rows)}", f"{pointer} + ({text}) * {numel}", tuple(needs), place)

    def _end_of(self, relation: str, row: int, place: Place) -> Place:
        """One end of a pair; where a kernel runs over the pairs of each site, that site is its row."""
        if self.group.key == (relation, row) and place == PAIR:
            return ROW
        return (relation, str(row), *place)

    def _load_kept(self, value: int, component: int, place: Place) -> str:
        one = self.program.instructions[value]
        mul = one.channels[0] if one.channels else 1
        base = self._base(f"b{value}", one.size, place)
        return self._load(value, component, place, self._address(base, component * mul, int(bool(one.channels))))

    def _rows(self) -> str:
        """How many rows there are: an argument."""
        domain = self.group.domain
        if self.group.key is not None:
            relation, row = self.group.key
            domain = (self.relations[relation].first, self.relations[relation].second)[row]
        return self._argument("batch") if domain == BATCH else self._argument("n_rows")

    def _ragged(self) -> bool:
        return bool(self.tile.lanes) and (self.group.lanes or 0) % self.tile.lanes != 0


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

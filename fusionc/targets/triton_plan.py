"""Which kernels a program becomes, and what runs outside of them.

A kernel runs over the elements of one domain (or over the sites of one domain and, inside, over the pairs of each) and
over one set of channels, with the components of everything in registers (in cells of memory, where it is a loop over
terms: `triton_loop`). So a program is cut where that ends:

    a channel letter is summed with a weight, the same for all rows (`triton_mix`)                     -> tl.dot
    weights of each row mix channels, two letters stand side by side, channels are reordered           -> torch
    a sum over all sites, rows of a table summed, what has no domain after a total                     -> torch
    a value is gathered that is not an operand itself, a sum over channels is used on the spot         -> two kernels

Values at the cuts are *kept*: they stand in memory, [rows, components, channels…]. A sum over channels is postponed
past linear maps (it commutes with them) to where the result is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fusionc.algebra.surds import ONE
from fusionc.program.ir import (
    Entry,
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
    moved_output,
    operands,
    renumbered,
)
from fusionc.targets.registry import Sums
from fusionc.targets.triton_mix import Mixing, everywhere, mixes, mixing

Key = tuple[str, int]
"""(relation, row): into which sites pairs are summed."""

VIEWS = (LegBlock, WeightBlock)
MOVES = (Gather, Spread)


@dataclass(frozen=True)
class Store:
    """One thing that a kernel writes: `dim` components of a value from `first` on, into an output or, without one, into
    the value's own memory. In the output they are those from `at` on of a block of `block` components and `mul`
    channels that stands at `start`; the value's channels are those from `channel` on. With `adds` kernels before this
    one have left their part in the value's own memory."""

    value: int
    first: int
    dim: int
    output: int | None = None
    start: int = 0
    channel: int = 0
    mul: int = 1
    block: int = 1
    at: int = 0
    adds: bool = False

    def apart(self) -> tuple[Store, ...]:
        """Component by component."""
        return tuple(replace(self, first=self.first + m, dim=1, at=self.at + m) for m in range(self.dim))


@dataclass(frozen=True)
class Share:
    """Some components of an operand (a value that is read from memory)."""

    value: int
    components: frozenset[int]


@dataclass(frozen=True)
class Group:
    """A kernel: over the elements of `domain`; with `key` over sites, and for each over its pairs. `lanes` is the size
    of the channel axis, None where there is none. With `share` it is for what has these components as a factor;
    `looped` it walks over a table of its terms."""

    domain: str
    key: Key | None
    lanes: int | None
    stores: tuple[Store, ...]
    share: Share | None = None
    looped: bool = False


@dataclass(frozen=True)
class Outside:
    """An instruction that runs in torch, and why; or in a kernel of its own, where it is a matrix product."""

    value: int
    why: str


Step = Group | Outside


@dataclass
class Cut:
    """What is known of every value once the kept ones are fixed."""

    program: Program
    sums: Sums
    kept: set[int] = field(default_factory=set)
    outside: dict[int, str] = field(default_factory=dict)
    mixing: Mixing = field(default_factory=Mixing)
    lanes: list[int | None] = field(default_factory=list)
    pending: list[bool] = field(default_factory=list)
    keys: list[Key | None] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    extra: frozenset[int] = frozenset()
    """Kept values that need not be."""

    def lane(self, value: int) -> int | None:
        """The channel axis that a value is computed over; seen from a reader, that of what is kept is its own."""
        channels = self.program.instructions[value].channels
        return (channels[0] if channels else None) if value in self.kept else self.lanes[value]

    def is_pending(self, value: int) -> bool:
        """Whether a value still has to be summed over the lanes."""
        return value not in self.kept and self.pending[value]

    def key(self, value: int) -> Key | None:
        return None if value in self.kept else self.keys[value]


def cut(program: Program, sums: Sums, extra: Iterable[int] = ()) -> Cut:
    """The kept values: all that have to be, those that are asked for, and no more."""
    found = Cut(program, sums, kept=set(extra), mixing=mixing(program), extra=frozenset(extra))
    while True:
        before = (len(found.kept), len(found.outside))
        _pass(found)
        if (len(found.kept), len(found.outside)) == before:
            return found


def _pass(found: Cut) -> None:
    found.lanes, found.pending, found.keys, found.levels = [], [], [], []
    for number, instruction in enumerate(found.program.instructions):
        op, used = instruction.op, operands(instruction.op)
        why = found.outside.get(number) or _why_outside(found, number, instruction)
        if why:
            found.outside[number] = why
            found.kept.add(number)
            for value in used:
                _needed_in_torch(found, value)
        if isinstance(op, Gather) and not isinstance(found.program.instructions[op.value].op, VIEWS):
            found.kept.add(op.value)
        if (isinstance(op, Total) and not why) or (isinstance(op, Scatter) and found.sums == "atomic"):
            found.kept.add(number)
        _lanes(found, number, instruction)
        _keys(found, instruction)
        levels = [found.levels[value] + (value in found.kept) for value in used]
        found.levels.append(max(levels, default=0))
    for output in found.program.outputs:
        for value in output.values:
            one = found.program.instructions[value]
            if one.domain is None and value not in found.kept and not isinstance(one.op, VIEWS):
                found.outside[value] = "is small: no domain"
            if found.pending[value] or value in found.outside:
                found.kept.add(value)


def _why_outside(found: Cut, number: int, one: Instruction) -> str:
    """Why an instruction is not for a kernel, or nothing."""
    op, instructions = one.op, found.program.instructions
    if isinstance(op, Zeros):
        return ""
    values = [instructions[value] for value in operands(op)]
    if isinstance(op, Product) and mixes(op):
        return f"mixes channels: {op.left_axes},{op.right_axes}->{op.axes}{found.mixing.reasons.get(number, '')}"
    if number in found.mixing.found and not isinstance(op, Total):
        return "adds up mixed channels"
    if isinstance(op, Linear) and (op.order or any(value.channels != one.channels for value in values)):
        return "reorders channels"
    if isinstance(op, Pool):
        return "sums over all sites"
    if isinstance(op, Total) and (op.rows or operands(op)[0] in found.outside):
        return "sums rows of a table" if op.rows else "sums over the batch"
    if isinstance(op, VIEWS):
        return ""
    if len(one.channels) > 1:
        return "has two channels"
    if one.domain is None and any(value in found.outside or _is_total(found, value) for value in operands(op)):
        return "is small: no domain"
    return ""


def _is_total(found: Cut, value: int) -> bool:
    return isinstance(found.program.instructions[value].op, Total)


def _needed_in_torch(found: Cut, value: int) -> None:
    """Operands of what runs in torch are kept; views, and moves of what torch has, are made there again."""
    one = found.program.instructions[value]
    if isinstance(one.op, VIEWS) or value in found.outside:
        return
    inner = operands(one.op)
    if everywhere(found.program, value) != value:  # (torch mixes channels with what is repeated)
        _needed_in_torch(found, inner[0])
    if one.domain is None and not isinstance(one.op, Total):
        found.outside[value] = "is small: no domain"
    elif isinstance(one.op, MOVES) and (
        inner[0] in found.outside or isinstance(found.program.instructions[inner[0]].op, VIEWS)
    ):
        found.outside[value] = "moves what torch reads"
    elif isinstance(one.op, Zeros):
        found.outside[value] = "is zero"
    found.kept.add(value)


def _lanes(found: Cut, number: int, one: Instruction) -> None:
    """The channel axis of a value and whether it is still to be summed over it."""
    op, used = one.op, operands(one.op)
    own = one.channels[0] if one.channels else None
    if isinstance(op, VIEWS) or number in found.outside or isinstance(op, Zeros):
        found.lanes.append(own)
        found.pending.append(False)
        return
    pending = [value for value in used if found.is_pending(value)]
    over = {found.lane(value) for value in pending}
    others = [value for value in used if not found.is_pending(value)]
    if isinstance(op, Product):
        clash = own is not None or len(pending) > 1 or any(found.lane(v) is not None for v in others)
        summed = op.left_axes == op.right_axes != "" == op.axes
    else:
        clash, summed = len(over) > 1 or (isinstance(op, Linear) and bool(others)), False
        clash = clash or isinstance(op, Gather)
    if pending and clash:
        found.kept.update(pending)
        pending, over = [], set()
    is_pending = summed or bool(pending)
    lane = found.lane(op.left) if summed and isinstance(op, Product) else next(iter(over), own)
    found.lanes.append(lane)
    found.pending.append(is_pending)


def _keys(found: Cut, one: Instruction) -> None:
    """Into which sites a value is summed; one kernel does one such sum."""
    op, used = one.op, operands(one.op)
    summed = [value for value in used if found.key(value) is not None]
    keys = list(dict.fromkeys(found.key(value) for value in summed))
    if isinstance(op, Scatter):
        found.kept.update(summed)
        found.keys.append((op.relation, op.row) if found.sums == "sorted" else None)
    elif len(keys) > 1 or isinstance(op, Gather):
        found.kept.update(summed)
        found.keys.append(None)
    else:
        found.keys.append(keys[0] if keys else None)


def split_sums(program: Program) -> Program:
    """The program with linear maps of values that are sums over different channels cut in two: first each sum by
    itself, then what they add up to."""
    found, place = cut(program, "sorted"), dict[int, int]()
    instructions: list[Instruction] = []
    for number, one in enumerate(program.instructions):
        op = one.op
        if isinstance(op, Linear) and number not in found.outside:
            one = _split(one, op, found, instructions, place)
        else:
            one = replace(one, op=renumbered(op, place))
        place[number] = len(instructions)
        instructions.append(one)
    outputs = tuple(moved_output(output, place) for output in program.outputs)
    return replace(program, instructions=tuple(instructions), outputs=outputs)


def _split(
    one: Instruction, op: Linear, found: Cut, instructions: list[Instruction], place: dict[int, int]
) -> Instruction:
    kinds: dict[int | None, list[int]] = {}
    for source, value in enumerate(op.values):
        lane = found.lanes[value] if found.pending[value] else None
        kinds.setdefault(lane, []).append(source)
    if len(kinds) < 2:
        return replace(one, op=replace(op, values=tuple(place[value] for value in op.values)))
    values, entries = list[int](), list[Entry]()
    for lane, sources in kinds.items():
        listed = [(sources.index(s), i, k, c) for s, i, k, c in op.entries if s in sources]
        if lane is None:
            first = len(values)
            values += [place[op.values[source]] for source in sources]
            entries += [(first + s, i, k, c) for s, i, k, c in listed]
            continue
        part = Linear(tuple(place[op.values[source]] for source in sources), tuple(listed))
        instructions.append(replace(one, op=part))
        reached = sorted({k for _, _, k, _ in listed})
        entries += [(len(values), k, k, ONE) for k in reached]
        values.append(len(instructions) - 1)
    entries.sort(key=lambda entry: (entry[2], entry[0], entry[1]))
    return replace(one, op=Linear(tuple(values), tuple(entries)))


# --- kernels -------------------------------------------------------------------------------------------------------


def steps(found: Cut) -> tuple[Step, ...]:
    """Kernels and torch statements, each after what it reads."""
    wanted: dict[tuple[int, str, Key | None, int | None], list[Store]] = {}
    last: dict[tuple[str, Key | None, int | None], int] = {}
    for level, kind, _ in _stores(found):
        last[kind] = max(last.get(kind, 0), level)
    for level, kind, store in _stores(found):
        at = level if store.value in found.kept else last[kind]
        wanted.setdefault((at, *kind), []).append(store)
    _attach_pairs(wanted)
    torch = [(found.levels[value], Outside(value, found.outside[value])) for value in sorted(found.outside)]
    ordered: list[Step] = []
    for level in range(max([0, *(at for at, *_ in wanted), *(at for at, _ in torch)]) + 1):
        for (at, domain, key, lanes), stores in wanted.items():
            if at == level:
                ordered.append(Group(domain, key, lanes, tuple(stores)))
        ordered += [one for at, one in torch if at == level]
    return tuple(ordered)


Kind = tuple[str, Key | None, int | None]


def _stores(found: Cut) -> Iterable[tuple[int, Kind, Store]]:
    """Everything that kernels write, with its level and the kernel that it is for."""
    program = found.program
    for value in sorted(found.kept - set(found.outside)):
        one = program.instructions[value]
        kind = _kind(found, value)
        yield found.levels[value], kind, Store(value, 0, one.components)
    for number, output in enumerate(program.outputs):
        start = 0
        for block in output.blocks:
            channel = 0
            for value, first in block.pieces:
                one = program.instructions[value]
                if not in_torch(found, value):
                    store = Store(value, first, block.dim, number, start, channel, block.mul, block.dim)
                    yield found.levels[value], _kind(found, value), store
                channel += one.channels[0] if one.channels else 1
            start += block.mul * block.dim


def in_torch(found: Cut, value: int) -> bool:
    """Whether a piece of an output is copied from memory (or zero) rather than written by a kernel."""
    one = found.program.instructions[value]
    return value in found.kept or isinstance(one.op, Zeros) or one.domain is None or found.pending[value]


def _kind(found: Cut, value: int) -> Kind:
    one = found.program.instructions[value]
    op = one.op
    if isinstance(op, Total | Scatter) and (isinstance(op, Total) or found.sums == "atomic"):
        inner = found.program.instructions[op.value]
        assert inner.domain is not None
        return inner.domain, found.key(op.value), found.lane(op.value)
    key = found.keys[value]
    assert one.domain is not None
    return one.domain, key, found.lanes[value]


def _attach_pairs(wanted: dict[tuple[int, str, Key | None, int | None], list[Store]]) -> None:
    """What is written for each pair joins a kernel that walks over the pairs of each site anyway."""
    for at, domain, key, lanes in list(wanted):
        if key is not None:
            continue
        for other in list(wanted):
            if other[0] == at and other[2] is not None and other[2][0] == domain and other[3] == lanes:
                wanted[other] += wanted.pop((at, domain, key, lanes))
                break

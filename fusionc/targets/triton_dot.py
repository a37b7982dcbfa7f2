"""The text of kernels that mix channels: matrix products over all rows, by `tl.dot`.

A value stands in memory as rows of components of channels, in an operand in its layout or in a buffer. Components that
have the same weights and stand evenly are rows of one matrix (a *segment*), so that a program's tile is full whatever
the dimension of an irrep; a program is for one segment and one block of channels. What differs between segments and
between the terms of one is picked by number, so that a kernel has one `tl.dot` however many terms there are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fusionc.program.ir import Instruction, LegBlock, Program, ProgramOutput, WeightBlock
from fusionc.program.thresholds import now
from fusionc.targets.triton_kernel import Buffer, Kernel, wrapped_def
from fusionc.targets.triton_mix import LEAST, Mixed, Outer, Source, Term
from fusionc.targets.triton_plan import Group, Store
from fusionc.targets.triton_schedule import WIDTH
from fusionc.targets.triton_values import Tile

PROGRAMS = 1024
"""How many programs share the sums over all rows, at most; each writes a part of its own."""

LEAST_BLOCKS = 8
"""How many blocks of rows such a program adds up, at least, where there are so many."""


@dataclass(frozen=True)
class Home:
    """Where a value stands: in the rows, of `size` numbers, of an argument; for each of its components the place of the
    first channel and how far apart channels are. Components of one irrep are `apart` from each other."""

    argument: str
    size: int
    places: tuple[tuple[int, int], ...]
    apart: int

    @property
    def is_even(self) -> bool:
        """Whether channels stand side by side."""
        return all(step == 1 for _, step in self.places)


def home(program: Program, value: int) -> Home:
    """Where a value is read: a view in its operand, anything else in its buffer."""
    one = program.instructions[value]
    op, mul = one.op, one.channels[0]
    if isinstance(op, LegBlock):
        size = program.leg(op.leg).dim
        if program.layout == "ir_mul":
            return Home(op.leg, size, _side_by_side(op.start, one), mul)
        places, start = list[tuple[int, int]](), op.start
        for dim in op.dims:
            places += [(start + m, dim) for m in range(dim)]
            start += dim * mul
        return Home(op.leg, size, tuple(places), 1)
    if isinstance(op, WeightBlock):
        numel = program.leg(op.weight).dim
        return Home(op.weight, numel, _side_by_side(op.start, one), mul)
    return buffer(program, value)


def buffer(program: Program, value: int) -> Home:
    """The memory of a value's own."""
    one = program.instructions[value]
    return Home(f"b{value}", one.size, _side_by_side(0, one), one.channels[0])


def _side_by_side(start: int, one: Instruction) -> tuple[tuple[int, int], ...]:
    return tuple((start + component * one.channels[0], 1) for component in range(one.components))


def in_output(program: Program, value: int) -> tuple[int, Home] | None:
    """The output that a value stands in and nowhere else, whole and once; and where."""
    number, found = -1, dict[int, tuple[int, int]]()
    for place, output in enumerate(program.outputs):
        pieces = _pieces(program, output, value)
        if pieces and (found or len(dict(pieces)) < len(pieces)):
            return None
        number, found = (place, dict(pieces)) if pieces else (number, found)
    if len(found) < program.instructions[value].components:
        return None
    output = program.outputs[number]
    return number, Home(output.name, output.dim, tuple(found[k] for k in range(len(found))), 0)


def _pieces(program: Program, output: ProgramOutput, value: int) -> list[tuple[int, tuple[int, int]]]:
    """Where the components of a value stand in the rows of an output."""
    found, start = [], 0
    for block in output.blocks:
        channel = 0
        for piece, components in block.places:
            one = program.instructions[piece]
            for m, component in enumerate(components):
                place = (start + channel * block.dim + m, block.dim)
                if program.layout == "ir_mul":
                    place = (start + m * block.mul + channel, 1)
                if piece == value:
                    found.append((component, place))
            channel += one.channels[0] if one.channels else 1
        start += block.mul * block.dim
    return found


# --- segments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A matrix product: where `dim` components of a value begin and how far apart its channels are, the same of what
    it is multiplied with, and a sign; of which source, where there are several."""

    source: int
    at: int
    step: int
    other: int
    other_step: int
    sign: int
    dim: int


@dataclass(frozen=True)
class Segment:
    """`dim` components of a result that are sums of the same products: where the first begins, how far apart its
    channels and its components are."""

    at: int
    step: int
    apart: int
    dim: int
    parts: tuple[Part, ...]


def segments(mix: Mixed, values: Sequence[Home], mixers: Sequence[int], result: Home) -> list[Segment]:
    """The components of a result, as few segments as can be, for sources in so many homes; `mixers`: where the mixer of
    each begins."""
    found, last = list[Segment](), list[Part]()
    sizes = [source.summed * mix.channels for source in mix.sources]
    for (at, step), terms in zip(result.places, mix.terms, strict=True):
        parts = [Part(s, *values[s].places[i], mixers[s] + j * sizes[s], 1, sign, 1) for s, j, i, sign in terms]
        previous = found[-1] if found else None
        apart = at - (previous.at + (previous.dim - 1) * previous.apart) if previous else 0
        moved = [replace(part, at=part.at + values[part.source].apart) for part in last]
        if previous and parts == moved and step == previous.step and apart > 0 and previous.apart in (0, apart):
            found[-1] = replace(previous, apart=apart, dim=previous.dim + 1)
        else:
            found.append(Segment(at, step, 0, 1, tuple(parts)))
        last = parts
    return found


def runs(terms: Sequence[Term], left: Home, right: Home) -> tuple[Part, ...]:
    """The products that a component of an `Outer` sums, as few as can be."""
    found: list[Part] = []
    for i, j, sign in sorted(terms):
        part = Part(0, *left.places[i], *right.places[j], sign, 1)
        if found:
            last = found[-1]
            moved = replace(last, at=part.at, other=part.other, dim=1)
            ends = last.at + last.dim * left.apart, last.other + last.dim * right.apart
            if moved == part and ends == (part.at, part.other):
                found[-1] = replace(last, dim=last.dim + 1)
                continue
        found.append(part)
    return tuple(found)


def _chunks(found: Sequence[Segment]) -> list[list[Segment]]:
    """Segments of one kernel each."""
    chunks: list[list[Segment]] = []
    for segment in found:
        parts = sum(len(one.parts) for one in chunks[-1]) if chunks else 0
        if not chunks or parts + len(segment.parts) > now().most_parts:
            chunks.append([])
        chunks[-1].append(segment)
    return chunks


# --- kernels ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dot:
    """A kernel, how many programs it has for so many rows (a format of `rows`), and how many for one block of rows."""

    kernel: Kernel
    programs: str
    blocks: int


Names = Callable[[int], str]


def mixed(program: Program, mix: Mixed, name: Names, output: tuple[int, Home] | None) -> list[Dot]:
    """The kernels of a value whose channels are mixed, written into an output or into its buffer."""
    values = [home(program, source.value) for source in mix.sources]
    result, mixers, starts = output[1] if output else buffer(program, mix.number), list[str](), list[int]()
    for source in mix.sources:
        op = program.instructions[source.mixer].op
        mixers.append(op.weight if isinstance(op, WeightBlock) else f"b{source.mixer}")
        starts.append(op.start if isinstance(op, WeightBlock) else 0)
    printers = [
        _Mixed(program, name(n), chunk, mix=mix, values=values, result=result, mixers=mixers)
        for n, chunk in enumerate(_chunks(segments(mix, values, starts, result)))
    ]
    return [printer.dot(output is not None) for printer in printers]


def outer(program: Program, mix: Outer, name: Names) -> list[Dot]:
    """The kernels of products summed over all rows, each program's part in the buffer of the sum."""
    left, right, size = home(program, mix.left), home(program, mix.right), mix.rows * mix.columns
    found = [Segment(k * size, 1, 0, 1, runs(terms, left, right)) for k, terms in enumerate(mix.terms)]
    printers = [
        _Outer(program, name(n), chunk, mix=mix, left=left, right=right) for n, chunk in enumerate(_chunks(found))
    ]
    dim = max((part.dim for segment in found for part in segment.parts), default=1)
    return [printer.dot(len(found), dim) for printer in printers]


@dataclass
class _Text:
    """Lines of a kernel's body; numbers that depend on another number are given names."""

    lines: list[str] = field(default_factory=list)
    indent: int = 0

    def say(self, *lines: str) -> None:
        self.lines += [f"{'    ' * self.indent}{line}" for line in lines]

    def picked(self, name: str, by: str, values: Sequence[float]) -> str:
        """The value that belongs to a number, 0 for the first: itself where all are the same, otherwise a name."""
        steps = {two - one for one, two in pairwise(values)}
        if steps <= {0}:
            return str(values[0])
        if len(steps) == 1:
            self.say(f"{name} = {_plus(values[0], _times(by, steps.pop()))}")
            return name
        changes = [number for number in range(1, len(values)) if values[number] != values[number - 1]]
        text = str(values[0])
        for number in changes:
            self.say(f"{name} = tl.where({by} < {number}, {text}, {values[number]})")
            text = name
        return name


@dataclass
class _Printer:
    """What both kinds of kernels have in common: a program is for one segment and one tile of its matrix."""

    program: Program
    name: str
    segments: list[Segment]
    text: _Text = field(default_factory=_Text)

    source: int = 0
    """Whose parts are at hand."""

    def of_source(self, segment: Segment) -> list[Part]:
        return [part for part in segment.parts if part.source == self.source]

    @property
    def parts(self) -> list[Part]:
        return [part for segment in self.segments for part in self.of_source(segment)]

    def by_part(self, name: str, key: Callable[[Part], int]) -> str:
        return self.text.picked(name, "part", [key(part) for part in self.parts])

    def by_segment(self, name: str, key: Callable[[Segment], int]) -> str:
        return self.text.picked(name, "segment", [key(segment) for segment in self.segments])

    def bounds(self) -> tuple[str, str]:
        """The first part of a segment, and the one behind its last."""
        counts = [len(self.of_source(segment)) for segment in self.segments]
        ends = [sum(counts[: place + 1]) for place in range(len(counts))]
        first = self.text.picked("first", "segment", [end - count for end, count in zip(ends, counts, strict=True)])
        return first, self.text.picked("last", "segment", ends)

    def tile_of(self, blocks: int) -> str:
        """Says which segment a program is for; the number of its tile among those of the segment."""
        if blocks == 1:
            if len(self.segments) > 1:
                self.text.say("segment = tl.program_id(1)")
            return "0"
        if len(self.segments) == 1:
            return "tl.program_id(1)"
        self.text.say(f"segment = tl.program_id(1) // {blocks}")
        return f"tl.program_id(1) % {blocks}"

    def signed(self, operand: str) -> str:
        """An operand of a product with its sign."""
        signs = [part.sign for part in self.parts]
        if set(signs) <= {1}:
            return operand
        return f"{operand} * {self.text.picked('sign', 'part', [float(sign) for sign in signs])}"

    def kernel(self, number: int, domain: str, tile: Tile, arguments: Sequence[str], about: str) -> Kernel:
        """The kernel that computes a value over the rows of a domain."""
        one, over = self.program.instructions[number], domain.removeprefix("r_") or "the batch"
        many = sum(len(segment.parts) for segment in self.segments)
        products = f"{many} matrix product{'' if many == 1 else 's'}"
        about = f"{about}; over {over}: {products} by tl.dot, tiles of {tile.rows} x {tile.lanes}"
        names = (*dict.fromkeys(arguments), "n_rows")
        listed = (*names, "COMPUTE: tl.constexpr", "PRECISION: tl.constexpr")
        lines = [
            '@_jit(do_not_specialize=["n_rows"])',
            *wrapped_def(self.name, listed, ", ".join(listed)),
            *(f"    {line}" for line in ('"""', *textwrap.wrap(about, WIDTH), '"""', *self.text.lines)),
        ]
        group = Group(domain, None, one.channels[-1], (Store(number, 0, one.components),))
        return Kernel(self.name, about, tuple(lines), names, group, tile, False, (), many, 0)


@dataclass
class _Mixed(_Printer):
    """Rows and components times a mixer, a block of the summed channels after the other."""

    mix: Mixed = field(kw_only=True)
    values: list[Home] = field(kw_only=True)
    mixers: list[str] = field(kw_only=True)
    result: Home = field(kw_only=True)

    def dot(self, output: bool) -> Dot:
        mix, domain = self.mix, self.program.instructions[self.mix.number].domain
        assert domain is not None
        tile = self._tile()
        self._opening(tile)
        self.text.indent = 1
        for source in range(len(mix.sources)):
            self.source = source
            if self.parts:
                self._sum(tile, mix.sources[source], self.values[source], self.mixers[source])
        self._store(tile)
        written = self.result.argument.removeprefix("q_") if output else f"value {mix.number}"
        summed = " and ".join(str(source.summed) for source in mix.sources)
        about = f"{written}, {summed} channels mixed into {mix.channels}"
        arguments = (*(value.argument for value in self.values), *self.mixers, self.result.argument)
        kernel = self.kernel(mix.number, domain, tile, arguments, about)
        if not output:
            kernel = replace(kernel, buffers=(Buffer(mix.number, 1, False, False),))
        most = max(segment.dim for segment in self.segments)
        return Dot(kernel, f"_count({_times('{rows}', most)}, {tile.rows})", tile.blocks * len(self.segments))

    def _tile(self) -> Tile:
        """A large tile where little else is in registers: one source, channels side by side, no block cut off."""
        even = all(home.is_even for home in (*self.values, self.result))
        whole = all(source.summed % DEPTH == 0 for source in self.mix.sources)
        return Tile(64 if even and whole and len(self.values) == 1 else 32, *_side(self.mix.channels), 4)

    def _opening(self, tile: Tile) -> None:
        """What a program is for."""
        text, block = self.text, self.tile_of(tile.blocks)
        self.column = "0" if block == "0" else "column"
        if block != "0":
            text.say(f"column = {_times(block, tile.lanes)}")
        dim = self.by_segment("dim", lambda segment: segment.dim)
        text.say(*_places("tl.program_id(0)", dim, tile.rows, "[:, None]"))
        self.component = "0" if dim == "1" else "component"
        text.say(
            "if begin < n_rows:",
            "    inside = row < n_rows - begin",
            f"    u = tl.arange(0, {DEPTH})",
            f"    v = tl.arange(0, {tile.lanes})[None, :]",
            f"    total = tl.zeros([{tile.rows}, {tile.lanes}], COMPUTE)",
        )

    def _sum(self, tile: Tile, source: Source, home: Home, weights: str) -> None:
        """What a source adds to the total: a block of its channels after the other."""
        mix, text = self.mix, self.text
        many = -(-source.summed // DEPTH)
        across, down = (source.summed, 1) if source.turned else (1, mix.channels)
        step = self.by_segment("step", lambda segment: _step(self.of_source(segment)))
        within = _plus(_times("row", home.size), _times(self.component, home.apart))
        text.say(
            f"rows = {_plus(within, _times('u[None, :]', step))}",
            f"weights = {_plus(_times('u[:, None]', down), _times('v', across))}",
            f"value = {home.argument} + begin * {home.size}",
        )
        first, last = self.bounds()
        # There is a row here, so that the smaller is always the first: a bound that compilers cannot know. Where they
        # know that the blocks are a few, they unroll the loop, and need more registers than there are.
        text.say(
            f"stop = tl.minimum({_times(last, many)}, n_rows + {len(self.parts) * many})",
            f"for k in tl.range({_times(first, many)}, stop, num_stages={STAGES}):",
        )
        text.indent += 1
        part, channel = ("k", "0") if many == 1 else (f"k // {many}", _times(f"k % {many}", DEPTH))
        text.say(*([f"part = {part}"] if len(self.parts) > 1 else []), *([f"channel = {channel}"] if many > 1 else []))
        channel = "0" if many == 1 else "channel"
        at, mixer = self.by_part("at", lambda part: part.at), self.by_part("mixer", lambda part: part.other)
        masks = [
            _mask("inside", _live(source.summed, DEPTH, channel, "u[None, :]"), other=True),
            _mask(
                _live(source.summed, DEPTH, channel, "u[:, None]"),
                _live(mix.channels, tile.lanes, self.column, "v"),
                other=True,
            ),
        ]
        left = _plus("value", at, _times(channel, step), "rows")
        right = _plus(weights, mixer, _times(channel, down), _times(self.column, across), "weights")
        text.say(
            f"from_left = {left}",
            f"left = tl.load(from_left{masks[0]}).to(COMPUTE)",
            f"from_right = {right}",
            f"right = tl.load(from_right{masks[1]}).to(COMPUTE)",
        )
        text.say(f"total = {_dot('left', self.signed('right'))}")
        text.indent -= 1

    def _store(self, tile: Tile) -> None:
        result = self.result
        at = self.by_segment("at_result", lambda segment: segment.at)
        step = self.by_segment("step_result", lambda segment: segment.step)
        apart = self.by_segment("apart_result", lambda segment: segment.apart)
        within = _plus(_times("row", result.size), _times(self.component, apart), _times("v", step))
        place = _plus(f"{result.argument} + begin * {result.size}", at, _times(self.column, step), f"({within})")
        mask = _mask("inside", _live(self.mix.channels, tile.lanes, self.column, "v"))
        self.text.say(f"into = {place}", f"tl.store(into, total{mask})")


@dataclass
class _Outer(_Printer):
    """Two values, each block of rows and components a matrix product; programs take turns with the blocks."""

    mix: Outer = field(kw_only=True)
    left: Home = field(kw_only=True)
    right: Home = field(kw_only=True)

    def dot(self, components: int, dim: int) -> Dot:
        """The kernel, one of those of a sum of so many components: all have as many programs as the buffer has parts,
        by the largest dimension `dim`."""
        mix, source = self.mix, self.program.instructions[self.mix.left]
        assert source.domain is not None
        tile = _outer_tile(mix.rows, mix.columns)
        self._opening(tile)
        self._sum(tile)
        result, size = f"b{mix.number}", components * mix.rows * mix.columns
        at = self.by_segment("at_result", lambda segment: segment.at)
        own = f"{result} + tl.program_id(0).to(tl.int64) * {size}"
        place = _plus(own, at, f"({_plus(self.down, 'u')}) * {mix.columns}", self.across, "v")
        mask = _mask(_live(mix.rows, tile.rows, self.down, "u"), _live(mix.columns, tile.lanes, self.across, "v"))
        self.text.say(f"into = {place}", f"tl.store(into, total{mask})")
        about = f"value {mix.number}, {mix.rows} x {mix.columns} channels summed over all rows"
        arguments = (self.left.argument, self.right.argument, result)
        kernel = self.kernel(mix.number, source.domain, tile, arguments, about)
        kernel = replace(kernel, totals=True, buffers=(Buffer(mix.number, 1, True, False),))
        most = max(1, PROGRAMS // (components * tile.blocks))
        rows = f"_count({_times('{rows}', dim)}, {DEPTH * LEAST_BLOCKS})"
        return Dot(kernel, f"_parts({rows}, 1, {most})", tile.blocks * len(self.segments))

    def _opening(self, tile: Tile) -> None:
        """What a program is for: `down` and `across` are the first channels of its tile."""
        text, block, many = self.text, self.tile_of(tile.blocks), -(-self.mix.columns // tile.lanes)
        self.down = self.across = "0"
        if tile.rows < self.mix.rows:
            self.down = "down"
            text.say(f"down = {block}{f' // {many}' if many > 1 else ''} * {tile.rows}")
        if many > 1:
            self.across = "across"
            text.say(f"across = {block} % {many} * {tile.lanes}")
        text.say(
            f"u = tl.arange(0, {tile.rows})[:, None]",
            f"v = tl.arange(0, {tile.lanes})[None, :]",
            f"total = tl.zeros([{tile.rows}, {tile.lanes}], COMPUTE)",
        )

    def _sum(self, tile: Tile) -> None:
        mix, text = self.mix, self.text
        if any(len(segment.parts) != 1 for segment in self.segments):
            first, last = self.bounds()
            text.say(f"for part in range({first}, {last}):")
            text.indent += 1
        elif len(self.segments) > 1:
            text.say("part = segment")
        dim = self.by_part("dim", lambda part: part.dim)
        left_at = self.by_part("at_left", lambda part: part.at)
        left_step = self.by_part("step_left", lambda part: part.step)
        right_at = self.by_part("at_right", lambda part: part.other)
        right_step = self.by_part("step_right", lambda part: part.other_step)
        stages = f", num_stages={STAGES}" if self.left.is_even and self.right.is_even else ""
        text.say(
            f"blocks = tl.cdiv(tl.cast(n_rows, tl.int64) * {dim}, {DEPTH}).to(tl.int32)",
            f"for block in tl.range(tl.program_id(0), blocks, tl.num_programs(0){stages}):",
        )
        text.indent += 1
        text.say(*_places("block", dim, DEPTH, ""), "inside = row < n_rows - begin")
        self._load("left", self.left, left_at, left_step, "[None, :]", (self.down, "u", mix.rows, tile.rows), dim)
        self._load(
            "right", self.right, right_at, right_step, "[:, None]", (self.across, "v", mix.columns, tile.lanes), dim
        )
        text.say(f"total = {_dot('left', self.signed('right'))}")
        text.indent = 0

    def _load(
        self, name: str, home: Home, at: str, step: str, side: str, channels: tuple[str, str, int, int], dim: str
    ) -> None:
        """A matrix of rows and components, with the channels (first, names of the others, how many, of how many)."""
        first, spread, many, of = channels
        component = "0" if dim == "1" else _times(f"component{side}", home.apart)
        within = _plus(_times(f"row{side}", home.size), component, _times(spread, step))
        place = _plus(f"{home.argument} + begin * {home.size}", at, _times(first, step), f"({within})")
        mask = _mask(f"inside{side}", _live(many, of, first, spread), other=True)
        self.text.say(f"from_{name} = {place}", f"{name} = tl.load(from_{name}{mask}).to(COMPUTE)")


DEPTH = 16
"""How many summed channels, or rows, are in a block: the fewest that `tl.dot` takes, for the fewest registers."""

STAGES = 3
"""How many blocks are on their way from memory at a time."""


def _outer_tile(rows: int, columns: int) -> Tile:
    (down, many), (across, each) = _side(rows), _side(columns)
    return Tile(down, across, many * each, 4)


def _side(channels: int) -> tuple[int, int]:
    """The side of a tile and how many there are: a large one, unless much of it is padding."""
    padded = {side: channels + -channels % side for side in (64, 32, LEAST)}
    side = next(side for side, size in padded.items() if size * 4 <= min(padded.values()) * 5)
    return side, padded[side] // side


def _places(block: str, dim: str, size: int, side: str) -> list[str]:
    """The rows and components of a block of so many: `begin` is the first row, from which the others are counted, so
    that places in memory are small numbers; divisions are of small numbers too."""
    spread = f"tl.arange(0, {size}){side}"
    if dim == "1":
        return [f"begin = tl.cast({block}, tl.int64) * {size}", f"row = {spread}"]
    return [
        f"rest = {block} % {dim} * {size}",
        f"begin = tl.cast({block} // {dim}, tl.int64) * {size} + rest // {dim}",
        f"place = rest % {dim} + {spread}",
        f"row = place // {dim}",
        f"component = place % {dim}",
    ]


def _step(parts: Sequence[Part]) -> int:
    """How far apart the channels are of what a segment reads: an irrep is mixed with its like, which stands alike."""
    steps = {part.step for part in parts}
    assert len(steps) <= 1, parts
    return max(steps, default=1)


def _dot(left: str, right: str) -> str:
    return f"tl.dot({left}, {right}, total, input_precision=PRECISION, out_dtype=COMPUTE)"


def _live(channels: int, side: int, first: str, name: str) -> str:
    """The condition under which a channel of a block is there; nothing where all are."""
    return f"({_plus(first, name)} < {channels})" if channels % side else ""


def _mask(*conditions: str, other: bool = False) -> str:
    """The argument of a load or a store that keeps it inside, if need be."""
    some = [condition for condition in conditions if condition]
    return f", mask={' & '.join(some)}{', other=0.0' if other else ''}" if some else ""


def _plus(*parts: str | float) -> str:
    return " + ".join(str(part) for part in parts if str(part) not in ("0", "(0)")) or "0"


def _times(part: str, number: str | float) -> str:
    if "0" in (part, str(number)):
        return "0"
    return part if str(number) == "1" else str(number) if part == "1" else f"{part} * {number}"

"""Loops over pairs, for compilers: what is computed for one pair is a program without sites, of which one loop is made.

    sites  ──read──>  a pair's operands  ──arithmetic──>  a pair's results  ──added up──>  sites

What happens at sites stays large operations; each phase over pairs is one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusionc.program.ir import (
    BATCH,
    Gather,
    Instruction,
    LegBlock,
    Linear,
    OutputBlock,
    Pool,
    Product,
    Program,
    ProgramLeg,
    ProgramOutput,
    Scatter,
    WeightBlock,
    Zeros,
    moved_output,
    operands,
    renumbered,
)
from fusionc.program.phases import Phase, phases
from fusionc.program.thresholds import now
from fusionc.targets.names import Namer
from fusionc.targets.torch_ops import Arithmetic
from fusionc.targets.torch_scalars import why_not_scalar
from fusionc.targets.torch_text import unflattened

OVER_PAIRS, SHARED = -1, None
"""In place of a row of the relation: what stands with the pair; what is the same for all, or added up over all."""


@dataclass(frozen=True)
class Source:
    """An operand of a pair: a leg over the pairs, or a value that stands outside (`value`; -1: a leg), read at the site
    that a row of the relation names."""

    name: str
    row: int | None
    value: int = -1


@dataclass(frozen=True)
class PairLoop:
    """A phase over pairs: the program of one pair, whose legs are `sources`; for each output where it goes, a row of
    the relation or one of the above."""

    phase: Phase
    program: Program
    sources: tuple[Source, ...]
    ends: tuple[int | None, ...]

    @property
    def piece(self) -> int:
        """How many pairs are computed at a time."""
        numbers = sum(leg.dim for leg in self.program.legs) + sum(output.dim for output in self.program.outputs)
        return now().cache_of_pairs // numbers + 1


def pair_loops(program: Program, reserved: Sequence[str]) -> list[PairLoop]:
    """The loops of all phases over pairs; none where one of them is no loop for a compiler."""
    found = []
    for phase in phases(program):
        if phase.relation:
            loop = _Builder(program, phase, Namer(reserved)).loop()
            if loop is None or why_not_scalar(loop.program, now().most_terms_of_pairs):
                return []
            found.append(loop)
    return found


@dataclass
class _Builder:
    """Makes the program of one pair; `place` says where values of the whole program stand in it."""

    whole: Program
    phase: Phase
    namer: Namer
    sources: dict[object, Source] = field(default_factory=dict)
    legs: list[ProgramLeg] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)

    def loop(self) -> PairLoop | None:
        """None where a pair needs something else than legs, values at its two sites, and what all pairs share."""
        for number in self.phase.instructions:
            if number not in self.phase.leaving and not self._carried(number):
                return None
        outputs, ends = list[ProgramOutput](), list[int | None]()
        for number in self.phase.leaving:
            op = self.whole.instructions[number].op
            if not isinstance(op, Scatter | Pool):
                return None
            outputs.append(self._leaving(op.value))
            ends.append(op.row if isinstance(op, Scatter) else SHARED)
        for number in self.phase.outputs:
            outputs.append(replace(moved_output(self.whole.outputs[number], self.place), domain=BATCH))
            ends.append(OVER_PAIRS)
        program = replace(
            self.whole,
            legs=tuple(self.legs),
            weights=(),
            instructions=tuple(self.instructions),
            outputs=tuple(outputs),
            sites=(),
            relations=(),
        )
        return PairLoop(self.phase, program, tuple(self.sources.values()), tuple(ends))

    def _carried(self, number: int) -> bool:
        """An instruction over pairs, as one of the program of a pair."""
        instruction = self.whole.instructions[number]
        op = instruction.op
        if isinstance(op, Gather):
            self.place[number] = self._read(op.value, op.row)
            return True
        if isinstance(op, LegBlock | WeightBlock):
            name = op.leg if isinstance(op, LegBlock) else op.weight
            if isinstance(op, WeightBlock) and op.rows:
                return False
            self._leg(name)
        elif isinstance(op, Product | Linear | Zeros):
            for value in operands(op):
                if value in self.place:
                    continue
                if self.whole.instructions[value].domain is not None:
                    return False
                self.place[value] = self._read(value, SHARED)
        else:
            return False
        self.place[number] = self._add(replace(instruction, op=renumbered(op, self.place), domain=BATCH))
        return True

    def _leg(self, name: str) -> None:
        """A leg over pairs."""
        if name not in self.sources:
            self.sources[name] = Source(name, OVER_PAIRS)
            leg = self.whole.leg(name)
            self.legs.append(replace(leg, domain=BATCH))

    def _read(self, value: int, row: int | None) -> int:
        """A value from outside, as a leg: its components side by side."""
        instruction = self.whole.instructions[value]
        key = (value, row)
        if key not in self.sources:
            name = self.namer.fresh("w" if row is SHARED else "g")
            self.sources[key] = Source(name, row, value)
            self.legs.append(ProgramLeg(name, "tensor", instruction.size, instruction.note))
        op = LegBlock(self.sources[key].name, 0, (1,) * instruction.components)
        return self._add(replace(instruction, op=op, domain=BATCH))

    def _add(self, instruction: Instruction) -> int:
        self.instructions.append(instruction)
        return len(self.instructions) - 1

    def _leaving(self, value: int) -> ProgramOutput:
        """A value that leaves, its components side by side."""
        instruction = self.whole.instructions[value]
        mul = instruction.size // instruction.components
        blocks = (OutputBlock(((self.place[value], k),), mul, 1) for k in range(instruction.components))
        return ProgramOutput(instruction.note, tuple(blocks))


@dataclass
class LoopedArithmetic(Arithmetic):
    """Prints a program whose phases over pairs are calls: `loops`, and what each is called."""

    loops: Mapping[Phase, tuple[PairLoop, str]] = field(default_factory=dict)

    def _kept(self) -> frozenset[int]:
        return super()._kept() | {source.value for loop, _ in self.loops.values() for source in loop.sources}

    def _loop(self, phase: Phase, using: Sequence[set[int]], written: dict[int, str]) -> None:
        """A phase over pairs, in one call: it gives sums over sites, and what it returns."""
        loop, called = self.loops[phase]
        instructions = self.program.instructions
        self._condition = ""
        added = [instructions[number] for number in phase.leaving]
        sums = {number: self.fresh("s") for number in phase.leaving}
        written |= {number: self.fresh("out") for number in phase.outputs}
        names = [*sums.values(), *(written[number] for number in phase.outputs)]
        operands = ", ".join(self._operand(source) for source in loop.sources)
        sizes = ", ".join(self.sizes[one.domain] for one in added if isinstance(one.op, Scatter) and one.domain)
        self.say(f"{', '.join(names)}{',' * (len(names) == 1)} = {called}([{operands}], [{phase.relation}], [{sizes}])")
        for number, name in sums.items():
            one = instructions[number]
            shaped = unflattened(name, -1, (one.components, *one.channels)) if one.channels else name
            self.names[number] = self._let("s", shaped)

    def _operand(self, source: Source) -> str:
        """What a pair reads, flat."""
        if source.value < 0:
            return source.name
        name, channels = self.names[source.value], len(self.program.instructions[source.value].channels)
        return f"{name}.flatten({-1 - channels})" if channels else name

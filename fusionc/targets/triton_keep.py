"""Which values stand in memory between kernels although a kernel could hold them: those that many would compute.

A stage that is too much for one kernel is split (`triton_split`), and what its kernels have in common is computed in
each of them. Where that is more work than writing a value once and reading it, the value is kept; the search is greedy
and stops where keeping one more value gains little. Sums over neighbours are kept first, wherever a walk over the pairs
and what follows from its sums are too much for one kernel: every kernel of the rest would walk again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fusionc.program.ir import Linear, Product, Program, Scatter
from fusionc.program.thresholds import now
from fusionc.targets.registry import Sums, Unroll
from fusionc.targets.triton_kernel import computed
from fusionc.targets.triton_plan import VIEWS, Cut, Group, Step, Store, cut, steps
from fusionc.targets.triton_split import PER_ACCESS, PER_TERM, Known, Splitter
from fusionc.targets.triton_values import reads

CANDIDATES = 5
"""How many values are looked at closely."""

TRIES = 5
"""How many of them are planned with, roughly."""

Regroup = Callable[[Group, tuple[Store, ...]], Group]


@dataclass(frozen=True)
class Planned:
    """A cut program, its steps, the kernels that each group becomes, and for those that are split, why."""

    cut: Cut
    steps: tuple[Step, ...]
    parts: dict[Group, list[Group]]
    why: dict[Group, str]
    effort: float

    @property
    def kernels(self) -> list[Group]:
        return [part for parts in self.parts.values() for part in parts]


def planned(program: Program, sums: Sums, unroll: Unroll, regroup: Regroup) -> Planned:
    """The kernels of a program, with as many values kept as pays."""

    known = Known(program)

    def splitter(extra: Iterable[int], rough: bool = False) -> Splitter:
        return Splitter(cut(program, sums, extra), known, regroup, "always" if rough else unroll, rough)

    walked = _after_walks(splitter(()))
    walked += _before_walks(splitter(walked))
    found = _planned(splitter(walked))
    for _ in range(now().most_kept):
        if splitter(()).is_tired:
            break
        extra = sorted(found.cut.extra)
        tries = [(*extra, value) for value in _best(found, known, regroup)]
        if len(tries) > 1:
            tries = [min(tries, key=lambda one: _planned(splitter(one, rough=True)).effort)]
        other = _planned(splitter(tries[0])) if tries else found
        if other.effort > now().gain * found.effort:
            break
        found = other
    return found


def _after_walks(splitter: Splitter) -> list[int]:
    """Sums over neighbours from which more follows than one kernel can hold, unless that is little."""
    instructions, found = splitter.cut.program.instructions, list[int]()
    for walk in _walks(splitter):
        if splitter.is_loop(walk) or not splitter.is_one(walk):
            stored = {store.value for store in walk.stores}
            sums = [v for v in computed(splitter.cut, walk) if isinstance(instructions[v].op, Scatter)]
            kept = replace(splitter.cut, kept={*splitter.cut.kept, *sums})
            follow = [_terms_of(kept, value, None) for value in stored if instructions[value].domain == walk.domain]
            if sum(follow) > sum(instructions[value].components for value in sums):
                found += [value for value in sums if value not in stored]
    return sorted(set(found))


def _before_walks(splitter: Splitter) -> list[int]:
    """What neighbours give to sums, where computing it is a loop over a table: a walk over pairs has none inside."""
    found: dict[int, None] = {}
    for walk in _walks(splitter):
        for store in walk.stores:
            op = splitter.cut.program.instructions[store.value].op
            if isinstance(op, Scatter) and splitter.is_loop(splitter.regroup(walk, (store,))):
                found.setdefault(op.value)
    return [value for value in found if isinstance(splitter.cut.program.instructions[value].op, Product | Linear)]


def _walks(splitter: Splitter) -> list[Group]:
    """The groups that walk over the pairs of each site."""
    return [one for one in steps(splitter.cut) if isinstance(one, Group) and one.key is not None]


def _planned(splitter: Splitter) -> Planned:
    """The kernels; a rough plan, which is quick to make, knows nothing of registers."""
    ordered = steps(splitter.cut)
    parts = {one: splitter.split(one) for one in ordered if isinstance(one, Group)}
    several = [one for one, each in parts.items() if len(each) > 1 or each[0].looped]
    why = {one: splitter.why(one) for one in several if not splitter.any_registers}
    return Planned(splitter.cut, ordered, parts, why, sum(splitter.effort(each) for each in parts.values()))


def _best(found: Planned, known: Known, regroup: Regroup) -> list[int]:
    """The values whose keeping saves most, as far as the kernels as they are can tell."""
    several = [part for parts in found.parts.values() if len(parts) > 2 for part in parts if part.key is None]
    used = [computed(found.cut, part) for part in several]
    instructions = found.cut.program.instructions
    room = now().room * _components(found.cut) - sum(instructions[value].components for value in found.cut.extra)
    stored = {store.value for part in found.kernels for store in part.stores}
    gains: dict[int, float] = {}
    for value, one in enumerate(instructions):
        readers = [names for names in used if value in names]
        if len(readers) < 3 or value in stored or not _can_be_kept(found.cut, value) or one.components > room:
            continue
        accesses = one.components + sum(len(names[value]) for names in readers)
        terms = sum(_terms_of(found.cut, value, names) for names in readers)
        gain = terms * PER_TERM - accesses * PER_ACCESS
        if gain > now().rough * found.effort:
            gains[value] = gain
    for value in sorted(gains, key=lambda value: -gains[value])[:CANDIDATES]:
        gains[value] -= _alone(found.cut, value, known, regroup)
    best = sorted(gains, key=lambda value: -gains[value])[:TRIES]
    return [value for value in best if gains[value] > now().rough * found.effort]


def _alone(found: Cut, value: int, known: Known, regroup: Regroup) -> float:
    """What it costs to compile kernels that compute a value and nothing else."""
    one = found.program.instructions[value]
    assert one.domain is not None
    group = Group(one.domain, None, found.lanes[value], (Store(value, 0, one.components),))
    kept = replace(found, kept=found.kept | {value})
    return Splitter(kept, known, regroup).least_effort(group)


def _components(found: Cut) -> int:
    """How many components with channels a row of the operands and results has."""
    program = found.program
    read = [one.components for one in program.instructions if isinstance(one.op, VIEWS) and one.channels and one.domain]
    return sum(read) + sum(block.dim * len(block.pieces) for output in program.outputs for block in output.blocks)


def _can_be_kept(found: Cut, value: int) -> bool:
    one = found.program.instructions[value]
    return (
        isinstance(one.op, Product | Linear)
        and value not in found.kept
        and value not in found.outside
        and one.domain is not None
        and len(one.channels) == 1
        and not found.pending[value]
        and found.keys[value] is None
    )


def _terms_of(found: Cut, value: int, names: dict[int, set[int]] | None) -> int:
    """The terms that a value's components (those that a kernel computes) are made of."""
    instructions = found.program.instructions
    components = range(instructions[value].components) if names is None else sorted(names[value])
    todo, seen, terms = [(value, component) for component in components], set[tuple[int, int]](), 0
    while todo:
        at = todo.pop()
        if at in seen or (at[0] in found.kept and at[0] != value):
            continue
        seen.add(at)
        used = list(reads(instructions[at[0]], at[1]))
        if isinstance(instructions[at[0]].op, Product):
            terms += len(used) // 2
        elif len(used) > 1:
            terms += len(used)
        todo += used
    return terms

"""Which irreps each edge can carry, and how many paths lead there, counted without listing them.

Forward: a line's paths into each irrep, by coupling its operands one after the other (a chain of small tables, so a
line with 10^9 paths takes no longer than a line with ten). Equal operands span a symmetric power, whose multiplicities
come from characters. Backward: an irrep from which no output can be reached is dropped; it has no paths and no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product as all_choices
from math import prod

from fusionc.algebra.characters import symmetric_power
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.diagram import limits
from fusionc.diagram.coupled_fragments import alive_operands, root_counts
from fusionc.diagram.ir import Fragment, FusionGraph, Line, Operand

MAX_COUNT = 10**40  # beyond it a number of paths is as good as infinite, and its digits only cost time


@dataclass(frozen=True)
class Slot:
    """A class of blocks of an edge that fuse alike: their irrep, the sizes of their channels, their number."""

    irrep: Irrep
    sizes: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class SizeConflict:
    """A channel index that would need two sizes at once on an allowed path: size, irrep and edge, twice."""

    index: str
    first: tuple[int, Irrep, str]
    second: tuple[int, Irrep, str]


Binding = tuple[int | None, ...]  # the size of each of the line's channel indices, where the left side gives one


@dataclass(frozen=True)
class Coupling:
    """What a line's left side couples to: the number of paths for each irrep and binding of channel sizes."""

    indices: tuple[str, ...]
    counts: dict[tuple[Irrep, Binding], int]
    conflicts: dict[Irrep, SizeConflict]

    @property
    def irreps(self) -> frozenset[Irrep]:
        return frozenset(irrep for irrep, _ in self.counts) | frozenset(self.conflicts)

    def count(self, irrep: Irrep) -> int:
        return sum(count for (other, _), count in self.counts.items() if other == irrep)


class TooManyStates(Exception):
    """A line couples to more combinations of irreps and channel sizes than are worth a table."""


class TooManyPaths(Exception):
    """A line has more than `MAX_COUNT` paths."""


@dataclass(frozen=True)
class Fusion:
    """What fusion allows in a diagram. `poisoned` edges have no entry, and neither have lines that touch them.

    `reachable` holds what fusion and the restrictions allow at each edge, `alive` what of that also reaches an output.
    """

    couplings: dict[int, Coupling]
    reachable: dict[str, tuple[Irrep, ...]]
    alive: dict[str, frozenset[Irrep]]
    slots: dict[str, tuple[Slot, ...]]
    poisoned: frozenset[str]
    overflow: tuple[tuple[Line, Exception], ...] = ()

    def known(self, line: Line) -> bool:
        return line.number in self.couplings

    def count(self, line: Line) -> int:
        """Number of the line's paths into irreps that reach an output, each irrep counted once."""
        coupling = self.couplings[line.number]
        alive = self.alive[line.target]
        return sum(count for (irrep, _), count in coupling.counts.items() if irrep in alive)


def fuse(graph: FusionGraph) -> Fusion:
    """The fusion analysis of a diagram without directed cycles."""
    pass_ = _Forward(graph)
    for line in graph.ordered():
        pass_.visit(line)
    alive = _Backward(graph, pass_).alive()
    return Fusion(
        couplings=pass_.couplings,
        reachable={edge: tuple(_distinct(slots)) for edge, slots in pass_.slots.items()},
        alive=alive,
        slots={
            edge: tuple(slot for slot in slots if slot.irrep in alive.get(edge, frozenset()))
            for edge, slots in pass_.slots.items()
        },
        poisoned=frozenset(pass_.poisoned),
        overflow=tuple(pass_.overflow),
    )


def lists_paths(graph: FusionGraph, line: Line) -> bool:
    """Lines whose paths are the diagram's own: they end in an output, or a weight tells them apart."""
    return line.target in graph.output_table or any(weight.has_path for weight in line.weights)


def count_paths(graph: FusionGraph, fusion: Fusion) -> int:
    """Number of paths of a diagram, without listing them (DESIGN 1.2)."""
    return sum(count_line_paths(graph, fusion, line) for line in graph.lines if lists_paths(graph, line))


def count_line_paths(graph: FusionGraph, fusion: Fusion, line: Line) -> int:
    """Paths of one line; an output that declares an irrep in several blocks has the paths into each."""
    output = graph.output_table.get(line.target)
    if output is None or output.space is None:
        return fusion.count(line)
    coupling = fusion.couplings[line.number]
    return sum(coupling.count(block.irrep) for block in output.space.blocks)


def line_indices(line: Line) -> tuple[str, ...]:
    """The channel indices of a line's left side, in order of appearance."""
    return tuple(dict.fromkeys(index for operand in line.operands for index in operand.channels))


def target_sizes(line: Line, indices: tuple[str, ...], binding: Binding, mul: int | None) -> tuple[int, ...] | None:
    """Sizes of the right edge's channels; one index that is new there is what remains of `mul`.

    None where the sizes do not multiply to `mul`, or where more than one is open.
    """
    known = dict(zip(indices, binding, strict=True))
    sizes = [known.get(index) for index in line.channels]
    open_places = [place for place, size in enumerate(sizes) if size is None]
    fixed = prod(size for size in sizes if size is not None)
    if not open_places:
        return tuple(size for size in sizes if size is not None) if mul is None or fixed == mul else None
    if len(open_places) > 1 or mul is None or not fixed or mul % fixed:
        return None
    sizes[open_places[0]] = mul // fixed
    return tuple(size for size in sizes if size is not None)


@dataclass
class _Forward:
    graph: FusionGraph
    slots: dict[str, list[Slot]] = field(default_factory=dict)
    couplings: dict[int, Coupling] = field(default_factory=dict)
    poisoned: set[str] = field(default_factory=set)
    overflow: list[tuple[Line, Exception]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poisoned |= self.graph.poisoned
        for leg in self.graph.tensor_legs.values():
            if leg.name not in self.poisoned:
                self.slots[leg.name] = merged(Slot(block.irrep, (block.mul,), 1) for block in leg.space.blocks)

    def visit(self, line: Line) -> None:
        if any(operand.edge in self.poisoned or operand.edge not in self.slots for operand in line.operands):
            self.poisoned.add(line.target)
            return
        try:
            coupling = couple(self.graph.group, line, self.slots)
        except (TooManyStates, TooManyPaths) as problem:
            self.overflow.append((line, problem))
            self.poisoned.add(line.target)
            return
        self.couplings[line.number] = coupling
        if line.target not in self.graph.output_table:
            self._arrive(line, coupling)
        else:
            self._arrive_output(line, coupling)

    def _arrive_output(self, line: Line, coupling: Coupling) -> None:
        known = {slot.irrep for slot in self.slots.setdefault(line.target, [])}
        new = sorted(coupling.irreps - known, key=self.graph.group.edge_key)
        self.slots[line.target] += [Slot(irrep, (), 1) for irrep in new]

    def _arrive(self, line: Line, coupling: Coupling) -> None:
        """The slots of an internal edge: its paths where it keeps them, else one block for each irrep."""
        restriction = self.graph.restriction_table.get(line.target)
        slots = self.slots.setdefault(line.target, [])
        for (irrep, binding), count in coupling.counts.items():
            if restriction is not None and not restriction.admits(self.graph.group, irrep):
                continue
            sizes = target_sizes(line, coupling.indices, binding, self.graph.multiplicity(line, irrep))
            if sizes is None:
                sizes = (0,) * len(line.channels)  # reported by the checks, which see the coupling
            slots.append(Slot(irrep, sizes, count))
        if not self.graph.keeps_paths(line.target):
            slots[:] = [Slot(irrep, sizes, 1) for irrep, sizes in dict(_first_sizes(slots)).items()]
        slots[:] = sorted(merged(slots), key=lambda slot: (self.graph.group.edge_key(slot.irrep), slot.sizes))


def _first_sizes(slots: Iterable[Slot]) -> list[tuple[Irrep, tuple[int, ...]]]:
    first: dict[Irrep, tuple[int, ...]] = {}
    for slot in slots:
        first.setdefault(slot.irrep, slot.sizes)
    return list(first.items())


def merged(slots: Iterable[Slot]) -> list[Slot]:
    """Slots that are alike become one, their counts added."""
    counts: dict[tuple[Irrep, tuple[int, ...]], int] = {}
    for slot in slots:
        key = (slot.irrep, slot.sizes)
        counts[key] = counts.get(key, 0) + slot.count
    return [Slot(irrep, sizes, count) for (irrep, sizes), count in counts.items()]


def _distinct(slots: Iterable[Slot]) -> Iterable[Irrep]:
    return dict.fromkeys(slot.irrep for slot in slots)


# --- forward: coupling the operands of one line ------------------------------------------------------------------


def couple(group: Group, line: Line, slots: Mapping[str, Iterable[Slot]]) -> Coupling:
    """All paths of a line's left side, counted: `counts[irrep, binding]`.

    Operands with the same edge and indices are one factor, a symmetric power. Raises `TooManyStates`, `TooManyPaths`.
    """
    if line.fragment is not None:
        return _couple_fragment(group, line, line.fragment, slots)
    factors = tuple(
        (line.operands[places[0]], len(places), tuple(slots[line.operands[places[0]].edge]))
        for places in line.identical_operands()
    )
    return _couple_factors(group, line_indices(line), factors)


@lru_cache(maxsize=1024)  # files of many diagrams couple the same spaces again and again
def _couple_factors(
    group: Group, indices: tuple[str, ...], factors: tuple[tuple[Operand, int, tuple[Slot, ...]], ...]
) -> Coupling:
    states: dict[tuple[Irrep, Binding], int] = {(group.trivial, (None,) * len(indices)): 1}
    conflicts: dict[Irrep, SizeConflict] = {}
    witness: dict[tuple[str, int], list[tuple[Irrep, str]]] = {}
    work = 0
    for operand, power, own in factors:
        work = _refuse_long_work(work + _power_work(group, own, power))
        factor, mixed = _power(group, operand, own, power)
        work = _refuse_long_work(work + _coupling_work(group, states, factor))
        states, conflicts = _couple_factor(group, indices, operand, states, conflicts, factor, mixed, witness)
    return Coupling(indices, states, conflicts)


def _couple_fragment(group: Group, line: Line, fragment: Fragment, slots: Mapping[str, Iterable[Slot]]) -> Coupling:
    """A fragment's paths are its labelings, counted one by one: its wires may form loops."""
    indices = line_indices(line)
    counts: dict[tuple[Irrep, Binding], int] = {}
    conflicts: dict[Irrep, SizeConflict] = {}
    work = 0
    for choice in all_choices(*(tuple(slots[operand.edge]) for operand in line.operands)):
        bound: Binding | SizeConflict = (None,) * len(indices)
        witness: dict[tuple[str, int], list[tuple[Irrep, str]]] = {}
        for operand, slot in zip(line.operands, choice, strict=True):
            if not isinstance(bound, SizeConflict):
                bound = _bind(indices, group.trivial, bound, operand, slot, witness)
        for irrep, count in root_counts(group, fragment, [slot.irrep for slot in choice]).items():
            work = _refuse_long_work(work + 10 * count)
            if isinstance(bound, SizeConflict):
                conflicts.setdefault(irrep, bound)
            else:
                paths = count * prod(slot.count for slot in choice)
                counts[irrep, bound] = counts.get((irrep, bound), 0) + paths
    return Coupling(indices, counts, conflicts)


def _refuse_long_work(work: int) -> int:
    """Raise `TooManyStates` where counting would take seconds: for the user it is as good as never."""
    if work > limits.MAX_WORK:
        raise TooManyStates
    return work


def _power_work(group: Group, slots: Iterable[Slot], power: int) -> int:
    """Steps of counting the weights of a symmetric power."""
    dims = [group.dim(slot.irrep) for slot in slots]
    return sum(dims) * power * power * max(dims, default=0) // 4 if power > 1 else 0


def _coupling_work(group: Group, states: Mapping[tuple[Irrep, Binding], int], slots: Iterable[Slot]) -> int:
    """Steps of coupling a factor onto the states."""
    reach = max((group.dim(irrep) for irrep, _ in states), default=0)
    return len(states) * sum(min(group.dim(slot.irrep), reach) for slot in slots)


def _power(
    group: Group, operand: Operand, slots: tuple[Slot, ...], power: int
) -> tuple[tuple[Slot, ...], dict[Irrep, SizeConflict]]:
    """The slots of a symmetric power, and the irreps that only blocks of different channel sizes would give."""
    slots = tuple(Slot(slot.irrep, slot.sizes[: len(operand.channels)], slot.count) for slot in slots)
    if power == 1:
        return tuple(merged(slots)), {}
    by_sizes: dict[tuple[int, ...], list[Slot]] = {}
    for slot in slots:
        by_sizes.setdefault(slot.sizes, []).append(slot)
    found = []
    for sizes, alike in by_sizes.items():
        irreps = [slot.irrep for slot in alike for _ in range(slot.count)]
        found += [Slot(irrep, sizes, count) for irrep, count in symmetric_power(group, irreps, power).items() if count]
    return tuple(found), _mixed(group, operand, slots, power, found) if len(by_sizes) > 1 else {}


def _mixed(
    group: Group, operand: Operand, slots: tuple[Slot, ...], power: int, unmixed: Iterable[Slot]
) -> dict[Irrep, SizeConflict]:
    irreps = [slot.irrep for slot in slots for _ in range(slot.count)]
    everything = symmetric_power(group, irreps, power)
    for slot in unmixed:
        everything[slot.irrep] = everything.get(slot.irrep, 0) - slot.count
    first = slots[0]
    other = next(slot for slot in slots if slot.sizes != first.sizes)
    place = next(k for k, (a, b) in enumerate(zip(first.sizes, other.sizes, strict=True)) if a != b)
    conflict = SizeConflict(
        operand.channels[place],
        (first.sizes[place], first.irrep, operand.edge),
        (other.sizes[place], other.irrep, operand.edge),
    )
    return {irrep: conflict for irrep, count in everything.items() if count > 0}


def _couple_factor(
    group: Group,
    indices: tuple[str, ...],
    operand: Operand,
    states: dict[tuple[Irrep, Binding], int],
    conflicts: dict[Irrep, SizeConflict],
    factor: tuple[Slot, ...],
    mixed: dict[Irrep, SizeConflict],
    witness: dict[tuple[str, int], list[tuple[Irrep, str]]],
) -> tuple[dict[tuple[Irrep, Binding], int], dict[Irrep, SizeConflict]]:
    """Couple one more factor onto the states; conflicts of sizes are carried along with the irreps they reach."""
    after: dict[tuple[Irrep, Binding], int] = {}
    clashes: dict[Irrep, SizeConflict] = {}
    for slot in factor:
        for (irrep, binding), count in states.items():
            bound = _bind(indices, irrep, binding, operand, slot, witness)
            for product, multiplicity in group.product(irrep, slot.irrep):
                if isinstance(bound, SizeConflict):
                    clashes.setdefault(product, bound)
                else:
                    key = (product, bound)
                    after[key] = after.get(key, 0) + count * slot.count * multiplicity
        for irrep, conflict in conflicts.items():
            for product, _ in group.product(irrep, slot.irrep):
                clashes.setdefault(product, conflict)
    for tangled, conflict in mixed.items():
        for irrep in {irrep for irrep, _ in states} | set(conflicts):
            for product, _ in group.product(irrep, tangled):
                clashes.setdefault(product, conflict)
    if len(after) > limits.MAX_STATES:
        raise TooManyStates
    if any(count > MAX_COUNT for count in after.values()):
        raise TooManyPaths
    return after, clashes


def _bind(
    indices: tuple[str, ...],
    irrep: Irrep,
    binding: Binding,
    operand: Operand,
    slot: Slot,
    witness: dict[tuple[str, int], list[tuple[Irrep, str]]],
) -> Binding | SizeConflict:
    """The binding with the sizes of one more operand; `irrep` is what the operands before it couple to."""
    bound = list(binding)
    for index, size in zip(operand.channels, slot.sizes, strict=False):
        place = indices.index(index)
        before = bound[place]
        if before is None:
            bound[place] = size
            witness.setdefault((index, size), []).append((slot.irrep, operand.edge))
        elif before != size:
            seen = witness[index, before]
            other, edge = next((found for found in seen if found[0] == irrep), seen[0])
            return SizeConflict(index, (before, other, edge), (size, slot.irrep, operand.edge))
    return tuple(bound)


# --- backward: what still reaches an output ----------------------------------------------------------------------


@dataclass
class _Backward:
    graph: FusionGraph
    forward: _Forward
    wanted: dict[str, set[Irrep]] = field(default_factory=dict)

    def alive(self) -> dict[str, frozenset[Irrep]]:
        """The irreps of each edge that take part in a path to an output."""
        self.wanted = {edge: set() for edge in self.forward.slots}
        for output in self.graph.outputs:
            self.wanted[output.name] = self._wanted_output(output.name)
        for edge in self.graph.excused:
            self.wanted[edge] = {slot.irrep for slot in self.forward.slots.get(edge, ())}
        for line in reversed(self.graph.ordered()):
            self._visit(line)
        return {edge: frozenset(irreps) for edge, irreps in self.wanted.items()}

    def _wanted_output(self, name: str) -> set[Irrep]:
        output = self.graph.output_table[name]
        reached = {slot.irrep for slot in self.forward.slots.get(name, ())}
        if output.space is not None:
            return reached & {block.irrep for block in output.space.blocks}
        if output.restriction is not None:
            return {irrep for irrep in reached if output.restriction.admits(self.graph.group, irrep)}
        return reached

    def _visit(self, line: Line) -> None:
        if line.number not in self.forward.couplings:
            for operand in line.operands:  # nothing is known of what it needs: take all
                everything = {slot.irrep for slot in self.forward.slots.get(operand.edge, ())}
                self.wanted.setdefault(operand.edge, set()).update(everything)
            return
        group, slots = self.graph.group, self.forward.slots
        if line.fragment is not None:
            blocks_of = [list(_distinct(slots[operand.edge])) for operand in line.operands]
            alive = alive_operands(group, line.fragment, blocks_of, self.wanted.get(line.target, set()))
            for operand, needed in zip(line.operands, alive, strict=True):
                self.wanted.setdefault(operand.edge, set()).update(needed)
            return
        factors = [(line.operands[places[0]], len(places)) for places in line.identical_operands()]
        spans = [_power(group, operand, tuple(slots[operand.edge]), power) for operand, power in factors]
        irreps = [{slot.irrep for slot in found} | set(mixed) for found, mixed in spans]
        used = alive_factors(group, irreps, self.wanted.get(line.target, set()))
        for (operand, power), needed in zip(factors, used, strict=True):
            blocks = slots[operand.edge]
            self.wanted.setdefault(operand.edge, set()).update(_alive_blocks(group, blocks, power, needed))


def alive_factors(group: Group, factors: Sequence[Set[Irrep]], wanted: Set[Irrep]) -> tuple[frozenset[Irrep], ...]:
    """Of each factor's irreps those from which the left-coupled product reaches a wanted irrep."""
    return _alive_factors(group, tuple(map(frozenset, factors)), frozenset(wanted))


@lru_cache(maxsize=1024)
def _alive_factors(
    group: Group, factors: tuple[frozenset[Irrep], ...], wanted: frozenset[Irrep]
) -> tuple[frozenset[Irrep], ...]:
    prefixes = [{group.trivial}]
    for factor in factors:
        prefixes.append({c for a in prefixes[-1] for b in factor for c, _ in group.product(a, b)})
    used: list[frozenset[Irrep]] = []
    needed = set(wanted & prefixes[-1])
    for factor, prefix in zip(reversed(factors), reversed(prefixes[:-1]), strict=True):
        before: set[Irrep] = set()
        alive: set[Irrep] = set()
        for a in prefix:
            for b in factor:
                if any(c in needed for c, _ in group.product(a, b)):
                    before.add(a)
                    alive.add(b)
        used.append(frozenset(alive))
        needed = before
    return tuple(used[::-1])


def _alive_blocks(group: Group, slots: Iterable[Slot], power: int, needed: Set[Irrep]) -> Set[Irrep]:
    """The irreps of a space that occur in the needed irreps of its symmetric power: without them there are fewer."""
    if power == 1:
        return needed
    copies = [slot.irrep for slot in slots for _ in range(slot.count)]
    everything = symmetric_power(group, copies, power)
    alive = set()
    for irrep in set(copies):
        without = symmetric_power(group, [other for other in copies if other != irrep], power)
        if any(everything.get(target, 0) > without.get(target, 0) for target in needed):
            alive.add(irrep)
    return alive

"""How what a kernel would write is divided where one kernel would be too large: too many terms, loads and stores, or
values that are alive at once.

    by outputs     each kernel writes some of the outputs; what they are made of in common is computed again
    by an operand  where all outputs are linear in an operand, each kernel takes some of its components and adds what
                   follows from these; nothing but the sums so far is read again

Of both the one with less to compile (and to run) is taken. Neither needs a compiler to be decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from fusionc.program.ir import LegBlock, Product, Program, Total, WeightBlock, Zeros, operands
from fusionc.program.thresholds import now
from fusionc.targets.registry import Unroll
from fusionc.targets.triton_kernel import Contents, sums
from fusionc.targets.triton_plan import Cut, Group, Share, Store
from fusionc.targets.triton_values import reads, tile

LOOP = 1500
"""Milliseconds that a loop compiles."""

ORDERED = 4
"""How many times as long as looking at terms it takes to put them in order."""

T = TypeVar("T")


PER_TERM, PER_ACCESS = 1.3, 7.0
"""What one more term, and one more load or store, adds to the effort of a kernel of usual size."""


def effort(terms: int, memory: int) -> float:
    """Milliseconds that a kernel takes to compile, more or less: measured for triton 3.9 on one core."""
    return 50 + 0.55 * terms + 2 * memory + 0.009 * terms * memory


Seen = tuple[Group, int, int]
"""A group, and which of the values that it can be made of are kept, and which are outside of kernels (bits)."""


@dataclass
class Known:
    """What was found out about groups of a program. It holds for every cut that keeps the same of the values that a
    group can be made of, and most groups are far from what another cut keeps."""

    program: Program
    weights: dict[Seen, tuple[int, int]] = field(default_factory=dict)
    sizes: dict[Seen, int] = field(default_factory=dict)
    families: dict[object, list[Group]] = field(default_factory=dict)
    last: tuple[Seen, Contents] | None = None
    work: int = 0
    """Terms, loads and stores that were looked at so far, those that were put in order many times."""

    @cached_property
    def above(self) -> list[int]:
        """The values that each value can be made of, as bits: itself, and all above."""
        found: list[int] = []
        for number, one in enumerate(self.program.instructions):
            found.append(1 << number)
            for value in operands(one.op):
                found[number] |= found[value]
        return found


class _TooMuch(Exception):
    """More would have to be looked at than is worth the time."""


@dataclass
class Splitter:
    """Kernels for groups. `regroup` makes a group of some of its stores."""

    cut: Cut
    known: Known
    regroup: Callable[[Group, tuple[Store, ...]], Group]
    unroll: Unroll = "auto"
    any_registers: bool = False
    loops: dict[Group, bool] = field(default_factory=dict)
    stops: bool = False
    """Whether looking at more is given up where enough was looked at: there is a loop instead."""

    def __post_init__(self) -> None:
        self.kept, self.outside = (sum(1 << value for value in some) for some in (self.cut.kept, self.cut.outside))

    def _seen(self, group: Group) -> Seen:
        above = 0
        for store in group.stores:
            above |= self.known.above[store.value]
        return group, self.kept & above, self.outside & above

    def least_effort(self, group: Group) -> float:
        """What a group costs to compile if registers are no matter and each kernel is for other outputs."""
        free = replace(self, any_registers=True)
        return free.effort([group] if free._fits(group) else free._by_outputs(group, group))

    def split(self, group: Group) -> list[Group]:
        """The group in kernels of a size that can be compiled."""
        if group.key is None and self.is_loop(group):
            return [replace(group, looped=True)]
        if self.is_one(group):
            return [group]
        if group.key is not None or self.unroll != "auto" or self.any_registers:
            return self._merged(group, self._divided(group))
        try:
            return self._merged(group, replace(self, stops=True)._divided(group))
        except _TooMuch:
            self.loops[group] = True
            return [replace(group, looped=True)]

    @property
    def is_tired(self) -> bool:
        """Whether so much of a program was looked at that nothing more is compared: what is not one kernel is a loop
        where it can be one."""
        return self.unroll == "auto" and self.known.work > now().most_work

    def _divided(self, group: Group) -> list[Group]:
        parts: list[Group] = []
        for family in _families(group.stores):
            whole = self.regroup(group, family)
            parts += [replace(whole, looped=True)] if self._loops(whole, group) else self._family(whole, group)
        return parts

    def _loops(self, family: Group, group: Group) -> bool:
        """Whether what is written of one value is a loop where the group, with sums over neighbours, cannot be one."""
        return group.key is not None and family.key is None and self.is_loop(family)

    def is_loop(self, group: Group) -> bool:
        """Whether a group is a loop over a table of terms: unrolled code would compile for too long, or it is asked
        for."""
        terms, memory = self._weight(group)
        if group in self.loops:
            return self.loops[group]
        if self.is_tired:
            return not self._fits(group)
        if self.unroll != "auto" or terms <= now().unrolled_terms:
            return self.unroll == "never" and terms > 0
        if group not in self.loops:
            least = max(1.0, _pieces(terms, memory)) * _share_of_effort(terms, memory)
            self.loops[group] = least > now().patience or self._unrolled(group) > now().patience
        return self.loops[group]

    def _unrolled(self, group: Group) -> float:
        """What a group costs to compile in unrolled kernels, if registers are no matter."""
        free = replace(self, unroll="always", any_registers=True, loops={})
        return sum(effort(*self._weight(part)) for part in free.split(group))

    def is_one(self, group: Group) -> bool:
        """Whether a group is one kernel."""
        return self._fits(group) or self._is_one_walk(group)

    def why(self, group: Group) -> str:
        """What would be too much in one kernel of unrolled code."""
        terms, memory = self._weight(group)
        if group.key is None and self.is_loop(group):
            reason = "asked for" if self.unroll == "never" else "several kernels would compile for too long"
            return f"{terms} terms, {memory} loads and stores: a loop over a table, {reason}"
        much = [f"{terms} terms"] if terms > now().kernel_terms else []
        much += [f"{memory} loads and stores"] if memory > now().kernel_memory else []
        much = much or [f"{self._registers(group)} registers"]
        return f"{' and '.join(much)} are too many for one kernel"

    # --- sizes -------------------------------------------------------------------------------------------------------

    def _weight(self, group: Group) -> tuple[int, int]:
        seen = self._seen(group)
        if seen not in self.known.weights:
            self.known.weights[seen] = self._contents(seen).weight
        return self.known.weights[seen]

    def _is_light(self, group: Group, alone: int = 1) -> bool:
        terms, memory = self._weight(group)
        return terms <= alone * now().kernel_terms and memory <= alone * now().kernel_memory

    def _fits(self, group: Group, alone: int = 1) -> bool:
        if not self._is_light(group, alone):
            return False
        if self.any_registers:
            return True
        if group.key is None:
            return self._registers(group) <= now().kernel_registers
        limits, added = now(), sums(self.cut, group)
        if _has_rows(group):
            most = min(limits.walk_registers - limits.row_registers, limits.most_loaded + added)
        else:
            most = min(limits.walk_registers, max(limits.loaded_registers, added + limits.beside_sums))
        return self._registers(group) <= most

    def _registers(self, group: Group) -> int:
        seen = self._seen(group)
        if seen not in self.known.sizes:
            contents, limits = self._contents(seen), now()
            self.known.work += ORDERED * contents.size
            self.known.sizes[seen] = contents.registers(limits.kernel_registers, limits.one_walk, not self.is_tired)
        return self.known.sizes[seen]

    def _contents(self, seen: Seen) -> Contents:
        """What is in the kernel of a group; of the last one it is still known."""
        if self.stops and self.is_tired:
            raise _TooMuch
        if self.known.last is None or self.known.last[0] != seen:
            self.known.last = seen, Contents(self.cut, seen[0])
            self.known.work += self.known.last[1].size
        return self.known.last[1]

    def _is_one_walk(self, group: Group) -> bool:
        """Whether a group with sums over neighbours is better left whole: in parts it would read the pairs again."""
        if group.key is None or not self._is_light(group):
            return False
        most = min(now().one_walk, sums(self.cut, group) + now().beside_sums)
        return self._registers(group) <= most - now().row_registers * _has_rows(group)

    def effort(self, parts: Sequence[Group]) -> float:
        """What it costs to compile kernels; what is likely to spill counts twice."""
        total = 0.0
        for part in parts:
            if part.looped:
                total += LOOP
                continue
            once = effort(*self._weight(part))
            total += once if self._fits(part, now().alone * now().alone) else 2 * once
        return total

    # --- ways to split -----------------------------------------------------------------------------------------------

    def _family(self, whole: Group, group: Group) -> list[Group]:
        """The kernels of what is written of one value."""
        seen = (self._seen(whole), group.key, self.any_registers)
        if seen not in self.known.families:
            self.known.families[seen] = self._split_family(whole, group)
        return self.known.families[seen]

    def _split_family(self, whole: Group, group: Group) -> list[Group]:
        if self._fits(whole):
            return [whole]
        outputs = self._by_outputs(whole, group)
        terms, memory = self._weight(whole)
        fit = all(self._fits(part, now().alone) for part in outputs)
        once = max(1.0, _pieces(terms, memory)) * _share_of_effort(terms, memory)
        if fit and self.effort(outputs) <= now().doubled * once:
            return outputs
        if self.is_tired:
            return outputs
        best, least = outputs, self.effort(outputs)
        for alone in (now().alone, 1):
            way = self._by_operand(whole, alone, least)
            if way and self.effort(way) < least:
                best, least = way, self.effort(way)
        return best

    def _by_outputs(self, whole: Group, group: Group) -> list[Group]:
        """Kernels for different outputs; a block that is too much by itself is split further."""
        units: list[tuple[Store, ...]] = []
        for store in whole.stores:
            alone = self._fits(self.regroup(group, (store,)), now().alone)
            units += [(store,)] if alone else [(one,) for one in store.apart()]
        parts: list[Group] = []
        for stores in _packed(
            units,
            lambda stores: self._is_light(self.regroup(group, stores)),
            lambda stores: self._fits(self.regroup(group, stores)),
        ):
            part = self.regroup(group, stores)
            again = [] if self._fits(part, now().alone) else self._by_operand(part, now().alone)
            parts += again or [part]
        return parts

    def _by_operand(self, whole: Group, alone: int, least: float = math.inf) -> list[Group]:
        """Kernels for different components of an operand; none if there is no such operand, if that does not help, or
        if it is no less than the `least` effort known."""
        found = None if self.is_tired else shared_operand(self.cut, whole.stores)
        if found is None:
            return []
        operand, components, reached = found
        stores = [one for store in whole.stores for one in store.apart()]

        def light(some: tuple[int, ...]) -> bool:
            return self._is_light(self._share(whole, stores, operand, [some], reached, 0), alone)

        def fits(some: tuple[int, ...]) -> bool:
            return self._fits(self._share(whole, stores, operand, [some], reached, 0), alone)

        chunks: list[tuple[int, ...]] = []
        so_far = 0.0
        for chunk in _packed([(one,) for one in components], light, fits):
            part = self._share(whole, stores, operand, [chunk], reached, 0)
            so_far += effort(*self._weight(part))
            lone = (
                len(chunk) == 1 and part.key is None and light(chunk) and self._registers(part) <= now().lone_registers
            )
            if so_far >= least or not (fits(chunk) or lone):
                return []
            chunks.append(chunk)
        if len(chunks) < 2:
            return []
        return [self._share(whole, stores, operand, chunks, reached, place) for place in range(len(chunks))]

    def _share(
        self,
        whole: Group,
        stores: Sequence[Store],
        operand: int,
        chunks: Sequence[tuple[int, ...]],
        reached: dict[tuple[int, int], int],
        place: int,
    ) -> Group:
        """The kernel of one chunk of components. A sum that goes on in a later kernel is left in the value's memory."""
        masks = [sum(1 << component for component in chunk) for chunk in chunks]
        written: dict[Store, None] = {}
        for store in stores:
            mine = [number for number, mask in enumerate(masks) if reached[store.value, store.first] & mask] or [0]
            if place not in mine:
                continue
            adds = place != mine[0]
            if place == mine[-1]:
                written.setdefault(replace(store, adds=adds))
            else:
                written.setdefault(Store(store.value, store.first, 1, adds=adds))
        return replace(whole, stores=tuple(written), share=Share(operand, frozenset(chunks[place])))

    def _merged(self, group: Group, parts: Sequence[Group]) -> list[Group]:
        """Neighbours that are small enough together."""
        found: list[Group] = []
        for part in parts:
            if found and not any(one.share or one.looped for one in (part, found[-1])):
                both = self.regroup(group, (*found[-1].stores, *part.stores))
                if not self._apart_totals(found[-1], part) and self._fits(both):
                    found[-1] = both
                    continue
            found.append(part)
        return found

    def _apart_totals(self, *parts: Group) -> bool:
        """Whether components of one total are written by several kernels: all of these run with the same programs."""
        return any(
            isinstance(self.cut.program.instructions[store.value].op, Total)
            and store.dim < self.cut.program.instructions[store.value].components
            for part in parts
            for store in part.stores
        )


def _has_rows(group: Group) -> bool:
    """Whether a program walks over the pairs of several sites at a time."""
    return tile(group.lanes, narrow=True).rows > 1


def _pieces(terms: int, memory: int) -> float:
    """How many kernels so much would be."""
    return max(terms / now().kernel_terms, memory / now().kernel_memory)


def _share_of_effort(terms: int, memory: int) -> float:
    """The effort for one of the kernels that so much would be, if nothing were done twice."""
    pieces = max(1.0, _pieces(terms, memory))
    return effort(int(terms / pieces), int(memory / pieces))


def _families(stores: Sequence[Store]) -> Iterator[tuple[Store, ...]]:
    """What is written of each value."""
    found: dict[int, list[Store]] = {}
    for store in stores:
        found.setdefault(store.value, []).append(store)
    yield from map(tuple, found.values())


def _packed(
    units: Sequence[tuple[T, ...]], light: Callable[[tuple[T, ...]], bool], fits: Callable[[tuple[T, ...]], bool]
) -> Iterator[tuple[T, ...]]:
    """Runs of units, each as long as it fits. What is `light` is quick to say and necessary for that."""
    start, last = 0, 1
    while start < len(units):

        def run(length: int, start: int = start) -> tuple[T, ...]:
            return tuple(one for unit in units[start : start + length] for one in unit)

        rest = len(units) - start
        last = _longest(rest, min(max(2, last), rest), lambda length, run=run: light(run(length)))  # type: ignore[misc]
        if not fits(run(last)):
            last = _longest(last - 1, max(1, last // 2), lambda length, run=run: fits(run(length)))  # type: ignore[misc]
        yield run(last)
        start += last


def _longest(most: int, guess: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` for which something holds that holds for smaller ones; at least 1."""
    good, bad = 1, most + 1
    while good + 1 < bad:
        guess = min(max(guess, good + 1), bad - 1)
        if holds(guess):
            good = guess
        else:
            bad = guess
        guess = 2 * good if bad > most else (good + bad) // 2
    return good


# --- operands in which everything is linear ----------------------------------------------------------------------


def shared_operand(cut: Cut, stores: Sequence[Store]) -> tuple[int, tuple[int, ...], dict[tuple[int, int], int]] | None:
    """An operand in which all that is stored is linear: its value, those of its components that matter, and for each
    stored component the set of these (as the bits of a number). The one with most components is taken."""
    own = {store.value for store in stores}
    degrees = [_degrees(cut, own)[value] for value in own]
    leaves = [leaf for leaf, degree in degrees[0].items() if degree == 1 and all(d.get(leaf) == 1 for d in degrees)]
    best = None
    for leaf in leaves:
        reached = _reached(cut, own, leaf, stores)
        everything = 0
        for bits in reached.values():
            everything |= bits
        components = tuple(place for place in range(everything.bit_length()) if everything >> place & 1)
        if best is None or len(components) > len(best[1]):
            best = (leaf, components, reached)
    return best


def _is_leaf(cut: Cut, own: set[int], value: int) -> bool:
    """Whether a kernel reads a value from memory."""
    op = cut.program.instructions[value].op
    return isinstance(op, LegBlock | WeightBlock) or (value in cut.kept and value not in own)


def _degrees(cut: Cut, own: set[int]) -> list[dict[int, int | None]]:
    """The degree of every value in every operand; None where terms differ."""
    found: list[dict[int, int | None]] = []
    for number, one in enumerate(cut.program.instructions):
        if _is_leaf(cut, own, number):
            found.append({number: 1})
            continue
        used = [found[value] for value in operands(one.op) if not isinstance(cut.program.instructions[value].op, Zeros)]
        degrees: dict[int, int | None] = {}
        for leaf in dict.fromkeys(leaf for each in used for leaf in each):
            each = [other.get(leaf, 0) for other in used]
            if isinstance(one.op, Product):
                degrees[leaf] = None if None in each else sum(degree or 0 for degree in each)
            else:
                degrees[leaf] = each[0] if len(set(each)) == 1 else None
        found.append(degrees)
    return found


def _reached(cut: Cut, own: set[int], leaf: int, stores: Sequence[Store]) -> dict[tuple[int, int], int]:
    """The components of an operand that each stored component is made of."""
    known: dict[tuple[int, int], int] = {}

    def bits(value: int, component: int) -> int:
        at = (value, component)
        if at not in known:
            known[at] = 0
            if value == leaf:
                known[at] = 1 << component
            elif not _is_leaf(cut, own, value):
                for other in reads(cut.program.instructions[value], component):
                    known[at] |= bits(*other)
        return known[at]

    return {
        (store.value, place): bits(store.value, place)
        for store in stores
        for place in range(store.first, store.first + store.dim)
    }

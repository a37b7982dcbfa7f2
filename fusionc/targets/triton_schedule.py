"""In which order the statements of a kernel stand: so that few values are alive at once.

Statements are sums of products, loads, and sinks (stores, additions to an accumulator). There are three orders:

    sink by sink     a sink is pulled with all that it needs; whenever a value is there, it is pushed on into the sums
                     that it is the last to wait for, so that it can be forgotten. Sinks come as they stand (those of a
                     path are together), or those that need least first
    term by term     next comes the term, of any sum, after which the fewest values are alive

A sum may grow in several statements:

    t5_0 = t1_0 * t4_0
    sum7_0 += t5_0 * t3_0        the last use of t5_0: nothing keeps it

The first orders are good where results share little, the last where many results grow from the same values. The order
that needs the fewest registers at its worst place is taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

WIDTH = 108
FEW = 64
"""Registers that are no reason to look for another order."""
NEAR = 16
"""The most values that one term may have to wait for if it is to be the next."""


@dataclass(frozen=True)
class Term:
    """± factor · left · right; the factor and the right value may be missing."""

    sign: str
    factor: str
    left: str
    right: str = ""
    values: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", (self.left, self.right) if self.right else (self.left,))

    @property
    def text(self) -> str:
        return " * ".join(part for part in (self.factor, self.left, self.right) if part)


@dataclass(frozen=True)
class Address:
    """`base + u * step + start`, where u is the channel of a lane; with a step of 0 all lanes have the same address.
    Where `base + u * step` has a name, that is said once: every load and store is one addition then, and what is to
    compile is less."""

    base: str
    start: int = 0
    step: int = 0
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name or self.lanes}{f' + {self.start}' if self.start else ''}"

    @property
    def lanes(self) -> str:
        """Where the lanes start."""
        return self.base + {0: "", 1: " + u"}.get(self.step, f" + u * {self.step}")


@dataclass(frozen=True)
class Load:
    """`name = text`, once the names that it needs are there: a load, whose text has the address that it is from, or an
    address (of two registers)."""

    name: str
    text: str
    needs: tuple[str, ...] = ()
    registers: int = 1
    address: Address | None = None


@dataclass(frozen=True)
class Sum:
    """`name = terms added up`; a sum that is `started` goes on in a value that is there already."""

    name: str
    terms: tuple[Term, ...]
    started: bool = False


@dataclass(frozen=True)
class Sink:
    """A statement that writes a value; one that `accumulates` adds it to that name. The text of a store has the address
    that it goes to."""

    text: str
    value: str
    needs: tuple[str, ...] = ()
    accumulates: str = ""
    address: Address | None = None


Statement = Load | Sum | Sink


@dataclass(frozen=True)
class Step:
    """Lines of text, the value that they begin or extend (if any), and the values that they read."""

    lines: tuple[str, ...]
    name: str
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Ordered:
    """The statements of one part of a kernel in order. `sizes` has the values of more than one register."""

    steps: tuple[Step, ...]
    sizes: Mapping[str, int]

    @property
    def lines(self) -> list[str]:
        return [line for step in self.steps for line in step.lines]

    def registers(self, after: Iterable[str] = ()) -> int:
        """The registers of the values that are alive at the worst place, where those `after` are read later on."""
        return self._lived(after)[0]

    def before(self, after: Iterable[str] = ()) -> tuple[str, ...]:
        """The values that have to be alive at the start."""
        return self._lived(after)[1]

    def _lived(self, after: Iterable[str]) -> tuple[int, tuple[str, ...]]:
        alive = dict.fromkeys(after)
        now = most = sum(self.sizes.get(name, 1) for name in alive)
        for place in range(len(self.steps) - 1, -1, -1):
            step = self.steps[place]
            if self._first[step.name] == place and step.name not in step.reads and step.name in alive:
                del alive[step.name]
                now -= self.sizes.get(step.name, 1)
            for name in step.reads:
                if name not in alive:
                    alive[name] = None
                    now += self.sizes.get(name, 1)
            most = max(most, now)
        return most, tuple(alive)

    @cached_property
    def _first(self) -> dict[str, int]:
        """Where each value begins."""
        return {step.name: place for place, step in reversed(list(enumerate(self.steps)))}


def scheduled(
    statements: Sequence[Statement], later: Sequence[Statement] = (), enough: int = FEW, most: int | None = None
) -> Ordered:
    """The statements, each after what it needs; `later` statements read some of the values as well. An order that needs
    no more than `enough` registers is not improved, and one that needs more than `most` is not finished."""
    wanted = {name for one in later for name in _read(one)}
    after = [one.name for one in statements if not isinstance(one, Sink) and one.name in wanted]
    everything: list[Statement] = [*_in_accumulators(statements), *(Sink("", name) for name in after)]
    found: list[Ordered] = []
    for least_first in (False, True):
        found.append(_SinkBySink(everything, least_first=least_first).ordered())
        if found[-1].registers(after) <= enough:
            return found[-1]
    with suppress(_TooMany):
        found.append(_TermByTerm(everything, most=most).ordered())
    return min(found, key=lambda one: one.registers(after))


class _TooMany(Exception):
    """An order keeps more values alive than are of use."""


def _read(one: Statement) -> tuple[str, ...]:
    """The names that a statement needs."""
    if isinstance(one, Sum):
        return tuple(value for term in one.terms for value in term.values)
    return one.needs if isinstance(one, Load) else (one.value, *one.needs)


def _in_accumulators(statements: Sequence[Statement]) -> list[Statement]:
    """Sums that are only added to an accumulator grow there."""
    uses: dict[str, int] = {}
    for one in statements:
        values = [one.value] if isinstance(one, Sink) else []
        if isinstance(one, Sum):
            values = [value for term in one.terms for value in term.values]
        for value in values:
            uses[value] = uses.get(value, 0) + 1
    sums = {one.name for one in statements if isinstance(one, Sum)}
    into = {
        one.value: one.accumulates
        for one in statements
        if isinstance(one, Sink) and one.accumulates and uses[one.value] == 1 and one.value in sums
    }
    found: list[Statement] = []
    for one in statements:
        if isinstance(one, Sum) and one.name in into:
            one = Sum(into[one.name], one.terms, started=True)
        elif isinstance(one, Sink) and one.value in into:
            one = Sink("", into[one.value])
        found.append(one)
    return found


@dataclass
class _Schedule:
    statements: Sequence[Statement]
    least_first: bool = True
    out: list[Step] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    said: set[int] = field(default_factory=set)
    lanes: set[str] = field(default_factory=set)
    chunk: tuple[str, list[Term]] | None = None

    def __post_init__(self) -> None:
        self.nodes = {one.name: one for one in self.statements if not isinstance(one, Sink)}
        self.sinks = [one for one in self.statements if isinstance(one, Sink)]
        self.uses: dict[str, list[tuple[str, int]]] = {}
        self.into: dict[str, list[int]] = {}
        self.open: dict[str, dict[int, Term]] = {}
        for one in self.nodes.values():
            if isinstance(one, Sum):
                self.open[one.name] = dict(enumerate(one.terms))
                if one.started:
                    self.begun.add(one.name)
                for place, term in enumerate(one.terms):
                    for value in dict.fromkeys(term.values):
                        self.uses.setdefault(value, []).append((one.name, place))
        for number, sink in enumerate(self.sinks):
            self.into.setdefault(sink.value, []).append(number)
        self.left = {name: len(self.uses.get(name, ())) + len(self.into.get(name, ())) for name in self.nodes}

    def ordered(self) -> Ordered:
        order = list(range(len(self.sinks)))
        if self.least_first:
            order.sort(key=lambda number: self._closure(self.sinks[number].value))
        for number in order:
            self._pull(self.sinks[number].value)
            self._push()
            self._sink(number)
        self._flush()
        sizes = {name: one.registers for name, one in self.nodes.items() if isinstance(one, Load) and one.registers > 1}
        return Ordered(tuple(self.out), sizes | dict.fromkeys(sorted(self.lanes), 2))

    def _closure(self, name: str) -> int:
        """How many statements a value is made of."""
        seen: dict[str, None] = {}
        todo = [name]
        while todo:
            one = todo.pop()
            node = self.nodes.get(one)
            if one in seen or node is None:
                continue
            seen[one] = None
            todo += _read(node)
        return len(seen)

    def _there(self, name: str) -> bool:
        return name in self.done or name not in self.nodes

    def _push(self) -> None:
        """What is to be done with values as soon as they are there."""

    # --- pulling ---------------------------------------------------------------------------------------------------

    def _pull(self, name: str) -> None:
        """Everything that a value needs, then the value."""
        if self._there(name):
            return
        node = self.nodes[name]
        if isinstance(node, Load):
            for need in node.needs:
                self._pull(need)
            self._say(node)
            self._finish(node.name)
            return
        for place, term in enumerate(node.terms):
            if place not in self.open[name]:
                continue
            for value in term.values:
                self._pull(value)
            if place in self.open[name]:
                self._add(name, place)
                self._push()

    def _add(self, name: str, place: int) -> None:
        """One term of a sum."""
        term = self.open[name].pop(place)
        if self.chunk is None or self.chunk[0] != name:
            self._flush()
            self.chunk = (name, [])
        self.chunk[1].append(term)
        for value in dict.fromkeys(term.values):
            self._use(value)
        if not self.open[name]:
            self._finish(name)

    def _finish(self, name: str) -> None:
        self.done.add(name)

    def _sink(self, number: int) -> None:
        if number in self.said:
            return
        self.said.add(number)
        sink = self.sinks[number]
        for need in sink.needs:
            self._pull(need)
        if sink.text:
            self._say(sink)
        self._use(sink.value)

    def _use(self, value: str) -> None:
        if value in self.left:
            self.left[value] -= 1

    # --- lines -----------------------------------------------------------------------------------------------------

    def _say(self, one: Load | Sink) -> None:
        self._flush()
        if isinstance(one, Load):
            name, needs, lines = one.name, one.needs, statement(f"{one.name} = ", [one.text])
        else:
            name, lines = one.accumulates, [one.text]
            needs = (one.value, *one.needs, *([name] if name else []))
        if one.address is not None and one.address.name:
            needs = (*(need for need in needs if need != one.address.base), one.address.name)
            self._name_lanes(one.address)
        self.out.append(Step(tuple(lines), name, needs))

    def _name_lanes(self, address: Address) -> None:
        """Say where the lanes start before the first load or store that is from there."""
        if address.name not in self.lanes:
            self.lanes.add(address.name)
            reads = (address.base,) if address.base in self.nodes else ()
            self.out.append(Step((f"{address.name} = {address.lanes}",), address.name, reads))

    def _flush(self) -> None:
        """Terms that were added to one sum."""
        if self.chunk is None:
            return
        (name, terms), self.chunk = self.chunk, None
        for term in sorted(terms, key=lambda term: term.sign == "-"):
            if name in self.begun:
                self.out.append(Step((_added(name, term),), name, (*term.values, name)))
            else:
                self.out.append(Step((f"{name} = {'-' if term.sign == '-' else ''}{term.text}",), name, term.values))
            self.begun.add(name)


@dataclass
class _SinkBySink(_Schedule):
    ready: list[str] = field(default_factory=list)

    def _finish(self, name: str) -> None:
        super()._finish(name)
        self.ready.append(name)

    def _push(self) -> None:
        """Values that are there go on to where they are used for the last time."""
        while self.ready:
            value = self.ready.pop(0)
            for name, place in self.uses.get(value, ()):
                term = self.open[name].get(place)
                if term is not None and self._frees(term) and self._cheap(term):
                    for other in term.values:
                        self._pull(other)
                    if place in self.open[name]:
                        self._add(name, place)
            for number in self.into.get(value, ()):
                self._sink(number)

    def _frees(self, term: Term) -> bool:
        """Whether a term keeps no more values alive than before."""
        return any(self.left.get(value) == 1 and self._there(value) for value in term.values)

    def _cheap(self, term: Term) -> bool:
        """Whether what a term still needs is a load, or a load with a factor."""
        for value in term.values:
            node = self.nodes.get(value)
            if self._there(value) or node is None:
                continue
            if isinstance(node, Sum):
                if len(node.terms) > 1 or node.terms[0].right:
                    return False
                node = self.nodes.get(node.terms[0].left)
            if not isinstance(node, Load | None):
                return False
        return True


Place = tuple[str, int]
"""A term: the name of a sum, and which of its terms."""


@dataclass
class _TermByTerm(_Schedule):
    """The cost of a term is by how many more values are alive after it than before."""

    heap: list[tuple[int, int, int, Place, int]] = field(default_factory=list)
    versions: dict[Place, int] = field(default_factory=dict)
    watched: dict[str, dict[Place, None]] = field(default_factory=dict)
    changed: set[Place] = field(default_factory=set)
    near: set[Place] = field(default_factory=set)
    """The terms that wait for few values."""
    most: int | None = None
    """How many values may be alive (None: any number)."""
    alive: int = 0
    """Registers of the values that are there, or begun, and read later; addresses in the lanes are not counted."""

    def ordered(self) -> Ordered:
        self.number = {name: number for number, name in enumerate(self.open)}
        self.changed.update((name, place) for name, terms in self.open.items() for place in terms)
        while self._weigh_changed():
            _, _, _, (name, place), version = heapq.heappop(self.heap)
            if self.versions[name, place] == version and place in self.open[name]:
                self._take(name, place)
        return super().ordered()

    def _is_on_the_way(self, name: str) -> bool:
        """Whether a sum comes with a term that may be the next and waits for it: nothing is gained by it alone."""
        return any(use in self.near for use in self.uses.get(name, ()))

    def _take(self, name: str, place: int) -> None:
        term = self.open[name][place]
        for value in term.values:
            self._pull(value)
        self._add(name, place)

    def _add(self, name: str, place: int) -> None:
        values = self.open[name][place].values
        begins = name not in self.begun and (self.chunk is None or self.chunk[0] != name)
        self.alive += begins
        super()._add(name, place)
        if self.most is not None and self.alive > self.most:
            raise _TooMany
        if begins or len(self.open[name]) == 1:
            self.changed.update((name, other) for other in self.open[name])
        for value in values:
            if self.left.get(value, NEAR) <= 2:
                self.changed.update(self.watched.get(value, ()))

    def _use(self, value: str) -> None:
        super()._use(value)
        if self.left.get(value) == 0:
            node = self.nodes[value]
            self.alive -= node.registers if isinstance(node, Load) else 1

    def _finish(self, name: str) -> None:
        super()._finish(name)
        node = self.nodes[name]
        self.alive += node.registers if isinstance(node, Load) and self.left[name] else 0
        self.changed.update(self.watched.pop(name, ()))
        self.changed.update(self.uses.get(name, ()))
        for number in self.into.get(name, ()):
            self._sink(number)

    def _weigh_changed(self) -> bool:
        """Weigh anew what has changed; whether there is anything left to do."""
        for name, place in sorted(self.changed, key=lambda at: (-self.number[at[0]], at[1])):
            if place in self.open[name] and not self._is_on_the_way(name):
                self._weigh((name, place))
        self.changed.clear()
        return bool(self.heap)

    def _weigh(self, at: Place) -> None:
        """What a term costs now, if few values are missing."""
        (name, place), nodes, done, begun = at, self.nodes, self.done, self.begun
        values = self.open[name][place].values
        missing = self._missing(values)
        self.versions[at] = version = self.versions.get(at, 0) + 1
        if missing is None:
            return
        self.near.add(at)
        counts = dict.fromkeys(values, 1)
        for one in missing:
            for term in self.open.get(one, {}).values():
                for value in set(term.values):
                    counts[value] = counts.get(value, 0) + 1
        cost = 0 if name in begun or (self.chunk is not None and self.chunk[0] == name) else 1
        if len(self.open[name]) == 1 and not self.uses.get(name):
            cost -= 1
        for value, count in counts.items():
            if value in nodes:
                last = self.left[value] == count
                cost -= last if value in done else last - 1 + (value in begun)
                self.watched.setdefault(value, {})[at] = None
        heapq.heappush(self.heap, (cost, len(missing), self.number[name], at, version))

    def _missing(self, values: Iterable[str]) -> list[str] | None:
        """The values that a term waits for; None if these are many."""
        nodes, done, sums = self.nodes, self.done, self.open
        todo = [value for value in values if value in nodes and value not in done]
        found: dict[str, None] = {}
        while todo:
            value = todo.pop()
            if value in found:
                continue
            found[value] = None
            if len(found) > NEAR:
                return None
            if value in sums:
                todo += [v for t in sums[value].values() for v in t.values if v in nodes and v not in done]
        return list(found)


def _added(name: str, term: Term) -> str:
    """A term added to a sum: one operation, so that there is half as much to compile. Numbers stay out of `tl.fma`,
    which would take them in single precision."""
    if term.sign == "-":
        return f"{name} -= {term.text}"
    if not term.right:
        return f"{name} += {term.text}"
    left = f"{term.factor} * {term.left}" if term.factor else term.left
    return f"{name} = tl.fma({left}, {term.right}, {name})"


def statement(start: str, words: Sequence[str]) -> list[str]:
    """`start words`, over several lines where that is long."""
    text = " ".join(words)
    if len(start) + len(text) <= WIDTH:
        return [start + text]
    lines, line = [f"{start}("], "   "
    for word in words:
        if len(line) + 1 + len(word) > WIDTH and line.strip():
            lines.append(line)
            line = "   "
        line += f" {word}"
    return [*lines, line, ")"]
